"""Read vectors that were made by hand: a name and numbers for every item."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open

from rt_decoder.files.damage import first_line
from rt_decoder.timing.items import fold_key, some

__all__ = ["pick_vectors", "read_vectors"]

_DELIMITERS = {".tsv": "\t", ".csv": ","}
_NAMES = ("items", "names")  # of the array of names in npz; "items" also in safetensors


def read_vectors(path: str | Path) -> dict[str, np.ndarray]:
    """Read named vectors from a file.

    ============  =====================================================================
    ending        content
    ============  =====================================================================
    .tsv, .csv    a header; the column ``name``, else the first one, has names, all
                  others numbers
    .npz          arrays ``items`` (or ``names``) (V,) and ``vectors`` (V, D); or an
                  array (D,) for each name
    .safetensors  as `rt-calibrate embed` writes it: ``vectors`` (V, D), and the names as
                  a JSON list in the metadata ``items``; or a tensor (D,) for each name
    ============  =====================================================================

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to array of shape (D,), float64

    Raises
    ------
    ValueError
        If the file is of another kind or damaged; if a name is empty or comes twice; if vectors
        differ in length, are no finite numbers, or are all equal.
    OSError
        If the file cannot be read.
    """
    path = Path(path).expanduser()
    kind = path.suffix.lower()
    if kind not in (*_DELIMITERS, ".npz", ".safetensors"):
        raise ValueError(
            f"need vectors in .tsv, .csv, .npz or .safetensors, got {path.name or str(path)!r}"
        )
    if not path.is_file():
        raise OSError(f"need a file of vectors, got no file {path.name}")
    if kind in _DELIMITERS:
        names, rows = _read_table(path, _DELIMITERS[kind])
    else:
        names, rows = _read_npz(path) if kind == ".npz" else _read_safetensors(path)
    return _checked(path.name, names, rows)


def pick_vectors(vectors: dict[str, np.ndarray], items: Sequence[str]) -> np.ndarray:
    """Find the vector of each item, by its name, else by a name that differs in case alone.

    Parameters
    ----------
    vectors : dict of str to array of shape (D,)
        As from `read_vectors`.
    items : sequence of str

    Returns
    -------
    array of shape (n_items, D), float64

    Raises
    ------
    ValueError
        If an item has no vector, or several whose names differ in case.
    """
    folded: dict[str, list[str]] = {}
    for name in vectors:
        folded.setdefault(fold_key(name), []).append(name)
    missing, found = [], []
    for item in items:
        near = [item] if item in vectors else folded.get(fold_key(item), [])
        if len(near) > 1:
            raise ValueError(f"need one vector for {item!r}, got those of {' and '.join(near)}")
        found += near
        missing += [] if near else [item]
    if missing:
        raise ValueError(
            f"need a vector for every item, got none for {some(missing)}; names of vectors are "
            f"{some(list(vectors))}"
        )
    return np.stack([vectors[name] for name in found])


def _read_table(path: Path, delimiter: str) -> tuple[list[str], list[np.ndarray]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path.name}: need a table in UTF-8, got another: {first_line(error)}"
        ) from None
    if len(table) < 2 or len(table[0]) < 2:
        raise ValueError(
            f"{path.name}: need a header, a column of names and one of numbers or more"
        )
    header = [cell.strip() for cell in table[0]]
    at = header.index("name") if "name" in header else 0
    names, rows = [], []
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(header):
            raise ValueError(f"{path.name}, row {number}: need {len(header)} cells, got {len(row)}")
        names.append(row.pop(at).strip())
        try:
            rows.append(np.array([float(cell) for cell in row]))
        except ValueError as error:
            raise ValueError(
                f"{path.name}, row {number}: need numbers beside {names[-1]!r}: {error}"
            ) from None
    return names, rows


def _read_npz(path: Path) -> tuple[list[str], list[np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except (ValueError, BadZipFile, EOFError, KeyError) as error:
        raise ValueError(
            f"{path.name}: need a whole .npz of numbers and texts: {first_line(error)}"
        ) from None
    named = next((name for name in _NAMES if name in arrays and "vectors" in arrays), None)
    if named is None:
        return list(arrays), list(arrays.values())
    return [str(name) for name in arrays[named].ravel()], _rows(path, arrays["vectors"])


def _read_safetensors(path: Path) -> tuple[list[str], list[np.ndarray]]:
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        items = json.loads(about["items"]) if "items" in about else None
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"{path.name}: need whole safetensors: {first_line(error)}") from None
    if "vectors" in arrays and isinstance(items, list):
        return [str(item) for item in items], _rows(path, arrays["vectors"])
    return list(arrays), list(arrays.values())


def _rows(path: Path, table: np.ndarray) -> list[np.ndarray]:
    if table.ndim != 2:
        raise ValueError(f"{path.name}: need vectors of shape (V, D), got {table.shape}")
    return list(table)


def _checked(file: str, names: Sequence[str], rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    if len(names) != len(rows) or len(names) < 2:
        raise ValueError(
            f"{file}: need two vectors or more, each with a name, got {len(rows)} vectors and "
            f"{len(names)} names"
        )
    found: dict[str, np.ndarray] = {}
    for name, row in zip(names, rows, strict=True):
        if not name or name in found:
            got = f"{name!r} twice" if name else "an empty one"
            raise ValueError(f"{file}: need each name once, got {got}")
        if row.ndim != 1 or row.size == 0 or row.dtype.kind not in "fiub":
            raise ValueError(
                f"{file}: need a row of numbers for {name!r}, got {row.dtype} {row.shape}"
            )
        if row.shape != rows[0].shape:
            raise ValueError(
                f"{file}: need vectors of one length, got {len(row)} numbers for {name!r} and "
                f"{len(rows[0])} for {names[0]!r}"
            )
        if not np.isfinite(row).all():
            raise ValueError(f"{file}: need finite numbers for {name!r}, got NaN or infinity")
        found[name] = row.astype(np.float64)
    if all(np.array_equal(row, rows[0]) for row in rows):
        raise ValueError(f"{file}: need different vectors, got {len(rows)} that are all equal")
    return found
