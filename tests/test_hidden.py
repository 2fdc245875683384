"""Evidence on one hidden item: the sum is that of the formula, and it stops when it says it does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_decoder import Evidence
from rt_decoder.decoding.evidence import EvidencePool
from rt_decoder.decoding.readout import Posterior
from rt_decoder.signal import Readout

ITEMS = ("axe", "bee", "cup", "dog")
EVEN = (0.25,) * 4


def readout(
    posterior: tuple[float, ...], prior: tuple[float, ...] = EVEN, at: float = 0.0, **changes: Any
) -> Readout:
    base = Readout(
        0, "event", "onset", 0, at, at + 0.8, ("axe",), (0.1,), (0.5,), False, 0.0, 1.0, (), 0.0,
        False, item=0, posterior=posterior, before=prior,
    )  # fmt: skip
    return base._replace(**changes)


def test_each_readout_counts_once_and_the_prior_counts_once() -> None:
    rng = np.random.default_rng(0)
    prior = np.array([0.4, 0.3, 0.2, 0.1])
    posteriors = rng.dirichlet(np.ones(4), 5)
    evidence = Evidence(ITEMS, dict(zip(ITEMS, prior, strict=True)), stop=1.0, correlation=0.2)
    for one in posteriors:
        evidence.add(readout(tuple(one)))  # by a decoder of another, even, prior
    want = prior * np.exp(np.log(posteriors / 0.25).sum(axis=0) / (1 + 4 * 0.2))
    assert evidence.posterior == pytest.approx(want / want.sum())
    assert evidence.best == (ITEMS[int(np.argmax(want))], pytest.approx(max(want) / want.sum()))


def test_it_is_the_pool_of_a_session() -> None:
    rng = np.random.default_rng(1)
    log_prior = np.log([0.4, 0.3, 0.2, 0.1])
    single = Posterior(log_prior, 4.0, floor=0.05)
    pool = EvidencePool(log_prior, 4.0, 6, floor=0.05, correlation=0.3)
    evidence = Evidence(ITEMS, stop=1.0, correlation=0.3)
    for scores in rng.uniform(-1, 1, (6, 4)).astype(np.float32):
        pool.add(scores)
        pool.answer(4)
        evidence.add(readout(tuple(single.probabilities(scores)), tuple(single.prior)))
        assert evidence.posterior == pytest.approx(pool.probabilities(), rel=1e-9)


@given(
    rows=st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=6),
    weight=st.floats(0, 1),
)
def test_it_is_a_posterior_whatever_comes(rows: list[list[float]], weight: float) -> None:
    evidence = Evidence(ITEMS, most=3)
    for row in rows:
        if any(row):
            evidence.add(readout(tuple(-0.0 if p == 0 else p / sum(row) for p in row)), weight)
    assert evidence.posterior.sum() == pytest.approx(1.0)
    assert (evidence.posterior >= 0).all()
    assert math.isfinite(evidence.decide("bee").bits)


def test_certainties_that_contradict_each_other_stay_probabilities() -> None:
    evidence = Evidence(ITEMS, stop=1.0, most=100)
    for _ in range(20):
        evidence.add(readout((1.0, 0.0, 0.0, 0.0)))
        evidence.add(readout((0.0, 1.0, 0.0, 0.0)))
    assert evidence.posterior == pytest.approx([0.5, 0.5, 0.0, 0.0])


def test_it_stops_when_it_is_sure_or_has_seen_enough() -> None:
    evidence = Evidence(ITEMS, error_rate=0.1, most=4)
    assert evidence.best == ("axe", 0.25)
    steps = [evidence.add(readout((0.7, 0.1, 0.1, 0.1), at=float(t))) for t in range(2)]
    assert steps == [False, True]
    decision = evidence.decide("bee")
    assert (decision.item, decision.is_sure, decision.is_right) == ("axe", True, False)
    assert (decision.n, decision.n_seen, decision.seconds) == (2, 2, pytest.approx(1.8))
    assert decision.bits == pytest.approx(math.log2(4 * 0.1**2 / (0.7**2 + 3 * 0.1**2)))
    assert [evidence.add(readout(EVEN)) for _ in range(4)] == [False, False, False, True]
    assert not evidence.decide("axe").is_sure
    assert evidence.decide().bits == 0.0  # nothing was added
    told = evidence.summary()
    assert (told["n"], told["n_sure"], told["error_rate"]) == (3, 1, 0.5)
    assert told["error_rate_sure"] == 1.0
    assert Evidence(ITEMS).summary()["error_rate"] is None


def test_readouts_that_say_nothing_are_seen_and_left_out() -> None:
    evidence = Evidence(ITEMS, most=4)
    for reason in ("quality", "nonfinite", "not fitted"):
        posterior = () if reason == "nonfinite" else (0.97, 0.01, 0.01, 0.01)
        assert not evidence.add(
            readout(posterior, abstained=True, reasons=("muscle", reason))
        )  # fmt: skip
    evidence.add(readout((0.97, 0.01, 0.01, 0.01), kind="pooled"))
    assert (evidence.n, evidence.n_seen) == (0, 3)
    assert not Evidence(ITEMS, most=2).add(None)
    assert Evidence(ITEMS, most=1).add(None)
    unsure = readout((0.4, 0.2, 0.2, 0.2), abstained=True, reasons=("uncertain",))
    assert evidence.add(unsure)
    assert evidence.best == ("axe", pytest.approx(0.4))


def test_candidates_are_those_of_the_readouts() -> None:
    pair, before = (0.8, 0.2, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0)
    evidence = Evidence(ITEMS)
    evidence.add(readout(pair, before))
    assert evidence.posterior == pytest.approx(pair)
    narrower = Evidence(ITEMS, {"axe": 1, "bee": 3, "cup": -0.0})
    narrower.add(readout(pair, before))
    assert narrower.posterior == pytest.approx([0.8 / 1.4, 0.6 / 1.4, 0, 0])
    with pytest.raises(ValueError, match="without 'cup'"):
        Evidence(ITEMS, dict.fromkeys(ITEMS, 1.0)).add(readout(pair, before))
    assert evidence.decide("dog").bits == 0.0  # it was no candidate


def test_hops_count_for_what_is_new_in_them() -> None:
    """Windows at every hop, beside nothing being said; ten that say the same are one."""
    hop = readout((0.3, 0.1, 0.1, 0.1), (0.1,) * 4, kind="continuous")
    ten, one = Evidence(ITEMS, most=100), Evidence(ITEMS, most=100)
    for _ in range(10):
        ten.add(hop, weight=0.1)
    one.add(hop)
    assert ten.posterior == pytest.approx(one.posterior)
    assert one.posterior == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


def test_calibrated_readouts_reach_the_wanted_error_rate() -> None:
    rng = np.random.default_rng(0)
    evidence = Evidence(ITEMS, error_rate=0.1, most=60)
    for k in range(400):
        truth = int(rng.integers(4))
        evidence.begin()
        while not evidence.is_done:
            logits = rng.standard_normal(4)
            logits[truth] += 1.0  # log-likelihood ratio of a unit shift in unit noise
            odds = np.exp(logits)
            evidence.add(readout(tuple(odds / odds.sum()), at=float(k)))
        evidence.decide(ITEMS[truth])
    told = evidence.summary()
    assert told["error_rate"] <= 0.1
    assert told["error_rate"] == pytest.approx(told["expected_error_rate"], abs=0.04)
    assert told["bits_per_minute"] > 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stop": 0.0}, "stop"), ({"error_rate": 1.0}, "error rate"), ({"most": 0}, "least"),
        ({"correlation": 1.1}, "correlation"), ({"prior": {"ape": 1.0}}, "ape"),
        ({"prior": {"axe": 0.0}}, "prior"), ({"prior": {"axe": math.nan}}, "prior"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Evidence(ITEMS, **changes)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (readout(()), "posterior=True"), (readout((0.5, 0.5)), "4 items"),
        (readout((math.nan, 0.0, 0.0, 0.0)), "probabilities"),
        (readout((-0.1, 1.1, 0.0, 0.0)), "probabilities"),
        (readout(EVEN, item=2), "order .*got 'axe' for 'cup'"),
    ],
)  # fmt: skip
def test_readouts_that_cannot_be_added_are_refused(one: Readout, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Evidence(ITEMS).add(one)
    with pytest.raises(ValueError, match="weight"):
        Evidence(ITEMS).add(readout(EVEN), 1.5)
    with pytest.raises(ValueError, match="truth"):
        Evidence(ITEMS).decide("ape")
