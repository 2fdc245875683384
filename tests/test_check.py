"""`rt-decoder check`: what is planted is found, and what is sound is not complained of."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rt_decoder.checks.check import check_recording
from rt_decoder.checks.finding import Finding, Verdict, finding_lines, worst
from rt_decoder.checks.machine import check_disk
from rt_decoder.checks.photodiode import check_photodiode
from rt_decoder.files.decisions import MarkerCame
from rt_decoder.files.recording import Recording
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import replay
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.simulation.participant import Participant
from tests.small import (
    VECTORS,
    WORDS,
    call,
    random_model,
    small_recipe,
    small_recording,
)

SECONDS, SFREQ = 40.0, 250.0


def person(seed: int, n_channels: int = 24) -> Recording:
    """A simulated person with blinks, heart and breath, and words as markers."""
    participant = Participant(
        VECTORS, WORDS, n_channels=n_channels, sfreq=SFREQ, references=True, seed=seed
    )
    made = participant.simulate(duration=SECONDS, seed=seed + 10, components=False)
    times = 100.0 + np.arange(len(made.data)) / SFREQ
    markers = tuple(one._replace(time=times[one.index]) for one in made.events)
    return Recording(made.data, times, made.info, markers, name="person")


PERSON = person(3)
C = {kind: PERSON.info.ch_types.index(kind) for kind in ("eeg", "ecg", "resp", "eog")}


def found(recording: Recording, **kwargs: object) -> dict[str, Finding]:
    """What is not as it should be, by name."""
    findings = check_recording(recording, **kwargs)  # type: ignore[arg-type]
    return {one.what: one for one in findings if one.verdict in (Verdict.LOOK, Verdict.BAD)}


def changed(change: Callable[[np.ndarray], None]) -> Recording:
    data = np.array(PERSON.data)
    change(data)
    return replace(PERSON, data=data)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_nothing_is_said_against_a_sound_recording(seed: int) -> None:
    assert found(person(seed), expects_markers=True) == {}


def _dead(data: np.ndarray) -> None:
    data[:, 4] = 1e-5


def _off(data: np.ndarray) -> None:
    data[len(data) // 4 :, 4] = np.nan


def _noisy(data: np.ndarray) -> None:
    data[:, 4] += 3e-4 * np.random.default_rng(0).standard_normal(len(data))


def _quiet(data: np.ndarray) -> None:
    data[:, 4] *= 0.05


def _bridged(data: np.ndarray) -> None:
    data[:, 4] = data[:, 9] + 1e-8 * np.random.default_rng(0).standard_normal(len(data))


def _volts(data: np.ndarray) -> None:
    data[:, : C["ecg"]] *= 1e-6


def _mains(data: np.ndarray) -> None:
    wave = 3e-5 * np.sin(2 * np.pi * 50 * np.arange(len(data)) / SFREQ)
    data += wave[:, None] * (np.array(PERSON.info.ch_types) == "eeg")


def _no_heart(data: np.ndarray) -> None:
    data[:, C["ecg"]] = 2e-5 * np.random.default_rng(0).standard_normal(len(data))


def _no_lead(data: np.ndarray) -> None:
    data[:, C["ecg"]] = 0.0


def _no_breath(data: np.ndarray) -> None:
    data[:, C["resp"]] = np.random.default_rng(0).standard_normal(len(data))


@pytest.mark.parametrize(
    ("plant", "where", "verdict"),
    [
        (_dead, "channels", Verdict.BAD),
        (_off, "channels", Verdict.BAD),
        (_noisy, "size", Verdict.LOOK),
        (_quiet, "size", Verdict.LOOK),
        (_bridged, "bridges", Verdict.LOOK),
        (_volts, "size", Verdict.BAD),
        (_mains, "mains", Verdict.LOOK),
        (_no_heart, "heart", Verdict.LOOK),
        (_no_lead, "heart", Verdict.BAD),
        (_no_breath, "breath", Verdict.LOOK),
    ],
)
def test_what_is_planted_is_found_and_named(
    plant: Callable[[np.ndarray], None], where: str, verdict: Verdict
) -> None:
    wrong = found(changed(plant))
    assert wrong[where].verdict is verdict, finding_lines(list(wrong.values()))
    assert wrong[where].fix
    names = PERSON.info.ch_names
    channel = {"heart": names[C["ecg"]], "breath": names[C["resp"]]}.get(where, names[4])
    if plant not in (_volts, _mains):
        assert channel in wrong[where].text
    assert worst(list(wrong.values())) in (verdict, Verdict.BAD)


def test_a_sender_that_loses_samples_and_a_rate_that_is_not_kept() -> None:
    n = len(PERSON.stamps)
    kept = np.r_[0 : n // 2, n // 2 + 500 : n]
    lossy = replace(PERSON, data=PERSON.data[kept], stamps=PERSON.stamps[kept], markers=())
    assert found(lossy)["losses"].figures["n_lost"] == 500
    slow = replace(PERSON, stamps=100.0 + (PERSON.stamps - 100.0) * 1.004, markers=())
    assert "rate" in found(slow)
    slower = replace(PERSON, stamps=100.0 + (PERSON.stamps - 100.0) * 1.05, markers=())
    assert found(slower)["rate"].verdict is Verdict.BAD


def as_session(late: float, ahead: float = 0.0, packet: int = 5) -> Recording:
    """The person as a session record: packets, and markers that come `late` s after their time."""
    n = len(PERSON.stamps) // packet * packet
    ends = PERSON.stamps[packet - 1 : n : packet]
    pulls = np.column_stack((np.full(len(ends), packet), ends + 0.004 + ahead, np.zeros(len(ends))))
    rows = [np.searchsorted(ends, one.time + late) * packet for one in PERSON.markers]
    came = [MarkerCame(int(row), one.label, one.time, None)
            for row, one in zip(rows, PERSON.markers, strict=True) if row < n]  # fmt: skip
    return replace(PERSON, data=PERSON.data[:n], stamps=PERSON.stamps[:n], pulls=pulls,
                   decisions=tuple(came))  # fmt: skip


def test_what_a_session_record_tells_of_arrivals() -> None:
    assert found(as_session(0.02)) == {}
    assert found(as_session(0.9))["lateness"].verdict is Verdict.LOOK
    assert "packets" in found(as_session(0.02, packet=25))
    assert "delay" in found(as_session(0.02, ahead=1e6))
    assert found(as_session(-3.0))["lateness"].verdict is Verdict.BAD


@pytest.mark.parametrize("packet", [5, 2000])
def test_a_long_session_record_is_cut_between_pulls(
    monkeypatch: pytest.MonkeyPatch, packet: int
) -> None:
    """Even where the first pull alone is longer than what is looked at."""
    monkeypatch.setattr("rt_decoder.checks.check.LONGEST", 6.0)
    findings = {one.what: one for one in check_recording(as_session(0.02, packet=packet))}
    assert findings["rate"].verdict is Verdict.GOOD
    assert findings["losses"].verdict is Verdict.GOOD


def test_markers_that_do_not_come_and_that_nobody_expects() -> None:
    silent = replace(PERSON, markers=())
    assert "markers" not in found(silent)
    assert found(silent, expects_markers=True)["markers"].verdict is Verdict.LOOK


def test_a_model_that_does_not_fit() -> None:
    recording = small_recording(seconds=30.0)
    model = random_model(recording, small_recipe())
    lacking = recording.info.pick(range(1, recording.info.n_channels))
    less = replace(recording, data=recording.data[:, 1:], info=lacking)
    contract = found(less, model=model)["contract"]
    assert contract.verdict is Verdict.BAD
    assert recording.info.ch_names[0] in contract.text

    other = replace(recording, markers=(*recording.markers, Marker("zebra", 3.0, 750)))
    wrong = found(other, model=model)
    assert "zebra" in wrong["labels"].text
    assert wrong["model"].verdict is Verdict.BAD  # nobody proved a random map
    assert "contract" not in wrong


def test_hardly_any_samples_and_no_channels_of_the_brain() -> None:
    info = SignalInfo(100.0, ("belt",), ("resp",), ("n/a",))
    few = Recording(np.zeros((50, 1)), np.arange(50) / 100.0, info)
    with pytest.raises(ValueError, match="need a second of samples"):
        check_recording(few)
    some = Recording(np.zeros((300, 1)), np.arange(300) / 100.0, info)
    assert {one.what for one in check_recording(some)} >= {"rate", "channels", "body"}


@pytest.mark.parametrize("kind", ["flash", "toggle", "dark flash"])
@pytest.mark.parametrize(("lag", "jitter"), [(0.023, 0.004), (0.0, 0.0), (0.061, 0.006)])
@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
def test_a_screen_that_lags_is_measured_to_a_millisecond(
    kind: str, lag: float, jitter: float, sfreq: float
) -> None:
    """The truth lies off the sample grid; one frame in thirty comes late."""
    rng = np.random.default_rng(int(1e6 * lag + sfreq))
    times = 50.0 + np.arange(int(150 * sfreq)) / sfreq
    marks = 51.0 + np.cumsum(rng.uniform(0.8, 1.2, 140))
    shown = (
        marks + lag + rng.uniform(-jitter, jitter, len(marks)) + 0.0167 * (rng.random(140) < 0.03)
    )
    if kind == "toggle":
        lit = np.searchsorted(shown, times) % 2
    else:
        lit = np.sum([(times >= one) & (times < one + 0.2) for one in shown], axis=0)
    light = lit + 0.02 * rng.standard_normal(len(times))
    light = -light if kind == "dark flash" else light
    info = SignalInfo(sfreq, ("Cz", "photo"), ("eeg", "misc"), ("V", "n/a"))
    data = np.column_stack((1e-5 * rng.standard_normal(len(times)), 3.0 + 40.0 * light))
    markers = tuple(Marker("word", float(one), int(np.argmin(abs(times - one)))) for one in marks)
    recording = Recording(data, times, info, markers)
    finding = check_photodiode(recording, "photo")
    assert abs(finding.figures["delay_ms"] - 1e3 * lag) < 1.0
    assert finding.figures["spread_ms"] < 1.5e3 * jitter + 1e3 / sfreq
    assert f"--marker-offset {finding.figures['delay_ms']:.1f}" in finding.fix


def test_a_photodiode_that_sees_nothing() -> None:
    rng = np.random.default_rng(0)
    noise = np.column_stack((PERSON.data, rng.standard_normal(len(PERSON.stamps))))
    info = PERSON.info
    joined = SignalInfo(
        SFREQ, (*info.ch_names, "photo"), (*info.ch_types, "misc"), (*info.units, "n/a")
    )
    dark = replace(PERSON, data=noise, info=joined)
    assert check_photodiode(dark, "photo").verdict is Verdict.BAD
    assert check_photodiode(dark, "diode").verdict is Verdict.BAD
    assert "screen" in found(dark, photodiode="photo")
    few = replace(dark, markers=PERSON.markers[:3])
    assert check_photodiode(few, "photo").verdict is Verdict.UNKNOWN


def test_a_disk_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    assert check_disk(tmp_path, 1e5).verdict is Verdict.GOOD
    assert check_disk(tmp_path, 1e12).verdict is Verdict.BAD
    assert check_disk(tmp_path / "away", 1e5).verdict is Verdict.BAD
    assert list(tmp_path.iterdir()) == []


@pytest.mark.lsl
@pytest.mark.slow
def test_a_live_stream_is_looked_at_and_nothing_is_left(
    capsys: pytest.CaptureFixture[str], source_id: str, tmp_path: Path
) -> None:
    options = ReplayOptions(wait=120.0, linger=3.0)
    sender = threading.Thread(
        target=replay, args=(PERSON, PERSON.markers, options),
        kwargs={"name": source_id, "source_id": source_id},
    )  # fmt: skip
    sender.start()
    ran = call(
        capsys, "check", "--name", source_id, "--markers", f"{source_id}-markers",
        "--seconds", "12", "--folder", tmp_path, "--json",
    )  # fmt: skip
    sender.join()
    assert ran.code == 0, ran.err
    told = json.loads(ran.out.splitlines()[-1])
    verdicts = {one["what"]: one["verdict"] for one in told["findings"]}
    assert {"rate", "packets", "delay", "lateness", "disk", "markers"} <= set(verdicts)
    assert verdicts["channels"] == verdicts["losses"] == verdicts["markers"] == "good"
    assert list(tmp_path.iterdir()) == []
