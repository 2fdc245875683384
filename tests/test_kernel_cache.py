"""kernels/cache.py: where compiled kernels are kept, and files that are not what was kept."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rt_decoder.kernels import cache
from rt_decoder.kernels.cache import cache_folder, cached_njit


def _kernel() -> Callable:
    def doubled(x):
        x *= 2.0

    return cached_njit(nogil=True)(doubled)


def _doubles(kernel: Callable) -> int:
    """Hits of the cache, once the kernel has been run."""
    x = np.ones(3)
    kernel(x)
    assert x.tolist() == [2.0, 2.0, 2.0]
    return sum(kernel.stats.cache_hits.values())


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a compiled kernel."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    assert _doubles(_kernel()) == 0
    (file,) = tmp_path.iterdir()
    return file


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: content,
    "empty": lambda content: b"",
    "short": lambda content: content[:20],
    "halved": lambda content: content[: len(content) // 2],
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"x",
    "hash": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "byte": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_replaced(kept: Path, damage: str) -> None:
    whole = kept.read_bytes()
    kept.write_bytes(DAMAGE[damage](whole))
    assert _doubles(_kernel()) == (damage == "nothing")
    assert list(kept.parent.iterdir()) == [kept]
    assert _doubles(_kernel()) == 1  # whole again


def test_other_options_are_another_file_content(kept: Path) -> None:
    def doubled(x):
        x *= 2.0

    assert _doubles(cached_njit(nogil=True, error_model="numpy")(doubled)) == 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Choose among folders in `tmp_path`: `tree` beside the kernels, `user` in the user's cache."""
    monkeypatch.setattr(cache, "HERE", tmp_path / "tree")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("RT_DECODER_CACHE", str(tmp_path / "user"))
    cache_folder.cache_clear()
    yield tmp_path
    cache_folder.cache_clear()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_folder_that_others_can_write_to_is_not_used(place: Path, mode: int) -> None:
    (place / "tree" / "__pycache__").mkdir(parents=True)
    (place / "tree" / "__pycache__").chmod(mode)
    found = cache_folder()
    assert found is not None
    assert found.parent == place / "user"
    assert found.stat().st_mode & 0o777 == 0o700


def test_without_any_folder_it_is_said_and_kernels_still_work(place: Path) -> None:
    (place / "tree").write_text("no folder")
    (place / "user").write_text("no folder")
    with pytest.warns(RuntimeWarning, match="RT_DECODER_CACHE"):
        assert cache_folder() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert _doubles(_kernel()) == 0


CALLEE = """
from rt_decoder.kernels.options import KERNEL, njit

@njit(**KERNEL)
def inner(x):
    return x + {}
"""
BETWEEN = """
from rt_decoder.kernels.called import inner
from rt_decoder.kernels.options import KERNEL, njit

@njit(**KERNEL)
def middle(x):
    return inner(x)
"""
CALLER = """
import importlib.util, sys
from pathlib import Path
for name in ("called", "between"):
    full = f"rt_decoder.kernels.{name}"
    spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
    sys.modules[full] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[full])
from rt_decoder.kernels.between import middle
from rt_decoder.kernels.options import KERNEL, njit

@njit(**KERNEL)
def outer(x):
    return middle(x)

print(outer(1.0), sum(outer.stats.cache_hits.values()))
"""


def test_a_kernel_is_compiled_again_when_what_it_calls_has_changed(tmp_path: Path) -> None:
    """A callee of a callee, in another file; and what does not call it stays."""
    other = CALLEE.format(7.0) + "\nprint(inner(1.0), sum(inner.stats.cache_hits.values()))\n"
    for name, text in (("between", BETWEEN), ("caller", CALLER), ("other", other)):
        (tmp_path / f"{name}.py").write_text(text)

    def run(name: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, tmp_path / f"{name}.py"],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [float(word) for word in done.stdout.split()]

    (tmp_path / "called.py").write_text(CALLEE.format(1.0))
    assert run("caller") == [2.0, 0]
    assert run("other") == [8.0, 0]
    assert run("caller") == [2.0, 1]
    (tmp_path / "called.py").write_text(CALLEE.format(5.0))
    assert run("caller") == [6.0, 0]
    assert run("caller") == [6.0, 1]
    assert run("other") == [8.0, 1]
