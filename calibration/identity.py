"""Tell whether two recordings hold the same samples, whatever file they are in.

A recording that is counted twice is in training and in the locked block at once: its certificate is
then worth nothing. Bytes tell a copy; a fingerprint tells the same samples in another format, unit
or order of channels, or a part of them. It is made of landmarks, samples above all others within
`REACH`, and keeps the smallest hashes of `N_STEPS` distances between successive ones. Scale, offset
and rounding leave it as it is; a filter, another rate or another reference do not, and are not found.

References
----------
.. [1] Wang (2003), An industrial-strength audio search algorithm, ISMIR.
.. [2] Broder (1997), On the resemblance and containment of documents,
   doi:10.1109/SEQUEN.1997.666900
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.files.blocks import block_rows
from rt_decoder.files.sums import RecordingId

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = [
    "check_files",
    "check_new",
    "check_once",
    "doubles",
    "fingerprint",
    "hash_files",
    "is_same",
    "recording_ids",
    "told",
    "were_told",
]

REACH = 64  # samples: several periods of mains, whose maxima alone would be alike everywhere
N_STEPS = 16  # distances in a hash, of 3 bits each or more
LEAST_DIFFERENT = 6  # of them, or it is the rhythm of mains that no recording has for itself
N_KEPT = 256  # hashes of a recording: 2 kB
N_TOLD = 32  # of these in a certificate
LEAST_SHARED, LEAST_SHARE = 6, 0.2  # of the hashes that both could have
_NO_SIGNAL = ("stim", "misc")  # triggers and sound are alike in every run of an experiment
_HEADERS = (".vhdr", ".vmrk", ".set", ".eeg")  # of samples that may be in another file


def fingerprint(recording: Recording) -> tuple[int, ...]:
    """Compute what tells a recording's samples, from one pass over them in blocks.

    Parameters
    ----------
    recording : Recording
        Trigger and miscellaneous channels do not count.

    Returns
    -------
    tuple of int
        At most `N_KEPT` hashes of 64 bits, in ascending order; none for a recording that is too
        short, about 20 s at 100 Hz, or flat.
    """
    info, n = recording.info, len(recording.stamps)
    picks = [k for k, kind in enumerate(info.ch_types) if kind not in _NO_SIGNAL]
    last = [np.zeros(0, np.int64) for _ in picks]
    kept = np.zeros(0, np.uint64)
    rows = max(block_rows(info.n_channels), 2 * REACH)
    for start in range(0, n, rows):
        low, high = max(0, start - REACH), min(n, start + rows + REACH)
        block = recording.data[low:high]
        for k, pick in enumerate(picks):
            found = low + _landmarks(block[:, pick])
            found = found[(found >= start) & (found < start + rows)]
            along = np.concatenate((last[k], found))
            kept = np.union1d(kept, _hashes(along))[:N_KEPT]
            last[k] = along[-N_STEPS:]
    return tuple(int(one) for one in kept)


def _landmarks(values: np.ndarray) -> np.ndarray:
    """Places of samples above all others within `REACH`, where the signal moves."""
    width = 2 * REACH + 1
    if len(values) < width:
        return np.zeros(0, np.int64)
    values = np.where(np.isfinite(values), values, np.inf)  # next to what is missing, none counts
    starts = np.arange(0, len(values) - REACH + 1, REACH)
    bins = values[: len(starts) * REACH].reshape(-1, REACH)  # each has one landmark at most
    places = starts + bins.argmax(axis=1)
    places = places[(places >= REACH) & (places < len(values) - REACH)]
    around = np.lib.stride_tricks.sliding_window_view(values, width)
    highest = values[places] == around[places - REACH].max(axis=1)
    places = places[highest & np.isfinite(values[places])]
    near = around[places - REACH]
    alone = (near == values[places, None]).sum(axis=1) == 1
    moves = (near[:, 1:] != near[:, :-1]).sum(axis=1) > REACH
    return np.asarray(places[alone & moves])


def _hashes(places: np.ndarray) -> np.ndarray:
    """Hash every `N_STEPS` successive distances of places (n,) that are not much alike, uint64."""
    if len(places) <= N_STEPS:
        return np.zeros(0, np.uint64)
    steps = np.lib.stride_tricks.sliding_window_view(np.diff(places), N_STEPS).astype(np.uint64)
    ordered = np.sort(steps, axis=1)
    steps = steps[(ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) >= LEAST_DIFFERENT - 1]
    mixed = np.zeros(len(steps), np.uint64)
    for step in steps.T:  # splitmix64
        mixed = (mixed ^ step) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def is_same(one: RecordingId, other: RecordingId) -> bool:
    """Whether two recordings are of the same bytes, or share samples.

    Parameters
    ----------
    one, other : RecordingId
        An empty hash or fingerprint is like no other.

    Returns
    -------
    bool
    """
    a, b = set(one.fingerprint), set(other.fingerprint)
    n_shared = len(a & b)
    if one.data_hash and one.data_hash == other.data_hash:
        return n_shared > 0 or not (a and b)  # headers may be alike whose samples are elsewhere
    if n_shared < LEAST_SHARED:
        return False
    # only up to here are the hashes of both complete
    end = min(max(part) if len(part) >= min(len(a), len(b)) else 0 for part in (a, b))
    sizes = [sum(value <= end for value in part) for part in (a, b)]
    return n_shared >= LEAST_SHARE * min(sizes)


def recording_ids(
    data_hash: Sequence[str], fingerprints: Sequence[tuple[int, ...]] = ()
) -> tuple[RecordingId, ...]:
    """Join hashes and fingerprints of recordings; those that are not known are empty."""
    n = max(len(data_hash), len(fingerprints))
    hashes = [*data_hash, *[""] * (n - len(data_hash))]
    prints = [*fingerprints, *[()] * (n - len(fingerprints))]
    return tuple(RecordingId(*one) for one in zip(hashes, prints, strict=True))


def told(recordings: Sequence[RecordingId]) -> list[str]:
    """Write the beginning of each fingerprint in hexadecimal figures, for a certificate."""
    return ["".join(f"{k:016x}" for k in one.fingerprint[:N_TOLD]) for one in recordings]


def were_told(certificate: Mapping[str, Any]) -> tuple[RecordingId, ...]:
    """Read what a certificate tells of its recordings; older ones tell hashes of bytes alone."""
    prints = [
        tuple(int(text[at : at + 16], 16) for at in range(0, len(text), 16))
        for text in certificate.get("fingerprints", ())
    ]
    return recording_ids(certificate.get("data_hash", ()), prints)


def doubles(recordings: Sequence[RecordingId]) -> list[tuple[int, int]]:
    """Find the pairs of recordings that are the same.

    Parameters
    ----------
    recordings : sequence of RecordingId

    Returns
    -------
    list of tuple of int
        Numbers (earlier, later), in the order of the later.
    """
    places: dict[object, list[int]] = {}
    pairs: Counter[tuple[int, int]] = Counter()
    for number, one in enumerate(recordings):
        for key in filter(None, {one.data_hash, *one.fingerprint}):
            for earlier in places.setdefault(key, []):
                pairs[earlier, number] += 1
            places[key].append(number)
    same = (pair for pair in pairs if is_same(recordings[pair[0]], recordings[pair[1]]))
    return sorted(same, key=lambda pair: pair[::-1])


def check_once(fingerprints: Sequence[tuple[int, ...]], paths: Sequence[Path]) -> None:
    """Refuse recordings that share samples.

    Parameters
    ----------
    fingerprints : sequence of tuple of int
    paths : sequence of path
        Of their files, for the sentence.

    Raises
    ------
    ValueError
        With both names.
    """
    for first, second in doubles([RecordingId("", one) for one in fingerprints]):
        raise ValueError(_twice(paths[first], paths[second]))


def check_new(
    recordings: Sequence[RecordingId],
    names: Sequence[str],
    models: Mapping[str, Sequence[RecordingId]],
) -> None:
    """Refuse recordings whose samples are in a model already.

    Parameters
    ----------
    recordings : sequence of RecordingId
    names : sequence of str
        Of their files, for the sentence.
    models : mapping of str to sequence of RecordingId
        What each model was fitted on, by its name.

    Raises
    ------
    ValueError
        With the names of recording and model.
    """
    for one, name in zip(recordings, names, strict=True):
        for model, known in models.items():
            if any(is_same(one, other) for other in known):
                raise ValueError(
                    f"need a recording that no model has seen, got {name}, which is in {model} "
                    "already, in this or another format"
                )


def _twice(first: Path, second: Path) -> str:
    """Say that two files are one recording; folders tell files of one name apart."""
    if first.resolve() == second.resolve():
        return (
            f"need each recording once, got {first.name} twice; give it once, with one events table"
        )
    names = [first.name, second.name]
    if first.name == second.name:
        names = [f"{path.parent.name}/{path.name}" for path in (first, second)]
    return (
        f"need each recording once, got the same samples in {' and '.join(names)}; give one of them, "
        "with one events table"
    )


def check_files(paths: Sequence[Path]) -> None:
    """Refuse a file that is given twice, or as a copy, before it is read; sizes are compared first.

    Parameters
    ----------
    paths : sequence of path
        Recordings; folders and headers are left to their fingerprint.

    Raises
    ------
    ValueError
        With both names.
    """
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        if path.is_file() and path.suffix.lower() not in _HEADERS:
            by_size.setdefault(path.stat().st_size, []).append(path)
    for alike in by_size.values():
        hashes = hash_files(alike) if len(alike) > 1 else []
        for (first, one), (second, other) in combinations(zip(alike, hashes, strict=False), 2):
            if one == other:
                raise ValueError(_twice(first, second))


def hash_files(paths: Sequence[Path]) -> list[str]:
    """Compute the SHA-256 of each recording's bytes, not of its name; a recording may be a folder."""
    hashes = []
    for path in paths:
        digest = hashlib.sha256()
        for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if part.is_file():
                with part.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        hashes.append(digest.hexdigest())
    return hashes
