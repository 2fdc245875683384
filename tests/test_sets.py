"""Conformal sets: the finite-sample rank, ties, few items, and what the log says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from calibration.confidence import Evidence
from calibration.sets import fit_cutoffs, set_lines, set_scores
from rt_decoder.decoding.sets import LEVELS, cutoff_of, mass_above, plausible
from rt_decoder.files.decisions import Chosen, Start
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.live.run_options import run_options
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Choice
from rt_decoder.sinks.log import readout_line
from rt_decoder.timing.markers import MarkerRules
from tests.small import WORDS, random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=8.0)


def posteriors(n: int, n_items: int, seed: int, sharpness: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return special.log_softmax(sharpness * rng.standard_normal((n, n_items)), axis=1)


def drawn(log_p: np.ndarray, seed: int) -> np.ndarray:
    """Items drawn from the posterior."""
    u = np.random.default_rng(seed).random(len(log_p))
    above = np.exp(log_p).cumsum(axis=1) < u[:, None]
    return np.minimum(above.sum(axis=1), log_p.shape[1] - 1)


def with_cutoffs(cutoffs: np.ndarray) -> Model:
    model = random_model(RECORDING, small_recipe())
    return replace(model, set_cutoffs=cutoffs, posterior=PosteriorParameters(5.0, 0.0, floor=0.01))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_mass_above_does_not_hang_on_the_order_of_the_items(counts: list[int], seed: int) -> None:
    p = (np.array(counts) + 1) / (sum(counts) + len(counts))
    turn = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(mass_above(p)[turn], mass_above(p[turn]))
    for i, one in enumerate(p):
        wanted = p[p > one].sum() + p[p == one].sum() / 2
        assert mass_above(p)[i] == pytest.approx(wanted)


@given(st.integers(1, 200), st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_the_cutoff_is_the_rank_of_split_conformal_prediction(n: int, seed: int) -> None:
    log_p = posteriors(n, 7, seed)
    truth = drawn(log_p, seed + 1)
    above = np.sort([mass_above(np.exp(row))[i] for row, i in zip(log_p, truth, strict=True)])
    cutoffs = fit_cutoffs(log_p, truth)
    for level, cutoff in zip(LEVELS, cutoffs, strict=True):
        rank = int(np.ceil(round((n + 1) * level, 9)))
        assert cutoff == (above[rank - 1] if rank <= n else 1.0)


def test_new_events_are_held_as_often_as_wanted() -> None:
    """Also where the posterior is far too sure."""
    log_p = posteriors(4000, 12, 0, 1.0)
    truth = drawn(log_p, 1)
    bold = special.log_softmax(2.5 * log_p, axis=1)
    cutoffs = fit_cutoffs(bold[:2000], truth[:2000])
    for level in (0.8, 0.9, 0.95):
        cutoff = cutoffs[round(100 * level) - 1]
        held = [
            i in plausible(np.exp(row), cutoff)
            for row, i in zip(bold[2000:], truth[2000:], strict=True)
        ]
        assert np.mean(held) == pytest.approx(level, abs=0.025)


def test_events_that_hang_together_count_for_fewer() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 20)
    good = np.repeat(rng.random(20) < 0.8, 20)  # in the other groups every event is missed
    log_p = posteriors(400, 10, 1)
    truth = np.where(good, log_p.argmax(axis=1), log_p.argmin(axis=1))
    together, apart = fit_cutoffs(log_p, truth, groups), fit_cutoffs(log_p, truth)
    assert (together >= apart).all()
    assert (together > apart).mean() > 0.3
    assert (np.diff(together) >= 0).all()


@pytest.mark.parametrize("n_items", [1, 2])
def test_one_or_two_items(n_items: int) -> None:
    log_p = posteriors(50, n_items, 0)
    cutoffs = fit_cutoffs(log_p, drawn(log_p, 1))
    assert cutoffs[98] == 1.0  # 50 events do not show 99 %
    for row in np.exp(log_p):
        chosen = plausible(row, cutoffs[89])
        assert 1 <= len(chosen) <= n_items
        assert chosen[0] == row.argmax()
        assert len(plausible(row, 1.0)) == n_items


def test_a_set_has_no_item_that_is_excluded_and_is_never_empty() -> None:
    p = np.array([0.0, 0.6, 0.4])
    assert plausible(p, 1.0).tolist() == [1, 2]
    assert plausible(p, 0.0).tolist() == [1]


def test_a_prediction_that_says_nothing_holds_every_item() -> None:
    log_p = np.log(np.full((300, 5), 0.2))
    cutoffs = fit_cutoffs(log_p, np.arange(300) % 5)
    assert len(plausible(np.full(5, 0.2), cutoffs[49])) == 5


@pytest.mark.parametrize("level", [0.0, -1.0, 0.995, float("nan")])
def test_shares_that_no_set_can_promise_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="share above 0"):
        cutoff_of(with_cutoffs(np.ones(99)), level)


def test_a_model_without_sets_is_refused() -> None:
    model = random_model(RECORDING, small_recipe())
    with pytest.raises(ValueError, match="fit it again"):
        list(decode_recording(model, RECORDING, (), PipelineOptions(level=0.9)))


def test_shares_are_rounded_up() -> None:
    model = with_cutoffs(LEVELS.copy())
    assert cutoff_of(model, 0.9) == 0.9
    assert cutoff_of(model, 0.901) == 0.91
    assert cutoff_of(model, 0.001) == 0.01


def test_readouts_carry_sets_only_on_request_and_say_when_it_is_everything() -> None:
    model = with_cutoffs(LEVELS / 2)
    plain = list(decode_recording(model, RECORDING, RECORDING.markers))
    asked = list(
        decode_recording(model, RECORDING, RECORDING.markers, PipelineOptions(level=0.9), chunk=5)
    )
    assert all(one.plausible is None for one in plain)
    assert "set" not in readout_line(plain[0])
    assert timeless(plain) == timeless([one._replace(plausible=None) for one in asked])
    sets = [one.plausible for one in asked if one.plausible]
    assert sets
    assert all(one.plausible[0] == one.words[0] for one in asked if one.plausible)
    assert all(set(one) <= set(WORDS) for one in sets)
    whole = list(
        decode_recording(
            replace(model, set_cutoffs=np.ones(99)), RECORDING, RECORDING.markers,
            PipelineOptions(level=0.9),
        )
    )  # fmt: skip
    assert [readout_line(one)["set_is_all"] for one in whole] == [True] * len(whole)


def test_a_record_is_decoded_with_the_sets_of_its_session() -> None:
    model = with_cutoffs(LEVELS / 2)
    session = replace(RECORDING, decisions=(Start(0, MarkerRules(), False, level=0.9),))
    found = [
        timeless(list(decode_recording(model, one, RECORDING.markers, options)))
        for one, options in (
            (session, PipelineOptions()),
            (RECORDING, PipelineOptions(level=0.9)),
        )
    ]
    assert found[0] == found[1]
    older = replace(model, set_cutoffs=np.zeros(0))
    plain = decode_recording(older, session, RECORDING.markers)
    assert all(one.plausible is None for one in plain)


def test_a_session_takes_a_share() -> None:
    assert run_options({"set": 0.9}).level == 0.9


def test_among_other_candidates_a_set_is_everything() -> None:
    """Calibration had none: its cutoffs say nothing of them."""
    model = with_cutoffs(LEVELS / 2)
    record = replace(RECORDING, decisions=(Chosen(0, Choice(tuple(WORDS[:3]))),))
    found = decode_recording(model, record, RECORDING.markers, PipelineOptions(level=0.9))
    assert {one.plausible for one in found} == {()}


def test_events_with_a_language_have_cutoffs_of_their_own() -> None:
    model = replace(with_cutoffs(LEVELS / 2), language_cutoffs=LEVELS / 3)
    assert cutoff_of(model, 0.9) == 0.45
    assert cutoff_of(model, 0.9, spoken=True) == pytest.approx(0.3)
    assert cutoff_of(with_cutoffs(LEVELS / 2), 0.9, spoken=True) == 1.0


def test_cutoffs_stay_with_the_model(tmp_path: Path) -> None:
    save_model(with_cutoffs(LEVELS / 2), tmp_path / "m.rtd.safetensors")
    np.testing.assert_array_equal(
        load_model(tmp_path / "m.rtd.safetensors").set_cutoffs, LEVELS / 2
    )
    with pytest.raises(ValueError, match="set_cutoffs"):
        save_model(with_cutoffs(np.ones(5)), tmp_path / "x.rtd.safetensors")


def test_what_is_told_of_sets() -> None:
    model = with_cutoffs(np.r_[LEVELS[:94] / 2, np.ones(5)])
    cosines = np.random.default_rng(0).uniform(-1, 1, (40, 12))
    rows = set_scores(model, Evidence(cosines, np.ones(40)), cosines.argmax(axis=1))
    assert [row["all"] for row in rows] == [False, False, True]
    said = set_lines(rows, 12)
    assert "of 12 items" in said[0]
    assert "every item" in said[2]
    assert set_scores(replace(model, set_cutoffs=np.zeros(0)), Evidence(cosines, np.ones(40)),
                      cosines.argmax(axis=1)) == []  # fmt: skip
