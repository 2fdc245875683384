"""What the line canceller does to a recording: mains taken out, and the rest of the band kept.

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

_WINDOW = 4.0  # s: a quarter of a Hz apart
_PEAK = 0.5  # Hz from the line that its peak takes
_NEAR, _FAR = 1.0, 3.0  # Hz from the line: its surroundings
_LEAST = 2.0  # times the power of the surroundings: below it there are no mains


def asked(seen: Seen) -> bool:
    """Whether the recipe wants the canceller in place of the notch, and there are mains."""
    recipe = seen.model.recipe
    return recipe.clean.mains == "adaptive" and bool(recipe.stream.line_freq)


def fit(seen: Seen) -> StageFit:
    """Cancel mains and the multiples that the band-pass would let through, as notches would."""
    info, recipe = seen.model.info, seen.model.recipe
    line, h_freq = recipe.stream.line_freq, recipe.filter.h_freq
    edge = min(2 * h_freq if h_freq else math.inf, 0.45 * info.sfreq)
    harmonics = max(1, math.ceil(edge / line) - 1)
    arguments = {"line_freq": line, "harmonics": harmonics}
    freqs = [line * (k + 1) for k in range(harmonics)]
    # judged by the channels of the first type
    columns = np.flatnonzero(np.array(info.ch_types[: seen.model.n_picks]) == info.ch_types[0])
    # both with the canceller in the path: the path settles as long
    cancelled = replace(seen.model, cleaning={**seen.model.cleaning, "mains": arguments})
    spectra = []
    for stage in ("mains", "filter"):  # what reaches them: before and after
        samples = replace(seen, model=cancelled, stage=stage).samples
        power = spectrum(samples.data[:, columns], samples.bad, info.sfreq)
        if power is None:
            return StageFit(arguments, dict(arguments))
        spectra.append(power)
    return StageFit(arguments, arguments | mains_report(spectra[0], spectra[1], freqs))


def spectrum(x: np.ndarray, bad: np.ndarray, sfreq: float) -> np.ndarray | None:
    """Mean power over channels of `x` (n, c) and windows of 4 s, every quarter of a Hz.

    Windows with a sample that is `bad` (n,) are left out; None if none remains.
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
    """Attenuation of mains, and gain of what surrounds them.

    Parameters
    ----------
    before, after : array of shape (n_freqs,)
        Of what goes into the stage and what leaves it, see `spectrum`.
    freqs : sequence of float
        Mains and the harmonics that are cancelled, in Hz.

    Returns
    -------
    dict
        A value a frequency: `attenuation_db` of the peak, at least (it ends at the surroundings),
        None where there are no mains; `preserved`, the gain of power 1 to 3 Hz away.
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
    """What was found, taken out and kept."""
    freqs = [f"{report['line_freq'] * (k + 1):g} Hz" for k in range(report["harmonics"])]
    if "attenuation_db" not in report:
        return Summary(", ".join(freqs), decibels(None), "")
    taken = ", ".join(
        f"{freq} {'not there' if db is None else f'{db:.1f} dB, at least'}"
        for freq, db in zip(freqs, report["attenuation_db"], strict=True)
    )
    kept = ", ".join(f"{share:.1%}" for share in report["preserved"])
    return Summary(", ".join(freqs), taken, f"{kept} of the power 1 to 3 Hz away")
