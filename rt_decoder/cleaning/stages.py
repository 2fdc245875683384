"""The table of stages: every step of a sample from framing to ring, in flow order.

`pipeline` builds the stages from this table. A new cleaning stage is one row here, and one in
`calibration.cleaning.stages`, which fits it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.cleaning.filters import Decimator, FilterBank, Rereference, SosFilter
from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.cleaning.mains import MainsCanceller
from rt_decoder.cleaning.muscle import MuscleGate
from rt_decoder.cleaning.projector import Projector
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.cleaning.stage import Stage
from rt_decoder.model import Model
from rt_decoder.settings import named
from rt_decoder.signal import SignalInfo

__all__ = ["CLEANING", "FLOW", "Stage", "StageRow", "fitted_stage", "make_stages"]


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage in the table.

    Attributes
    ----------
    make : callable
        Its class, which takes the `SignalInfo` of the input, and arguments by name.
    title : str
        What the stage does, as shown to users.
    fitted : bool
        Whether it is a cleaning stage: it runs if `Model.cleaning` holds its arguments, and may be
        left out.
    """

    make: Callable[..., Stage]
    title: str
    fitted: bool = False


# keys are the names of stages in models, recipes, logs and reports
FLOW: Mapping[str, StageRow] = {
    "guard": StageRow(Guard, "Impossible samples, held"),
    "decimate": StageRow(Decimator, "Brought down to the model's rate"),
    "muscle": StageRow(
        MuscleGate, "Muscles and movements: such samples are flagged, not changed", fitted=True
    ),
    "mains": StageRow(MainsCanceller, "Mains, tracked and subtracted", fitted=True),
    "filter": StageRow(SosFilter, "Band-pass and notch"),
    "repair": StageRow(ChannelRepair, "Bad channels, replaced by their neighbours", fitted=True),
    "rereference": StageRow(Rereference, "Common reference, subtracted"),
    "projector": StageRow(Projector, "Projections of the recording", fitted=True),
    "eye": StageRow(EyeCorrection, "Blinks and gaze", fitted=True),
    "regressors": StageRow(Regressors, "Heart, breath and other recorded references", fitted=True),
    "heartbeat": StageRow(HeartbeatTemplate, "Heartbeat, by a template", fitted=True),
    "bank": StageRow(FilterBank, "Power in frequency bands"),
}
CLEANING = tuple(name for name, row in FLOW.items() if row.fitted)


def fitted_stage(name: str, info: SignalInfo, arguments: Mapping[str, Any]) -> Stage:
    """Build a cleaning stage from its fitted arguments.

    Parameters
    ----------
    name : str
        One of `CLEANING`.
    info : SignalInfo
        Of the signal.
    arguments : mapping
        All other arguments of the stage, by name.

    Returns
    -------
    Stage

    Raises
    ------
    ValueError
        If there is no such stage, or an argument is unknown, missing or refused by the stage. The
        message names the stage and the argument.
    """
    if name not in CLEANING:
        raise ValueError(f"unknown cleaning stage {named(name)}; known are {', '.join(CLEANING)}")
    _, *known = inspect.signature(FLOW[name].make).parameters.values()  # the first is the info
    if unknown := sorted(set(arguments) - {one.name for one in known}):
        raise ValueError(
            f"unknown argument {named(unknown[0])} of cleaning stage {name}; "
            f"known are {', '.join(one.name for one in known)}"
        )
    for one in known:
        if one.default is one.empty and one.name not in arguments:
            raise ValueError(f"need {one.name} of cleaning stage {name}, got none")
    try:
        return FLOW[name].make(info, **arguments)
    except ValueError as error:
        raise ValueError(f"cleaning stage {name}: {error}") from None


def make_stages(
    model: Model, fast: SignalInfo, factor: int, without: Collection[str]
) -> dict[str, Stage]:
    """Make the stages of a model, those before the ring, in the order of `FLOW`.

    Parameters
    ----------
    model : Model
        With the arguments of its cleaning stages.
    fast : SignalInfo
        The model's channels at the stream's rate.
    factor : int
        The stream's rate over the model's.
    without : collection of str
        Cleaning stages to leave out.

    Returns
    -------
    dict of str to Stage
    """
    info, features = model.info, model.recipe.features
    fitted = [name for name in CLEANING if name in model.cleaning and name not in without]
    arguments: dict[str, Mapping[str, Any]] = {name: model.cleaning[name] for name in fitted}
    arguments["filter"] = {"sos": model.sos}
    arguments["rereference"] = {"kind": model.recipe.stream.reference}
    if factor > 1:
        arguments["decimate"] = {"factor": factor}
    if features.kind == "bandpower":
        arguments["bank"] = {"bands": features.bands, "order": features.band_order}
    infos = {"decimate": fast, "bank": info.pick(range(model.n_picks))}
    after_guard = {
        name: row.make(infos.get(name, info), **arguments[name])
        for name, row in FLOW.items()
        if name in arguments
    }
    jump = model.channel_jump if model.channel_jump.size else None
    settling = sum(stage.settling for stage in after_guard.values())
    return {"guard": FLOW["guard"].make(fast, jump, settling), **after_guard}
