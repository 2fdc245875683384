"""Ask the system for even timing of the session's thread: what it allows, and why not the rest.

Everything here is of Linux, and is given back at the end. Where the system or the user's rights do not
allow it, the session goes on without and says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["TUNABLE", "check_tune", "tuned"]

_FIFO = 10  # above all usual work, below the kernel's own
_NICE = -10  # where real time is not allowed
_SET_SLACK, _GET_SLACK = 29, 30  # of prctl
_SLACK_NS = 1  # by which a timer may be late, usually 50,000
_NOW = 1  # mlockall: what is in memory now
_TURN_NS = 100_000  # the shortest that Linux gives
_SET_GET = {"x86_64": (314, 315), "aarch64": (274, 275)}  # sched_setattr, sched_getattr
# size, policy, flags, nice, priority, runtime, deadline, period, limits of utilisation
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")


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


def _turns(stack: ExitStack) -> str:
    """Ask for short turns: a thread that wakes then goes before one whose turns are longer.

    Otherwise a thread that runs keeps its processor to the end of its turn, some milliseconds, since
    Linux 6.6, whoever wakes. Needs no rights; Linux has it since 6.12.
    """
    before = _attributes()
    _set_attributes((*before[:5], _TURN_NS, *before[6:]))
    if _attributes()[5] != _TURN_NS:
        return "not done: needs Linux 6.12 and usual scheduling"
    stack.callback(_set_attributes, before)
    return f"turns of {_TURN_NS / 1e6:g} ms, so that it goes before others when it wakes"


def _attributes() -> tuple[int, ...]:
    """Return how this thread is scheduled, as `sched_getattr` has it."""
    data = ctypes.create_string_buffer(_ATTRIBUTES.size)
    _call(1, data, _ATTRIBUTES.size, 0)
    return _ATTRIBUTES.unpack(data.raw)


def _set_attributes(wanted: tuple[int, ...]) -> None:
    _call(0, _ATTRIBUTES.pack(_ATTRIBUTES.size, *wanted[1:]), 0)


def _call(which: int, *arguments: object) -> None:
    numbers = _SET_GET.get(platform.machine())
    if numbers is None:
        raise AttributeError(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(numbers[which], 0, *arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


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
    "turns": _turns, "priority": _priority, "core": _core, "slack": _slack, "memory": _memory,
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
        Among `TUNABLE`: ``turns`` (short ones, which needs no rights), ``priority`` (real time),
        ``core`` (one processor), ``slack`` (of timers), ``memory`` (locked, of the whole process).

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
