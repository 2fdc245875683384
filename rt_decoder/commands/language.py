"""Options that name a language, for every command that decodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.options import DECODING

if TYPE_CHECKING:
    from rt_decoder.decoding.language.next_word import NextWord
    from rt_decoder.model import Model

__all__ = ["LanguageModel", "LanguageText", "LanguageWeight", "next_word_of"]

LanguageText = Annotated[
    Path | None,
    typer.Option(
        "--language-text",
        metavar="FILE",
        help="Text, one sentence a line, whose word sequences are a prior of the next word; "
        "default none.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
LanguageModel = Annotated[
    str,
    typer.Option(
        "--language-model",
        metavar="NAME|FOLDER",
        help="Causal language model of transformers that is a prior of the next word; default none.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]
LanguageWeight = Annotated[
    float | None,
    typer.Option(
        "--language-weight",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="Share of the language in the prior; default as fitted with the model.",
        show_default=False,
        rich_help_panel=DECODING,
    ),
]


def next_word_of(
    model: Model, text: Path | None, name: str, weight: float | None
) -> NextWord | None:
    """Open the language that options name.

    Parameters
    ----------
    model : Model
        With a map.
    text : Path or None
        Of ``--language-text``.
    name : str
        Of ``--language-model``.
    weight : float or None
        Of ``--language-weight``.

    Returns
    -------
    NextWord or None
        None where no language is named.

    Raises
    ------
    ValueError
        As `decoding.language.next_word.rules_of`, or if a weight has no language.
    """
    from rt_decoder.decoding.language.next_word import NextWord, rules_of
    from rt_decoder.decoding.language.opening import words_of

    open_words = words_of(text, name)
    if open_words is None:
        if weight is not None:
            raise ValueError("need --language-text or --language-model for a weight, got neither")
        return None
    words = open_words(model.items)
    return NextWord(model.items, model.log_prior, words, rules_of(model, words.identity, weight))
