"""Write a recording into a BIDS data set, by mne-bids: BrainVision, or FIF if it is MEG."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.files.blocks import Blocks
from rt_decoder.files.fif_writer import Span, mne_raw
from rt_decoder.files.packages import need_packages
from rt_decoder.files.recording import Recording

__all__ = ["BidsName", "check_bids", "write_bids"]

_CODE = re.compile(r"[A-Za-z0-9]+")
_KINDS = (("meg", {"mag", "grad"}), ("ieeg", {"seeg", "ecog"}), ("eeg", {"eeg"}))
# mne-bids tells what it does; what we do is in the docstring
_KNOWN = "Converting data files|Encountered data in|Encountered unsupported non-voltage|No events found|.*nasion not found"


class BidsName(NamedTuple):
    """Where a recording goes in a data set; session and run may be empty."""

    subject: str
    session: str
    task: str
    run: str


def write_bids(
    recording: Recording,
    spans: Sequence[Span],
    root: Path,
    name: BidsName,
    *,
    overwrite: bool = False,
    source: Path | None = None,
) -> Path:
    """Write a recording with channels.tsv, events.tsv and what else BIDS asks for.

    EEG and intracranial recordings become BrainVision, in single precision; MEG becomes FIF, in
    double. The recording is held in memory. What else is in the data set stays as it is, but
    for a new row in participants.tsv and scans.tsv.

    Parameters
    ----------
    recording : Recording
    spans : sequence of Span
        Rows of events.tsv.
    root : path
        Of the data set; made if there is none.
    name : BidsName
    overwrite : bool
        Whether a recording of this name may be replaced.
    source : path or None
        File that the recording was read from: it is never replaced.

    Returns
    -------
    path
        The file with the samples.

    Raises
    ------
    ImportError
        If mne-bids or pybv is not installed.
    ValueError
        If a code is none, there is no channel of the brain, the folder is no data set, or the
        recording would replace its source.
    FileExistsError
        If there is a recording of this name, and it may not be replaced.
    OSError
        If it cannot be written; nothing of it stays, and a recording that it was to replace does.
    """
    need_packages("mne_bids", "pybv", what="to write a BIDS data set")
    from mne_bids import write_raw_bids

    check_bids(root, name)
    path = _place(recording, root, name)
    target = Path(path.fpath)
    there = _of_run(target)
    if there and not overwrite:
        raise FileExistsError(
            f"need a new recording, got {target.name}, which exists; --run sets another, "
            "--overwrite replaces it"
        )
    if source is not None and any(file.samefile(source) for file in there):
        raise ValueError(f"need another place than that of the recording, got {target.name}; --run")
    raw = _raw(recording, spans)
    with _aside(there), ExitStack() as undo, warnings.catch_warnings():
        undo.callback(_remove_new, target)
        warnings.filterwarnings("ignore", _KNOWN)
        write_raw_bids(
            raw, path, format="FIF" if path.datatype == "meg" else "BrainVision", allow_preload=True,
            overwrite=overwrite, verbose="error",
        )  # fmt: skip
        undo.pop_all()
    for file in _of_run(target):
        file.chmod(0o600)
    return target


@contextmanager
def _aside(files: Sequence[Path]) -> Iterator[None]:
    """Keep a recording in a hidden folder until another is whole in its place; else put it back."""
    if not files:
        yield
        return
    kept = Path(tempfile.mkdtemp(prefix=".replaced-", dir=files[0].parent))
    with ExitStack() as undo:
        undo.callback(kept.rmdir)
        for file in files:
            undo.callback(file.rename(kept / file.name).replace, file)
        yield
        undo.pop_all()
    shutil.rmtree(kept, ignore_errors=True)


def _remove_new(target: Path) -> None:
    """Remove what a write that failed has left."""
    for file in _of_run(target):
        file.unlink(missing_ok=True)


def check_bids(root: Path, name: BidsName) -> None:
    """Refuse a place that is none, before any work.

    Parameters
    ----------
    root : path
        Of the data set; it may be missing.
    name : BidsName

    Raises
    ------
    ValueError
        If a code is none, or the folder is no data set.
    """
    for key, code in name._asdict().items():
        if (code and not _CODE.fullmatch(code)) or (not code and key in ("subject", "task")):
            raise ValueError(f"need letters and digits as --{key} of a BIDS data set, got {code!r}")
    if root.exists() and not root.is_dir():
        raise ValueError(f"need a folder for a BIDS data set, got the file {root.name}")
    is_root = (root / "dataset_description.json").is_file()
    if root.is_dir() and any(root.iterdir()) and not is_root:
        raise ValueError(
            f"need an empty folder or the root of a BIDS data set, with dataset_description.json, "
            f"got {root.name}"
        )


def _place(recording: Recording, root: Path, name: BidsName) -> Any:
    """BIDSPath of the samples; raises ValueError where there is none of the brain."""
    from mne_bids import BIDSPath

    types = set(recording.info.ch_types)
    kind = next((kind for kind, brain in _KINDS if types & brain), "")
    if not kind:
        raise ValueError(
            "need channels of EEG, MEG or intracranial electrodes for BIDS, got "
            f"{', '.join(sorted(types))}"
        )
    codes = {key: code or None for key, code in name._asdict().items()}
    ending = ".fif" if kind == "meg" else ".vhdr"
    return BIDSPath(**codes, root=root, datatype=kind, suffix=kind, extension=ending)


def _of_run(target: Path) -> list[Path]:
    """Files of a recording, and what tells of it."""
    stem = target.name.rpartition("_")[0]
    return [file for file in target.parent.glob(f"{stem}_*") if file.is_file()]


def _raw(recording: Recording, spans: Sequence[Span]) -> Any:
    """MNE's raw object of a recording, in memory, with positions as mne-bids takes them."""
    import mne

    data = recording.data[:] if isinstance(recording.data, Blocks) else recording.data
    info = recording.info
    spans = [one._replace(label=" ".join(one.label.split())) for one in spans]  # a cell of a table
    raw = mne_raw(np.asarray(data), info, spans, recording.line_freq, recording.bads)
    places = info.positions
    are_electrodes = not {"mag", "grad"} & set(info.ch_types)
    if places is not None and are_electrodes:
        known = {
            name: place for name, place in zip(info.ch_names, places, strict=True)
            if np.isfinite(place).all()
        }  # fmt: skip
        montage = mne.channels.make_dig_montage(known, coord_frame="head")
        raw.set_montage(montage, on_missing="ignore", verbose="error")
    return raw
