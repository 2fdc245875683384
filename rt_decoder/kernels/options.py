"""How every kernel is compiled, and what a kernel file may import.

Numba caches a compiled kernel under the time stamp of its own file. What the kernel took from
elsewhere is part of the machine code and not of that stamp: a function of another file, or a
constant, would stay as it was when it is changed there. So

- a kernel calls only kernels of its own file, however long that file gets;
- its constants stand in its own file, bits of `signal.Reason` too, as ``R_`` and the bit's name;
- `KERNEL` is the one thing that kernel files import of this package. A change to it reaches a
  cached kernel only once the cache is deleted; `tests/conftest.py` does that.

`tests/test_kernels.py` holds all of this.
"""

from __future__ import annotations

from typing import Any

__all__ = ["KERNEL"]

KERNEL: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    # Without numba's runtime nothing can be allocated, and neither views nor arguments are counted.
    # Private to numba: pyproject.toml allows the versions that it was tried with.
    "_nrt": False,
    # Division by zero gives inf or nan, as in NumPy: no branch, no exception in the path.
    "error_model": "numpy",
}
