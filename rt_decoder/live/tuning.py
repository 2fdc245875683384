"""Ask the system for even timing of the session's thread: what it allows, and why not the rest.

Everything here is of Linux, and is given back at the end. Where the system or the user's rights do not
allow it, the session goes on without and says so.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["TUNABLE", "check_tune", "tuned"]

_FIFO = 10  # above all usual work, below the kernel's own
_NICE = -10  # where real time is not allowed
_SET_SLACK, _GET_SLACK = 29, 30  # of prctl
_SLACK_NS = 1  # by which a timer may be late, usually 50,000
_NOW = 1  # mlockall: what is in memory now


def _priority(stack: ExitStack) -> str:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO))
    except PermissionError:
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        stack.callback(os.setpriority, os.PRIO_PROCESS, 0, usual)
        return f"nice {_NICE}: real time is not allowed (ulimit -r)"
    stack.callback(os.sched_setscheduler, 0, *before)
    return f"real time, SCHED_FIFO {_FIFO}"


def _core(stack: ExitStack) -> str:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        return "not done: there is one processor"
    last = max(before)  # interrupts go to the first ones
    os.sched_setaffinity(0, {last})
    stack.callback(os.sched_setaffinity, 0, before)
    return f"processor {last}"


def _slack(stack: ExitStack) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    before = libc.prctl(_GET_SLACK, 0, 0, 0, 0)
    if before < 0 or libc.prctl(_SET_SLACK, _SLACK_NS, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    stack.callback(libc.prctl, _SET_SLACK, before, 0, 0, 0)
    return f"timers late by {_SLACK_NS} ns, not {before}"


def _memory(stack: ExitStack) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_NOW):
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())} (ulimit -l)")
    stack.callback(libc.munlockall)
    return "kept from being swapped"


TUNABLE: dict[str, Callable[[ExitStack], str]] = {
    "priority": _priority, "core": _core, "slack": _slack, "memory": _memory,
}  # fmt: skip


def check_tune(wanted: Collection[str]) -> None:
    """Raise ValueError if something is to be tuned that cannot be."""
    if unknown := set(wanted) - TUNABLE.keys():
        raise ValueError(f"need tune among {', '.join(TUNABLE)}, got {', '.join(sorted(unknown))}")


@contextmanager
def tuned(wanted: Collection[str]) -> Iterator[dict[str, str]]:
    """Tune the calling thread within the context.

    Parameters
    ----------
    wanted : collection of str
        Among `TUNABLE`: ``priority`` (real time), ``core`` (one processor), ``slack`` (of timers),
        ``memory`` (locked, of the whole process).

    Yields
    ------
    dict of str to str
        Of each what was done, or why it was not.
    """
    with ExitStack() as stack:
        told = {}
        for name in TUNABLE:  # memory last: it locks what is there
            if name in wanted:
                try:
                    told[name] = TUNABLE[name](stack)
                except OSError as error:
                    told[name] = f"not done: {error.strerror}"
                except AttributeError:  # not on Linux
                    told[name] = "not done: this system cannot"
        yield told
