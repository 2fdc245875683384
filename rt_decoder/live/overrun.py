"""Too much is waiting to be decoded: down to the newest hop of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rt_decoder.signal import StreamLost
from rt_decoder.source import Received

__all__ = ["Newest", "skip_to_newest"]


class Newest(NamedTuple):
    """What is left to decode."""

    hop: Received  # the newest one of what was waiting
    after: Received  # what has come since, less than a hop
    n_skipped: int
    lost: StreamLost | None  # the stream was lost meanwhile


def skip_to_newest(
    received: Received,
    n_hop: int,
    pull: Callable[[float], Received],
    skip: Callable[[Received], int],
) -> Newest:
    """Skip all but the newest hop of what waits, as if it had been lost.

    Parameters
    ----------
    received : Received
        More than a hop.
    n_hop : int
        Samples of a hop.
    pull : callable
        Takes what waits in the source, which may hold minutes of it.
    skip : callable
        Lets samples pass; gives how many.

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
