"""Numerical cores in numba: pure functions of samples and state, tested against oracles."""
