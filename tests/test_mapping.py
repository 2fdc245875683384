"""The map against numpy in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from rt_decoder.decoding.mapping import LinearMap
from tests.contract import allocated


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 8), (1601, 33), (6400, 64)])
def test_is_a_matrix_product(shape):
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(shape[0], np.float32)
    z = LinearMap(A).process(x)
    assert z.dtype == np.float32
    exact = x.astype(float) @ A.astype(float)
    assert np.abs(z - exact).max() <= 1e-6 * np.sqrt(shape[0]) * (np.abs(x) @ np.abs(A)).max()


def test_sums_in_order():
    # float32 addition is not associative: only row by row gives exactly this
    A = np.array([[1e8], [1.0], [-1e8], [1.0], [1.0], [1e8], [-1e8]], np.float32)
    assert LinearMap(A).process(np.ones(7, np.float32))[0] == 0.0
    assert LinearMap(A[[0, 2, 1, 3, 4, 5, 6]]).process(np.ones(7, np.float32))[0] == 0.0
    assert LinearMap(A[:5]).process(np.ones(5, np.float32))[0] == 2.0


def test_offset_is_added():
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((5, 3), np.float32), np.array([1.0, -2.0, 3.0], np.float32)
    x = rng.standard_normal(5, np.float32)
    assert np.array_equal(LinearMap(A, b).process(x), LinearMap(A).process(x) + b)


@pytest.mark.parametrize("b", [np.zeros(2), np.full(3, np.inf)])
def test_bad_offsets_are_refused(b):
    with pytest.raises(ValueError, match="offset of 3"):
        LinearMap(np.ones((5, 3)), b)


def test_nan_is_not_hidden():
    z = LinearMap(np.zeros((4, 2))).process(np.array([0, np.nan, 0, 0], np.float32))
    assert np.isnan(z).all()


def test_no_allocation():
    stage = LinearMap(np.ones((1000, 64)))
    x = np.ones(1000, np.float32)
    stays, peak = allocated(lambda: stage.process(x), 500)
    assert stays < 512
    assert peak < 2048


@pytest.mark.parametrize("A", [np.zeros(3), np.zeros((0, 3)), np.full((2, 2), np.nan)])
def test_bad_maps_are_refused(A):
    with pytest.raises(ValueError, match="need a"):
        LinearMap(A)


def test_wrong_number_of_features_is_refused():
    with pytest.raises(ValueError, match="need 4 features"):
        LinearMap(np.ones((4, 2))).process(np.ones(5, np.float32))
