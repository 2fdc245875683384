"""Detect that a lost stream was replaced, and reconnect to it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from rt_decoder.channels import same_layout
from rt_decoder.live.watchdog import State, Watchdog
from rt_decoder.signal import ModelMismatch, SignalInfo, StreamLost
from rt_decoder.source import SampleSource, Streams

__all__ = ["Returned", "has_replacement", "wait_for_return"]

REPLACED_AFTER = 2.0  # s of silence before the search for another outlet


class Returned(NamedTuple):
    """A stream that came back; it is open."""

    source: SampleSource
    picks: np.ndarray | None  # (c,) columns in the old order; None if unchanged


def has_replacement(streams: Streams, watchdog: Watchdog, now: float) -> bool:
    """Check whether another outlet has replaced a silent stream.

    Parameters
    ----------
    streams : Streams
        Searches in the background.
    watchdog : Watchdog
        Watches the silent stream.
    now : float
        Time on the watchdog's clock, in s.

    Returns
    -------
    bool
        Always False before 2 s of silence.
    """
    if now - watchdog.last <= REPLACED_AFTER or watchdog.state is not State.STALE:
        return False
    return streams.replacement() is not None


def wait_for_return(
    streams: Streams,
    want: SignalInfo,
    needed: Collection[str],
    should_stop: Callable[[], bool],
    tell: Callable[..., None] = lambda *_, **__: None,
) -> Returned | None:
    """Wait until a lost stream is back, and open it.

    Parameters
    ----------
    streams : Streams
        Finds the stream.
    want : SignalInfo
        The stream before the loss.
    needed : collection of str
        Channels that it must still have.
    should_stop : callable
        Takes nothing; returns True to give up.
    tell : callable
        Called with an event's name and its details when a stream is there and is not taken.

    Returns
    -------
    Returned or None
        None if `should_stop` ended the wait.

    Raises
    ------
    ModelMismatch
        If the stream came back with another layout.
    """
    told = {""}
    while not should_stop():
        source = streams.reopen(1.0)
        if source is None:
            if streams.why_not not in told:
                told.add(streams.why_not)
                tell("not_back", reason=streams.why_not)
            continue
        try:
            picks = same_layout(source.info, want, needed)
        except ModelMismatch:
            source.close()
            raise
        try:
            source.open()
        except (StreamLost, TimeoutError):
            continue
        return Returned(source, picks)
    return None
