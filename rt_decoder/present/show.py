"""Show a schedule: on time, with a marker for what is seen, and a row for what was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from rt_decoder.present.schedule import Step

__all__ = ["PAUSED", "RESUMED", "Screen", "Shown", "show"]

PAUSED, RESUMED = "cue/pause", "cue/resume"  # labels of markers, which are no words
_PAUSE, _END = (" ", "p"), ("q", "\x1b", "\x03")
_POLL = 0.002  # s


class Screen(Protocol):
    """Where words are seen."""

    def show(self, step: Step) -> float:
        """Show a step; return when it was seen, in s on the LSL clock."""
        ...

    def key(self, wait: float) -> str:
        """Return a key that was pressed within `wait` s, "" if none was."""
        ...


class Shown(NamedTuple):
    """What became of a step."""

    step: Step
    time: float  # when it was seen, in s on the LSL clock
    late: float  # s after its planned time; 0 where it waited for a key
    duration: float  # s until the next step
    key: str  # that ended it; "" for none


class _Ended(Exception):
    """The participant or the experimenter ended the session."""


def show(
    steps: Sequence[Step],
    screen: Screen,
    send: Callable[[str, float], object],
    clock: Callable[[], float],
) -> Iterator[Shown]:
    """Show steps one after the other.

    A step is planned from the planned end of the one before, so that what is late once does not
    delay all that follows. Space or ``p`` pauses, any key goes on; ``q`` or Esc ends.

    Parameters
    ----------
    steps : sequence of Step
    screen : Screen
    send : callable
        Takes a marker's label and its time in s; called once a step is seen.
    clock : callable
        Returns the time in s on the LSL clock.

    Yields
    ------
    Shown
        Each step, once it is over; what was ended early is yielded, too.
    """
    due = clock()
    for step in steps:
        seen = screen.show(step)
        if step.label:
            send(step.label, seen)
        late = max(0.0, seen - due)
        due += step.seconds
        try:
            pressed = _wait(step, due, screen, clock)
        except _Ended:
            yield Shown(step, seen, late, clock() - seen, "q")
            return
        yield Shown(step, seen, late, clock() - seen, pressed)
        if pressed in _PAUSE and step.seconds:
            send(PAUSED, clock())
            screen.show(Step("rest", "Paused; press a key to go on", "", 0.0, step.block))
            if _key(screen) in _END:
                return
            send(RESUMED, clock())
        if pressed or not step.seconds:
            due = clock()


def _wait(step: Step, due: float, screen: Screen, clock: Callable[[], float]) -> str:
    """Wait for a step's end; return the key that ended it."""
    if not step.seconds:
        while (pressed := _key(screen)) not in ("y", "n") and step.answer:
            if pressed in _END:
                raise _Ended
        if pressed in _END:
            raise _Ended
        return pressed
    while (left := due - clock()) > 0:
        pressed = screen.key(min(left, _POLL) if left < 2 * _POLL else left - _POLL)
        if pressed in _END:
            raise _Ended
        if pressed in _PAUSE:
            return pressed
    return ""


def _key(screen: Screen) -> str:
    """Wait for a key."""
    while not (pressed := screen.key(1.0)):
        pass
    return pressed
