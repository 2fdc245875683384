"""EOG channels that show no eyes in calibration: they are left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

from calibration.cleaning.eye import fit_eye, summary
from calibration.cleaning.eye_events import find_eye_events
from calibration.cleaning.eye_reference import explained, why_no_eog
from calibration.cleaning.stage_fit import LeftOut, StageFit
from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import SosFilter
from rt_decoder.signal import FLAGS, Chunk, SignalInfo
from rt_decoder.simulation.disturbance import CLEANING
from rt_decoder.simulation.participant import Participant
from tests.cleaned import N_CHANNELS, SFREQ
from tests.small import VECTORS, WORDS

EOG = ("VEOG", "HEOG")
FAULTS = {
    "dead": "no blinks", "silent": "constant", "railed": "constant", "swapped with ECG": "the heart",
    "a belt": "a breath", "noise": "no blinks", "another person's": "that the data show as well",
}  # fmt: skip
HARMLESS = ("six times", "upside down", "VEOG for HEOG")


@cache
def recorded(
    seed: int = 0, session: int = 1, seconds: float = 90.0
) -> tuple[np.ndarray, SignalInfo]:
    person = Participant(
        VECTORS, WORDS, n_channels=N_CHANNELS, sfreq=SFREQ, references=True, scene=CLEANING,
        artifacts={"blink": 1.0, "saccade": 1.0, "heart": 1.0, "breath": 1.0}, seed=seed,
    )  # fmt: skip
    simulation = person.simulate(duration=seconds, seed=session, components=False)
    info, n = simulation.info, len(simulation.data)
    flags = np.zeros(n, FLAGS), np.zeros(simulation.data.shape, FLAGS)
    band = SosFilter(info, design_sos(SFREQ, 0.5, 40.0))
    out = band.process(Chunk(simulation.data, np.arange(n) / SFREQ, 0, *flags))
    return out.data[round(2 * SFREQ) :].copy(), info


def with_fault(fault: str) -> tuple[np.ndarray, SignalInfo]:
    (data, info), rng = recorded(), np.random.default_rng(0)
    data, n, other = data.copy(), len(data), recorded(77)[0]
    at = {name: info.ch_names.index(name) for name in (*EOG, "ECG", "RESP")}
    own = [data[:, at[name]] for name in EOG]
    wrong = {
        "dead": 1e-8 * rng.standard_normal((2, n)),
        "silent": np.zeros((2, n)),
        "railed": np.full((2, n), 0.3),
        "swapped with ECG": [data[:, at["ECG"]]] * 2,
        "a belt": [data[:, at["RESP"]]] * 2,
        "noise": 1e-4 * rng.standard_normal((2, n)),
        "another person's": [other[:, at[name]] for name in EOG],
        "six times": [6 * x for x in own],
        "upside down": [-x for x in own],
        "VEOG for HEOG": own[::-1],
    }
    data[:, [at[name] for name in EOG]] = np.stack(list(wrong[fault]), 1)
    return data, info


def fitted(data: np.ndarray, info: SignalInfo) -> StageFit | LeftOut:
    return fit_eye(data.copy(), info, np.zeros(len(data), bool))


@cache
def without_eog() -> StageFit:
    data, info = recorded()
    kept = [k for k, kind in enumerate(info.ch_types) if kind != "eog"]
    fit = fitted(data[:, kept], info.pick(kept))
    assert isinstance(fit, StageFit)
    return fit


QUICK = ("another person's", "six times")


def cases(faults: Iterable[str]) -> list[Any]:
    return [pytest.param(f, marks=[pytest.mark.slow] * (f not in QUICK)) for f in faults]


@pytest.mark.parametrize("fault", cases(FAULTS))
def test_a_wrong_eog_is_left_out_and_told_and_the_frontal_channels_are_used(fault: str) -> None:
    data, info = with_fault(fault)
    fit = fitted(data, info)
    assert isinstance(fit, StageFit)
    assert fit.report["way"] == "frontal"
    assert set(fit.report["eog_left_out"]) == set(EOG)
    assert all(FAULTS[fault] in reason for reason in fit.report["eog_left_out"].values())
    assert "VEOG left out: " in summary(fit.report).found
    for name, value in without_eog().arguments.items():  # as if there were no EOG
        np.testing.assert_array_equal(fit.arguments[name], value)


@pytest.mark.parametrize("fault", cases(HARMLESS))
def test_size_sign_and_names_of_eog_do_not_matter(fault: str) -> None:
    right, wrong = (fitted(*x) for x in (recorded(), with_fault(fault)))
    assert isinstance(right, StageFit)
    assert isinstance(wrong, StageFit)
    assert right.report["way"] == wrong.report["way"] == "eog"
    assert "eog_left_out" not in wrong.report
    assert wrong.report["rank"] == right.report["rank"]
    cleaned = []
    for fit in (right, wrong):
        (data, info), n = recorded(0, 2, 40.0), len(recorded(0, 2, 40.0)[0])
        flags = np.zeros(n, FLAGS), np.zeros(data.shape, FLAGS)
        out = EyeCorrection(info, **fit.arguments).process(
            Chunk(data, np.arange(n) / SFREQ, 0, *flags)
        )
        cleaned.append(out.data[:, :N_CHANNELS].copy())
    assert np.std(cleaned[0] - cleaned[1]) < 0.05 * np.std(cleaned[0])


def test_one_wrong_eog_of_two_leaves_the_other() -> None:
    data, info = recorded()
    data = data.copy()
    data[:, info.ch_names.index("HEOG")] = recorded(77)[0][:, info.ch_names.index("HEOG")]
    events = find_eye_events(data, info, np.zeros(len(data), bool))
    assert events.way == "eog"
    assert events.source == ("VEOG",)
    assert set(events.left_out) == {"HEOG"}


@pytest.mark.slow
def test_without_frontal_channels_nothing_is_made_of_a_wrong_eog() -> None:
    data, info = with_fault("another person's")
    kept = [k for k, name in enumerate(info.ch_names) if name[0] in "POC" or k >= N_CHANNELS]
    fit = fitted(data[:, kept], info.pick(kept))
    if isinstance(fit, LeftOut):
        assert "VEOG left out: no blinks" in fit.reason
    else:
        assert fit.report["way"] == "blind"
        assert set(fit.report["eog_left_out"]) == set(EOG)


def test_what_data_explain_is_measured_on_held_out_samples() -> None:
    rng, n = np.random.default_rng(0), 4000
    x = rng.standard_normal((n, 6))
    seen = x @ rng.standard_normal(6)
    rows = np.arange(0, n, 2)
    share, chance = explained(x, 3.0 * seen, rows)
    assert share > 0.99
    assert chance < 0.05
    noise = np.sqrt(np.mean(seen**2)) * rng.standard_normal(n)
    assert explained(x, seen + noise, rows)[0] == pytest.approx(0.5, abs=0.06)
    assert explained(x, noise, rows)[0] < 0.02
    assert why_no_eog(
        np.column_stack([x, np.zeros(n)]),
        SignalInfo(100.0, tuple("abcdefE"), ("eeg",) * 6 + ("eog",), ("V",) * 7),
        np.zeros(n, bool), 6,
    ) == "constant"  # fmt: skip
