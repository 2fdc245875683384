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
from rt_decoder.files.blocks import block_rows
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
            n += len(data) - 1
            for k, values in enumerate(data.T):  # a channel at a time takes less memory
                values = np.where(np.isfinite(values), values, np.nan)
                total[k] += np.nansum(np.abs(np.diff(values))) * gains[k]
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
        for k, high in _high_steps(recording, picks).items():
            steps[k] = max(steps[k], gains[k] * high)
    return np.where(steps > 0, JUMP * steps, np.finfo(float).max)


def _high_steps(recording: Recording, picks: np.ndarray) -> dict[int, float]:
    """99.9th percentile of the steps of each pick that is there and has steps.

    Only the largest steps are kept on the way, so that it takes no more memory for longer
    recordings than a thousandth of their samples; the figure is that of `numpy.percentile`.
    """
    data = recording.data
    n_kept = len(data) // 1000 + 3
    counts = np.zeros(len(picks), np.int64)
    largest: list[list[np.ndarray]] = [[] for _ in picks]
    there = np.flatnonzero(picks >= 0)
    rows = block_rows(recording.info.n_channels)
    for start in range(0, len(data) - 1, rows):
        block = data[start : start + rows + 1]
        for k in there:
            values = block[:, picks[k]]
            moved = np.abs(np.diff(np.where(np.isfinite(values), values, np.nan)))
            moved = moved[np.isfinite(moved)]
            counts[k] += len(moved)
            if len(kept := largest[k]) and len(kept[0]) == n_kept:
                moved = moved[moved > kept[0][0]]
            kept.append(moved)
            if sum(map(len, kept)) > 2 * n_kept:
                largest[k] = [_top(kept, n_kept)]
    return {
        int(k): _percentile(_top(largest[k], n_kept), int(counts[k])) for k in there if counts[k]
    }


def _top(parts: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Return the `n` largest of all, the smallest of them first."""
    values = np.concatenate(parts)
    return values if len(values) < n else np.partition(values, len(values) - n)[len(values) - n :]


def _percentile(largest: np.ndarray, n: int) -> float:
    """99.9th percentile of `n` numbers of which only the largest are there."""
    place = (n - 1) * (99.9 / 100)
    low = int(place)
    at = [low - n, min(low + 1, n - 1) - n]  # from the end
    below, above = np.sort(largest)[at]
    share = place - low
    step = above - below
    return float(above - step * (1 - share) if share >= 0.5 else below + step * share)


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
