"""Write samples as a FIF file with MNE; its channels-first order stays in this module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.files.blocks import Blocks
from rt_decoder.files.packages import need_packages
from rt_decoder.signal import SignalInfo, has_unit, unit_gain

__all__ = ["Span", "mne_raw", "write_fif"]

_FIFF_UNITS, _NO_UNIT = {"V": 107, "T": 112, "T/m": 201}, -1


class Span(NamedTuple):
    """An annotation."""

    row: int  # of its first sample
    label: str
    n: int = 0  # samples


def write_fif(
    path: Path,
    data: np.ndarray | Blocks,
    info: SignalInfo,
    spans: Sequence[Span],
    line_freq: float | None = None,
    bads: Sequence[str] = (),
) -> None:
    """Write samples as SI doubles with annotations.

    FIF stores times of annotations in single precision and labels in Latin-1; a RuntimeWarning
    reports what this changes.

    Parameters
    ----------
    path : path
        File to write.
    data : array of shape (n, c), float64, or Blocks
        In the units of `info`; `Blocks` are read as they are written.
    info : SignalInfo
        Rate and channels.
    spans : sequence of Span
        Annotations.
    line_freq : float or None
        Mains frequency in Hz, where known.
    bads : sequence of str
        Channels to mark as bad.

    Raises
    ------
    ImportError
        If MNE is not installed.
    ValueError
        If a channel's name is not ASCII.
    """
    need_packages("mne", what="to write .fif files")
    odd = [name for name in info.ch_names if not name.isascii()]
    if odd:
        raise ValueError(
            f"need channel names in ASCII for FIF, got {', '.join(odd)}; "
            "rename with --channels TSV, or write .xdf"
        )
    raw = mne_raw(data, info, spans, line_freq, bads)
    rows, labels = np.array([span.row for span in spans]), [span.label for span in spans]
    _warn_of_changes(path.name, rows, labels, info.sfreq)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This filename")  # MNE's own conventions
        raw.save(path, fmt="double", verbose="error")


def mne_raw(
    data: np.ndarray | Blocks,
    info: SignalInfo,
    spans: Sequence[Span],
    line_freq: float | None = None,
    bads: Sequence[str] = (),
) -> Any:
    """Make MNE's raw object of samples, in SI, with annotations.

    Parameters
    ----------
    data : array of shape (n, c), float64, or Blocks
        In the units of `info`; `Blocks` stay where they are.
    info : SignalInfo
    spans : sequence of Span
    line_freq : float or None
        Mains frequency in Hz, where known.
    bads : sequence of str
        Channels to mark as bad.

    Returns
    -------
    mne.io.BaseRaw
    """
    import mne

    sfreq = info.sfreq
    gains = np.array([unit_gain(unit)[1] if has_unit(unit) else 1.0 for unit in info.units])
    described = mne.create_info(list(info.ch_names), sfreq, list(info.ch_types), verbose="error")
    for channel, unit in zip(described["chs"], info.units, strict=True):
        channel["unit"] = _FIFF_UNITS.get(unit_gain(unit)[0] if has_unit(unit) else "n/a", _NO_UNIT)
    described["bads"] = [name for name in bads if name in info.ch_names]
    if info.positions is not None:
        for channel, position in zip(described["chs"], info.positions, strict=True):
            channel["loc"][:3] = position
    described["line_freq"] = line_freq
    raw = _raw(data, gains, described)
    rows, lengths = np.array([(span.row, span.n) for span in spans]).reshape(-1, 2).T / sfreq
    raw.set_annotations(mne.Annotations(rows, lengths, [span.label for span in spans]))
    return raw


def _raw(data: np.ndarray | Blocks, gains: np.ndarray, described: Any) -> Any:
    """Make MNE's raw object of samples, which stay where they are if they are `Blocks`."""
    import mne

    if not isinstance(data, Blocks):
        return mne.io.RawArray(np.ascontiguousarray((data * gains).T), described, verbose="error")

    def read(
        _: Any, out: np.ndarray, picks: Any, __: int, start: int, stop: int, *___: Any
    ) -> None:
        out[:] = (data[start:stop] * gains).T[picks]

    # MNE asks a subclass for the samples that it saves next
    make = type("RawBlocks", (mne.io.BaseRaw,), {"_read_segment_file": read})
    return make(described, last_samps=(len(data) - 1,), verbose="error")


def _warn_of_changes(name: str, rows: np.ndarray, labels: list[str], sfreq: float) -> None:
    told = []
    moved = rows[np.rint((rows / sfreq).astype(np.float32).astype(float) * sfreq) != rows]
    if len(moved):
        told.append(
            f"times of annotations in single precision, so {len(moved)} from "
            f"{moved.min() / sfreq:.0f} s on are a sample off"
        )
    odd = [
        label for label in labels if label.encode("latin-1", "replace").decode("latin-1") != label
    ]
    if odd:
        code = odd[0].encode("latin-1", "xmlcharrefreplace").decode("latin-1")
        told.append(f"labels in Latin-1, so that {odd[0]!r} is {code!r} there")
    for what in told:
        warnings.warn(
            f"{name}: FIF keeps {what}; XDF keeps them as they are", RuntimeWarning, stacklevel=4
        )
