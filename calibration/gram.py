r"""Ridge regression with exact leave-one-group-out predictions from one eigendecomposition.

With centred features :math:`X_c`, :math:`w, V` from ``eigh`` of :math:`X_c^\top X_c` and
:math:`Z = X_c V`, the hat matrix of ridge with an unpenalised intercept is

.. math:: H(\alpha) = \tfrac1n 1 1^\top + Z\,\mathrm{diag}\big(1 / (w + \alpha)\big)\,Z^\top ,

and for a block :math:`B` left out of the fit (a group with its purged neighbours) the held-out
residual is :math:`(I - H_{BB})^{-1} E_B`, with the residuals :math:`E = Y - H Y` of the full fit:
nothing is refitted, for any number of groups, alphas and targets. Of fewer items than features,
:math:`I - H = \alpha (X_c X_c^\top + \alpha I)^{-1} - \tfrac1n 1 1^\top`. Layers of a language model and
permuted labels are just more columns of :math:`Y`. Until many alphas are asked for, each is factored
alone (`roots`) and nothing decomposed. This module knows nothing of words or scores.

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
from copy import copy
from typing import Any

import numpy as np

from calibration.left_out_rows import LeftOutRows
from calibration.ridge_checks import (
    checked,
    checked_alpha,
    fitting,
    held_once,
    train_means,
)
from calibration.roots import Roots, library
from calibration.splits import Fold

__all__ = ["FEW_ALPHAS", "RidgeGram"]

FEW_ALPHAS = 4  # of a sweep, which are factored one by one


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
    scale : float
        Mean eigenvalue of the Gram matrix, 0 of constant features.

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
        self._lib, self._device = library(backend)
        self._type: type[np.floating] = np.float64
        self.n, self.p = X.shape
        self.x_mean = X.mean(axis=0)
        centred = self._put(X - self.x_mean)
        self._prior = prior is not None
        dual = self.p > self.n and not self._prior
        size = self.n if dual else self.p
        if gram is None:
            known = centred @ centred.T if dual else centred.T @ centred
        else:
            known = self._put(fitting(gram, (size, size), "Gram"))
        if prior is not None:
            known = known + self._put(fitting(prior, (size, size), "prior"))
        self._roots = Roots(self._lib, known, centred, dual)
        self.scale = self._roots.scale

    @property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of the centred Gram matrix with its prior, ascending; without, min(n, p)."""
        root = self._roots.every()
        if not root.dual:
            return self._take(root.w)
        # Centring makes one 0 by construction.
        return self._take(root.w[root.w > self.n * np.finfo(float).eps * root.w.max()])

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
        Y, held = self._checked_targets(Y), held_once(folds, self.n)
        y_mean = Y.mean(axis=0)
        offset = y_mean - train_means(Y, held) if centred else y_mean
        offset = offset.astype(self._type, copy=False)
        targets, cross = self._put(Y - y_mean), self._checked_cross(cross, Y)
        blocks, root = LeftOutRows(held, self._lib, self._put), None
        if len(alphas) > FEW_ALPHAS:
            self._roots.every()
        for alpha in map(checked_alpha, alphas):
            last, root = root, self._roots.at(alpha)
            if root is not last:
                projected = root.project(targets, cross)
            yield self._take(root.left_out(targets, projected, alpha, blocks)) + offset

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
        root = self._roots.at(checked_alpha(alpha))
        projected = root.project(self._put(Y - y_mean), self._checked_cross(cross, Y))
        W = self._take(root.weights(projected, alpha))
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
        root = self._roots.every() if len(alphas) > 1 else self._roots.at(checked_alpha(alphas[0]))
        projected = root.project(self._put(Y - Y.mean(axis=0)), self._checked_cross(cross, Y))
        z = root.of_new(self._put(checked(X, "X") - self.x_mean))
        for alpha in alphas:
            yield self._take(z @ (projected / (root.w + checked_alpha(alpha))[:, None]))

    def in_float32(self) -> RidgeGram:
        """Return a ridge that sweeps in float32, in half the time: to compare alphas, never to report.

        It is that of features divided by the root of `scale`; alphas have to be, by `scale`.
        """
        rough = copy(self)
        rough._roots, rough._type = self._roots.in_float32(), np.float32
        return rough

    def _checked_targets(self, Y: np.ndarray) -> np.ndarray:
        Y = checked(Y, "Y")
        if len(Y) != self.n:
            raise ValueError(f"need targets of {self.n} items, got {len(Y)}")
        return Y

    def _checked_cross(self, cross: np.ndarray | None, Y: np.ndarray) -> Any:
        if cross is None:
            return None
        if not self._prior:
            raise ValueError("need a prior Gram matrix for the cross products, got none")
        return self._put(fitting(cross, (self.p, Y.shape[1]), "table of cross products"))

    def _put(self, array: np.ndarray) -> Any:
        if array.dtype.kind == "f":
            array = array.astype(self._type, copy=False)
        return array if self._lib is np else self._lib.as_tensor(array, device=self._device)

    def _take(self, array: Any) -> np.ndarray:
        return array if self._lib is np else array.cpu().numpy()
