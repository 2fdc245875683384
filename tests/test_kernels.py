"""What all kernels have in common: their options, their reason bits, tables of their columns."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numba import __version__ as numba_version
from numba import njit
from numba.core.errors import NumbaError

from rt_decoder.kernels.options import KERNEL
from rt_decoder.signal import BAD, CORRECTED, FLAGS, Reason

FOLDER = Path(__file__).resolve().parents[1] / "rt_decoder" / "kernels"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("[a-z]*.py"))}
KERNELS = [name for name, text in TEXTS.items() if "@njit" in text]
# bits that have a name in `signal` and are no single reason
JOINED = {"R_CORRECTED": int(CORRECTED), "R_BAD": int(BAD)}
kernels = pytest.mark.parametrize("name", KERNELS)


@kernels
def test_a_kernel_file_takes_only_kernels_from_the_package(name):
    """Anything else would be frozen in the cached kernel when it is changed in its own file.

    The cache finds an import by the beginning of its line (`test_kernel_cache.py`).
    """
    for node in ast.walk(ast.parse(TEXTS[name])):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("rt_decoder") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rt_decoder"):
            assert node.col_offset == 0
            if node.module == "rt_decoder.kernels.options":
                assert [alias.name for alias in node.names] == ["KERNEL", "njit"]
            else:
                assert node.module.removeprefix("rt_decoder.kernels.") in KERNELS


@kernels
def test_every_kernel_is_compiled_with_the_same_options(name):
    decorators = [
        ast.unparse(decorator)
        for node in ast.parse(TEXTS[name]).body
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
    ]
    assert decorators
    assert set(decorators) <= {"njit(**KERNEL)", "njit(**KERNEL, inline='always')"}


def test_numba_still_takes_its_private_option():
    def double(x: np.ndarray) -> float:
        return 2.0 * x[0]

    try:
        assert njit(**KERNEL)(double)(np.ones(1)) == 2.0
    except (KeyError, TypeError, NumbaError) as error:
        pytest.fail(
            f"numba {numba_version} does not compile with _nrt=False, which is private to it: "
            "keep numba below that version in pyproject.toml, or leave the option out of "
            f"rt_decoder/kernels/options.py and see that kernels allocate nothing ({error})"
        )


def test_a_kernel_that_allocates_does_not_compile():
    def allocating(n: int) -> float:
        return np.zeros(n).sum()

    with pytest.raises(NumbaError):
        njit(**KERNEL)(allocating)(3)


def test_flags_have_room_for_every_reason():
    assert np.iinfo(FLAGS).bits == 32
    assert int(BAD) & int(CORRECTED) == 0
    assert int(BAD) | int(CORRECTED) == np.iinfo(FLAGS).max
    assert all(0 < int(reason) <= np.iinfo(FLAGS).max for reason in Reason)


@kernels
def test_bits_of_kernels_are_those_of_signal(name):
    known = {f"R_{reason.name}": int(reason) for reason in Reason} | JOINED
    module = importlib.import_module(f"rt_decoder.kernels.{name}")
    bits = {key: value for key, value in vars(module).items() if key.startswith("R_")}
    assert bits == {key: known.get(key) for key in bits}


def test_the_bits_are_found():
    assert sum(text.count("R_REPAIRED") > 0 for text in TEXTS.values()) >= 4


BITWISE = (ast.BitAnd, ast.BitOr, ast.BitXor)


def bare_bits(text: str) -> list[str]:
    """Where a number, or a constant without the name of a bit, meets flags."""
    lines = [node for node in ast.parse(text).body if not _names_bits(node)]
    numbers = {
        name.id
        for node in lines
        if isinstance(node, ast.Assign)
        and any(isinstance(part, ast.Constant) for part in ast.walk(node.value))
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    return [
        f"{part.lineno}: {ast.unparse(node)}"
        for line in lines
        for node in ast.walk(line)
        for part in _operands(node)
        if (isinstance(part, ast.Constant) and type(part.value) is int and part.value != 0)
        or (isinstance(part, ast.Name) and part.id in numbers)
    ]


def _names_bits(node: ast.stmt) -> bool:
    """Whether it is one of the lines whose values are compared with `signal`."""
    if not isinstance(node, ast.Assign):
        return False
    names = [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
    return all(name.startswith("R_") for name in names)


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    """Of bitwise operations, and what is written into flags or made one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, BITWISE):
        yield from (node.left, node.right)
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, BITWISE):
        yield node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("np.uint32"):
        yield from node.args
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        name = ast.unparse(node.targets[0].value)
        if any(word in name for word in ("flags", "marks", "bits")):
            parts = [node.value]
            while parts:
                part = parts.pop()
                if isinstance(part, ast.IfExp):
                    parts += [part.body, part.orelse]
                else:
                    yield part


@kernels
def test_no_bit_is_a_bare_number(name):
    assert bare_bits(TEXTS[name]) == []


@pytest.mark.parametrize(
    "text",
    [
        "flags[t] |= 16",
        "out_flags[t] = 32",
        "flags[i] = R_GAP if gap else 32 if held else 0",
        "x = flags[t] & 4095",
        "x = flags[t] & ~4096",
        "BAD = 512\nx = flags[t] & BAD",
        "marks = np.uint32(4096)",
    ],
)
def test_what_would_be_found(text):
    assert bare_bits(text)


@pytest.mark.parametrize(
    "text",
    [
        "R_GAP, R_HELD = 16, 32\nflags[t] |= R_GAP | R_HELD",
        "R_BAD = 0xFFFFFFFF ^ R_CORRECTED\nx = flags[t] & R_BAD",
        "BOTH = R_GAP | R_HELD\nx = flags[t] & BOTH",
        "bits = np.uint32(0)\nfor k in range(n):\n    bits |= marks[k]",
        "out_flags[t] |= reason",
        "x = count & (RING - 1)",
        "missing |= not holds",
    ],
)
def test_what_is_allowed(text):
    assert bare_bits(text) == []


@kernels
def test_every_column_stands_in_a_table(name):
    """Names that count from 0 are places in an array: the docstring says what is there."""
    tree = ast.parse(TEXTS[name])
    cells = [line.split("  ")[0] for line in (ast.get_docstring(tree) or "").splitlines()]
    told = {column for cell in cells for column in re.split(r"[,\s]+", cell)}
    columns = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and ast.unparse(node.value).startswith("range(")
        and "CODES" not in ast.unparse(node.value)
        for target in node.targets[0].elts
        if isinstance(target, ast.Name)
    }
    assert columns <= told
