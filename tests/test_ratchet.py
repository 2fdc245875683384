"""What scripts/ratchet.py counts, on small examples."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))
import ratchet  # noqa: E402


def rules(text: str, **kind: bool) -> list[str]:
    return sorted(one.rule for one in ratchet.findings(text, **kind))


def public(text: str) -> list[tuple[str, str]]:
    """(rule, what) of a text whose names are all public."""
    found = ratchet.findings(f'__all__ = ["f", "C", "process"]\n{text}')
    return [(one.rule, one.what) for one in found]


def function(signature: str, docstring: str, body: str = "pass") -> str:
    told = docstring.replace("\n", "\n    ")
    return f'def {signature}:\n    """{told}"""\n    {body}\n'


SECTIONS = "Add.\n\nParameters\n----------\na : float\n    First.\nb : float\nc : float\n"


@pytest.mark.parametrize(("n", "found"), [(8, []), (9, ["many_parameters"])])
def test_parameters_are_counted(n, found):
    names = ", ".join(f"x{i}" for i in range(n - 3))
    assert rules(f"def f({names}, *args, y=1, **others): pass") == found
    assert rules(f"class C:\n    def f(self, {names}, *args, y=1, **others): pass") == found
    assert rules(f"def f({names}, *args, y=1, **others): pass", kernel=True) == []
    assert rules(f"def f({names}, *args, y=1, **others): pass\nCOMMANDS = (f,)") == []


@pytest.mark.parametrize(("n", "found"), [(44, []), (45, ["long_functions"])])
def test_lines_of_functions_are_counted_without_their_docstring(n, found):
    body = "    x = 1\n" * n
    assert rules(f"def f():\n{body}") == found
    assert rules(f'def f():\n    """Say.\n\n    A lot.\n    """\n{body}') == found


@pytest.mark.parametrize(("n", "found"), [(300, []), (301, ["long_files"])])
def test_lines_of_files_are_counted(n, found):
    assert rules("x = 1\n" * n) == found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def f(): pass", "f: no docstring"),
        ("class C:\n    '''C.'''\n    def g(self): pass", "C.g: no docstring"),
        (function("f(a, b, c)", "Add."), "f: a is missing, b is missing, c is missing"),
        (function("f(a)", "Add.\n\nMore."), "f: a is missing"),
        (function("f(a, b)", SECTIONS), "f: c is unknown"),
        (function("f(a, b, c, **d)", SECTIONS), "f: d is missing"),
        (function("f(a, b, c)", SECTIONS.replace("c : float", "c")), "f: c has no type"),
        (
            "class C:\n    '''C.'''\n    def __init__(self, a, b, c): pass",
            "C: a is missing, b is missing, c is missing",
        ),
        (
            f"class C:\n    '''{SECTIONS}'''\n    a: int\n    b: int\n    _c: int",
            "C: c is unknown",
        ),
    ],
)
def test_what_is_undocumented(text, what):
    assert public(text) == [("undocumented", what)]


@pytest.mark.parametrize(
    "text",
    [
        function("f(a, b)", "Add."),
        function("f(a)", "Add.\n\n>>> f(1)\n1"),
        function("f()", "Add.\n\nMore."),
        function("f(a, b, c)", SECTIONS),
        function("f(a, b, *c)", SECTIONS.replace("c : float", "*c")),
        function("f(a, b, c)", SECTIONS.replace("b : float\nc : float", "b, c : float")),
        function("process(a, b, c)", "Add."),
        "def g(a, b, c): pass",
        "class C:\n    '''C.'''\n    def _g(self, a, b, c): pass",
        "class C:\n    '''C.'''\n    a: int\n    b: int\n    c: int",
        f"class C:\n    '''{SECTIONS}'''\n    a: int\n    b: int\n    c: int\n    _d: int",
    ],
)
def test_what_is_documented(text):
    assert public(text) == []


def test_returns_are_told_where_sections_are_needed():
    assert public(function("f(a, b, c) -> int", SECTIONS)) == [("untold_returns", "f: int")]
    assert public(function("f(a, b, c) -> int", f"{SECTIONS}\nReturns\n-------\nint\n")) == []
    assert public(function("f(a, b, c) -> None", SECTIONS)) == []
    assert public(function("f(a, b) -> int", "The sum.")) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (function("f(x: np.ndarray)", "Take `x`."), "f: x"),
        (function("f(x: np.ndarray | None)", "Take `x` (or not)."), "f: x"),
        (function("f() -> np.ndarray", "Give."), "f: what returns"),
        ("class C:\n    '''C.'''\n    x: np.ndarray  # values", "C: x"),
        (
            "class C:\n    '''C.\n\n    Attributes\n    ----------\n    x : array\n    '''\n"
            "    x: np.ndarray",
            "C: x",
        ),
    ],
)
def test_arrays_without_shape(text, what):
    assert public(text) == [("shapeless_arrays", what)]


@pytest.mark.parametrize(
    "text",
    [
        function("f(x: np.ndarray)", "Take `x` (n, c)."),
        function("f(x: Callable[[], np.ndarray])", "Take `x`."),
        function("f() -> np.ndarray", "Sums (n,) of rows."),
        function("f(x)", "Add.\n\nParameters\n----------\nx : array of shape (n,)\n"),
        "class C:\n    '''C.'''\n    x: np.ndarray  # (n, c) float64",
    ],
)
def test_arrays_with_shape(text):
    assert public(text) == []


RAISES = "Add.\n\nRaises\n------\nValueError, KeyError\n    If not.\n"


def test_raises_are_told():
    untold = [("untold_raises", "f: ValueError")]
    body = "raise ValueError('a')\n    raise ValueError"
    assert public(function("f()", "Add.", body)) == untold
    assert public(function("f()", "Add.\n\nElse a ValueError.", body)) == untold
    assert public(function("f()", "Add; ValueError if not.", body)) == []
    assert public(function("f()", RAISES, f"{body}; raise errors.KeyError from None")) == []
    assert public(function("f()", "Add.", "raise NotImplementedError; raise error; raise")) == []
    maker = "class C:\n    '''C.'''\n    def {}(self): raise ValueError"
    assert public(maker.format("__init__")) == [("untold_raises", "C: ValueError")]
    assert public(maker.format("__post_init__")) == [("untold_raises", "C: ValueError")]
    assert public(maker.format("_g")) == []


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """Run the program where two files are too long and `n` are allowed; its exit and its file."""

    def run(n: int, *options: str) -> tuple[int, str]:
        numbers = tmp_path / "ratchet.toml"
        numbers.write_text(f"long_files = {n}\n", encoding="utf-8")
        found = [("a.py", ratchet.Finding("long_files", 1, "400 lines", size)) for size in (1, 2)]
        monkeypatch.setattr(ratchet, "everything", lambda: found)
        monkeypatch.setattr(ratchet, "NUMBERS", numbers)
        monkeypatch.setattr(sys, "argv", ["ratchet.py", *options])
        return ratchet.main(), numbers.read_text(encoding="utf-8")

    return run


def test_a_count_that_rose_fails(counted, capsys):
    code, kept = counted(1, "--write")
    assert code == 1
    assert "long_files = 1 " in kept
    assert "error: long_files rose from 1 to 2" in capsys.readouterr().out


def test_a_count_that_fell_is_lowered_on_request(counted, capsys):
    assert counted(3) == (0, "long_files = 3\n")
    assert "lower long_files in scripts/ratchet.toml to 2" in capsys.readouterr().out
    code, kept = counted(3, "--write", "--json")
    assert code == 0
    assert "long_files = 2 " in kept
    assert "many_parameters = 0 " in kept
    assert '"long_files": 2' in capsys.readouterr().out.splitlines()[-1]


def test_the_numbers_are_of_today_s_rules():
    assert set(ratchet.tomllib.loads(ratchet.NUMBERS.read_text())) == set(ratchet.RULES)
