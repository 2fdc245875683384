"""Show text that came from outside: names of streams and files, labels, errors of libraries."""

from __future__ import annotations

import json
import re

__all__ = ["json_text", "plain"]

# Control characters, direction marks, lone surrogates, tags: they move a cursor, hide or reorder
# text. The joiners U+200C and U+200D belong to words of some languages and stay.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
LONGEST = 4000  # characters of a line


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def plain(text: object, longest: int = LONGEST) -> str:
    r"""Return a text that a terminal, a page or a figure can show.

    Parameters
    ----------
    text : object
        What came from outside.
    longest : int
        Characters that are kept; more end in "...".

    Returns
    -------
    str
        One line; control characters and the like as escapes.

    Examples
    --------
    >>> print(plain("axe\x1b[2J\n"), plain("a" * 100, longest=8))
    axe\u001b[2J\n aaaaa...
    """
    shown = str(text)
    if len(shown) > longest:
        shown = shown[: longest - 3] + "..."
    return _UNSEEN.sub(_escaped, shown)


def json_text(value: object, *, ascii_only: bool = False) -> str:
    r"""Return a value as JSON on one line, every character of its texts kept, as it is or escaped.

    Parameters
    ----------
    value : object
        Plain values; no NaN.
    ascii_only : bool
        Escape whatever is not ASCII.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    Examples
    --------
    >>> print(json_text({"label": "caf\xe9\x9b2J"}))
    {"label": "café\u009b2J"}
    """
    return _UNSEEN.sub(_escaped, json.dumps(value, ensure_ascii=ascii_only, allow_nan=False))
