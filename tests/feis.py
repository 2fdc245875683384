"""Real EEG whose labels cannot be decoded: a second of fixation before each trial of imagined speech.

Whatever names its labels leaks.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np

from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.recipe import Recipe

__all__ = ["PEOPLE", "feis_recipe", "read_feis"]

PEOPLE = ("01", "02", "03")
_SOUNDS = (
    "f", "fleece", "goose", "k", "m", "n", "ng", "p", "s", "sh", "t", "thought", "trap", "v", "z",
    "zh",
)  # fmt: skip


def feis_recipe(**fit: object) -> Recipe:
    """Windows of nine tenths of each epoch; epochs do not join, so nothing is asked of quality."""
    return Recipe.from_dict(
        {
            "stream": {"line_freq": 50.0},
            "filter": {"l_freq": 1.0, "h_freq": 30.0},
            "features": {"tmin": 0.05, "tmax": 0.95},
            "clean": {"stages": []},
            "target": {"names": {str(i + 1): sound for i, sound in enumerate(_SOUNDS)}},
            "readout": {"min_quality": 0.0},
            "fit": {"n_permutations": 199, **fit},
        }
    )


def read_feis(data_dir: Path, person: str, folder: Path) -> Recording:
    """Epochs of a person end to end as a CSV recording, with a marker at the start of each.

    Parameters
    ----------
    data_dir : path
        Holds `feis_articulators`.
    person : str
        Among `PEOPLE`.
    folder : path
        Where the CSV file is written.

    Returns
    -------
    Recording
    """
    with zipfile.ZipFile(data_dir / "feis_articulators" / f"{person}.zip") as archive:
        header, *rows = csv.reader(io.TextIOWrapper(archive.open(archive.namelist()[0])))
    label, epoch, sfreq = header.index("Label"), header.index("Epoch"), 256.0
    values = np.array([row[2:label] for row in rows], float)
    epochs = np.array([int(row[epoch]) for row in rows])
    starts = np.flatnonzero(np.diff(epochs, prepend=-1))
    for one in np.split(values, starts[1:]):
        one -= one.mean(axis=0)
    codes = np.zeros(len(rows), int)
    codes[starts] = [_SOUNDS.index(rows[start][label]) + 1 for start in starts]
    columns = (np.arange(len(rows)) / sfreq, *values.T, codes)
    written = [",".join(["timestamps", *header[2:label], "Marker"])]
    written += [
        ",".join(map(repr, row)) for row in zip(*(c.tolist() for c in columns), strict=True)
    ]
    path = folder / f"{person}.csv"
    path.write_text("\n".join(written) + "\n", encoding="utf-8")
    return read_recording(path, units="uV")
