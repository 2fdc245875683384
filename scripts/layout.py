#!/usr/bin/env python3
"""Define the rooms of the packages and check which imports which; standard library only.

scripts/layout.py            draws the rooms and lists every import that breaks a rule
scripts/layout.py --write    puts the drawing into rt_decoder/README.md
scripts/layout.py --check    exits 1 if that drawing is out of date or a rule is broken
scripts/layout.py --json     ends with one JSON line of figures
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parents[1]
README = "rt_decoder/README.md"
START, END = "<!-- layout -->", "<!-- /layout -->"
PRIVATE = re.compile(r"(^|\.)_(?!_)")


class Room(NamedTuple):
    """A row of the table."""

    about: str  # what lives here
    imports: str  # rooms that its files may import
    files: str = ""  # files, and folders (ending in "/"); "" for the folder of the room's name
    shared: str = "*"  # files that others of the same room may import; "*" for any


# In flow order, from the bottom up: a room may import only rooms in rows above its own.
# Names with `calibration` are complete; all other paths are in `rt_decoder/`.
# fmt: off
ROOMS = {
    "kernels": Room("numerical cores in numba", "", shared="options cache clock exponential fetch top weighted"),
    "values": Room("data and settings", "", "signal source settings recipe model channels latency counted"),
    "timing": Room("stamps to a grid", "kernels values"),
    "cleaning": Room("takes out what is not brain", "kernels values", shared="arguments filter_design qrs stage"),
    "cleaning/stages": Room("the stages in one table", "values cleaning", "cleaning/stages"),
    "decoding": Room("window to word", "kernels values timing",
        shared="features mapping whitening learning alignment readout evidence answering score hidden scored sets"
        " vocabulary anytime succession watching"),
    "monitor": Room("is it the brain of calibration", "kernels values decoding"),
    "files": Room("every file format, read and written", "values timing cleaning cleaning/stages monitor"),
    "decoding/language": Room("the prior of the next word", "values timing files"),
    "path": Room("a source or a recording, decoded",
        "kernels values timing cleaning cleaning/stages decoding monitor files decoding/language",
        "pipeline_options pipeline decoder recorded"),
    "checks": Room("is a stream fit for a session", "values timing files path",
        shared="finding watch quality unfitted stamps electrodes body events photodiode fitness"),
    "simulation": Room("a participant with known truth", "values"),
    "sources/lsl": Room("the Lab Streaming Layer", "values timing files"),
    "sources/fieldtrip": Room("a FieldTrip buffer", "values files"),
    "sources/auxiliary": Room("other streams, joined", "kernels values timing"),
    "sources": Room("any live stream", "values sources/lsl sources/fieldtrip sources/auxiliary"),
    "sinks": Room("where answers go", "kernels values timing files"),
    "web": Room("what the pages share", ""),
    "present": Room("words on a screen, with markers", "values files sinks web", shared="schedule show page_clock server"),
    "dashboard": Room("the operator's page", "values sinks web sources/lsl"),
    "live": Room("the loop and what watches it",
        "kernels values timing cleaning decoding monitor files decoding/language path checks sources sinks",
        "live/ __init__"),
    "replay": Room("a recording as a live stream", "values files sinks"),
    "commands": Room("`rt-decoder`, a file a command",
        "kernels values timing cleaning/stages files decoding/language path checks simulation sources/lsl sources sinks web present dashboard live replay",
        "commands/ __main__"),
    "calibration/language": Room("items to vectors", "timing files"),
    "calibration": Room("fits and tests the map",
        "values timing cleaning decoding monitor files decoding/language path calibration/language"),
    "calibration/cleaning": Room("fits the cleaning stages", "values timing cleaning cleaning/stages path calibration"),
    "calibration/people": Room("fits many people at once",
        "files timing decoding calibration calibration/cleaning values"),
    "calibration/report": Room("shows a fit", "values timing cleaning/stages files path sinks calibration calibration/cleaning",
        "calibration/report/ calibration/report/sections/"),
    "calibration/commands": Room("`rt-calibrate`, the demonstration",
        "values timing files decoding/language simulation live commands calibration/language calibration"
        " calibration/cleaning calibration/people calibration/report",
        "calibration/cli calibration/demo calibration/__main__ calibration/commands/"),
}
# fmt: on
ORDER = list(ROOMS)
PLACES = {
    place if name.startswith("calibration") else f"rt_decoder/{place}": name
    for name, room in ROOMS.items()
    for place in (room.files or f"{name}/").split()
}
LAZY = "rt_decoder/commands/simulated.py"  # reaches calibration by name, inside a function


class Import(NamedTuple):
    """One file's import of another file of the two packages."""

    file: str
    line: int
    target: str


class Tree(NamedTuple):
    """The files of both packages, their imports of each other, and private names they use."""

    files: list[str]
    imports: list[Import]
    private: list[str]


def read(repo: Path) -> Tree:
    """Read the imports of every file, including those in functions and for type checkers."""
    paths = [path for top in ("rt_decoder", "calibration") for path in (repo / top).rglob("*.py")]
    tree = Tree(sorted(path.relative_to(repo).as_posix() for path in paths), [], [])
    for file in tree.files:
        module = ast.parse((repo / file).read_text(encoding="utf-8"))
        modules = set()  # local names of modules of the two packages
        for line, name, local, lazy in _imported(module, file):
            target = next((path for path in _homes(name) if path in tree.files), "")
            late = lazy and file == LAZY and target.startswith("calibration/")
            if target not in ("", file) and not late:
                tree.imports.append(Import(file, line, target))
            if target and PRIVATE.search(name):
                tree.private.append(f"{file}:{line} imports {name}, a private name")
            if target in _homes(name)[:2]:
                modules.add(local)
        tree.private.extend(
            f"{file}:{node.lineno} takes {ast.unparse(node)}, a private name of another file"
            for node in ast.walk(module)
            if isinstance(node, ast.Attribute) and PRIVATE.match(node.attr)
            if ast.unparse(node.value) in modules
        )
    return tree


def _imported(module: ast.Module, file: str) -> Iterator[tuple[int, str, str, bool]]:
    """Yield (line, full name, local name, whether `import_module` in a function imports it)."""
    functions = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef))
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            up = getattr(node, "level", 0)
            parents = [*(file.split("/")[:-up] if up else []), getattr(node, "module", None)]
            base = "".join(f"{part}." for part in parents if part)
            for alias in node.names:
                yield node.lineno, base + alias.name, alias.asname or alias.name, False
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            text = next((n.value for n in ast.walk(node) if isinstance(n, ast.Constant)), "")
            yield node.lineno, str(text).rstrip("."), "", id(node) in inside


def _homes(name: str) -> list[str]:
    """Return the files that a full name could be in, the longest path first."""
    parts = name.split(".")
    stems = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return [f"{stem}{ending}" for stem in stems for ending in (".py", "/__init__.py")]


def room_of(file: str) -> str:
    """Return the room whose row names the file, or else its folder; "" if there is none."""
    return PLACES.get(file.removesuffix(".py")) or PLACES.get(f"{file.rpartition('/')[0]}/", "")


def circles(arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Find circles; each is cut at one arrow before the next search."""
    graph: dict[str, set[str]] = {}
    for start, end in arrows:
        graph.setdefault(start, set()).add(end)
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(error.args[1][::-1])  # each imports the next
            graph[found[-1][0]].discard(found[-1][1])
        else:
            return found


def room_arrows(tree: Tree) -> set[tuple[str, str]]:
    """Return all pairs of rooms of which the first imports the second."""
    arrows = {(room_of(one.file), room_of(one.target)) for one in tree.imports}
    return {(here, there) for here, there in arrows if here and there and here != there}


def violations(tree: Tree) -> list[str]:
    """Return one sentence for every broken rule."""
    found = [
        f"{file}:1 has no room in scripts/layout.py" for file in tree.files if not room_of(file)
    ]
    for one in dict.fromkeys(tree.imports):
        found += [f"{one.file}:{one.line} imports {one.target}: {why}" for why in _wrong(one)]
    for files in circles((one.file, one.target) for one in tree.imports):
        line = next(one.line for one in tree.imports if [one.file, one.target] == files[:2])
        found.append(f"{files[0]}:{line} imports itself in a circle: {', '.join(files)}")
    return found + tree.private


def _wrong(one: Import) -> Iterator[str]:
    """Yield the reasons why an import breaks a rule."""
    here, there = room_of(one.file), room_of(one.target)
    room = ROOMS.get(here)
    if room is None or not there:
        return
    if here == there:
        if room.shared != "*" and Path(one.target).stem not in room.shared.split():
            yield f"files of {here} do not import each other"
    elif there.startswith("calibration") and not here.startswith("calibration"):
        yield f"the live side reaches calibration in {LAZY} only, by name inside a function"
    elif ORDER.index(there) > ORDER.index(here):
        yield f"{there} comes after {here} in the flow, and no import climbs back"
    elif there not in room.imports.split():
        yield f"{here} may import {room.imports.replace(' ', ', ') or 'nothing of ours'}"


def drawing(tree: Tree) -> str:
    """Draw the rooms in levels, then a table of their imports."""
    level, arrows = dict.fromkeys(ROOMS, 1), room_arrows(tree)
    for name in ROOMS:  # one above the highest room that it imports
        level[name] = 1 + max((level[there] for here, there in arrows if here == name), default=0)
    lines = ["A room imports only rooms on lower levels.", ""]
    for n in range(max(level.values()), 0, -1):
        lines.append(f"{n:3}  " + "  ".join(f"[ {name} ]" for name in ROOMS if level[name] == n))
    lines += ["", f"{'room':22}{'what lives there':37}imports", ""]
    for name, room in ROOMS.items():
        imports = ", ".join(other for other in ROOMS if (name, other) in arrows) or "-"
        first = f"{name:22}{room.about:37}"
        lines += textwrap.wrap(imports, 110, initial_indent=first, subsequent_indent=" " * 59)
    return "\n".join(lines) + "\n"


def figures(tree: Tree) -> dict[str, float]:
    """Count rooms, circles and other figures of the layout."""
    arrows, sizes = room_arrows(tree), Counter(map(room_of, tree.files))
    return {
        "rooms": len(ROOMS),
        "circles": len(circles((i.file, i.target) for i in tree.imports)) + len(circles(arrows)),
        "back_arrows": sum(ORDER.index(there) > ORDER.index(here) for here, there in arrows),
        "private_names": len(tree.private),
        "files_at_top_of_rt_decoder": sum(str(Path(f).parent) == "rt_decoder" for f in tree.files),
        "largest_room_share": round(max(sizes.values()) / len(tree.files), 3),
    }


def main() -> int:
    tree, path = read(REPO), REPO / README
    wrong = violations(tree)
    text, block = path.read_text(encoding="utf-8"), f"{START}\n```text\n{drawing(tree)}```\n{END}"
    if "--write" in sys.argv:
        text = re.sub(f"{START}.*{END}", lambda _: block, text, flags=re.DOTALL)
        path.write_text(text, encoding="utf-8")
    elif "--check" not in sys.argv:
        print(drawing(tree))
    if block not in text and {"--write", "--check"} & set(sys.argv):
        wrong.append(f"{README} needs a new drawing between {START!r} and {END!r}: use --write")
    print("".join(f"{sentence}\n" for sentence in wrong), end="")
    if "--json" in sys.argv:
        print(json.dumps(figures(tree) | {"violations": len(wrong)}))
    return int("--check" in sys.argv and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
