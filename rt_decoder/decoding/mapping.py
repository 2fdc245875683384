"""Map features linearly to the directions of embedding space that calibration found."""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.scan import row_product

__all__ = ["LinearMap"]


class LinearMap:
    """``z = x @ A + b``, always with one shape and one order of summation.

    Parameters
    ----------
    A : array of shape (n_features, rank)
        Finite; kept as float32.
    b : array of shape (rank,) or None
        Offset that centres the features on their training mean; None is 0.

    Raises
    ------
    ValueError
        If `A` is not two-dimensional, empty or not finite, or `b` does not fit it or is not finite.
    """

    def __init__(self, A: np.ndarray, b: np.ndarray | None = None) -> None:
        A = np.ascontiguousarray(A, np.float32)
        if A.ndim != 2 or A.size == 0:
            raise ValueError(f"need a map of shape (n_features, rank), got {A.shape}")
        if not np.isfinite(A).all():
            raise ValueError("need a finite map, got NaN or infinity; calibrate again")
        b = np.zeros(A.shape[1], np.float32) if b is None else np.ascontiguousarray(b, np.float32)
        if b.shape != (A.shape[1],) or not np.isfinite(b).all():
            raise ValueError(f"need a finite offset of {A.shape[1]} values, got shape {b.shape}")
        self.A = A
        self.b = b
        self._z = np.zeros(A.shape[1], np.float32)

    def replace(self, A: np.ndarray, b: np.ndarray) -> None:
        """Use another map of the same shape from the next `process` on.

        Parameters
        ----------
        A : array of shape (n_features, rank)
            Finite; kept as float32.
        b : array of shape (rank,)
            See the class.

        Raises
        ------
        ValueError
            If it has another shape or is not finite.
        """
        other = LinearMap(A, b)
        if other.A.shape != self.A.shape:
            raise ValueError(f"need a map of shape {self.A.shape}, got {other.A.shape}")
        self.A, self.b = other.A, other.b

    def process(self, values: np.ndarray) -> np.ndarray:
        """Compute z.

        Parameters
        ----------
        values : array of shape (n_features,), float32
            Scaled features.

        Returns
        -------
        array of shape (rank,), float32
            Valid until the next call.

        Raises
        ------
        ValueError
            If the number of features differs.
        """
        if values.shape != (len(self.A),):
            raise ValueError(f"need {len(self.A)} features, got shape {values.shape}")
        row_product(values, self.A, self._z)
        self._z += self.b
        return self._z
