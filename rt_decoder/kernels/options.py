"""Options that all kernels are compiled with, and what a kernel file may import.

A compiled kernel is kept under the hash of these options, of its own file and of the kernel files that
it imports (`cache.py`). Functions and constants of other files would be compiled into it too, and
nothing would notice when those change. So

- a kernel file imports of this package only `KERNEL`, `njit`, and kernels of other files;
- it defines its own constants, bits of `signal.Reason` too, named ``R_`` and the bit's name.

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
    # No entry for programs in C, of which there are none.
    "no_cfunc_wrapper": True,
}
