"""Measure what the adaptive mains stage does to a recording: mains removed, neighbourhood kept.

Nothing is fitted: the live stage finds frequency, amplitude and phase by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import StageFit
from calibration.cleaning.words import Summary, decibels

__all__ = ["asked", "fit", "mains_report", "spectrum", "summary"]

_WINDOW = 4.0  # s; the spectrum has a bin every quarter of a Hz
_PEAK = 0.5  # Hz; half width of the peak of the mains
_NEAR, _FAR = 1.0, 3.0  # Hz from the mains to either end of their surroundings
_LEAST = 2.0  # times the power of the surroundings; there are no mains below it


def asked(seen: Seen) -> bool:
    """Check that the recipe asks for the canceller instead of the notch, and names a frequency."""
    recipe = seen.model.recipe
    return recipe.clean.mains == "adaptive" and bool(recipe.stream.line_freq)


def fit(seen: Seen) -> StageFit:
    """Cancel the mains and those multiples that the notches would remove."""
    info, recipe = seen.model.info, seen.model.recipe
    line_freq, h_freq = recipe.stream.line_freq, recipe.filter.h_freq
    edge = min(2 * h_freq if h_freq else math.inf, 0.45 * info.sfreq)
    harmonics = max(1, math.ceil(edge / line_freq) - 1)
    arguments = {"line_freq": line_freq, "harmonics": harmonics}
    freqs = [line_freq * (k + 1) for k in range(harmonics)]
    # measured on the channels of the first type
    columns = np.flatnonzero(np.array(info.ch_types[: seen.model.n_picks]) == info.ch_types[0])
    # both spectra with the canceller in the path, so that both leave out the same settling time
    cancelled = replace(seen.model, cleaning={**seen.model.cleaning, "mains": arguments})
    spectra = []
    for stage in ("mains", "filter"):  # samples that reach these: before and after the canceller
        samples = replace(seen, model=cancelled, stage=stage).samples
        power = spectrum(samples.data[:, columns], samples.bad, info.sfreq)
        if power is None:
            return StageFit(arguments, dict(arguments))
        spectra.append(power)
    return StageFit(arguments, arguments | mains_report(spectra[0], spectra[1], freqs))


def spectrum(x: np.ndarray, bad: np.ndarray, sfreq: float) -> np.ndarray | None:
    """Compute the power spectrum, averaged over channels and windows of 4 s.

    Parameters
    ----------
    x : array of shape (n, c), float64
    bad : array of shape (n,), bool
        A window with such a sample is left out.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    array of shape (n_freqs,), float64, or None
        Power at every quarter of a Hz from 0, not scaled; None if no window remains.
    """
    length = round(_WINDOW * sfreq)
    window = np.hanning(length)[:, None]
    powers = [
        np.mean(np.abs(np.fft.rfft((part - part.mean(axis=0)) * window, axis=0)) ** 2, axis=1)
        for start in range(0, len(x) - length + 1, length)
        if not bad[start : start + length].any()
        for part in (x[start : start + length],)
    ]
    return np.mean(powers, axis=0) if powers else None


def mains_report(before: np.ndarray, after: np.ndarray, freqs: Sequence[float]) -> dict[str, Any]:
    """Measure the attenuation of mains, and the gain of their surroundings.

    Parameters
    ----------
    before, after : array of shape (n_freqs,), float64
        Spectra of the input and the output of the stage, see `spectrum`.
    freqs : sequence of float
        Mains and the harmonics that are cancelled, in Hz.

    Returns
    -------
    dict
        Two lists with a value per frequency. `attenuation_db`: of the peak, a lower bound because
        nothing can be measured below the surroundings; None if there are no mains. `preserved`:
        the gain of the power 1 to 3 Hz away.
    """
    at = np.arange(len(before)) / _WINDOW
    attenuation: list[float | None] = []
    preserved = []
    for freq in freqs:
        away = np.abs(at - freq)
        near, peak = (away >= _NEAR) & (away <= _FAR), away <= _PEAK
        floor, kept = float(np.mean(before[near])), float(np.mean(after[near]))
        height = float(np.mean(before[peak]))
        left = max(float(np.mean(after[peak])), kept)
        there = height > _LEAST * floor
        attenuation.append(round(10.0 * float(np.log10(height / left)), 1) if there else None)
        preserved.append(round(kept / floor, 3))
    return {"attenuation_db": attenuation, "preserved": preserved}


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, taken out and kept."""
    freqs = [f"{report['line_freq'] * (k + 1):g} Hz" for k in range(report["harmonics"])]
    if "attenuation_db" not in report:
        return Summary(", ".join(freqs), decibels(None), "")
    taken = ", ".join(
        f"{freq} {'absent' if db is None else f'at least {db:.1f} dB'}"
        for freq, db in zip(freqs, report["attenuation_db"], strict=True)
    )
    kept = ", ".join(f"{100 * share:.1f} %" for share in report["preserved"])
    return Summary(", ".join(freqs), taken, f"{kept} of the power 1 to 3 Hz away")
