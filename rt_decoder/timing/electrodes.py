"""Recognise electrodes of the 10-05 system in what recordings call their channels.

Amplifiers and file formats decorate names: "EEG Fp1", "Fp1-LE", "FP1", "Fc5." are Fp1 and FC5. All
that goes by names goes by these: frontal channels, positions, channels that people have in common.
Streams, models and records keep the names that they came with.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

__all__ = ["electrode_name", "electrode_names", "shared_names"]

_SIDES = {  # columns of rows from front to back: on the midline, from there outwards, between two
    "N NFp Fp O OI I": "z 1 2 1h 2h",
    "AFp AF AFF F P PPO PO POO": "z 1 2 3 4 5 6 7 8 9 10 1h 2h 3h 4h 5h 6h 7h 8h 9h 10h",
    "FFC FC FCC C CCP CP CPP": "z 1 2 3 4 5 6 1h 2h 3h 4h 5h 6h",
    "FFT FT FTT T TTP TP TPP": "7 8 9 10 7h 8h 9h 10h",
    "A M": "1 2",
}
_STANDARD = {
    (row + column).casefold(): row + column
    for rows, columns in _SIDES.items()
    for row in rows.split()
    for column in columns.split()
}
_OLD = {"t3": "T7", "t4": "T8", "t5": "P7", "t6": "P8"}
_KNOWN = _STANDARD | _OLD
_PREFIX = re.compile(  # "EEG ", "EEG1 ", "EEGFp1", "Channel_", "01-"; not the letters of "EEG 001"
    r"[\W_]*(?:(?:(?:eeg|ch|chan|channel|electrode)\d*|\d+)[\W_]+|eeg(?=[a-z]))*(?=[a-z])"
)
_UNIT = re.compile(r"\s*[(\[][^)\]]*[)\]]\s*$|[\s_]+[unm\u03bc]?v$")  # as CSV headers have it
_ELECTRODE = re.compile(r"([a-z]+?(?:z|\d+h?))(?![a-z\d])(.*)")
_EARS = {"a1", "a2", "m1", "m2"}
_REFERENCE = re.compile(
    r"(v?ref|reference|c?ler?|linked(ears|mastoids)?|ears?|mastoids?|lm|rm|a12|m12|[am]1[am]22?|a[12]|m[12]"
    r"|tp9|tp10|tp9tp10|av|ave|aver|avg|avr|average|ar|car|com|common|mean|org|nose"
    r"|biauricular|g2)(ref)?"
)
_GLUED = re.compile(r"([a-z]+?(?:z|\d+h?))(v?ref|c?ler?|avg?|car|[am][12](?:[am]2)?)")  # "C3A2"
_GRID = re.compile(r"[a-h]\d+")  # names of caps that count: A1 to A32, B1 to B32, ...
_ROW = re.compile(r"([a-z])\d+")  # contacts of a strip or shaft count as well: O1 to O8
_LEAST_GRID = 4  # such names that are no electrodes show that the others are none either
_LEAST_COMMON = 4  # channels against one electrode, which is then their reference


def electrode_name(name: str) -> str:
    """Return the standard name of the electrode that a channel's name tells, "" if it tells none.

    >>> [electrode_name(name) for name in ("EEG Fp1-Ref", "fp1-A1", "Fc5.", "T3", "EEG 001")]
    ['Fp1', 'Fp1', 'FC5', 'T7', '']
    >>> electrode_name("Fp1-F7")  # a pair of electrodes is none of them
    ''
    """
    electrode, other = _parts(name)
    if electrode in _EARS and other in _EARS:
        return ""
    return _KNOWN.get(electrode, "") if not other or _REFERENCE.fullmatch(other) else ""


def electrode_names(names: Sequence[str], types: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the electrode of each channel of a recording.

    Parameters
    ----------
    names : sequence of str
        Of all channels.
    types : sequence of str
        Their types; electrodes are those of type eeg. Empty if not known.

    Returns
    -------
    tuple of str
        Standard names, each at most once; "" for a channel that is no such electrode, or where two
        channels tell the same one. Where all pairs have one electrode in common it is their
        reference. Names such as A1 or C3 tell nothing beside A32 or B5, where letters are no rows,
        and O1 tells nothing beside O3 to O6.
    """
    parts = [_parts(name) for name in names]
    pairs = {other for electrode, other in parts if electrode in _KNOWN and other in _KNOWN}
    against = sum(other in pairs for _, other in parts)
    common = pairs.pop() if len(pairs) == 1 and against >= _LEAST_COMMON else None
    counts = _counting([electrode for electrode, _ in parts])
    found = []
    for i, (name, (electrode, other)) in enumerate(zip(names, parts, strict=True)):
        told = _KNOWN.get(electrode, "") if other and other == common else electrode_name(name)
        is_other = bool(types) and types[i] != "eeg"
        counted = _ROW.fullmatch(electrode) and electrode[0] in counts
        found.append("" if is_other or counted else told)
    count = Counter(found)
    return tuple(one if count[one] == 1 else "" for one in found)


def shared_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names by which the channels of two recordings are compared.

    Parameters
    ----------
    names : sequence of str
        Of all channels of one recording.

    Returns
    -------
    tuple of str
        The electrode of each channel, or its own name where it is none; each once.

    >>> shared_names(["EEG Fp1", "T3", "Fp1-F7"])
    ('Fp1', 'T7', 'Fp1-F7')
    """
    found = [
        electrode or name for name, electrode in zip(names, electrode_names(names), strict=True)
    ]
    count = Counter(found)
    return tuple(one if count[one] == 1 else name for one, name in zip(found, names, strict=True))


def _counting(electrodes: Sequence[str]) -> set[str]:
    """Find the letters before which numbers only count: those with many that are no electrodes."""
    others = [one for one in electrodes if _ROW.fullmatch(one) and one not in _KNOWN]
    count = Counter(one[0] for one in others)
    letters = {letter for letter, n in count.items() if n >= _LEAST_GRID}
    is_grid = sum(_GRID.fullmatch(one) is not None for one in others) >= _LEAST_GRID
    return letters | set("abcdefgh") if is_grid else letters


def _parts(name: str) -> tuple[str, str]:
    """Split a name into what may be an electrode, in lower case, and letters and digits after it."""
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    plain = _PREFIX.sub("", _UNIT.sub("", plain) or plain, count=1)
    match = _ELECTRODE.match(plain)
    if not match or match[1] not in _KNOWN:
        match = _GLUED.fullmatch(plain) or match
    if not match:
        return plain, ""
    return match[1], re.sub(r"[\W_]+", "", match[2])
