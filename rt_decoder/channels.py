"""From what a stream declares about its channels to a `SignalInfo`.

LSL streams and XDF files describe channels in the same way (``channels/channel/label,type,unit``),
so both, and CSV files, come through here. What was given by hand (``--channels``, ``--units``)
wins over what the stream declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rt_decoder.signal import CH_TYPES, SignalInfo, unit_gain

__all__ = ["SI_UNIT", "ChannelRow", "Declared", "declared_info", "read_channel_table"]

# What amplifiers, LSL, XDF and BIDS call the types, in lower case. "meg" is decided by its unit.
_TYPES = {name: name for name in CH_TYPES} | {
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
_TABLE_COLUMNS = ("stream_name", "model_name", "type", "unit")


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


def read_channel_table(path: str | Path) -> dict[str, ChannelRow]:
    """Read a ``--channels`` table.

    A tab-separated file with a header line; columns ``stream_name`` and any of ``model_name``,
    ``type``, ``unit``. An empty cell keeps what the stream declares.

    Returns
    -------
    dict of str to ChannelRow
        One row for each channel, by the name that the stream gives it.

    Raises
    ------
    ValueError
        If the header or a row is wrong.
    """
    path = Path(path)
    try:
        lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        raise ValueError(f"{path.name}: need a text file in UTF-8") from None
    columns = [cell.strip().lower().replace(" ", "_") for cell in lines[0].split("\t")]
    if "stream_name" not in columns or not set(columns) <= set(_TABLE_COLUMNS):
        raise ValueError(
            f"{path.name}: need tab-separated columns among {', '.join(_TABLE_COLUMNS)} "
            f"(stream_name always), got {', '.join(columns)}"
        )
    table: dict[str, ChannelRow] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) > len(columns) or not cells[columns.index("stream_name")]:
            raise ValueError(
                f"{path.name}, line {number}: need a stream_name and at most {len(columns)} cells"
            )
        row = dict(zip(columns, cells, strict=False))
        name = row.pop("stream_name")
        if name in table:
            raise ValueError(f"{path.name}, line {number}: {name} is there twice")
        if row.get("type", "") and row["type"].lower() not in _TYPES:
            raise ValueError(
                f"{path.name}, line {number}: need a type among {', '.join(CH_TYPES)}, "
                f"got {row['type']!r}"
            )
        table[name] = ChannelRow(
            row.get("model_name", ""), row.get("type", ""), row.get("unit", "")
        )
    return table


def declared_info(
    sfreq: float,
    declared: Sequence[Declared],
    stream_type: str = "",
    *,
    channels: str | Path | None = None,
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
    channels : path or None
        Table of what is given by hand for single channels; see `read_channel_table`.
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
    table = {} if channels is None else read_channel_table(channels)
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
    return _TYPES.get(name, "misc")


def _channel_unit(name: str, ch_type: str, unit: str) -> str:
    """Keep `unit` if it is known; what has no scale of its own may be without one."""
    try:
        unit_gain(unit)
    except ValueError as error:
        if ch_type not in SI_UNIT:
            return "n/a"
        raise ValueError(f"channel {name} ({ch_type}): {error}") from None
    return unit
