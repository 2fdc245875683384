"""The whole path against the same steps written down once more with numpy and scipy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import signal

from rt_decoder.cleaning.filter_design import design_anti_alias
from rt_decoder.live.options import LiveOptions
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recipe import Target
from rt_decoder.signal import FLAGS, Chunk, Marker, Readout, Reason
from rt_decoder.timing.markers import MarkerRules
from tests.contract import copy, cut
from tests.small import random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=8.0)
N_CHANNELS = 8
DATA = np.ascontiguousarray(RECORDING.data[:, :N_CHANNELS])
CUTS = [0, 1, 1, 5, 300, 307, 1000, 1999]
RECIPES: dict[str, dict[str, Any]] = {
    "amplitude": {},
    "baseline": {"features": {"tmin": 0.1, "tmax": 0.61, "baseline": [-0.2, 0.0]}},
    "one reference": {"stream": {"picks": ["eeg"], "reference": ["Cz"]}},
    "no reference": {"stream": {"picks": ["eeg"], "reference": "none"}, "filter": {"l_freq": 0.0}},
    "power": {
        "features": {"kind": "bandpower", "tmin": 0.2, "tmax": 0.8, "decim": 50},
        "filter": {"h_freq": 0.0},
    },
}
CONTINUOUS = PipelineOptions(continuous=True, force=True)


def waiting(seconds: float) -> PipelineOptions:
    return PipelineOptions(MarkerRules(wait=seconds))


def chunk_of(data: np.ndarray, sfreq: float) -> Chunk:
    n, c = data.shape
    flags = np.zeros(n, FLAGS)
    return Chunk(data, np.arange(n) / sfreq, 0, flags, np.zeros((n, c), FLAGS))


def decode(pipeline: Pipeline, markers: list[Marker], chunk: Chunk, cuts=CUTS) -> list[Readout]:
    for marker in markers:
        pipeline.mark(marker)
    return [r for piece in cut(copy(chunk), cuts) for r in pipeline.push(piece)]


def primed(sos: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`sosfilt` as if the first sample had been there for ever."""
    zi = signal.sosfilt_zi(sos)[:, :, None] * x[0]
    return signal.sosfilt(np.array(sos), x, axis=0, zi=zi)[0]  # scipy asks for writable ones


def stages(model: Model, data: np.ndarray) -> np.ndarray:
    """What the ring holds, (n_samples, n_out)."""
    recipe = model.recipe
    x = primed(model.sos, data)
    reference = recipe.stream.reference
    if reference == "average":
        x = x - x.mean(axis=1, keepdims=True)
    elif reference != "none":
        x = x - x[:, [model.info.ch_names.index(name) for name in reference]].mean(1)[:, None]
    features = recipe.features
    if features.kind == "amplitude":
        return x
    nyquist, order = model.info.sfreq / 2, features.band_order
    bands = [
        signal.butter(order, np.array(band) / nyquist, "bandpass", output="sos")
        for band in features.bands
    ]
    return np.hstack([primed(sos, x) ** 2 for sos in bands])


def oracle(model: Model, ring: np.ndarray, onset: int) -> np.ndarray:
    """Cosines with every item."""
    features, sfreq = model.recipe.features, model.info.sfreq
    take = np.log10 if features.kind == "bandpower" else np.asarray
    first, last = (onset + round(t * sfreq) for t in (features.tmin, features.tmax))
    decim = features.decim
    n_bins = (last - first) // decim
    bins = ring[first : first + n_bins * decim].reshape(n_bins, decim, -1).mean(axis=1)
    values = take(bins)
    if features.baseline:
        low, high = (onset + round(t * sfreq) for t in features.baseline)
        values = values - take(ring[low:high].mean(axis=0))
    scaled = (values.ravel() - model.center) / model.scale
    z = np.clip(scaled, -features.clamp, features.clamp) @ model.weights + model.offset
    predicted = z @ model.basis
    return model.vectors @ predicted / np.linalg.norm(z)


def check(readout: Readout, model: Model, ring: np.ndarray) -> None:
    cosines = oracle(model, ring, readout.index)
    energy = np.exp(model.posterior.tau * cosines + model.log_prior)
    expected = energy / energy.sum()
    place = [model.items.index(word) for word in readout.words]
    np.testing.assert_allclose(readout.scores, cosines[place], atol=2e-5)
    np.testing.assert_allclose(readout.probabilities, expected[place], atol=2e-5)
    assert place == sorted(range(len(cosines)), key=lambda i: -cosines[i])[: len(place)]
    assert readout.bits == pytest.approx(np.log2(12) + expected @ np.log2(expected), abs=1e-4)
    assert readout.quality == 1.0
    assert readout.reasons == ()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("continuous", [False, True])
def test_the_path_is_what_its_description_says(name: str, continuous: bool) -> None:
    model = random_model(RECORDING, small_recipe(**RECIPES[name]))
    ring = stages(model, DATA)
    pipeline = Pipeline(model, PipelineOptions(continuous=continuous, force=True))
    onsets = [] if continuous else [120, 500, 501, 501, 1111, 1750]
    markers = [Marker(f"m{i}", i / 250, i) for i in onsets]
    answers = decode(pipeline, markers[::-1], chunk_of(DATA, 250.0))
    assert len(answers) == len(onsets) if not continuous else len(answers) > 800
    for answer in answers:
        check(answer, model, ring)
    assert [a.seq for a in answers] == list(range(len(answers)))
    last = pipeline.window.last
    if continuous:  # at every hop since the first whole window, none left out
        every = range(-(-(last - pipeline.window.first) // 2) * 2, len(DATA) + 1, 2)
        assert [a.index + last for a in answers] == list(every)
        assert {a.kind for a in answers} == {"continuous"}
    else:
        assert [(a.label, a.index) for a in answers] == [(f"m{i}", i) for i in onsets]


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_readout_comes_with_the_sample_that_fills_its_window(
    factor: int, continuous: bool
) -> None:
    """It does not wait for the hop's end, and the bits are those of a whole hop."""
    model = random_model(RECORDING, small_recipe(stream={"picks": ["eeg"], "hop_ms": 40.0}))
    assert model.n_hop == 10
    chunk = chunk_of(np.repeat(DATA, factor, axis=0), 250.0 * factor)
    options = PipelineOptions(continuous=continuous, force=True)
    for onset in range(100, 111):
        marker = Marker("m", onset / 250, onset * factor)
        pipeline = Pipeline(model, options, factor=factor)
        pipeline.mark(marker)
        # a marker that comes late is read out with the hop in which it comes
        behind = Pipeline(model, options, factor=factor)
        placed = pipeline._pending[0].index
        due = (placed + pipeline.window.last) * factor
        before, last, after = list(cut(chunk, [due - 1, due]))
        hops = pipeline.push(before)
        assert {readout.kind for readout in hops} <= {"continuous"}
        assert pipeline.n_pending == 1
        readout, *more = pipeline.push(last)
        assert (readout.kind, readout.index) == ("event", placed)
        more += pipeline.push(after)
        late = behind.push(before) + behind.push(last)
        behind.mark(marker)
        late += behind.push(after)
        event = next(one for one in late if one.kind == "event")
        assert timeless([readout._replace(seq=0)]) == timeless([event._replace(seq=0)])
        assert timeless([one._replace(seq=0) for one in hops + more]) == timeless(
            [one._replace(seq=0) for one in late if one.kind == "continuous"]
        )


@pytest.mark.parametrize("factor", [2, 4])
def test_a_faster_stream_is_decimated_and_its_onsets_wait_for_the_delay(factor: int) -> None:
    model = random_model(RECORDING, small_recipe())
    fast = np.repeat(DATA, factor, axis=0)  # any signal at factor times the rate
    ring = stages(model, primed(design_anti_alias(factor), fast)[::factor])
    pipeline = Pipeline(model, factor=factor)
    onsets = [factor * 100, factor * 700 + 1]
    markers = [Marker(str(i), i / (250.0 * factor), i) for i in onsets]
    answers = decode(pipeline, markers, chunk_of(fast, 250.0 * factor))
    late = pipeline.stages["decimate"].delay * 250.0
    assert [a.index for a in answers] == [round(i / factor + late) for i in onsets]
    for answer in answers:
        check(answer, model, ring)


def test_windows_that_were_never_whole_are_missed_and_told() -> None:
    recipe = small_recipe(features={"tmin": -0.4, "tmax": 0.4})
    pipeline = Pipeline(random_model(RECORDING, recipe), waiting(1.0))
    chunk = chunk_of(DATA, 250.0)
    answers = decode(pipeline, [Marker("start", 0.2, 50), Marker("good", 4.0, 1000)], chunk)
    assert [a.label for a in answers] == ["good"]
    assert [marker.label for marker, _ in pipeline.take_missed()] == ["start"]
    pipeline.reset()
    decode(pipeline, [], chunk)
    capacity = pipeline.ring.capacity
    pipeline.mark(Marker("too late", 0.0, len(DATA) - capacity - 1 + 100))
    pipeline.mark(Marker("just in time", 0.0, len(DATA) - capacity + 102))
    more = chunk_of(DATA[:2], 250.0)._replace(index=len(DATA))
    assert [a.label for a in pipeline.push(more)] == ["just in time"]
    assert "raise --marker-wait" in pipeline.take_missed()[0][1]


def test_bad_samples_lower_quality_and_say_why() -> None:
    model = random_model(RECORDING, small_recipe())
    dirty = DATA.copy()
    dirty[530:540, 3] = np.nan
    pipeline = Pipeline(model)
    window = pipeline.window
    markers = [Marker(str(i), i / 250, i) for i in (500, 600)]
    bad, good = decode(pipeline, markers, chunk_of(dirty, 250.0))
    assert bad.quality == pytest.approx(1 - 10 / window.n_samples)
    assert bad.reasons == ("nonfinite",)
    assert (good.quality, good.reasons) == (1.0, ())
    dirty[530:600, 3] = np.nan
    pipeline.reset()
    bad, _ = decode(pipeline, markers, chunk_of(dirty, 250.0))
    assert bad.abstained
    assert bad.reasons == ("quality", "nonfinite", "settling")


def test_windows_over_a_long_gap_abstain_and_the_stages_are_reset() -> None:
    model = random_model(RECORDING, small_recipe())
    pieces = list(cut(chunk_of(DATA, 250.0), [600, 700]))
    pipeline = Pipeline(model)
    settled = 700 + int(np.ceil(pipeline.settling * 250.0))
    onsets = (300, 550, 705, settled)
    for onset in onsets:
        pipeline.mark(Marker(str(onset), onset / 250, onset))
    before, over, settling, after = [*pipeline.push(pieces[0]), *pipeline.push(pieces[2])]
    assert not pipeline.take_missed()
    assert (before.quality, after.quality) == (1.0, 1.0)
    assert over.abstained
    assert over.reasons == ("quality", "gap", "settling")
    n_bad = min(550 + pipeline.window.last, settled) - 600
    assert over.quality == pytest.approx(1 - n_bad / pipeline.window.n_samples)
    assert settling.abstained
    assert settling.reasons == ("quality", "settling")
    ring = stages(model, DATA[700:])
    expected = oracle(model, ring, settled - 700)[[model.items.index(w) for w in after.words]]
    np.testing.assert_allclose(after.scores, expected, atol=2e-5)


def test_a_gap_longer_than_the_ring_is_counted() -> None:
    model = random_model(RECORDING, small_recipe())
    pipeline = Pipeline(model, waiting(0.5))
    first, second = cut(chunk_of(DATA, 250.0), [600])
    pipeline.mark(Marker("gone", 0.0, 590))
    pipeline.push(first)
    pipeline.push(second._replace(index=5000))
    assert [marker.label for marker, _ in pipeline.take_missed()] == ["gone"]
    assert pipeline.ring.next > 5000


def test_an_offset_leaves_nothing_behind_a_gap() -> None:
    """20 mV that come with a 300 ms gap change less than 5 uV from 50 ms after it on."""
    model = random_model(RECORDING, small_recipe())
    outputs = []
    for offset in (0.0, 20e-3):
        pipeline = Pipeline(model, waiting(60.0))
        before, _, after = cut(chunk_of(DATA + offset, 250.0), [600, 675])
        list(pipeline.push_features(before._replace(data=before.data - offset)))
        list(pipeline.push_features(after))
        outputs.append(pipeline.ring.window(688, pipeline.ring.next)[0].copy())
    np.testing.assert_array_less(np.abs(outputs[1] - outputs[0]), 5e-6)


def test_after_settling_the_output_is_that_without_a_gap() -> None:
    model = random_model(RECORDING, small_recipe())
    whole = chunk_of(DATA, 250.0)
    pieces = list(cut(whole, [600, 675]))
    outputs = []
    for parts in ([whole], [pieces[0], pieces[2]]):
        pipeline = Pipeline(model, waiting(60.0))
        for part in parts:
            list(pipeline.push_features(part))
        settled = 675 + int(np.ceil(pipeline.settling * 250.0))
        outputs.append(pipeline.ring.window(settled, pipeline.ring.next)[0].copy())
    np.testing.assert_array_less(np.abs(outputs[1] - outputs[0]), 5e-6)


@pytest.mark.parametrize("tmax", [-0.1, 0.8])
def test_cuts_change_nothing_even_for_windows_before_the_onset(tmax: float) -> None:
    """Events and hops keep their order too, whenever the marker became known."""
    recipe = small_recipe(features={"tmin": tmax - 0.4, "tmax": tmax})
    model = random_model(RECORDING, recipe)
    chunk = chunk_of(DATA, 250.0)
    onsets = [201, 400, 633, 1200]

    def answers(size: int) -> list[tuple[Any, ...]]:
        pipeline, found = Pipeline(model, CONTINUOUS), []
        for piece in cut(chunk, range(size, len(DATA), size)):
            stop = piece.index + len(piece.data)
            for onset in onsets:  # known with its next sample, as from a marker stream
                if piece.index <= onset + 1 < stop:
                    pipeline.mark(Marker("m", onset / 250, onset))
            found += pipeline.push(piece)
        return timeless(found)

    expected = answers(1)
    assert sum(row[1] == "event" for row in expected) == len(onsets)
    for size in (2, 7, 64, 1000):
        assert answers(size) == expected


def test_warm_up_and_reset_leave_no_trace() -> None:
    model = random_model(RECORDING, small_recipe())
    fresh, used = Pipeline(model, CONTINUOUS), Pipeline(model, CONTINUOUS)
    chunk = chunk_of(DATA, 250.0)
    used.warm_up()
    decode(used, [Marker("m", 0.4, 100)], chunk)
    used.reset()
    assert used.answerer.n_readouts == used.lateness.latencies.n == used.n_pending == 0
    markers = [Marker("m", 2.0, 500)]
    assert timeless(decode(used, markers, chunk)) == timeless(decode(fresh, markers, chunk))


def test_latency_is_from_the_newest_sample_until_the_scores_have_left() -> None:
    model = random_model(RECORDING, small_recipe(readout={"budget_ms": 50.0}))
    now = [0.0]
    pipeline = Pipeline(model, clock=lambda: now[0])
    pipeline.mark(Marker("a", 0.4, 100))
    pipeline.mark(Marker("b", 2.0, 500))
    newest = [(i + pipeline.window.last - 1) / 250 for i in (100, 500)]
    chunk = chunk_of(DATA, 250.0)
    first, second = cut(chunk, [400])
    now[0] = newest[0] + 0.012
    (a,) = pipeline.push(first)
    now[0] += 0.003
    a_left = pipeline.lateness.left(a)
    now[0] = newest[1] + 0.049
    (b,) = pipeline.push(second)
    assert (a.latency_ms, b.latency_ms) == pytest.approx((12.0, 49.0))
    assert (a.late, b.late, pipeline.lateness.n_late) == (False, False, 0)
    now[0] += 0.002
    b_left = pipeline.lateness.left(b)
    assert (a_left.latency_ms, b_left.latency_ms) == pytest.approx((15.0, 51.0))
    assert (a_left.late, b_left.late, pipeline.lateness.n_late) == (False, True, 1)
    assert pipeline.lateness.latencies.summary(1e6)["max"] == pytest.approx(51.0)
    assert (a_left.time, a_left.onset) == (a.time, a.onset) == (newest[0] + 0.012, 0.4)


def test_run_until_gives_what_leaves_a_stage() -> None:
    model = random_model(RECORDING, small_recipe())
    pipeline = Pipeline(model)
    chunk = chunk_of(DATA, 250.0)
    out = np.vstack([hop.data.copy() for hop in pipeline.run_until("filter", chunk)])
    np.testing.assert_allclose(out, primed(model.sos, DATA), atol=1e-15)
    with pytest.raises(ValueError, match="need a stage among guard, filter, rereference"):
        next(pipeline.run_until("reverb", chunk))
    assert Reason.GAP not in chunk.flags


def test_names_of_the_model_come_where_there_are_none() -> None:
    options = LiveOptions(MarkerRules(offset=0.1), without=("eye",), skip=True)
    target = Target(names={"1": "axe"}, exclude=("fix*",))
    named = options.for_target(target)
    rules = MarkerRules(names={"1": "axe"}, offset=0.1, exclude=("fix*",), fold=True)
    assert named == replace(options, rules=rules)
    assert named.for_target(Target(names={"1": "bee"}, fold=False)) == named


def test_a_stage_that_there_is_not_cannot_be_left_out() -> None:
    model = random_model(RECORDING, small_recipe())
    with pytest.raises(ValueError, match="need stages among muscle"):
        Pipeline(model, PipelineOptions(without=("eyes",)))
