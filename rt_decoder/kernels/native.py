"""Call several kernels in a row without Python between them.

A call from Python looks at every argument anew: code and objects in hundreds of cache lines, which are
cold at each hop. Here the arguments are written down once, as the words that a compiled kernel takes,
and one small function passes them on. It knows of each kernel its address alone, so that kernels stay
in their own files, compiled and kept as ever.

The words of a row, 64 bits each, are

====================  =====================================================================
`GIVEN` words         addresses of the samples that come in, and their absolute index
`CHANGED`             a bit for each part: whether it changed anything
`BEGUN`               when the first kernel began, in ns
for each part         when it ended, in ns
then                  addresses and arguments of the kernels, in order
====================  =====================================================================

How numba lays out arguments is private to it: run `tests/test_chain.py` with each version that
pyproject.toml is to allow; 0.68 was tested.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.typeof import typeof

__all__ = [
    "BEGUN",
    "CHANGED",
    "GIVEN",
    "MOST",
    "PARTS",
    "Part",
    "compile_row",
    "is_possible",
    "words_of",
]

GIVEN = 4  # words that come in: data, index, flags, flags of channels
CHANGED, BEGUN, PARTS = range(GIVEN, GIVEN + 3)
MOST = 63  # parts
_WORD, _FLOAT, _BYTE = ir.IntType(64), ir.DoubleType(), ir.IntType(8).as_pointer()
_STATUS = ir.IntType(32)
_CLOCK = "clock_gettime"


class Part(NamedTuple):
    """Kernels that belong together, and what comes in to the part after them.

    Of a kernel there is one letter a word: ``p`` an address, ``i`` a whole number, ``d`` a float, or
    the digit of a word that comes in, which is an address but for the index.
    """

    kernels: tuple[str, ...]
    writes: tuple[bool, ...]  # (GIVEN,) whether the part passes on something else
    perhaps: bool  # only if its last kernel answers that it changed something


def is_possible() -> bool:
    """Whether this system has the clock that times the parts (Windows has not), and words of 64 bits."""
    return sys.platform != "win32" and sys.maxsize > 2**32 and bool(llvm.address_of_symbol(_CLOCK))


def words_of(value: Any, given: int | None = None) -> tuple[str, list[int]]:
    """Letters and words of an argument.

    Parameters
    ----------
    value : array, float, int, or tuple of these
    given : int or None
        Which word that comes in takes the place of its address, or of the number.

    Returns
    -------
    letters : str
    words : list of int

    Raises
    ------
    TypeError
        If it is something else.
    """
    kind: Any = typeof(value)
    if isinstance(kind, types.BaseTuple):
        members = [words_of(one) for one in value]
        return "".join(one for one, _ in members), [word for _, some in members for word in some]
    if isinstance(kind, types.Array):
        address = "p" if given is None else str(given)
        letters = f"ppii{address}{'i' * 2 * value.ndim}"
        room = [0, 0, value.size, value.itemsize, value.ctypes.data]
        return letters, [*room, *value.shape, *value.strides]
    if kind == types.float64:
        return "d", [int(np.float64(value).view(np.int64))]
    if kind == types.int64:
        return "i" if given is None else str(given), [int(value)]
    raise TypeError(f"need arrays, tuples, floats or whole numbers for a kernel, got {kind}")


def address_of(kernel: Any, arguments: tuple[Any, ...]) -> int:
    """Address of a kernel for these arguments; it is compiled or loaded where it was not yet."""
    kinds = tuple(typeof(one) for one in arguments)
    kernel.compile(kinds)
    compiled = kernel.overloads[kinds]
    found: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return found


@lru_cache(maxsize=64)
def compile_row(parts: tuple[Part, ...]) -> Callable[[int], int]:
    """Compile the function that calls parts one after the other, without the interpreter's lock.

    Parameters
    ----------
    parts : tuple of Part

    Returns
    -------
    callable
        Takes the address of the words; returns 0 unless a kernel failed.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # nothing to optimize: 20 ms instead of 180, and as fast [measured]
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(_Row(parts).module)), machine)
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(engine.get_function_address("row"))
    call.engine = engine  # type: ignore[attr-defined]  # keeps the code
    return call


class _Row:
    """Writes the function, in the language of LLVM."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.module = ir.Module()
        kind = ir.FunctionType(_STATUS, [_WORD.as_pointer()])
        function = ir.Function(self.module, kind, "row")
        self._words, self._at = function.args[0], PARTS + len(parts)
        self._build = build = ir.IRBuilder(function.append_basic_block())
        self._answer, self._error = build.alloca(_WORD, 2), build.alloca(_BYTE)
        self._now = build.alloca(_WORD, 2)
        clock = ir.FunctionType(_STATUS, [_STATUS, _WORD.as_pointer()])
        self._clock = ir.Function(self.module, clock, _CLOCK)
        self._given = [self._load(place) for place in range(GIVEN)]
        status, self._changed = _STATUS(0), _WORD(0)
        self._stamp(BEGUN)
        for number, part in enumerate(parts):
            for letters in part.kernels:
                status = build.or_(status, self._call(letters))
            self._pass_on(part, number)
            self._stamp(PARTS + number)
        self._store(self._changed, CHANGED)
        build.ret(status)

    def _load(self, place: int) -> ir.Value:
        return self._build.load(self._build.gep(self._words, [_WORD(place)]))

    def _store(self, value: ir.Value, place: int) -> None:
        self._build.store(value, self._build.gep(self._words, [_WORD(place)]))

    def _next(self) -> ir.Value:
        self._at += 1
        return self._load(self._at - 1)

    def _call(self, letters: str) -> ir.Value:
        """Call a kernel; it returns whether it failed, and leaves its answer."""
        build, address, arguments = self._build, self._next(), []
        for letter in letters:
            word = self._next()
            if letter.isdigit():
                word = self._given[int(letter)]
            if letter == "d":
                word = build.bitcast(word, _FLOAT)
            arguments.append(word)
        build.store(_WORD(0), self._answer)
        kinds = [self._answer.type, self._error.type, *(one.type for one in arguments)]
        kernel = build.inttoptr(address, ir.FunctionType(_STATUS, kinds).as_pointer())
        status: ir.Value = build.call(kernel, [self._answer, self._error, *arguments])
        return status

    def _pass_on(self, part: Part, number: int) -> None:
        build, changed = self._build, ir.IntType(1)(1)
        if part.perhaps:
            changed = build.icmp_unsigned("!=", build.load(self._answer), _WORD(0))
        bit = build.select(changed, _WORD(1 << number), _WORD(0))
        self._changed = build.or_(self._changed, bit)
        for k in range(GIVEN):
            if part.writes[k]:
                self._given[k] = build.select(changed, self._next(), self._given[k])

    def _stamp(self, place: int) -> None:
        """Write down the time, in ns, by the clock of `time.perf_counter_ns`."""
        build = self._build
        build.call(self._clock, [_STATUS(getattr(time, "CLOCK_MONOTONIC", 1)), self._now])
        seconds = build.load(self._now)
        rest = build.load(build.gep(self._now, [_WORD(1)]))
        self._store(build.add(build.mul(seconds, _WORD(1_000_000_000)), rest), place)
