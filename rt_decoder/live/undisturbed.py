"""What the interpreter must not do while a stream is decoded."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["undisturbed"]

SWITCH = 5e-4  # s


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep garbage collection short, and other threads from holding this one up."""
    gc.collect()
    gc.freeze()  # what was imported and built is never scanned again while decoding
    switching = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)  # a writer's thread gives way within that
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(switching)
