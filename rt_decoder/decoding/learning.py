r"""Let events with labels join the map of a group: the sums of a ridge, and the map that they give.

In the space in which the person's features Z are whitened and centred, with the group's map A and its
Gram matrix with the penalty, :math:`P = \kappa (G + \alpha I)`,

.. math:: A' = (Z^\top Z + P)^{-1} (Z^\top Y + P A) = A + (Z^\top Z + P)^{-1} (Z^\top Y - Z^\top Z A)

which is the ridge of all events, a person's for one each and the group's for :math:`\kappa` each: the
group's cross products are :math:`(G + \alpha I) A`, so that P is all that the model keeps of them.
Nothing is chosen here.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.decoding.features import scale_features
from rt_decoder.model import Model

__all__ = ["LabelSums"]


class LabelSums:
    """Sums over the events of one person whose items are known.

    Features are clamped about the centre that is known when their event joins, and summed in the units
    of the first one; centre, scale and whitening of later alignments then apply exactly.

    Parameters
    ----------
    model : Model
        With `prior_gram` and `target_lengths`.

    Attributes
    ----------
    n : int
        Events so far.

    Raises
    ------
    ValueError
        If the model does not learn.
    """

    def __init__(self, model: Model) -> None:
        if not model.learns:
            raise ValueError(
                "need a group's model that learns (rt-calibrate pool makes one), got another"
            )
        vectors, basis = (np.asarray(x, np.float64) for x in (model.vectors, model.basis))
        self._targets = model.target_lengths[:, None] * (vectors @ basis.T)  # (V, r)
        self._prior = np.asarray(model.prior_gram, np.float64)
        self._clamp = model.recipe.features.clamp
        self.reset()

    def reset(self) -> None:
        """Forget all events."""
        p, r = len(self._prior), self._targets.shape[1]
        self.n = 0
        self._center, self._scale = np.zeros(p), np.ones(p)
        self._sum, self._target_sum = np.zeros(p), np.zeros(r)
        self._gram, self._cross = np.zeros((p, p)), np.zeros((p, r))

    def add(
        self, features: np.ndarray, items: np.ndarray, center: np.ndarray, scale: np.ndarray
    ) -> None:
        """Add events.

        Parameters
        ----------
        features : array of shape (n, p), float64
            Unscaled.
        items : array of shape (n,), int
            Number of the item of each.
        center, scale : arrays of shape (p,)
            Of the person's features, as far as they are known.
        """
        if not len(items):
            return
        if self.n == 0:
            self._center, self._scale = center.copy(), scale.copy()
        clamped = scale_features(features, center, scale, self._clamp).astype(np.float64)
        X = (clamped * scale + (center - self._center)) / self._scale
        Y = self._targets[items]
        self.n += len(items)
        self._sum += X.sum(axis=0)
        self._target_sum += Y.sum(axis=0)
        self._gram += X.T @ X
        self._cross += X.T @ Y

    def learned(self, whitened: np.ndarray, W: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Compute the map of whitened features by the group's and all events so far.

        Parameters
        ----------
        whitened : array of shape (p, r)
            The group's, as of `alignment.whitened_weights`.
        W : array of shape (p, p)
            Whitens the person's features.
        scale : array of shape (p,)
            Of the features that W whitens.

        Returns
        -------
        array of shape (p, r), float64
            `whitened` itself without events.

        Raises
        ------
        ValueError
            If the sums have no unique solution.
        """
        if self.n == 0:
            return whitened
        turn = (self._scale / scale)[:, None] * W
        mean = self._sum / self.n
        gram = turn.T @ (self._gram - self.n * np.outer(mean, mean)) @ turn
        cross = turn.T @ (self._cross - np.outer(mean, self._target_sum))
        return np.asarray(
            whitened + np.linalg.solve(gram + self._prior, cross - gram @ whitened), np.float64
        )
