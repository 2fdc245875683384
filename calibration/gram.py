r"""Ridge regression with exact leave-one-group-out predictions from one eigendecomposition.

With centred features :math:`X_c`, :math:`w, V` from ``eigh`` of the smaller Gram matrix and
:math:`Z = X_c V`, the hat matrix of ridge with an unpenalised intercept is

.. math:: H(\alpha) = \tfrac1n 1 1^\top + Z\,\mathrm{diag}\big(1 / (w + \alpha)\big)\,Z^\top ,

and for a block :math:`B` left out of the fit (a group with its purged neighbours) the held-out
residual is :math:`(I - H_{BB})^{-1} E_B`, with the residuals :math:`E = Y - H Y` of the full fit:
nothing is refitted, for any number of groups, alphas and targets. Layers of a language model and
permuted labels are just more columns of :math:`Y`. This module knows nothing of words or scores.

Fixed data of other people, centred for themselves, join as a prior: their Gram matrix :math:`G_0`
is added to :math:`X_c^\top X_c` before the decomposition, and their cross products :math:`C_0` with
the targets to :math:`X_c^\top Y_c`. Both stay when a block is left out, so that the same solve is
exact.

References
----------
Golub, Heath, Wahba 1979, doi:10.1080/00401706.1979.10489751 (leave-one-out from one
decomposition).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from calibration.left_out_rows import LeftOutRows
from calibration.ridge_checks import (
    checked,
    checked_alpha,
    fitting,
    held_out,
    train_means,
)
from calibration.splits import Fold

__all__ = ["RidgeGram"]


class RidgeGram:
    """One eigendecomposition of the features, shared by all targets, alphas and folds.

    Parameters
    ----------
    X : array of shape (n, p)
        Features of n items, finite; computed in float64.
    backend : {"auto", "numpy", "torch"}
        "torch" computes on a GPU if there is one, else on the CPU; "auto" is torch if there is a
        GPU, else numpy.
    prior : array of shape (p, p) or None
        Gram matrix of other people's centred features, symmetric, positive semidefinite; their
        cross products are passed with the targets, as `cross` (p, n_targets).
    gram : array of shape (p, p) or (n, n), or None
        Gram matrix of the centred features where it is known, or of the items if p > n and there is
        no prior.

    Attributes
    ----------
    n, p : int
    x_mean : array of shape (p,), float64

    Raises
    ------
    ValueError
        If `X` is not 2-D, empty or not finite, the prior does not fit it, or the backend is
        unknown.
    ImportError
        If the backend "torch" is not installed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> Y = X @ rng.normal(size=(3, 2)) + 5
    >>> W, intercept = RidgeGram(X, backend="numpy").coef(Y, alpha=1e-9)
    >>> np.allclose(X @ W + intercept, Y)
    True
    """

    def __init__(
        self,
        X: np.ndarray,
        backend: str = "auto",
        prior: np.ndarray | None = None,
        gram: np.ndarray | None = None,
    ) -> None:
        X = checked(X, "X")
        self._lib, self._device = _backend(backend)
        self.n, self.p = X.shape
        self.x_mean = X.mean(axis=0)
        centred = self._put(X - self.x_mean)
        self._prior = prior is not None
        self._dual = self.p > self.n and not self._prior
        if not self._dual:
            known = None if gram is None else self._put(fitting(gram, (self.p, self.p), "Gram"))
            gram = centred.T @ centred if known is None else known
            if prior is not None:
                gram = gram + self._put(fitting(prior, (self.p, self.p), "prior"))
            w, self._back = self._lib.linalg.eigh(gram)
            self._z, self._w = centred @ self._back, w.clip(0)
        else:
            known = None if gram is None else self._put(fitting(gram, (self.n, self.n), "Gram"))
            w, u = self._lib.linalg.eigh(centred @ centred.T if known is None else known)
            # Centring makes one eigenvalue 0 by construction; `coef` divides by them.
            keep = w > self.n * np.finfo(float).eps * w.max()
            self._w = w[keep]
            self._z, self._back = u[:, keep] * self._w**0.5, centred.T

    @property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of the centred Gram matrix with its prior, ascending; without, min(n, p)."""
        return self._take(self._w)

    def out_of_fold(
        self,
        Y: np.ndarray,
        folds: Sequence[Fold],
        alpha: float,
        centred: bool = False,
        cross: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict every item by the fit that did not see its fold.

        Parameters
        ----------
        Y : array of shape (n, n_targets)
        folds : sequence of (train, test)
            As from `splits.leave_group_out`: every item is tested exactly once; items in neither
            part of a fold are purged from it.
        alpha : float
            Penalty, above 0.
        centred : bool
            Return predictions as deviations from the mean target of their own training items.
        cross : array of shape (p, n_targets) or None
            Other people's cross products with the targets; None is 0.

        Returns
        -------
        array of shape (n, n_targets), float64

        Raises
        ------
        ValueError
            If the targets or `alpha` are invalid, or the folds do not test every item once.
        """
        return next(iter(self.sweep(Y, folds, [alpha], centred, cross)))

    def sweep(
        self,
        Y: np.ndarray,
        folds: Sequence[Fold],
        alphas: Sequence[float] | np.ndarray,
        centred: bool = False,
        cross: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield the predictions of `out_of_fold` for one alpha at a time, to save memory.

        Parameters
        ----------
        Y : array of shape (n, n_targets)
        folds : sequence of (train, test)
            As for `out_of_fold`.
        alphas : sequence of float or array of shape (n_alphas,)
            Penalties, above 0.
        centred : bool
            As for `out_of_fold`.
        cross : array of shape (p, n_targets) or None
            As for `out_of_fold`.

        Yields
        ------
        array of shape (n, n_targets), float64

        Raises
        ------
        ValueError
            If the targets or an alpha are invalid, or the folds do not test every item once.
        """
        Y = self._checked_targets(Y)
        held = [held_out(train, test, self.n) for train, test in folds]
        tested = np.concatenate([block[:n_test] for block, n_test in held])
        if not np.array_equal(np.sort(tested), np.arange(self.n)):
            raise ValueError(f"need folds that test each of {self.n} items exactly once")
        y_mean = Y.mean(axis=0)
        offset = y_mean - train_means(Y, held) if centred else y_mean
        residual_of_mean = self._put(Y - y_mean)
        projected = self._projected(residual_of_mean, cross)
        blocks = LeftOutRows(held, self._lib, self._put)
        for alpha in alphas:
            shrink = 1 / (self._w + checked_alpha(alpha))
            residual = self._z @ (shrink[:, None] * projected)
            self._lib.subtract(residual_of_mean, residual, out=residual)
            left_out = blocks.residuals(self._z, shrink, residual)
            yield self._take(residual_of_mean - left_out) + offset

    def coef(
        self, Y: np.ndarray, alpha: float, cross: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit all items: ``Y ~ X @ W + intercept``.

        Parameters
        ----------
        Y : array of shape (n, n_targets)
        alpha : float
            Penalty, above 0.
        cross : array of shape (p, n_targets) or None
            As for `out_of_fold`.

        Returns
        -------
        W : array of shape (p, n_targets), float64
        intercept : array of shape (n_targets,), float64
            ``Y.mean(0) - x_mean @ W``; subtract ``Y.mean(0)`` for centred predictions.

        Raises
        ------
        ValueError
            If the targets or `alpha` are invalid.
        """
        Y = self._checked_targets(Y)
        y_mean = Y.mean(axis=0)
        core = self._projected(self._put(Y - y_mean), cross)
        core = core / (self._w + checked_alpha(alpha))[:, None]
        if self._dual:
            core = self._z @ (core / self._w[:, None])
        W = self._take(self._back @ core)
        return W, y_mean - self.x_mean @ W

    def sweep_new(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        alphas: Sequence[float] | np.ndarray,
        cross: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield predictions of new items for one alpha at a time, as deviations from the mean target.

        Parameters
        ----------
        X : array of shape (n_new, p)
        Y : array of shape (n, n_targets)
            Of the items that the ridge was made of.
        alphas : sequence of float or array of shape (n_alphas,)
            Penalties, above 0.
        cross : array of shape (p, n_targets) or None
            As for `out_of_fold`.

        Yields
        ------
        array of shape (n_new, n_targets), float64

        Raises
        ------
        ValueError
            If the features, the targets or an alpha are invalid.
        """
        Y = self._checked_targets(Y)
        core = self._projected(self._put(Y - Y.mean(axis=0)), cross)
        if self._dual:
            core = core / self._w[:, None]
            z = self._put(checked(X, "X") - self.x_mean) @ self._back @ self._z
        else:
            z = self._put(checked(X, "X") - self.x_mean) @ self._back
        for alpha in alphas:
            yield self._take(z @ (core / (self._w + checked_alpha(alpha))[:, None]))

    def _projected(self, centred: Any, cross: np.ndarray | None) -> Any:
        """Cross products with centred targets, own and other people's, on the eigenvectors."""
        own = self._z.T @ centred
        if cross is None:
            return own
        if not self._prior:
            raise ValueError("need a prior Gram matrix for the cross products, got none")
        others = fitting(cross, (self.p, centred.shape[1]), "table of cross products")
        return own + self._back.T @ self._put(others)

    def _checked_targets(self, Y: np.ndarray) -> np.ndarray:
        Y = checked(Y, "Y")
        if len(Y) != self.n:
            raise ValueError(f"need targets of {self.n} items, got {len(Y)}")
        return Y

    def _put(self, array: np.ndarray) -> Any:
        if self._lib is np:
            return array
        return self._lib.as_tensor(array, device=self._device)

    def _take(self, array: Any) -> np.ndarray:
        return array if self._lib is np else array.cpu().numpy()


def _backend(name: str) -> tuple[Any, Any]:
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
