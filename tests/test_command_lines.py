"""Manners of both programs: help, version, completion, options that mean one thing, values."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer

from calibration.cli import app as calibrate
from calibration.commands.recipe_options import CHOICES, default_text
from rt_decoder.commands.cli import app as decode
from rt_decoder.recipe import Recipe, recipe_options
from tests.small import REPO, call, finish, start

PROGRAMS = {"rt_decoder": ("rt-decoder", decode), "calibration": ("rt-calibrate", calibrate)}
COMMANDS = [
    (program, name, command)
    for program, (_, app) in PROGRAMS.items()
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
]
NAMES = [f"{program} {name}" for program, name, _ in COMMANDS]
# the same word for another thing; everything else means one thing in every command
OTHER_THINGS = {"--force", "--anytime",
    "--seconds", "--seed", "--name", "--channels", "--session", "--wait", "--reference", "--out",
    "--output", "-o", "--people", "--language-model", "--top",
    "--markers", "--save", "--network",
}  # fmt: skip


def sections(text: str) -> dict[str, list[str]]:
    """Lines of a help by the title that they stand under."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line.removesuffix(":")
        found.setdefault(title, []).append(line)
    return found


# --- help


@pytest.mark.parametrize(("program", "name", "command"), COMMANDS, ids=NAMES)
def test_every_command_says_how_it_is_called(program, name, command, capsys) -> None:
    short, long = (call(capsys, name, flag, program=program) for flag in ("-h", "--help"))
    assert (short.code, short.err) == (0, "")
    assert short.out == long.out
    found = sections(short.out)
    example = shlex.split(found["Example"][1])
    assert example[:2] == [PROGRAMS[program][0], name]
    command.make_context(name, example[2:])  # every option and value in it is right
    assert short.out.endswith(found["Example"][1] + "\n")
    options = [param for param in command.params if param.param_type_name == "option"]
    assert [param.name for param in options if not param.help] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_lists_its_commands(program: str, capsys) -> None:
    ran = call(capsys, "-h", program=program)
    assert ran.code == 0
    listed = sections(ran.out)["Commands"]
    for of, name, _ in COMMANDS:
        assert of != program or any(line.startswith(f"  {name} ") for line in listed)
    assert "..." not in " ".join(listed)
    nothing = call(capsys, program=program)
    assert (nothing.code, nothing.out) == (2, ran.out)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("fit", ["stream", "filter", "clean", "features", "target", "fit", "readout"]),
        ("cleaning", ["stream", "filter", "clean"]),
    ],
)
def test_settings_stand_under_their_section(name: str, groups: list[str], capsys) -> None:
    found = sections(call(capsys, name, "-h", program="calibration").out)
    assert [title for title in found if title.startswith("Recipe")] == [
        f"Recipe, section [{group}]" for group in groups
    ]
    for key, (section, _, _) in recipe_options().items():
        lines = found.get(f"Recipe, section [{section}]", [])
        shown = any(line.startswith(f"  --{key.replace('_', '-')} ") for line in lines)
        assert shown == (section in groups), key


def test_a_live_session_has_its_options_in_groups(capsys) -> None:
    found = sections(call(capsys, "run", "-h").out)
    for title, flag in (
        ("Options", "--model FILE"), ("Stream", "--name NAME"), ("Markers", "--marker-offset MS"),
        ("Reading", "--channels TSV"), ("Decoding", "--without STAGE,...|all"),
        ("Output", "--log JSONL"), ("When something goes wrong", "--when-behind catch-up|skip"),
    ):  # fmt: skip
        assert any(line.startswith(f"  {flag}") for line in found[title]), title


def test_an_option_means_one_thing() -> None:
    told: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for _, _, command in COMMANDS:
        for param in command.params:
            for flag in getattr(param, "opts", ()):
                if flag.startswith("-"):
                    told[flag].add((param.help, param.metavar))
    assert {flag for flag, ways in told.items() if len(ways) > 1} == OTHER_THINGS


@pytest.mark.parametrize("program", PROGRAMS)
def test_version(program: str, capsys) -> None:
    ran = call(capsys, "--version", program=program)
    name, version = ran.out.split()
    assert (ran.code, name) == (0, PROGRAMS[program][0])
    assert version[0].isdigit()


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_module_is_the_program(program: str) -> None:
    ran = finish(start("--version", program=program))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(PROGRAMS[program][0])


# --- start-up and completion


def as_installed(program: str, *arguments: str, **environment: str) -> str:
    """What the installed program prints; then, in its last line, the modules that it loaded."""
    module = {"rt-decoder": "rt_decoder.commands.cli", "rt-calibrate": "calibration.cli"}[program]
    code = (
        f"import atexit, sys; sys.argv[0] = {program!r}; "
        "atexit.register(lambda: print(*sys.modules)); "
        f"from {module} import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True, cwd=REPO, env=os.environ | environment,
    ).stdout  # fmt: skip


@pytest.mark.parametrize("program", ["rt-decoder", "rt-calibrate"])
def test_help_and_completion_wait_for_nothing_heavy(program: str) -> None:
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    words = {"COMP_WORDS": f"{program} ", "COMP_CWORD": "1", variable: "complete_bash"}
    shown, completed = as_installed(program, "--help"), as_installed(program, **words)
    heavy = {"numpy", "numba", "scipy", "pylsl", "torch", "mne", "rich"}
    for said in (shown, completed):
        assert not heavy & set(said.splitlines()[-1].split())
    names = [name for of, name, _ in COMMANDS if PROGRAMS[of][0] == program]
    assert completed.splitlines()[:-1] == names


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("rt-decoder run --when-behind ", {"catch-up", "skip"}),
        ("rt-decoder run --when", {"--when-behind", "--when-unlike"}),
        ("rt-calibrate fit --mains ", {"notch", "adaptive"}),
    ],
)
def test_a_shell_completes_options_and_their_values(words: str, completed: set[str]) -> None:
    program, *rest = words.split(" ")
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(rest)), variable: "complete_bash"}
    assert set(as_installed(program, **asked).splitlines()[:-1]) == completed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(shell: str) -> None:
    no_detection = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = as_installed("rt-decoder", "--show-completion", shell, **no_detection)
    assert "_RT_DECODER_COMPLETE" in script
    assert "rt-decoder" in script


# --- values


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Any:
    """Recipe, marker rules and ways of reading that `fit` takes from its options."""

    def fit(*options: str) -> tuple[Recipe, Any, dict[str, Any]]:
        taken: list[Any] = []

        def load(recordings, tables, recipe, rules, **reading) -> None:
            taken.extend((recipe, rules, reading))
            raise ValueError("no further")

        monkeypatch.setattr("calibration.events.load_labelled", load)
        monkeypatch.setattr("calibration.ahead.check_settings", lambda *_: None)
        out = tmp_path / "m.safetensors"
        ran = call(capsys, "fit", "rec.xdf", "-o", out, *options, program="calibration")
        assert ran.err == "error: no further\n"
        recipe, rules, reading = taken
        return recipe, rules, reading

    return fit


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("--notch", "false", False), ("--notch", "true", True), ("--l-freq", "1", 1.0),
        ("--l-freq", ".5", 0.5), ("--h-freq", "2e1", 20.0), ("--order", "3", 3),
        ("--layer", "-2", -2), ("--mains", "adaptive", "adaptive"),
        ("--bands", "[[8, 13], [70, 150]]", ((8, 13), (70, 150))),
        ("--bands", "[8,13],[70,150]", ((8, 13), (70, 150))),
        ("--alphas", "1,10.0", (1, 10.0)), ("--alphas", "3", (3,)), ("--baseline", "-0.2,0", (-0.2, 0)),
        ("--picks", "Fz, 1", ("Fz", "1")), ("--picks", "1", ("1",)), ("--stages", "eye", ("eye",)),
        ("--references", '["eog", "a,b"]', ("eog", "a,b")), ("--reference", "average", "average"),
        ("--reference", '["M1", "M2"]', ("M1", "M2")), ("--names", '{ 1 = "axe" }', {"1": "axe"}),
        ("--groups", "7", "7"), ("--embedding", "a/b", "a/b"),
    ],
)  # fmt: skip
def test_values_of_settings(option: str, text: str, value: object, settings) -> None:
    name = option.removeprefix("--").replace("-", "_")
    recipe, _, _ = settings(option, text)
    assert getattr(getattr(recipe, recipe_options()[name][0]), name) == value


def test_patterns_come_with_commas_and_with_each_use(settings) -> None:
    recipe, _, _ = settings("--include", "face*, house", "--include", '["a,b"]', "--exclude", "x")
    assert recipe.target.include == ("face*", "house", "a,b")
    assert recipe.target.exclude == ("x",)


@pytest.mark.parametrize("name", recipe_options())
def test_the_default_that_is_shown_is_the_default(name: str, settings) -> None:
    section, default, _ = recipe_options()[name]
    text = default_text(default)
    if text:
        recipe, _, _ = settings(f"--{name.replace('_', '-')}", text)
        assert getattr(getattr(recipe, section), name) == default


@pytest.mark.parametrize("name", CHOICES)
def test_the_choices_that_are_shown_are_all(name: str, settings, capsys) -> None:
    section = recipe_options()[name][0]
    for choice in CHOICES[name]:
        recipe, _, _ = settings(f"--{name}", choice)
        assert getattr(getattr(recipe, section), name) == choice
    with pytest.raises(ValueError, match=" or ".join(CHOICES[name][-2:])):
        Recipe.from_dict({section: {name: "another"}})


def test_two_settings_are_judged_together(settings) -> None:
    recipe, _, _ = settings("--h-freq", "0.4", "--l-freq", "0.1", "--tmin", "2", "--tmax", "3")
    assert (recipe.filter.h_freq, recipe.features.tmin) == (0.4, 2.0)


def test_options_come_before_the_file(settings, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[filter]\norder = 3\nl_freq = 2.0\n")
    recipe, _, _ = settings("--recipe", str(path), "--order", "4")
    assert (recipe.filter.order, recipe.filter.l_freq) == (4, 2.0)


def test_how_recordings_are_read(settings) -> None:
    _, rules, reading = settings("--markers", "channel:STI 014", "--marker-offset", "23")
    assert (rules.trigger, rules.offset, reading["markers"]) == ("STI 014", 0.023, "")
    _, rules, reading = settings("--markers", "words", "--units", "uV", "--stream", "amp")
    assert (rules.trigger, reading["markers"]) == ("", "words")
    assert (reading["units"], reading["stream"], reading["channels"]) == ("uV", "amp", None)


FIT = ("fit", "rec.xdf", "-o", "m")
RUN = ("run", "--model", "m")
WRONG = {
    "notch": ((*FIT, "--notch", "maybe"), "'--notch'"),
    "number": ((*FIT, "--h-freq", "fast"), "'--h-freq'"),
    "whole number": ((*FIT, "--order", "2.5"), "'--order'"),
    "range": ((*FIT, "--order", "11"), "'--order'"),
    "bands": ((*FIT, "--bands", "[[13, 8]]"), "'--bands'"),
    "choice": ((*FIT, "--mains", "none"), "notch or adaptive"),
    "names": ((*FIT, "--names", "axe"), "'--names'"),
    "together": ((*FIT, "--l-freq", "40"), "h_freq above l_freq"),
    "marker channel": ((*FIT, "--markers", "channel:"), "'--markers': need the name of a trigger"),
    "offset": ((*FIT, "--marker-offset", "soon"), "'--marker-offset'"),
    "embedding": (("embed", "words.txt", "-o", "v", "--pooling", "max"), "'--pooling'"),
    "behind": ((*RUN, "--when-behind", "stop"), "'--when-behind': need catch-up or skip"),
    "stage": ((*RUN, "--without", "eye,ears"), "'--without': need all or stages among"),
    "mask": ((*RUN, "--mask", "many"), "'--mask': need a whole number such as 255 or 0xFF"),
    "wait": ((*RUN, "--marker-wait", "-1"), "'--marker-wait'"),
    "reference": ((*RUN, "--reference", "belt=soon"), "need --reference NAME"),
    "trigger": (("decode", "r", "--model", "m", "--jsonl", "j", "--markers", "channel:"), "channel:NAME"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_at_once(case: str, tmp_path: Path, monkeypatch, capsys) -> None:
    """With the option's name, before a file is looked for."""
    arguments, why = WRONG[case]
    monkeypatch.chdir(tmp_path)
    program = "calibration" if arguments[0] in ("fit", "embed") else "rt_decoder"
    ran = call(capsys, *arguments, program=program)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(("error: Invalid value for", "error: need"))
    assert ran.err.count("\n") == 1
    assert why in ran.err
    assert list(tmp_path.iterdir()) == []
