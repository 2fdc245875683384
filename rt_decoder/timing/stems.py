"""Name an image or sound by its file."""

from __future__ import annotations

import re

__all__ = ["stem"]

_ENDING = re.compile(
    r"(?<=.)\.(?:png|jpe?g|bmp|gif|tiff?|webp|ppm|pgm|wav|flac|ogg|mp3|aiff?)$", re.IGNORECASE
)


def stem(label: str) -> str:
    r"""Return the name of an image or sound without its folders, of any system, and its ending.

    Parameters
    ----------
    label : str
        As a source sends it.

    Returns
    -------
    str

    Examples
    --------
    >>> stem("animals/cat.jpg"), stem("animals\\big cat.v2.png"), stem("cat"), stem("Dr. No")
    ('cat', 'big cat.v2', 'cat', 'Dr. No')
    """
    name = label.replace("\\", "/").rsplit("/", 1)[-1]
    return _ENDING.sub("", name) or name
