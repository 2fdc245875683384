"""Read rate and channels from the header of a FieldTrip buffer.

A header has a rate and chunks: names (type 1) and additions of the vendor. Only the Neuromag chunk
(type 8: the tags of a FIF file up to its data) states types, units and positions. Other chunks are
not read; the user has to set units then.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.channels import SI_UNIT, Declared, declared_info, types_by_name
from rt_decoder.files.tables import read_channel_table
from rt_decoder.signal import SignalInfo, unit_gain

__all__ = ["header_info", "header_types_by_name", "neuromag_channels"]

MAX_CHANNELS = 10_000
CHUNK_NEUROMAG = 8

# FIFF constants
_FILE_ID, _CH_INFO = 100, 203
_KINDS = {
    1: "mag", 2: "eeg", 3: "stim", 202: "eog", 302: "emg", 402: "ecg", 502: "misc", 602: "resp",
    802: "seeg", 803: "seeg", 902: "ecog",
}  # fmt: skip
_UNITS = {107: "V", 112: "T", 201: "T/m"}
# scan number, number, kind, range, cal, coil, 12 of position and orientation, unit, exponent, name
_CHANNEL = "3i2fi12f2i16s"


def header_info(
    header: Any, *, channels: str | Path | None = None, units: str | None = None
) -> SignalInfo:
    """Read rate and channels from a FieldTrip header.

    Parameters
    ----------
    header : mne_realtime.externals.FieldTrip.Header
        From the client.
    channels : path or None
        Table of names, types and units that the user sets; see `files.tables.read_channel_table`.
    units : str or None
        Unit that the user sets. It also decides the type of channels that have none: ``mag`` for
        tesla, ``grad`` for T/m, else ``eeg``.

    Returns
    -------
    SignalInfo
        With positions where the header has them.

    Raises
    ------
    ValueError
        If the header has no usable rate, number format or number of channels, or if a channel that
        needs a unit has none.
    """
    n = header.nChannels
    if not 1 <= n <= MAX_CHANNELS:
        raise ValueError(f"need 1 to {MAX_CHANNELS} channels in a FieldTrip header, got {n}")
    if not 0 <= header.dataType <= 10:
        raise ValueError(f"need a number format 0 to 10 in a header, got {header.dataType}")
    labels = list(header.labels) or [""] * n
    declared = [Declared(label) for label in labels]
    positions = np.full((n, 3), np.nan)
    found, places = neuromag_channels(bytes(header.chunks.get(CHUNK_NEUROMAG, b"")))
    if len(found) == n and not header.labels:
        labels = [channel.label for channel in found]
    rows = {channel.label: row for row, channel in enumerate(found)}
    for i, label in enumerate(labels):
        if label in rows:
            declared[i], positions[i] = found[rows[label]], places[rows[label]]
    # single precision on the wire: 600.615 Hz, not 600.614990234375
    sfreq = float(str(np.float32(header.fSample)))
    table = read_channel_table(channels)
    info = declared_info(sfreq, declared, _kind(units), channels=table, units=units)
    return info if np.isnan(positions).all() else replace(info, positions=positions)


def header_types_by_name(
    header: Any, *, channels: str | Path | None = None, units: str | None = None
) -> dict[str, str]:
    """Return the types that nothing but the channels' names tell; see `channels.types_by_name`.

    Parameters
    ----------
    header : mne_realtime.externals.FieldTrip.Header
        From the client.
    channels : path or None
        Table that the user sets.
    units : str or None
        Unit that the user sets.

    Returns
    -------
    dict of str to str
        Empty where a Neuromag header states the types.
    """
    if header.chunks.get(CHUNK_NEUROMAG):
        return {}
    declared = [Declared(label) for label in header.labels or ()]
    return types_by_name(declared, _kind(units), read_channel_table(channels))


def _kind(units: str | None) -> str:
    """Type of channels that have none, by the unit that the user sets."""
    by_hand = "" if units is None else unit_gain(units)[0]
    return {"T": "mag", "T/m": "grad"}.get(by_hand, "eeg")


def neuromag_channels(chunk: bytes) -> tuple[list[Declared], np.ndarray]:
    """Parse the channels in a Neuromag header chunk.

    `neuromag2ft` writes tags in native byte order, one after the other regardless of their links,
    after a file id of zeros; MNE reads neither. Values arrive calibrated, in the unit stated here,
    unless the program was set to multiply them; the header does not show this.

    Parameters
    ----------
    chunk : bytes
        May be empty or truncated.

    Returns
    -------
    declared : list of Declared
        Name, type and unit of each channel; the unit is "" if unknown.
    positions : array of shape (n_channels, 3), float64
        In m; NaN where unknown.
    """
    order = ">" if chunk[:4] == struct.pack(">i", _FILE_ID) else "<"
    layout = struct.Struct(order + _CHANNEL)
    declared, positions = [], []
    at = 0
    while at + 16 <= len(chunk):
        tag, _, size, _ = struct.unpack_from(order + "4i", chunk, at)
        at += 16
        if size < 0 or at + size > len(chunk):
            break
        if tag == _CH_INFO and size >= layout.size:
            fields = layout.unpack_from(chunk, at)
            declared.append(_declared(fields[2], *fields[18:]))
            positions.append(fields[6:9])
        at += size
    places = np.array(positions, float).reshape(-1, 3)
    places[~np.any(places, axis=1) | ~np.isfinite(places).all(axis=1)] = np.nan
    return declared, places


def _declared(kind: int, unit: int, power: int, name: bytes) -> Declared:
    ch_type = _KINDS.get(kind, "misc")
    if ch_type == "mag" and _UNITS.get(unit) == "T/m":
        ch_type = "grad"
    # FIF states volts for triggers, too; as in MNE, types without a scale get no unit
    si_unit = _UNITS.get(unit, "") if power == 0 and ch_type in SI_UNIT else ""
    return Declared(name.split(b"\0")[0].decode("latin-1"), ch_type, si_unit)
