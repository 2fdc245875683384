"""A cable that is pulled: an outlet and its reader on two hosts of their own.

The hosts are network namespaces joined by a virtual cable, so that a link can go down for good
without a word to either end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from calibration.demo import save_recording
from rt_decoder.files.model_file import save_model
from tests.lsl_loopback import wait_for
from tests.small import (
    command_line,
    finish,
    lines,
    random_model,
    readouts,
    small_recipe,
    small_recording,
    start,
)

pytestmark = [
    pytest.mark.lsl,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
]

REPO = Path(__file__).resolve().parents[1]
AMPLIFIER, READER = "10.199.83.1", "10.199.83.2"  # in namespaces: nobody else sees them
CONFIG = f"""\
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{{AMPLIFIER}, {READER}}}
[log]
level = -3
"""


def ip(*arguments: str) -> None:
    ran = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PermissionError(f"ip {' '.join(arguments)}: {ran.stderr.strip()}")


class Network:
    """Two hosts and a cable; every process and namespace goes with it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        tag = uuid.uuid4().hex[:8]
        self.amplifier, self.reader = f"rtd-{tag}-a", f"rtd-{tag}-r"
        self._stack = stack
        self._config = folder / "network.cfg"
        self._config.write_text(CONFIG)
        self._host(self.reader)
        self.power_on()

    def _host(self, name: str) -> None:
        ip("netns", "add", name)
        self._stack.callback(
            subprocess.run, ["ip", "netns", "del", name], capture_output=True, check=False
        )
        ip("-n", name, "link", "set", "lo", "up")

    def power_on(self) -> None:
        """The amplifier's computer, and the cable to it."""
        self._host(self.amplifier)
        near, far = (
            ["name", "eth0", "netns", self.amplifier],
            ["name", "eth0", "netns", self.reader],
        )
        ip("link", "add", *near, "type", "veth", "peer", *far)
        for host, address in ((self.amplifier, AMPLIFIER), (self.reader, READER)):
            ip("-n", host, "address", "add", f"{address}/30", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")

    def power_off(self) -> None:
        """The amplifier's computer is gone, its connections with it: no goodbye is sent."""
        ip("-n", self.reader, "link", "del", "eth0")  # both ends; with the host it takes a while
        ip("netns", "del", self.amplifier)

    def cable(self, plugged: bool) -> None:
        ip("-n", self.amplifier, "link", "set", "eth0", "up" if plugged else "down")

    def start(self, host: str, command: list[str]) -> subprocess.Popen[str]:
        """A process on `host`; `ip` becomes it, so it has the process id."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", host, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPO,
            env=os.environ | {"LSLAPICFG": str(self._config), "OMP_NUM_THREADS": "1"},
        )
        self._stack.callback(end, process)
        return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    if shutil.which("ip") is None:
        pytest.skip("no program ip: network namespaces cannot be made")
    with ExitStack() as stack:
        try:
            made = Network(tmp_path, stack)
        except PermissionError as error:
            pytest.skip(f"network namespaces are not permitted here: {error}")
        yield made


def n_readouts(log: Path) -> int:
    return log.read_text(encoding="utf-8").count('"type": "readout"') if log.exists() else 0


def events(log: Path) -> list[dict[str, Any]]:
    """Lines of a log that is still written, the torn last one left out."""
    if not log.exists():
        return []
    whole = log.read_text(encoding="utf-8").rpartition("\n")[0]
    return [line for line in map(json.loads, whole.splitlines()) if line["type"] == "event"]


def test_a_cable_that_is_pulled_and_plugged_again(network: Network, tmp_path: Path) -> None:
    """Stale at once; then all that was sent meanwhile, late, and to the bit what it was."""
    recording = replace(small_recording(seconds=24.0), markers=())
    save_recording(recording, tmp_path / "rec.xdf")
    model, log = tmp_path / "model.rtd.safetensors", tmp_path / "log.jsonl"
    save_model(random_model(recording, small_recipe()), model)
    replay = network.start(
        network.amplifier, command_line("replay", tmp_path / "rec.xdf", "--name", "net")
    )
    run = network.start(
        network.reader,
        command_line(
            "run", "--force", "--model", model, "--name", "net", "--continuous", "--log", log,
            "--until-lost", "--timeout", "60", "--quiet", "--json",
        ),
    )  # fmt: skip
    wait_for(lambda: n_readouts(log) > 300, 60.0)
    started = len(events(log))
    network.cable(plugged=False)
    stale = wait_for(lambda: events(log)[started:])[0]
    time.sleep(3.0)
    assert [e["event"] for e in events(log)[started:]] == ["stale"]  # once, and nothing else
    network.cable(plugged=True)
    wait_for(lambda: len(events(log)) > started + 1, 20.0)
    sent, received = finish(replay), finish(run)
    assert (sent.code, received.code) == (0, 0), (sent.err, received.err)
    assert 0.2 < stale["silent_s"] < 0.5

    written = lines(log)
    kinds = [line.get("event", line["type"]) for line in written]
    at = written.index(stale)
    assert "live_again" in kinds[at:]  # with the first packet; the rest of the backlog follows
    assert {"gap", "reset", "revoked"}.isdisjoint(kinds)  # late, but nothing is missing
    footer = json.loads(received.out.splitlines()[-1])
    assert footer["n_samples"] == len(recording.data)
    came = [line for line in written[at:] if line["type"] == "readout"]
    backlog = list(takewhile(lambda line: line["late"], came))
    assert len(backlog) > 20
    assert max(line["latency_ms"] for line in backlog) > 3000  # its true age
    last = next(line for line in reversed(written) if line["type"] == "readout")
    assert not last["late"]  # it has caught up

    offline = tmp_path / "offline.jsonl"
    decoded = finish(
        start(
            "decode", "--force", tmp_path / "rec.xdf", "--model", model, "--continuous", "--jsonl", offline
        )
    )  # fmt: skip
    assert decoded.code == 0, decoded.err
    assert readouts(offline) == readouts(log)


def test_a_session_goes_on_with_another_amplifier(network: Network, tmp_path: Path) -> None:
    """The power fails, and the same recording is sent by a computer that was started anew."""
    recording = replace(small_recording(seconds=24.0), markers=())
    save_recording(recording, tmp_path / "rec.xdf")
    model, log = tmp_path / "model.rtd.safetensors", tmp_path / "log.jsonl"
    save_model(random_model(recording, small_recipe()), model)
    replay = command_line("replay", tmp_path / "rec.xdf", "--name", "net")
    sender = network.start(network.amplifier, replay)
    run = network.start(
        network.reader,
        command_line(
            "run", "--force", "--model", model, "--name", "net", "--continuous", "--log", log,
            "--timeout", "60", "--quiet",
        ),
    )  # fmt: skip
    wait_for(lambda: n_readouts(log) > 300, 60.0)
    started = len(events(log))
    network.cable(plugged=False)
    wait_for(lambda: events(log)[started:])
    end(sender)
    before = n_readouts(log)
    network.power_off()
    network.power_on()
    network.start(network.amplifier, replay)
    wait_for(lambda: "returned" in [e["event"] for e in events(log)], 60.0)
    wait_for(lambda: n_readouts(log) > before + 300, 20.0)
    run.send_signal(signal.SIGINT)
    received = finish(run)
    assert received.code == 0, received.err
    written = lines(log)
    kinds = [line.get("event", line["type"]) for line in written]
    lost = kinds.index("lost")
    assert "has been replaced" in written[lost]["reason"]
    assert kinds[lost - 1 : lost + 2] == ["stale", "lost", "returned"]  # nothing decoded between


SEND = """
import pylsl, sys, time
info = pylsl.StreamInfo("net", "EEG", 2, 100, "float32", "amplifier")
outlet = pylsl.StreamOutlet(info)
while True:
    outlet.push_sample([1, 2])
    time.sleep(0.01)
"""
# What a session does with `LslStreams`, without a model.
FOLLOW = """
import json
from rt_decoder.signal import StreamLost
from rt_decoder.sources.lsl.source import local_clock
from rt_decoder.sources.streams import LslStreams

def say(**what):
    print(json.dumps(what), flush=True)

streams = LslStreams({"name": "net"}, units="uV", timeout=60.0)
source = streams.samples()
source.open()
last, state = local_clock(), ""
while True:
    try:
        n = len(source.pull(0.05)[1])
        if n:
            last = local_clock()
        now = "live" if n else "stale" if local_clock() - last > 0.2 else state
        if now != state:
            state = now
            say(state=state, uid=source.uid)
            if state == "live":
                streams.stop_looking()
        if state == "stale" and local_clock() - last > 2.0 and streams.replacement() is not None:
            raise StreamLost("replaced")
    except StreamLost as error:
        say(state="lost", reason=str(error))
        while (source := streams.reopen(1.0)) is None:
            pass
        source.open()
        last, state = local_clock(), ""
"""


def next_state(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return json.loads(line)


def test_an_amplifier_that_lost_its_power_is_replaced(network: Network) -> None:
    """The connection stays open and silent for ever; another outlet of its name takes over."""
    sender = network.start(network.amplifier, [sys.executable, "-c", SEND])
    reader = network.start(network.reader, [sys.executable, "-c", FOLLOW])
    first = next_state(reader)
    assert first["state"] == "live"
    network.cable(plugged=False)
    assert next_state(reader)["state"] == "stale"
    time.sleep(4.0)  # long enough to be replaced, but there is nothing
    network.cable(plugged=True)
    went_on = next_state(reader)
    assert went_on == first  # the same outlet, by the same connection

    network.cable(plugged=False)
    assert next_state(reader)["state"] == "stale"
    end(sender)
    network.power_off()
    network.power_on()
    network.start(network.amplifier, [sys.executable, "-c", SEND])
    assert next_state(reader) == {"state": "lost", "reason": "replaced"}
    second = next_state(reader)
    assert second["state"] == "live"
    assert second["uid"] != first["uid"]


def test_an_outlet_that_was_stopped_behind_a_pulled_cable_is_lost(network: Network) -> None:
    """Killed while nobody could hear it: told once the cable is back, and then found anew."""
    sender = network.start(network.amplifier, [sys.executable, "-c", SEND])
    reader = network.start(network.reader, [sys.executable, "-c", FOLLOW])
    first = next_state(reader)
    network.cable(plugged=False)
    assert next_state(reader)["state"] == "stale"
    end(sender)
    network.start(network.amplifier, [sys.executable, "-c", SEND])
    network.cable(plugged=True)
    states = [next_state(reader)]
    while states[-1].get("uid", first["uid"]) == first["uid"]:
        states.append(next_state(reader))
    # what was on its way may come before the loss is told
    assert [state["state"] for state in states[-2:]] == ["lost", "live"]
    assert states[-2]["reason"] != "replaced"
