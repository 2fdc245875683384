"""Who can reach the streams of the command lines: this machine, unless the network is asked for."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from calibration.demo import save_recording
from tests.lsl_loopback import wait_for
from tests.small import command_line, finish, small_recording

pytestmark = [
    pytest.mark.lsl,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are listed in /proc"),
]


def reached(pid: int) -> list[str]:
    """From where each TCP socket can be reached on which a process waits for others."""
    listed = subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True, check=True).stdout
    addresses = [line.split()[3] for line in listed.splitlines() if f"pid={pid}," in line]
    return ["here" if re.match(r"127\.|\[::1\]|.*%lo:", a) else "network" for a in addresses]


@pytest.mark.parametrize("network", [False, True])
def test_replay_is_for_this_machine_unless_asked(
    network: bool, tmp_path: Path, source_id: str
) -> None:
    if shutil.which("ss") is None or not hasattr(socket, "SO_BINDTODEVICE"):
        pytest.skip("need ss (iproute2) to list sockets")
    save_recording(small_recording(seconds=4.0), tmp_path / "sim.xdf")
    environment = {k: v for k, v in os.environ.items() if k != "LSLAPICFG"}
    options = ["--network"] if network else []
    process = subprocess.Popen(
        command_line("replay", tmp_path / "sim.xdf", "--name", source_id, *options),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment | {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    try:
        wait_for(lambda: len(reached(process.pid)) >= 2)
        # shut half a millisecond after they were opened
        expected = {"network"} if network else {"here"}
        wait_for(lambda: set(reached(process.pid)) == expected)
    finally:
        process.terminate()
        finish(process)
