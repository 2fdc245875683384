"""The errors that readers of damaged files raise, and their text on one line."""

from __future__ import annotations

import configparser
import struct
import zlib

__all__ = ["DAMAGE", "first_line"]


# Errors of pyxdf and MNE in damaged files; the user sees each message.
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


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if there is no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
