"""How far blinks could be taken out by somebody who knows the truth: a bound for the eye stage.

The oracle is given the true patterns of the blinks (the main directions of their power), the true
times at which they last and the true covariance of the brain. With the patterns A (c, r) and that
covariance C it subtracts, while a blink lasts, ``A (A' C^-1 A)^-1 A' C^-1 x``: no linear filter that
takes these patterns whole takes less of the brain. It is told the patterns of the recording that is
judged, or those of the calibration: what lies between the two is drift, which no fit can know.

These two bounds see the blinks and the brain alone. In a recording there are gaze, heart, breath and
muscle as well, and what the filter takes of them because of a blink counts as left over, as it does
for every method. So the third bound filters the whole recording, with the true covariance of
everything but the blinks in the calibration.
"""

from __future__ import annotations

import numpy as np
from cleaning.metrics import attenuation_db
from cleaning.scene import Truth, truth

from rt_decoder.simulation.participant import Simulation

__all__ = ["oracle"]

RANKS = (1, 2, 3, 4)
_SETTLE = 10.0  # s, as in `cleaning.run`
_LASTS = 0.02  # of the size that blinks seldom exceed
_RIDGE = 1e-6  # of the mean power of a channel


def oracle(calibration: Simulation, test: Simulation) -> dict[str, float]:
    """Bound the attenuation of blinks, and measure how alike blinks and answers are.

    Parameters
    ----------
    calibration, test : Simulation
        Recordings of one person.

    Returns
    -------
    dict
        ``own_db`` by the patterns of the test, ``calibrated_db`` by those of the calibration, each
        with the best number of them; ``recording_db`` by those of the calibration in the whole
        recording; ``answers``, the share of the power of answers that lies on
        the blink's main pattern, and ``drift``, the share of the power of the test's blinks outside
        of the calibration's two main patterns.
    """
    seen, known = truth(test), truth(calibration)
    rows = slice(round(_SETTLE * test.info.sfreq), None)
    blink, brain = (part[rows] / seen.scale for part in (seen.parts["blink"], seen.clean))
    size = np.sqrt(np.mean(blink**2, axis=1))
    lasts = (size > _LASTS * np.quantile(size, 0.999))[:, None]
    ones = np.ones(blink.shape[1])
    found = {}
    others, known_others = ((told.mix - told.parts["blink"]) / seen.scale for told in (seen, known))
    for name, told, beside, noise in (
        ("own", seen, brain, seen.clean / seen.scale),
        ("calibrated", known, brain, known.clean / seen.scale),
        ("recording", known, others[rows], known_others),
    ):
        patterns, power = _patterns(told, seen.scale), _power(noise)
        left = (
            blink - lasts * ((blink + beside) @ _projector(patterns[:, :rank], power).T)
            for rank in RANKS
        )
        found[f"{name}_db"] = max(attenuation_db(blink, one, ones) for one in left)
    own, two = _patterns(seen, seen.scale)[:, 0], _patterns(known, seen.scale)[:, :2]
    answers, blinks = _power(seen.parts["evoked"] / seen.scale), _power(blink)
    inside = np.trace(two.T @ blinks @ two) / np.trace(blinks)
    return found | {
        "answers": float(own @ answers @ own / np.trace(answers)),
        "drift": float(1.0 - inside),
    }


def _power(x: np.ndarray) -> np.ndarray:
    return x.T @ x / len(x)


def _patterns(told: Truth, scale: np.ndarray) -> np.ndarray:
    """Return the directions (c, c) of the blinks' power, the largest first."""
    return np.linalg.eigh(_power(told.parts["blink"] / scale))[1][:, ::-1]


def _projector(patterns: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the matrix (c, c) that takes out `patterns` (c, r) and least of the brain's power."""
    c = len(power)
    filters = np.linalg.solve(power + _RIDGE * np.trace(power) / c * np.eye(c), patterns)
    return np.asarray(patterns @ np.linalg.solve(patterns.T @ filters, filters.T))
