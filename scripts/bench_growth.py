"""Measure how the cost of a hop grows: with channels, words, the length of a session, waiting markers.

No LSL: a decoder with every cleaning stage is pushed hops of 10 ms and reads out each. The figure is the
CPU time of its thread a hop, the median of blocks of 100 hops. A row's growth is the exponent of a power
law between its two largest sizes: 1 is linear, 0 is flat. `--sessions N` adds N sessions at once over
LSL, beside one alone, in turns.

Goals: at most linear (exponent 1.1) in channels and words; flat in length and waiting markers (1.1 times
the smallest); four sessions on two cores keep p99 within 2 times that of one. A vocabulary that leaves a
level of cache pays once for it, so the two largest are both beyond all of them
(38 and 77 MB of whole numbers of 16 bits).

    python scripts/bench_growth.py [--minutes M] [--sessions 4] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

from rt_decoder.cleaning.stages import Stage
from rt_decoder.decoder import Decoder
from rt_decoder.latency import Histogram
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Marker
from scripts.bench_live import turn
from scripts.speed.scene import N_HOP, SFREQ, Case, Scene, load_scene, make_scene, stages_of
from scripts.speed.sender import sending

CHANNELS, WORDS = (16, 32, 64, 128, 256), (3_000, 24_000, 300_000, 600_000)
MARKERS = (0, 100, 1_000, 4_000)
BLOCK, N_BLOCKS = 100, 15  # hops; the median of blocks counts
LINEAR, FLAT, TOGETHER = 1.1, 1.1, 2.0
HERE = Path(__file__).resolve().parents[1]


class Pushed:
    """A decoder that is pushed a recording in a loop, hop by hop."""

    def __init__(self, scene: Scene, stages: dict[str, Stage]) -> None:
        self._data = scene.data.astype(np.float64)
        self.decoder = Decoder(scene.model, scene.info, PipelineOptions(continuous=True))
        pipeline = self.decoder.pipeline
        pipeline.stages = stages
        pipeline.stopwatch.histograms |= {name: Histogram() for name in stages}
        for stage in stages.values():
            stage.reset()
        self._row = 0

    @property
    def seconds(self) -> float:
        """What was pushed."""
        return self._row / SFREQ

    def push(self) -> None:
        """Push a hop."""
        first = self._row % (len(self._data) - N_HOP)
        stamps = (self._row + np.arange(N_HOP)) / SFREQ
        self.decoder.push(self._data[first : first + N_HOP], stamps)
        self._row += N_HOP

    def us(self) -> float:
        """CPU time of a hop in us."""
        took = []
        for _ in range(N_BLOCKS):
            start = time.thread_time()
            for _ in range(BLOCK):
                self.push()
            took.append(1e6 * (time.thread_time() - start) / BLOCK)
        return round(float(np.median(took)), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of the long session")
    parser.add_argument("--sessions", type=int, default=0, help="at once over LSL; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="of sessions at once")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.minutes <= 0 or args.sessions < 0 or args.rounds < 1:
        parser.error("need minutes and rounds above 0, and 0 sessions or more")
    told: dict[str, Any] = {"rows": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told["rows"] += [
            channels(folder),
            words(folder),
            length(folder, args.minutes),
            markers(folder),
        ]
        if args.sessions:
            told["sessions"] = sessions(folder, args.sessions, args.rounds)
    missed = missed_goals(told)
    report(told)
    print("\n".join(f"missed: {one}" for one in missed) or "all goals reached")
    if args.json:
        print(json.dumps(told | {"missed": missed, "load": round(os.getloadavg()[0], 1)}))
    sys.exit(bool(missed))


def row(what: str, sizes: list[float], us: list[float]) -> dict[str, Any]:
    """A table's row, with its growth."""
    print(f"{what}: done", file=sys.stderr)
    exponent = None
    if sizes[-2] > 0:
        exponent = round(float(np.log(us[-1] / us[-2]) / np.log(sizes[-1] / sizes[-2])), 2)
    return {"what": what, "sizes": sizes, "us": us, "exponent": exponent}


def scene(folder: Path, n_channels: int, n_words: int) -> Scene:
    """Make a scene, which takes seconds."""
    path = folder / f"{n_channels}-{n_words}.npy"
    if not path.is_file():
        make_scene(path, n_channels, n_words)
    return load_scene(str(path))


def channels(folder: Path) -> dict[str, Any]:
    """Every stage, a small vocabulary."""
    pushed = [Pushed(scene(folder, n, WORDS[0]), stages_of(n)) for n in CHANNELS]
    return row("channels", list(CHANNELS), [warm(one) for one in pushed])


def words(folder: Path) -> dict[str, Any]:
    """Few channels and no stages."""
    pushed = [Pushed(scene(folder, CHANNELS[0], n), {}) for n in WORDS]
    return row("words", list(WORDS), [warm(one) for one in pushed])


def length(folder: Path, minutes: float) -> dict[str, Any]:
    """One session that goes on."""
    one = Pushed(scene(folder, 64, WORDS[0]), stages_of(64))
    us = [warm(one)]
    seconds = [one.seconds]
    for part in (0.5, 1.0):
        while one.seconds < 60 * minutes * part:
            one.push()
        us.append(one.us())
        seconds.append(one.seconds)
    return row("length, s", seconds, us)


def markers(folder: Path) -> dict[str, Any]:
    """Markers of times that the stream has not reached."""
    us = []
    for n in MARKERS:
        one = Pushed(scene(folder, 64, WORDS[0]), stages_of(64))
        warm(one)
        for i in range(n):
            one.decoder.mark(Marker("word", one.seconds + 60.0 + 0.01 * i))
        us.append(one.us())
    return row("waiting markers", list(MARKERS), us)


def warm(one: Pushed) -> float:
    """Push until a window is full and kernels are loaded, then measure."""
    while one.seconds < 3.0:
        one.push()
    return one.us()


def sessions(folder: Path, n: int, rounds: int) -> dict[str, Any]:
    """p99 of one session, and of several at once, in turns, over LSL."""
    scene(folder, 64, WORDS[0])
    case = Case(64, 10, "continuous", str(folder / f"64-{WORDS[0]}.npy"))
    source_id = f"bench-growth-{uuid.uuid4().hex[:12]}"
    ms: dict[int, list[float]] = {1: [], n: []}
    made = asked = 0
    with sending(case, source_id), ThreadPoolExecutor(n) as pool:
        for _ in range(rounds):
            for k in (1, n):
                ran = list(pool.map(lambda _: turn(case, "ours", source_id, 15.0), range(k)))
                ms[k] += [value for one in ran for value in one["ms"]]
                made += sum(one["made"] for one in ran)
                asked += sum(one["asked"] for one in ran)
    found = {k: {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 99)}
             for k, values in ms.items()}  # fmt: skip
    return {"n": n, "one": found[1], "together": found[n], "made": made, "asked": asked}


def missed_goals(told: dict[str, Any]) -> list[str]:
    missed = []
    for one in told["rows"]:
        if one["what"] in ("channels", "words"):
            if one["exponent"] > LINEAR:
                missed.append(f"{one['what']}: grows as its power of {one['exponent']}")
        elif (times := max(one["us"]) / one["us"][0]) > FLAT:
            missed.append(f"{one['what']}: {times:.2f} times the smallest")
    if found := told.get("sessions"):
        times = found["together"]["p99"] / found["one"]["p99"]
        if times > TOGETHER:
            missed.append(f"{found['n']} sessions: p99 {times:.2f} times that of one")
        if found["made"] < found["asked"]:
            missed.append(f"readouts: {found['made']} of {found['asked']}")
    return missed


def report(told: dict[str, Any]) -> None:
    table = Table(title="CPU of a hop, us")
    for head in ("what", "sizes", "us", "exponent"):
        table.add_column(head)
    for one in told["rows"]:
        sizes = " / ".join(f"{size:g}" for size in one["sizes"])
        table.add_row(one["what"], sizes, " / ".join(map(str, one["us"])), str(one["exponent"]))
    Console(width=110).print(table)
    if found := told.get("sessions"):
        print(f"sessions at once: {found}")


if __name__ == "__main__":
    main()
