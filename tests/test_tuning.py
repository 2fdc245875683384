"""What a session asks of the system, is told of, and gives back."""

from __future__ import annotations

import os
import sys

import pytest

from rt_decoder.live import tuning
from rt_decoder.live.run_options import run_options
from rt_decoder.live.tuning import TUNABLE, tuned
from rt_decoder.live.undisturbed import undisturbed

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")


def test_each_is_done_or_says_why_not() -> None:
    with tuned(TUNABLE) as told:
        assert told.keys() == TUNABLE.keys()
        assert all(told.values())
    with tuned(()) as told:
        assert told == {}


@LINUX
def test_the_thread_is_as_before_afterwards() -> None:
    def now() -> tuple[object, ...]:
        return os.sched_getscheduler(0), os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)

    before = now()
    with tuned(TUNABLE) as told:
        if told["core"].startswith("processor"):
            assert os.sched_getaffinity(0) == {max(os.sched_getaffinity(os.getpid()))}
    assert now() == before


@LINUX
def test_short_turns_need_no_rights_and_are_given_back() -> None:
    try:
        before = tuning._attributes()
    except AttributeError:
        pytest.skip("of this processor the numbers of system calls are not known")
    with tuned(["turns"]) as told:
        turn = tuning._attributes()[5]
    assert told["turns"].startswith("turns of 0.1 ms") == (turn == 100_000)
    assert "Linux 6.12" in told["turns"] or turn == 100_000
    assert tuning._attributes() == before


def test_what_is_not_allowed_or_not_there_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def lack(*_: object) -> None:
        raise AttributeError("module 'os' has no attribute 'sched_getaffinity'")

    monkeypatch.setitem(tuning.TUNABLE, "memory", refuse)
    monkeypatch.setitem(tuning.TUNABLE, "core", lack)
    with tuned(("memory", "core")) as told:
        assert told == {
            "core": "not done: this system cannot", "memory": "not done: Operation not permitted",
        }  # fmt: skip


def test_it_is_told_as_an_event_and_only_where_it_was_asked_for() -> None:
    events: list[tuple[str, dict[str, str]]] = []
    for tune in ((), ("slack",)):
        with undisturbed(tune, lambda name, **details: events.append((name, details))):
            pass
    ((name, details),) = events
    assert (name, details.keys()) == ("tuned", {"slack"})


def test_what_cannot_be_tuned_is_refused() -> None:
    assert run_options({"tune": ["core"]}).tune == ["core"]
    with pytest.raises(
        ValueError, match="need tune among turns, priority, core, slack, memory, got speed"
    ):
        run_options({"tune": ["speed"]})
