r"""Rows that are left out of a ridge together, and what the fit without them leaves of them.

With :math:`S_B = Z_B\,\mathrm{diag}(1 / (w + \alpha))^{1/2}` of the rows of a block, the part of the hat
matrix that it needs is :math:`H_{BB} = S_B S_B^\top + \tfrac1n 1 1^\top`: symmetric, so that only half of
it is computed, on what fits the cache. Of fewer items than features, with the root :math:`R` of their
Gram matrix, :math:`I - H_{BB} = \alpha S_B S_B^\top - \tfrac1n 1 1^\top` with :math:`S_B = R_B\,
\mathrm{diag}(1 / (w + \alpha))^{1/2}`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["LeftOutRows"]

_BATCH = 1 << 19  # float64 values gathered at once: 4 MiB, to stay in cache
_SMALL = 128  # rows up to which an inverse is faster than a solve, by 3 times for 40


class LeftOutRows:
    """Blocks of rows that are left out, and which of them are tested.

    Parameters
    ----------
    held : sequence of (array of shape (n_left_out,), int)
        Row numbers of each block, tested ones first, and how many are tested.
    lib : module
        numpy or torch.
    put : callable
        Moves an array to where `lib` computes.
    """

    def __init__(
        self, held: Sequence[tuple[np.ndarray, int]], lib: Any, put: Callable[[np.ndarray], Any]
    ) -> None:
        self._lib = lib
        alike: dict[tuple[int, int], list[np.ndarray]] = {}
        for block, n_test in held:
            alike.setdefault((len(block), n_test), []).append(block)
        self._batches = []
        for (size, n_test), blocks in sorted(alike.items()):
            step = max(1, _BATCH // size**2)
            for first in range(0, len(blocks), step):
                same = np.stack(blocks[first : first + step])
                rows = np.sort(same, axis=1)
                at = np.stack(
                    [np.searchsorted(*pair) for pair in zip(rows, same[:, :n_test], strict=True)]
                )
                self._batches.append(
                    ([_slice(one) for one in rows], put(rows), put(same[:, :n_test]), put(at))
                )

    def residuals(self, z: Any, shrink: Any, residual: Any, dual: bool = False) -> Any:
        """Compute what a fit without its own block leaves of each tested row.

        Parameters
        ----------
        z : array of shape (n, r)
        shrink : array of shape (r,)
            1 / (w + alpha) of the fit of all rows, or alpha times that.
        residual : array of shape (n, n_targets)
            What that fit leaves.
        dual : bool
            ``z`` and ``shrink`` make the rest of the identity, not the hat matrix.

        Returns
        -------
        array of shape (n, n_targets)
        """
        left_out, root = self._lib.empty_like(residual), shrink**0.5
        for places, rows, tested, at in self._batches:
            system = self._lib.empty(
                (*rows.shape, rows.shape[1]), dtype=z.dtype, **_device(self._lib, z)
            )
            for k, place in enumerate(places):
                part = z[rows[k] if place is None else place] * root
                self._lib.matmul(part, part.T, out=system[k])
            system -= (1 if dual else -1) / len(z)
            if not dual:
                system *= -1
                diagonal = self._lib.arange(rows.shape[1])
                system[:, diagonal, diagonal] += 1
            each = self._lib.arange(len(rows))[:, None]
            if rows.shape[1] <= _SMALL:
                left_out[tested] = self._lib.linalg.inv(system)[each, at] @ residual[rows]
            else:
                left_out[tested] = self._lib.linalg.solve(system, residual[rows])[each, at]
        return left_out


def _slice(rows: np.ndarray) -> slice | None:
    """Neighbouring rows as a slice, which needs no copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else None


def _device(lib: Any, like: Any) -> dict[str, Any]:
    return {} if lib is np else {"device": like.device}
