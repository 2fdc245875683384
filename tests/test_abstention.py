"""The rule for abstaining keeps its promise on new data, and says where it can promise nothing."""

import numpy as np
import pytest
from scipy.stats import binom

from calibration.abstention import NEVER, fit_abstention
from rt_decoder.files.proof import answers_line


def outcomes(n, seed):
    """Calibrated winners: right as often as they claim."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(1, 2, n)
    return confidence, rng.random(n) < confidence


def test_abstention_reaches_the_wanted_precision_on_new_data():
    later_confidence, later_correct = outcomes(200_000, seed=10_000)
    missed = []
    for seed in range(200):
        rule = fit_abstention(*outcomes(600, seed), precision=0.6, risk=0.1)
        answered = later_confidence >= rule.threshold
        missed.append(answered.any() and later_correct[answered].mean() < 0.6)
    assert binom.sf(sum(missed) - 1, 200, 0.1) > 0.01  # no more often than the risk allows


def test_abstention_does_not_choose_its_threshold_by_luck():
    """Confidence is uninformative and precision lies just below the target: abstain."""
    fooled = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        confidence, correct = rng.random(800), rng.random(800) < 0.599
        fooled += fit_abstention(confidence, correct, precision=0.6, risk=0.1).coverage > 0
    assert fooled / 300 < 0.1


def test_abstention_answers_as_much_as_it_can():
    confidence, correct = outcomes(5000, seed=0)
    wide = fit_abstention(confidence, correct, precision=0.5)
    narrow = fit_abstention(confidence, correct, precision=0.7)
    assert 0 < narrow.coverage < wide.coverage < 1
    answered = confidence >= wide.threshold
    assert wide.coverage == answered.mean()
    assert wide.precision == correct[answered].mean()


def test_abstention_at_the_extremes():
    confidence, correct = outcomes(300, seed=0)
    assert fit_abstention(confidence, correct, precision=0).threshold == 0
    assert fit_abstention(confidence, np.ones(300, bool), precision=0.9).threshold == 0
    never = fit_abstention(confidence, np.zeros(300, bool), precision=0.5)
    assert never.threshold > 1
    assert never.coverage == 0
    few = fit_abstention(np.array([0.9, 0.8]), np.array([True, True]), precision=0.9)
    assert few.coverage == 0  # two right answers prove nothing


def test_the_chosen_precision_is_the_highest_that_is_reached():
    confidence, correct = outcomes(5000, seed=0)
    chosen = fit_abstention(confidence, correct, precision=-1)
    assert chosen == fit_abstention(confidence, correct, precision=chosen.wanted)
    assert chosen.coverage >= 0.2
    # the next step of the ladder would be reached for less than a fifth
    assert fit_abstention(confidence, correct, precision=chosen.wanted + 0.05).coverage < 0.2


def test_the_chosen_precision_holds_on_new_data():
    later_confidence, later_correct = outcomes(200_000, seed=10_000)
    missed = []
    for seed in range(200):
        rule = fit_abstention(*outcomes(600, seed), precision=-1)
        answered = later_confidence >= rule.threshold
        missed.append(later_correct[answered].mean() < rule.wanted)
    assert binom.sf(sum(missed) - 1, 200, 0.1) > 0.01


@pytest.mark.parametrize("rate", [0.0, 0.0167, 0.5, 0.83])
def test_nothing_is_promised_that_the_prior_gives_alone(rate):
    """Whatever a guess is worth, chance beyond it is rarely taken for a promise."""
    never = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rule = fit_abstention(rng.random(600), rng.random(600) < rate, precision=-1, above=rate)
        never.append(rule.threshold == NEVER)
    assert np.mean(never) > 0.9


def test_trials_that_agree_within_groups_count_for_less():
    """Whole blocks are right or wrong: 2,000 trials are no more than forty."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 50)
    correct = np.repeat(rng.random(40) < 0.7, 50)
    confidence = rng.random(2000)
    assert fit_abstention(confidence, correct, 0.6).coverage == 1
    assert fit_abstention(confidence, correct, 0.6, groups=groups).coverage == 0


@pytest.mark.parametrize("precision", [1.0, -0.5, np.nan])
def test_a_precision_out_of_range_is_refused(precision):
    with pytest.raises(ValueError, match="precision in"):
        fit_abstention(np.ones(2), np.ones(2), precision=precision)


def test_what_is_promised_is_said():
    shown = {"coverage": 0.25, "precision": 0.58, "wanted_precision": 0.5}
    assert "58 %" in answers_line(0.4, shown)
    assert "always" in answers_line(0.0, shown | {"wanted_precision": 0.0})
    assert "never" in answers_line(NEVER, {"coverage": 0.0, "wanted_precision": 0.5})
    assert "beyond the prior" in answers_line(NEVER, {"coverage": 0.0, "wanted_precision": None})
    assert "always" in answers_line(0.0, {})  # an older model's certificate
