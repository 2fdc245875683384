"""Designs of noise, and how `eval_nulls.py` fits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.design import Design, draft_model
from calibration.fit import fit_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo


def in_runs(rng: np.random.Generator, n: int, category: np.ndarray) -> np.ndarray:
    """Say n words in runs of 4 to 8 of one category, never twice the same category in a row."""
    words, last = list[int](), -1
    while len(words) < n:
        last = int(rng.choice(np.setdiff1d(np.unique(category), [last])))
        words += rng.choice(np.flatnonzero(category == last), rng.integers(4, 9)).tolist()
    return np.array(words[:n])


def noise(rng: np.random.Generator, n: int, p: int, memory: float) -> np.ndarray:
    """Stationary AR(1) noise (n, p)."""
    rows = rng.normal(size=(n, p))
    for i in range(1, n):
        rows[i] = memory * rows[i - 1] + np.sqrt(1 - memory**2) * rows[i]
    return rows


def design_of(
    X: np.ndarray,
    labels: Sequence[str],
    pace: float,
    sentences: np.ndarray | None = None,
    ideas: Sequence[str] | None = None,
) -> Design:
    """Put noise into a design, in volts."""
    n = len(X)
    names = [""] * n if sentences is None else [f"sentence {i}" for i in sentences]
    groups = tuple(f"0/{name}" if name else "" for name in names)
    contexts = None if sentences is None else tuple((name, 0) for name in names)
    return Design(
        (1e-6 * X).astype(np.float32), tuple(labels), np.arange(n) * pace, groups, contexts,
        np.zeros(n, int), 0, np.ones(n, bool), None if ideas is None else tuple(ideas),
    )  # fmt: skip


def fitted(
    design: Design,
    embedder: Callable[..., np.ndarray],
    fit: dict[str, Any],
    target: dict[str, Any] | None = None,
) -> Model:
    recipe = Recipe.from_dict({"clean": {"stages": []}, "fit": fit, "target": target or {}})
    info = SignalInfo(100.0, ("Fz", "Cz", "Pz", "Oz"), ("eeg",) * 4, ("V",) * 4)
    rows = np.random.default_rng(0).normal(0, 1e-5, (400, 4))
    draft = draft_model([Recording(rows, np.arange(400) / 100, info)], recipe)
    return fit_model(replace(draft), design, embedder=embedder)
