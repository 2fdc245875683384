"""Which items a language model knows as words, and which it only spells in pieces."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from calibration.language.language_model import find_model
from calibration.language.loading import load_part

__all__ = ["in_pieces"]


def in_pieces(items: Collection[str], model: str | Path) -> dict[str, tuple[str, ...]]:
    """Find the items with a word that the model has no token of.

    Parameters
    ----------
    items : collection of str
        Words or sentences.
    model : str or path
        As `embeddings.embed` takes it.

    Returns
    -------
    dict of str to tuple of str
        Item, and the pieces of its words that have no token of their own.

    Raises
    ------
    ValueError, OSError, ImportError
        If the model or its tokenizer cannot be loaded.
    """
    tokenizer = load_part(find_model(model), "AutoTokenizer")
    found = {}
    for item in items:
        pieces: tuple[str, ...] = ()
        for word in item.split():
            # some models write the space before a word into its token
            ways = [tokenizer.tokenize(word), tokenizer.tokenize(f" {word}")]
            fewest = min(ways, key=len)
            pieces += tuple(fewest) if len(fewest) > 1 else ()
        if pieces:
            found[item] = pieces
    return found
