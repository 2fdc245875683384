"""Compile kernels into the cache ahead of a session, several at a time, in processes of their own.

Compiling holds the interpreter for seconds, deaf to signals; a process that only waits for others
hears Ctrl-C at once. What to compile is listed in ``signatures.txt``: a kernel and the types of its
arguments a line. What is not listed is compiled when it is first used, so a list that lags behind
costs time and nothing else. `scripts/kernels.py` writes it.
"""

from __future__ import annotations

import gc
import hashlib
import os
import queue
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numba

from rt_decoder.kernels.cache import cache_folder, compile_only, is_kept

__all__ = ["LIST", "Kernel", "compile_asked", "listed", "missing", "spelled", "warm"]

LIST = Path(__file__).parents[1] / "kernels" / "signatures.txt"
_CODE = "from rt_decoder.live.warm import compile_asked; compile_asked()"
_REFUSED = "refused.txt"  # in the cache: kernels that could not be compiled as listed
_WAIT_S = 0.05  # between looks at whether a signal has come (Windows hears none in a wait)


class Kernel(NamedTuple):
    """A kernel and the types of its arguments, as a line of the list."""

    file: str  # of the room kernels
    name: str
    types: (
        str  # "float64 2 C readonly" for an array, "int64", or "(int64, float64 1 C)"; ";" between
    )

    @property
    def dispatcher(self) -> Any:
        """What numba calls the compiled function."""
        return getattr(import_module(f"rt_decoder.kernels.{self.file}"), self.name)

    @property
    def signature(self) -> tuple[Any, ...]:
        """Types of the arguments, as numba has them."""
        return tuple(_type_of(text.strip()) for text in self.types.split(";"))


def _type_of(text: str) -> Any:
    if text.startswith("("):
        tuple_of: Any = numba.types.Tuple
        return tuple_of([_type_of(one.strip()) for one in text[1:-1].split(",")])
    dtype, *array = text.split()
    kind = getattr(numba.types, dtype)
    if not array:
        return kind
    layout: Any = array[1]
    return numba.types.Array(kind, int(array[0]), layout, readonly="readonly" in array)


def spelled(kind: Any) -> str:
    """Write a type of numba as the list has it.

    Parameters
    ----------
    kind : numba type
        A number, an array, or a tuple of these.

    Returns
    -------
    str
    """
    if isinstance(kind, numba.types.Array):
        return f"{kind.dtype} {kind.ndim} {kind.layout}{'' if kind.mutable else ' readonly'}"
    if isinstance(kind, numba.types.BaseTuple):
        members: Any = kind
        return f"({', '.join(map(spelled, members))})"
    return str(kind)


def listed() -> list[Kernel]:
    """Return the kernels of the list."""
    lines = LIST.read_text(encoding="ascii").splitlines()
    return [Kernel(*line.split(None, 2)) for line in lines if line]


def missing(kernels: Iterable[Kernel] | None = None) -> list[Kernel]:
    """Return the kernels that are not in the cache, or damaged or stale there.

    Parameters
    ----------
    kernels : iterable of Kernel or None
        Of which; None for all of the list. Those that no longer exist are left out.

    Returns
    -------
    list of Kernel
    """
    if (folder := cache_folder()) is None:
        return []
    refused = folder / _REFUSED
    tried = set(refused.read_text().splitlines()) if refused.is_file() else set()
    found = listed() if kernels is None else kernels
    return [
        one
        for one in found
        if _exists(one) and _line(one) not in tried and not is_kept(one.dispatcher, one.signature)
    ]


def _line(kernel: Kernel) -> str:
    """A kernel and the hash of its file."""
    code = LIST.with_name(f"{kernel.file}.py").read_bytes()
    return f"{hashlib.sha256(code).hexdigest()[:16]} {' '.join(kernel)}"


def _exists(kernel: Kernel) -> bool:
    try:
        return bool(len(kernel.signature) == kernel.dispatcher.py_func.__code__.co_argcount)
    except (ImportError, AttributeError):
        return False


def warm(tell: Callable[[int, int], object] | None = None, n_processes: int = 0) -> int:
    """Compile what is missing, in processes that end with this call however it ends.

    Parameters
    ----------
    tell : callable or None
        Called in this thread with how many are done, and of how many, again and again: what it
        raises ends the work. Not at all if none is missing.
    n_processes : int
        0 for one a core.

    Returns
    -------
    int
        Kernels that were compiled. One that could not be is left to the session, which tells why.
    """
    by_file = defaultdict(list)
    for kernel in missing():
        by_file[kernel.file].append(kernel)
    # a file goes to one process: its kernels share what they call
    tasks = sorted(by_file.values(), key=lambda task: -_size(task[0].file))
    total = n_left = sum(map(len, tasks))
    if not total:
        return 0
    done: queue.SimpleQueue[tuple[Kernel, str]] = queue.SimpleQueue()
    n_compiled = 0
    with _processes(tasks, done, min(n_processes or os.cpu_count() or 1, len(tasks))):
        while n_left:
            if tell is not None:
                tell(total - n_left, total)
            with suppress(queue.Empty):
                kernel, answer = done.get(timeout=_WAIT_S)
                n_left, n_compiled = n_left - 1, n_compiled + (answer == "compiled")
                if answer == "refused" and (folder := cache_folder()) is not None:
                    with (folder / _REFUSED).open("a") as file:
                        file.write(f"{_line(kernel)}\n")
    if tell is not None:
        tell(total, total)
    return n_compiled


def _size(file: str) -> int:
    return LIST.with_name(f"{file}.py").stat().st_size  # how long it takes, roughly


@contextmanager
def _processes(
    tasks: list[list[Kernel]], done: queue.SimpleQueue[tuple[Kernel, str]], n: int
) -> Iterator[None]:
    """Let `n` processes work through the tasks; leaving kills those that still work."""
    waiting: queue.SimpleQueue[list[Kernel]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    started = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,  # Ctrl-C is ours
        )
        for _ in range(n)
    ]  # fmt: skip
    threads = [threading.Thread(target=_feed, args=(one, waiting, done)) for one in started]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        for process in started:
            process.kill()
        for thread in threads:
            thread.join()
        for process in started:
            process.wait()


def _feed(
    process: subprocess.Popen[str], waiting: queue.SimpleQueue[list[Kernel]],
    done: queue.SimpleQueue[tuple[Kernel, str]],
) -> None:  # fmt: skip
    """Give one process tasks; tell of each kernel what became of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError), process.stdin as ask, process.stdout as answers:
        while True:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            for kernel in task:
                answer = ""
                with suppress(OSError):  # it has died
                    ask.write(f"{' '.join(kernel)}\n")
                    ask.flush()
                    answer = answers.readline().strip()
                done.put((kernel, answer))


def compile_asked() -> None:
    """Compile the kernels that lines of standard input name; the process's end of `warm`."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    compile_only()
    gc.disable()  # a tenth of the time; the process ends soon, with .4 GB at most [measured]
    for line in sys.stdin:
        kernel = Kernel(*line.split(None, 2))
        try:
            kernel.dispatcher.compile(kernel.signature)
            told = "compiled"
        except numba.core.errors.NumbaError:  # the list lags behind the kernel
            told = "refused"
        out.write(f"{told}\n")
        out.flush()
