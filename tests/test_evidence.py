"""Pooled repeats: the same law offline and live, and nothing of the truth in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from calibration.ahead import check_events
from calibration.events import label_recording
from calibration.repeats import few_trials, fit_pooling, pool_evidence, pooled_scores, repeat_groups
from calibration.report.text import certificate_lines
from rt_decoder.decoding.evidence import EvidencePool
from rt_decoder.decoding.readout import Posterior
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.model import Model, Pooling, PosteriorParameters
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, Readout
from rt_decoder.sinks.log import readout_line
from rt_decoder.timing.markers import MarkerRules
from tests.contract import allocated
from tests.small import WORDS, fit_small, random_model, small_recipe, small_recording, timeless
from tests.test_pipeline import CUTS, DATA, chunk_of, decode

RECORDING = small_recording(seconds=8.0)
ONSETS = (60, 260, 460, 660, 860, 1060, 1260)


def cosines(n_trials: int, n_items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n_trials, n_items)).astype(np.float32)


@given(
    n_items=st.integers(2, 40),
    n=st.integers(1, 6),
    tau=st.sampled_from([0.0, 3.0, 300.0]),
    floor=st.sampled_from([0.0, 0.01, 1.0]),
    length=st.sampled_from([0.0, 2.0]),
    correlation=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_pool_is_the_formula_in_its_docstring(
    n_items: int, n: int, tau: float, floor: float, length: float, correlation: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores, lengths = cosines(n, n_items, seed), rng.uniform(0.1, 9, n)
    raw, bias = 2 * rng.standard_normal(n_items), rng.standard_normal(n_items)
    log_prior = special.log_softmax(raw)
    gain = lengths / np.hypot(lengths, length)
    single = special.softmax(tau * gain[:, None] * scores.astype(float) + bias + log_prior, axis=1)
    with np.errstate(divide="ignore"):
        log_p = np.log((1 - floor) * single + floor * np.exp(log_prior))
    pool = EvidencePool(
        raw, tau, n, length=length, floor=floor, item_bias=bias, correlation=correlation
    )
    for row, size in zip(scores, lengths, strict=True):
        pool.add(row, size)
    answer = pool.answer(min(4, n_items))
    assert answer is not None
    if np.isfinite(log_p).all():
        want = np.exp(pool_evidence(log_p, log_prior, np.arange(n)[None], correlation)[0])
        assert np.allclose(answer.prob, np.sort(want)[::-1][: len(answer.idx)], atol=1e-9)
        assert np.allclose(answer.prob, want[answer.idx], atol=1e-9)
    assert np.allclose(answer.cos, scores.mean(axis=0)[answer.idx], atol=1e-6)


def test_one_repeat_is_the_single_posterior_whatever_the_correlation() -> None:
    log_prior, scores = np.log([0.2, 0.3, 0.5]), cosines(1, 3)[0]
    pool = EvidencePool(log_prior, 4.0, 3, correlation=0.7)
    pool.add(scores)
    answer, single = pool.answer(3), Posterior(log_prior, 4.0).decide(scores, 3)
    assert answer is not None
    assert np.allclose(answer.prob, single.prob)
    assert answer.bits == pytest.approx(single.bits)


def test_repeats_that_say_the_same_add_nothing_if_their_errors_are_the_same() -> None:
    scores = cosines(1, 5)[0]
    pool = EvidencePool(np.zeros(5), 4.0, 9, correlation=1.0)
    for _ in range(9):
        pool.add(scores)
    answer = pool.answer(5)
    assert answer is not None
    assert np.allclose(answer.prob, Posterior(np.zeros(5), 4.0).decide(scores, 5).prob)


def test_the_order_of_repeats_does_not_matter_and_the_trial_ends_when_full() -> None:
    scores = cosines(4, 6)
    pool = EvidencePool(np.zeros(6), 4.0, 3)
    for row in scores[[0, 1, 2]]:
        pool.add(row)
    first = pool.answer(6)
    assert first is not None
    forward = first.prob.copy()
    for row in scores[[2, 0, 1]]:
        pool.add(row)
    assert pool.n_repeats == 3
    again = pool.answer(6)
    assert again is not None
    assert np.allclose(again.prob, forward)


def test_bad_repeats_are_counted_and_leave_no_trace() -> None:
    scores = cosines(2, 6)
    pool, clean = (EvidencePool(np.zeros(6), 4.0, 4, threshold=2.0) for _ in range(2))
    assert pool.answer(2) is None
    pool.add(np.full(6, np.nan, np.float32))
    pool.leave_out()
    assert pool.answer(2) is None
    for row in scores:
        pool.add(row, quality=0.9)
        clean.add(row)
    assert (pool.n_repeats, pool.n_left_out, pool.n_seen) == (2, 2, 4)
    assert pool.quality == pytest.approx(0.9)
    answer, want = pool.answer(2), clean.answer(2)
    assert answer is not None
    assert want is not None
    assert np.array_equal(answer.prob, want.prob)
    assert (answer.abstained, answer.reasons) == (True, ("uncertain",))


def test_an_item_that_the_prior_excludes_stays_excluded() -> None:
    pool = EvidencePool(np.array([0.0, 0.0, -np.inf]), 9.0, 2, floor=0.1)
    for _ in range(2):
        pool.add(np.array([0.1, 0.2, 1.0], np.float32))
    answer = pool.answer(3)
    assert answer is not None
    assert list(answer.idx) == [1, 0, 2]
    assert answer.prob[2] == 0


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="log prior"):
        EvidencePool(np.full(3, -np.inf), 1.0, 2)
    with pytest.raises(ValueError, match="correlation of 0 to 1"):
        EvidencePool(np.zeros(3), 1.0, 0)
    with pytest.raises(ValueError, match="a bias for each of 3"):
        EvidencePool(np.zeros(3), 1.0, 2, item_bias=np.zeros(2))
    pool = EvidencePool(np.zeros(3), 1.0, 2)
    with pytest.raises(ValueError, match="need 3 scores"):
        pool.add(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="between 1 and 3"):
        pool.answer(4)


def test_the_pool_allocates_no_array_once_warm() -> None:
    pool, scores = EvidencePool(np.zeros(500), 4.0, 3, floor=0.01), cosines(1, 500)[0]

    def step() -> None:
        pool.add(scores)
        pool.answer(10)

    stays, peak = allocated(step, 50)
    assert stays < 500
    assert peak < 4000  # one array of the items


# ---- in the pipeline


def pooling_model(repeats: int, **recipe: dict[str, Any]) -> Model:
    model = random_model(RECORDING, small_recipe(readout={"repeats": repeats}, **recipe))
    prior = special.log_softmax(np.arange(12) / 6.0)
    posterior = PosteriorParameters(tau=3.0, min_quality=0.8)
    return replace(model, log_prior=prior, posterior=posterior, pooling=Pooling(0.2, threshold=0.1))


def markers(*labels: str) -> list[Marker]:
    return [Marker(label, at / 250, at) for label, at in zip(labels, ONSETS, strict=False)]


def pooled(readouts: list[Readout]) -> list[tuple[int, int]]:
    return [(r.index, r.n_repeats) for r in readouts if r.kind == "pooled"]


def test_a_pooled_readout_follows_each_repeat_from_the_second() -> None:
    model = pooling_model(3)
    found = decode(Pipeline(model), markers(*"abcdefg"), chunk_of(DATA, 250.0))
    assert [r.seq for r in found] == list(range(len(found)))
    second, third, fifth, sixth = (ONSETS[i] for i in (1, 2, 4, 5))
    assert pooled(found) == [(second, 2), (third, 3), (fifth, 2), (sixth, 3)]
    assert [r.index for r in found if r.kind == "event"] == list(ONSETS)
    # each is the pool of the cosines that the events were read out with
    plain = replace(model.recipe, readout=replace(model.recipe.readout, repeats=1, top=12))
    events = decode(
        Pipeline(replace(model, recipe=plain)), markers(*"abcdefg"), chunk_of(DATA, 250.0)
    )
    rows = [dict(zip(r.words, r.scores, strict=True)) for r in events]
    scores = np.array([[row[item] for item in model.items] for row in rows], np.float32)
    log_p = special.log_softmax(3.0 * scores.astype(float) + model.log_prior, axis=1)
    want = np.exp(pool_evidence(log_p, model.log_prior, np.array([[0, 1, 2], [3, 4, 5]]), 0.2))
    for row, answer in zip(want, [r for r in found if r.n_repeats == 3], strict=True):
        place = [model.items.index(word) for word in answer.words]
        assert np.allclose(answer.probabilities, row[place], atol=1e-6)
        assert answer.abstained == (answer.probabilities[0] < 0.1)
        assert readout_line(answer)["n_repeats"] == 3
    assert all("n_repeats" not in readout_line(r) for r in found if r.kind == "event")


def test_the_label_of_a_marker_plays_no_part() -> None:
    model = pooling_model(2)
    one, other = (
        decode(Pipeline(model), markers(*labels), chunk_of(DATA, 250.0))
        for labels in ("abcdefg", "aabbccd")
    )
    nameless = (timeless([r._replace(label="") for r in found]) for found in (one, other))
    assert next(nameless) == next(nameless)


def test_a_cue_begins_a_trial() -> None:
    found = decode(
        Pipeline(pooling_model(3)), markers("a", "b", "cue/trial", "c", "d", "e", "f"),
        chunk_of(DATA, 250.0),
    )  # fmt: skip
    assert pooled(found) == [(ONSETS[1], 2), (ONSETS[4], 2), (ONSETS[5], 3)]


def test_a_repeat_that_is_missed_or_bad_is_left_out_and_still_counts() -> None:
    model = pooling_model(2, features={"baseline": [-0.2, 0.0]})
    data = DATA.copy()
    data[ONSETS[4] : ONSETS[4] + 150] = np.nan
    early = Marker("x", 0.0, 1)  # its window begins before the first sample
    found = decode(Pipeline(model), [early, *markers(*"abcde")], chunk_of(data, 250.0))
    assert {r.index for r in found} >= {ONSETS[0], ONSETS[1]}
    assert 1 not in {r.index for r in found}
    # trials: (missed, a), (b, c), (d, bad)
    assert [n for _, n in pooled(found)] == [1, 2, 1]


def test_pooled_readouts_do_not_depend_on_the_cut_and_a_lost_stream_ends_a_trial() -> None:
    model = pooling_model(3)
    want = decode(Pipeline(model), markers(*"abcdefg"), chunk_of(DATA, 250.0), [])
    pipeline = Pipeline(model)
    pipeline.warm_up()
    got = decode(pipeline, markers(*"abcdefg"), chunk_of(DATA, 250.0), CUTS)
    assert timeless(got) == timeless(want)
    pipeline.restart()
    again = decode(pipeline, markers(*"abc"), chunk_of(DATA, 250.0), CUTS)
    assert pooled(again) == [(ONSETS[1], 2), (ONSETS[2], 3)]


def test_decode_of_a_recording_pools_and_continuous_readouts_are_not_pooled() -> None:
    model = pooling_model(2)
    options = PipelineOptions(continuous=True)
    found = list(decode_recording(model, RECORDING, RECORDING.markers, options, chunk=64))
    other = list(decode_recording(model, RECORDING, RECORDING.markers, options, chunk=7))
    assert timeless(found) == timeless(other)
    events = [r for r in found if r.kind == "event"]
    assert len(pooled(found)) == len(events) // 2 > 1


def test_pooling_is_kept_in_the_model_file(tmp_path: Path) -> None:
    model = pooling_model(3)
    save_model(model, tmp_path / "m.rtd.safetensors")
    assert load_model(tmp_path / "m.rtd.safetensors").pooling == Pooling(0.2, 0.1)


# ---- calibration


def test_a_fit_pools_as_its_recipe_asks_and_tells_what_repeats_are_worth() -> None:
    recording = small_recording(seconds=120.0)
    plain, asked = (
        fit_small(recording, small_recipe(fit={"n_permutations": 1}, readout={"repeats": n}))
        for n in (1, 3)
    )
    assert plain.pooling is None
    assert asked.pooling is not None
    assert 0 <= asked.pooling.correlation <= 1
    scores = asked.certificate["pooled"]["out_of_fold"]
    assert {"1", "2", "4"} <= scores.keys()
    assert scores["4"]["rank_accuracy"] > scores["1"]["rank_accuracy"] > 0.5
    told = "\n".join(certificate_lines(asked))
    assert "held-out groups, evidence pooled over repeats of one item" in told
    assert f"{scores['2']['n']} trials, put together from all events" in told


def simulated(
    n_trials: int, n: int, shared: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log posteriors of events in rows of n, whose noise has correlation `shared`; two items."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 2, n_trials)
    noise = np.sqrt(1 - shared) * rng.standard_normal((n_trials, n))
    noise += np.sqrt(shared) * rng.standard_normal((n_trials, 1))
    x = (0.7 * (2 * item[:, None] - 1) + noise).ravel()
    energy = np.column_stack([-0.7 * x, 0.7 * x])  # the exact likelihood of one event
    truth = np.repeat(item, n)
    return special.log_softmax(energy, axis=1), np.log([0.5, 0.5]), truth


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.8])
def test_the_correlation_of_the_noise_is_found(shared: float) -> None:
    log_p, log_prior, truth = simulated(4000, 4, shared)
    run = np.repeat(np.arange(4000), 4)
    pooling = fit_pooling(log_p, log_prior, truth, run, 4, precision=0.8)
    assert pooling.correlation == pytest.approx(shared, abs=0.1)
    scores = pooled_scores(log_p, log_prior, truth, run, pooling.correlation)
    assert scores["4"]["in_a_row"]
    assert scores["4"]["bits_per_word"] > scores["1"]["bits_per_word"] > 0
    assert scores["4"]["rank_accuracy"] > scores["1"]["rank_accuracy"]
    assert scores["1"]["chance_top1"] == pytest.approx(0.5, abs=0.05)


def test_noise_pools_to_nothing() -> None:
    rng = np.random.default_rng(1)
    log_p = special.log_softmax(0.2 * rng.standard_normal((1200, 10)), axis=1)
    log_prior, truth = np.full(10, -np.log(10)), rng.integers(0, 10, 1200)
    scores = pooled_scores(log_p, log_prior, truth, np.zeros(1200), 1.0)
    assert list(scores) == ["1", "2", "4", "8", "12"]
    assert not scores["4"]["in_a_row"]
    assert all(abs(one["rank_accuracy"] - 0.5) < 0.06 for one in scores.values())
    assert all(abs(one["bits_per_word"]) < 0.08 for one in scores.values())


def test_events_of_one_trial_have_one_item_and_one_recording() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 0, 0])
    run = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    groups, in_a_row = repeat_groups(truth, run, 2)
    assert in_a_row
    assert groups.tolist() == [[0, 1], [3, 4], [5, 6], [7, 8]]
    groups, in_a_row = repeat_groups(np.array([0, 1, 0, 1, 1]), np.zeros(5), 2)
    assert not in_a_row
    assert groups.tolist() == [[0, 2], [1, 3]]
    assert repeat_groups(truth, run, 20)[0].shape == (0, 20)


def test_with_too_few_trials_a_repeat_adds_nothing_and_a_wanted_precision_is_not_promised() -> None:
    log_p, log_prior, truth = simulated(5, 4, 0.0)
    run = np.repeat(np.arange(5), 4)
    assert fit_pooling(log_p, log_prior, truth, run, 4) == Pooling(1.0, 0.0)
    assert fit_pooling(log_p, log_prior, truth, run, 4, precision=0.8).threshold > 1


def test_the_repeats_that_are_asked_for_are_scored() -> None:
    log_p, log_prior, truth = simulated(400, 3, 0.2)
    run = np.repeat(np.arange(400), 3)
    scores = pooled_scores(log_p, log_prior, truth, run, 0.2, repeats=3)
    assert list(scores) == ["1", "2", "3", "4", "8", "12"]
    assert scores["3"]["n"] == 400
    assert not few_trials(3, scores)
    assert not few_trials(1, {})
    assert "need 10 trials of 7 events" in few_trials(7, scores)


def test_repeats_and_a_final_block_that_leave_nothing_are_refused() -> None:
    recording = small_recording(seconds=30.0)
    labels = [marker.label for marker in recording.markers if marker.label in WORDS]
    most = max(labels.count(word) for word in WORDS)
    recipe = small_recipe(readout={"repeats": most + 1})
    labelled = [label_recording(recording, None, recipe, MarkerRules())]
    with pytest.raises(
        ValueError, match=rf"need repeats up to {most}, .* got repeats = {most + 1}"
    ):
        check_events(labelled, recipe)
    late = small_recipe(fit={"final_block": 0.99})
    with pytest.raises(ValueError, match=r"final_block = 0\.99 locks the others away; lower it"):
        check_events(labelled, late)
