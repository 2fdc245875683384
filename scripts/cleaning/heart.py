"""What follows the heartbeats of real people, before and after cleaning: splits and figures.

R peaks come from the ECG of the judged recording, by a zero-phase detector that no cleaner uses. A
recording whose ECG shows no regular beats is not judged. This module does not know how a signal was
cleaned.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cleaning.recordings import offline_peaks
from cleaning.scene import n_data

from calibration.cleaning.reference_search import without_evoked
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.signal import DATA_TYPES

__all__ = [
    "WINDOWS",
    "Split",
    "judge",
    "judged_beats",
    "known_beats",
    "people",
    "splits",
    "unlocked",
]

# s around the R peak
WINDOWS = {"whole": (-0.1, 0.6), "qrs": (-0.05, 0.06), "later": (0.06, 0.6)}
SETTLE = 4.0  # s at the beginning of what is judged, which do not count
N_RANDOM = 50
_FADE = 2.0  # s at the end of a recording that may fade out
_SUFFIXES = (".edf", ".bdf", ".fif", ".set", ".vhdr", ".gdf", ".cnt")
_REFERENCES = {"ECG": "ecg", "EKG": "ecg", "EOG": "eog", "RESP": "resp", "EMG": "emg"}
_REGULAR, _RATES, _PEAKED = 0.8, (35.0, 200.0), 4.0


class Split(NamedTuple):
    """What fits and what judges: rows of recordings of one person."""

    name: str
    fit: Recording
    judged: Recording


def people(folder: Path) -> dict[str, list[Path]]:
    """Find the recordings of each person: names that differ in what follows the last `_`."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES:
            name = (path.parent / path.stem.rsplit("_", 1)[0]).relative_to(folder)
            found.setdefault(str(name), []).append(path)
    return {name: paths[:2] for name, paths in found.items() if len(paths) >= 2}


def splits(paths: list[Path]) -> list[Split]:
    """Read the two recordings of a person: the first to the second, and the first's two halves."""
    first, second = map(read, paths)
    half = len(first.data) // 2
    return [
        Split("other recording", first, second),
        Split("halves", _rows(first, 0, half), _rows(first, half, len(first.data))),
    ]


def read(path: Path) -> Recording:
    """Read a recording, data channels first; types by name where the file tells none."""
    recording = read_recording(path)
    info = recording.info
    names, types = [], []
    for name, kind in zip(info.ch_names, info.ch_types, strict=True):
        said = [own for word, own in _REFERENCES.items() if word in name.upper()]
        names.append(re.sub(r"^(EEG|ECG|EKG|EOG) (?=\S)", "", name))
        types.append(said[0] if said else kind)
        if re.fullmatch(r"A\d-A\d", names[-1]):
            types[-1] = "stim"  # a difference of references
    order = [k for k, kind in enumerate(types) if kind in DATA_TYPES]
    order += [k for k, kind in enumerate(types) if kind in _REFERENCES.values()]
    info = replace(
        info.pick(order),
        ch_names=tuple(names[k] for k in order),
        ch_types=tuple(types[k] for k in order),
    )
    stop = len(recording.data) - round(_FADE * info.sfreq)
    return _rows(replace(recording, data=recording.data[:, order], info=info), 0, stop)


def _rows(recording: Recording, start: int, stop: int) -> Recording:
    return replace(
        recording, data=recording.data[start:stop], stamps=recording.stamps[start:stop], markers=()
    )


def judged_beats(filtered: np.ndarray, recording: Recording) -> np.ndarray:
    """Find R peaks in the filtered ECG whose windows fit; none if they are not regular beats."""
    best, sfreq = known_beats(filtered, recording), recording.info.sfreq
    start, stop = (round(t * sfreq) for t in WINDOWS["whole"])
    first = round(SETTLE * sfreq)
    return best[(best + start > first) & (best + stop < len(filtered))]


def known_beats(filtered: np.ndarray, recording: Recording) -> np.ndarray:
    """Find all R peaks in the filtered ECG; none if they are not regular beats."""
    info = recording.info
    ecg = [k for k, kind in enumerate(info.ch_types) if kind == "ecg"]
    best = np.empty(0, np.int64)
    for column in ecg:
        upright = filtered[:, column] * _polarity(filtered[:, column], info.sfreq)
        peaks = offline_peaks(upright, info.sfreq)
        if _is_regular(peaks, info.sfreq) and _is_clear(filtered[:, column]):
            best = peaks if len(peaks) > len(best) else best
    return best


def _polarity(ecg: np.ndarray, sfreq: float) -> float:
    """Find which way its largest waves point: a lead may be upside down, and its R waves small."""
    window = round(2 * sfreq)
    parts = ecg[: len(ecg) // window * window].reshape(-1, window)
    parts = parts - np.median(parts, axis=1, keepdims=True)
    return 1.0 if np.median(parts.max(axis=1)) >= np.median(-parts.min(axis=1)) else -1.0


def _is_regular(peaks: np.ndarray, sfreq: float) -> bool:
    """Whether peaks come at the rate and with the regularity of a heart."""
    gaps = np.diff(peaks) / sfreq
    if len(gaps) < 10:
        return False
    usual = np.array([np.median(gaps[max(i - 3, 0) : i + 4]) for i in range(len(gaps))])
    rate = 60.0 / np.median(gaps)
    return _RATES[0] <= rate <= _RATES[1] and np.mean(np.abs(gaps / usual - 1) < 0.3) >= _REGULAR


def _is_clear(ecg: np.ndarray) -> bool:
    """Whether few samples hold most of its power, as in an ECG; noise has a kurtosis of 3."""
    return bool(np.mean(ecg**4) > _PEAKED * np.mean(ecg**2) ** 2)


def judge(
    data: np.ndarray, recording: Recording, beats: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Measure the mean of data channels (n, c) around beats, and around random moments, in uV or fT.

    Of each window: RMS over samples and channels, and the largest deflection. The mean over the
    whole window is first taken out of each channel. Random moments: as many as beats, 50 draws; the
    mean RMS, and the largest deflection of all draws.
    """
    info = recording.info
    c = n_data(info)
    unit = 1e6 if info.units[0] == "V" else 1e15
    x = unit * data[:, :c]
    start, stop = (round(t * info.sfreq) for t in WINDOWS["whole"])
    rng = np.random.default_rng(seed)
    low, high = round(SETTLE * info.sfreq) - start, len(x) - stop
    draws = [rng.integers(low, high, len(beats)) for _ in range(N_RANDOM)]
    sizes = [_sizes(x, moments, info.sfreq) for moments in (beats, *draws)]
    figures = {}
    for name in WINDOWS:
        figures[f"{name}_rms"] = sizes[0][f"{name}_rms"]
        figures[f"{name}_max"] = sizes[0][f"{name}_max"]
        figures[f"{name}_rms_random"] = float(np.mean([s[f"{name}_rms"] for s in sizes[1:]]))
        figures[f"{name}_max_random"] = float(np.max([s[f"{name}_max"] for s in sizes[1:]]))
    return figures


def _sizes(x: np.ndarray, moments: np.ndarray, sfreq: float) -> dict[str, float]:
    start, stop = (round(t * sfreq) for t in WINDOWS["whole"])
    mean = np.mean([x[k + start : k + stop] for k in moments.tolist()], axis=0)
    mean -= mean.mean(axis=0)
    sizes = {}
    for name, window in WINDOWS.items():
        rows = slice(*(round(t * sfreq) - start for t in window))
        sizes[f"{name}_rms"] = float(np.sqrt(np.mean(mean[rows] ** 2)))
        sizes[f"{name}_max"] = float(np.abs(mean[rows]).max())
    return sizes


def unlocked(
    difference: np.ndarray, beats: np.ndarray, sfreq: float, n_alike: int | None = None
) -> np.ndarray:
    """Take out of `difference` (n, c) what is locked to beats, from .2 s before to .9 s after each.

    One response is fitted by least squares, which tells the responses to successive beats apart; or
    one to every `n_alike` beats, so that a response that changes slowly is locked as well. Rows
    before the first beat and after the last are left out.
    """
    start, length = round(0.2 * sfreq), round(1.1 * sfreq)
    n_parts = max(len(beats) // (n_alike or len(beats)), 1)
    parts = []
    for own in np.array_split(beats, n_parts):
        first, stop = max(own[0] - start, 0), own[-1] + length
        part = difference[first:stop]
        rest = without_evoked(part, np.zeros(len(part), bool), own - start - first, length)
        parts.append(rest[own[0] - first : own[-1] - first])
    return np.concatenate(parts)
