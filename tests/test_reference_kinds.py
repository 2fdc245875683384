"""References that are not what they say, in calibration or live: no harm, and it is told.

The matrix: dead, silent, railed, swapped leads, six times stronger, another kind of signal, noise,
and another person's. An artifact may be at most 1.05 times what it is without cleaning.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from calibration.cleaning.chain import fit_cleaning
from calibration.cleaning.reference_effect import decibels_on_beats, watch_time
from calibration.cleaning.reference_kind import shown, shows_breath
from rt_decoder.decoder import Decoder
from rt_decoder.files.recording import Recording
from rt_decoder.live.reference_check import ReferenceCheck
from rt_decoder.model import Model
from rt_decoder.recipe import STAGES
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import SignalInfo
from rt_decoder.simulation.disturbance import CLEANING
from rt_decoder.simulation.participant import Participant, Simulation
from tests.cleaned import N_CHANNELS, SFREQ, drafted, labelled, scene
from tests.small import VECTORS, WORDS

NAMES = ("ECG", "RESP")
FAULTS = ("dead", "silent", "railed", "swapped", "six times", "EOG", "noise", "another person's")
SETTLED, END = 5.0, 100.0  # s that are judged
BEGINS = 30.0  # s; of a fault in mid-session, judged over the minute from there


@cache
def person(seed: int = 0, seconds: float = 104.0) -> Simulation:
    participant = Participant(
        VECTORS, WORDS, n_channels=N_CHANNELS, sfreq=SFREQ, references=True, scene=CLEANING,
        artifacts={"heart": 2.0, "breath": 2.0}, seed=seed,
    )  # fmt: skip
    return participant.simulate(duration=seconds, seed=5)


def with_fault(fault: str, data: np.ndarray, info: SignalInfo) -> np.ndarray:
    """Put a fault into ECG and belt of the whole recording."""
    data, rng, n = data.copy(), np.random.default_rng(0), len(data)
    ecg, belt = (info.ch_names.index(name) for name in NAMES)
    other = person(77, 184.0).data[:n]
    columns = {
        "dead": (1e-5 * rng.standard_normal(n), 1e-5 * rng.standard_normal(n)),
        "silent": (np.zeros(n), np.zeros(n)),
        "railed": (np.full(n, 0.3), np.full(n, 0.3)),
        "swapped": (data[:, belt], data[:, ecg]),
        "six times": (6 * data[:, ecg], 6 * data[:, belt]),
        "EOG": (data[:, info.ch_names.index("VEOG")],) * 2,
        "noise": (2e-4 * rng.standard_normal(n), 5e-4 * rng.standard_normal(n)),
        "another person's": (other[:, ecg], other[:, belt]),
    }
    data[:, [ecg, belt]] = np.stack(columns[fault], 1)
    return data


@cache
def fitted(fault: str = "") -> tuple[Model, dict[str, Any]]:
    recording = scene(seconds=180.0)
    if fault:
        data = with_fault(fault, np.array(recording.data), recording.info)
        recording = replace(recording, data=data)
    return fit_cleaning(drafted(recording), [labelled(recording)])


def run(
    data: np.ndarray, model: Model, without: tuple[str, ...] = ()
) -> tuple[np.ndarray, set[tuple[str, str]]]:
    """Clean a recording; what comes out, and what is told of which reference."""
    simulation = person()
    recording = Recording(data, np.arange(len(data)) / SFREQ, simulation.info, simulation.events)
    decoder = Decoder(model, recording.info)
    if without:
        from rt_decoder.pipeline import PipelineOptions

        decoder = Decoder(model, recording.info, PipelineOptions(without=without))
    check = ReferenceCheck(*decoder.pipeline.stages.values())
    parts, told = [], set()

    def keep(hop) -> None:
        parts.append(hop.data[:, :N_CHANNELS].copy())
        for event, details in check.look(float(hop.times[-1])):
            told.add((event, details["channel"]))

    decoder.pipeline.tap(keep)
    list(decode_recording(model, recording, recording.markers, chunk=1000, decoder=decoder))
    return np.concatenate(parts), told


@cache
def uncleaned() -> tuple[np.ndarray, np.ndarray]:
    """The brain behind the filters, and everything behind the filters."""
    components = person().components
    brain = sum(components[name] for name in ("evoked", "background", "alpha"))
    model, _ = fitted()
    return run(np.asarray(brain), model, STAGES)[0], run(person().data, model, STAGES)[0]


def left(out: np.ndarray, start: float = SETTLED, stop: float = END) -> float:
    """RMS of what is not the brain, over that without cleaning."""
    truth, none = uncleaned()
    rows = slice(round(start * SFREQ), round(stop * SFREQ))
    return float(np.sqrt(np.mean((out - truth)[rows] ** 2) / np.mean((none - truth)[rows] ** 2)))


LIVE = [pytest.param(f, marks=[pytest.mark.slow] * (f != "another person's")) for f in FAULTS]


@pytest.mark.parametrize("fault", LIVE)
def test_a_faulty_reference_does_no_harm_live_and_is_told(fault: str) -> None:
    model, _ = fitted()
    out, told = run(with_fault(fault, person().data, person().info), model)
    assert left(out) <= 1.05
    about = {name for event, name in told if event in ("reference_changed", "reference_unusable")}
    assert about if fault == "noise" else about == set(NAMES)


@pytest.mark.parametrize("fault", LIVE)
def test_a_fault_that_begins_in_mid_session_does_no_harm_and_is_told(fault: str) -> None:
    """As long as it is not noticed it may harm, and so little that the minute is no worse."""
    model, _ = fitted()
    data, first = np.array(person().data), round(BEGINS * SFREQ)
    data[first:] = with_fault(fault, person().data, person().info)[first:]
    out, told = run(data, model)
    assert left(out, BEGINS, BEGINS + 60.0) <= 1.05
    about = {name for event, name in told if event in ("reference_changed", "reference_unusable")}
    assert about if fault == "noise" else about == set(NAMES)
    np.testing.assert_array_equal(out[:first], run(np.array(person().data), model)[0][:first])


def test_good_references_help_and_nothing_is_told() -> None:
    out, told = run(person().data, fitted()[0])
    assert left(out) < 0.7
    assert told == set()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_reference_does_no_harm_in_calibration_and_is_told(fault: str) -> None:
    model, report = fitted(fault)
    out, told = run(person().data, model)
    assert left(out) <= 1.05
    if fault == "six times":  # that is told as soon as the reference is another size
        assert {("reference_changed", name) for name in NAMES} <= told
    elif fault == "EOG":
        assert "no regular beats" in str(report["regressors"])
        assert "heartbeat" not in model.cleaning
    else:
        reason = report["regressors"]["left_out"]
        constant = fault in ("silent", "railed")
        said = "or none varies" if constant else "no reference explains anything of the data"
        assert said in reason
        if fault in ("dead", "swapped", "noise"):
            assert "ECG: no regular beats" in reason
            assert "RESP: no breath" in reason


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def test_only_a_breath_is_a_breath() -> None:
    n, good = round(120 * SFREQ), np.zeros(round(120 * SFREQ), bool)
    pace = 0.25 + 0.03 * np.interp(np.arange(n), np.arange(0, n + 500, 500), noise(n // 500 + 1))
    breath = np.sin(2 * np.pi * np.cumsum(pace) / SFREQ)
    blinks = np.zeros(n)
    blinks[:: round(5 * SFREQ)] = 1.0
    blinks = np.convolve(blinks, np.hanning(round(0.3 * SFREQ)), "same")
    assert shows_breath(breath, SFREQ, good)[0]
    assert shows_breath(breath, SFREQ, ~good) == (False, "no good sample", 0.0)
    assert shows_breath(1e-6 * (breath + noise(n)) - 3.0, SFREQ, good)[0]
    for other in (noise(n), blinks, 1e-3 * noise(n), np.sin(2 * np.pi * 10 * np.arange(n) / SFREQ)):
        found, what, _ = shows_breath(other, SFREQ, good)
        assert not found, what


def test_an_ecg_shows_beats_with_their_number() -> None:
    info, data = person().info, person().data
    bad = np.zeros(len(data), bool)
    ecg = info.ch_names.index("ECG")
    seen = shown(data, info, bad, ecg)
    assert seen.is_kind
    assert seen.what.startswith(f"{len(seen.peaks)} beats")
    assert not shown(with_fault("swapped", data, info), info, bad, ecg).is_kind
    assert shown(data, info, bad, 0).is_kind  # electrodes say nothing of themselves


def test_decibels_are_of_what_is_locked_and_need_beats() -> None:
    n, peaks = round(60 * SFREQ), np.arange(300, round(59 * SFREQ), round(0.8 * SFREQ))
    course = np.zeros(n)
    for peak in peaks:
        course[peak - 10 : peak + 100] += np.hanning(110)
    x = np.outer(course, np.ones(4)) + np.stack([noise(n, k) for k in range(4)], 1)
    half = x - 0.5 * course[:, None]
    assert decibels_on_beats(x, half, peaks, SFREQ)["beats_db"] == pytest.approx(-6.0, abs=1.0)
    assert decibels_on_beats(x, x, peaks, SFREQ) == {"beats_db": 0.0, "qrs_db": 0.0}
    assert decibels_on_beats(x, x, peaks[:5], SFREQ) == {"beats_db": None, "qrs_db": None}


def test_a_weaker_effect_is_watched_for_longer() -> None:
    n = round(120 * SFREQ)
    said, other = np.sin(np.arange(n) / 40.0)[:, None], noise(n)[:, None]
    times = [watch_time(a * said, a * said + other, SFREQ)[1] for a in (1.0, 0.05, 0.005)]
    assert times[0] < 2.0 < times[1] < times[2]
