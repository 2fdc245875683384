"""Measure how the cost of a hop grows: with channels, words, the length of a session, waiting markers.

No LSL: a decoder with every cleaning stage is pushed hops of 10 ms and reads out each. The figure is the
CPU time of its thread a hop, the median of blocks of 20 hops. The decoders of a row take turns, block by
block, so that whatever else runs disturbs them alike. A row's growth is the exponent of a power
law between its two largest sizes: 1 is linear, 0 is flat. Markers wait in two places: until the stream
reaches their time, and from then on until their window is full. `--sessions N` adds N sessions at once
over LSL, beside one alone, in turns; what counts is the median ratio of two turns in a row.

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
from collections.abc import Callable, Sequence, Sized
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
from rt_decoder.timing.markers import MarkerRules
from scripts.bench_live import turn
from scripts.speed.scene import N_HOP, SFREQ, Case, Scene, load_scene, make_scene, stages_of
from scripts.speed.sender import sending

CHANNELS, WORDS = (16, 32, 64, 128, 256), (3_000, 24_000, 300_000, 600_000)
MARKERS = (0, 100, 1_000, 4_000)
BLOCK, N_BLOCKS = 20, 50  # hops; the median of blocks counts
WAIT = (
    60.0  # s by which markers may be ahead, and more: nothing waits longer than a row is measured
)
LINEAR, FLAT, TOGETHER = 1.1, 1.1, 2.0
HERE = Path(__file__).resolve().parents[1]


class Pushed:
    """A decoder that is pushed a recording in a loop, hop by hop, 3 s of it at once."""

    def __init__(self, scene: Scene, stages: dict[str, Stage], wait: float = 2.0) -> None:
        self._data, self._row = scene.data, 0
        options = PipelineOptions(continuous=True, rules=MarkerRules(wait=wait))
        self.decoder = Decoder(scene.model, scene.info, options)
        pipeline = self.decoder.pipeline
        pipeline.stages = stages
        pipeline.stopwatch.histograms |= {name: Histogram() for name in stages}
        for stage in stages.values():
            stage.reset()
        self.push(3.0)

    @property
    def seconds(self) -> float:
        """What was pushed."""
        return self._row / SFREQ

    def push(self, until: float) -> None:
        """Push hops until so many seconds were pushed."""
        while self.seconds < until:
            first = self._row % (len(self._data) - N_HOP)
            stamps = (self._row + np.arange(N_HOP)) / SFREQ
            self.decoder.push(self._data[first : first + N_HOP].astype(np.float64), stamps)
            self._row += N_HOP

    def block_us(self) -> float:
        """Push a block; CPU time of a hop in us."""
        start = time.thread_time()
        self.push(self.seconds + BLOCK * N_HOP / SFREQ)
        return 1e6 * (time.thread_time() - start) / BLOCK


def us(pushed: Sequence[Pushed]) -> list[float]:
    """CPU time of a hop of each, in us; they take turns."""
    took = [[one.block_us() for one in pushed] for _ in range(N_BLOCKS)]
    return [round(float(value), 1) for value in np.median(took, axis=0)]


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
            ahead(folder),
            open_windows(folder),
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
    return row("channels", list(CHANNELS), us(pushed))


def words(folder: Path) -> dict[str, Any]:
    """Few channels and no stages."""
    pushed = [Pushed(scene(folder, CHANNELS[0], n), {}) for n in WORDS]
    return row("words", list(WORDS), us(pushed))


def length(folder: Path, minutes: float) -> dict[str, Any]:
    """Sessions that have just begun, and that have gone on for long."""
    pushed = [Pushed(scene(folder, 64, WORDS[0]), stages_of(64)) for _ in range(3)]
    seconds = [one.seconds for one in pushed]
    for i in (1, 2):
        seconds[i] = 30.0 * i * minutes
        pushed[i].push(seconds[i])
    return row("length, s", seconds, us(pushed))


def ahead(folder: Path) -> dict[str, Any]:
    """Markers of times that the stream has not reached."""
    return waiting(
        folder, "markers ahead of the stream", lambda one: one.align.waiting, Decoder.mark
    )


def open_windows(folder: Path) -> dict[str, Any]:
    """Markers whose sample is known and whose window is not full."""

    def mark(decoder: Decoder, marker: Marker) -> None:
        decoder.pipeline.mark(marker._replace(index=round(marker.time * SFREQ)))

    return waiting(
        folder, "markers of open windows", lambda one: range(one.pipeline.n_pending), mark
    )


def waiting(
    folder: Path,
    what: str,
    held: Callable[[Decoder], Sized],
    mark: Callable[[Decoder, Marker], None],
) -> dict[str, Any]:
    """Markers that wait for as long as they are measured."""
    pushed = []
    for n in MARKERS:
        one = Pushed(scene(folder, 64, WORDS[0]), stages_of(64), 2 * WAIT)
        for i in range(n):
            mark(one.decoder, Marker("word", one.seconds + WAIT * (1 + i / n)))
        pushed.append(one)
    took = us(pushed)
    if (left := [len(held(one.decoder)) for one in pushed]) != list(MARKERS):
        raise AssertionError(f"{what}: need {MARKERS} that still wait, got {left}")
    return row(what, list(MARKERS), took)


def sessions(folder: Path, n: int, rounds: int) -> dict[str, Any]:
    """p99 of one session, and of several at once, in turns, over LSL."""
    scene(folder, 64, WORDS[0])
    case = Case(64, 10, "continuous", str(folder / f"64-{WORDS[0]}.npy"))
    source_id = f"bench-growth-{uuid.uuid4().hex[:12]}"
    ms: dict[int, list[np.ndarray]] = {1: [], n: []}  # of each round
    made = asked = 0
    with sending(case, source_id), ThreadPoolExecutor(n) as pool:
        for _ in range(rounds):
            for k in (1, n):
                ran = list(pool.map(lambda _: turn(case, "ours", source_id, 15.0), range(k)))
                ms[k].append(np.concatenate([one["ms"] for one in ran]))
                made += sum(one["made"] for one in ran)
                asked += sum(one["asked"] for one in ran)
    found = {k: {f"p{q}": round(float(np.percentile(np.concatenate(values), q)), 3) for q in (50, 99)}
             for k, values in ms.items()}  # fmt: skip
    p99 = {k: np.array([np.percentile(one, 99) for one in values]) for k, values in ms.items()}
    times = [round(float(one), 2) for one in p99[n] / p99[1]]
    return {
        "n": n,
        "one": found[1],
        "together": found[n],
        "times": times,
        "made": made,
        "asked": asked,
    }


def missed_goals(told: dict[str, Any]) -> list[str]:
    missed = []
    for one in told["rows"]:
        if one["what"] in ("channels", "words"):
            if one["exponent"] > LINEAR:
                missed.append(f"{one['what']}: grows as its power of {one['exponent']}")
        elif (times := max(one["us"]) / one["us"][0]) > FLAT:
            missed.append(f"{one['what']}: {times:.2f} times the smallest")
    if found := told.get("sessions"):
        times = float(np.median(found["times"]))
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
