"""The monitor: what it notices and names, and that live, record and file say the same."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
from pylsl import local_clock

from calibration.demo import save_recording
from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from calibration.monitor import fit_monitor
from calibration.monitor_montage import SecondsOfChannels, fit_montage, known_orders
from calibration.monitor_ranks import rank_ratio
from calibration.monitor_response import fit_response
from calibration.watching import watch_recordings, watching_lines
from rt_decoder.commands.decode import decode_file
from rt_decoder.commands.describe import model_lines
from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Note
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.monitor_text import monitor_lines
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.monitor.monitor import make_monitor
from rt_decoder.monitor.montage import Change, MontageCheck
from rt_decoder.monitor.ranks import RankTest, chance_of_bins, ranks_needed
from rt_decoder.monitor.response import LAGS, ORDER, EventScores, response_span
from rt_decoder.monitor.sequence import ResponseTest, events_to_notice, n_to_name
from rt_decoder.monitor.verdict import about_channels
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording, features_of_recording
from rt_decoder.signal import FLAGS, Chunk, Marker, Readout, SignalInfo
from rt_decoder.simulation.head import MONTAGE, electrodes
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.outlets import data_outlet, marker_outlet
from rt_decoder.sinks.record import Recorder
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from rt_decoder.timing.markers import MarkerRules
from tests.contract import allocated
from tests.lsl_loopback import wait_for
from tests.small import (
    call,
    fake_embedder,
    fit_small,
    lines,
    small_recipe,
    small_recording,
    timeless,
)
from tests.test_session import Running

LAG, SFREQ = 0.02, 250.0
PROFILE = np.exp(-0.5 * (np.arange(-LAGS, LAGS + 1) / 1.2) ** 2)


@cache
def watched() -> Model:
    """The small participant's model, which knows the response."""
    recording, recipe = small_recording(seconds=200.0), small_recipe()
    draft = draft_model([recording], recipe)
    labelled = [label_recording(recording, None, recipe, MarkerRules())]
    design = build_design(draft, labelled)
    return fit_monitor(fit_model(draft, design, embedder=fake_embedder), design, labelled)


@cache
def today() -> Recording:
    return small_recording(session=2, seconds=75.0)


def inverted(recording: Recording) -> Recording:
    return replace(recording, data=recording.data * np.where(recording.data.max(0) > 1, 1, -1))


def decoded(
    recording: Recording, chunk: int = 64, **options: Any
) -> tuple[list[Readout], list[dict[str, Any]]]:
    """Readouts, and what the monitor told."""
    decoder = Decoder(watched(), recording.info, PipelineOptions(**options))
    answers = list(
        decode_recording(watched(), recording, recording.markers, chunk=chunk, decoder=decoder)
    )
    events = [{"event": event} | details for event, details in decoder.take_events()]
    return answers, sorted(events, key=lambda one: one["check"] == "events")  # these last


def test_the_same_person_fits() -> None:
    answers, told = decoded(today())
    assert [one["event"] for one in told if one["check"] == "events"] == ["fits_calibration"]
    assert answers[0].fit == "unchecked"
    assert answers[-1].fit == "fits"
    assert not any("unlike_calibration" in one.reasons for one in answers)


def test_inverted_polarity_is_named_and_silences() -> None:
    answers, told = decoded(inverted(today()))
    told = [one for one in told if one["check"] == "events"]
    assert told[0]["event"] == "unlike_calibration"
    assert told[-1]["what"] == "inverted"
    assert told[-1]["n_events"] <= 10
    silent = [one for one in answers if "unlike_calibration" in one.reasons]
    assert len(silent) > 0.7 * len(answers)
    assert all(one.abstained and one.fit == "unlike" for one in silent)


@pytest.mark.parametrize("ms", [-300, 100])
def test_late_markers_are_named_to_the_lag(ms: int) -> None:
    markers = [one._replace(time=one.time - 1e-3 * ms) for one in today().markers]
    _, told = decoded(replace(today(), markers=tuple(markers)))
    assert (told[-1]["event"], told[-1]["what"]) == ("unlike_calibration", "shifted")
    assert told[-1]["lag_ms"] == pytest.approx(ms, abs=10)
    assert told[-1]["n_events"] <= 20
    assert "--marker-offset" in told[-1]["fix"]


def test_noise_is_no_response() -> None:
    rng = np.random.default_rng(0)
    noise = today().data.std(axis=0) * rng.standard_normal(today().data.shape)
    _, told = decoded(replace(today(), data=noise))
    assert (told[-1]["event"], told[-1]["what"]) == ("unlike_calibration", "absent")


def test_a_warning_changes_no_answer() -> None:
    answers, told = decoded(inverted(today()), when_unlike="warn")
    assert told[-1]["what"] == "inverted"
    assert answers[-1].fit == "unlike"
    assert not any("unlike_calibration" in one.reasons for one in answers)
    with pytest.raises(ValueError, match="when_unlike among abstain, warn, stop"):
        decoded(today(), when_unlike="shout")


@pytest.mark.slow
def test_the_verdict_does_not_depend_on_chunks() -> None:
    data = np.vstack((today().data[:6000], inverted(today()).data[6000:10000]))  # in mid-session
    markers = tuple(one for one in today().markers if one.index < 10000)
    turned = replace(today(), data=data, stamps=today().stamps[:10000], markers=markers)
    answers, told = decoded(turned, continuous=True)
    assert "fits_calibration" in [one["event"] for one in told]
    assert told[-1]["what"] == "inverted"
    for chunk in (7, 1000):
        other, again = decoded(turned, chunk=chunk, continuous=True)
        assert timeless(other) == timeless(answers)
        assert again == told


def test_a_gain_does_not_matter() -> None:
    picks = [one == "eeg" for one in today().info.ch_types]
    _, told = decoded(replace(today(), data=today().data * np.where(picks, 0.3, 1.0)))
    told = [one for one in told if one["check"] == "events"]
    assert [one["event"] for one in told] == ["fits_calibration"]
    assert told[0]["level"] > 0.8


def test_a_model_keeps_it_in_its_file(tmp_path: Path) -> None:
    save_model(watched(), tmp_path / "m")
    again = load_model(tmp_path / "m")
    for name, value in watched().monitor["events"].items():
        np.testing.assert_array_equal(again.monitor["events"][name], value)
    text = "\n".join(model_lines(again))
    assert "response to events checked" in text
    assert "no false alarm" in text


def test_those_who_score_a_recording_hear_of_it() -> None:
    turned = label_recording(inverted(today()), None, watched().recipe, MarkerRules())
    found = watch_recordings(watched(), [turned])
    assert found[0]["summary"]["state"] == "unlike"
    assert "polarity is inverted" in "\n".join(watching_lines(found))
    blind = replace(watched(), monitor={})
    assert "not checked" in watching_lines(watch_recordings(blind, [turned]))[0]


def test_a_model_without_it_says_so() -> None:
    model = replace(watched(), monitor={}, certificate={"split": {}})
    assert make_monitor(model) is None
    assert "not checked" in "\n".join(model_lines(model))
    answers = list(decode_recording(model, today(), today().markers))
    assert {one.fit for one in answers} == {"unchecked"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"projection": np.ones((3, 4))}, "8 channels"),
        ({"template": np.ones((3, 4))}, "template"),
        ({"spread": 0.0}, "spread"),
        ({"spread": "wide"}, "numbers"),
        ({"ar": np.full(ORDER, np.nan)}, "finite"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(change: dict[str, Any], error: str) -> None:
    wrong = {"events": {**watched().monitor["events"], **change}}
    with pytest.raises(ValueError, match=error):
        make_monitor(replace(watched(), monitor=wrong))


@pytest.mark.slow
def test_a_response_too_weak_is_not_checked() -> None:
    recording, recipe = small_recording(), small_recipe()
    model = fit_small(recording, recipe)
    shuffled = np.random.default_rng(0).permutation(recording.markers)
    times = np.random.default_rng(1).uniform(2, 58, len(shuffled))
    markers = tuple(
        one._replace(time=float(t), index=round(t * 250))
        for one, t in zip(recording.markers, np.sort(times), strict=True)
    )
    anywhere = replace(recording, markers=markers)
    labelled = [label_recording(anywhere, None, recipe, MarkerRules())]
    design = build_design(model, labelled)
    fitted = fit_monitor(model, design, labelled)
    assert fitted.monitor == {}
    assert "too weak" in "\n".join(model_lines(fitted))


def test_scores_are_the_sum_over_whitened_bins() -> None:
    rng = np.random.default_rng(0)
    sfreq, c, r = 250.0, 6, 3
    span = response_span(sfreq)
    projection, ar = rng.standard_normal((c, r)), np.array([0.5, -0.2, 0.1])
    template = rng.standard_normal((span.n_times, r))
    window = EventScores(sfreq, projection, ar, template)
    data = rng.standard_normal((span.last - span.first + 50, c))
    window.write(data, np.zeros(len(data), FLAGS), 0)
    onset = 20 - span.first
    assert window.look(onset) == 1.0
    assert window.score()
    bins = (data[20 : 20 + span.last - span.first] @ projection).reshape(-1, span.width, r).mean(1)
    white = bins[3:] - 0.5 * bins[2:-1] + 0.2 * bins[1:-2] - 0.1 * bins[:-3]
    expected = [np.sum(template * white[lag : lag + span.n_times]) for lag in range(2 * LAGS + 1)]
    np.testing.assert_allclose(window.scores, expected / np.sqrt(np.mean(white**2)), rtol=1e-9)


def test_samples_that_are_not_there_are_not_scored() -> None:
    window = EventScores(250.0, np.eye(2), np.zeros(ORDER), np.zeros((40, 2)))
    window.write(np.ones((600, 2)), np.zeros(600, FLAGS), 0)
    assert window.look(100) == 0.0  # begins before the first sample
    assert window.look(400) == 0.0  # ends after the last
    assert window.look(200) == 1.0
    window.write(np.ones((10, 2)), np.zeros(10, FLAGS), 700)  # samples were lost
    assert window.look(200) == 0.0


def scores(rng: np.random.Generator, n: int, d: float, fault: str = "") -> np.ndarray:
    """Scores of events (n, n_lags) with independent noise."""
    noise = rng.standard_normal((n, len(PROFILE))) / d
    mean = {"": PROFILE, "absent": 0 * PROFILE, "inverted": -PROFILE}.get(fault)
    return noise + (np.roll(PROFILE, 5) if mean is None else mean)


def test_of(d: float) -> ResponseTest:
    return ResponseTest(PROFILE, 1 / d, np.full(len(PROFILE), np.sqrt(2) / d), LAG)


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("d", [0.5, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("fault", ["absent", "inverted", "shifted"])
def test_a_fault_is_named_about_when_it_is_said_to_be(d: float, fault: str) -> None:
    rng, test, found = np.random.default_rng(1), test_of(d), []
    for _ in range(5):
        test.reset()
        rows = scores(rng, 1000, d, fault)
        found.append(next(n for n, row in enumerate(rows, 1) if test.add(row) and test.alarm))
        for row in rows[found[-1] : found[-1] + n_to_name(d)]:
            test.add(row)
        assert test.finding.what == fault
        assert test.finding.lag == pytest.approx(0.1 if fault == "shifted" else 0.0, abs=0.021)
    assert np.median(found) <= 1.5 * events_to_notice(d)[fault] + 2


@pytest.mark.parametrize("d", [0.3, 1.0, 5.0])
def test_a_response_that_fits_or_is_weaker_never_alarms(d: float) -> None:
    rng, test = np.random.default_rng(2), test_of(d)
    for row in 0.7 * scores(rng, 5000, d / 0.7):
        test.add(row)
        assert not test.alarm
    assert test.fits


def test_one_event_alone_never_alarms() -> None:
    test = test_of(20.0)
    for row in scores(np.random.default_rng(0), 30, 20.0):
        test.add(row)
    assert not test.add(np.full(len(PROFILE), -50.0)) or not test.alarm
    assert not test.add(np.full(len(PROFILE), np.nan)) or not test.alarm


def test_an_alarm_is_lifted_when_the_response_is_back() -> None:
    rng, test = np.random.default_rng(0), test_of(3.0)
    for row in scores(rng, 30, 3.0, "inverted"):
        test.add(row)
    assert test.alarm
    changes = [test.add(row) for row in scores(rng, 60, 3.0)]
    assert not test.alarm
    assert any(changes)
    assert test.fits


def test_nothing_is_fitted_on_a_handful_of_events() -> None:
    assert fit_response(np.random.default_rng(0).standard_normal((5, 103, 4)), 250.0) is None


def test_watching_allocates_no_array() -> None:
    monitor = make_monitor(watched())
    assert monitor is not None
    monitor.warm_up()
    data = np.random.default_rng(0).standard_normal((250, 8)) * 1e-6
    flags, at = np.zeros(250, FLAGS), [0]

    def second() -> None:
        monitor.write(data, flags, at[0])
        monitor.mark(at[0] - 100)
        at[0] += 250
        monitor.advance(at[0])
        monitor.take_events()

    _, peak = allocated(second, 200)
    assert peak < 2048


@pytest.mark.parametrize("n_items", [2, 12, 200])
def test_ranks_are_shown_and_missed(n_items: int) -> None:
    rng = np.random.default_rng(0)
    good = np.minimum(rng.geometric(0.4, 4000) - 1, n_items - 1) if n_items > 2 else (
        rng.uniform(size=4000) < 0.2
    ).astype(float)  # fmt: skip
    ratio = rank_ratio(good[:500], n_items)
    assert ratio @ chance_of_bins(n_items) == pytest.approx(1, abs=1e-6)
    test, (alarm, sure) = RankTest(ratio, n_items), ranks_needed(ratio, n_items)
    for rank in good:
        test.add(rank)
        assert not test.alarm
    assert test.above_since is not None
    assert test.above_since < 3 * sure + 5
    n = next(n for n, rank in enumerate(rng.integers(n_items, size=5000), 1)
             if test.add(rank) and test.alarm)  # fmt: skip
    assert n < 3 * alarm + 5
    for rank in good:
        test.add(rank)
    assert not test.alarm


def test_chance_is_never_called_more() -> None:
    rng, n_early = np.random.default_rng(1), 0
    ratio = rank_ratio(np.minimum(rng.geometric(0.2, 300) - 1, 19), 20)
    for _ in range(100):
        test = RankTest(ratio, 20)
        for rank in rng.integers(20, size=300):
            test.add(rank)
        n_early += test.above_since is not None
    assert n_early <= 2


def test_truths_that_markers_tell_are_shown_above_chance() -> None:
    _, told = decoded(today())
    shown = [one for one in told if one["event"] == "above_chance"]
    assert [one["check"] for one in shown] == ["ranks"]
    silent = replace(today(), markers=tuple(one._replace(label="onset") for one in today().markers))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, untold = decoded(silent)
    assert [one["event"] for one in untold] == ["fits_calibration"]


def capped(n: int = 19) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Two recordings of 40 s by a cap whose neighbours are alike, 100 Hz."""
    names = MONTAGE[:n]
    places = electrodes(n)[1]
    near = np.exp(-(np.linalg.norm(places[:, None] - places, axis=2) ** 2) / 0.15**2)
    sizes = np.random.default_rng(2).uniform(0.5, 2.0, n)
    sizes[4:6] = 0.5, 2.5  # C3 and C4
    mixing = np.linalg.cholesky(near + 0.05 * np.eye(n)) * sizes[:, None]
    found = []
    for seed in (0, 1):
        noise = np.random.default_rng(seed).standard_normal((4000, n))
        found.append(1e-5 * noise @ mixing.T)
    return found, names


def second_by_second(data: np.ndarray) -> MontageCheck:
    """The check, fitted on one recording of the cap, after it has seen `data` (n, m)."""
    (first, _), names = capped()
    model = cap_model(names)
    collected = SecondsOfChannels(model, np.arange(len(names)))
    for hop in hops(first):
        collected.add(hop)
    fitted, told = fit_montage(model, np.arange(len(names)), [np.stack(collected.products)] * 2)
    assert told["tried"]["as_it_is"] == ""
    assert all(told["tried"]["orders"].values())
    check = MontageCheck(
        100.0, 1, fitted["picks"], fitted["difference"], fitted["plus"], fitted["orders"],
        tuple(fitted["names"]),
    )  # fmt: skip
    check.warm_up()
    for hop in hops(data):
        check.add(hop)
    return check


def cap_model(names: tuple[str, ...]) -> Model:
    info = SignalInfo(100.0, names, ("eeg",) * len(names), ("V",) * len(names))
    return replace(watched(), info=info)


def hops(data: np.ndarray) -> Iterator[Chunk]:
    for row in range(len(data)):
        x = data[row : row + 1]
        yield Chunk(x, np.zeros(1), row, np.zeros(1, FLAGS), np.zeros(x.shape, FLAGS))


def test_the_same_cap_is_not_told_of() -> None:
    check = second_by_second(capped()[0][1])
    assert check.change == Change()
    assert check.likeness > 0.95


@pytest.mark.slow
def test_faults_of_a_cap_are_named() -> None:
    (_, data), names = capped()
    c3, c4, pz = (names.index(name) for name in ("C3", "C4", "Pz"))
    swapped, turned, bridged = data.copy(), data.copy(), data.copy()
    swapped[:, [c3, c4]] = data[:, [c4, c3]]
    turned[:, pz] *= -1
    bridged[:, c3] = bridged[:, pz] = 0.5 * (data[:, c3] + data[:, pz])
    bridged[:, c3] += 1e-8 * np.random.default_rng(0).standard_normal(len(data))
    order = known_orders(names, None)["left and right"]
    assert [names[i] for i in order[:6]] == ["Fz", "Cz", "Pz", "Oz", "C4", "C3"]
    named = {
        "order": (data[:, order], ()),
        "exchange": (swapped, tuple(sorted((c3, c4)))),
        "inversion": (turned, (pz,)),
        "bridge": (bridged, tuple(sorted((c3, pz)))),
        "gain": (0.5 * data, ()),
    }
    for what, (changed, channels) in named.items():
        change = second_by_second(changed).change
        assert (change.what, change.channels) == (what, channels)
        told = about_channels(change, names)
        assert told["explanation"]
        assert told["fix"]


def test_a_few_channels_are_not_compared() -> None:
    (data, _), names = capped(8)
    collected = SecondsOfChannels(cap_model(names), np.arange(8))
    for hop in hops(data):
        collected.add(hop)
    fitted, told = fit_montage(cap_model(names), np.arange(8), [np.stack(collected.products)])
    assert fitted == {}
    assert told["never"] == "too few channels"


def test_looking_at_channels_allocates_no_array() -> None:
    (data, _), _ = capped()
    check = second_by_second(data[:500])
    all_hops, at = list(hops(data)), [0]

    def step() -> None:
        check.add(all_hops[at[0] % 4000])
        at[0] += 1

    assert allocated(step, 1000)[1] < 2048


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.parametrize("choice", ["abstain", "stop"])
def test_live_record_and_file_say_the_same(choice: str, source_id: str, tmp_path: Path) -> None:
    recording = inverted(today())
    marks: Any = marker_outlet("stimuli", f"{source_id}-markers")
    amplifier: Any = data_outlet("amplifier", recording.info, source_id)
    log, record = tmp_path / "log.jsonl", tmp_path / "record.xdf"
    session = Session(
        watched(),
        LslSource(resolve(source_id=source_id)),
        LiveOptions(continuous=True, when_unlike=choice),
        markers=[LslMarkers(resolve(source_id=f"{source_id}-markers"))],
        sinks=Sinks(log=JsonlLog(log), recorder=Recorder(record, recording.info, "amplifier")),
    )
    running = Running(session)
    try:
        wait_for(lambda: amplifier.have_consumers() and marks.have_consumers())
        start = local_clock()
        for low in range(0, 8000, 250):
            for marker in recording.markers:
                if low <= marker.index < low + 250:
                    marks.push_sample([marker.label], start + marker.time)
            n_sent = sum(one.index < low + 250 for one in recording.markers)
            wait_for(lambda n=n_sent: session.counts["markers_received"] >= n or running.ended)
            block = np.ascontiguousarray(recording.data[low : low + 250])
            stamps = [start + row / 250.0 for row in range(low, low + 250)]
            amplifier.push_chunk(block, stamps)
            wait_for(lambda n=low + 250: session.n_samples >= n or running.ended)
            if running.ended:
                break
        if choice == "stop":
            assert "got another: polarity is inverted" in running.fails()
        else:
            assert running.stop()["fit"]["state"] == "unlike"
    finally:
        running.stop()
    session.close()
    told = [line for line in lines(log) if line.get("event") == "unlike_calibration"]
    assert told[-1]["what"] == "inverted"
    again = read_recording(record)
    notes = [one.event for one in again.decisions if isinstance(one, Note)]
    assert notes.count("unlike_calibration") == len(told)
    for chunk in (7, 1000):
        answers = list(decode_recording(watched(), again, again.markers, chunk=chunk,
                                        options=PipelineOptions(continuous=True)))  # fmt: skip
        assert timeless(answers) == timeless(running.answers)
    assert Counter(one.fit for one in answers)["unlike"] > 0
    with pytest.warns(RuntimeWarning, match="every hop"):
        footer = decode_file(watched(), again, again.markers, tmp_path / "again.jsonl",
                             PipelineOptions())  # fmt: skip
    assert footer["fit"]["state"] == "unlike"


def test_cleaning_tells_what_decoding_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, recording = tmp_path / "me.rtd.safetensors", tmp_path / "today.xdf"
    save_model(watched(), model)
    save_recording(inverted(today()), recording)
    ran = call(
        capsys, "clean", recording, "--model", model, "-o", tmp_path / "c.fif", "--json"
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "like calibration: unlike" in ran.out
    assert "polarity is inverted: do amplifier" in ran.out
    cleaned = json.loads(ran.out.splitlines()[-1])["fit"]
    read = read_recording(recording)
    options = PipelineOptions(MarkerRules().for_target(watched().recipe.target))
    footer = decode_file(watched(), read, read.markers, tmp_path / "log.jsonl", options)
    told = ("state", "n_events", "level")  # ranks of the truth need a readout
    assert [cleaned[key] for key in told] == [footer["fit"][key] for key in told]


def test_cleaning_by_a_model_without_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, recording = tmp_path / "me.rtd.safetensors", tmp_path / "today.xdf"
    save_model(replace(watched(), monitor={}), model)
    save_recording(today(), recording)
    ran = call(capsys, "clean", recording, "--model", model, "-o", tmp_path / "c.fif")
    assert ran.code == 0
    assert "like calibration: not checked" in ran.out


@pytest.mark.parametrize("d", [1.0, 3.0])
@pytest.mark.parametrize("alike", [-0.4, 0.8])
def test_left_and_right_exchanged_are_told_from_inverted(d: float, alike: float) -> None:
    """What differs between the sides becomes its opposite; the whole keeps the part that does not."""
    rng = np.random.default_rng(3)
    sides = rng.standard_normal(1000) / d
    spreads = np.full(len(PROFILE), np.sqrt(2) / 5)
    for level, turned, name in (
        (alike, True, "mirrored"),
        (-1.0, True, "inverted"),
        (1, False, ""),
    ):
        test = ResponseTest(PROFILE, 1 / 5, spreads, LAG, (1 / d, alike))
        noise = rng.standard_normal((1000, len(PROFILE))) / 5
        seen = [
            test.alarm
            for row, odd in zip(level * PROFILE + noise, sides + (-1 if turned else 1), strict=True)
            if test.add(row, odd) or True
        ]
        assert test.finding.what == name
        assert (seen.index(True) + 1 if turned else not any(seen)) <= 40 / d**2 + 2


def test_exchanged_sides_are_named_by_the_response() -> None:
    order = known_orders(today().info.ch_names[:8], None)["left and right"]
    data = today().data.copy()
    data[:, :8] = data[:, order]
    _, told = decoded(replace(today(), data=data))
    told = [one for one in told if one["check"] == "events"]
    assert told[-1]["explanation"] == "left and right look exchanged"
    assert "left and right exchanged" in "\n".join(model_lines(watched()))


BANDS = {"kind": "bandpower", "bands": [[8.0, 12.0], [18.0, 25.0]], "tmin": 0.2, "tmax": 1.0}
NAMES = ("Fz", "C3", "Cz", "C4", "P3", "Pz", "P4", "Oz")


def induced(seed: int, seconds: float, power: float = 0.3, ms: int = 0) -> Recording:
    """Alpha of random phase that fades over C3 and grows over P4 after each event."""
    rng, n = np.random.default_rng(seed), round(seconds * SFREQ)
    onsets = np.cumsum(rng.integers(300, 600, n // 450 - 3)) + 250
    t = np.arange(n)
    after = np.zeros(n)
    for onset in onsets:
        after += np.exp(-0.5 * ((t - onset - 125) / 40) ** 2)
    sos = scipy.signal.butter(2, [8, 12], "bandpass", fs=SFREQ, output="sos")
    alpha = 10e-6 * scipy.signal.sosfilt(sos, rng.standard_normal((n, 8)), axis=0)
    alpha *= 1 + np.outer(after, [0, -power, 0, 0, 0, 0, power, 0])
    data = alpha + 1e-6 * rng.standard_normal((n, 8))
    info = SignalInfo(SFREQ, NAMES, ("eeg",) * 8, ("V",) * 8)
    marks = tuple(Marker("go", onset / SFREQ - 1e-3 * ms, int(onset)) for onset in onsets)
    return Recording(data, t / SFREQ, info, marks, name="induced")


@cache
def envelopes() -> Model:
    recipe = small_recipe(features=BANDS)
    labelled = [label_recording(induced(1, 700.0, 0.8), None, recipe, MarkerRules())]
    draft = draft_model([labelled[0].recording], recipe)
    split = {"split": {"purge_s": 0.0}}
    return fit_monitor(replace(draft, certificate=split), build_design(draft, labelled), labelled)


def watched_by(model: Model, recording: Recording) -> list[dict[str, Any]]:
    monitor = make_monitor(model)
    assert monitor is not None
    assert list(features_of_recording(model, recording, recording.markers, watcher=monitor))
    return [details for _, details in monitor.take_events()]


def test_envelopes_are_watched_where_features_are_band_powers() -> None:
    told = envelopes().certificate["monitor"]["events"]
    assert told["of"] == "envelopes"
    assert "inverted" not in told["notices"]
    assert "response of envelopes to events checked" in monitor_lines(envelopes())[0]
    (fits,) = watched_by(envelopes(), induced(2, 250.0, 0.8))
    assert fits["level"] == pytest.approx(1.0, abs=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("power", "ms", "what"), [(0.0, 0, "absent"), (-0.8, 0, "absent"), (0.8, 400, "shifted")]
)
def test_faults_of_envelopes_are_named(power: float, ms: int, what: str) -> None:
    told = watched_by(envelopes(), induced(3, 300.0, power, ms))
    assert told[-1]["what"] == what
    assert abs(told[-1].get("lag_ms", ms) - ms) <= 40  # an envelope is slow
