"""Measure what an experiment does to its session: from a sample's stamp to the experiment's hands.

A sender in a process of its own streams noise over LSL; a session of `open_live` reads out every hop.
The experiment takes each readout with `live.next`. In turns of `--turn` s it is idle otherwise, or a
thread of it holds the interpreter (the GIL) for 50 ms at a time, as a garbage collection or a draw
loop does, with 5 ms between. Sessions in a process of their own and in a thread take turns as well.

- *session*: from the stamp of the newest sample to the readout (`Readout.latency_ms`, the wait for the
  hop included);
- *handover*: from the readout (`Readout.time`) until the experiment has it.

Goals: in its own process the session's p99 beside a busy experiment is at most 1.1 times that beside
an idle one, in the same run; an idle experiment gets a readout within .3 ms (p50). Turns settle for a
fifth of their length, which is not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rt_decoder import open_live, save_model
from rt_decoder.sinks.loopback import configure_loopback
from rt_decoder.sinks.outlets import data_outlet
from tests.small import random_model, small_recipe, small_recording

HOLD_S, FREE_S = 0.05, 0.005
LEAST, SLOWER, HANDOVER_MS = 50, 1.1, 0.3
NAMES = {"process": "own process", "thread": "in-process"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="sessions of each kind")
    parser.add_argument("--seconds", type=float, default=40.0, help="length of a session")
    parser.add_argument(
        "--turn", type=float, default=2.0, help="s that an experiment is idle or busy"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send:
        send(args.send)
        return
    if args.rounds < 1 or not 0.1 <= args.turn <= args.seconds / 2:
        parser.error("need a round or more, and turns from 0.1 s to half a session")
    configure_loopback()
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, sender() as name:
        path = Path(folder) / "noise.rtd.safetensors"
        save_model(random_model(small_recording(seconds=12.0), small_recipe()), path)
        for round_ in range(args.rounds):
            for kind in ("process", "thread"):
                print(f"round {round_ + 1}, {NAMES[kind]}", file=sys.stderr)
                measure(path, name, kind, args, found)
    rows = {f"{kind}_{state}": figures(values) for (kind, state), values in found.items()}
    report(rows)
    missed = missed_goals(rows)
    if args.json:
        print(json.dumps({"rows": rows, "missed": missed, "rounds": args.rounds}))
    if missed:
        sys.exit(f"bench_loop: {'; '.join(missed)}")


def send(name: str) -> None:
    """Stream noise until the input ends."""
    recording = small_recording(seconds=12.0)
    outlet = data_outlet(name, recording.info, name)
    data, sfreq = np.ascontiguousarray(recording.data), recording.info.sfreq
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    start, row = pylsl.local_clock(), 0
    print("ready", flush=True)
    while not ended.wait(0.002):
        n = int((pylsl.local_clock() - start) * sfreq) - row
        if n > 0:
            rows = np.arange(row, row + n)
            outlet.push_chunk(data[rows % len(data)], list(start + rows / sfreq))
            row += n


@contextmanager
def sender() -> Iterator[str]:
    name = f"bench-loop-{time.time_ns()}"
    process = subprocess.Popen(
        [sys.executable, __file__, "--send", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        process.stdout.readline()
        yield name
    finally:
        process.stdin.close()
        process.wait(30.0)
        process.stdout.close()


class Busy:
    """A thread that holds the interpreter while it is told to."""

    def __init__(self) -> None:
        self.on, self._ended = threading.Event(), threading.Event()
        self._hold = ctypes.PyDLL(None).usleep  # PyDLL: a call does not release the GIL
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            if self.on.wait(0.05):
                self._hold(int(1e6 * HOLD_S))
                time.sleep(FREE_S)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def measure(
    path: Path, name: str, kind: str, args: argparse.Namespace,
    found: dict[tuple[str, str], list[tuple[float, float]]],
) -> None:  # fmt: skip
    """Add latencies of session and handover in ms, by kind and state of the experiment."""
    busy = Busy()
    try:
        with open_live(
            path, name, in_process=kind == "thread", outlet="", force=True, timeout=60.0
        ) as live:
            live.next()
            start = time.perf_counter()
            while (at := time.perf_counter() - start) < args.seconds:
                is_busy = int(at / args.turn) % 2 == 1
                busy.on.set() if is_busy else busy.on.clear()
                readout = live.next(timeout=1.0)
                now = pylsl.local_clock()
                # made in the settled part of a turn, and taken in the same one
                made = (time.perf_counter() - start) - (now - (readout.time if readout else now))
                settled = made % args.turn > args.turn / 5 and int(made / args.turn) == int(
                    at / args.turn
                )
                if readout is not None and settled:
                    latency = 1e3 * (now - readout.time)
                    found[kind, "busy" if is_busy else "idle"].append((readout.latency_ms, latency))
    finally:
        busy.close()


def figures(values: list[tuple[float, float]]) -> dict[str, Any]:
    session, handover = np.array(values).T
    told: dict[str, Any] = {"n": len(values)}
    for name, each in (
        ("session", session), ("handover", handover), ("consumer", session + handover)
    ):  # fmt: skip
        told[name] = {f"p{q}": round(float(np.percentile(each, q)), 4) for q in (50, 95, 99)}
    return told


def missed_goals(rows: dict[str, dict[str, Any]]) -> list[str]:
    if few := [name for name, row in rows.items() if row["n"] < LEAST]:
        return [f"fewer than {LEAST} readouts: {', '.join(few)}"]
    idle, busy = rows["process_idle"], rows["process_busy"]
    missed = []
    if (slower := busy["session"]["p99"] / idle["session"]["p99"]) > SLOWER:
        missed.append(f"a busy experiment makes the session's p99 {slower:.2f} times as long")
    if (late := idle["handover"]["p50"]) > HANDOVER_MS:
        missed.append(f"an idle experiment gets readouts after {late:.2f} ms, not {HANDOVER_MS}")
    return missed


def report(rows: dict[str, dict[str, Any]]) -> None:
    table = Table(title="ms: p50 / p95 / p99")
    for head in (
        "session",
        "experiment",
        "readouts",
        "stamp to readout",
        "to the experiment",
        "both",
    ):
        table.add_column(head, justify="right")
    for name, row in sorted(rows.items()):
        kind, state = name.split("_")
        parts = (" / ".join(f"{ms:.2f}" for ms in row[part].values())
                 for part in ("session", "handover", "consumer"))  # fmt: skip
        table.add_row(NAMES[kind], state, str(row["n"]), *parts)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
