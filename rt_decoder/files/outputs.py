"""Claim the files that a command writes, before any work: none is an input, none is destroyed."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import combinations, takewhile
from pathlib import Path
from typing import NamedTuple

from rt_decoder.files.append_file import STANDARD
from rt_decoder.files.atomic import free_names, named_error

__all__ = ["SUMS", "Output", "claim", "companion_path", "is_place", "reserve"]

SUMS = ".sums.safetensors"

_LOG = ".jsonl"
# files beside a recording that belong to it, and that its own name does not tell
_BESIDE = {
    ".set": (".fdt",),
    ".vhdr": (".eeg", ".dat", ".vmrk"),
    ".eeg": (".vhdr", ".vmrk"),
    ".vmrk": (".vhdr", ".eeg"),
}
_NAMED = re.compile(r"^(?:DataFile|MarkerFile)=(.+?)\s*$", re.MULTILINE)


class Output(NamedTuple):
    """A file to write."""

    option: str  # as it is called on the command line, such as --log
    path: Path | None  # None where it was not asked for
    endings: tuple[str, ...]  # of its name, the usual one first
    in_place: bool = False  # whether it may be a FIFO or a device, such as /dev/stdout


def companion_path(model: str | os.PathLike[str]) -> Path:
    """Name the companion of a model file: ``me.rtd.safetensors`` has ``me.sums.safetensors``.

    Parameters
    ----------
    model : path-like

    Returns
    -------
    path
        Beside the model.
    """
    path = Path(model)
    return path.with_name(path.name.removesuffix(".safetensors").removesuffix(".rtd") + SUMS)


def claim(
    outputs: Sequence[Output], inputs: Iterable[Path | None], *, overwrite: bool | None = False
) -> None:
    """Refuse outputs that would destroy something or could not be written.

    Parameters
    ----------
    outputs : sequence of Output
        All that a command writes.
    inputs : iterable of (Path or None)
        All that it reads: recordings, tables, models, recipes, folders. What belongs to a recording
        (the parts of a FIF file, ``.fdt`` of ``.set``, ``.eeg`` of ``.vhdr``) is found here.
    overwrite : bool or None
        Whether existing files may be replaced; None if the command takes another name by itself.

    Raises
    ------
    ValueError
        If an output is an input (links do not hide it), two outputs are one, or the ending of a
        name is wrong for the format.
    FileNotFoundError, PermissionError
        If there is no folder for an output, or nothing can be written there; this is tried.
    FileExistsError
        If an output exists and may not be replaced.
    """
    asked = [(one, one.path) for one in outputs if one.path is not None]
    read = [file for path in inputs if path is not None for file in _belonging(path)]
    for one, path in asked:
        for file in read:
            if _are_one(path, file):
                raise ValueError(
                    f"need another file for {one.option} than one that is read, got {path.name}"
                )
    files = [(one, path) for one, path in asked if not (one.in_place and is_place(path))]
    for one, path in files:
        _check_name(one, path)
    for (one, path), (other, second) in combinations(files, 2):
        if _are_one(path, second):
            raise ValueError(
                f"need two files for {one.option} and {other.option}, got {path.name} for both"
            )
    for one, path in files:
        _check_folder(path)
        if overwrite is False and (there := _existing(path)):
            raise FileExistsError(
                f"need a new file for {one.option}, got {there.name}, which exists; "
                "--overwrite replaces it"
            )


def reserve(*paths: Path | None) -> list[Path | None]:
    """Make new, empty files for a session; where a name is taken, all get the next free number.

    No file is ever replaced, and two programs that start at once get two names.

    Parameters
    ----------
    paths : Path or None
        Files to write; None for one that was not asked for. FIFOs and devices stay as they are.

    Returns
    -------
    list of (Path or None)
        The files, which `AppendFile` takes up while they are empty.

    Raises
    ------
    OSError
        If a file cannot be made; it is named.
    """
    wanted = [None if p is None or is_place(p) else Path(os.path.realpath(p)) for p in paths]
    for names in zip(*(_names(path) for path in wanted), strict=False):
        asked = [name for name in names if name is not None]
        made = list(takewhile(_make, asked))
        if made == asked:
            return [new or path for new, path in zip(names, paths, strict=True)]
        for name in made:
            name.unlink()
    return list(paths)


def is_place(path: Path) -> bool:
    """Whether something can be written into that is no file: a FIFO, a device, /dev/stdout."""
    if str(path) in STANDARD:
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _names(path: Path | None) -> Iterator[Path | None]:
    if path is not None:
        yield from free_names(path)
    while True:
        yield None


def _make(path: Path) -> bool:
    """Make an empty file; False if the name is taken."""
    if _existing(path):
        return False
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise named_error(error, path) from None
    return True


def _check_name(one: Output, path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"need a file for {one.option}, got the folder {path.name}")
    if is_place(path):
        raise ValueError(f"need a file for {one.option}, got {path.name}, which is none")
    if not path.name.lower().endswith(one.endings) or path.name.lower() in one.endings:
        raise ValueError(
            f"need a file named {' or '.join(one.endings)} for {one.option}, got {path.name}"
        )


def _check_folder(path: Path) -> None:
    """Make a file in the folder and remove it: permissions alone do not tell."""
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"need a folder {folder.name} for {path.name}, got none")
    try:
        tempfile.NamedTemporaryFile(dir=folder, prefix=".rt_decoder-").close()
    except OSError as error:
        raise named_error(error, path) from None


def _existing(path: Path) -> Path | None:
    """What would be replaced: the file, also as a link to nowhere, or a later part of a log."""
    if os.path.lexists(path):
        return path
    if path.name.endswith(_LOG):
        part = re.compile(re.escape(path.stem) + r"\.[1-9][0-9]*" + re.escape(_LOG))
        with suppress(OSError):
            return next((p for p in path.parent.iterdir() if part.fullmatch(p.name)), None)
    return None


def _are_one(output: Path, other: Path) -> bool:
    """Whether writing one would change the other; a file in a folder that is read is read."""
    try:
        if other.is_dir():
            return output.exists() and other.resolve() in output.resolve().parents
        if output.exists() and other.exists():
            return output.samefile(other)
    except OSError:
        pass  # what cannot be looked at is compared by name
    one, two = os.path.realpath(output), os.path.realpath(other)
    return os.path.normcase(one) == os.path.normcase(two)


def _belonging(path: Path) -> list[Path]:
    """A file that is read, and those that are read with it."""
    path = path.expanduser()
    files = [path, *(path.with_suffix(suffix) for suffix in _BESIDE.get(path.suffix.lower(), ()))]
    if path.is_dir():
        with suppress(OSError):
            files += path.iterdir()
    if path.suffix.lower() == ".vhdr":
        with suppress(OSError):
            files += [path.parent / name for name in _NAMED.findall(_start(path))]
    if path.name.lower().endswith((".fif", ".fif.gz")):
        stem = re.sub(r"_split-\d+(?=_|\.|$)", "", path.name.partition(".")[0])
        root, _, kind = stem.rpartition("_")
        part = re.compile(
            rf"{re.escape(stem)}-\d+\.fif(\.gz)?"
            rf"|{re.escape(root or stem)}_split-\d+_{re.escape(kind)}\.fif(\.gz)?"
        )
        with suppress(OSError):
            files += [file for file in path.parent.iterdir() if part.fullmatch(file.name)]
    return files


def _start(path: Path) -> str:
    """The beginning of a header, which may be damaged or no text."""
    with path.open("rb") as file:
        return file.read(1 << 16).decode(errors="replace")
