"""Run every method on the scenes of one simulated person and measure it.

`cleaning.metrics` defines the figures. The chain is `cleaning.chain.our_chain`; `cleaning.laws`
measures what only it has (flags, weights, a beat detector).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cleaning.chain import Chain, our_chain
from cleaning.laws import chain_figures
from cleaning.metrics import (
    attenuation_db,
    correlation,
    distortion,
    event_average,
    injected_gain,
    peaks,
    reference_correlation,
    relative_error,
)
from cleaning.rivals import RIVALS, missing
from cleaning.scene import CUES, Truth, cleaning_scene, filtered, n_data, truth

from rt_decoder.signal import BAD, SignalInfo
from rt_decoder.simulation.participant import Simulation

__all__ = ["OURS", "evaluate"]

OURS = "this chain"
ARTIFACTS = ("blink", "saccade", "heart", "breath")
_SETTLE = 10.0  # s at the beginning of a test, which do not count
_SLOW, _SLOW_SECONDS = ("ASR (meegkit)",), 60.0
_RESPONSE = 0.8  # s
_POPS_EVERY = 12.0  # s

Method = Callable[[np.ndarray], np.ndarray]  # raw (n, all channels) -> cleaned data channels


def evaluate(seed: int, kind: str, *, slow: bool = True, seconds: float = 240.0) -> dict[str, Any]:
    """Compute all figures of one person: `severity`, `methods` (a dict each) and `chain`."""
    calibration = cleaning_scene(seed, kind, session=1, seconds=300.0)
    info = calibration.info
    scenes = {
        "test": cleaning_scene(seed, kind, session=2, seconds=seconds, pop_every=_POPS_EVERY),
        "quiet": cleaning_scene(seed, kind, session=2, seconds=seconds, artifacts=0),
        "cued": cleaning_scene(seed, kind, session=3, seconds=80.0, cued=True),
    }
    chain = our_chain(calibration.data, info, calibration.events)
    good = {name: trusted(chain, scenes[name]) for name in ("test", "cued")}
    methods = {OURS: measured(ours(chain), scenes, good)}
    seen = filtered(calibration.data, info.sfreq)
    for name, fit in RIVALS.items():
        if missing(name) or (name in _SLOW and (not slow or kind == "meg")):
            methods[name] = dict.fromkeys(methods[OURS])
            continue
        method = behind_filters(fit(seen, info), info)
        methods[name] = measured(method, scenes, good, _SLOW_SECONDS if name in _SLOW else None)
    return {
        "severity": severity(scenes["test"], good["test"]) | {"EOG": floor(scenes["cued"])},
        "methods": methods,
        "chain": chain_figures(chain, scenes["test"]),
    }


def trusted(chain: Chain, scene: Simulation) -> np.ndarray:
    """Mark the samples (n,) that the chain does not flag in a scene without pops."""
    return (chain.clean(without_pops(scene)).flags & BAD) == 0


def ours(chain: Chain) -> Method:
    """Wrap the chain as a method: raw data in, cleaned data channels out, restarted each time."""
    c = n_data(chain.info)
    return lambda raw: chain.clean(raw).data[:, :c]


def behind_filters(clean: Method, info: SignalInfo) -> Method:
    """Put the chain's filters before a rival."""
    return lambda raw: clean(filtered(raw, info.sfreq))


def without_pops(scene: Simulation) -> np.ndarray:
    """Return the data of a scene without pops."""
    return scene.data - scene.components.get("pop", 0.0)


def severity(scene: Simulation, good: np.ndarray | None = None) -> dict[str, float]:
    """Measure the recording before cleaning, without pops, on average over channels."""
    seen, rows = truth(scene), slice(round(_SETTLE * scene.info.sfreq), None)
    mix = seen.mix - seen.parts["pop"]
    share = {} if good is None else {"good samples": float(good[rows].mean())}
    return {
        "CC": correlation(seen.clean[rows], mix[rows]),
        "RRMSE": relative_error(seen.clean[rows], mix[rows]),
    } | share


def floor(scene: Simulation) -> float:
    """Correlation of the clean brain with EOG, which is not 0 as EOG records it, too."""
    return _cued(lambda _: truth(scene).clean, scene)


def measured(
    method: Method,
    scenes: dict[str, Simulation],
    good: dict[str, np.ndarray],
    seconds: float | None = None,
) -> dict[str, float]:
    """Measure one method on the scenes, or on their first `seconds`.

    `good` marks the samples of the test and of the cued scene that count as "good samples".
    """
    info = scenes["test"].info
    stop = None if seconds is None else round(seconds * info.sfreq)
    test = scenes["test"]
    data, seen = without_pops(test)[:stop], _cut(truth(test), stop)
    rows = slice(round(_SETTLE * info.sfreq), None)
    output = method(data)
    kept = good["test"][:stop][rows]
    figures = {
        "cc": correlation(seen.clean[rows], output[rows]),
        "rrmse": relative_error(seen.clean[rows], output[rows]),
        "cc_good": correlation(seen.clean[rows][kept], output[rows][kept]),
        "rrmse_good": relative_error(seen.clean[rows][kept], output[rows][kept]),
    }

    def left(name: str) -> np.ndarray:
        return output - method(data - test.components[name][:stop])

    for name in ARTIFACTS:
        figures[f"{name}_db"] = attenuation_db(seen.parts[name][rows], left(name)[rows], seen.scale)
    popped = method(test.data[:stop]) - output
    figures["pop_db"] = attenuation_db(seen.parts["pop"][rows], popped[rows], seen.scale)
    quiet = scenes["quiet"]
    calm = filtered(quiet.data[:stop, : n_data(info)], info.sfreq)
    figures["distortion"] = distortion(calm[rows], method(quiet.data[:stop])[rows], seen.scale)
    onsets = [marker.index for marker in test.events if marker.index > rows.start]
    length = round(_RESPONSE * info.sfreq)
    figures["erp_gain"] = injected_gain(
        seen.parts["evoked"], left("evoked"), onsets, length, seen.scale
    )
    figures["eog_correlation"] = _cued(method, scenes["cued"])
    figures["eog_correlation_good"] = _cued(method, scenes["cued"], good["cued"])
    error = (output - seen.clean)[rows] / seen.scale
    for name, times in _happenings(test).items():
        inside = [k - rows.start for k in times if k > rows.start]
        figures[f"{name}_locked"] = _locked_size(error, inside, info.sfreq)
    return figures


def _happenings(scene: Simulation) -> dict[str, np.ndarray]:
    """Find the samples of R waves and of the peaks of blinks."""
    info = scene.info
    ecg = scene.components["heart"][:, info.ch_types.index("ecg")]
    eog = scene.components["blink"][:, info.ch_types.index("eog")]
    return {"r": peaks(ecg), "blink": peaks(np.abs(eog))}


def _cut(seen: Truth, stop: int | None) -> Truth:
    parts = {name: part[:stop] for name, part in seen.parts.items()}
    return Truth(seen.clean[:stop], seen.mix[:stop], parts, seen.scale)


def _cued(method: Method, scene: Simulation, good: np.ndarray | None = None) -> float:
    """Correlation with EOG over cued blinks and saccades: the larger of VEOG and HEOG."""
    info = scene.info
    output = method(scene.data)
    eog = [i for i, kind in enumerate(info.ch_types) if kind == "eog"]
    references = filtered(scene.data[:, eog], info.sfreq)
    rows = slice(*(round(CUES[k][j] * info.sfreq) for k, j in ((1, 1), (2, 2))))
    kept = slice(None) if good is None else good[rows]
    return reference_correlation(output[rows][kept], references[rows][kept])


def _locked_size(error: np.ndarray, onsets: list[int], sfreq: float) -> float:
    """Largest deflection of the mean error from 0.1 s before to 0.6 s after the onsets."""
    mean = event_average(error, onsets, round(-0.1 * sfreq), round(0.6 * sfreq))
    return float(np.abs(mean).max())
