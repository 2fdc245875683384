"""Time the cleaning chain against `scipy.signal.sosfilt` alone and meegkit's ASR, in one run.

The chain is guard, muscle gate, filter (band-pass of order 4 and two notches: 6 sections), repair,
rereference, eye (4 sources), regressors (2 references, 3 taps each) and heartbeat (rank 3), fitted
on a simulated recording. SciPy filters the same columns with the same sections, on its faster axis;
ASR cleans the data channels, hop by hop. There are two contents: "quiet", without artifacts but
mains, and "artifacts", with blinks, gaze shifts, heartbeats, breath and chewing. All take turns in
blocks of hops, so that a busy machine slows all alike; ratios are medians over neighbouring blocks.

    python scripts/bench_clean.py [--json] [--quick]

With ``--json`` the output is one JSON object: ``cases: [{channels, n_hop, content, us, sosfilt_us,
asr_us, allocations, ...}]``; `allocations` are the bytes of arrays that 10,000 hops left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import io
import json
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import signal
from threadpoolctl import threadpool_limits

from calibration.cleaning.eye import fit_eye
from calibration.cleaning.eye_events import EyeSpan
from calibration.cleaning.heartbeat_judged import locked_mean
from calibration.cleaning.muscle import fit_muscle
from calibration.cleaning.repair import fit_repair
from rt_decoder.cleaning.chain import chains_of
from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import Rereference, SosFilter
from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.cleaning.muscle import MuscleGate
from rt_decoder.cleaning.qrs import find_beats
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.cleaning.stages import Stage
from rt_decoder.latency import Stopwatch
from rt_decoder.signal import FLAGS, Chunk, SignalInfo
from rt_decoder.simulation.participant import Participant

SFREQ = 1000.0
CUES = (("rest", 1.0, 13.0), ("blink", 13.0, 25.0), ("saccade", 25.0, 37.0))
SOS = design_sos(SFREQ, 0.5, 40.0, 4, notch=(50.0, 100.0))
GOALS, GOAL_ASR = {64: 0.5, 306: 0.6}, 400.0  # our time over sosfilt's; ASR's time over ours
QUIET = {"mains": 1.0}  # artifacts of the quiet content
_WARM = 3000  # hops to warm up with: CPython keeps up to 2000 freed tuples


class Effort(NamedTuple):
    """How much to measure."""

    seconds: float  # length of the recordings to fit on
    rounds: int  # blocks of each competitor
    hops: int  # hops in a block
    left: int  # hops over which arrays left behind are counted


FULL, QUICK = Effort(60.0, 15, 300, 10_000), Effort(45.0, 3, 100, 1000)


def recording(channels: int, seconds: float, seed: int, quiet: bool = False) -> Any:
    """Simulate a person with `channels` electrodes and VEOG, HEOG, ECG, RESP; seed 1 has cues."""
    vectors = np.random.default_rng(0).standard_normal((20, 8))
    person = Participant(
        vectors,
        [f"word{i}" for i in range(20)],
        n_channels=channels,
        sfreq=SFREQ,
        artifacts=QUIET if quiet else 1.0,
        references=True,
    )
    simulation = person.simulate(
        duration=seconds, seed=seed, components=False, cues=CUES if seed == 1 else ()
    )
    if quiet:  # amplifiers always have noise; a flat channel would count as a lost reference
        noise = np.random.default_rng(seed).standard_normal((len(simulation.data), 4))
        simulation.data[:, channels:] += 1e-6 * noise
    return simulation


def fit_chain(channels: int, seconds: float) -> dict[str, Stage]:
    """Fit the stages in flow order, each on the output of the stages before."""
    simulation = recording(channels, seconds, seed=1)
    info, bad = simulation.info, np.zeros(len(simulation.data), bool)
    bad[: int(SFREQ)] = True  # filters settle
    hop = next(hops(simulation.data, len(simulation.data)))
    stages: dict[str, Stage] = {}

    def add(name: str, stage: Stage) -> None:
        nonlocal hop
        stages[name] = stage
        hop = stage.process(hop)
        stage.reset()

    jump = 10.0 * np.abs(np.diff(simulation.data, axis=0)).max(axis=0)
    add("guard", Guard(info, jump, settling=1.0))
    add("muscle", MuscleGate(info, **fit_muscle(hop.data, info, bad, 50.0).arguments))
    add("filter", SosFilter(info, SOS))
    add("repair", ChannelRepair(info, **fit_repair(hop.data, info, bad).arguments))
    add("rereference", Rereference(info, "average"))
    cued = [EyeSpan(int(a * SFREQ), int(b * SFREQ), kind) for kind, a, b in CUES]
    eye = fit_eye(hop.data, info, bad, cued=cued, rank=4)
    add("eye", EyeCorrection(info, **eye.arguments))
    add("regressors", fit_regressors(hop.data, info))
    add("heartbeat", fit_heartbeat(hop.data, info, bad))
    return stages


def fit_regressors(data: np.ndarray, info: SignalInfo) -> Regressors:
    """Fit three taps of ECG and RESP each by least squares, even if they explain little."""
    taps = [("ECG", 0), ("ECG", 16), ("ECG", 32), ("RESP", 0), ("RESP", 250), ("RESP", 500)]
    names, x = ("ECG", "RESP"), data[1000:, : info.ch_types.count("eeg")]
    references = {name: data[:, info.ch_names.index(name)] for name in names}
    scale = {name: np.sqrt(np.mean(column**2)) for name, column in references.items()}
    z = np.stack(
        [references[name][1000 - lag : len(data) - lag] / scale[name] for name, lag in taps], 1
    )
    products = z.T @ z / len(z) + 1e-3 * np.eye(6)
    weights = np.linalg.solve(products, z.T @ x / len(z))
    inverse = np.linalg.inv(products)
    return Regressors(
        info,
        names,
        np.array([(names.index(name), lag) for name, lag in taps]),
        weights,
        (inverse + inverse.T) / 2,
        np.array(list(scale.values())),
        np.array([2.0 * np.abs(column).max() for column in references.values()]),
        np.std(x - z @ weights, axis=0),
        np.full(2, 30.0),
    )


def fit_heartbeat(data: np.ndarray, info: SignalInfo, bad: np.ndarray) -> HeartbeatTemplate:
    """Fit three components of the mean after R peaks, even if little stands out."""
    n_data = info.ch_types.count("eeg")
    source = np.array([name == "ECG" for name in info.ch_names], float)
    beats, levels = find_beats(data, info, source, bad)
    mean = locked_mean(data[:, :n_data], beats.peaks, bad, 800)
    maps = np.linalg.svd(mean - mean.mean(axis=0), full_matrices=False)[2][:3]
    size = np.std(data[:, :n_data] @ maps.T, axis=0)
    return HeartbeatTemplate(
        info, source, maps * size[:, None], maps / size[:, None], mean @ maps.T / size, levels
    )


def hops(data: np.ndarray, n_hop: int, index: int = 0) -> Iterator[Chunk]:
    """Cut a recording (n, c) into unflagged hops."""
    n, c = data.shape
    times = (index + np.arange(n)) / SFREQ
    flags, channel_flags = np.zeros(n, FLAGS), np.zeros((n, c), FLAGS)
    for a, b in pairwise(range(0, n + 1, n_hop)):
        yield Chunk(data[a:b], times[a:b], index + a, flags[a:b], channel_flags[a:b])


def looped(data: np.ndarray) -> np.ndarray:
    """Remove the linear drift of `data` (n, c), so that a loop over it has no step."""
    return data - np.linspace(0.0, 1.0, len(data))[:, None] * (data[-1] - data[0])


class Chain:
    """Plays a recording through the stages in a loop, with rising sample numbers.

    Each hop is written to memory just before it is read, as by the framer; SciPy's hops, too.
    """

    def __init__(self, stages: dict[str, Stage], data: np.ndarray, n_hop: int) -> None:
        self.stages, self._stopwatch = stages, Stopwatch(list(stages))
        self._chains = chains_of(stages, self._stopwatch)
        self._hops, self._next, self._index = list(hops(looped(data), n_hop)), 0, 0
        first = self._hops[0]
        self._rooms = first.data.copy(), first.flags.copy(), first.channel_flags.copy()
        for stage in stages.values():
            stage.reset()

    def take(self) -> Chunk:
        """Return the next hop, with the next sample numbers."""
        hop = self._hops[self._next]
        self._next = (self._next + 1) % len(self._hops)
        data, flags, channel_flags = self._rooms
        data[:], flags[:], channel_flags[:] = hop.data, hop.flags, hop.channel_flags
        hop = Chunk(data, hop.times, self._index, flags, channel_flags)
        self._index += len(hop.data)
        return hop

    def block(self, n_hops: int) -> float:
        """Median time in us of `n_hops` hops."""
        took = []
        for _ in range(n_hops):
            hop = self.take()
            start = time.perf_counter_ns()
            for chain in self._chains:
                hop = chain.process(hop)
            took.append(time.perf_counter_ns() - start)
            self._stopwatch.count()
        return float(np.median(took)) / 1e3

    def laps(self, n_hops: int) -> dict[str, float]:
        """Median time in us of each stage over `n_hops` hops, each called by itself."""
        took: dict[str, list[int]] = {name: [] for name in self.stages}
        for _ in range(n_hops):
            hop = self.take()
            for name, stage in self.stages.items():
                start = time.perf_counter_ns()
                hop = stage.process(hop)
                took[name].append(time.perf_counter_ns() - start)
        return {name: round(float(np.median(laps)) / 1e3, 2) for name, laps in took.items()}

    def left_behind(self, n_hops: int) -> int:
        """Count the bytes of arrays that `n_hops` hops leave allocated."""
        self.block(_WARM)
        arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)  # type: ignore[attr-defined]
        tracemalloc.start()
        try:
            self.block(1)
            before = _bytes(arrays)
            self.block(n_hops)
            return _bytes(arrays) - before
        finally:
            tracemalloc.stop()


def _bytes(of: tracemalloc.BaseFilter) -> int:
    traces = tracemalloc.take_snapshot().filter_traces([of]).traces
    return sum(trace.size for trace in traces)


def sosfilt_blocks(data: np.ndarray, n_hop: int) -> dict[str, Callable[[int], float]]:
    """Set up SciPy on either axis, the samples already in the order that suits it."""

    def runner(pieces: list[np.ndarray], axis: int) -> Callable[[int], float]:
        first = pieces[0][:1] if axis == 0 else pieces[0][:, :1]
        at_rest = signal.sosfilt_zi(SOS)
        zi = first * (at_rest[:, :, None] if axis == 0 else at_rest[:, None, :])
        position, room = 0, np.empty_like(pieces[0])

        def block(n_hops: int) -> float:
            nonlocal zi, position
            took = []
            for _ in range(n_hops):
                room[:] = pieces[position]
                position = (position + 1) % len(pieces)
                start = time.perf_counter_ns()
                _, zi = signal.sosfilt(SOS, room, axis=axis, zi=zi)
                took.append(time.perf_counter_ns() - start)
            return float(np.median(took)) / 1e3

        return block

    pieces = [hop.data for hop in hops(looped(data), n_hop)]
    turned = [np.ascontiguousarray(piece.T) for piece in pieces]
    return {"time first": runner(pieces, 0), "channels first": runner(turned, -1)}


class Asr(NamedTuple):
    """meegkit's ASR on the data channels of a filtered recording."""

    model: Any
    pieces: list[np.ndarray]  # (n_channels, n_hop)

    def block(self, first: int, n_hops: int) -> float:
        """Median time in us of `n_hops` hops."""
        took = []
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in range(first, first + n_hops):
                piece = self.pieces[k % len(self.pieces)]
                start = time.perf_counter_ns()
                self.model.transform(piece)
                took.append(time.perf_counter_ns() - start)
        return float(np.median(took)) / 1e3


def asr_on(model: Any, data: np.ndarray, n_hop: int) -> Asr | None:
    """Warm a copy of a fitted ASR up with the 2 s that it remembers."""
    if model is None:
        return None
    n_channels = len(model.state_["M"])
    filtered = signal.sosfilt(SOS, data[:, :n_channels], axis=0)
    asr = Asr(copy.deepcopy(model), [hop.data.T.copy() for hop in hops(filtered, n_hop)])
    asr.block(0, model.memory // n_hop)
    return asr


def fit_asr(channels: int, seconds: float) -> Any:
    """Fit ASR on clean data with its default settings and cut-off 5; None without meegkit."""
    if not importlib.util.find_spec("meegkit"):
        return None
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from meegkit.asr import ASR

        calibration = recording(channels, seconds, seed=3, quiet=True).data[:, :channels]
        model = ASR(sfreq=SFREQ, cutoff=5, method="euclid")
        model.fit(signal.sosfilt(SOS, calibration, axis=0)[1000:].T)
    return model


def bench(channels: int, effort: Effort, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Run all cases of one number of channels."""
    stages = fit_chain(channels, effort.seconds)
    contents = {
        name: recording(channels, 12.0, seed=2, quiet=name == "quiet").data
        for name in ("quiet", "artifacts")
    }
    asr = fit_asr(channels, effort.seconds)
    rows = []
    for n_hop in (10, 20):
        for content, data in contents.items():
            row = {"channels": channels, "columns": data.shape[1], "n_hop": n_hop}
            row |= {"content": content} | _race(stages, data, n_hop, asr, effort)
            row["allocations"] = Chain(stages, data, n_hop).left_behind(effort.left)
            rows.append(row)
            say(_line(row))
    return rows


def _race(
    stages: dict[str, Stage],
    data: np.ndarray,
    n_hop: int,
    asr: Any,
    effort: Effort,
) -> dict[str, Any]:
    """Let all competitors process blocks of hops in turn, and time them."""
    chain, peers = Chain(stages, data, n_hop), sosfilt_blocks(data, n_hop)
    chain.block(_WARM)
    rival = asr_on(asr, data, n_hop)
    took: dict[str, list[float]] = {name: [] for name in ("chain", *peers, "asr")}
    laps = []
    for k in range(effort.rounds):
        for name, block in peers.items():
            took[name].append(block(effort.hops))
        took["chain"].append(chain.block(effort.hops))
        laps.append(chain.laps(effort.hops))
        if rival is not None:
            took["asr"].append(rival.block(1000 + 7 * k, 3))
    best = min(peers, key=lambda name: np.median(took[name]))
    ours = np.array(took["chain"])
    slower = None if rival is None else float(np.median(took["asr"] / ours))
    return {
        "us": round(float(np.median(ours)), 2),
        "sosfilt_us": round(float(np.median(took[best])), 2),
        "asr_us": None if rival is None else round(float(np.median(took["asr"])), 1),
        "of_sosfilt": round(float(np.median(ours / took[best])), 3),
        "asr_over_ours": None if slower is None else round(slower, 1),
        "sosfilt_axis": best,
        "stages_us": {
            name: round(float(np.median([lap[name] for lap in laps])), 2) for name in stages
        },
    }


def _line(row: dict[str, Any]) -> str:
    stages = "  ".join(f"{name} {us:.1f}" for name, us in row["stages_us"].items())
    times = "-" if row["asr_us"] is None else f"{row['asr_over_ours']:.0f}x"
    return (
        f"{row['channels']:>4} channels, hops of {row['n_hop']}, {row['content']:<9}: "
        f"{row['us']:6.1f} us, sosfilt {row['sosfilt_us']:6.1f} us ({row['of_sosfilt']:.2f}x, "
        f"goal {GOALS.get(row['channels'], 'none')}), ASR {times} (goal {GOAL_ASR:.0f}x), "
        f"{row['allocations']} bytes left\n       {stages}"
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--channels", type=int, nargs="+", default=[8, 64, 306])
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    out = sys.stderr if options.json else sys.stdout
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for channels in options.channels:
            rows += bench(channels, effort, lambda line: print(line, file=out, flush=True))
    report = {
        "bench": "clean",
        "n_sections": len(SOS),
        "sfreq": SFREQ,
        "goals": {"of_sosfilt": GOALS, "asr_over_ours": GOAL_ASR, "allocations": 0},
        "why_no_asr": None
        if importlib.util.find_spec("meegkit")
        else "meegkit is not installed; pip install 'rt-decoder[bench]'",
        "cases": rows,
    }
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
