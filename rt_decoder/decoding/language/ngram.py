"""The next word by counts in a text of the lab: an n-gram model over the items of a decoder.

The text is read as events would tell it: words that are no items are left out. Counts of contexts
of any length up to the order are joined by Witten and Bell's rule, so that a context that was never
seen falls back to a shorter one, and every item has a probability above 0.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["START", "NGram"]

START = ""  # in a context: a sentence begins here
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SENTENCE = re.compile(r"[.!?\u2026]+(?=\s|$)|[\r\n]+")


class NGram:
    """Probabilities of the next item, from a text.

    Parameters
    ----------
    text : str
        Sentences; each ends with a line, or with ``.``, ``!`` or ``?``.
    items : sequence of str
        The vocabulary, in the decoder's order. Case and kinds of accents do not matter; an item may
        have several words.
    order : int
        Words that are counted together, at least 1: with 3, two words are context.

    Attributes
    ----------
    identity : str
        Says which text it was, and of which order.
    memory, width : int
        As of `next_word.WordModel`.
    n_words : int
        Items found in the text.

    Raises
    ------
    ValueError
        If no item comes in the text, two items are spelled alike, or the order is below 1.

    References
    ----------
    Witten, Bell 1991, doi:10.1109/18.87000

    Examples
    --------
    >>> words = NGram("the cat sat. the cat ran.", ("the", "cat", "sat", "ran"))
    >>> words.log_prior(("the",)).argmax(), words.log_prior((START,)).argmax()
    (np.int64(1), np.int64(0))
    """

    def __init__(self, text: str, items: Sequence[str], order: int = 3) -> None:
        if order < 1:
            raise ValueError(f"need an order of 1 or more, got {order}")
        spelled = [tuple(_WORD.findall(_folded(item))) or (_folded(item),) for item in items]
        self._place = {words: i for i, words in enumerate(spelled)}
        if len(self._place) < len(items):
            raise ValueError("need items that differ by more than case, got two that do not")
        self._items = {item: i for i, item in enumerate(items)}
        self._order, self._start = order, len(items)
        self.memory, self.width = order - 1, 16
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self.identity = f"text {digest}, order {order}"
        counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for sentence in _SENTENCE.split(_folded(text)):
            self._count(_WORD.findall(sentence), counts)
        once = counts.pop((), Counter())
        self.n_words = once.total()
        if not once:
            raise ValueError(f"need a text with words of the model, got none of {len(items)} items")
        self._once = np.full(len(items), 1.0)
        np.add.at(self._once, list(once), list(once.values()))
        self._once /= self._once.sum()
        self._counts = {
            context: (np.array(list(after)), np.array(list(after.values()), float))
            for context, after in counts.items()
        }

    def _count(
        self, words: Sequence[str], counts: defaultdict[tuple[int, ...], Counter[int]]
    ) -> None:
        """Add the n-grams of one sentence; the longest item that fits is taken."""
        longest = max(map(len, self._place))
        past, at = [self._start], 0
        while at < len(words):
            for n in range(longest, 0, -1):
                item = self._place.get(tuple(words[at : at + n]))
                if item is not None:
                    break
            else:
                at += 1
                continue
            for k in range(min(self._order, len(past) + 1)):
                counts[tuple(past[len(past) - k :])][item] += 1
            past.append(item)
            at += n

    def log_prior(self, context: Sequence[str]) -> np.ndarray:
        """Compute the log probability of each item as the next one.

        Parameters
        ----------
        context : sequence of str
            Items that came before, the newest last; `START` where a sentence begins. What is no item
            hides what is before it.

        Returns
        -------
        array of shape (n_items,), float64
            Natural logarithms; the exponentials sum to 1.
        """
        past: list[int] = []
        for word in reversed(context[len(context) - self._order + 1 :]):
            place = self._start if word == START else self._items.get(word)
            if place is None:
                break
            past.insert(0, place)
            if place == self._start:
                break
        p = self._once.copy()
        for k in range(1, len(past) + 1):
            found = self._counts.get(tuple(past[len(past) - k :]))
            if found is None:
                break
            after, n = found
            total = n.sum() + len(after)
            p *= len(after) / total
            p[after] += n / total
        return np.asarray(np.log(p))

    @classmethod
    def read(cls, path: str | Path, items: Sequence[str], order: int = 3) -> NGram:
        """Read a text file in UTF-8.

        Parameters
        ----------
        path : path-like
        items : sequence of str
        order : int
            As of the class.

        Returns
        -------
        NGram

        Raises
        ------
        ValueError
            If it is no text, or as the class does; the file is named.
        OSError
            If it cannot be read.
        """
        path = Path(path)
        try:
            return cls(path.read_text(encoding="utf-8-sig"), items, order)
        except UnicodeDecodeError:
            raise ValueError(f"need text in UTF-8, got something else in {path.name}") from None
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold().replace("\u2019", "'")
