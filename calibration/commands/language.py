"""Options of `fit` that name a language whose weight in the prior is to be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.language import LanguageModel, LanguageText
from rt_decoder.commands.options import DECODING

if TYPE_CHECKING:
    from calibration.language_weight import LanguageWish

__all__ = ["LanguageOptions"]


@dataclass(frozen=True, kw_only=True)
class LanguageOptions:
    """Which language, and what it is told of the words before; each field is an option."""

    language_text: LanguageText = None
    language_model: LanguageModel = ""
    language_context: Annotated[
        str,
        typer.Option(
            "--language-context",
            metavar="decoded|shown",
            help="What a language is told of the words before: what was decoded, or the markers' "
            "words, where a text is shown.",
            rich_help_panel=DECODING,
        ),
    ] = "decoded"

    def language(self) -> LanguageWish | None:
        """Return the language to weigh; None where none is named. Raises ValueError if two are."""
        from calibration.language_weight import LanguageWish
        from rt_decoder.decoding.language.opening import words_of

        if self.language_context not in ("decoded", "shown"):
            raise ValueError(
                f"need --language-context decoded or shown, got {self.language_context}"
            )
        open_words = words_of(self.language_text, self.language_model)
        return LanguageWish(open_words, self.language_context == "shown") if open_words else None
