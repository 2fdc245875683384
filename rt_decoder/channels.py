"""Turn what a stream declares about its channels into a `SignalInfo`.

LSL streams, XDF files and CSV files all use this module; the first two describe channels alike
(``channels/channel/label,type,unit``). What the user sets (``--channels``, ``--units``) overrides
what the stream declares.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import CH_TYPES, ModelMismatch, SignalInfo, unit_gain

__all__ = ["SI_UNIT", "TYPE_NAMES", "ChannelRow", "Declared", "declared_info", "same_layout"]

# Names of types in amplifiers, LSL, XDF and BIDS, in lower case. The unit decides what "meg" is.
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
# Types whose scale matters: without a unit, an error of a factor of a million goes unseen.
SI_UNIT = dict.fromkeys(("eeg", "seeg", "ecog", "dbs", "eog", "ecg", "emg"), "V") | {
    "mag": "T",
    "grad": "T/m",
}
# mne-lsl declares a power of ten of the SI unit instead of a unit.
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
    """What a stream declares about one channel; "" where it declares nothing."""

    label: str = ""
    type: str = ""
    unit: str = ""


class ChannelRow(NamedTuple):
    """A row of the ``--channels`` table; "" keeps what the stream declares."""

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
    """Decide names, types and units of a stream's channels.

    Parameters
    ----------
    sfreq : float
        Nominal rate in Hz.
    declared : sequence of Declared
        One entry a channel. A channel without a label is named by its place: ``ch1``, ``ch2``,
        and so on. The case of a type does not matter; unknown types become ``misc``.
    stream_type : str
        The stream's content type, for channels that declare no type. If this is empty, too, the
        channel is ``eeg`` and needs a unit.
    channels : mapping of str to ChannelRow, or None
        What the user sets for single channels (`files.tables.read_channel_table`), by the name
        in the stream.
    units : str or None
        What the user sets as unit of all channels whose type can have it, except those with a
        unit in the table.

    Returns
    -------
    SignalInfo
        Without positions. Types that have no scale (misc, stim, resp) keep their numbers if
        their unit is missing or unknown; it is then ``n/a``.

    Raises
    ------
    ValueError
        If a channel of a type that has a scale (eeg, eog, mag, ...) has no unit or an unknown one,
        or if the table names a channel that the stream does not have.
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
    """Return `unit` if it is known, or ``n/a`` for a type that needs none."""
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
    """Compare a reopened stream with what it was before, and find the order of its columns.

    Parameters
    ----------
    have, want : SignalInfo
        The stream now, and before. Extra channels of `have` are ignored.
    needed : collection of str or None
        Channels that must be present; all if None.

    Returns
    -------
    array of shape (n_want,), int64, or None
        Column of `have` for each channel of `want`, -1 for one that is gone and not `needed`; None
        if the order is the same.

    Raises
    ------
    ModelMismatch
        If the rate or a unit has changed, or a needed channel is missing. The message lists up
        to six differences.
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
