"""Figures that only the chain has: its beats, weights and flags, and invariance to cuts."""

from __future__ import annotations

import numpy as np
from cleaning.chain import Chain, Cleaned, as_chunk
from cleaning.metrics import peaks, qrs_score
from cleaning.scene import filtered, n_data, truth

from rt_decoder.cleaning.qrs import QrsDetector
from rt_decoder.signal import Reason
from rt_decoder.simulation.participant import Simulation

__all__ = ["chain_figures"]

_DROP = 90.0, 150.0  # s; references are 0 from the first to the second
_GAP, _LOST, _OFFSET, _CREEP = 60.0, 1.0, 20e-3, 0.05  # s, s lost, V, s not counted after the gap


def chain_figures(chain: Chain, scene: Simulation) -> dict[str, float | None]:
    """Compute the figures that need more than a method's output; `name:rival` are a rival's."""
    data = scene.data - scene.components["pop"]
    return {
        **beats(scene),
        **dropout(chain, scene, data),
        **gap(chain, data),
        "cuts_differ": cuts_differ(chain, scene.data),
        "added_delay_ms": 1e3 * sum(chain.stages[k].delay for k in chain.stages if k != "filter"),
        "filter_delay_ms": 1e3 * chain.stages["filter"].delay,
    }


def beats(scene: Simulation) -> dict[str, float | None]:
    """Score the causal detector on the simulated R waves; sensitivity and PPV in percent.

    The first 3 s do not count, as the detector learns its levels. The delay is the median time from
    the R wave in the raw signal to the decision, including the filters' delay.
    """
    info, sfreq = scene.info, scene.info.sfreq
    ecg = info.ch_types.index("ecg")
    true = peaks(scene.components["heart"][:, ecg])
    weights = np.eye(info.n_channels)[ecg]
    seen = filtered(scene.data, sfreq)
    detector = QrsDetector(info, weights)
    found = detector.process(as_chunk(seen, 0, sfreq))
    decided = np.flatnonzero(found >= 0)
    at = found[decided]
    last = np.diff(at, append=len(seen) + sfreq) > round(0.2 * sfreq)
    at, decided = at[last], decided[last]
    counts = slice(round(3.0 * sfreq), len(seen) - round(sfreq))
    inside = (at > counts.start) & (at < counts.stop)
    near = true[(true > counts.start) & (true < counts.stop)]
    sensitivity, ppv, _ = qrs_score(near, at[inside], 0.05 * sfreq)
    _, _, late = qrs_score(near, decided[inside], 0.25 * sfreq)
    return {
        "qrs_sensitivity": 100 * sensitivity,
        "qrs_ppv": 100 * ppv,
        "qrs_delay_ms": float(1e3 * np.median(late) / sfreq),
        **_rival_beats(seen, scene, near, counts),
    }


def _rival_beats(
    seen: np.ndarray, scene: Simulation, true: np.ndarray, counts: slice
) -> dict[str, float | None]:
    from mne.preprocessing.ecg import qrs_detector

    sfreq, ecg = scene.info.sfreq, scene.info.ch_types.index("ecg")
    found = qrs_detector(sfreq, seen[:, ecg], verbose="error")
    found = found[(found > counts.start) & (found < counts.stop)]
    sensitivity, ppv, _ = qrs_score(true, found, 0.05 * sfreq)
    name = "mne, offline"
    return {f"qrs_sensitivity:{name}": 100 * sensitivity, f"qrs_ppv:{name}": 100 * ppv}


def dropout(chain: Chain, scene: Simulation, data: np.ndarray) -> dict[str, float | None]:
    """Set ECG and RESP to 0 for 60 s: returns the change of weights, and the error afterwards.

    The error is the RMS error of the data channels in the 20 s from 1 s after the dropout on,
    divided by that of the same time without a dropout.
    """
    if "regressors" not in chain.stages:
        return {"dropout_weights": None, "dropout_error": None}
    info, sfreq, c = scene.info, scene.info.sfreq, n_data(scene.info)
    first, stop = (round(t * sfreq) for t in _DROP)
    dead = data.copy()
    dead[first:stop, [i for i, k in enumerate(info.ch_types) if k in ("ecg", "resp")]] = 0.0
    chain.restart()
    outputs, weights = [], []
    for start, end in ((0, first), (first, stop), (stop, len(dead))):
        outputs.append(chain.go_on(dead[start:end], start).data[:, :c])
        weights.append(chain.stages["regressors"].weights)
    change = np.linalg.norm(weights[1] - weights[0]) / np.linalg.norm(weights[0])
    seen = truth(scene)
    rows = slice(stop + round(sfreq), stop + round(21.0 * sfreq))
    with_gap = np.concatenate(outputs)[rows] - seen.clean[rows]
    usual = chain.clean(data).data[rows, :c] - seen.clean[rows]
    error = np.sqrt(np.mean((with_gap / seen.scale) ** 2) / np.mean((usual / seen.scale) ** 2))
    return {"dropout_weights": float(change), "dropout_error": float(error)}


def gap(chain: Chain, data: np.ndarray) -> dict[str, float]:
    """Lose a second, and let the electrodes be off by 20 mV when the stream resumes.

    `gap_offset_uv` is the largest difference that these 20 mV cause from 50 ms after the gap on.
    Channels in T and T/m get no offset. `gap_settling` is the share of the samples of the first
    50 ms that are flagged as not settled.
    """
    n = round(_CREEP * chain.info.sfreq)
    plain, moved = (_after_gap(chain, data, offset) for offset in (0.0, _OFFSET))
    away = np.abs(moved.data - plain.data)[n:, : n_data(chain.info)]
    settling = (moved.flags[:n] & Reason.SETTLING) != 0
    return {"gap_offset_uv": float(1e6 * away.max()), "gap_settling": float(settling.mean())}


def _after_gap(chain: Chain, data: np.ndarray, offset: float) -> Cleaned:
    sfreq = chain.info.sfreq
    first, resume, stop = (round(t * sfreq) for t in (_GAP, _GAP + _LOST, _GAP + _LOST + 20.0))
    chain.clean(data[:first])
    volts = np.array(chain.info.units) == "V"
    return chain.go_on(data[resume:stop] + offset * volts, resume)


def cuts_differ(chain: Chain, data: np.ndarray) -> float:
    """Count the values that differ between a run in one chunk and one in random chunks."""
    data = data[: round(60.0 * chain.info.sfreq)]
    rng = np.random.default_rng(0)
    cuts = np.cumsum(rng.integers(1, 60, len(data) // 15))
    whole, pieces = (chain.clean(data, k) for k in ((len(data),), cuts[cuts < len(data)]))
    return float(sum(np.count_nonzero(a != b) for a, b in zip(whole, pieces, strict=True)))
