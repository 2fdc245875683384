"""Send a scene over LSL at 1 kHz, with a marker every .4 to .6 s, until the input ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from rt_decoder.sinks.loopback import configure_loopback

configure_loopback()

import pylsl  # noqa: E402 - after its configuration

from rt_decoder.sinks.outlets import data_outlet, marker_outlet  # noqa: E402
from scripts.speed.scene import SFREQ, Case, load_scene  # noqa: E402

PRIORITY = 20  # of SCHED_FIFO; a session with `--tune priority` has 10


@contextmanager
def sending(case: Case, source_id: str, *, is_first: bool = False) -> Iterator[None]:
    """Send from a process of its own, within the context.

    If `is_first`, no other program delays it, as none delays an amplifier: where the system allows it,
    it has a real-time priority above any that a session asks for, and so have its outlet's threads.
    """
    sender = subprocess.Popen(
        [sys.executable, "-m", "scripts.speed.sender", *map(str, case), source_id, str(int(is_first))],
        cwd=Path(__file__).resolve().parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert sender.stdin is not None
    assert sender.stdout is not None
    try:
        sender.stdout.readline()
        yield
    finally:
        sender.stdin.close()
        sender.wait(30.0)


def main() -> None:
    """Send."""
    n_channels, chunk, mode, path, source_id, is_first = sys.argv[1:]
    case = Case(int(n_channels), int(chunk), mode, path)
    scene = load_scene(case.path)
    if int(is_first):
        with suppress(PermissionError, AttributeError):  # not allowed; not Linux
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    outlet = data_outlet(source_id, scene.info, source_id, "float32")
    markers = marker_outlet(f"{source_id}-m", f"{source_id}-m")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    data = np.concatenate([scene.data, scene.data[::-1]])  # without a step where it starts again
    data = data[: len(data) // case.chunk * case.chunk]
    rng, label = np.random.default_rng(0), scene.model.items[0]
    start, n_sent, next_marker = time.monotonic(), 0, 0.5
    print("ready", flush=True)
    while not ended.is_set():
        due = start + (n_sent + case.chunk) / SFREQ
        time.sleep(max(0.0, due - time.monotonic()))
        at = n_sent % len(data)
        now = pylsl.local_clock()
        outlet.push_chunk(data[at : at + case.chunk], now)
        n_sent += case.chunk
        if n_sent / SFREQ >= next_marker:
            markers.push_sample((label,), now)
            next_marker += rng.uniform(0.4, 0.6)


if __name__ == "__main__":
    main()
