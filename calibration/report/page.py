"""Put the parts of a report into one HTML file: no script, no network, every text escaped.

This module knows nothing of models and scores: sections hand it texts, tables and pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rt_decoder.sinks.text import plain

__all__ = ["Fold", "Heading", "Note", "Part", "Picture", "Section", "Table", "Text", "render"]

_LONGEST = 20_000  # characters of a text; names of 306 channels are 2,500


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Note(Text):
    """A paragraph in small print: a definition, a legend, a reason."""

    kind: str = "note"


@dataclass(frozen=True)
class Heading(Text):
    """A heading inside a section."""

    kind: str = "heading"


@dataclass(frozen=True)
class Table:
    """A table; its first `n_text` columns hold text, the others numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    n_text: int = 1
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure as SVG, from `drawing.drawn`, and the legend that explains it."""

    svg: str
    caption: str
    kind: str = "picture"


@dataclass(frozen=True)
class Fold:
    """Parts that are shown when they are asked for; they are not printed."""

    summary: str
    parts: Sequence[Part]
    kind: str = "fold"


Part = Text | Table | Picture | Fold


@dataclass(frozen=True)
class Section:
    """A part of a report under a title."""

    title: str
    parts: Sequence[Part] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name by which the list of contents finds the section."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


def render(title: str, verdict: str, sections: Sequence[Section], about: str = "") -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title : str
    verdict : str
        One sentence under the title.
    sections : sequence of Section
    about : str
        A line in small print under the title.

    Returns
    -------
    str
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = lambda text: plain(text, _LONGEST)
    environment.filters["drawing"] = Markup
    page = environment.get_template("page.html")
    return page.render(title=title, verdict=verdict, sections=sections, about=about) + "\n"
