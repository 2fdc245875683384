"""Recordings with known truth, on which cleaning is judged.

A scene is a person with a particular head who reads words. The same person is recorded for
calibration, with cued rest, blinks and saccades at the beginning, and for the test. This module
does not know the chain or its rivals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.kernels.sos import sos_filter, sos_prime
from rt_decoder.signal import DATA_TYPES, SignalInfo
from rt_decoder.simulation.disturbance import CLEANING, Scene
from rt_decoder.simulation.participant import Participant, Simulation

__all__ = ["BRAIN", "CUES", "Truth", "band", "cleaning_scene", "filtered", "n_data", "truth"]

BRAIN = ("evoked", "background", "alpha")
_BRAIN_SIZE = 0.5  # of the usual size: the severity for which the goals were set
_VECTORS = np.random.default_rng(7).standard_normal((40, 12))
_ITEMS = tuple(f"word{i}" for i in range(40))
CUES = (("rest", 2.0, 22.0), ("blink", 22.0, 42.0), ("saccade", 42.0, 62.0))
L_FREQ, H_FREQ, ORDER, LINE_FREQ = 0.5, 40.0, 2, 50.0


def cleaning_scene(
    seed: int,
    kind: str = "eeg",
    *,
    session: int = 2,
    seconds: float = 240.0,
    cued: bool | None = None,
    silent: bool = True,
    n_channels: int | None = None,
    sfreq: float = 250.0,
    artifacts: float | dict[str, float] = 1.0,
    scene: Scene = CLEANING,
    **changes: float,
) -> Simulation:
    """Simulate one recording of person `seed` on head `seed`, with every component.

    Parameters
    ----------
    seed : int
        Person and geometry of the head.
    kind : str
        "eeg" with 64 channels, or "meg" with 306, unless `n_channels` is set; VEOG, HEOG, ECG and
        RESP follow.
    session : int
        1 calibrates, others test.
    seconds : float
        Length in s.
    cued : bool or None
        Begin with `CUES`; None does so in session 1.
    silent : bool
        Show no words during the cues, as in most laboratories. Resting data are then without the
        responses to words, and a fit must not mistake these for eye movements.
    n_channels : int or None
        Number of data channels.
    sfreq : float
        Sampling rate in Hz.
    artifacts : float or dict
        Severity; see `Participant`.
    scene : Scene
        How artifacts behave.
    **changes : float
        Fields of `scene` to change (drift, pop_every, leak, lag, ...).
    """
    person = Participant(
        _VECTORS,
        _ITEMS,
        n_channels=n_channels or (306 if kind == "meg" else 64),
        sfreq=sfreq,
        artifacts=artifacts,
        references=True,
        line_freq=LINE_FREQ,
        seed=seed,
        kind=kind,
        head=seed,
        brain=_BRAIN_SIZE,
        scene=replace(scene, **changes),
    )
    with_cues = session == 1 if cued is None else cued
    return person.simulate(
        duration=seconds,
        seed=session,
        cues=CUES if with_cues else (),
        lead_in=CUES[-1][2] + 2.0 if with_cues and silent else 2.0,
    )


def n_data(info: SignalInfo) -> int:
    """Count the channels that record the brain."""
    return sum(kind in DATA_TYPES for kind in info.ch_types)


def band(sfreq: float) -> np.ndarray:
    """Design the causal filter that all methods share: 0.5 to 40 Hz, notch at the mains."""
    return design_sos(sfreq, L_FREQ, H_FREQ, ORDER, notch=(LINE_FREQ,))


def filtered(data: np.ndarray, sfreq: float) -> np.ndarray:
    """Filter `data` (n, c) by `band`, primed with the first sample as the live filter is."""
    out = np.array(data, np.float64, order="C")
    sos = band(sfreq)
    state = np.zeros((len(sos), 2, out.shape[1]))
    sos_prime(out[0], sos, state)
    sos_filter(out, sos, state, 0)
    return out


class Truth(NamedTuple):
    """Components of a test recording in its data channels, filtered."""

    clean: np.ndarray  # (n, c): evoked + background + alpha
    mix: np.ndarray  # (n, c): everything
    parts: dict[str, np.ndarray]  # every component
    scale: np.ndarray  # (c,): RMS of the clean signal over all channels of a type


def truth(simulation: Simulation) -> Truth:
    """Compute the truth of a recording."""
    info = simulation.info
    c = n_data(info)
    parts = {
        name: filtered(part[:, :c], info.sfreq) for name, part in simulation.components.items()
    }
    clean = sum(parts[name] for name in BRAIN)
    scale = np.empty(c)
    for kind in set(info.ch_types[:c]):
        picks = [i for i in range(c) if info.ch_types[i] == kind]
        scale[picks] = np.sqrt(np.mean(clean[:, picks] ** 2))
    return Truth(clean, sum(parts.values()), parts, scale)
