"""Options that all kernels are compiled with, and what a kernel file may import.

Numba caches a compiled kernel under the time stamp of its own file. Functions and constants of
other files are compiled into the kernel too, but numba does not notice when those files change.
So

- a kernel calls only kernels of its own file, however long that file gets;
- its file defines its constants, bits of `signal.Reason` too, named ``R_`` and the bit's name;
- `KERNEL` is all that kernel files import from this package. A change to it reaches a cached
  kernel only once the cache is deleted; `tests/conftest.py` does that.

`tests/test_kernels.py` checks these rules.
"""

from __future__ import annotations

from typing import Any

__all__ = ["KERNEL"]

KERNEL: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    # Without numba's runtime a kernel cannot allocate, and views and arguments are not counted.
    # The option is private to numba: pyproject.toml allows the versions that were tested.
    "_nrt": False,
    # Division by zero returns inf or nan, as in NumPy: no branch, no exception in the path.
    "error_model": "numpy",
}
