"""Read what MNE does not tell of EDF, BDF and GDF files: each channel's rate, each record's start.

MNE resamples slow channels to the fastest one's rate, with a filter that looks ahead, and reads the
records of EDF+D and BDF+D as if no time had passed between them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["EdfHeader", "other_rates", "read_edf_header", "record_starts"]

_SAMPLE_BYTES = {".edf": 2, ".bdf": 3}
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
# the first entry of a record's list: its start, and no text
_START = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,12})?)(?:\x15[\d.]*)?\x14\x14")
# EEG by its label: named so, or a place of the 10-20 system
_EEG = re.compile(
    r"(EEG\b.*)|((Fp|AF|F|FC|FT|C|T|TP|CP|P|PO|O|I)(z|\d{1,2}))([ -].*)?", re.IGNORECASE
)


class EdfHeader(NamedTuple):
    """What the header declares."""

    is_continuous: bool  # False for EDF+D and BDF+D
    n_bytes: int  # of the header
    n_records: int
    seconds: float  # of a record
    labels: tuple[str, ...]  # one a channel
    n_samples: tuple[int, ...]  # of each channel in a record

    @property
    def rates(self) -> dict[str, float]:
        """Rate in Hz of each channel but lists of annotations."""
        return {
            label: n / self.seconds
            for label, n in zip(self.labels, self.n_samples, strict=True)
            if label not in _ANNOTATIONS
        }


def read_edf_header(path: Path) -> EdfHeader | None:
    """Read the header of an EDF, BDF or GDF file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    EdfHeader or None
        None for another format, or a header that makes no sense: then MNE says what is wrong.

    Raises
    ------
    OSError
        If the file cannot be read, or is too small for the channels that it declares.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_SAMPLE_BYTES, ".gdf") or not path.is_file():
        return None
    with path.open("rb") as file:
        fixed = file.read(256)
        try:
            if suffix == ".gdf":
                n_records = int(np.frombuffer(fixed[236:244], "<i8")[0])
                above, below = np.frombuffer(fixed[244:252], "<u4").tolist()
                width = "<u4" if fixed.startswith(b"GDF 1") else "<u2"
                seconds, n_channels = above / below, int(np.frombuffer(fixed[252:256], width)[0])
                if 256 * n_channels > path.stat().st_size:  # MNE would count to the end
                    raise OSError(
                        f"cannot read {path.name}: its header declares {n_channels} channels, but "
                        f"it holds {path.stat().st_size} bytes"
                    )
            else:
                n_records, seconds = int(fixed[236:244]), float(fixed[244:252])
                n_channels = int(fixed[252:256])
            each = file.read(256 * n_channels)
            labels = [each[16 * k :][:16].decode("latin-1").strip(" \0") for k in range(n_channels)]
            at = 216 * n_channels
            if suffix == ".gdf":
                counts = np.frombuffer(each[at:][: 4 * n_channels], "<u4").tolist()
            else:
                counts = [int(each[at + 8 * k :][:8]) for k in range(n_channels)]
        except (ValueError, IndexError, ZeroDivisionError):
            return None
    if not (0 < seconds < np.inf and 0 < n_channels == len(counts) and min(counts) > 0):
        return None
    is_continuous = suffix == ".gdf" or fixed[192:197] not in (b"EDF+D", b"BDF+D")
    size = 256 * (n_channels + 1)
    return EdfHeader(is_continuous, size, n_records, seconds, tuple(labels), tuple(counts))


def other_rates(header: EdfHeader, eeg: Collection[str] = ()) -> tuple[float, dict[str, float]]:
    """Choose the rate of a recording: that of most EEG channels.

    Parameters
    ----------
    header : EdfHeader
        Of the file.
    eeg : collection of str
        Channels that are EEG; if none is in the file, those that are named as EEG.

    Returns
    -------
    sfreq : float
        In Hz; 0 if there are no channels.
    others : dict of str to float
        Channels at other rates, and these in Hz.
    """
    rates = header.rates
    named = Counter(rate for label, rate in rates.items() if label in eeg)
    likely = Counter(rate for label, rate in rates.items() if _EEG.fullmatch(label))
    found = named or likely or Counter(rates.values())
    if not found:
        return 0.0, {}
    sfreq = max(found, key=lambda rate: (found[rate], rate))
    return sfreq, {label: rate for label, rate in rates.items() if rate != sfreq}


def record_starts(path: Path, header: EdfHeader) -> np.ndarray:
    """Read when each record of an EDF+ or BDF+ file starts.

    Parameters
    ----------
    path : path
        The file.
    header : EdfHeader
        Of it.

    Returns
    -------
    array of shape (n_records,), float64
        In s since the start of the file.

    Raises
    ------
    ValueError
        If a record has no start.
    OSError
        If the file cannot be read.
    """
    width = _SAMPLE_BYTES[path.suffix.lower()]
    column = next((k for k, label in enumerate(header.labels) if label in _ANNOTATIONS), None)
    if column is None:
        raise ValueError(
            f"{path.name}: need a channel of annotations with the start of each record, as it says "
            f"that there are pauses between them, got {', '.join(header.labels)}"
        )
    before = width * sum(header.n_samples[:column])
    n, record = width * header.n_samples[column], width * sum(header.n_samples)
    whole = (path.stat().st_size - header.n_bytes) // record
    starts = np.empty(max(0, whole if header.n_records < 0 else min(whole, header.n_records)))
    with path.open("rb") as file:
        for k in range(len(starts)):
            file.seek(header.n_bytes + k * record + before)
            found = _START.match(file.read(n))
            if found is None:
                raise ValueError(
                    f"{path.name}: need the start of each record, as it says that there are pauses "
                    f"between them, got none in record {k + 1} of {len(starts)}"
                )
            starts[k] = float(found[1])
    return starts
