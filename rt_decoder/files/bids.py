"""Find the recordings of a person in a BIDS data set, with their events tables.

mne-bids knows the files of a data set and what their names say; what BIDS puts beside a recording is
read with it, whoever names it (`sidecar`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rt_decoder.files.packages import need_packages
from rt_decoder.files.sidecar import beside, subjects_of

__all__ = ["DATATYPES", "BidsChoice", "BidsRun", "find_runs"]

DATATYPES = ("eeg", "meg", "ieeg")
# one file or folder a recording, the first of these that there is
_ENDINGS = (".vhdr", ".edf", ".bdf", ".set", ".fif", ".ds", ".sqd", ".con", ".mff", ".cnt", ".xdf")
_ENTITIES = ("session", "task", "run")


class BidsChoice(NamedTuple):
    """Which recordings are wanted; an empty text takes what there is, if there is one only."""

    subject: str = ""
    session: str = ""  # several with commas, as of task and run
    task: str = ""
    run: str = ""  # all if empty
    datatype: str = ""


class BidsRun(NamedTuple):
    """One recording of a data set."""

    recording: Path
    events: Path | None  # its events table
    entities: dict[str, str]  # session, task and run, those that its name has


def find_runs(root: str | Path, choice: BidsChoice = BidsChoice()) -> list[BidsRun]:  # noqa: B008
    """Find the recordings of one person, of one session and task unless several are named.

    Parameters
    ----------
    root : path
        Of the data set, with folders ``sub-CODE``.
    choice : BidsChoice
        Codes with or without ``sub-``, ``ses-``, ``task-``, ``run-``; ``1`` is ``01``, too.

    Returns
    -------
    list of BidsRun
        In the order of session, task and run.

    Raises
    ------
    ImportError
        If mne-bids is not installed.
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no data set, there is no such recording, or the choice leaves several people,
        sessions, tasks or kinds of data; the message lists what there is.
    """
    need_packages("mne_bids", what="to read a BIDS data set")
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"need the folder of a BIDS data set, got no folder {root.name}")
    people = subjects_of(root)
    if not people:
        raise ValueError(
            f"{root.name}: need a BIDS data set, a folder with folders sub-CODE in it, got none"
        )
    if not (root / "dataset_description.json").is_file():
        warnings.warn(
            f"{root.name}: need a dataset_description.json in the root of a data set; without it, "
            "only what lies in a recording's own folder is read with it",
            RuntimeWarning,
            stacklevel=2,
        )
    subject = _one("--subject", choice.subject.removeprefix("sub-"), people, root.name)
    found = _recordings(root, subject)
    who = f"sub-{subject}"
    if not found:
        raise ValueError(
            f"{root.name}: need recordings of {who} in its folder {', '.join(DATATYPES)}, named "
            f"{who}_task-NAME_eeg with the ending of {', '.join(_ENDINGS[:5])} or another, got none"
        )
    kinds = sorted({path.datatype for path in found})
    kind = _one("--datatype", choice.datatype, kinds, who)
    left = [path for path in found if path.datatype == kind]
    for name in _ENTITIES:
        left = _of_entity(left, name, getattr(choice, name), who)
    _check_single(left)
    left.sort(key=lambda path: [_order(getattr(path, name) or "") for name in _ENTITIES])
    return [_run(path) for path in left]


def _recordings(root: Path, subject: str) -> list[Any]:
    """BIDSPaths of all recordings of a person, each once, whatever files it has."""
    from mne_bids import find_matching_paths

    paths = find_matching_paths(
        root, subjects=[subject], datatypes=list(DATATYPES), suffixes=list(DATATYPES),
        extensions=list(_ENDINGS), ignore_nosub=True,
    )  # fmt: skip
    # what has no task is no session of the person: crosstalk and calibration files of MEG
    wanted = [path for path in paths if path.task and path.datatype == path.suffix]
    first: dict[tuple[str, ...], Any] = {}
    for path in sorted(wanted, key=lambda path: (_ENDINGS.index(path.extension), path.split or "")):
        entities = path.entities | {"split": None}  # the other parts of a file belong to the first
        first.setdefault((path.datatype, *map(str, entities.values())), path)
    return list(first.values())


def _of_entity(paths: list[Any], name: str, wanted: str, who: str) -> list[Any]:
    """Those of one session or task, or of those that are named; all runs unless some are named."""
    there = sorted({getattr(path, name) for path in paths} - {None}, key=_order)
    prefix = {"session": "ses-"}.get(name, f"{name}-")
    named = [one.strip().removeprefix(prefix) for one in wanted.split(",") if one.strip()]
    if not named and name != "run" and len(there) > 1:
        named = [_one(f"--{name}", "", there, who)]
    if not named:
        return paths
    chosen = {_one(f"--{name}", one, there, who) for one in named}
    return [path for path in paths if getattr(path, name) in chosen]


def _one(option: str, wanted: str, there: Sequence[str], where: str) -> str:
    """Return the one that is wanted, or the only one."""
    if not wanted and len(there) == 1:
        return there[0]
    for one in there:
        if wanted and (one == wanted or _order(one) == _order(wanted)):
            return one
    shown = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
    several = " (several with commas)" if option.removeprefix("--") in _ENTITIES else ""
    asked = f"got {wanted}" if wanted else f"got no {option}"
    listed = f"among {shown}" if there else f"but {where} names none"
    raise ValueError(f"{where}: need {option}{several} {listed}, {asked}")


def _order(text: str) -> tuple[int, str]:
    """Sort codes as numbers where they are some; 1 and 01 are the same."""
    return (int(text), "") if text.isdecimal() else (1 << 62, text)


def _check_single(paths: Iterable[Any]) -> None:
    """Refuse two recordings of one run that differ in what no option names."""
    known: dict[tuple[str | None, ...], Any] = {}
    for path in sorted(paths, key=lambda path: str(path.basename)):
        key = tuple(getattr(path, name) for name in _ENTITIES)
        if (other := known.setdefault(key, path)) is not path:
            raise ValueError(
                f"need one recording of a run, got {other.basename} and {path.basename}; name those "
                "wanted as REC in place of --bids"
            )


def _run(path: Any) -> BidsRun:
    entities = {name: getattr(path, name) for name in _ENTITIES if getattr(path, name)}
    return BidsRun(Path(path.fpath), beside(Path(path.fpath), "_events.tsv"), entities)
