"""Plan a stream with faults: which samples it sends, when, with which stamps and values.

These are pure functions of a recording's timeline, the faults and a seed; nothing is sent here.
Times are in s since the first sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.replay.faults import Fault
from rt_decoder.signal import SignalInfo, unit_gain

__all__ = ["Life", "Schedule", "corrupt", "lives", "schedule"]

_GAIN = 6.0
_OTHER_UNIT = {"V": "uV", "T": "fT", "T/m": "fT/cm"}


class Schedule(NamedTuple):
    """The m samples, out of n, that are sent, in order; the others are lost.

    `clock` is the sender's clock at each of the n samples, with step and drift but without jitter:
    the stamp of a marker at that moment.
    """

    rows: np.ndarray  # (m,) int64, rising
    due: np.ndarray  # (m,) s, time of sending; never falls
    stamps: np.ndarray  # (m,) s
    life: np.ndarray  # (m,) int64, number of the outlet's process that sends it
    clock: np.ndarray  # (n,) s


def schedule(
    since: np.ndarray, faults: Sequence[Fault], *, chunk: int | None = None, seed: int = 0
) -> Schedule:
    """Plan which samples are sent, when, and with which stamps.

    Parameters
    ----------
    since : array of shape (n,), float64
        Recorded time of each sample in s since the first.
    faults : sequence of Fault
        In order of time, from `parse_faults`.
    chunk : int or None
        Number of samples sent together; the fault ``burst`` overrides it.
    seed : int
        Of the jitter.

    Returns
    -------
    Schedule
        The samples sent.

    Raises
    ------
    ValueError
        If a fault comes after the last sample: it would have no effect.
    """
    n = len(since)
    end = float(since.max())
    for fault in faults:
        if fault.at > end:
            raise ValueError(
                f"need faults within the recording's {end:g} s, got {fault.kind}@{fault.at:g}"
            )
    once = {fault.kind: fault.amount for fault in faults}
    clock = since * (1 + once.get("drift", 0.0))
    for fault in faults:
        if fault.kind == "step":
            clock[since >= fault.at] += fault.amount
    error = np.random.default_rng(seed).normal(0, once.get("jitter", 0.0), n)
    error = error[_last_of_each(n, int(once.get("burst", 1)))]
    due = np.maximum.accumulate(np.maximum(since, since + error))
    due = due[_last_of_each(n, int(once.get("burst", chunk or 1)))]
    lost = np.zeros(n, bool)
    for fault in faults:
        if fault.kind in ("loss", "silent"):
            lost |= (since >= fault.at) & (since < fault.end)
        elif fault.death:
            lost |= (due >= fault.at) & (due < fault.end)
        elif fault.kind in ("stall", "hang"):
            due[(due >= fault.at) & (due < fault.end)] = fault.end
    life = np.searchsorted([fault.at for fault in faults if fault.death], due, side="right")
    sent = ~lost
    return Schedule(np.flatnonzero(sent), due[sent], (clock + error)[sent], life[sent], clock)


def _last_of_each(n: int, size: int) -> np.ndarray:
    """Index of the last sample in each sample's group of `size`, (n,)."""
    return np.minimum((np.arange(n) // size + 1) * size, n) - 1


def corrupt(
    data: np.ndarray, since: np.ndarray, info: SignalInfo, faults: Sequence[Fault]
) -> np.ndarray:
    """Apply the faults ``nan``, ``rail``, ``invert``, ``gain`` and ``swap`` to a copy of the data.

    Parameters
    ----------
    data : array of shape (n, c), float64
        Samples as recorded.
    since : array of shape (n,), float64
        Recorded time of each sample in s since the first.
    info : SignalInfo
        Channels of `data`; trigger channels are left as they are.
    faults : sequence of Fault
        From `parse_faults`; other kinds have no effect here.

    Returns
    -------
    array of shape (n, c), float64
        A new array.

    Raises
    ------
    ValueError
        If there are no two channels to swap.
    """
    data = data.copy()
    analog = np.flatnonzero([ch_type != "stim" for ch_type in info.ch_types])
    if len(analog) < 2 and any(fault.kind == "swap" for fault in faults):
        raise ValueError(f"need two channels other than triggers to swap, got {len(analog)}")
    rails = 10 * np.abs(data[:, analog]).max(axis=0, initial=0.0)
    for fault in faults:
        if fault.kind in ("nan", "rail", "invert", "gain", "swap"):
            rows = np.flatnonzero((since >= fault.at) & (since < fault.end))
            part = np.ix_(rows, analog)
            wrong = {
                "nan": np.nan,
                "rail": rails,
                "invert": -data[part],
                "gain": _GAIN * data[part],
                "swap": np.roll(data[part], -1, axis=1),
            }
            data[part] = wrong[fault.kind]
    return data


class Life(NamedTuple):
    """Declaration and columns of one process of the outlet, which lives until the next death."""

    info: SignalInfo
    picks: np.ndarray  # (c,) int64


def lives(info: SignalInfo, faults: Sequence[Fault], *, seed: int = 0) -> list[Life]:
    """Plan the processes of the outlet: the first, and one after each death.

    Parameters
    ----------
    info : SignalInfo
        Channels as recorded.
    faults : sequence of Fault
        In order of time, from `parse_faults`.
    seed : int
        Of the permutations.

    Returns
    -------
    list of Life
        One more than there are deaths; each starts from the one before.

    Raises
    ------
    ValueError
        If a single channel is to be permuted, or no channel has a unit to be changed.
    """
    rng = np.random.default_rng([seed, 1])
    found = [Life(info, np.arange(info.n_channels))]
    for fault in faults:
        if fault.death:
            found.append(_reborn(found[-1], fault, rng))
    return found


def _reborn(life: Life, fault: Fault, rng: np.random.Generator) -> Life:
    info, picks = life
    units, sfreq = info.units, info.sfreq
    if fault.kind == "permute":
        if info.n_channels < 2:
            raise ValueError("need two channels or more for the fault permute, got one")
        order = np.empty(info.n_channels, np.int64)
        around = rng.permutation(info.n_channels)
        order[around] = np.roll(around, 1)  # one cycle through all channels: none keeps its place
        return Life(info.pick(order), picks[order])
    if fault.kind == "rate":
        sfreq = fault.amount or 2 * sfreq
    if fault.kind == "unit":
        units = tuple(map(_other_unit, units))
        if units == info.units:
            raise ValueError(f"need a unit to change for the fault unit, got {', '.join(units)}")
    return Life(SignalInfo(sfreq, info.ch_names, info.ch_types, units, info.positions), picks)


def _other_unit(unit: str) -> str:
    si, gain = unit_gain(unit)
    return _OTHER_UNIT.get(si, unit) if gain == 1 else si
