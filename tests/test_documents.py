"""Every command, option, link, tree and table in the project's texts is true."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from scripts.advice_table import TABLE, table
from tests.documents import (
    anchors,
    blocks,
    click_command,
    commands,
    in_lines,
    links,
    options,
    options_in,
    section,
    texts,
)
from tests.small import REPO, readouts

README = REPO / "README.md"
NAMES = [path.relative_to(REPO).as_posix() for path in texts()]
# lines of blocks that are no commands of ours; what stands in for them when blocks are run
OTHERS = {
    ". .venv/bin/activate": "the environment that runs the tests",
    "scripts/demo": "its parts: simulate, fit, run below", "scripts/test": "this", "scripts/check": "CI",
    "python scripts/examples/": "tests/test_examples.py",
    "pip install": "tests/test_wheel.py installs the wheel",
}  # fmt: skip
# options of other programs, and of ours that are told to be gone
FOREIGN = {"--index-url", "--line", "--dist", "--all", "--fix", "--write", "--isolation"}


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_called_as_they_are_shown(name: str) -> None:
    for command in commands(REPO / name):
        program, verb, *rest = command.words
        if verb.startswith("-"):
            assert verb in options(), command.text
            continue
        click = click_command(program, verb)
        assert click is not None, command.text
        known = {flag for param in click.params for flag in (*param.opts, *param.secondary_opts)}
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)}
        assert given <= known | {"--help", "-h"}, command.text
        if command.whole:  # values, too
            click.make_context(verb, [word for word in rest if word != "..."])


@pytest.mark.parametrize("name", NAMES)
def test_blocks_hold_nothing_that_is_not_looked_at(name: str) -> None:
    ours = ("rt-decoder ", "rt-calibrate ", "#")
    for block in blocks(REPO / name):
        for line in in_lines(block):
            assert line.startswith((*ours, *OTHERS)), line


@pytest.mark.parametrize("name", [name for name in NAMES if "CHANGELOG" not in name])
def test_options_that_are_named_exist(name: str) -> None:
    assert set(options_in(REPO / name)) <= options() | FOREIGN


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for place, anchor in links(REPO / name):
        target = (REPO / name).parent / place if place else REPO / name
        assert target.exists(), place
        if anchor:
            assert anchor in anchors(target), f"{place}#{anchor}"


@pytest.mark.parametrize("name", NAMES)
def test_snippets_are_python(name: str) -> None:
    for block in blocks(REPO / name, "python"):
        ast.parse(block)


def test_the_tree_is_that_of_the_project() -> None:
    drawn = re.findall(r"^( *)((?:\w+/)+)", section(README, "The tree"), re.MULTILINE)
    top, told = Path(), set[str]()
    for indent, folder in drawn:
        if not indent:
            top = Path(folder)
        told.add((top if not indent else top / folder).as_posix())
    told |= {f"calibration/{name}" for name in ("language", "report")}  # on one line with cleaning
    assert [name for name in told if not (REPO / name).is_dir()] == []
    rooms = {
        path.parent.relative_to(REPO).as_posix()
        for top in ("rt_decoder", "calibration")
        for path in REPO.glob(f"{top}/*/__init__.py")
    }
    assert rooms - told - {"calibration/commands", "calibration/people"} == set()


def test_the_table_of_events_is_that_of_the_code() -> None:
    assert TABLE.read_text("utf-8") == table(), "python scripts/advice_table.py --write"


def test_commands_are_found() -> None:
    """Else the tests above assert nothing."""
    shown = commands(README)
    assert len(shown) > 25
    assert {one.words[1] for one in shown if one.whole} >= {
        "fit",
        "run",
        "record",
        "check",
        "convert",
    }
    assert len(links(README)) > 3
    assert len(blocks(README, "python")) >= 4


def in_a_shell(text: str, folder: Path, seconds: float) -> str:
    """Run a block, or what is left of it once `OTHERS` have their stand-ins; gives what it prints."""
    kept = [line for line in in_lines(text) if not line.startswith(tuple(OTHERS))]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]),
    }
    with subprocess.Popen(
        ["bash", "-euc", "\n".join([*kept, "wait"])], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as shell:  # fmt: skip
        try:
            out, err = shell.communicate(timeout=seconds)
        finally:
            with suppress(ProcessLookupError):  # what it left in the background
                os.killpg(shell.pid, signal.SIGTERM)
    assert shell.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first session of the README was run."""
    folder = tmp_path_factory.mktemp("session")
    block = re.findall(r"```sh\n(.*?)```", section(README, "A first session"), re.DOTALL)[0]
    out = in_a_shell(block, folder, 2400.0)
    assert "ended: " in out
    return folder


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.timeout(3000)
def test_a_first_session_goes_as_it_is_told(session: Path) -> None:
    live, again = (readouts(session / name) for name in ("session.jsonl", "again.jsonl"))
    assert len(live) > 50
    assert again == live  # as the README says


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.timeout(3000)
def test_the_snippet_in_python_prints_the_readouts(session: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", section(README, "A first session"), re.DOTALL)
    (session / "snippet.py").write_text(snippet)
    out = in_a_shell("python snippet.py", session, 600.0)
    assert len(out.splitlines()) == len(readouts(session / "session.jsonl"))
    assert " -> " in out


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.timeout(3000)
def test_the_experiment_that_decodes_decodes(session: Path) -> None:
    told = section(README, "An experiment that decodes")
    snippet = re.findall(r"```python\n(.*?)```", told, re.DOTALL)[0]
    (session / "experiment.py").write_text(snippet)
    shown = "rt-decoder simulate --session 2 --seconds 60 &\npython experiment.py"
    out = in_a_shell(shown, session, 600.0)
    assert "live" in out
    assert "chance" in out.splitlines()[-1] or "event" in out.splitlines()[-1]
