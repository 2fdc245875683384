"""Continuous readouts: nothing as a hypothesis, and false alarms that are as rare as asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from calibration.alarms import count_alarms, poisson_interval, score_hops
from calibration.continuous import fit_continuous, fit_threshold
from calibration.design import build_design, draft_model
from calibration.events import Event, LabelledRecording, label_recording
from calibration.fit import fit_model
from calibration.hops import Hops, read_hops
from rt_decoder.decoding.answering import NOT_FITTED
from rt_decoder.decoding.readout import ContinuousPosterior, Posterior
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.recorded import decode_recording
from rt_decoder.simulation.participant import Participant
from rt_decoder.timing.markers import MarkerRules
from tests.small import (
    VECTORS,
    WORDS,
    fake_embedder,
    random_model,
    small_recipe,
    small_recording,
    timeless,
)

RECORDING = small_recording(seconds=6.0)
MODEL = random_model(RECORDING, small_recipe())
NOTHING = PosteriorParameters(tau=3.0, threshold=0.3, min_quality=0.8, nothing=0.5)


# --- the posterior


def posterior_of(n: int, nothing: float, threshold: float = 0.0) -> ContinuousPosterior:
    inner = Posterior(np.append(np.log(np.full(n, 1 / n)), nothing), 4.0)
    return ContinuousPosterior(inner, threshold, 0.5)


@settings(deadline=None)
@given(st.integers(1, 9), st.floats(-5, 5), st.integers(0, 99))
def test_probabilities_leave_room_for_nothing(n: int, nothing: float, seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)
    answer = posterior_of(n, nothing).decide(scores, n)
    weights = np.exp(4.0 * scores.astype(float)) / n
    order = np.argsort(-weights, kind="stable")
    np.testing.assert_array_equal(answer.idx, order)
    wanted = weights[order] / (weights.sum() + math.exp(nothing))
    np.testing.assert_allclose(answer.prob, wanted, rtol=1e-9)
    np.testing.assert_array_equal(answer.cos, scores[order])
    assert not answer.abstained


def test_it_abstains_and_says_why() -> None:
    scores = np.array([0.9, 0.1, 0.0], np.float32)
    assert posterior_of(3, 5.0, 0.5).decide(scores, 2).reasons == ("nothing",)
    assert posterior_of(3, -5.0, 0.99).decide(scores, 2).reasons == ("uncertain",)
    assert posterior_of(3, -5.0, 0.5).decide(scores, 2, 0.1).reasons == ("quality",)
    assert posterior_of(3, -5.0, 2.0).decide(scores, 2).abstained
    bad = posterior_of(3, 0.0).decide(np.array([np.nan, 0, 0], np.float32), 2)
    assert (bad.abstained, bad.reasons) == (True, ("nonfinite",))


def readouts(model: Model, chunk: int = 64, *, force: bool = False) -> list:
    options = PipelineOptions(MarkerRules(), True, (), force)
    return list(decode_recording(model, RECORDING, RECORDING.markers, options, chunk=chunk))


def test_a_model_without_one_abstains_unless_it_is_forced() -> None:
    plain, forced = readouts(MODEL), readouts(MODEL, force=True)
    for one, other in zip(plain, forced, strict=True):
        is_hop = one.kind == "continuous"
        assert (NOT_FITTED in one.reasons) == is_hop
        assert one.abstained >= is_hop
        assert NOT_FITTED not in other.reasons
        assert one.words == other.words
    assert {one.kind for one in plain} == {"event", "continuous"}


def test_hops_have_a_posterior_of_their_own_and_events_keep_theirs(tmp_path) -> None:
    model = replace(MODEL, continuous=NOTHING)
    save_model(model, tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors")
    assert model.continuous == NOTHING
    ours, theirs = readouts(model), readouts(MODEL)
    assert timeless([a for a in ours if a.kind == "event"]) == timeless(
        [a for a in theirs if a.kind == "event"]
    )
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.kind == "continuous"]
    for a, b in pairs:
        assert a.words == b.words
        assert sum(a.probabilities) < sum(b.probabilities)
        is_sure = a.probabilities[0] >= NOTHING.threshold and a.quality >= 0.8
        assert a.abstained != is_sure
    assert timeless(ours) == timeless(readouts(model, chunk=7))


# --- counting alarms


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), unique=True, max_size=60), st.integers(1, 40), st.data())
def test_alarms_are_the_most_answers_that_lie_apart(times, apart, data) -> None:
    onset = np.sort(np.array(times, float))
    n = count_alarms(onset, apart)
    longest: list[int] = []  # dynamic programming: the most answers that end at each one
    for i, time in enumerate(onset):
        before = [longest[j] for j in range(i) if time - onset[j] >= apart]
        longest.append(1 + max(before, default=0))
    assert n == max(longest, default=0)
    keep = data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times)))
    assert count_alarms(onset[np.array(keep, bool)], apart) <= n


@pytest.mark.parametrize("n", [0, 1, 7])
def test_the_interval_is_exact(n: int) -> None:
    low, high = poisson_interval(n, 2.0, 0.9)
    assert poisson.cdf(n, 2 * high) == pytest.approx(0.05)
    assert n == 0 or poisson.sf(n - 1, 2 * low) == pytest.approx(0.05)


def test_the_threshold_is_the_lowest_that_is_safe() -> None:
    rng = np.random.default_rng(0)
    onset, p = 0.01 * np.arange(100_000), rng.uniform(0, 1, 100_000)
    hours = 1000 / 3600
    threshold, n = fit_threshold(p, onset, apart=0.8, hours=hours, asked=60.0)
    assert poisson_interval(n, hours, 0.8)[1] <= 60 < poisson_interval(n + 1, hours, 0.8)[1]
    assert count_alarms(onset[p >= threshold], 0.8) == n
    below = p[p < threshold].max()
    assert count_alarms(onset[p >= below], 0.8) > n


def test_too_little_time_never_answers() -> None:
    onset, p = 0.01 * np.arange(6000), np.zeros(6000)
    assert fit_threshold(p, onset, apart=0.8, hours=1 / 60, asked=6.0) == (2.0, 0)
    assert fit_threshold(p, onset, apart=0.8, hours=1.0, asked=0.0) == (2.0, 0)


def test_evidence_that_is_always_the_same_is_not_safe_at_any_threshold_below_it() -> None:
    onset, p = 0.01 * np.arange(60_000), np.full(60_000, 0.25)
    threshold, n = fit_threshold(p, onset, apart=0.8, hours=1 / 6, asked=60.0)
    assert threshold > 0.25
    assert n == 0


@settings(deadline=None)
@given(st.integers(0, 50), st.lists(st.tuples(st.floats(0, 20), st.floats(0, 3)), max_size=6))
def test_hops_near_events_share_samples_with_their_windows(seed, events) -> None:
    events = sorted(events)
    onset = np.sort(np.random.default_rng(seed).uniform(-2, 25, 80))
    begin = np.array([a for a, _ in events])
    end = np.array([a + max(0.8, long) for a, long in events])
    zeros = np.zeros(80)
    hops = Hops(
        onset, zeros, zeros, zeros.astype(int), zeros > -1, begin, end,
        np.zeros(len(events), int), 0.8, 0.01, 0.8, np.zeros((80, 1)),
    )  # fmt: skip
    expected = [any(a - 0.8 < t < b for a, b in zip(begin, end, strict=True)) for t in onset]
    np.testing.assert_array_equal(hops.near(), expected)


# --- fitted


def session(seed: int, minutes: float, snr: float = 0.7) -> LabelledRecording:
    """The small participant reads a word every four seconds; the recording, labelled."""
    person = Participant(VECTORS, WORDS, n_channels=8, references=True, snr=snr)
    one = person.simulate(duration=60 * minutes, seed=seed, components=False, soa=(2.0, 6.0))
    stamps = np.arange(len(one.data)) / one.info.sfreq
    recording = Recording(one.data, stamps, one.info, one.events, name=f"session-{seed}")
    return label_recording(recording, None, recipe(), MarkerRules())


def recipe(asked: float = 60.0) -> Recipe:
    return small_recipe(readout={"false_alarms": asked}, target={"names": {}})


def fitted(sessions: Sequence[LabelledRecording], asked: float = 60.0) -> Model:
    draft = draft_model([one.recording for one in sessions], recipe(asked))
    design = build_design(draft, sessions)
    return fit_continuous(fit_model(draft, design, embedder=fake_embedder), design, sessions)


@pytest.mark.slow
def test_what_was_fitted_is_what_decodes() -> None:
    """The probabilities that the threshold was fitted on are those of the live readout."""
    model = fitted([session(1, 10.0)])
    found = model.certificate["continuous"]
    assert found["never"] == ""
    assert model.continuous.threshold <= 1
    new = session(2, 3.0)
    hops = read_hops(model, [new])
    options = PipelineOptions(MarkerRules(), continuous=True)
    live = [
        one
        for one in decode_recording(model, new.recording, new.recording.markers, options)
        if one.kind == "continuous"
    ]
    p = hops.probability(model.continuous.nothing)
    np.testing.assert_allclose(p, [one.probabilities[0] for one in live], rtol=1e-4)
    answered = hops.good & (p >= model.continuous.threshold)
    np.testing.assert_array_equal(answered, [not one.abstained for one in live])
    scores = score_hops(hops, np.ones(len(p), bool), model)
    assert scores["hits"] > 3
    assert scores["precision"] > 0.7
    assert scores["low"] <= 60
    words = [one.words[0] for one in live if not one.abstained]
    assert set(words) <= set(WORDS)


@pytest.mark.slow
def test_without_signal_or_without_pauses_it_never_answers() -> None:
    silent = fitted([session(1, 4.0, snr=0.0)])
    dense = replace(session(1, 4.0), events=())
    markers = dense.markers
    long = LabelledRecording(
        dense.recording, markers, tuple(Event("", None, 9.0) for _ in markers), dense.rules
    )
    few = fitted([session(1, 4.0)], asked=1.0)
    for model, why in (
        (silent, ""),
        (fitted([long]), ""),
        (few, "too few to show that false alarms stay below 1 an hour; it takes 138 min"),
    ):
        assert model.continuous.threshold > 1
        assert why in model.certificate["continuous"]["never"]
        assert model.certificate["continuous"]["never"]
