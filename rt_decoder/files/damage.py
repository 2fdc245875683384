"""What readers raise when a file is damaged, and how to say it."""

from __future__ import annotations

import configparser
import struct
import zlib

__all__ = ["DAMAGE", "first_line"]


# What readers of damaged files raise; each message goes on to the user.
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
    """What an error says, on one line; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
