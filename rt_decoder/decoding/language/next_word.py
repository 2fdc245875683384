"""Join what a language says of the next word with a decoder's own prior.

The next word follows the language with probability `weight`, else the decoder's prior: so a language
that misleads costs ``-log2(1 - weight)`` bits a word at most, and with a weight of 0 nothing changes.

What came before is known where words are shown. Where they are decoded, it is not: a beam keeps the
likeliest contexts with their probabilities, and the rest as one context of which nothing is known. No
answer is ever taken for certain, so that a language cannot run away with its own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rt_decoder.decoding.language.ngram import START
from rt_decoder.model import Language, Model
from rt_decoder.signal import Marker
from rt_decoder.timing.items import CUE

__all__ = ["Beam", "NextWord", "WordModel", "mixed", "rules_of", "told"]


class WordModel(Protocol):
    """What knows a language: `ngram.NGram`, `causal.CausalModel`."""

    identity: str
    memory: int  # words of context that count
    width: int  # contexts that are followed

    def log_prior(self, context: Sequence[str]) -> np.ndarray:
        """Log probability (n_items,) of each item after a context; see `NGram.log_prior`."""
        ...


def mixed(own: np.ndarray, language: np.ndarray, weight: float) -> np.ndarray:
    """Mix two priors.

    Parameters
    ----------
    own, language : array of shape (..., n_items)
        Log probabilities.
    weight : float
        Share of the language, 0 to 1.

    Returns
    -------
    array of shape (..., n_items)
        Log probabilities; `own` itself where the weight is 0.
    """
    if weight == 0:
        return own
    with np.errstate(divide="ignore"):  # a weight of 1 is the language alone
        return np.asarray(np.logaddexp(np.log1p(-weight) + own, np.log(weight) + language))


class Beam:
    """What came before an event, and the prior of it.

    Parameters
    ----------
    items : sequence of str
        The vocabulary.
    own : array of shape (n_items,)
        The decoder's log prior.
    words : WordModel
    weight : float
        Share of the language.
    known : dict of arrays of shape (n_items,), or None
        What the language has said of a context; several beams may share it.
    """

    def __init__(
        self, items: Sequence[str], own: np.ndarray, words: WordModel, weight: float,
        known: dict[tuple[str, ...], np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self._items, self._place = tuple(items), frozenset(items)
        self._own, self._words, self._weight = np.asarray(own, np.float64), words, weight
        self._known = {} if known is None else known
        self.begin()

    def begin(self) -> None:
        """Begin a sentence."""
        self.contexts: dict[tuple[str, ...], float] = {(START,): 1.0}

    def _parts(self) -> np.ndarray:
        """Probability (n_contexts, n_items) of each item after each context."""
        for context in self.contexts:
            if context not in self._known:
                self._known[context] = self._words.log_prior(context)
        said = np.stack([self._known[context] for context in self.contexts])
        own = np.broadcast_to(self._own, said.shape)
        return np.asarray(np.exp(mixed(own, said, self._weight)))

    def log_prior(self) -> np.ndarray:
        """Compute the log prior (n_items,) of the next event."""
        return np.asarray(np.log(np.array([*self.contexts.values()]) @ self._parts()))

    def shown(self, word: str) -> None:
        """Add a word that is known; one that is no item hides those before it."""
        if word not in self._place:
            self.contexts = {(): 1.0}
            return
        grown: dict[tuple[str, ...], float] = {}
        for context, p in self.contexts.items():
            longer = self._grown(context, word)
            grown[longer] = grown.get(longer, 0.0) + p
        self.contexts = grown

    def decoded(self, ratio: np.ndarray | None) -> None:
        """Add a word that was decoded.

        Parameters
        ----------
        ratio : array of shape (n_items,) or None
            How much more probable the brain made each item; None where it told nothing.
        """
        joint = np.array([*self.contexts.values()])[:, None] * self._parts()
        if ratio is not None:
            joint *= ratio
        joint /= joint.sum()
        flat, width = joint.ravel(), min(self._words.width, joint.size)
        best = np.argpartition(-flat, width - 1)[:width]
        before = [*self.contexts]
        grown: dict[tuple[str, ...], float] = {}
        for k in np.sort(best):
            row, item = divmod(int(k), len(self._items))
            longer = self._grown(before[row], self._items[item])
            grown[longer] = grown.get(longer, 0.0) + float(flat[k])
        rest = max(0.0, 1.0 - sum(grown.values()))
        self.contexts = grown | {(): rest}

    def _grown(self, context: tuple[str, ...], word: str) -> tuple[str, ...]:
        longer = (*context, word)
        return longer[max(0, len(longer) - self._words.memory) :]


def told(rules: Language) -> dict[str, Any]:
    """Return what a log's header says of a language."""
    context = "shown" if rules.shown else "decoded"
    return {"identity": rules.identity, "weight": rules.weight, "context": context}


class NextWord:
    """Follow a session, and tell before each event how probable each item is.

    The first event of a session has the usual prior.

    Parameters
    ----------
    items : sequence of str
        The vocabulary.
    own : array of shape (n_items,)
        The decoder's log prior.
    words : WordModel
        Over the same items.
    rules : Language
        Weight, and whether markers show what came before.
    """

    def __init__(
        self, items: Sequence[str], own: np.ndarray, words: WordModel, rules: Language
    ) -> None:
        self._beam, self.rules = Beam(items, own, words, rules.weight), rules

    @property
    def told(self) -> dict[str, Any]:
        """What a log's header says of the language."""
        return told(self.rules)

    def foretell(self, marker: Marker, ratio: np.ndarray | None) -> np.ndarray:
        """Take an event, and compute the log prior of the next one.

        Parameters
        ----------
        marker : Marker
            A cue begins a sentence.
        ratio : array of shape (n_items,) or None
            How much more probable the brain made each item; None where the event was missed, or its
            window was bad.

        Returns
        -------
        array of shape (n_items,)
            Natural logarithms, rounded to float32 as they are recorded.
        """
        if marker.label.startswith(CUE):
            self._beam.begin()
        elif self.rules.shown:
            self._beam.shown(marker.label)
        else:
            self._beam.decoded(ratio)
        return np.asarray(self._beam.log_prior(), np.float32).astype(np.float64)


def rules_of(model: Model, identity: str, weight: float | None = None) -> Language:
    """Return the rules that were fitted for a language.

    Parameters
    ----------
    model : Model
        With a map.
    identity : str
        Of the language.
    weight : float or None
        Share of the language; None for the fitted one.

    Returns
    -------
    Language

    Raises
    ------
    ValueError
        If no weight was fitted, or with another language, and none is given; or repeats are pooled.
    """
    fitted = model.language
    if model.pooling is not None:
        raise ValueError(
            "need single events for a language prior, got a model that pools repeats of an item"
        )
    if weight is not None:
        threshold = model.posterior.threshold if fitted is None else fitted.threshold
        return Language(weight, threshold, fitted is not None and fitted.shown, identity)
    if fitted is None:
        raise ValueError(
            "need a model whose weight of the language was fitted (rt-calibrate fit "
            "--language-text or --language-model), got one without; or say --language-weight"
        )
    if fitted.identity != identity:
        raise ValueError(
            f"need the language that the weight was fitted with ({fitted.identity}), got another "
            f"({identity}); fit again, or say --language-weight"
        )
    return fitted
