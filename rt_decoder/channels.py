"""Turn what a stream declares about its channels into a `SignalInfo`.

LSL streams, XDF files and CSV files all use this module; the first two describe channels alike
(``channels/channel/label,type,unit``). What the user sets (``--channels``, ``--units``) overrides
what the stream declares.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rt_decoder.signal import CH_TYPES, ModelMismatch, SignalInfo, unit_gain

__all__ = [
    "SI_UNIT",
    "TYPE_NAMES",
    "ChannelRow",
    "Declared",
    "declared_info",
    "same_layout",
    "type_of_name",
    "types_by_name",
    "types_sentence",
]

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
# Words of a channel's name that tell its type. They are whole words: E1, EXG1, Ref, AUX stay EEG.
_TYPE_WORDS = {
    kind: re.compile(words)
    for kind, words in {
        "eog": r"[lrhv]?eog(left|right|[lrhvud])?\d*|[hv]eo[glrud]{0,2}\d*",
        "ecg": r"e[ck]g(left|right|[lr])?\d*",
        "emg": r"emg(left|right|[lr])?\d*",
        "resp": r"(resp|respi|respiration|respiratory|rsp|breath|breathing|belt|thorax|abdomen)\d*",
        "stim": r"stim\d*|sti(\d{3})?|stimulus|status|trig(ger)?s?\d*|markers?\d*",
        "misc": r"(gsr|eda|ppg|spo2|pleth|photo(diode|sensor|cell)?|acc(el)?[xyz]?|gyro[xyz]?)\d*"
        r"|temp|temperature|accelerometer|gyroscope|audio|misc\d*|dir",
    }.items()
}
# Types whose scale matters: without a unit, an error of a factor of a million goes unseen.
SI_UNIT = dict.fromkeys(("eeg", "seeg", "ecog", "dbs", "eog", "ecg", "emg"), "V") | {
    "mag": "T",
    "grad": "T/m",
}
# mne-lsl declares a power of ten of the SI unit instead of a unit; MNE gives belts volts.
_POWER_UNIT = SI_UNIT | {"resp": "V"}
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
    is_bad: bool = False  # by a BIDS column `status`; it counts as misc, so that nothing uses it
    is_bids: bool = False  # the unit is that of the values in the file, before MNE converts them


def type_of_name(name: str) -> str:
    """Return the type that a channel's name tells, "" if it tells none.

    >>> type_of_name("VEOG"), type_of_name("EEG EKG1-Ref"), type_of_name("EXG1")
    ('eog', 'ecg', '')
    """
    for word in re.findall(r"[^\W_]+", name.lower()):
        for kind, pattern in _TYPE_WORDS.items():
            if pattern.fullmatch(word):
                return kind
    return ""


def types_by_name(
    declared: Sequence[Declared],
    stream_type: str = "",
    channels: Mapping[str, ChannelRow] | None = None,
) -> dict[str, str]:
    """Return the types that nothing but the channels' names tell.

    Parameters
    ----------
    declared : sequence of Declared
        One entry a channel.
    stream_type : str
        The stream's content type; if it is another than EEG, names tell nothing.
    channels : mapping of str to ChannelRow, or None
        What the user sets.

    Returns
    -------
    dict of str to str
        Type by the name in the stream, of channels that would count as EEG.
    """
    if _channel_type(stream_type or "eeg", "") != "eeg":
        return {}
    table = channels or {}
    labels = [channel.label.strip() for channel in declared if not channel.type.strip()]
    untyped = [label for label in labels if not table.get(label, ChannelRow()).type]
    return {label: kind for label in untyped if (kind := type_of_name(label))}


def types_sentence(by_name: Mapping[str, str]) -> str:
    """Say which types were taken from names; "" if none were."""
    if not by_name:
        return ""
    pairs = ", ".join(f"{name} is {kind}" for name, kind in list(by_name.items())[:12])
    more = f" and {len(by_name) - 12} more" if len(by_name) > 12 else ""
    return (
        f"channels without a type get it from their names: {pairs}{more} (--channels TSV sets it)"
    )


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
        channel is ``eeg`` and needs a unit, unless its name tells another type
        (`types_by_name`).
    channels : mapping of str to ChannelRow, or None
        What the user sets for single channels (`files.tables.read_channel_table`), by the name
        in the stream.
    units : str or None
        What the user sets as unit of all channels whose type can have it, except those with a
        unit in the table. A channel of type resp or misc takes it if it declares none.

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
    absent = [name for name, row in table.items() if name not in names and not row.is_bids]
    if absent:
        raise ValueError(
            f"the channel table names {', '.join(absent)}, the stream has {', '.join(names)}"
        )
    by_hand = None if units is None else unit_gain(units)[0]
    by_name = types_by_name(declared, stream_type, table)
    model_names, ch_types, ch_units = [], [], []
    for name, channel in zip(names, declared, strict=True):
        row = table.get(name, ChannelRow())
        unit = row.unit or channel.unit.strip()
        told = row.type or channel.type.strip() or by_name.get(name) or stream_type or "eeg"
        ch_type = "misc" if row.is_bad else _channel_type(told, unit)
        unit = _POWERS.get((_POWER_UNIT.get(ch_type, ""), unit), unit)
        if units is not None and not row.unit and _takes(ch_type, unit, by_hand):
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


def _takes(ch_type: str, declared: str, by_hand: str | None) -> bool:
    """Whether a channel takes the unit of ``--units``, of SI unit `by_hand`."""
    if ch_type in ("resp", "misc"):
        return by_hand == "n/a" or (by_hand == "V" and not declared)
    return by_hand in (SI_UNIT.get(ch_type), "n/a")


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
