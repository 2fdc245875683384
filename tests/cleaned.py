"""A participant who blinks, chews and has a heart, and a model with every cleaning stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from calibration.cleaning.chain import fit_cleaning
from calibration.events import Event, LabelledRecording
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import STAGES
from rt_decoder.simulation.disturbance import ARTIFACTS, CLEANING
from rt_decoder.simulation.participant import Participant
from rt_decoder.timing.markers import MarkerRules
from tests.small import VECTORS, WORDS, random_model, small_recipe

CUES = (("blink", 4.0, 16.0), ("saccade", 16.0, 28.0), ("rest", 28.0, 36.0))
SFREQ = 250.0
# a minute is short: heart and breath are twice what they usually are
SEVERITIES = dict.fromkeys(ARTIFACTS, 1.0) | {"heart": 2.0, "breath": 2.0}
N_CHANNELS = 12


@cache
def scene(
    session: int = 1, seconds: float = 60.0, sfreq: float = SFREQ, *, cued: bool = True
) -> Recording:
    """Twelve electrodes, VEOG, HEOG, ECG and RESP."""
    participant = Participant(
        VECTORS, WORDS, n_channels=N_CHANNELS, sfreq=sfreq, references=True, scene=CLEANING,
        artifacts=SEVERITIES,
    )  # fmt: skip
    simulation = participant.simulate(
        duration=seconds, seed=session, components=False, cues=CUES if cued else ()
    )
    data = simulation.data
    data.setflags(write=False)
    stamps = np.arange(len(data)) / sfreq
    return Recording(data, stamps, simulation.info, simulation.events, name=f"scene-{session}")


def labelled(recording: Recording) -> LabelledRecording:
    """The recording with its own markers."""
    events = tuple(Event() for _ in recording.markers)
    return LabelledRecording(recording, recording.markers, events, MarkerRules())


def drafted(recording: Recording, stages: Sequence[str] = STAGES) -> Model:
    """A random map, and no cleaning yet."""
    return random_model(recording, small_recipe(clean={"stages": list(stages)}))


@cache
def fitted() -> tuple[Model, dict[str, Any]]:
    """A model with every stage and a random map, and the report."""
    recording = scene()
    return fit_cleaning(drafted(recording), [labelled(recording)])


def without_channels(recording: Recording, *names: str) -> Recording:
    """The recording less some channels."""
    info = recording.info
    picks = [k for k, name in enumerate(info.ch_names) if name not in names]
    return replace(recording, data=recording.data[:, picks], info=info.pick(picks))
