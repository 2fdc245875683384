"""The laws that every stage keeps, one `check_*` function each.

A new stage joins by one line in `STAGES`; `test_contract.py` runs every stage through every law.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import Decimator, FilterBank, Rereference, SosFilter
from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.cleaning.mains import MainsCanceller
from rt_decoder.cleaning.muscle import MuscleGate
from rt_decoder.cleaning.projector import Projector
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo
from rt_decoder.timing.framing import Framer

# Seven channels: no multiple of a vector register, so the remainder loops run too.
INFO = SignalInfo(
    200.0,
    ("Fz", "C3", "Cz", "C4", "Pz", "EOG", "ECG"),
    ("eeg",) * 5 + ("eog", "ecg"),
    ("V",) * 7,
)


class FramedStage:
    """A `Framer` with the face of a stage: what it returns are whole hops."""

    delay = 0.0

    def __init__(self, info: SignalInfo, n_hop: int = 6) -> None:
        self.info = info
        self._framer = Framer(info, n_hop)
        self.reset = self._framer.reset

    def process(self, chunk: Chunk) -> Chunk:
        self._framer.push(chunk)
        hops = [copy(hop) for hop in self._framer.hops()]
        return join(hops, chunk) if hops else part(chunk, 0, 0)


def regression(info: SignalInfo) -> Regressors:
    """One whose weights start wrong, forget within a second, and hear the ECG in what it hears."""
    names = [name for name in info.ch_names if name == "ECG"]
    taps = np.array([(r, lag) for r in range(len(names)) for lag in (0, 2)]).reshape(-1, 2)
    n_data, k = sum(kind == "eeg" for kind in info.ch_types), len(taps)
    inverse = np.array([[4.0, 3.9], [3.9, 4.0]])[:k, :k]
    sizes = np.full((3, len(names)), 1e-3) * [[0.6], [2.0], [1e9]]
    weights, spread = np.full((k, n_data), 1e-6), np.full(n_data, 1e-5)
    return Regressors(
        info, names, taps, weights, inverse, *sizes[:2], spread, sizes[2], time_constant=1.0
    )


def repair(info: SignalInfo) -> ChannelRepair:
    """One in which each channel is the mean of the next two, and some always look odd."""
    n = sum(kind == "eeg" for kind in info.ch_types)
    neighbors = np.full((info.n_channels, 2), -1)
    neighbors[:n] = (np.arange(n)[:, None] + [1, 2]) % n
    weights = np.full((3, info.n_channels, 2), 0.5) * [[[1.0]], [[2.0]], [[1.0]]]
    limits = np.array([[1e-4], [0.25], [0.04], [1e-8], [0.1]]) * np.ones(info.n_channels)
    return ChannelRepair(info, neighbors, weights, limits, np.arange(info.n_channels) == 2)


def projector(info: SignalInfo) -> Projector:
    """One that takes out two patterns."""
    n = sum(kind == "eeg" for kind in info.ch_types)
    patterns = np.linalg.qr(np.random.default_rng(0).standard_normal((n, 2)))[0]
    return Projector(info, np.eye(n) - patterns @ patterns.T)


def eye(info: SignalInfo) -> EyeCorrection:
    """One whose two sources are so small that noise opens its gates now and then."""
    n = sum(kind == "eeg" for kind in info.ch_types)
    patterns = np.linalg.qr(np.random.default_rng(0).standard_normal((n, 3)))[0]
    mixing, drift = patterns[:, :2], patterns[:, 2]
    drifts = np.stack([1e-5 * drift, 1e5 * drift])
    return EyeCorrection(info, mixing, mixing, np.full(2, 1e-5), drift=drifts, drift_power=0.1)


def heartbeat(info: SignalInfo) -> HeartbeatTemplate:
    """One that takes noise for broad beats every second, and remembers but two of them."""
    n = sum(kind == "eeg" for kind in info.ch_types)
    maps = np.linalg.qr(np.random.default_rng(0).standard_normal((n, 2)))[0].T
    courses = np.random.default_rng(1).standard_normal((round(0.8 * info.sfreq), 2))
    source = np.eye(info.n_channels)[-1]
    levels = np.array([1e-3, 1e-5, info.sfreq, 1.0, 1e-7, 1e-7, 1e-5, 3e-5, 0.5, 0.02])
    return HeartbeatTemplate(info, source, 1e-6 * maps, 1e5 * maps, courses, levels, n_beats=2.0)


def muscle(info: SignalInfo) -> MuscleGate:
    """One that the noise of these laws makes change its mind now and then."""
    scale, far = np.full(info.n_channels, 1e-5), np.full(info.n_channels, 1.6e-5)
    return MuscleGate(info, scale, far, on=0.62, off=0.58, line_freq=50.0)


def mains(info: SignalInfo) -> MainsCanceller:
    """One that forgets within half a second."""
    return MainsCanceller(info, 50.0, harmonics=2, time_constant=0.5)


class Case(NamedTuple):
    """How to make a stage, and what is special about it."""

    make: Callable[[SignalInfo], Any]
    burst_hz: float = 10.0  # inside the pass-band, where `delay` is checked
    n_burst: int = INFO.n_channels  # columns of the output that hold the burst
    power: bool = False  # the output is a power already
    steady: bool = True  # allocates no array once warm
    left: float = 1e-9  # share of the output, 30 s after a burst


STAGES: dict[str, Case] = {
    "framer": Case(FramedStage, steady=False),
    "guard": Case(Guard),
    "muscle": Case(muscle),
    "mains": Case(mains),
    "low-pass": Case(lambda info: SosFilter(info, design_sos(info.sfreq, h_freq=30.0))),
    "band-pass": Case(
        lambda info: SosFilter(info, design_sos(info.sfreq, 1.0, 40.0, 4, notch=(50.0,))),
        burst_hz=6.3,  # a wide band delays each frequency differently: this is its centre
    ),
    "no-filter": Case(lambda info: SosFilter(info, design_sos(info.sfreq))),
    "repair": Case(repair),
    "projector": Case(projector),
    "rereference": Case(lambda info: Rereference(info, "average")),
    "no-rereference": Case(lambda info: Rereference(info, None)),
    "eye": Case(eye),
    "heartbeat": Case(heartbeat, left=1e-5),  # weighs what it learns by noise of the last 100 s
    "decimator": Case(lambda info: Decimator(info, 4)),
    "regressors": Case(regression),
    "bank": Case(lambda info: FilterBank(info, ((8.0, 12.0), (20.0, 40.0)), 2), power=True),
}


def make_chunk(n: int, seed: int = 0, index: int = 37, info: SignalInfo = INFO) -> Chunk:
    """Noise on offsets of its own a channel, and a few flags."""
    rng = np.random.default_rng(seed)
    c = info.n_channels
    flags = np.where(rng.random(n) < 0.05, Reason.RAIL, 0).astype(FLAGS)
    channel_flags = np.where(rng.random((n, c)) < 0.05, Reason.JUMP, 0).astype(FLAGS)
    data = 1e-5 * rng.standard_normal((n, c)) + 1e-4 * np.arange(c)
    return Chunk(data, (index + np.arange(n)) / info.sfreq, index, flags, channel_flags)


def part(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Samples `start` to `stop` of a chunk."""
    return Chunk(
        chunk.data[start:stop],
        chunk.times[start:stop],
        chunk.index + start,
        chunk.flags[start:stop],
        chunk.channel_flags[start:stop],
    )


def copy(chunk: Chunk) -> Chunk:
    """Copy a chunk whose arrays a stage will use again."""
    return Chunk(
        chunk.data.copy(),
        chunk.times.copy(),
        chunk.index,
        chunk.flags.copy(),
        chunk.channel_flags.copy(),
    )


def join(chunks: Sequence[Chunk], empty: Chunk) -> Chunk:
    """Join consecutive chunks; `empty` gives the form where all are empty."""
    full = [chunk for chunk in chunks if len(chunk.data)] or [part(empty, 0, 0)]
    for before, after in pairwise(full):
        assert after.index == before.index + len(before.data), "the index jumps between chunks"
    data, times, flags, channel_flags = (
        np.concatenate([getattr(chunk, name) for chunk in full])
        for name in ("data", "times", "flags", "channel_flags")
    )
    return Chunk(data, times, full[0].index, flags, channel_flags)


def cut(chunk: Chunk, cuts: Sequence[int]) -> Iterator[Chunk]:
    """Cut a chunk at sorted positions; equal ones give empty chunks."""
    edges = [0, *cuts, len(chunk.data)]
    for start, stop in pairwise(edges):
        yield part(chunk, start, stop)


def run(stage: Any, chunk: Chunk, cuts: Sequence[int] = ()) -> Chunk:
    """Push a chunk through a stage in pieces and join what comes out."""
    out = [copy(stage.process(piece)) for piece in cut(chunk, cuts)]
    return join(out, out[0])


def assert_same(a: Chunk, b: Chunk) -> None:
    """Bit-identical, and the same numbers of the samples."""
    assert a.index == b.index
    for name in ("data", "times", "flags", "channel_flags"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype, name
        assert x.shape == y.shape, name
        assert x.tobytes() == y.tobytes(), f"{name} differs"


def check_form(case: Case) -> None:
    """What comes out has the shapes and types that `Chunk` and `info` promise."""
    stage = case.make(INFO)
    out = stage.process(make_chunk(100))
    n, c = out.data.shape
    assert c == stage.info.n_channels
    assert (out.data.dtype, out.times.dtype) == (np.float64, np.float64)
    assert (out.flags.dtype, out.channel_flags.dtype) == (FLAGS, FLAGS)
    assert (out.times.shape, out.flags.shape, out.channel_flags.shape) == ((n,), (n,), (n, c))
    assert np.isclose(stage.info.sfreq, INFO.sfreq * n / 100, rtol=0.15)
    assert np.allclose(out.times, (out.index + np.arange(n)) / stage.info.sfreq)


def check_flags_pass(case: Case) -> None:
    """No stage drops a flag, be it the last of 32 bits."""
    bits = FLAGS(1 << 31 | int(Reason.MUSCLE) | int(Reason.EYE))
    chunk = make_chunk(120)
    chunk.flags[:] = chunk.channel_flags[:] = bits
    out = case.make(INFO).process(chunk)
    assert (out.flags & bits == bits).all()
    assert (out.channel_flags & bits == bits).all()


def check_cut_invariant(case: Case, chunk: Chunk, cuts: Sequence[int]) -> None:
    """How the stream is cut changes no bit of the output."""
    assert_same(run(case.make(INFO), chunk, cuts), run(case.make(INFO), chunk))


def check_causal(case: Case, chunk: Chunk, at: int) -> None:
    """Changing samples from `at` on changes no output up to the sample before."""
    other = copy(chunk)
    other.data[at:] += 1.0
    other.flags[at:] |= int(Reason.FLAT)
    other.channel_flags[at:] |= int(Reason.FLAT)
    outs = run(case.make(INFO), chunk), run(case.make(INFO), other)
    n_past = int(np.sum(outs[0].times < chunk.times[at])) if at < len(chunk.times) else None
    assert_same(part(outs[0], 0, n_past), part(outs[1], 0, n_past))


def check_reset(case: Case) -> None:
    """After `reset` a stage is as new."""
    stage = case.make(INFO)
    before = make_chunk(203, seed=1, index=0)
    before.flags[:] = before.channel_flags[:] = Reason.MUSCLE
    run(stage, before)
    stage.reset()
    chunk = make_chunk(150, seed=2)
    assert_same(run(stage, chunk), run(case.make(INFO), chunk))


def check_input_untouched(case: Case) -> None:
    """The input is read only: a stage that writes into it raises here."""
    chunk = make_chunk(100)
    for array in (chunk.data, chunk.times, chunk.flags, chunk.channel_flags):
        array.flags.writeable = False
    before = copy(chunk)
    case.make(INFO).process(chunk)
    assert_same(chunk, before)


def check_empty_chunk(case: Case) -> None:
    """An empty chunk gives an empty chunk and changes nothing, before the first sample too."""
    chunk = make_chunk(120)
    stage = case.make(INFO)
    for empty in (part(chunk, 0, 0), chunk):
        out = stage.process(part(empty, 0, 0))
        assert out.data.shape == (0, stage.info.n_channels)
        assert len(out.times) == len(out.flags) == len(out.channel_flags) == 0
    assert_same(run(stage, chunk), run(case.make(INFO), chunk))


def check_nan_does_not_persist(case: Case) -> None:
    """Behind the guard nothing is ever NaN, and a burst of it is forgotten."""
    clean = make_chunk(8000, index=0)
    dirty = copy(clean)
    dirty.data[500:508, 1] = np.nan  # up to 50 ms: a longer hold leaves an offset behind
    dirty.data[504:512, 2] = np.inf
    outs = []
    for chunk in (clean, dirty):
        guard, stage = Guard(INFO), case.make(INFO)
        outs.append(copy(stage.process(guard.process(chunk))))
    assert np.isfinite(outs[1].data).all()
    late = outs[0].times > 30.0  # ten time constants of the slowest filter here
    scale = np.abs(outs[0].data).max()
    assert np.allclose(outs[0].data[late], outs[1].data[late], rtol=0, atol=case.left * scale)
    burst = (outs[0].times >= 500 / INFO.sfreq) & (outs[0].times < 512 / INFO.sfreq)
    assert (outs[1].channel_flags[burst] & Reason.NONFINITE).any()


def check_delay(case: Case) -> None:
    """`delay` is how late the energy of a band-limited burst comes out."""
    n, center = 2400, 6.0
    times = np.arange(n) / INFO.sfreq
    envelope = np.exp(-0.5 * ((times - center) / 0.5) ** 2)
    burst = envelope * np.sin(2 * np.pi * case.burst_hz * times)
    gains = np.linspace(0.5, 2.0, INFO.n_channels)
    chunk = make_chunk(n, index=0)._replace(data=burst[:, None] * gains, times=times)
    stage = case.make(INFO)
    out = stage.process(chunk)
    energy = out.data[:, : case.n_burst] if case.power else out.data[:, : case.n_burst] ** 2
    measured = (out.times @ energy).sum() / energy.sum() - center
    tolerance = max(1.0 / stage.info.sfreq, 0.1 * stage.delay)
    assert abs(measured - stage.delay) < tolerance, f"{measured} s, declared {stage.delay} s"


def allocated(function: Callable[[], object], n_calls: int) -> tuple[int, int]:
    """Bytes that stay allocated after `n_calls`, and the most that were at any time.

    The least of three times: other threads and the interpreter allocate now and then, what is looked
    for does so every time.
    """
    for _ in range(3000):  # CPython keeps up to 2000 freed tuples: fill that list first
        function()
    stays, peaks = [], []
    for _ in range(3):
        tracemalloc.start()
        try:
            function()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(n_calls):
                function()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        stays.append(after - before)
        peaks.append(peak - before)
    return min(stays), min(peaks)


def check_no_allocation(case: Case) -> None:
    """Once warm, a hop costs no array: no memory stays, and none as large as a hop is borrowed."""
    info = SignalInfo(
        1000.0, tuple(f"E{i}" for i in range(64)), ("eeg",) * 64, ("V",) * 64
    )  # a hop of 32 samples holds 16 KiB
    stage, hop = case.make(info), make_chunk(32, index=0, info=info)
    position = [0]

    def step() -> None:
        position[0] += 32
        stage.process(hop._replace(index=position[0]))

    stays, peak = allocated(step, 1000)
    assert stays < 512, f"{stays} bytes stay after 1000 hops"  # interpreter noise, not arrays
    assert peak < 2048, f"{peak} bytes were borrowed in a hop"
