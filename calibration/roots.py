r"""Roots of a ridge: by all eigenvectors of its Gram matrix, or by Cholesky at one penalty.

With the Gram matrix :math:`G = X^\top X` or, of fewer items than features, :math:`G = X X^\top`, a root
is :math:`R` with :math:`(G + \alpha I)^{-1} = R\,\mathrm{diag}(1 / (w + \alpha))\,R^\top`. Eigenvectors
with their eigenvalues :math:`w` are one for every penalty. At a single one
:math:`\sqrt\alpha L^{-\top}` with :math:`w = 0` is another, where :math:`L L^\top = G + \alpha I`; it
takes an eighth of the time.
"""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from calibration.left_out_rows import LeftOutRows

__all__ = ["Root", "Roots", "library"]

_MOST_FACTORED = 8  # penalties, which take as long as to decompose
_STEP = 256  # rows of a triangular matrix multiplied at once
_CONDITION = 1e7  # trace over penalty, up to which Cholesky leaves nine digits


class Root(NamedTuple):
    """Root of rank r for n items and p centred features."""

    z: Any  # (n, r) X R or, of fewer items than features, R
    back: Any  # (p, r) R, or (p, n) the features
    w: Any  # (r,) at least 0
    dual: bool  # fewer items than features
    upper: bool = False  # z is upper triangular

    def project(self, Y: Any, cross: Any = None) -> Any:
        """Return cross products (r, n_targets) with centred targets (n, n_targets), and others'."""
        own = self._times(Y, transposed=True)
        return own if cross is None else own + self.back.T @ cross

    def left_out(self, Y: Any, projected: Any, alpha: float, blocks: LeftOutRows) -> Any:
        """Predict every row by the fit without its block.

        Parameters
        ----------
        Y : array of shape (n, n_targets)
            Centred targets.
        projected : array of shape (r, n_targets)
            Of `project`.
        alpha : float
        blocks : LeftOutRows

        Returns
        -------
        array of shape (n, n_targets)
        """
        shrink = 1 / (self.w + alpha)
        residual = self._times((alpha if self.dual else -1) * shrink[:, None] * projected)
        if self.dual:
            return Y - blocks.residuals(self.z, alpha * shrink, residual, True)
        residual += Y
        return Y - blocks.residuals(self.z, shrink, residual)

    def weights(self, projected: Any, alpha: float) -> Any:
        """Return the map (p, n_targets)."""
        core = projected / (self.w + alpha)[:, None]
        return self.back @ (self._times(core) if self.dual else core)

    def of_new(self, X: Any) -> Any:
        """Return ``z`` of other items, centred likewise: `projected`, shrunk, predicts them."""
        return X @ self.back @ self.z if self.dual else X @ self.back

    def _times(self, columns: Any, transposed: bool = False) -> Any:
        """Multiply by ``z``, of which half may be 0."""
        if not self.upper:
            return (self.z.T if transposed else self.z) @ columns
        product = 0 * columns
        for first in range(0, len(columns), _STEP):
            last = first + _STEP
            if transposed:
                product[first:last] = self.z[:last, first:last].T @ columns[:last]
            else:
                product[first:last] = self.z[first:last, first:] @ columns[first:]
        return product


class Roots:
    """Roots of one Gram matrix, each made when it is asked for.

    Parameters
    ----------
    lib : module
        numpy or torch.
    gram : array of shape (n, n) if `dual`, else (p, p)
    X : array of shape (n, p)
        Centred features.
    dual : bool

    Attributes
    ----------
    scale : float
        Mean eigenvalue.
    """

    def __init__(self, lib: Any, gram: Any, X: Any, dual: bool) -> None:
        self._lib, self._gram, self._X, self._dual = lib, gram, X, dual
        self.scale = float(gram.trace()) / len(gram)
        self._every: Root | None = None
        self._one: tuple[float, Root | None] = (0.0, None)  # the last penalty and its root
        self._n_factored = 0

    def every(self) -> Root:
        """Decompose: a root for every penalty."""
        if self._every is None:
            if self._lib is np:  # numpy's own would take float32 to float64
                w, R = linalg.eigh(self._gram, driver="evd", check_finite=False)
                R = np.ascontiguousarray(R)
            else:
                w, R = self._lib.linalg.eigh(self._gram)
            self._every = self._root(R, w.clip(0))
            self._gram = self._X = None  # of no more use
            self._one = 0.0, None
        return self._every

    def at(self, alpha: float) -> Root:
        """Factor for one penalty, or decompose after many or where it is too small for all digits."""
        if self._every is None and self._one[0] != alpha:
            self._n_factored += 1
            safe = _CONDITION * alpha > self.scale * len(self._gram)
            found = safe and self._n_factored <= _MOST_FACTORED
            self._one = alpha, self._factored(alpha) if found else None
        one = self._one[1] if self._every is None else None
        return one or self.every()

    def in_float32(self) -> Roots:
        """Decompose in float32, in half the time, features divided by the root of `scale`."""
        rough, dual = copy(self), self._dual
        if self._every is None:
            rough._gram = _rounded(self._gram / self.scale)
            rough._X = self._X if dual else _rounded(self._X / self.scale**0.5)
            rough.every()
        else:
            z, back, w, *_ = self._every
            z = _rounded(z if dual else z / self.scale**0.5)
            rough._every = Root(z, back if dual else _rounded(back), _rounded(w / self.scale), dual)
        return rough

    def _factored(self, alpha: float) -> Root | None:
        """Root of one penalty; None where the matrix is not positive definite."""
        ridged, diagonal = self._gram + 0, self._lib.arange(len(self._gram))
        ridged[diagonal, diagonal] += alpha
        if self._lib is np:
            L, failed = lapack.dpotrf(ridged.T, lower=1, clean=1, overwrite_a=1)
            inverse = L if failed else lapack.dtrtri(L, lower=1, overwrite_c=1)[0]
        else:
            L, failed = self._lib.linalg.cholesky_ex(ridged)
            one = self._lib.eye(len(L), dtype=L.dtype, device=L.device)
            inverse = L if failed else self._lib.linalg.solve_triangular(L, one, upper=False)
        inverse *= alpha**0.5
        return None if failed else self._root(inverse.T, 0 * inverse[0], True)

    def _root(self, R: Any, w: Any, upper: bool = False) -> Root:
        if self._dual:
            return Root(R, self._X.T, w, True, upper)
        return Root(self._X @ R, R, w, False)


def _rounded(array: Any) -> Any:
    """Return an array of numpy or torch in float32."""
    return array.astype(np.float32) if isinstance(array, np.ndarray) else array.float()


def library(name: str) -> tuple[Any, Any]:
    """Find the library that computes, and its device.

    Parameters
    ----------
    name : {"auto", "numpy", "torch"}

    Returns
    -------
    lib : module
        numpy or torch.
    device : str or None
        Of torch.

    Raises
    ------
    ValueError
        If the name is another.
    ImportError
        If "torch" is not installed.
    """
    if name == "numpy":
        return np, None
    if name not in ("auto", "torch"):
        raise ValueError(f"need a backend among auto, numpy, torch, got {name!r}")
    try:
        import torch
    except ImportError:
        if name == "auto":
            return np, None
        raise
    if torch.cuda.is_available():
        return torch, "cuda"
    return (np, None) if name == "auto" else (torch, "cpu")
