"""From what a stream declares about its channels to a `SignalInfo`.

LSL streams and XDF files describe channels in the same way (``channels/channel/label,type,unit``),
so both, and CSV files, come through here. What was given by hand (``--channels``, ``--units``)
wins over what the stream declares.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import CH_TYPES, ModelMismatch, SignalInfo, unit_gain

__all__ = ["SI_UNIT", "TYPE_NAMES", "ChannelRow", "Declared", "declared_info", "same_layout"]

# What amplifiers, LSL, XDF and BIDS call the types, in lower case. "meg" is decided by its unit.
TYPE_NAMES = {name: name for name in CH_TYPES} | {
    "veog": "eog",
    "heog": "eog",
    "ekg": "ecg",
    "megmag": "mag",
    "meggrad": "grad",
    "meggradaxial": "mag",
    "meggradplanar": "grad",
    "ieeg": "ecog",
    "dbs": "seeg",
    "rsp": "resp",
    "respiration": "resp",
    "trig": "stim",
    "trigger": "stim",
    "triggers": "stim",
    "stimulus": "stim",
}
# Types whose scale matters: without a unit a factor of a million goes unseen.
SI_UNIT = dict.fromkeys(("eeg", "seeg", "ecog", "dbs", "eog", "ecg", "emg"), "V") | {
    "mag": "T",
    "grad": "T/m",
}
# mne-lsl declares the power of ten of the SI unit instead of a unit.
_POWERS = {
    ("V", "0"): "volts",
    ("V", "-3"): "millivolts",
    ("V", "-6"): "microvolts",
    ("V", "-9"): "nanovolts",
    ("T", "0"): "tesla",
    ("T", "-12"): "picotesla",
    ("T", "-15"): "femtotesla",
    ("T/m", "0"): "T/m",
}


class Declared(NamedTuple):
    """What a stream says of one channel; "" where it says nothing."""

    label: str = ""
    type: str = ""
    unit: str = ""


class ChannelRow(NamedTuple):
    """What the ``--channels`` table says of one channel; "" keeps what the stream declares."""

    model_name: str = ""
    type: str = ""
    unit: str = ""


def declared_info(
    sfreq: float,
    declared: Sequence[Declared],
    stream_type: str = "",
    *,
    channels: Mapping[str, ChannelRow] | None = None,
    units: str | None = None,
) -> SignalInfo:
    """Names, types and units of a stream's channels.

    Parameters
    ----------
    sfreq : float
        Nominal rate in Hz.
    declared : sequence of Declared
        What the stream says, one a channel. A channel without a label is ``ch1``, ``ch2`` and so
        on by its place; types are understood whatever their case, unknown ones are ``misc``.
    stream_type : str
        The stream's content type; fills in where a channel has no type of its own. Where neither
        says anything the channel is ``eeg``, which must then have a unit.
    channels : mapping of str to ChannelRow, or None
        What is given by hand for single channels (`files.tables.read_channel_table`), by the name
        that the stream gives them.
    units : str or None
        Unit given by hand for all channels whose type can have it, except those whose unit is in
        the table.

    Raises
    ------
    ValueError
        If a channel of a type that has a scale (eeg, eog, mag, ...) has no unit or an unknown one,
        or if the table names a channel that the stream does not have. Types without a scale of
        their own (misc, stim, resp) keep their numbers, as unit ``n/a``.
    """
    table = channels or {}
    names = [channel.label.strip() or f"ch{i}" for i, channel in enumerate(declared, 1)]
    absent = [name for name in table if name not in names]
    if absent:
        raise ValueError(
            f"the channel table names {', '.join(absent)}, the stream has {', '.join(names)}"
        )
    by_hand = None if units is None else unit_gain(units)[0]
    model_names, ch_types, ch_units = [], [], []
    for name, channel in zip(names, declared, strict=True):
        row = table.get(name, ChannelRow())
        unit = row.unit or channel.unit.strip()
        ch_type = _channel_type(row.type or channel.type.strip() or stream_type or "eeg", unit)
        unit = _POWERS.get((SI_UNIT.get(ch_type, ""), unit), unit)
        if units is not None and not row.unit and by_hand in (SI_UNIT.get(ch_type), "n/a"):
            unit = units
        model_names.append(row.model_name or name)
        ch_types.append(ch_type)
        ch_units.append(_channel_unit(name, ch_type, unit))
    return SignalInfo(float(sfreq), tuple(model_names), tuple(ch_types), tuple(ch_units))


def _channel_type(declared: str, unit: str) -> str:
    name = declared.strip().lower()
    if name == "meg":
        return "grad" if "/" in unit else "mag"
    return TYPE_NAMES.get(name, "misc")


def _channel_unit(name: str, ch_type: str, unit: str) -> str:
    """Keep `unit` if it is known; what has no scale of its own may be without one."""
    try:
        unit_gain(unit)
    except ValueError as error:
        if ch_type not in SI_UNIT:
            return "n/a"
        raise ValueError(f"channel {name} ({ch_type}): {error}") from None
    return unit


def same_layout(
    have: SignalInfo, want: SignalInfo, needed: Collection[str] | None = None
) -> np.ndarray | None:
    """Columns that put a stream that came back in the order that it had before.

    Parameters
    ----------
    have, want : SignalInfo
        The stream as it came back, and as it was. Extra channels of `have` are ignored.
    needed : collection of str or None
        Channels that must be there; all if None.

    Returns
    -------
    array of shape (n_want,), int64, or None
        Column of `have` for each channel of `want`, -1 for one that is gone and not `needed`; None
        if the order is the same.

    Raises
    ------
    ModelMismatch
        If its rate or a unit has changed, or a needed channel is missing; every difference is told.
    """
    if have.sfreq != want.sfreq:
        raise ModelMismatch(f"need the stream back at {want.sfreq:g} Hz, got {have.sfreq:g} Hz")
    columns = {name: i for i, name in enumerate(have.ch_names)}
    missing = [
        name for name in want.ch_names if (needed is None or name in needed) and name not in columns
    ]
    changed = [
        f"{name} in {have.units[columns[name]]} instead of {unit}"
        for name, unit in zip(want.ch_names, want.units, strict=True)
        if name in columns and have.units[columns[name]] != unit
    ]
    if missing or changed:
        wrong = [f"no {name}" for name in missing] + changed
        raise ModelMismatch(
            f"need the stream back as it was, got {', '.join(wrong[:6])}"
            f"{' and more' if len(wrong) > 6 else ''}"
        )
    if have.ch_names == want.ch_names:
        return None
    return np.array([columns.get(name, -1) for name in want.ch_names], np.int64)
