"""Take the features of channels that record artifacts, for a decoder that must know nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from calibration.design import Design, build_design, draft_model
from rt_decoder.model import Model
from rt_decoder.signal import has_unit

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["with_artifacts"]


def with_artifacts(design: Design, model: Model, sessions: Sequence[LabelledRecording]) -> Design:
    """Add the features of artifact channels, by the live stages with these channels alone.

    Parameters
    ----------
    design : Design
    model : Model
        Its recipe names the references (`clean.references`), used by its stages or not.
    sessions : sequence of LabelledRecording
        Those of the design.

    Returns
    -------
    Design
        The same where no recording has such channels beside the data, they do not vary, or the
        recipe leaves out slow nulls.
    """
    names = _artifact_names(model, sessions) if model.recipe.fit.nulls else ()
    if not names:
        return design
    recipe = model.recipe
    alone = replace(
        recipe,
        stream=replace(recipe.stream, picks=names, reference="none"),
        clean=replace(recipe.clean, stages=(), projections=()),
        readout=replace(recipe.readout, min_quality=0.0),
    )
    draft = draft_model([one.recording for one in sessions], alone)
    found = build_design(draft, sessions)
    rows = dict(zip(_keys(found), found.X, strict=True))
    usual = np.median(found.X, axis=0)
    X = np.array([rows.get(key, usual) for key in _keys(design)], np.float32)
    return replace(design, artifacts=X) if np.ptp(X, axis=0).any() else design


def _keys(design: Design) -> list[tuple[int, float]]:
    return list(zip(design.run.tolist(), design.onsets.tolist(), strict=True))


def _artifact_names(model: Model, sessions: Sequence[LabelledRecording]) -> tuple[str, ...]:
    """Channels of the references that all recordings have, and that are no data."""
    wanted = model.recipe.clean.references
    data = {name for name in model.info.ch_names if name not in model.references}
    found = [
        [
            name
            for name, kind, unit in zip(info.ch_names, info.ch_types, info.units, strict=True)
            if (name in wanted or kind in wanted) and name not in data and has_unit(unit)
        ]
        for info in (session.recording.info for session in sessions)
    ]
    return tuple(name for name in found[0] if all(name in others for others in found))
