"""Getting ready for an answer before its last sample: when, how often, and that no bit depends on it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rt_decoder.live.foresight import LEAD, LONGEST, Foresight
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.signal import Marker
from rt_decoder.source import Received
from tests.small import random_model, small_recipe, timeless
from tests.test_pipeline import CONTINUOUS, DATA, RECORDING, chunk_of, waiting

SFREQ, N = 1000.0, 10


class Waits:
    """A session that waits for hops of 10 samples, and notes when it gets ready."""

    def __init__(self, answers_next: bool = True) -> None:
        self.n_ready, self.now = 0, 100.0
        self.pipeline: Any = SimpleNamespace(answers_next=answers_next, touch=self._touch)
        self.foresight = Foresight(SFREQ, lambda: self.now)
        self.wait(N, N)  # a hop is complete

    def _touch(self) -> None:
        self.n_ready += 1

    def wait(self, n_came: int, n: int) -> float:
        waits = []

        def pull(_source: Any, timeout: float, n: int) -> Received:
            waits.append(timeout)
            self.now += timeout if n_came < n else 0.0
            return Received(np.zeros((n_came, 1)), np.zeros(n_came), self.now, 0.0)

        self.pipeline.n_wanted = n
        receiver: Any = SimpleNamespace(pull=pull)
        received, wanted = self.foresight.pull(receiver, receiver, self.pipeline)
        assert (len(received.stamps), wanted) == (n_came, n)
        return waits[0]


@pytest.mark.parametrize("n_came", [9, 0])  # one by one, or ten in a packet
def test_the_first_wait_ends_before_the_last_sample_and_the_second_is_whole(n_came: int):
    session = Waits()
    assert session.wait(n_came, N) == pytest.approx(N / SFREQ - LEAD)
    assert session.n_ready == 1
    assert session.wait(N - n_came, N - n_came) == LONGEST
    assert session.n_ready == 1


def test_an_answer_that_came_sooner_needs_no_getting_ready():
    session = Waits()
    session.wait(N, N)
    assert session.n_ready == 0
    assert session.wait(9, N) < LONGEST
    assert session.n_ready == 1


def test_a_stream_that_stands_still_is_waited_for_as_a_whole():
    session = Waits()
    assert session.wait(0, N) < LONGEST
    assert [session.wait(0, N) for _ in range(4)] == [LONGEST] * 4
    assert session.n_ready == 1


def test_nothing_is_parted_where_no_answer_follows_or_the_decoder_is_behind():
    session = Waits(answers_next=False)
    assert session.wait(0, N) == LONGEST
    session = Waits()
    session.now += 0.9 * N / SFREQ  # it took most of a hop to decode one
    assert session.wait(N, N) == LONGEST
    assert session.n_ready == 0


def test_the_pipeline_knows_whether_an_answer_is_next():
    model = random_model(RECORDING, small_recipe())
    pipeline = Pipeline(model, waiting(0.1))
    onset, chunk = 300, chunk_of(DATA, model.info.sfreq)
    pipeline.mark(Marker("item0", 0.0, onset))
    end, due = onset + pipeline.window.last, []
    for t in range(end):
        piece = chunk_of(DATA[t : t + 1], model.info.sfreq)._replace(index=t)
        pipeline.push(piece)
        due.append(pipeline.answers_next)
    n_hop = model.n_hop
    first = (end - 1) // n_hop * n_hop  # where the hop begins in which the window ends
    assert not any(due[: first - 1])
    assert all(due[first - 1 : end - 1])
    assert not due[end - 1]
    hops = Pipeline(model, CONTINUOUS)
    hops.push(chunk)
    assert hops.answers_next
    hops.pause(True)
    assert not hops.answers_next


@pytest.mark.parametrize("n_items", [12, 70_000])  # the latter in a compact table
@pytest.mark.parametrize("options", [CONTINUOUS, PipelineOptions()])
def test_getting_ready_changes_no_bit(n_items: int, options: PipelineOptions):
    items = [f"word{i}" for i in range(n_items)]
    model = random_model(RECORDING, small_recipe(), items=items)
    found = []
    for is_ready in (False, True):
        pipeline, answers = Pipeline(model, options), []
        pipeline.mark(Marker("item0", 0.0, 100))
        for start in range(0, 450, 3):
            piece = chunk_of(DATA[start : start + 3].copy(), model.info.sfreq)
            if is_ready:
                pipeline.touch()
            times = np.arange(start, start + 3) / model.info.sfreq
            answers += pipeline.push(piece._replace(index=start, times=times))
        found.append(timeless(answers))
    assert found[0] == found[1]
    assert found[0]
