"""Kernel that fetches memory ahead of its use."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["fetch"]


def _typed(_typing: Any, array: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        memory = context.make_array(signature.args[0])(context, builder, args[0])
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = builder.bitcast(builder.gep(memory.data, [args[1]]), byte)
        builder.call(ask, [address, i32(0), i32(3), i32(1)])  # to read, into every cache, data
        return context.get_dummy_value()

    return types.void(array, place), generate


_prefetch: Any = intrinsic(_typed)


@njit(**KERNEL)
def fetch(array: np.ndarray, place: int) -> None:
    """Ask for the cache line of ``array[place]``; nothing waits for it, and no value changes.

    Parameters
    ----------
    array : array of shape (n,)
        In one piece.
    place : int
        Within it.
    """
    _prefetch(array, place)
