"""Say how many of something there are."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    Parameters
    ----------
    n : int
        How many.
    noun : str
        Of one of them.
    plural : str
        Of several; `noun` with an s if empty.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "marker"), counted(0, "marker"), counted(2, "loss", "losses")
    ('1 marker', '0 markers', '2 losses')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"
