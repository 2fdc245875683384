"""Decide which markers are stimuli, and which item each one names.

The one place of this rule: calibration, `decode` and live sessions all ask `ItemRule`, whatever the
markers come from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import islice

from rt_decoder.counted import counted
from rt_decoder.timing.stems import stem

__all__ = [
    "CUE",
    "ItemRule",
    "composed",
    "fold_key",
    "is_code",
    "is_stimulus",
    "shorten",
    "some",
    "tidy",
    "unknown_labels",
]

CUE = "cue/"  # labels that start so tell the participant to blink, look around or rest

# MNE's BAD and EDGE annotations, EEGLAB's and MNE's joints, BrainVision's and amplifiers' own notes.
# "bad", "badger", "BADGER" and "edge" are words.
_NO_STIMULUS = re.compile(
    r"BAD(?![A-Z]).*|(?i:bad)(?:[_\s\d:/]|-\d).*|EDGE(?![^\W\d_]).*|boundary"
    r"|(?i:(?:new ?segment|comment|sync ?status)/.*|lost ?samples\b.*|bad_acq_skip)",
    re.DOTALL,
)
# "Stimulus/S  1", "S  1", "R128", "DIN2", "T0", "trigger 7", "17": a number with at most a kind
_KIND = r"[a-z]|din|sti|stim|stimulus|response|trig|trigger|event|code|marker|condition"
_CODE = re.compile(rf"(?:[^/]*/)?\s*(?:{_KIND})?[\s#:_-]*[-+]?\d+(?:\.0*)?", re.IGNORECASE)
_STIMULUS = "Stimulus/"  # BrainVision's type of a marker is no part of its name
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u02b9\u2032\u00b4\uff07", "'"))
_QUOTES = (
    '""',
    "''",
    "\u201c\u201d",
    "\u201e\u201c",
    "\u201e\u201d",
    "\u00ab\u00bb",
    "\u00bb\u00ab",
)


def is_stimulus(label: str) -> bool:
    """Return whether a label may name a stimulus.

    Labels by which programs mark bad stretches, joints of recordings and notes name none.

    Parameters
    ----------
    label : str
        As a source sends it.

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_stimulus(label) for label in ("axe", "badger", "BAD_muscle", "bad blink", "EDGE boundary")]
    [True, True, False, False, False]
    >>> [is_stimulus(label) for label in ("boundary", "New Segment/", "Comment/eyes closed", " ")]
    [False, False, False, False]
    """
    text = label.strip()
    return bool(text) and _NO_STIMULUS.fullmatch(text) is None


def is_code(label: str) -> bool:
    """Return whether a label is a number, as triggers send them, and no word of a language.

    Parameters
    ----------
    label : str
        As a source sends it.

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_code(label) for label in ("Stimulus/S  1", "R128", "17", "word1", "Stimulus/axe")]
    [True, True, True, False, False]
    """
    return _CODE.fullmatch(label.strip()) is not None


def composed(text: str) -> str:
    """Compose letters with their accents (NFC), and write every apostrophe alike."""
    return unicodedata.normalize("NFC", text).translate(_APOSTROPHES)


def tidy(label: str) -> str:
    r"""Write a label as `composed` does, without quotes around it and with single spaces.

    Parameters
    ----------
    label : str
        As a source sends it.

    Returns
    -------
    str

    Examples
    --------
    >>> tidy('  "don\u2019t'  '"'), tidy("e\u0301te\u0301"), tidy("S  1")
    ("don't", '\xe9t\xe9', 'S 1')
    """
    text, before = composed(label), ""
    while text != before:
        before, text = text, " ".join(text.strip("\ufeff\u200b\0").split())
        if len(text) > 1 and text[0] + text[-1] in _QUOTES:
            text = text[1:-1]
    return text


def fold_key(label: str) -> str:
    r"""Return a key that labels of the same item share, whatever their case.

    Parameters
    ----------
    label : str
        As a source sends it.

    Returns
    -------
    str

    Examples
    --------
    >>> fold_key("Cat") == fold_key(' "CAT"'), fold_key("Masse") == fold_key("Ma\xdfe")
    (True, False)
    """
    return tidy(label).lower()


def unknown_labels(counts: Mapping[str, int], items: Collection[str]) -> str:
    """Say which items a model does not know; "" if it knows all of them.

    Parameters
    ----------
    counts : mapping of str to int
        Items of a recording, with their counts.
    items : collection of str
        Items of the model.

    Returns
    -------
    str

    Examples
    --------
    >>> unknown_labels({"axe": 3, "bee": 1}, ["axe", "cow"])
    '1 of 4 events with items that the model does not know: bee 1; it knows axe, cow'
    """
    unknown = {item: count for item, count in counts.items() if item not in items}
    if not unknown:
        return ""
    return (
        f"{sum(unknown.values())} of {counted(sum(counts.values()), 'event')} with items that the "
        f"model does not know: {some(unknown)}; it knows {some(items)}"
    )


def some(labels: Collection[str], most: int = 8) -> str:
    """List labels, with their counts if there are any; the first ones if there are many.

    Parameters
    ----------
    labels : collection of str
        A mapping gives the count of each.
    most : int
        How many to list.

    Returns
    -------
    str

    Examples
    --------
    >>> some({"axe": 3, "bee": 1}, 1), some(["axe", "bee"])
    ('axe 3 and 1 more', 'axe, bee')
    """
    counts = labels if isinstance(labels, Mapping) else {}
    told = [
        f"{shorten(label)} {counts[label]}" if counts else shorten(label)
        for label in islice(labels, most)
    ]
    more = len(labels) - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def shorten(label: str) -> str:
    """Cut a label to 40 characters; whoever shows it takes care of what cannot be printed.

    Parameters
    ----------
    label : str
        From outside.

    Returns
    -------
    str

    Examples
    --------
    >>> len(shorten("a" * 41)), shorten("axe")
    (40, 'axe')
    """
    return label if len(label) <= 40 else f"{label[:37]}..."


class ItemRule:
    """Map a marker's label to its item.

    Parameters
    ----------
    names : mapping of str to str or None
        Label to item. With `fold`, case, white space and BrainVision's prefix, such as
        ``Stimulus/``, may differ.
    include, exclude : collection of str
        Patterns, as of file names, of labels or items. With `include`, only what matches is a
        stimulus. A label that `include` names without wildcards is one even if `is_stimulus`
        denies it.
    fold, stems : bool
        Tidy the labels, without BrainVision's ``Stimulus/``, and ignore their case; with `stems`
        they name files, and items are the stems.
    items : iterable of str
        Items whose spelling is kept; with `fold`, a label that differs in case gets it.
    """

    def __init__(
        self,
        names: Mapping[str, str] | None = None,
        include: Collection[str] = (),
        exclude: Collection[str] = (),
        *,
        fold: bool = False,
        stems: bool = False,
        items: Iterable[str] = (),
    ) -> None:
        self._fold, self._stems = fold, stems
        self._names = dict(names or {})
        self._coded = {_bare(self._key(label)): item for label, item in self._names.items()}
        self._include = tuple(map(self._key, include))
        self._exclude = tuple(map(self._key, exclude))
        self._spelled = {fold_key(item): item for item in items} if fold else {}

    def _key(self, label: str) -> str:
        return fold_key(label) if self._fold else label

    def name(self, label: str) -> str | None:
        """Return the item that `names` gives to a label, or None."""
        named = self._names.get(label)
        if named is None and self._fold:
            bare = _bare(self._key(label))
            named = self._coded.get(bare, self._coded.get(bare.rpartition("/")[2]))
        return named

    def item(self, label: str) -> str | None:
        """Return the item of a marker, or None if the marker is no stimulus."""
        named = self.name(label)
        item = label if named is None else named
        if self._fold:
            item = tidy(item.removeprefix(_STIMULUS))
        item = stem(item) if self._stems and not label.startswith(CUE) else item
        keys = {self._key(label), self._key(item)}
        if (
            named is None
            and not (is_stimulus(label) and is_stimulus(item))
            and not keys & {*self._include}
        ):
            return None
        if self._include and not label.startswith(CUE) and not _matches(keys, self._include):
            return None
        if _matches(keys, self._exclude):
            return None
        return self._spelled.get(self._key(item), item)


def _bare(label: str) -> str:
    return "".join(label.split())


def _matches(keys: Collection[str], patterns: Collection[str]) -> bool:
    return any(fnmatchcase(key, pattern) for key in keys for pattern in patterns)
