"""Name the parts of a session log on disk, and read them.

A log is a file of JSON objects, one a line, in UTF-8. One that grew past its size goes on in parts
beside it: ``session.jsonl``, ``session.1.jsonl``, ``session.2.jsonl``. Each part begins with the
log's header line and its number, ``{"type": "header", "part": 1, ...}``; no line is split.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["LogLines", "log_parts", "part_header", "part_path", "read_log", "remove_parts"]

MAX_LINE = 16 << 20  # bytes; a longer one is no line of ours
_BLOCK = 1 << 16


class LogLines(NamedTuple):
    """Contents of a log; lines are read from disk on demand."""

    lines: Iterator[dict[str, Any]]
    n_torn_bytes: int  # of an incomplete last line, which is left out


def read_log(path: str | Path) -> LogLines:
    r"""Read the lines of all parts of a log, in order, as if there were one part only.

    A log may be read while it is written: what comes later is not seen.

    Parameters
    ----------
    path : path-like
        The first part, which has the name that the log was given.

    Returns
    -------
    LogLines

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If a part is missing; while iterating, at a line that is no JSON object (one sentence with
        part and line). Damage is never skipped.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "session.jsonl")
    >>> _ = path.write_text('{"type": "header"}\n{"type": "rea')
    >>> lines, n_torn_bytes = read_log(path)
    >>> list(lines), n_torn_bytes
    ([{'type': 'header'}], 13)
    """
    parts = log_parts(path)
    sizes = [part.stat().st_size for part in parts]
    whole = _whole_bytes(parts[-1], sizes[-1])
    n_torn_bytes = sizes[-1] - whole
    sizes[-1] = whole
    return LogLines(_lines(parts, sizes), n_torn_bytes)


def log_parts(path: str | Path) -> list[Path]:
    """List the files of a log, in order.

    Parameters
    ----------
    path : path-like
        The first part.

    Returns
    -------
    list of Path

    Raises
    ------
    FileNotFoundError
        If there is no such log.
    ValueError
        If a part is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such log: {path.name}")
    later = _later_parts(path)
    for k in range(1, len(later) + 1):
        if k not in later:
            raise ValueError(f"need {part_path(path, k).name}, got later parts of the log only")
    return [path, *(later[k] for k in sorted(later))]


def remove_parts(path: str | Path) -> None:
    """Remove the later parts of an earlier log; files that only have such names stay."""
    for _, part in sorted(_later_parts(Path(path)).items(), reverse=True):
        part.unlink()


def part_path(path: Path, part: int) -> Path:
    """Return the path of a part; the first, 0, has the log's own name."""
    return path if part == 0 else path.with_name(f"{path.stem}.{part}{path.suffix}")


def part_header(header: dict[str, Any], part: int) -> dict[str, Any]:
    """Return the first line of a later part."""
    return {"type": "header", "part": part} | header


def _later_parts(path: Path) -> dict[int, Path]:
    """Parts beside the first one, by number; other files with such names are none of ours."""
    name = re.compile(re.escape(path.stem) + r"\.([1-9][0-9]{0,8})" + re.escape(path.suffix))
    found = {
        int(match[1]): entry
        for entry in path.parent.iterdir()
        if (match := name.fullmatch(entry.name)) and entry.is_file()
    }
    return {number: entry for number, entry in found.items() if _is_part(entry, number)}


def _is_part(path: Path, part: int) -> bool:
    """Whether it begins as a part does; a kill may have left less than the beginning."""
    start = json.dumps(part_header({}, part)).encode()[:-1]
    with path.open("rb") as file:
        content = file.read(len(start) + 1)
    if len(content) <= len(start):
        return start.startswith(content)
    return content.startswith(start) and content[-1:] in (b",", b"}")


def _whole_bytes(path: Path, size: int) -> int:
    """Where the last whole line of the first `size` bytes ends."""
    with path.open("rb") as file:
        for end in range(size, 0, -_BLOCK):
            start = max(0, end - _BLOCK)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
    return 0


def _lines(parts: Sequence[Path], sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    header: dict[str, Any] = {}
    for part, (path, left) in enumerate(zip(parts, sizes, strict=True)):
        with path.open("rb") as file:
            number = 0
            while left > 0:
                raw = file.readline(min(left, MAX_LINE))
                left -= len(raw)
                number += 1
                line = _parse(raw, f"{path.name}, line {number}")
                if number > 1:
                    yield line
                elif part == 0:
                    header = line if line.get("type") == "header" else {}
                    yield line
                elif line != part_header(header, part):
                    raise ValueError(f"{path.name} is a part of another log than {parts[0].name}")


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    if raw.endswith(b"\n"):
        try:
            line = json.loads(raw.decode(), parse_constant=_refuse)
        except (ValueError, RecursionError):
            line = None
        if isinstance(line, dict):
            return line
    begins = raw[:40].decode(errors="replace").rstrip("\n")
    raise ValueError(f"{where}: need a JSON object, got {begins!r}: the log is damaged there")


def _refuse(constant: str) -> None:
    raise ValueError(f"need JSON, got {constant}")
