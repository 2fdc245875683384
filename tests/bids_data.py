"""A BIDS data set of the small participant, written by mne-bids as a lab would."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne_bids import BIDSPath, write_raw_bids

from rt_decoder.files.recording import Recording
from tests.small import small_recording

KINDS = {"AUX1": "eog", "AUX2": "eog", "AUX3": "ecg", "BELT": "resp"}  # names tell no type
LINE_FREQ = 60.0
BAD = "C4"


def raw_of(recording: Recording) -> Any:
    """MNE's raw object of the small participant, its references renamed, one electrode bad."""
    info = recording.info
    names = ["Fz", "Cz", "Pz", "Oz", "C3", BAD, "P7", "P8", *KINDS]
    made = mne.create_info(names, info.sfreq, list(info.ch_types[: len(names)]))
    made["line_freq"] = LINE_FREQ
    raw = mne.io.RawArray(np.array(recording.data).T[: len(names)], made, verbose="error")
    raw.set_montage("standard_1005", on_missing="ignore", verbose="error")
    raw.info["bads"] = [BAD]
    onsets = [marker.index / info.sfreq for marker in recording.markers]
    labels = [marker.label for marker in recording.markers]
    raw.set_annotations(mne.Annotations(onsets, [0.3] * len(onsets), labels))
    return raw


def write_run(root: Path, raw: Any, *, how: str = "BrainVision", **entities: Any) -> BIDSPath:
    """Write one run; entities are those of `BIDSPath`."""
    path = BIDSPath(root=root, datatype="eeg", **{"subject": "01", "task": "words"} | entities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_raw_bids(raw, path, format=how, allow_preload=True, overwrite=True, verbose="error")
    return path.update(suffix="eeg", extension=".vhdr")


def write_dataset(
    root: Path, runs: tuple[str, ...] = ("1", "2"), **entities: Any
) -> list[Recording]:
    """Write a data set of one person, a recording a run."""
    found = []
    for session, run in enumerate(runs, 1):
        recording = small_recording(session=session)
        write_run(root, raw_of(recording), run=run, **entities)
        found.append(recording)
    return found
