#!/usr/bin/env python3
"""Count flaws whose number must not rise; scripts/ratchet.toml holds the numbers allowed.

scripts/ratchet.py             prints counts and the worst offenders; exits 1 if a count rose
scripts/ratchet.py RULE ...    prints every offender of these rules
scripts/ratchet.py --write     lowers the numbers allowed to the counts
scripts/ratchet.py --json      ends with one JSON line of counts

A public name is listed in a module's `__all__`, or is a public method of a class that is. Its
docstring needs numpydoc sections if it has more than two parameters, or any and several lines.
`process`, `reset` and `warm_up` mean the same everywhere and never need them.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from numpydoc.docscrape import NumpyDocString

REPO = Path(__file__).resolve().parents[1]
NUMBERS = REPO / "scripts" / "ratchet.toml"
PARAMETERS, LINES, FILE_LINES = 8, 45, 300
RULES = {
    "many_parameters": f"functions with more than {PARAMETERS} parameters, kernels and commands aside",
    "long_functions": f"functions over {LINES} lines, docstring and options aside",
    "long_files": f"files over {FILE_LINES} lines",
    "undocumented": "public names without docstring, or with parameters missing, unknown, untyped",
    "untold_returns": "public functions that need sections and do not document what they return",
    "shapeless_arrays": "public names that take, hold or return an array of undocumented shape",
    "untold_raises": "public names that raise errors that their docstring does not name",
    "strict_types": "errors of mypy --strict in rt_decoder, kernels aside",
}
ONE_LINERS = ("process", "reset", "warm_up")
UNTOLD = ("NotImplementedError", "AssertionError", "StopIteration")  # need no documentation
SHAPE = re.compile(r"\([^()]*,[^()]*\)")  # (n,), (n, c)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One offender; the larger `size`, the worse."""

    rule: str
    line: int
    what: str
    size: int


class Public:
    """A public function, method or class, and what its docstring lacks."""

    def __init__(self, node: ast.ClassDef | Function, lines: list[str]) -> None:
        self.node, self.text = node, ast.get_docstring(node) or ""
        self.doc = NumpyDocString(self.text)
        body = node.body if isinstance(node, ast.ClassDef) else [node]
        functions = {one.name: one for one in body if isinstance(one, Function)}
        self.checks = [
            functions[n] for n in (node.name, "__init__", "__post_init__") if n in functions
        ]
        makers = [one for one in self.checks if one.name != "__post_init__"]
        self.parameters = {one.arg: one for maker in makers for one in parameters_of(maker)}
        named = [one for one in body if isinstance(one, ast.AnnAssign)]
        fields = {ast.unparse(one.target): one for one in named}
        self.fields = {name: one for name, one in fields.items() if name[0] != "_"}
        self.comments = {name: lines[one.lineno - 1] for name, one in self.fields.items()}

    def told(self, *sections: str) -> dict[str, str]:
        """Return type and text of each name in these sections."""
        entries = [entry for section in sections for entry in self.doc[section]]
        return {
            name.lstrip("*"): f"{entry.type or '*' * ('*' in name)} {' '.join(entry.desc)}"
            for entry in entries
            for name in entry.name.split(", ")
        }

    @cached_property
    def needs_sections(self) -> bool:
        one_line = "\n" not in self.text.partition("\n>>>")[0].strip()
        enough = (one_line and len(self.parameters) <= 2) or self.node.name in ONE_LINERS
        return bool(self.parameters) and not enough

    def undocumented(self) -> Iterator[str]:
        told, given = self.told("Parameters", "Other Parameters"), self.parameters or self.fields
        if not self.text:
            yield "no docstring"
        elif self.needs_sections or told:
            yield from (f"{name} is missing" for name in given if name not in told)
            yield from (f"{name} is unknown" for name in told if name not in given)
            yield from (f"{name} has no type" for name, text in told.items() if text[0] == " ")

    def untold_returns(self) -> Iterator[str]:
        gives = "" if isinstance(self.node, ast.ClassDef) else annotation(self.node.returns)
        told = self.doc["Returns"] or self.doc["Yields"]
        if self.needs_sections and not told and gives not in ("", "None", "NoReturn"):
            yield gives

    def shapeless_arrays(self) -> Iterator[str]:
        told = self.told("Parameters", "Other Parameters", "Attributes")
        held: dict[str, ast.AnnAssign | ast.arg] = {**self.fields, **self.parameters}
        for name, one in held.items():
            text = told.get(name) or self.comments.get(name) or self.text
            kind = annotation(one.annotation)
            if "ndarray" in kind and "Callable" not in kind and not SHAPE.search(text):
                yield name
        if isinstance(self.node, Function) and "ndarray" in annotation(self.node.returns):
            texts = self.told("Returns", "Yields").values() or [self.text]
            if not any(SHAPE.search(text) for text in texts):
                yield "what returns"

    def untold_raises(self) -> Iterator[str]:
        told = {kind for entry in self.doc["Raises"] for kind in re.findall(r"\w+", entry.type)}
        if "\n" not in self.text:
            told |= set(re.findall(r"\w+", self.text))
        for check in self.checks:
            for node in ast.walk(check):
                if isinstance(node, ast.Raise) and node.exc is not None:
                    what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                    name = ast.unparse(what).rpartition(".")[2]
                    if name[0].isupper() and name not in {*told, *UNTOLD}:
                        told.add(name)
                        yield name


def annotation(node: ast.expr | None) -> str:
    return ast.unparse(node) if node else ""


def parameters_of(function: Function) -> list[ast.arg]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one for one in every if one and one.arg not in ("self", "cls")]


def findings(text: str, *, kernel: bool = False, public: bool = True) -> list[Finding]:
    """Find all offenders in the text of a file.

    Kernels may take many flat arrays, and a command has a parameter an option.
    """
    tree, size = ast.parse(text), text.count("\n")
    found = [Finding("long_files", 1, f"{size} lines", size)] if size > FILE_LINES else []
    commands = listed(tree, "COMMANDS")
    for node in ast.walk(tree):
        if isinstance(node, Function):
            size = len(parameters_of(node))
            if size > PARAMETERS and not kernel and node.name not in commands:
                found.append(
                    Finding("many_parameters", node.lineno, f"{node.name} takes {size}", size)
                )
            described = node.body[0] if ast.get_docstring(node) else None
            size = length(node) - (length(described) if described else 0)
            if node.name in commands:  # its options are no work
                size -= node.body[0].lineno - node.lineno
            if size > LINES:
                what = f"{node.name} has {size} lines"
                found.append(Finding("long_functions", node.lineno, what, size))
    for name, node in publics(tree) if public else ():
        one = Public(node, text.splitlines())
        for rule in ("undocumented", "untold_returns", "shapeless_arrays", "untold_raises"):
            if left_out := list(getattr(one, rule)()):
                what = f"{name}: {', '.join(left_out)}"
                found.append(Finding(rule, node.lineno, what, len(left_out)))
    return found


def listed(tree: ast.Module, name: str) -> set[str]:
    """Names in a tuple that a module makes, such as its commands."""
    values = [
        one.value
        for one in tree.body
        if isinstance(one, ast.Assign) and any(ast.unparse(t) == name for t in one.targets)
    ]
    return {n.id for value in values for n in ast.walk(value) if isinstance(n, ast.Name)}


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def publics(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Yield the names of `__all__`, and the public methods of the classes among them."""
    lists = [n for n in tree.body if isinstance(n, ast.Assign) and "__all__" in ast.dump(n)]
    names = {n.value for one in lists for n in ast.walk(one) if isinstance(n, ast.Constant)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and node.name in names:
            yield node.name, node
            for method in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(method, Function) and method.name[0] != "_":
                    yield f"{node.name}.{method.name}", method


def everything() -> list[tuple[str, Finding]]:
    """Return (file, finding) of the whole repository."""
    found = []
    for top in ("rt_decoder", "calibration", "scripts"):
        for path in sorted((REPO / top).rglob("*.py")):
            name, text = path.relative_to(REPO).as_posix(), path.read_text(encoding="utf-8")
            kernel = name.startswith("rt_decoder/kernels/")
            found += [(name, one) for one in findings(text, kernel=kernel, public=top != "scripts")]
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".mypy_cache/strict"]
    ran = subprocess.run([*command, "rt_decoder"], cwd=REPO, capture_output=True, text=True)
    if ran.returncode > 1:
        raise RuntimeError(f"mypy failed: {ran.stderr or ran.stdout}")
    for file, line, what in re.findall(r"^(rt_decoder\S+?):(\d+): error: (.*)$", ran.stdout, re.M):
        if not file.startswith("rt_decoder/kernels/"):
            found.append((file, Finding("strict_types", int(line), what, 1)))
    return found


def main() -> int:
    allowed = tomllib.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.is_file() else {}
    every, named, rose = everything(), set(sys.argv[1:]), []
    counts = {}
    for rule, about in RULES.items():
        found = sorted((one for one in every if one[1].rule == rule), key=lambda one: -one[1].size)
        count, most = len(found), allowed.get(rule, len(found))
        counts[rule] = count
        print(f"{rule}: {count} of {most} allowed ({about})")
        for file, one in found if rule in named else found[:3]:
            print(f"    {file}:{one.line} {one.what if rule in named else one.what[:80]}")
        if count > most:
            rose.append(f"error: {rule} rose from {most} to {count}; see scripts/ratchet.py {rule}")
        elif count < most and "--write" not in named:
            print(
                f"    lower {rule} in scripts/ratchet.toml to {count} (scripts/ratchet.py --write)"
            )
    if "--write" in named:
        lowest = {rule: min(count, allowed.get(rule, count)) for rule, count in counts.items()}
        lines = ["# Counts of scripts/ratchet.py that may only fall; --write lowers them.\n"]
        lines += [f"{rule} = {count}  # {RULES[rule]}\n" for rule, count in lowest.items()]
        NUMBERS.write_text("".join(lines), encoding="utf-8")
    print("".join(f"{one}\n" for one in rose), end="")
    if "--json" in named:
        print(json.dumps(counts))
    return int(bool(rose))


if __name__ == "__main__":
    sys.exit(main())
