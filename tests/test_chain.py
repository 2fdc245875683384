"""Stages in one compiled call compute what they compute one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numba import njit

from rt_decoder.cleaning import chain as module
from rt_decoder.cleaning.chain import Chain, chains_of
from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.cleaning.stage import Calls, Given, KernelStage, Stage
from rt_decoder.cleaning.stages import make_stages
from rt_decoder.kernels.native import is_possible, words_of
from rt_decoder.kernels.options import KERNEL
from rt_decoder.latency import Stopwatch
from rt_decoder.pipeline import Pipeline
from rt_decoder.signal import FLAGS, Chunk
from tests.cleaned import fitted, scene

N_HOP, GAP = 5, 1500  # samples
compiled = pytest.mark.skipif(not is_possible(), reason="this system runs stages one by one")


@pytest.fixture(scope="module")
def recording() -> Chunk:
    """Every artifact, a lost, a dead and a popping channel."""
    model, _ = fitted()
    played = scene(session=2, seconds=12.0, cued=False)
    order = [played.info.ch_names.index(name) for name in model.info.ch_names]
    data = np.ascontiguousarray(played.data[:, order])
    data[700:720, 1] = np.nan
    data[1000:1400, 2] = data[1000, 2]
    data[1800:2300, 3] += 5e-4 * np.random.default_rng(0).standard_normal(500)
    n, c = data.shape
    flags = np.zeros(n, FLAGS), np.zeros((n, c), FLAGS)
    return Chunk(data, np.arange(n) / model.info.sfreq, 0, *flags)


def cut(recording: Chunk, n_hop: int, seed: int) -> list[Chunk]:
    """Hops, some of them cut in two, in memory that moves as a framer's does."""
    n = len(recording.data)
    some = np.random.default_rng(seed).integers(1, n, 80)
    bounds = np.unique(np.concatenate([np.arange(0, n, n_hop), some, [n]])).tolist()
    data, times, _, flags, channel_flags = recording
    return [
        Chunk(data[a:b], times[a:b], a, flags[a:b], channel_flags[a:b]) for a, b in pairwise(bounds)
    ]


def all_stages() -> dict[str, Stage]:
    model, _ = fitted()
    return make_stages(model, model.info, 1, ())


def copied(chunk: Chunk) -> Chunk:
    return Chunk(*(one.copy() if isinstance(one, np.ndarray) else one for one in chunk))


def same(one: Chunk, other: Chunk) -> bool:
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("n_hop", [1, 2, N_HOP])
@pytest.mark.parametrize("left_out", [(), ("repair",), ("filter", "heartbeat")])
def test_a_chain_computes_the_bits_of_its_stages(recording, n_hop, left_out):
    alone, joined = (
        {name: stage for name, stage in all_stages().items() if name not in left_out}
        for _ in range(2)
    )
    stopwatch = Stopwatch(list(joined))
    chains = chains_of(joined, stopwatch, behind="filter")
    assert len(chains) == 1
    changed = 0
    for hop in cut(recording, n_hop, seed=n_hop):
        if hop.index <= GAP < hop.index + len(hop.data):
            for stage in (*alone.values(), *joined.values()):
                stage.reset()
        before, seen, out = copied(hop), None, hop
        for name, stage in alone.items():
            out = stage.process(out)
            seen = copied(out) if name == "filter" else seen
        stopwatch.start()
        found = chains[0].process(hop)
        stopwatch.count()
        assert same(found, out), hop.index
        assert same(hop, before)  # what came in is not written to
        assert (chains[0].seen is None) == (seen is None)
        if seen is not None:
            assert same(chains[0].seen, seen)
        assert np.array_equal(alone["guard"].flagged, joined["guard"].flagged)
        changed += bool(joined["guard"].flagged.any())
    assert changed > 1
    for name in ("repair", "heartbeat"):
        if name in alone:
            told = "take_events" if name == "repair" else "agreement"
            of_each = [getattr(stages[name], told) for stages in (alone, joined)]
            if name == "repair":
                of_each = [take() for take in of_each]
            assert np.array_equal(*of_each)


@compiled
def test_kernels_are_called_without_python(recording, monkeypatch):
    """Once the filter is primed, no stage is called by itself."""
    stages = all_stages()
    (chain,) = chains_of(stages, Stopwatch(list(stages)))
    first, *hops = cut(recording, N_HOP, seed=0)
    chain.process(first)
    for stage in stages.values():
        monkeypatch.setattr(stage, "process", None)
    for hop in hops:
        chain.process(hop)


def test_without_the_clock_stages_run_one_by_one(recording, monkeypatch):
    monkeypatch.setattr(module, "is_possible", lambda: False)
    monkeypatch.setattr(module, "compile_row", None)
    alone, joined = all_stages(), all_stages()
    stopwatch = Stopwatch(list(joined))
    (chain,) = chains_of(joined, stopwatch)
    for hop in cut(recording, N_HOP, seed=0)[:200]:
        out = hop
        for stage in alone.values():
            out = stage.process(out)
        stopwatch.start()
        assert same(chain.process(hop), out)
    assert all(row["max"] > 0 for row in stopwatch.summary_us().values())


def test_samples_in_another_layout_are_taken_too(recording):
    alone, joined = all_stages(), all_stages()
    (chain,) = chains_of(joined, Stopwatch(list(joined)))
    for hop in cut(recording, N_HOP, seed=0)[:100]:
        other = hop._replace(data=np.asfortranarray(hop.data))
        out = other
        for stage in alone.values():
            out = stage.process(out)
        assert same(chain.process(other), out)


class Plain:
    """A stage that is no kernel."""

    info, delay, settling = None, 0.0, 0.0

    def process(self, chunk: Chunk) -> Chunk:
        return chunk

    def reset(self) -> None:
        """Nothing to do."""


def test_a_stage_that_is_no_kernel_stands_alone():
    stages = all_stages()
    names = list(stages)
    mixed = {**{name: stages[name] for name in names[:3]}, "plain": Plain(), "eye": stages["eye"]}
    parts = chains_of(mixed, Stopwatch(list(mixed)))
    assert [chain.names for chain in parts] == [tuple(names[:3]), ("plain",), ("eye",)]


@compiled
def test_laps_tell_the_time_of_each_stage_and_add_up(recording):
    model, _ = fitted()
    stages = all_stages()
    stopwatch = Stopwatch(list(stages))
    (chain,) = chains_of(stages, stopwatch)
    for hop in cut(recording, N_HOP, seed=0):
        stopwatch.start()
        chain.process(hop)
    laps = stopwatch.summary_us()
    assert tuple(laps) == tuple(Pipeline(model).stages) == chain.names
    assert all(0 < row["p50"] < 1e6 for row in laps.values())


def test_laps_timed_elsewhere_give_the_rest_to_the_first(monkeypatch):
    now = iter([1000, 1900, 2500])
    monkeypatch.setattr("rt_decoder.latency.perf_counter_ns", lambda: next(now))
    stopwatch = Stopwatch(["a", "b", "c"])
    stopwatch.start()
    stopwatch.laps(("a", "b"), (50, 250, 550))  # 200 and 300 of 900
    stopwatch.lap("c")
    stopwatch.count()
    assert {name: one.max_ns for name, one in stopwatch.histograms.items()} == {
        "a": 600,
        "b": 300,
        "c": 600,
    }


def test_many_hops_without_a_count_are_all_counted():
    stopwatch = Stopwatch(["a"])
    for _ in range(1000):
        stopwatch.laps(("a",), (0, 10))
    stopwatch.count()
    assert stopwatch.histograms["a"].n == 1000


@njit(**KERNEL)
def scaled(x: np.ndarray, gains: tuple[np.ndarray, float], index: int, out: np.ndarray) -> bool:
    """Scale samples, unless the index is even."""
    for t in range(len(x)):
        for k in range(x.shape[1]):
            out[t, k] = x[t, k] * gains[0][k] * gains[1] + index
    return index % 2 == 1


class Scaled(KernelStage):
    """Whole numbers, floats and tuples as arguments, and an answer."""

    def __init__(self) -> None:
        self._gains, self._data = (np.array([1.0, 2.0]), 3.0), np.zeros((2, 2))

    def calls(self, n: int) -> Calls:
        arguments = Given.DATA, self._gains, Given.INDEX, self._data[:n]
        return Calls(((scaled, arguments),), self._data[:n], perhaps=True)

    def reset(self) -> None:
        """Nothing to do."""


@compiled
@pytest.mark.parametrize("index", [4, 5])
def test_every_kind_of_argument_reaches_a_kernel(index):
    x = np.array([[1.0, 1.0], [2.0, 2.0]])
    hop = Chunk(x, np.zeros(2), index, np.zeros(2, FLAGS), np.zeros((2, 2), FLAGS))
    stopwatch = Stopwatch(["one", "two"])
    found = Chain({"one": Scaled(), "two": Scaled()}, stopwatch).process(hop)
    once = x * [3.0, 6.0] + index
    expected = once * [3.0, 6.0] + index if index % 2 else x
    assert np.array_equal(found.data, expected)


def test_an_argument_that_is_none_of_these_is_refused():
    with pytest.raises(TypeError, match="need arrays, tuples, floats or whole numbers"):
        words_of("text")


def test_a_warm_pipeline_has_run_hops_of_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the first event that cuts a hop at some place would be answered late."""
    model, _ = fitted()
    lengths, usual = set(), EyeCorrection.calls

    def noting(stage: EyeCorrection, n: int) -> Calls:
        lengths.add(n)
        return usual(stage, n)

    monkeypatch.setattr(EyeCorrection, "calls", noting)
    stream = replace(model.recipe.stream, hop_ms=32.0)
    Pipeline(replace(model, recipe=replace(model.recipe, stream=stream))).warm_up()
    assert lengths == set(range(1, 9))


@compiled
def test_a_decimated_stream_is_cleaned_in_one_call_too(recording, monkeypatch):
    model, _ = fitted()
    pipeline = Pipeline(model, factor=2)
    data, times, _, flags, channel_flags = recording
    times = np.arange(len(data)) / (2 * model.info.sfreq)
    half = len(data) // 2
    pipeline.push(Chunk(data[:half], times[:half], 0, flags[:half], channel_flags[:half]))

    def alone(stage: EyeCorrection, chunk: Chunk) -> Chunk:
        raise AssertionError("a stage was called alone")

    monkeypatch.setattr(EyeCorrection, "process", alone)
    rest = slice(half, None)
    pipeline.push(Chunk(data[rest], times[rest], half, flags[rest], channel_flags[rest]))
