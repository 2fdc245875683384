"""Compile kernels ahead of a session, and show how far it is."""

from __future__ import annotations

from rt_decoder.commands.console import progress_bar

__all__ = ["compile_kernels"]


def compile_kernels() -> int:
    """Compile the kernels that are not in the cache; Ctrl-C and SIGTERM are heard meanwhile.

    Returns
    -------
    int
        Kernels that were compiled.
    """
    from rt_decoder.live.warm import warm

    with progress_bar("compiling") as progress:
        return warm(lambda n_done, n: progress(n_done / n, f"compiling, {n_done} of {n}"))
