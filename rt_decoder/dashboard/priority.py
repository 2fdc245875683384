"""Let the decoder go first: the page's process asks for what other processes leave."""

from __future__ import annotations

import os

__all__ = ["step_back"]

_NICE = 10


def step_back() -> None:
    """Lower the priority of this thread, and of all threads and processes that it starts from now on.

    Niceness 10, and on Linux ``SCHED_BATCH``: it displaces no thread that runs. Not ``SCHED_IDLE``: on a
    machine that is full the page would stand still. Linux desktops share a processor among
    terminals first (autogroup), where niceness counts within one alone.
    """
    if hasattr(os, "nice"):
        os.nice(_NICE)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
