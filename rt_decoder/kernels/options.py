"""Options that all kernels are compiled with, and what a kernel file may import.

A compiled kernel is kept under the hash of its own file and of these options. Functions and
constants of other files are compiled into the kernel too, but nothing notices when those files
change. So

- a kernel calls only kernels of its own file, however long that file gets;
- its file defines its constants, bits of `signal.Reason` too, named ``R_`` and the bit's name;
- `KERNEL` and `njit` are all that kernel files import from this package.

`tests/test_kernels.py` checks these rules.
"""

from __future__ import annotations

from typing import Any

from rt_decoder.kernels.cache import cached_njit as njit

__all__ = ["KERNEL", "njit"]

KERNEL: dict[str, Any] = {
    "nogil": True,
    # Without numba's runtime a kernel cannot allocate, and views and arguments are not counted.
    # The option is private to numba: pyproject.toml allows the versions that were tested.
    "_nrt": False,
    # Division by zero returns inf or nan, as in NumPy: no branch, no exception in the path.
    "error_model": "numpy",
}
