"""Keep the interpreter from holding up the live loop."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["undisturbed"]

SWITCH = 5e-4  # s; longest time that another Python thread may hold this one up


@contextmanager
def undisturbed() -> Iterator[None]:
    """Shorten garbage collections and the turns of other threads, within the context."""
    gc.collect()
    gc.freeze()  # collections skip everything built so far
    switching = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)  # a worker's thread yields within this time
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(switching)
