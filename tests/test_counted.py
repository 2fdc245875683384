"""Numbers with their nouns: what is told of one thing says "1 marker", not "1 markers"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for room in ("rt_decoder", "calibration") for path in (REPO / room).rglob("*.py")
)
PAGES = sorted((REPO / "rt_decoder").glob("*/page/*.js"))

# Words that end in s and count nothing: verbs, units, "contiguous".
NO_NOUNS = {
    "as", "changes", "has", "holds", "is", "lies", "locks", "looks", "ms", "names", "ns",
    "others", "shows", "takes", "us", "was",
}  # fmt: skip
AFTER = re.compile(
    r" (?:(?!of|at|in|to|and|or|over|are|takes|events|s\b)[a-z]+ )?([a-z]+s|people)\b"
)
# What an error needs or finds is a shape or a limit, and says so for any number.
ERROR = re.compile(r"\bneeds? |\bdeclares\b|\bholds\b|damaged|larger than any")
# Texts, not numbers; and numbers that are never 1.
NO_COUNTS = re.compile(
    r".*\b_?name|.*\.(?:suffix|kind)|of|share|part|key|same|[A-Z_]+|'?,?'?.*join\(.*|_listed\(.*|counted\(.*"
    r"|_figure\(.*|share_text\(.*|told\[0\].*|found\[1\]|now\[1\]|machine\['blas_threads'\]"
)


def plurals(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Find where a number that may be 1 is followed by a plural: line, number, what follows."""
    for text in ast.walk(tree):
        if not isinstance(text, ast.JoinedStr):
            continue
        said = "".join(part.value for part in text.values if isinstance(part, ast.Constant))
        if ERROR.search(said):
            continue
        for value, after in zip(text.values, text.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            number, found = ast.unparse(value.value), AFTER.match(after.value)
            if not found or found[1] in NO_NOUNS or NO_COUNTS.fullmatch(number):
                continue
            if value.format_spec is None and value.conversion == -1:  # of others: no whole number
                yield value.lineno, number, after.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_numbers_are_told_with_their_nouns(path: Path) -> None:
    found = [
        f"line {line}: say {number!r} by `counted`, or name what follows in this test: {after!r}"
        for line, number, after in plurals(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_a_sentence_that_counts_is_found() -> None:
    wrong = 'f"{n} markers outside", f"told {len(x)} times", f"of {k} people", f"{n} lost samples"'
    right = 'f"{n:.1f} words", f"{x!r} holds samples", f"need {n} words", f"{1} of {k}", f"{n} ms"'
    assert len(list(plurals(ast.parse(wrong)))) == 4
    assert list(plurals(ast.parse(right))) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_do_not_say_1_events(path: Path) -> None:
    """A page counts by `counted`, too: `${n} ms` is a unit."""
    said = re.findall(r"\$\{[\w.]+\} (?!ms\b|s\b)[a-z]+s\b", path.read_text(encoding="utf-8"))
    assert said == []
