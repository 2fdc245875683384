"""Events answered sooner: sharper as the window grows, the whole window's at last, never taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder import Decoder, open_live
from rt_decoder.decoding.anytime import Commitment, certified_windows
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.read import read_recording
from rt_decoder.model import Alignment, Model, PosteriorParameters, WindowMap
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import decode_recording, features_of_recording
from rt_decoder.signal import Choice, Marker, Readout
from rt_decoder.sinks.log import parse_readout, readout_line
from tests.lsl_loopback import wait_for
from tests.small import WORDS, fit_small, random_model, small_recipe, small_recording, timeless
from tests.test_open_live import Amplifier, told

RECORDING = small_recording(seconds=12.0)
RECIPE = small_recipe(features={"tmax": 0.8, "decim": 25})
SOONER = PipelineOptions(anytime=True)
ENDS = (0.2, 0.4, 0.6)


def with_windows(model: Model, earliest: float | None = 0.2) -> Model:
    """Random maps of windows that end at `ENDS`, above chance from `earliest` on."""
    rng, (p, r) = np.random.default_rng(1), model.weights.shape
    windows = tuple(
        WindowMap(
            end,
            rng.standard_normal((q, r)).astype(np.float32),
            rng.standard_normal(r).astype(np.float32),
            rng.standard_normal(len(model.items)),
            PosteriorParameters(tau=2.0 + end, threshold=0.2, min_quality=0.8, floor=0.01),
        )
        for end, q in ((end, round(p * end / 0.8)) for end in ENDS)
    )
    return replace(model, windows=windows, certificate={"anytime": {"earliest": earliest}})


MODEL = with_windows(random_model(RECORDING, RECIPE))


def decoded(model: Model = MODEL, options: PipelineOptions = SOONER, **more: object) -> list:
    recording = more.pop("recording", RECORDING)
    return list(decode_recording(model, recording, recording.markers, options, **more))


READOUTS = decoded()


def by_event(readouts: list[Readout]) -> dict[int, list[Readout]]:
    events: dict[int, list[Readout]] = {}
    for one in readouts:
        if one.kind == "anytime":
            events.setdefault(one.index, []).append(one)
    return events


def placeless(readouts: list[Readout]) -> list[Readout]:
    return timeless([one._replace(seq=0) for one in readouts])


def test_the_last_window_is_the_events() -> None:
    whole = {one.index: one for one in READOUTS if one.kind == "event"}
    events = by_event(READOUTS)
    assert events.keys() == whole.keys()
    assert len(events) >= 8
    for index, windows in events.items():
        assert [one.until for one in windows] == [*ENDS, 0.8]
        last = windows[-1]._replace(kind="event", until=None, committed="", seq=whole[index].seq)
        assert timeless([last]) == timeless([whole[index]])
    assert [one.seq for one in READOUTS] == list(range(len(READOUTS)))


def test_events_are_answered_as_without() -> None:
    without = decoded(options=PipelineOptions())
    assert {one.kind for one in without} == {"event"}
    assert placeless([one for one in READOUTS if one.kind == "event"]) == placeless(without)


def test_cosines_are_those_of_the_first_features() -> None:
    found = features_of_recording(MODEL, RECORDING, RECORDING.markers)
    events, columns = by_event(READOUTS), MODEL.vectors @ MODEL.basis.T
    for marker, features in found:
        for one, readout in zip(MODEL.windows, events[marker.index], strict=False):
            z = features.values[: len(one.weights)] @ one.weights + one.offset
            cosines = columns @ z / np.linalg.norm(z)
            logits = one.posterior.tau * cosines + MODEL.log_prior + one.item_bias
            p = np.exp(logits - logits.max())
            p = 0.99 * p / p.sum() + 0.01 / len(WORDS)
            items = [MODEL.items.index(word) for word in readout.words]
            np.testing.assert_allclose(readout.scores, cosines[items], atol=2e-5)
            np.testing.assert_allclose(readout.probabilities, p[items], atol=2e-5)
            assert readout.abstained == (max(readout.probabilities) < 0.2)


@settings(max_examples=4, deadline=None)
@given(chunk=st.integers(3, 400))
def test_chunks_change_nothing(chunk: int) -> None:
    is_same = timeless(decoded(chunk=chunk)) == timeless(READOUTS)
    assert is_same, f"chunks of {chunk} give other readouts"


def test_no_future_sample_is_used() -> None:
    marker = RECORDING.markers[4]
    data = RECORDING.data.copy()
    for end, n_sooner in ((0.4, 2), (0.6, 3)):
        data[:] = RECORDING.data
        stop = marker.index + round(end * RECORDING.info.sfreq)
        data[stop:] = 1e-5 * np.random.default_rng(0).standard_normal(data[stop:].shape)
        other = by_event(decoded(recording=replace(RECORDING, data=data)))[marker.index]
        as_before = by_event(READOUTS)[marker.index]
        assert timeless(other[:n_sooner]) == timeless(as_before[:n_sooner])
        assert other[-1].scores != as_before[-1].scores


def test_choices_hold_for_every_window() -> None:
    pipeline = Pipeline(MODEL, SOONER)
    two = pipeline.answerer.make(Choice(candidates=WORDS[:2], posterior=True, threshold=0.0))
    pipeline.answerer.answer_by(two)
    assert [one.threshold for one in two.windows] == [0.0] * 3
    own = pipeline.answerer.make(Choice(candidates=WORDS[3:5]))
    assert all(np.isfinite(one.log_prior).sum() == 2 for one in own.windows)
    spoken = pipeline.answerer.expect(np.log(np.arange(1.0, 13.0)))
    assert spoken is not None
    for one in (spoken.posterior, *spoken.windows):
        assert one.prior[1] == pytest.approx(2 / 3)


def test_windows_that_are_not_above_chance_are_left_out() -> None:
    late = with_windows(MODEL, earliest=0.4)
    assert [one.end for one in certified_windows(late)] == [0.4, 0.6]
    assert {one.until for one in decoded(late) if one.kind == "anytime"} == {0.4, 0.6, 0.8}
    assert len(certified_windows(with_windows(MODEL, None), force=True)) == 3
    for certificate in ({}, {"anytime": None}, {"anytime": {"earliest": "soon"}}):
        assert certified_windows(replace(MODEL, certificate=certificate)) == ()


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        (replace(MODEL, windows=()), "rt-calibrate fit --anytime"),
        (with_windows(MODEL, earliest=None), "--force"),
        (replace(MODEL, alignment=Alignment()), "--no-align"),
    ],
)
def test_a_model_that_cannot_is_refused(model: Model, fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        Pipeline(model, SOONER)


def readout(word: str, until: float) -> Readout:
    """An answer of a window; an empty word abstains."""
    return READOUTS[0]._replace(words=(word,) if word else ("x",), abstained=not word, until=until)


@given(st.lists(st.sampled_from(["", "axe", "bee", "cat"]), min_size=1, max_size=9))
def test_a_word_that_is_kept_stays(words: list[str]) -> None:
    commitment, kept = Commitment(), []
    for k, word in enumerate(words):
        kept.append(commitment.add(readout(word, 0.1 * k)))
    last = commitment.end(readout(words[-1], 0.9))
    said = [word for word in (*kept, last) if word]
    assert len(set(said)) <= 1
    assert kept == sorted(kept, key=bool)  # once there, always there
    pairs = [k for k in range(1, len(words)) if words[k] and words[k] == words[k - 1]]
    first = pairs[0] if pairs else len(words)
    assert [bool(word) for word in kept] == [k >= first for k in range(len(words))]
    if pairs:
        assert last == words[first]
    else:
        assert last == words[-1]


def test_a_window_counts_once() -> None:
    commitment = Commitment()
    assert [commitment.add(readout("axe", end)) for end in (0.1, 0.1, 0.2)] == ["", "", "axe"]


def test_log_and_outlets_tell_it() -> None:
    one = next(one for one in READOUTS if one.committed)
    line = readout_line(one)
    assert (line["kind"], line["until"]) == ("anytime", one.until)
    again = parse_readout(line)
    assert (again.until, again.committed) == (one.until, one.committed)
    assert "until" not in readout_line(next(one for one in READOUTS if one.kind == "event"))


def test_a_late_marker_has_all_its_windows_at_once() -> None:
    decoder, marker = Decoder(MODEL, RECORDING.info, SOONER), RECORDING.markers[4]
    stop = marker.index + round(1.2 * RECORDING.info.sfreq)
    assert decoder.push(RECORDING.data[:stop], RECORDING.times[:stop]) == []
    decoder.mark(marker)
    found = decoder.push(RECORDING.data[stop : stop + 50], RECORDING.times[stop : stop + 50])
    expected = [one for one in READOUTS if one.index == marker.index]
    assert timeless([one._replace(seq=0) for one in found]) == placeless(expected)


def test_overlapping_events() -> None:
    sfreq, n = RECORDING.info.sfreq, len(RECORDING.data)
    close = tuple(Marker("word1", k / sfreq, k) for k in range(300, n - 300, 37))
    crowded = replace(RECORDING, markers=close)
    found = by_event(decoded(recording=crowded))
    assert len(found) == len(close)
    for windows in found.values():
        assert [one.until for one in windows] == [*ENDS, 0.8]
    times = [one.time for one in decoded(recording=crowded)]
    assert times == sorted(times)


@pytest.mark.lsl
def test_a_live_session_is_its_record(tmp_path: Path, source_id: str) -> None:
    path, record = tmp_path / "me.rtd.safetensors", tmp_path / "session.xdf"
    save_model(MODEL, path)
    amplifier = Amplifier(source_id)
    amplifier.start()
    readouts: list[Readout] = []
    try:
        with open_live(
            path, source_id, force=True, outlet="", timeout=60.0, record=record, continuous=False,
            anytime=True, in_process=True,
        ) as live:  # fmt: skip
            wait_for(lambda: "live" in told(live))
            for word in WORDS[:3]:
                live.mark(word)
            while len(readouts) < 15:
                one = live.next(timeout=120.0)
                assert one is not None
                readouts.append(one)
    finally:
        amplifier.stop()
    assert [one.kind for one in readouts].count("anytime") == 12
    recording = read_recording(record)
    again = decode_recording(
        load_model(path), recording, recording.markers, PipelineOptions(force=True)
    )
    assert timeless(list(again)) == timeless(readouts)
    plain = PipelineOptions(force=True, anytime=False)
    without = list(decode_recording(load_model(path), recording, recording.markers, plain))
    assert {one.kind for one in without} == {"event"}


@pytest.mark.slow
def test_a_person_is_understood_sooner() -> None:
    recipe = small_recipe(
        features={"tmax": 0.8, "decim": 25, "anytime": 0.1}, fit={"n_permutations": 199}
    )
    model = fit_small(small_recording(seconds=240.0), recipe)
    ends = [one.end for one in certified_windows(model)]
    assert ends
    other = small_recording(session=2, seconds=120.0)
    events = by_event(decoded(model, recording=other)).values()
    right = np.array([[one.words[0] == one.label for one in windows] for windows in events])
    assert right[:, -1].mean() > 2 / len(WORDS)
    assert right[:, -1].mean() >= right[:, 0].mean()
    kept = [[one.until for one in windows if one.committed] for windows in events]
    assert min(min(one) for one in kept if one) < 0.8
