"""Check the arguments of a cleaning stage, their type, shape and range, before it allocates.

Arguments may come from an untrusted model file. Every error names the argument.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from rt_decoder.settings import Kind, number, short

__all__ = ["LARGEST", "SMALLEST", "bound", "chosen", "numbers", "truths", "whole_numbers"]

# Bounds of numbers in calculations: their squares and quotients are still finite.
LARGEST, SMALLEST = 1e50, 1e-50

Shape = tuple[int | None, ...]  # None for a length that the array itself decides


def bound(low: float, *, above: bool = False) -> Kind[float]:
    """Describe a number from `low` to `LARGEST`, or inf for no bound.

    Parameters
    ----------
    low : float
        Smallest number.
    above : bool
        Whether `low` itself is refused.

    Returns
    -------
    Kind
        For `settings.read`.
    """
    finite = number(low, LARGEST, above=above)

    def read(value: object) -> float:
        return math.inf if isinstance(value, float) and value == math.inf else finite.read(value)

    return Kind(f"{finite.what}, or inf", read)


def numbers(
    name: str, value: object, shape: Shape, low: float = -LARGEST, high: float = LARGEST
) -> np.ndarray:
    """Check an argument that is an array of finite numbers.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
        An array, or lists of numbers.
    shape : tuple of int or None
        Required shape; None allows any length.
    low, high : float
        Smallest and largest number allowed.

    Returns
    -------
    array of shape (n, ...), float64
        Of the required shape; a copy only if the type differs.

    Raises
    ------
    ValueError
        If it is not such an array, has another shape, or a number is out of range.
    """
    array = _array(name, value, shape, "fiu", "numbers").astype(np.float64, copy=False)
    if not ((array >= low) & (array <= high)).all():
        raise ValueError(f"need {name} to be finite numbers from {low:g} to {high:g}, got others")
    return array


def whole_numbers(name: str, value: object, shape: Shape, low: int, high: int) -> np.ndarray:
    """Check an argument that is an array of whole numbers.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
        An array, or lists of numbers.
    shape : tuple of int or None
        Required shape; None allows any length.
    low, high : int
        Smallest and largest number allowed.

    Returns
    -------
    array of shape (n, ...), int64
        Of the required shape; a copy only if the type differs.

    Raises
    ------
    ValueError
        If it is not such an array, has another shape, or a number is out of range.
    """
    array = _array(name, value, shape, "iu", "whole numbers")
    if array.size and not (low <= array.min() and array.max() <= high):
        raise ValueError(f"need {name} to be whole numbers from {low} to {high}, got others")
    return array.astype(np.int64, copy=False)


def truths(name: str, value: object, shape: Shape) -> np.ndarray:
    """Check an argument that is an array of booleans.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
        An array, or lists.
    shape : tuple of int or None
        Required shape; None allows any length.

    Returns
    -------
    array of shape (n, ...), bool
        Of the required shape; not copied.

    Raises
    ------
    ValueError
        If it is not such an array, or has another shape.
    """
    return _array(name, value, shape, "b", "booleans").astype(bool, copy=False)


def chosen(name: str, value: object, known: Collection[str]) -> tuple[str, ...]:
    """Check an argument that is a list of names.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
        A list or tuple.
    known : collection of str
        Names allowed.

    Returns
    -------
    tuple of str
        The names, each once.

    Raises
    ------
    ValueError
        If it is not a list of names, or a name is unknown or listed twice.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"need {name} to be a list of names, got {short(value)}")
    unknown = [one for one in value if one not in known]
    if unknown or len(set(value)) != len(value):
        raise ValueError(
            f"need {name} among {', '.join(known) or 'none (there are none)'}, each once, "
            f"got {short(', '.join(unknown or value))}"
        )
    return tuple(value)


def _array(name: str, value: object, shape: Shape, kinds: str, what: str) -> np.ndarray:
    array = value
    if isinstance(value, list | tuple):
        try:
            array = np.array(value)
        except ValueError:  # lists of unequal lengths
            array = None
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise ValueError(f"need {name} to be {what} of shape {_shown(shape)}, got {short(value)}")
    fits = len(shape) == array.ndim and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or (array.size and array.dtype.kind not in kinds):
        raise ValueError(
            f"need {name} to be {what} of shape {_shown(shape)}, "
            f"got {array.dtype} of shape {_shown(array.shape)}"
        )
    return array


def _shown(shape: Shape) -> str:
    lengths = ["any" if length is None else str(length) for length in shape]
    return f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})"
