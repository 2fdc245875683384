"""What the project's texts say that a program can check: commands, options, links, snippets."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import typer

from calibration.cli import app as calibrate
from rt_decoder.commands.cli import app as decode
from tests.small import REPO

PROGRAMS = {"rt-decoder": decode, "rt-calibrate": calibrate}
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


class Command(NamedTuple):
    """A command as a text shows it; whole if it stands in a block, else maybe a part of one."""

    text: str
    words: tuple[str, ...]
    whole: bool


@cache
def texts() -> tuple[Path, ...]:
    """Every Markdown file of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=REPO, capture_output=True,
        text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    return tuple(REPO / name for name in listed if name and (REPO / name).is_file())


@cache
def blocks(path: Path, language: str = "sh") -> tuple[str, ...]:
    """Fenced blocks of a language, without their common indentation."""
    found = [body for name, body in _BLOCK.findall(path.read_text("utf-8")) if name == language]
    return tuple(_dedented(body) for body in found)


def _dedented(body: str) -> str:
    lines = body.split("\n")
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[least:] for line in lines)


def section(path: Path, title: str) -> str:
    """What stands under a heading."""
    found = re.split(r"^## +(.*)$", path.read_text("utf-8"), flags=re.MULTILINE)
    return found[found.index(title) + 1]


def in_lines(block: str) -> list[str]:
    """Commands of a block of a shell, a line each."""
    joined = block.replace("\\\n", " ")
    return [line.strip() for line in joined.split("\n") if line.strip()]


def commands(path: Path) -> list[Command]:
    """Commands of both programs in a text."""
    text = path.read_text("utf-8")
    shown = [(line, True) for block in blocks(path) for line in in_lines(block)]
    shown += [(" ".join(one.split()), False) for one in _INLINE.findall(_BLOCK.sub("", text))]
    return [
        Command(line, words, whole)
        for line, whole in shown
        if (words := _words(line)) and words[0] in PROGRAMS and len(words) > 1
    ]


def _words(line: str) -> tuple[str, ...]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # an apostrophe in a text that is no command
        return ()
    ends = [words.index(mark) for mark in ("&", "|", ">", "&&") if mark in words]
    return tuple(words[: min(ends, default=len(words))])


def click_command(program: str, name: str) -> Any:
    """A command of a program, or None."""
    return typer.main.get_command(PROGRAMS[program]).commands.get(name)  # type: ignore[attr-defined]


@cache
def options() -> frozenset[str]:
    """Every option of both programs, and what scripts take."""
    found = {"--help", "--version", "--show-completion", "--install-completion"}
    for app in PROGRAMS.values():
        for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
            for param in command.params:
                found |= {*param.opts, *param.secondary_opts}
    for script in (REPO / "scripts").rglob("*"):
        if script.is_file() and script.suffix in ("", ".py"):
            found |= set(re.findall(r'"(--[a-z][a-z-]*)"', script.read_text("utf-8")))
    return frozenset(found)


def options_in(path: Path) -> list[str]:
    """Options that a text names in code."""
    text = path.read_text("utf-8")
    code = [*_INLINE.findall(text), *(body for _, body in _BLOCK.findall(text))]
    return [one for part in code for one in re.findall(r"(?<![\w-])--[a-z][a-z-]*", part)]


def links(path: Path) -> list[tuple[str, str]]:
    """Files and anchors that a text links to."""
    text = _BLOCK.sub("", path.read_text("utf-8"))
    found = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text)
    return [one for one in found if "://" not in one[0] and any(one)]


def anchors(path: Path) -> set[str]:
    """Anchors of a text's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.*)$", _BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
