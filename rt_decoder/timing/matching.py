"""Find the model's channels in what a source offers, by name, and the factors of their units."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from rt_decoder.signal import ModelMismatch, SignalInfo, unit_gain
from rt_decoder.timing.electrodes import electrode_name

__all__ = ["left_out", "match_channels"]


def match_channels(
    have: SignalInfo,
    want: SignalInfo,
    optional: Collection[str] = (),
    references: Collection[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Find the channels of `want` in `have` by name.

    Parameters
    ----------
    have : SignalInfo
        The source's channels, in any order.
    want : SignalInfo
        The model's channels. One without a unit (``n/a``) takes a channel in an SI unit as it is.
    optional : collection of str
        Channels of `want` that may be missing.
    references : collection of str
        Channels of `want` that are left out, as missing ones are, where units do not convert.

    Returns
    -------
    picks : array of shape (n_want,), int64
        Column of `have` for each channel of `want`; extra channels are ignored. -1 where one is
        missing or left out.
    gains : array of shape (n_want,), float64
        Factor from the declared unit of `have` to that of `want`; NaN where the channel is missing.

    Raises
    ------
    ModelMismatch
        If channels are missing (each is named) or a unit cannot be converted.
    """
    columns = {name: i for i, name in enumerate(have.ch_names)}
    missing = [name for name in want.ch_names if name not in columns and name not in optional]
    if missing:
        raise ModelMismatch(
            f"need channel{'s' if len(missing) > 1 else ''} {', '.join(missing)}, "
            f"got {', '.join(have.ch_names)}; {_hint(missing, have.ch_names)}"
        )
    picks = np.array([columns.get(name, -1) for name in want.ch_names], np.int64)
    gains = np.full(len(picks), np.nan)
    for i, (column, name, unit) in enumerate(zip(picks, want.ch_names, want.units, strict=True)):
        if column < 0:
            continue
        try:
            gains[i] = _gain(name, have.units[column], unit)
        except ModelMismatch:
            if name not in references:
                raise
            picks[i] = -1
    return picks, gains


def _gain(name: str, have: str, want: str) -> float:
    try:
        have_si, have_gain = unit_gain(have)
        want_si, want_gain = unit_gain(want)
    except ValueError as error:
        raise ModelMismatch(f"channel {name}: {error}") from None
    # recordings that MNE reads are in SI; earlier versions told no unit of their belts
    if have_si != want_si and not (want_si == "n/a" and have_gain == 1.0):
        raise ModelMismatch(
            f"channel {name}: need a unit of {want_si}, got {have_si}; set it with --channels TSV"
        )
    return have_gain / want_gain


def _hint(missing: list[str], names: Collection[str]) -> str:
    """What the user can do; names of the same electrode, or that differ only in case, are shown."""
    rename = "rename with --channels TSV"
    told = {
        _folded: f"they differ only in upper and lower case or spaces (%s): {rename}",
        _electrode: f"they are the same electrodes (%s): {rename} if the reference is the same",
    }
    for key, text in told.items():
        by_key = {key(name): name for name in names}
        alike = [f"{by_key[key(name)]} for {name}" for name in missing if by_key.get(key(name))]
        if alike:
            more = f" and {len(alike) - 6} more" if len(alike) > 6 else ""
            return text % (", ".join(alike[:6]) + more)
    return rename


def _folded(name: str) -> str:
    return "".join(name.split()).casefold()


def _electrode(name: str) -> str:
    return electrode_name(name) or name


def left_out(have: SignalInfo, want: SignalInfo, picks: np.ndarray) -> dict[str, str]:
    """Say why channels of `want` are left out.

    Parameters
    ----------
    have, want : SignalInfo
        The source's channels, and the model's.
    picks : array of shape (n_want,), int64
        From `match_channels`.

    Returns
    -------
    dict of str to str
        The reason, by the name of the channel.
    """
    units = dict(zip(have.ch_names, have.units, strict=True))
    return {
        name: f"need a unit of {unit}, got {units[name]}: set it with --channels TSV"
        if name in units
        else "it is missing"
        for name, unit, pick in zip(want.ch_names, want.units, picks.tolist(), strict=True)
        if pick < 0
    }
