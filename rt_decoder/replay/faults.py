"""Faults of a stream: their kinds, and the grammar of ``--faults``.

`fault_plan` applies them to samples, `faulty_replay` to the process that sends.
"""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from itertools import pairwise
from typing import NamedTuple

__all__ = ["GRAMMAR", "Fault", "parse_faults"]

GRAMMAR = (
    "NAME=AMOUNT@SECOND, joined by commas, such as loss=0.1s@10, stall=2s@20, step=+0.5s@30, "
    "nan=50ms@50, rail=1s@55, invert=1s@58, gain=1s@59, swap=1s@59, kill=5s@60, hang=2s@70, silent=2s@75, permute@80, rate=500@85, "
    "unit@90, and for the whole stream jitter=4ms, burst=16, drift=200ppm"
)

_SECONDS = {"s": 1.0, "ms": 1e-3}
# kind -> (units of its amount with their factors, or None for no amount; whether it has a time)
_KINDS: dict[str, tuple[dict[str, float] | None, bool]] = {
    "loss": (_SECONDS, True),
    "stall": (_SECONDS, True),
    "step": (_SECONDS, True),
    "nan": (_SECONDS, True),
    "rail": (_SECONDS, True),
    "invert": (_SECONDS, True),
    "gain": (_SECONDS, True),
    "swap": (_SECONDS, True),
    "kill": (_SECONDS, True),
    "hang": (_SECONDS, True),
    "silent": (_SECONDS, True),
    "permute": (None, True),
    "rate": ({"": 1.0, "Hz": 1.0}, True),
    "unit": (None, True),
    "jitter": (_SECONDS, False),
    "burst": ({"": 1.0}, False),
    "drift": ({"ppm": 1e-6}, False),
}
_SIGNED = ("step", "drift")
_ALONE = {"permute": 1.0, "rate": 0.0, "unit": 1.0}  # default amounts; rate 0: twice the old
_DEATHS = ("kill", "permute", "rate", "unit")
_FULL = re.compile(r"([a-z]+)(?:=([^@]*))?(?:@(.*))?", re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}))([A-Za-z]*)")


class Fault(NamedTuple):
    """One fault of a stream.

    ====================  ==========================================================================
    kind                  effect
    ====================  ==========================================================================
    ``loss``, ``silent``  samples of that time are never delivered
    ``stall``             samples of that time come together at its end, with their stamps
    ``hang``              as ``stall``, because the sender's process is stopped
    ``nan``               values are NaN, except in trigger channels
    ``rail``              values are ten times the channel's largest magnitude, except in triggers
    ``invert``            values have the opposite sign, except in trigger channels
    ``gain``              values are six times as large, except in trigger channels
    ``swap``              each channel has the values of the next, except trigger channels
    ``step``              stamps are off by `amount` from then on; samples come as before
    ``drift``             the clock of the stamps runs fast by that ratio
    ``jitter``            stamps have normal errors with that standard deviation, one error a burst;
                          a sample whose stamp is late is sent late, too
    ``burst``             that many samples are sent together, when the last is due
    ``kill``              the sender's process dies and comes back after `amount`
    ``permute``           it comes back after 1 s with its channels in another order
    ``rate``              it comes back after 1 s and declares another rate
    ``unit``              it comes back after 1 s and declares another unit for the same numbers
    ====================  ==========================================================================
    """

    kind: str
    amount: float  # s; burst: samples; drift: ratio; rate: Hz, 0 for twice the old
    at: float = 0.0  # s since the first sample; 0 for a fault of the whole stream

    @property
    def process(self) -> bool:
        """Whether the fault happens to the process that sends."""
        return self.death or self.kind == "hang"

    @property
    def death(self) -> bool:
        """Whether the process that sends dies and comes back."""
        return self.kind in _DEATHS

    @property
    def end(self) -> float:
        """Time of its end in s since the first sample; inf for a fault of the whole stream."""
        if self.kind in ("jitter", "burst", "drift"):
            return math.inf
        if self.kind == "step":
            return self.at
        return self.at + (1.0 if self.kind == "rate" else self.amount)


def parse_faults(spec: str) -> tuple[Fault, ...]:
    """Parse the text of ``--faults``.

    Parameters
    ----------
    spec : str
        Faults, joined by commas; see `GRAMMAR`.

    Returns
    -------
    tuple of Fault
        In order of time.

    Raises
    ------
    ValueError
        If a fault is unknown, lacks its amount, unit or time or must not have it, or happens to
        the process before the one before is over.

    Examples
    --------
    >>> parse_faults("jitter=4ms,loss=0.1s@10")
    (Fault(kind='jitter', amount=0.004, at=0.0), Fault(kind='loss', amount=0.1, at=10.0))
    """
    faults = [_parse_one(part.strip()) for part in spec.split(",")]
    lasting = [fault.kind for fault in faults if not _KINDS[fault.kind][1]]
    if len(lasting) > len(set(lasting)):
        raise ValueError(f"need jitter, burst and drift at most once each, got {spec[:80]!r}")
    faults.sort(key=lambda fault: fault.at)
    busy = [fault for fault in faults if fault.process]
    for first, second in pairwise(busy):
        if second.at < first.end:
            raise ValueError(
                f"need {first.kind}@{first.at:g} to end before {second.kind}@{second.at:g}, "
                f"got its end at {first.end:g} s"
            )
    return tuple(faults)


def _parse_one(text: str) -> Fault:
    match = _FULL.fullmatch(text)
    kind = match[1] if match else re.split("[=@]", text)[0].strip()
    if not match or kind not in _KINDS:
        near = get_close_matches(kind[:20].lower(), _KINDS, n=1, cutoff=0.3)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"need a fault, got {text[:40]!r}{hint}; faults are {GRAMMAR}")
    units, timed = _KINDS[kind]
    if (match[2] is None and kind not in _ALONE) or (match[2] is not None and units is None):
        raise _refused(text, "an amount" if units else "no amount")
    if (match[3] is not None) != timed:
        raise _refused(text, "a time, @SECOND," if timed else "no time")
    at = _number(match[3], {"": 1.0, "s": 1.0}, text) if match[3] is not None else 0.0
    amount = _number(match[2], units, text) if match[2] is not None and units else _ALONE[kind]
    if at < 0:
        raise _refused(text, "a time of 0 s or later")
    if match[2] is not None and (amount == 0 if kind in _SIGNED else amount <= 0):
        raise _refused(text, "an amount other than 0" if kind in _SIGNED else "an amount above 0")
    if kind == "burst" and amount != int(amount):
        raise _refused(text, "a whole number of samples")
    if kind == "drift" and abs(amount) > 0.01:
        raise _refused(text, "a drift of at most 10000ppm")
    return Fault(kind, amount, at)


def _number(text: str, units: dict[str, float], fault: str) -> float:
    match = _NUMBER.fullmatch(text)
    if not match or match[2] not in units:
        named = " or ".join(unit for unit in units if unit)
        raise _refused(fault, f"a number{f' with unit {named}' if named else ''} for {text[:20]!r}")
    return float(match[1]) * units[match[2]]


def _refused(text: str, what: str) -> ValueError:
    return ValueError(f"need {what} in fault {text[:40]!r}; faults are {GRAMMAR}")
