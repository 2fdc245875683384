"""Keep the interpreter from holding up the live loop."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rt_decoder.live.tuning import tuned

__all__ = ["undisturbed"]

SWITCH = 5e-4  # s; longest time that another Python thread may hold this one up


@contextmanager
def undisturbed(
    tune: Collection[str] = (), tell: Callable[..., object] | None = None
) -> Iterator[None]:
    """Shorten garbage collections and the turns of other threads, within the context.

    Parameters
    ----------
    tune : collection of str
        What else to ask the system for; see `tuning.tuned`.
    tell : callable or None
        Called with ``"tuned"`` and what was done, if something is asked for.

    Yields
    ------
    None
    """
    gc.collect()
    gc.freeze()  # collections skip everything built so far
    switching = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)  # a worker's thread yields within this time
    try:
        with tuned(tune) as done:
            if done and tell is not None:
                tell("tuned", **done)
            yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(switching)
