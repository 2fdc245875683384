"""Compute the vectors that the cache does not hold, in blocks, with a bar of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from calibration.language.language_model import blocks
from calibration.language.vector_cache import VectorCache

__all__ = ["cached_vectors", "embedding_progress"]

_BLOCK = 2048  # inputs between two writes to the cache; an interrupted run loses no more


def cached_vectors(
    queries: Mapping[str, Any],
    keys: Sequence[str],
    cache: VectorCache | None,
    load: Callable[[], Callable[..., np.ndarray]],
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Read vectors from the cache, and compute and keep the others.

    Parameters
    ----------
    queries : mapping of str to Any
        What is to be computed, by a hexadecimal SHA-256 of all that it depends on.
    keys : sequence of str
        Of the vectors wanted, in their order; a key may repeat.
    cache : VectorCache or None
    load : callable
        Loads what computes vectors (n, D) of a list of n queries, a batch size, and a callable
        that is told how many are done; called only if vectors are missing.
    batch_size : int
    progress : callable or None
        Called with (done, total) after each batch; None draws a bar on a terminal.

    Returns
    -------
    array of shape (n_keys, D), float32
    """
    vectors = cache.read(keys) if cache else {}
    missing = {key: queries[key] for key in dict.fromkeys(keys) if key not in vectors}
    if missing:
        compute = load()
        with embedding_progress(progress, len(missing)) as advance:
            for block in blocks(list(missing), _BLOCK):
                rows = compute([missing[key] for key in block], batch_size, advance)
                fresh = dict(zip(block, rows, strict=True))
                if cache:
                    cache.write(fresh)
                vectors |= fresh
    return np.stack([vectors[key] for key in keys])


@contextmanager
def embedding_progress(
    callback: Callable[[int, int], None] | None, total: int
) -> Iterator[Callable[[int], None]]:
    """Give what is told of each batch, and tells the callback or draws a bar on a terminal.

    Parameters
    ----------
    callback : callable or None
        Called with (done, total).
    total : int

    Yields
    ------
    callable
        Takes how many more are done.
    """
    if callback is not None:
        done = 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            callback(done, total)

        yield advance
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("embedding", total=total)
        yield lambda n: bar.advance(task, n)
