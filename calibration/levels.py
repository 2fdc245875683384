"""Measure how large each channel is in calibration, and refuse runs of different units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rt_decoder.cleaning.scale import (
    CHECK_SECONDS,
    PIECES,
    ScaleCheck,
    channels_off,
    measuring_filter,
)
from rt_decoder.model import Model
from rt_decoder.signal import ModelMismatch, SignalInfo
from rt_decoder.timing.matching import match_channels

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = ["channel_jump", "channel_levels", "channel_scale"]

# The largest credible step between samples, as a multiple of the 99.9th percentile of the steps in
# calibration: far above muscle and R waves, far below a rail.
JUMP = 8.0
_ROWS = 65536  # at a time


def channel_scale(
    recordings: Sequence[Recording], info: SignalInfo, references: Sequence[str]
) -> np.ndarray:
    """Measure the mean absolute difference between successive samples of each channel.

    Parameters
    ----------
    recordings : sequence of Recording
        All runs.
    info : SignalInfo
        The contract.
    references : sequence of str
        Channels that a run may lack.

    Returns
    -------
    array of shape (c,), float64
        In SI units a sample.
    """
    total, n = np.zeros(info.n_channels), 0
    for recording in recordings:
        picks, gains = match_channels(recording.info, info, references, references)
        gains = np.nan_to_num(gains)
        for start in range(0, len(recording.data), 65536):
            data = recording.data[start : start + 65537, picks]
            data = np.where(np.isfinite(data), data, np.nan)
            total += np.nansum(np.abs(np.diff(data, axis=0)), axis=0) * gains
            n += len(data) - 1
    return total / max(1, n)


def channel_jump(
    recordings: Sequence[Recording], info: SignalInfo, references: Sequence[str]
) -> np.ndarray:
    """Measure the largest credible step of each channel.

    Parameters
    ----------
    recordings : sequence of Recording
        All runs.
    info : SignalInfo
        The contract.
    references : sequence of str
        Channels that a run may lack.

    Returns
    -------
    array of shape (c,), float64
        In SI units; the largest float for a channel that never changes.
    """
    steps = np.zeros(info.n_channels)
    for recording in recordings:
        picks, gains = match_channels(recording.info, info, references, references)
        for k, (pick, gain) in enumerate(zip(picks, gains, strict=True)):
            values = recording.data[:, pick]
            moved = np.abs(np.diff(np.where(np.isfinite(values), values, np.nan)))
            moved = moved[np.isfinite(moved)]
            if len(moved) and pick >= 0:
                steps[k] = max(steps[k], gain * float(np.percentile(moved, 99.9)))
    return np.where(steps > 0, JUMP * steps, np.finfo(float).max)


def channel_levels(model: Model, recordings: Sequence[Recording]) -> np.ndarray:
    """Measure the usual size of each channel, as live sessions compare it.

    Parameters
    ----------
    model : Model
        A draft: its contract and mains frequency count.
    recordings : sequence of Recording
        All runs.

    Returns
    -------
    array of shape (c,), float64
        Median over all half seconds and mean over runs, in SI units; 0 for a channel that never
        moves.

    Raises
    ------
    ValueError
        If a channel that is used as a feature holds no number.
    ModelMismatch
        If a run is more than ten times larger or smaller than the first one.
    """
    runs = [_of_run(model, recording) for recording in recordings]
    first = replace(model, channel_level=runs[0])
    for recording, levels in zip(recordings[1:], runs[1:], strict=True):
        known = (levels > 0.0) & (runs[0] > 0.0)
        try:
            channels_off(first, np.where(known, levels / np.where(known, runs[0], 1.0), 0.0))
        except ModelMismatch as error:
            scale = f"the scale of {recordings[0].name or 'the first run'}"
            said = str(error).replace("the scale of calibration", scale, 1)
            raise ModelMismatch(f"{recording.name}: {said}") from None
    weights = np.array([len(recording.stamps) for recording in recordings], float)
    return np.average(runs, axis=0, weights=weights)


def _of_run(model: Model, recording: Recording) -> np.ndarray:
    sfreq, n = recording.info.sfreq, len(recording.stamps)
    picks, gains = match_channels(recording.info, model.info, model.references, model.references)
    n_pieces = math.ceil(n / sfreq / CHECK_SECONDS * PIECES)
    check = ScaleCheck(np.ones(len(picks)), n, measuring_filter(model, sfreq), max(1, n_pieces))
    empty = np.ones(len(picks), bool)
    for start in range(0, n, _ROWS):
        data = recording.data[start : start + _ROWS, picks] * gains
        empty &= ~np.isfinite(data).any(axis=0)
        check.update(data)
    if absent := [model.info.ch_names[k] for k in np.flatnonzero(empty[: model.n_picks])]:
        raise ValueError(
            f"{recording.name}: need numbers in every channel in use, got only NaN in "
            f"{', '.join(absent)}: leave {'it' if len(absent) == 1 else 'them'} out of picks"
        )
    return check.usual()
