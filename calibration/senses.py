"""Choose what gives items their vectors: a model of words, images or sounds, or a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calibration.language.embeddings import check_embedding, embed
from calibration.language.senses import embed_stimuli
from calibration.language.stimuli import find_stimuli
from calibration.language.vector_file import pick_vectors, read_vectors
from rt_decoder.recipe import Target

__all__ = ["check_items_known", "check_target", "embedder_of"]


def embedder_of(target: Target) -> Callable[..., np.ndarray]:
    """Return what turns items into vectors, called as `language.embeddings.embed`.

    Parameters
    ----------
    target : Target
        Its `vectors` name a file, its `stimuli` a folder of images or sounds; else items are texts.

    Returns
    -------
    callable
        Of items and options; returns an array of shape (n_items, n_dimensions).
    """
    if target.vectors:
        return partial(_from_file, target.vectors)
    if target.stimuli:
        return partial(_from_stimuli, target.stimuli)
    return embed


def check_target(target: Target) -> None:
    """Refuse what cannot give vectors, without computing any.

    Parameters
    ----------
    target : Target

    Raises
    ------
    ValueError
        If the file of vectors is none, the model has no such layer, or no model of images or
        sounds is named.
    OSError
        If the file, the folder or the model cannot be found or read.
    ImportError
        If a package is missing.
    """
    if target.vectors:
        read_vectors(target.vectors)
        return
    if target.stimuli:
        if target.embedding == "minilm":
            raise ValueError(
                "need a model of images or sounds for stimuli (--embedding NAME|FOLDER), got "
                "minilm, a model of words"
            )
        find_stimuli(target.stimuli, ())
    check_embedding(target.embedding, target.layer)


def check_items_known(items: Collection[str], target: Target) -> None:
    """Refuse items that the file of vectors or the folder of stimuli lacks.

    Parameters
    ----------
    items : collection of str
    target : Target

    Raises
    ------
    ValueError
        With the items that are missing or ambiguous.
    OSError
        If file or folder cannot be read.
    """
    if target.vectors:
        pick_vectors(read_vectors(target.vectors), sorted(items))
    elif target.stimuli:
        find_stimuli(target.stimuli, sorted(items))


def _from_file(path: str | Path, items: Sequence[str], **_: Any) -> np.ndarray:
    return pick_vectors(read_vectors(path), items)


def _from_stimuli(folder: str | Path, items: Sequence[str], **how: Any) -> np.ndarray:
    return embed_stimuli(items, folder, **how)
