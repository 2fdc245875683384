"""Tell in which script items are written, and say where a model of English meets another one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection

__all__ = ["language_note", "script_of"]

# first word of the names that Unicode gives to letters, and how people call them
_NAMES = {"Cjk": "Chinese", "Hiragana": "Japanese", "Katakana": "Japanese", "Hangul": "Korean"}
_ENGLISH = ("", "en")


def script_of(items: Collection[str]) -> str:
    """Name the script of most letters of most items.

    Parameters
    ----------
    items : collection of str

    Returns
    -------
    str
        ``"Latin"``, ``"Cyrillic"``, ``"Chinese"``, ...; empty where no item has a letter.

    Examples
    --------
    >>> script_of(["axe", "café"]), script_of(["вода", "tea", "огонь"]), script_of(["水", "17"])
    ('Latin', 'Cyrillic', 'Chinese')
    """
    of_items = Counter[str]()
    for item in items:
        letters = Counter(unicodedata.name(one, "?").split()[0] for one in item if one.isalpha())
        of_items.update(name for name, _ in letters.most_common(1))
    name = of_items.most_common(1)[0][0].capitalize() if of_items else ""
    return _NAMES.get(name, name)


def language_note(items: Collection[str], embedding: str, language: str) -> str:
    """Say in one sentence where items are in a language that the default model does not know, or none is named.

    Parameters
    ----------
    items : collection of str
    embedding : str
        The recipe's model of words.
    language : str
        The recipe's code; empty where none is named.

    Returns
    -------
    str
        Empty where there is nothing to say.

    Examples
    --------
    >>> language_note(["вода", "огонь"], "minilm", "")
    'items are in Cyrillic script, and minilm is a model of English: vectors would say little of \
their meaning; name a multilingual model (--embedding NAME|FOLDER), and --language CODE'
    >>> language_note(["axe", "cow"], "minilm", "")
    ''
    """
    script, named = script_of(items), language not in _ENGLISH
    is_foreign = script not in ("", "Latin")
    if embedding != "minilm":
        return (
            f"items are in {script} script: name their language for their frequencies (--language "
            "CODE)" if is_foreign and not named else ""
        )  # fmt: skip
    if not is_foreign and not named:
        return ""
    what = f"in {script} script" if is_foreign else f"of language {language}"
    more = "" if named else ", and --language CODE"
    return (
        f"items are {what}, and minilm is a model of English: vectors would say little of their "
        f"meaning; name a multilingual model (--embedding NAME|FOLDER){more}"
    )
