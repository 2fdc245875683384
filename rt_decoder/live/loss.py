"""A stream that is gone: when another has taken its place, and how it is taken up again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from rt_decoder.channels import same_layout
from rt_decoder.live.watchdog import State, Watchdog
from rt_decoder.signal import ModelMismatch, SignalInfo, StreamLost
from rt_decoder.source import SampleSource, Streams

__all__ = ["Returned", "has_replacement", "wait_for_return"]

REPLACED_AFTER = 2.0  # s of silence before another outlet is looked for


class Returned(NamedTuple):
    """A stream that came back, open."""

    source: SampleSource
    picks: np.ndarray | None  # (c,) columns that put it in the old order; None if it is that


def has_replacement(streams: Streams, watchdog: Watchdog, now: float) -> bool:
    """Whether another outlet has taken the place of a stream that is silent.

    Parameters
    ----------
    streams : Streams
        Looks for it, in the background.
    watchdog : Watchdog
        Of the silent stream.
    now : float
        In s, on the clock of the watchdog.

    Returns
    -------
    bool
    """
    if now - watchdog.last <= REPLACED_AFTER or watchdog.state is not State.STALE:
        return False
    return streams.replacement() is not None


def wait_for_return(
    streams: Streams,
    want: SignalInfo,
    needed: Collection[str],
    should_stop: Callable[[], bool],
) -> Returned | None:
    """Wait until a lost stream is back, and open it.

    Parameters
    ----------
    streams : Streams
        Finds it.
    want : SignalInfo
        What it was.
    needed : collection of str
        Channels that it must still have.
    should_stop : callable
        Whether to give up.

    Returns
    -------
    Returned or None
        None if it was given up.

    Raises
    ------
    ModelMismatch
        If it came back changed.
    """
    while not should_stop():
        source = streams.reopen(1.0)
        if source is None:
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
