"""Find what BIDS puts beside a recording: its channels, power line frequency and reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["beside", "is_data_set", "power_line_frequency", "recorded_reference", "subjects_of"]

_UP = 3  # folders from a recording to the root of its data set: eeg, session, subject


def beside(path: Path, ending: str, *, free: tuple[str, ...] = ()) -> Path | None:
    """Find the file of BIDS that describes a recording best.

    Parameters
    ----------
    path : path
        The recording, ``sub-01_task-x_eeg.edf``.
    ending : str
        What follows its entities, ``_channels.tsv`` or ``_eeg.json``.
    free : tuple of str
        Entities that the file has and no recording, such as ``"space"``; of several such files the
        first by name counts.

    Returns
    -------
    path or None
        The one that shares most entities, such as ``sub-01_task-x_channels.tsv``; the nearest of
        equals. Above the recording's own folder only inside a data set: up to the folder with
        ``dataset_description.json``.
    """
    stem = path.name.removesuffix(".gz").split(".")[0]
    entities = set(stem.split("_")[:-1])
    if not any(entity.startswith("sub-") for entity in entities):
        return None
    best: tuple[int, Path] | None = None
    for folder in _folders(path.absolute().parent):
        for found in sorted(folder.glob(f"*{ending}")):
            named = set(found.name.removesuffix(ending).split("_")) - {""}
            named = {one for one in named if one.split("-")[0] not in free}
            if named <= entities and (best is None or len(named) > best[0]):
                best = len(named), found
    return None if best is None else best[1]


def subjects_of(root: Path) -> list[str]:
    """List the people of a data set by the codes of their folders, an empty room aside."""
    codes = [folder.name.removeprefix("sub-") for folder in root.glob("sub-*") if folder.is_dir()]
    return sorted(code for code in codes if code and code != "emptyroom")


def is_data_set(path: Path) -> bool:
    """Whether a folder is the root of a BIDS data set."""
    return path.is_dir() and bool(subjects_of(path))


def _folders(folder: Path) -> list[Path]:
    folders = [folder, *list(folder.parents)[:_UP]]
    for count, place in enumerate(folders, 1):
        if (place / "dataset_description.json").is_file():
            return folders[:count]
    return folders[:1]


def power_line_frequency(path: Path) -> float | None:
    """Read ``PowerLineFrequency`` beside a recording.

    Parameters
    ----------
    path : path
        The recording.

    Returns
    -------
    float or None
        In Hz; None where it is not told, or "n/a".

    Raises
    ------
    ValueError
        If the file beside it is no JSON object.
    """
    freq = _sidecar(path).get("PowerLineFrequency")
    if not isinstance(freq, int | float) or not 0 < freq < 1e6:
        return None
    return float(freq)


def recorded_reference(path: Path) -> str:
    """Read what EEG was recorded against, ``EEGReference`` beside it.

    Parameters
    ----------
    path : path
        The recording.

    Returns
    -------
    str
        As written; empty where it is not told, or "n/a".

    Raises
    ------
    ValueError
        If the file beside it is no JSON object.
    """
    told = _sidecar(path)
    found = str(told.get("EEGReference") or told.get("iEEGReference") or "").strip()
    return "" if found.lower() == "n/a" else found


def _sidecar(path: Path) -> dict[str, Any]:
    """What the JSON file beside a recording tells; empty if there is none."""
    stem = path.name.removesuffix(".gz").split(".")[0]
    found = beside(path, f"_{stem.split('_')[-1]}.json")
    if found is None:
        return {}
    try:
        told = json.loads(found.read_text(encoding="utf-8-sig"))
    except ValueError:
        raise ValueError(f"{found.name}: need a JSON object in UTF-8 beside {path.name}") from None
    return told if isinstance(told, dict) else {}
