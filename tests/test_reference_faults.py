"""References that go wrong while every cleaning stage is on: what comes out stays sane, and is told.

The truth is what the person's brain alone gives behind filters and reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from calibration.cleaning.chain import fit_cleaning
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.decoder import Decoder
from rt_decoder.files.recording import Recording
from rt_decoder.live.reference_check import ReferenceCheck
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recipe import STAGES
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Readout, Reason, SignalInfo
from rt_decoder.simulation.disturbance import CLEANING
from rt_decoder.simulation.participant import Participant, Simulation
from rt_decoder.sources.auxiliary.joined import JoinedSource
from rt_decoder.sources.auxiliary.stream import AuxiliaryStream
from tests.cleaned import N_CHANNELS, SFREQ, drafted, labelled, scene
from tests.small import VECTORS, WORDS, timeless
from tests.test_joined import OFFSET, SKEW, Clock, Fake, run

GONE, BACK, END = 20.0, 80.0, 104.0  # s: the references are wrong for a minute
NAMES = ("ECG", "RESP")


@cache
def model() -> Model:
    """With every stage, from three minutes: a breath is slow."""
    recording = scene(seconds=180.0)
    return fit_cleaning(drafted(recording), [labelled(recording)])[0]


@cache
def heart_and_breath() -> Simulation:
    participant = Participant(
        VECTORS, WORDS, n_channels=N_CHANNELS, sfreq=SFREQ, references=True, scene=CLEANING,
        artifacts={"heart": 2.0, "breath": 2.0},
    )  # fmt: skip
    return participant.simulate(duration=END, seed=5)


class Cleaned(NamedTuple):
    """What came out of the chain."""

    data: np.ndarray  # (n, N_CHANNELS)
    flags: np.ndarray  # (n,)
    of_references: np.ndarray  # (n, 2) flags of ECG and RESP
    weights: np.ndarray  # (n hops, taps, channels) of the regression
    answers: list[Readout]
    told: list[tuple[float, str, str]]  # time in s, event and channel


def cleaned(
    recording: Recording, model: Model, without: tuple[str, ...] = (), chunk: int = 1000
) -> Cleaned:
    decoder = Decoder(model, recording.info, PipelineOptions(without=without))
    stage = decoder.pipeline.stages.get("regressors")
    columns = [model.info.ch_names.index(name) for name in NAMES]
    parts: list[tuple[np.ndarray, ...]] = []
    check = ReferenceCheck(stage if isinstance(stage, Regressors) else None)
    told: list[tuple[float, str, str]] = []

    def keep(hop) -> None:
        now = float(hop.times[-1])
        told.extend((now, event, details["channel"]) for event, details in check.look(now))
        weights = np.zeros((0, 0)) if stage is None else stage.weights
        of_references = hop.channel_flags[:, columns]
        parts.append((hop.data[:, :N_CHANNELS].copy(), hop.flags.copy(), of_references, weights))

    decoder.pipeline.tap(keep)
    markers = recording.markers
    answers = list(decode_recording(model, recording, markers, chunk=chunk, decoder=decoder))
    data, flags, of_references, weights = zip(*parts, strict=True)
    return Cleaned(
        np.concatenate(data), np.concatenate(flags), np.concatenate(of_references),
        np.stack(weights), answers, told,
    )  # fmt: skip


def recorded(data: np.ndarray) -> Recording:
    simulation = heart_and_breath()
    return Recording(data, np.arange(len(data)) / SFREQ, simulation.info, simulation.events)


@cache
def healthy() -> tuple[Cleaned, np.ndarray, np.ndarray]:
    """The chain with good references; the truth; and what comes out without any cleaning."""
    fitted, simulation = model(), heart_and_breath()
    brain = sum(simulation.components[name] for name in ("evoked", "background", "alpha"))
    truth = cleaned(recorded(np.asarray(brain)), fitted, STAGES).data
    none = cleaned(recorded(simulation.data), fitted, STAGES).data
    return cleaned(recorded(simulation.data), fitted), truth, none


def error(data: np.ndarray, start: float, stop: float, truth: np.ndarray | None = None) -> float:
    """RMS of what is not the brain, over that of the brain."""
    truth = healthy()[1] if truth is None else truth
    rows = slice(round(start * SFREQ), round(stop * SFREQ))
    return float(np.sqrt(np.mean((data - truth)[rows] ** 2) / np.mean(truth[rows] ** 2)))


def lost(x: np.ndarray) -> np.ndarray:
    return np.full_like(x, np.nan)


def rails(x: np.ndarray) -> np.ndarray:
    return np.full_like(x, 0.3)


def impossible(x: np.ndarray) -> np.ndarray:
    return np.full_like(x, 5.0)


def stands_still(x: np.ndarray) -> np.ndarray:
    return np.full_like(x, x[0])


def noise(x: np.ndarray) -> np.ndarray:
    return 0.02 * np.random.default_rng(0).standard_normal(x.shape)


def holes(x: np.ndarray) -> np.ndarray:
    x[np.random.default_rng(0).random(x.shape) < 0.01] = np.nan
    return x


def inverts(x: np.ndarray) -> np.ndarray:
    return -x


def with_fault(fault: Callable[[np.ndarray], np.ndarray], names: tuple[str, ...]) -> Recording:
    data = heart_and_breath().data.copy()
    rows = slice(round(GONE * SFREQ), round(BACK * SFREQ))
    for name in names:
        column = heart_and_breath().info.ch_names.index(name)
        data[rows, column] = fault(data[rows, column].copy())
    return recorded(data)


@cache
def faulty(fault: Callable[[np.ndarray], np.ndarray], names: tuple[str, ...]) -> Cleaned:
    return cleaned(with_fault(fault, names), model())


QUICK = ((inverts, NAMES),)
ALL = [
    (fault, names)
    for fault in (lost, rails, impossible, stands_still, noise, holes, inverts)
    for names in (("ECG",), ("RESP",), NAMES)
]


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        pytest.param(*case, id=f"{case[0].__name__}-{'+'.join(case[1])}",
                     marks=[pytest.mark.slow] * (case not in QUICK))
        for case in ALL
    ],
)  # fmt: skip
def test_a_minute_without_sane_references(fault, names: tuple[str, ...]) -> None:
    good, _, none = healthy()
    bad = faulty(fault, names)
    assert np.isfinite(bad.data).all()
    before = round(GONE * SFREQ)
    np.testing.assert_array_equal(bad.data[:before], good.data[:before])
    # Nobody knows what comes back after a minute: it earns its trust again, at no time worse than
    # no cleaning. What still said something is believed at once.
    for stop in (BACK + 3.0, END):
        usual = error(good.data if fault is holes else none, BACK + 1.0, stop)
        assert error(bad.data, BACK + 1.0, stop) < (1.1 if fault is holes else 1.05) * usual
    # Meanwhile cleaning is no worse than none; what is upside down can at most double an artifact.
    worst = max(error(good.data, GONE, BACK), error(none, GONE, BACK))
    assert error(bad.data, GONE, BACK) < (1.5 if fault is inverts else 1.1) * worst
    calibrated = model().cleaning["regressors"]["weights"]
    assert np.abs(bad.weights).max() < 3.0 * np.abs(calibrated).max()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lost, Reason.REFERENCE_LOST),
        pytest.param(rails, Reason.RAIL, marks=pytest.mark.slow),
        pytest.param(impossible, Reason.AMPLITUDE, marks=pytest.mark.slow),
    ],
)
def test_what_is_wrong_is_flagged_and_corrects_nothing(fault, reason: Reason) -> None:
    bad = faulty(fault, NAMES)
    first, last = round(GONE * SFREQ), round(BACK * SFREQ)
    assert (bad.of_references[first + 20 : last] & reason).all()
    assert not (bad.of_references[round(5 * SFREQ) : first] & reason).any()
    settled = last + round(SFREQ * Pipeline(model()).settling) + 20
    assert not bad.of_references[settled:].any()
    middle = slice(first + 250, last)
    assert not (bad.flags[middle] & Reason.REGRESSED).any()
    assert (bad.flags[settled:] & Reason.REGRESSED).any()
    # The brain's samples are as good as before: nobody is left without words for a lost belt.
    assert np.mean(bad.flags[middle] & Reason.BAD_CHANNEL != 0) < 0.01
    regressed = [a.corrected[-1] for a in bad.answers if first + 250 < a.index < last - 250]
    assert len(regressed) > 50
    assert max(regressed) == 0.0


def test_nothing_is_told_of_good_references() -> None:
    assert healthy()[0].told == []


@pytest.mark.parametrize(
    "fault", [lost, *(pytest.param(f, marks=pytest.mark.slow) for f in (rails, impossible))]
)
def test_references_that_cannot_be_used_are_told(fault) -> None:
    told = faulty(fault, NAMES).told
    for channel in NAMES:
        (gone, first), (back, second) = [one[:2] for one in told if one[2] == channel]
        assert (first, second) == ("reference_unusable", "reference_usable")
        assert GONE <= gone < GONE + 0.3
        assert BACK <= back < BACK + 2.5


@pytest.mark.slow
def test_a_short_fault_is_told_too() -> None:
    data = heart_and_breath().data.copy()
    columns = [heart_and_breath().info.ch_names.index(name) for name in NAMES]
    data[5010:5020, columns] = np.nan
    events = [event for _, event, _ in cleaned(recorded(data), model()).told]
    assert sorted(events) == sorted(2 * ["reference_unusable", "reference_usable"])


def first_change(told: list[tuple[float, str, str]], channel: str) -> float:
    """When a reference was first told to have changed, in s."""
    return next(t for t, event, name in told if (event, name) == ("reference_changed", channel))


def test_references_that_were_turned_upside_down_are_told() -> None:
    """As soon as the weights have learned that little fits any more."""
    told = faulty(inverts, NAMES).told
    for channel in NAMES:
        assert GONE + 5.0 < first_change(told, channel) < BACK


@pytest.mark.slow
def test_a_reset_is_no_proof_that_a_reference_is_as_before() -> None:
    """Weights are calibrated ones then, whatever the reference is like."""
    whole = with_fault(inverts, ("RESP",))
    kept = (whole.stamps < 72.0) | (whole.stamps >= 72.2)
    markers = tuple(marker._replace(index=-1) for marker in whole.markers)
    holed = replace(whole, data=whole.data[kept], stamps=whole.stamps[kept], markers=markers)
    told = cleaned(holed, model()).told
    assert first_change(told, "RESP") < 72.0
    assert [event for _, event, _ in told] == ["reference_changed"]


@pytest.mark.slow
def test_no_cut_changes_a_bit_of_it() -> None:
    recording = with_fault(holes, NAMES)
    whole = cleaned(recording, model())
    for chunk in (1, 7):
        again = cleaned(recording, model(), chunk=chunk)
        np.testing.assert_array_equal(again.data, whole.data)
        np.testing.assert_array_equal(again.weights, whole.weights)
        assert timeless(again.answers) == timeless(whole.answers)


# --- a reference on a stream and clock of its own


def joined(
    recording: Recording, fault: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    drop: tuple[float, float] = (0.0, 0.0),
) -> Recording:  # fmt: skip
    """The recording as a session keeps it that got ECG and RESP from another stream."""
    info, clock = recording.info, Clock()
    columns = [info.ch_names.index(name) for name in NAMES]
    others = [k for k in range(info.n_channels) if k not in columns]
    main = Fake(
        info.pick(others), clock, 10.0 + recording.stamps, recording.data[:, others], name="main"
    )
    times = 9.9013 + np.arange(round((recording.stamps[-1] + 1.0) * 240)) / 240
    values = np.stack(
        [np.interp(times - 10.0, recording.stamps, recording.data[:, k]) for k in columns], 1
    )
    if fault is not None:
        values = fault(times - 10.0, values)
    kept = (times - 10.0 < drop[0]) | (times - 10.0 >= drop[1])
    times, values = times[kept], values[kept]
    own = SignalInfo(240.0, NAMES, ("ecg", "resp"), ("V", "V"))
    belt = Fake(
        own, clock, times, values, arrive=times + 0.002, offset=OFFSET, skew=SKEW, name="belt"
    )
    source = JoinedSource(main, [AuxiliaryStream(belt)])
    source.open()
    data, stamps = run(source, clock, np.arange(10.0, 10.0 + recording.stamps[-1] + 1.0, 0.05))
    markers = tuple(m._replace(time=m.time + 10.0) for m in recording.markers)
    return replace(recording, data=data, stamps=stamps, info=source.info, markers=markers)


@pytest.mark.slow
def test_a_reference_on_a_clock_of_its_own_that_drops_out_for_a_minute() -> None:
    """Calibrated through the same two streams; the clocks differ by days and drift apart."""
    calibration = joined(scene())
    model, _ = fit_cleaning(drafted(calibration), [labelled(calibration)])
    assert {"regressors", "eye"} <= set(model.cleaning)
    truth, none = (
        cleaned(joined(recorded(data)), model, STAGES).data
        for data in (
            sum(heart_and_breath().components[k] for k in ("evoked", "background", "alpha")),
            heart_and_breath().data,
        )
    )
    whole = joined(recorded(heart_and_breath().data))
    holed = joined(recorded(heart_and_breath().data), drop=(GONE, BACK))
    good, bad = cleaned(whole, model), cleaned(holed, model)
    rows = slice(round((GONE + 0.2) * SFREQ), round((BACK - 0.2) * SFREQ))
    assert np.isnan(holed.data[rows, -2:]).all()
    assert (bad.of_references[rows] & Reason.REFERENCE_LOST).all()
    assert np.isfinite(bad.data).all()
    for stop in (BACK + 3.0, END - 1.0):
        assert error(bad.data, BACK + 1.0, stop, truth) < 1.05 * error(
            none, BACK + 1.0, stop, truth
        )
    late = (error(x, BACK + 10.0, END - 1.0, truth) for x in (bad.data, good.data, none))
    now, usual, uncleaned = late  # most of it is believed again
    assert now < 0.5 * (usual + uncleaned)
    worst = max(error(x, GONE, BACK, truth) for x in (good.data, none))
    assert error(bad.data, GONE, BACK, truth) < 1.1 * worst
    for chunk in (1, 64):
        again = cleaned(holed, model, chunk=chunk)
        np.testing.assert_array_equal(again.data, bad.data)
        assert timeless(again.answers) == timeless(bad.answers)
