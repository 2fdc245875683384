"""Name what we write into a BIDS data set as derivatives, and describe their folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rt_decoder.files.atomic import write_whole

__all__ = ["BIDS_VERSION", "derivative_path", "describe_derivatives"]

BIDS_VERSION = "1.9.0"
_FOLDER = Path("derivatives") / "rt_decoder"
_SHORT = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}


def derivative_path(root: Path, codes: Mapping[str, str], ending: str, datatype: str = "") -> Path:
    """Name a file under ``derivatives/rt_decoder``.

    Parameters
    ----------
    root : path
        Of the data set.
    codes : mapping of str to str
        `subject`, and `session`, `task`, `run` where there are such; empty ones are left out.
    ending : str
        What follows them, such as ``desc-decoded_events.tsv``.
    datatype : str
        Folder of the kind of data, such as ``eeg``; none if empty.

    Returns
    -------
    path

    Examples
    --------
    >>> codes = {"subject": "01", "session": "", "task": "words", "run": "2"}
    >>> derivative_path(Path("study"), codes, "desc-decoded_events.tsv", "eeg").as_posix()
    'study/derivatives/rt_decoder/sub-01/eeg/sub-01_task-words_run-2_desc-decoded_events.tsv'
    """
    known = {short: codes.get(name, "") for name, short in _SHORT.items()}
    entities = [f"{short}-{text}" for short, text in known.items() if text]
    folders = [one for one in entities if one.split("-")[0] in ("sub", "ses")]
    folders += [datatype] if datatype else []
    return (root / _FOLDER).joinpath(*folders) / "_".join([*entities, ending])


def describe_derivatives(root: Path) -> None:
    """Make the folder of our derivatives, with a ``dataset_description.json`` unless it has one.

    Parameters
    ----------
    root : path
        Of the data set.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dataset_description.json"
    if path.exists():
        return
    try:
        by = {"Name": "rt_decoder", "Version": version("rt-decoder")}
    except PackageNotFoundError:  # run from a folder
        by = {"Name": "rt_decoder"}
    described = {
        "Name": "rt_decoder",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [by],
        "SourceDatasets": [{"URL": "../.."}],
    }
    write_whole(path, (json.dumps(described, indent=2) + "\n").encode())
