"""Measure a computer, a part a function: memory, scheduler, interpreter, processors, clock, disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "blas_threads", "clock", "disk", "memory_bandwidth", "percentiles", "processors", "wakes",
    "wakes_elsewhere",
]  # fmt: skip

_MB = 1 << 20
_QS = (50, 95, 99, 99.9)
_WAKE_S = 1e-3
_CODE = """
import time
n, late = int({n}), []
for _ in range(n):
    due = time.perf_counter() + {wake}
    time.sleep({wake})
    late.append(1e3 * (time.perf_counter() - due))
print(*late)
"""

_PRODUCT = """
import os
import numpy as np
x = np.ones((512, 512))
x @ x
print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0)
"""


def percentiles(ms: Sequence[float] | np.ndarray) -> dict[str, float | None]:
    """Return p50, p95, p99, p99.9 and max of durations in ms, shape (n,); None where there are none."""
    values = np.asarray(ms, float)
    names = [*(f"p{q:g}" for q in _QS), "max"]
    if not values.size:
        return dict.fromkeys(names)
    found = [*np.percentile(values, _QS), values.max()]
    return {name: round(float(one), 4) for name, one in zip(names, found, strict=True)}


def memory_bandwidth(n_mb: int = 256, n_times: int = 5) -> float:
    """Return the fastest reading of memory by one thread, in GB/s."""
    x = np.ones(n_mb * _MB // 4, np.float32)
    best = 0.0
    for _ in range(n_times):
        began = time.perf_counter()
        x.max()
        best = max(best, x.nbytes / (time.perf_counter() - began))
    return 1e-9 * best


def wakes(n: int) -> list[float]:
    """Sleep 1 ms `n` times; return by how many ms each wake was late."""
    late = []
    for _ in range(n):
        due = time.perf_counter() + _WAKE_S
        time.sleep(_WAKE_S)
        late.append(1e3 * (time.perf_counter() - due))
    return late


def wakes_elsewhere(n: int) -> list[float]:
    """Do the same in a process of its own, which shares no interpreter with this one."""
    code = _CODE.format(n=n, wake=_WAKE_S)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return [float(one) for one in ran.stdout.split()]


def blas_threads() -> int:
    """Return how many threads a process has that multiplies matrices; 0 where that is not known."""
    ran = subprocess.run(
        [sys.executable, "-c", _PRODUCT], capture_output=True, text=True, check=True
    )
    return int(ran.stdout)


def processors() -> Callable[[], dict[str, Any]]:
    """Begin to watch the processors; what is returned tells of the time since.

    Returns
    -------
    callable
        Returns ``n``, ``others`` (processors that other programs keep busy) and ``stolen`` (share of
        the time that a virtual machine did not get), None where the system does not tell.
    """
    before, mine, began = _ticks(), _own(), time.perf_counter()

    def told() -> dict[str, Any]:
        n = os.cpu_count() or 1
        after = _ticks()
        if before is None or after is None:
            return {"n": n, "others": None, "stolen": None}
        each = np.subtract(after, before)
        total = max(1, int(each.sum()))
        idle, stolen = each[3] + each[4], each[7] if len(each) > 7 else 0
        ours = (_own() - mine) / (time.perf_counter() - began)
        busy = n * (1 - idle / total) - ours - n * stolen / total
        return {"n": n, "others": max(0.0, float(busy)), "stolen": float(stolen / total)}

    return told


def _ticks() -> list[int] | None:
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    return [int(one) for one in line.split()[1:9]]


def _own() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def clock() -> dict[str, Any]:
    """Return what reading the clock takes, in us, and where the system takes it from ("" if unknown)."""
    n = 20_000
    began = time.perf_counter()
    for _ in range(n):
        time.perf_counter()
    took = 1e6 * (time.perf_counter() - began) / n
    where = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = where.read_text(encoding="ascii").strip() if where.is_file() else ""
    return {"read_us": round(took, 4), "source": name}


def disk(folder: Path, n: int = 20, sync: Callable[[int], object] = os.fsync) -> list[float]:
    """Write 64 KiB to a new file again and again, each time to the disk itself.

    Parameters
    ----------
    folder : Path
        Where; the file is gone afterwards.
    n : int
        How often.
    sync : callable
        Takes a descriptor, and waits for the disk.

    Returns
    -------
    list of float
        What each took, in ms.
    """
    took, block = [], os.urandom(64 << 10)
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(n):
            began = time.perf_counter()
            file.write(block)
            file.flush()
            sync(file.fileno())
            took.append(1e3 * (time.perf_counter() - began))
    return took
