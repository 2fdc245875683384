"""Vectors of new items, by the model of language or senses that a model was fitted with.

`rt-calibrate embed` computes them in a process of its own: what needs torch, and takes seconds, is never
in the session's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rt_decoder.recipe import Target

__all__ = ["vectors_of"]

_LONGEST = 300.0  # s


def vectors_of(target: Target, items: Sequence[str]) -> np.ndarray:
    """Compute the vectors of items.

    Parameters
    ----------
    target : Target
        Of the model's recipe: which model, which layer, how tokens are pooled.
    items : sequence of str
        Bare words; those of the model that were seen in sentences have the mean over them.

    Returns
    -------
    array of shape (n_items, D), float64
        Not centred.

    Raises
    ------
    ValueError
        If they cannot be computed here, and why.
    """
    from safetensors.numpy import load_file

    if target.vectors or target.stimuli:
        raise ValueError(
            "need vectors for the new items, as this model's come from a file or from stimuli, got none"
        )
    if any("\n" in item or not item.strip() for item in items):
        raise ValueError("need items of one line, got others")
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as folder:
        words, out = Path(folder) / "items.txt", Path(folder) / "vectors.safetensors"
        words.write_text("\n".join(items) + "\n", encoding="utf-8")
        command = [
            sys.executable, "-P", "-m", "calibration", "embed", str(words), "-o", str(out),
            "--embedding", target.embedding, "--layer", str(target.layer),
            "--pooling", target.pooling,
        ]  # fmt: skip
        try:
            ran = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                capture_output=True,
                encoding="utf-8",
                timeout=_LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"need vectors within {_LONGEST:g} s, got none") from None
        if ran.returncode or not out.is_file():
            why = ran.stderr.strip().splitlines()[-1:] or ["no reason was told"]
            raise ValueError(f"need vectors of {Path(target.embedding).name}, got none: {why[0]}")
        return np.asarray(load_file(out)["vectors"], np.float64)
