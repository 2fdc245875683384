"""Tell what channels a recording has that MNE has opened: their types, units and bad ones.

FIF and MEG formats carry types; EDF, BDF, EEGLAB and BrainVision carry none or few. BIDS tells them
in ``channels.tsv`` beside the recording, else the names do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rt_decoder.channels import (
    SI_UNIT,
    TYPE_NAMES,
    ChannelRow,
    Declared,
    types_by_name,
)
from rt_decoder.files.sidecar import beside, power_line_frequency
from rt_decoder.files.tables import read_channel_table, say_types
from rt_decoder.signal import has_unit

__all__ = ["MneChannels", "mne_channels"]

_TYPED = (".fif", ".ds", ".con", ".sqd", ".pdf")  # formats that carry types
_FIFF_UNITS = {107: "V", 112: "T", 201: "T/m"}
_CONVERTED = ("V", "mV", "µV", "uV")  # units that MNE converts in EDF and BDF
_EDF = (".edf", ".bdf")


class MneChannels(NamedTuple):
    """What is known of the channels of a recording."""

    declared: list[Declared]
    table: dict[str, ChannelRow]  # of BIDS beside it, and before that of the user
    line_freq: float | None  # Hz


def mne_channels(raw: Any, path: Path, channels: str | Path | None) -> MneChannels:
    """Describe the channels of a recording.

    A RuntimeWarning says which types were taken from names, and which units MNE does not know.
    Channels that BIDS or the user's table calls bad are added to ``raw.info["bads"]``.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        As MNE opened it.
    path : path
        The file.
    channels : path or None
        Table of the user; it overrides what BIDS tells beside the file.

    Returns
    -------
    MneChannels

    Raises
    ------
    OSError, ValueError
        If a table cannot be read.
    """
    is_typed = path.name.lower().removesuffix(".gz").endswith(_TYPED)
    kinds = ["" if kind == "eeg" and not is_typed else kind for kind in raw.get_channel_types()]
    table = _bids_table(raw, path)
    for name, row in read_channel_table(channels).items():
        table[name] = _joined(table.get(name, ChannelRow()), row)
    known = [name for name in raw.ch_names if name not in raw.info["bads"]]
    raw.info["bads"] += [name for name in known if table.get(name, ChannelRow()).is_bad]
    units = [_unit(channel, kind) for channel, kind in zip(raw.info["chs"], kinds, strict=True)]
    if path.suffix.lower() in _EDF:
        _correct_edf(raw, path.name, units, kinds, table)
    table = {
        name: row._replace(unit="" if row.is_bids else row.unit, is_bad=False)
        for name, row in table.items()
    }
    declared = [Declared(*one) for one in zip(raw.ch_names, kinds, units, strict=True)]
    say_types(path.name, declared, "", table)
    return MneChannels(declared, table, _line_freq(raw, path))


def _bids_table(raw: Any, path: Path) -> dict[str, ChannelRow]:
    found = beside(path, "_channels.tsv")
    if found is None:
        return {}
    table = read_channel_table(found)
    if not set(table) & set(raw.ch_names):
        warnings.warn(
            f"{found.name} says nothing of {path.name}: it names {', '.join(list(table)[:6])}, the "
            f"file has {', '.join(raw.ch_names[:6])}",
            RuntimeWarning,
            stacklevel=6,
        )
    return table


def _joined(beside: ChannelRow, by_hand: ChannelRow) -> ChannelRow:
    """What the user says, and what BIDS says where the user says nothing."""
    one = beside._replace(**{key: cell for key, cell in by_hand._asdict().items() if cell})
    # a unit of ours is that of MNE's values, and a name that is not in the file is a mistake
    return one._replace(is_bids=by_hand.is_bids)


def _unit(channel: Mapping[str, Any], kind: str) -> str:
    """SI unit that MNE's values have; ``n/a`` where the file has none, and for triggers."""
    told = _FIFF_UNITS.get(int(channel["unit"]), "n/a")
    return "n/a" if kind == "stim" else SI_UNIT.get(kind or "eeg", told)


def _correct_edf(
    raw: Any, name: str, units: list[str], kinds: list[str], table: Mapping[str, ChannelRow]
) -> None:
    """Correct `units` of EDF and BDF, where MNE takes what it does not know as volts."""
    of_file = getattr(raw, "_orig_units", {})
    by_name = types_by_name([Declared(label) for label in raw.ch_names])
    unknown, other = [], []
    for k, label in enumerate(raw.ch_names):
        unit, row = of_file.get(label, "V"), table.get(label, ChannelRow())
        if unit in _CONVERTED or kinds[k] == "stim" or (row.unit and not row.is_bids):
            continue
        unit = unit if has_unit(unit) and unit != "n/a" else row.unit
        kind = row.type or kinds[k] or by_name.get(label, "eeg")
        if has_unit(unit):
            units[k] = unit
            other.append(f"{label} in {unit}")
        elif TYPE_NAMES.get(kind.lower()) in SI_UNIT:
            unknown.append(label)
        else:
            units[k] = "n/a"
    for names, what in (
        (other, "in units that MNE does not convert are read in them"),
        (unknown, "without a unit that MNE knows count as V"),
    ):
        if names:
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            warnings.warn(
                f"{name}: channels {what}: {', '.join(names[:6])}{more} (--channels TSV sets it)",
                RuntimeWarning,
                stacklevel=6,
            )


def _line_freq(raw: Any, path: Path) -> float | None:
    """Mains frequency in Hz that the file or BIDS states."""
    told = raw.info["line_freq"] or power_line_frequency(path)
    return float(told) if told else None
