"""Show a schedule: on time, with a marker for what is seen, and a row for what was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from rt_decoder.present.schedule import Step

__all__ = ["END", "PAUSED", "RESUMED", "STOPS", "Frames", "Screen", "Shown", "show"]

PAUSED, RESUMED = "cue/pause", "cue/resume"  # labels of markers, which are no words
END = "\x03"  # the key that a screen gives when the program was asked to end
_PAUSE, _END = (" ", "p"), ("q", "\x1b", END)
STOPS = (*_PAUSE, *_END)  # keys that stop what runs on its time
_POLL = 0.002  # s
_AHEAD = 4  # steps that a screen is told before their time


class Screen(Protocol):
    """Where words are seen."""

    def prepare(self, ahead: Sequence[tuple[Step, float]]) -> None:
        """Make ready what is shown next, each step with its time in s on the LSL clock."""
        ...

    def show(self, step: Step) -> float | None:
        """Show a step.

        Parameters
        ----------
        step : Step

        Returns
        -------
        float or None
            When it was seen, in s on the LSL clock; None if it cannot be shown now: a key that
            pauses or ends came first, or nobody is looking.
        """
        ...

    def key(self, wait: float) -> str:
        """Return a key that was pressed within `wait` s, "" if none was."""
        ...


class Shown(NamedTuple):
    """What became of a step."""

    step: Step
    time: float  # when it was seen, in s on the LSL clock
    late: float  # s after its planned time; below 0 where a frame came before it
    duration: float  # s until the next thing was seen
    key: str  # that ended it; "" for none


class Frames(NamedTuple):
    """What a screen saw of its own frames, while what it showed was timed."""

    n: int = 0
    dropped: int = 0
    longest_ms: float = 0.0  # between two of them
    interval_ms: float = 0.0  # the usual one; 0 where it is unknown


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
        Each step, once the next is seen; what was ended early is yielded, too.
    """
    seen = _Seen(screen, send, clock)
    due = clock()
    try:
        for n, step in enumerate(steps):
            is_open = True
            while is_open:  # a question that was paused is asked again
                while not seen.show(step, due):
                    if seen.over is not None:
                        yield seen.take()
                    seen.pause(screen.key(0.0), step.block)
                    due = clock()
                if seen.over is not None:
                    yield seen.take()
                due += step.seconds
                screen.prepare(_ahead(steps[n:], due))
                pressed = seen.pressed = _wait(step, due, screen, clock)
                is_open = bool(step.answer) and pressed in _PAUSE
                if pressed in _PAUSE and (step.seconds or is_open):
                    seen.pause(pressed, step.block)
                if pressed or not step.seconds:
                    due = clock()
    except _Ended:
        seen.pressed = "q"
    seen.close()
    if seen.over is not None:
        yield seen.take()


class _Seen:
    """What is on the screen now, and what was there before: it is `over` once something follows."""

    def __init__(
        self, screen: Screen, send: Callable[[str, float], object], clock: Callable[[], float]
    ) -> None:
        self._screen, self._send, self._clock = screen, send, clock
        self._now: tuple[Step, float, float] | None = None
        self.over: Shown | None = None
        self.pressed = ""

    def show(self, step: Step, due: float) -> bool:
        """Show a step and mark it; False if it could not be shown now."""
        at = self._screen.show(step)
        if at is None:
            return False
        if step.label:
            self._send(step.label, at)
        self._end(at)
        self._now = step, at, at - due
        return True

    def pause(self, pressed: str, block: int) -> None:
        """Mark a pause, and wait for a key."""
        if pressed in _END:
            raise _Ended
        self._send(PAUSED, self._clock())
        at = self._screen.show(Step("rest", "Paused; press a key to go on", "", 0.0, block))
        if at is not None:
            self._end(at)
        if at is None or _key(self._screen) in _END:
            raise _Ended
        self._send(RESUMED, self._clock())

    def close(self) -> None:
        """End what is on the screen now."""
        self._end(self._clock())

    def take(self) -> Shown:
        """Return what is over, once."""
        assert self.over is not None
        one, self.over = self.over, None
        return one

    def _end(self, at: float) -> None:
        if self._now is not None:
            step, seen, late = self._now
            self.over = Shown(step, seen, late, at - seen, self.pressed)
        self._now, self.pressed = None, ""


def _ahead(steps: Sequence[Step], due: float) -> list[tuple[Step, float]]:
    """Steps after the first, and when; those after a wait for a key have no time yet."""
    found = []
    for step, after in pairwise(steps[: _AHEAD + 1]):
        if not step.seconds:
            break
        found.append((after, due))
        due += after.seconds
    return found


def _wait(step: Step, due: float, screen: Screen, clock: Callable[[], float]) -> str:
    """Wait for a step's end; return the key that ended it."""
    if not step.seconds:
        while (pressed := _key(screen)) not in ("y", "n", *_PAUSE) and step.answer:
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
