"""Every stage keeps every law of `contract.py`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.signal import Chunk
from tests import contract
from tests.contract import STAGES

N = 150
stages = pytest.mark.parametrize("name", STAGES)
cuts = st.lists(st.integers(0, N), max_size=30).map(sorted)


@stages
@given(cuts=cuts, index=st.integers(0, 1000), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_cut_invariant(name, cuts, index, seed):
    contract.check_cut_invariant(STAGES[name], contract.make_chunk(N, seed, index), cuts)


@stages
def test_one_sample_at_a_time(name):
    contract.check_cut_invariant(STAGES[name], contract.make_chunk(N), range(1, N))


@stages
@given(at=st.integers(0, N), index=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_causal(name, at, index):
    contract.check_causal(STAGES[name], contract.make_chunk(N, index=index), at)


@stages
@pytest.mark.parametrize(
    "check",
    [
        contract.check_form,
        contract.check_flags_pass,
        contract.check_reset,
        contract.check_input_untouched,
        contract.check_empty_chunk,
        contract.check_nan_does_not_persist,
        contract.check_delay,
    ],
)
def test_law(name, check):
    check(STAGES[name])


@pytest.mark.parametrize("name", [name for name, case in STAGES.items() if case.steady])
def test_no_allocation(name):
    contract.check_no_allocation(STAGES[name])


class _Broken:
    """A stage with one fault, to prove that the laws see it."""

    info, delay = contract.INFO, 0.0

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.reset()

    def reset(self) -> None:
        self.n_seen = 0 if self.fault != "forgets to reset" else getattr(self, "n_seen", 0)

    def process(self, chunk: Chunk) -> Chunk:
        data = chunk.data.copy()
        if self.fault == "chunk statistic" and len(data):
            data -= data.mean(axis=0)
        if self.fault == "looks ahead" and len(data) > 1:
            data[:-1] += data[1:]
        if self.fault == "writes into its input":
            chunk.data[:] = 0.0
        if self.fault == "forgets to reset":
            data += self.n_seen
            self.n_seen += len(data)
        if self.fault == "never forgets":
            data = np.cumsum(data, axis=0)
        if self.fault == "hides its delay":
            data = np.roll(data, 20, axis=0)
        return chunk._replace(data=data)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("chunk statistic", lambda case: contract.check_cut_invariant(case, _chunk(), [50])),
        ("looks ahead", lambda case: contract.check_causal(case, _chunk(), 50)),
        ("writes into its input", contract.check_input_untouched),
        ("forgets to reset", contract.check_reset),
        ("hides its delay", contract.check_delay),
        ("never forgets", contract.check_nan_does_not_persist),
        ("allocates", contract.check_no_allocation),
    ],
)
def test_laws_see_faults(fault, check):
    case = contract.Case(lambda _info: _Broken(fault))
    with pytest.raises((AssertionError, ValueError)):
        check(case)


def _chunk() -> Chunk:
    return contract.make_chunk(N)
