"""The errors that readers of damaged files raise, and any error's text on one line."""

from __future__ import annotations

import configparser
import errno
import os
import re
import struct
import zlib
from pathlib import Path

from rt_decoder.files.packages import missing_package, package_text

__all__ = ["DAMAGE", "first_line", "in_one_sentence"]


# Errors of MNE and XML in damaged files; the user sees each message.
DAMAGE = (
    ValueError,
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    SyntaxError,  # XML
    struct.error,
    zlib.error,
    configparser.Error,
)


# Errors whose text speaks of a library's insides, not of the file.
_INSIDES = (
    AttributeError,
    TypeError,
    LookupError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    EOFError,
    SyntaxError,
    UnicodeError,
    struct.error,
    zlib.error,
    configparser.Error,
)
_REASONS = {
    errno.ENOENT: "no such file: {}",
    errno.EISDIR: "need a file, got the folder {}",
    errno.ENOTDIR: "need a folder above {}, got a file in its place",
    errno.EACCES: "need permission to open {}, got none: it belongs to another user or is protected",
    errno.EPERM: "need permission to change {}, got none: it belongs to another user or is protected",
    errno.EROFS: "need a disk that can be written to for {}, got one that is read-only",
    errno.ENOSPC: "need room on the disk for {}, got none",
    errno.ENAMETOOLONG: "need a shorter name than {}",
    errno.ELOOP: "need a file, got links in a circle at {}",
    errno.EMFILE: "need a free file descriptor for {}, got none: too many files are open",
    errno.EINVAL: "need a file that can be read, got {}",
}
# what only a caller of the library can follow, or what speaks of numbers and not of the file
_HINTS = re.compile(
    r"could not convert|cannot reshape|invalid literal|encoding=|overrides=|read_raw|dedicated reader"
)
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/'\"]+/)+(?=[^\s/'\"])")
_LONGEST = 300  # characters of a library's text


def first_line(error: BaseException) -> str:
    """Say why a file could not be read: a library's words where they speak of the file.

    Parameters
    ----------
    error : BaseException
        From a library.

    Returns
    -------
    str
        One line. Where the first ends in a colon, with what follows.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return in_one_sentence(error)
    lines = str(error).strip().splitlines()
    if isinstance(error, _INSIDES) or not lines:
        return "it is damaged, or of another format than its name says"
    text = lines[0] if not lines[0].rstrip().endswith(":") else " ".join(lines)
    if _HINTS.search(text):
        return "it is damaged, or of another format than its name says"
    text = _FOLDERS.sub("", " ".join(text.split())).rstrip(" :")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def in_one_sentence(error: BaseException) -> str:
    """Return an error's text; that of the operating system without its number and folders.

    Parameters
    ----------
    error : BaseException
        What went wrong.

    Returns
    -------
    str

    Examples
    --------
    >>> in_one_sentence(FileNotFoundError(2, "No such file or directory", "/words.tsv"))
    'no such file: words.tsv'
    """
    if isinstance(error, MemoryError):
        return f"need more memory than there is{': ' if str(error) else ''}{str(error).lower()}"
    if isinstance(error, ImportError) and error.name and not str(error).startswith("need "):
        return package_text(missing_package(error))
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error) or type(error).__name__
    name, named = "standard input or output", error.filename
    if isinstance(named, str | bytes | Path):
        path = Path(os.fsdecode(named))
        name = path.name or str(path)
        if error.errno == errno.ENOENT and not path.parent.exists():
            return f"need a folder {path.parent.name} for {name}, got none"
    if error.errno in _REASONS:
        return _REASONS[error.errno].format(name)
    return f"cannot open {name}: {(error.strerror or type(error).__name__).lower()}"
