"""Open what knows a language: a text of the lab, or a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rt_decoder.decoding.language.next_word import WordModel
from rt_decoder.decoding.language.ngram import NGram

__all__ = ["words_of"]


def words_of(text: Path | None, name: str) -> Callable[[Sequence[str]], WordModel] | None:
    """Return what opens a language over some items; None where none is named.

    Parameters
    ----------
    text : Path or None
        A text file, for an n-gram model.
    name : str
        Folder or name of a causal language model; "" for none.

    Returns
    -------
    callable or None
        Takes the items.

    Raises
    ------
    ValueError
        If both are named.
    """
    if text is not None and name:
        raise ValueError("need --language-text or --language-model, got both")
    if text is not None:
        return partial(NGram.read, text)
    if name:
        from rt_decoder.decoding.language.causal import CausalModel

        return partial(CausalModel.open, name)
    return None
