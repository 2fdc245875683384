"""Skip a backlog of samples, down to its newest hop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rt_decoder.signal import StreamLost
from rt_decoder.source import Received

__all__ = ["Newest", "skip_to_newest"]


class Newest(NamedTuple):
    """The samples left to decode."""

    hop: Received  # the newest hop of the backlog
    after: Received  # samples that came since, at most a hop
    n_skipped: int
    lost: StreamLost | None  # not None if the stream was lost meanwhile


def skip_to_newest(
    received: Received,
    n_hop: int,
    pull: Callable[[float], Received],
    skip: Callable[[Received], int],
) -> Newest:
    """Skip all but the newest hop of a backlog, as if it had been lost.

    Parameters
    ----------
    received : Received
        More than a hop of samples.
    n_hop : int
        Samples in a hop.
    pull : callable
        Pulls from the source, where minutes of samples may wait; takes a timeout in s.
    skip : callable
        Skips samples and returns how many.

    Returns
    -------
    Newest
    """
    n_skipped, hop = 0, received.rows(0, 0)
    while len(received.stamps) > n_hop:
        n_skipped += skip(hop) + skip(received.rows(None, -n_hop))
        hop = received.rows(-n_hop, None).copy()
        try:
            received = pull(0.0)
        except StreamLost as error:
            return Newest(hop, received.rows(0, 0), n_skipped, error)
    return Newest(hop, received, n_skipped, None)
