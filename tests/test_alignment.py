"""Aligning a group's map with one person: the mathematics, and a recording that is decoded so."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from rt_decoder.commands.describe import model_lines
from rt_decoder.decoder import Decoder
from rt_decoder.decoding.alignment import LEAST_EVENTS, align, map_change, whitened_weights
from rt_decoder.files.decisions import Realigned, Restart, Start
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Alignment, Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Readout
from tests.new_person import ALIGNMENT, RULES, group, person, ranks, unscaled
from tests.small import REPO, call, lines, timeless

OPTIONS = PipelineOptions(RULES)
NEW = person(7)


@pytest.fixture(scope="module")
def model() -> Model:
    return group()


@pytest.fixture(scope="module")
def features(model: Model) -> np.ndarray:
    return unscaled(model, NEW)[0]


def decoded(
    model: Model, recording: Recording = NEW, options: PipelineOptions = OPTIONS, chunk: int = 64
) -> tuple[list[Readout], list[dict[str, Any]]]:
    """Readouts, and the updates that came into effect."""
    decoder = Decoder(model, recording.info, options)
    answers = list(
        decode_recording(model, recording, recording.markers, chunk=chunk, decoder=decoder)
    )
    return answers, decoder.take_updates()


# --- one alignment


def test_it_is_what_its_equations_say(model: Model, features: np.ndarray) -> None:
    low, center, high = (np.quantile(features, q, axis=0) for q in (0.25, 0.5, 0.75))
    scale = (high - low) / 1.349
    X = np.clip((features - center) / scale, -6, 6)
    mean, shrink = X.mean(axis=0), ALIGNMENT.shrink

    def root(S: np.ndarray) -> np.ndarray:
        return np.real(sqrtm(S + shrink * np.trace(S) / len(S) * np.eye(len(S))))

    own = np.cov(X, rowvar=False, bias=True)
    S = (50 * model.covariance + len(X) * own) / (50 + len(X))
    weights = np.linalg.inv(root(S)) @ root(model.covariance) @ model.weights
    aligned = align(model, features)
    np.testing.assert_allclose(aligned.center, center)
    np.testing.assert_allclose(aligned.scale, scale)
    np.testing.assert_allclose(aligned.weights, weights, rtol=1e-4, atol=1e-4 * weights.std())
    np.testing.assert_allclose(aligned.offset, -mean @ weights, rtol=1e-3, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(LEAST_EVENTS, 80))
def test_gains_and_offsets_of_features_cancel(seed: int, n: int) -> None:
    model, rng = group(), np.random.default_rng(seed)
    X = rng.standard_normal((n, len(model.weights)))
    powers, gains = 2.0 ** rng.integers(-9, 9, X.shape[1]), rng.uniform(0.1, 10, X.shape[1])
    one, exact = align(model, X), align(model, X * powers)
    np.testing.assert_array_equal(exact.weights, one.weights)
    np.testing.assert_array_equal(exact.offset, one.offset)
    shifts = rng.normal(0, 3, X.shape[1])
    other = align(model, X * gains + shifts)
    np.testing.assert_allclose(other.weights, one.weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other.center, gains * one.center + shifts, atol=1e-9)


def test_few_events_leave_the_group_as_it_is(model: Model, features: np.ndarray) -> None:
    for n in (0, 1, LEAST_EVENTS - 1):
        parts = align(model, features[:n])
        assert parts.weights is model.weights
        assert parts.center is model.center
    moved = align(model, features[:LEAST_EVENTS])
    group_itself = align(model, features[:0])
    assert map_change(group_itself, moved) > 0.01
    assert map_change(moved, moved) == 0


def test_a_heavy_group_keeps_its_covariance_and_a_light_one_gives_way(
    model: Model, features: np.ndarray
) -> None:
    heavy = replace(model, alignment=replace(ALIGNMENT, weight=1e9))
    np.testing.assert_allclose(align(heavy, features).weights, model.weights, rtol=1e-3, atol=1e-5)
    light = replace(model, alignment=replace(ALIGNMENT, weight=0.0))
    other = replace(light, covariance=np.eye(len(model.weights)))
    shared = whitened_weights(model)
    one, two = (align(who, features, shared) for who in (light, other))
    np.testing.assert_array_equal(one.weights, two.weights)  # of the group only the map is left


def test_it_is_the_same_to_the_bit_each_time(model: Model, features: np.ndarray) -> None:
    first, again = align(model, features), align(model, features.copy())
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_cannot_be_aligned_is_refused(model: Model, features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="need a model with alignment"):
        align(replace(model, alignment=None), features)
    with pytest.raises(ValueError, match="need a model with alignment"):
        whitened_weights(replace(model, covariance=np.zeros((0, 0))))
    with pytest.raises(ValueError, match="need events of 48 features"):
        align(model, features[:, :-1])
    with pytest.raises(ValueError, match="need finite features"):
        align(model, np.where(np.arange(len(features))[:, None] == 3, np.nan, features))


# --- a recording


def test_every_update_is_the_alignment_by_the_newest_events(
    model: Model, features: np.ndarray
) -> None:
    few = replace(model, alignment=replace(ALIGNMENT, most=25))
    answers, updates = decoded(few)
    assert [one["n_events"] for one in updates] == list(range(20, len(answers) + 1, 10))
    for n in (20, 30, 40):
        whose = replace(model, **align(few, ring(features, n, 25))._asdict(), alignment=None)
        assert timeless(decoded(whose)[0])[n : n + 10] == timeless(answers)[n : n + 10]


def ring(features: np.ndarray, n: int, most: int) -> np.ndarray:
    """The newest of n events in the order in which a ring holds them."""
    rows = np.arange(max(0, n - most), n)
    return features[rows[np.argsort(rows % most)]]


@pytest.mark.parametrize("chunk", [7, 250, 100_000])
def test_cuts_change_nothing(model: Model, chunk: int) -> None:
    answers, updates = decoded(model)
    assert len(updates) >= 3
    again, same = decoded(model, chunk=chunk)
    assert (timeless(again), same) == (timeless(answers), updates)


def test_a_model_that_does_not_adapt_is_what_it_was(model: Model) -> None:
    plain = replace(model, alignment=None)
    assert Pipeline(plain).adaptation is None
    off, none = decoded(model, options=replace(OPTIONS, align=False))
    assert (timeless(off), none) == (timeless(decoded(plain)[0]), [])
    assert timeless(decoded(model)[0])[:20] == timeless(off)[:20]
    assert timeless(decoded(model)[0])[20:] != timeless(off)[20:]


def test_signals_of_half_the_size_get_the_same_answers(model: Model) -> None:
    """Once the first alignment is in effect."""
    half = replace(NEW, data=NEW.data * 0.5)
    answers, others = (timeless(decoded(model, whose)[0]) for whose in (NEW, half))
    assert others[20:] == answers[20:]
    assert others[:20] != answers[:20]


def test_events_of_bad_quality_do_not_count(model: Model) -> None:
    data = NEW.data.copy()
    first, last = NEW.markers[3].index, NEW.markers[8].index
    data[first:last, :6] = np.nan
    answers, updates = decoded(model, replace(NEW, data=data))
    n_bad = sum(answer.quality < model.posterior.min_quality for answer in answers)
    assert n_bad >= 5
    assert updates[-1]["n_events"] <= len(answers) - n_bad
    assert all(np.isfinite(answer.scores).all() for answer in answers[-10:])


def test_events_before_a_loss_go_on_counting_and_reset_forgets_them(model: Model) -> None:
    at = 5000
    lost = replace(NEW, decisions=(Restart(at),))
    decoder = Decoder(model, NEW.info, OPTIONS)
    answers = list(decode_recording(model, lost, NEW.markers, decoder=decoder))
    assert [one["n_events"] for one in decoder.take_updates()] == [20, 30, 40, 50]
    assert decoder.pipeline.adaptation is not None
    assert decoder.pipeline.adaptation.n_events == len(answers)
    decoder.pipeline.reset()
    decoder.align.reset()
    assert decoder.pipeline.adaptation.n_events == 0
    again = decode_recording(model, NEW, NEW.markers, decoder=decoder)
    assert timeless(list(again)) == timeless(decoded(model)[0])


def test_an_update_that_was_begun_before_a_reset_is_not_used(
    model: Model, features: np.ndarray
) -> None:
    """As by the noise of warming up, which another thread may align while the session begins."""
    pipeline = Pipeline(model)
    adaptation, jobs = pipeline.adaptation, []
    assert adaptation is not None
    adaptation.defer(jobs.append)

    def begun() -> None:
        for row in features[:20]:
            adaptation.add(row, 1.0)
        adaptation.hop()

    for when in ("after", "between"):
        begun()
        (old,) = jobs
        jobs.clear()
        if when == "between":
            old()
        adaptation.reset()
        if when == "after":
            old()
        assert adaptation.next_update is None
        assert adaptation.apply() is None
        assert adaptation.n_updates == 0
    begun()
    jobs.pop()()
    update = adaptation.apply()
    assert update is not None
    assert (update.n_events, adaptation.n_updates) == (20, 1)


def test_a_session_record_says_where_and_a_foreign_one_is_decoded_as_it_stands(
    model: Model,
) -> None:
    start = Start(0, RULES, False, align=True)
    rows = [marker.index for marker in NEW.markers]
    made = (start, Realigned(rows[26], 20), Realigned(rows[45], 33))
    answers, updates = decoded(model, replace(NEW, decisions=made))
    assert [one["n_events"] for one in updates] == [20, 33]
    plain = timeless(decoded(model, options=replace(OPTIONS, align=False))[0])
    own = timeless(decoded(model)[0])
    assert timeless(answers)[:25] == plain[:25]
    assert timeless(answers)[27:30] == own[27:30]  # by the same 20
    # events that never were: the map stays; a session that kept the map: it stays, too
    with pytest.warns(RuntimeWarning, match="cannot make 1 alignment of the map as live"):
        kept, none = decoded(model, replace(NEW, decisions=(start, Realigned(9, 999))))
    assert (timeless(kept), none) == (plain, [])
    kept, none = decoded(model, replace(NEW, decisions=(Start(0, RULES, False, align=False),)))
    assert (timeless(kept), none) == (plain, [])
    # the session's model could not adapt, this one can; and who asks for it gets it
    for decisions, options in (
        ((Start(0, RULES, False),), OPTIONS),
        (made, replace(OPTIONS, align=True)),
    ):
        assert timeless(decoded(model, replace(NEW, decisions=decisions), options)[0]) == own


# --- files and command lines


def test_a_model_that_adapts_is_kept_in_its_file_and_says_so(model: Model, tmp_path: Path) -> None:
    save_model(model, path := tmp_path / "group.rtd.safetensors")
    read = load_model(path)
    assert read.alignment == ALIGNMENT
    assert timeless(decoded(read)[0]) == timeless(decoded(model)[0])
    told = "\n".join(model_lines(model))
    assert "adapts      to each person" in told
    assert "every 10, by the newest 60; the group counts as 50" in told
    assert "adapts      no" in "\n".join(model_lines(replace(model, alignment=None)))
    bare = replace(model, covariance=np.zeros((0, 0)))
    with pytest.raises(ValueError, match="need map and covariance in a model that adapts"):
        save_model(bare, tmp_path / "x.rtd.safetensors")


@pytest.mark.parametrize("option", ["", "--no-align"])
def test_decode_logs_each_alignment(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    from calibration.demo import save_recording

    save_model(model, tmp_path / "group.rtd.safetensors")
    save_recording(NEW, tmp_path / "new.xdf")
    ran = call(
        capsys, "decode", tmp_path / "new.xdf", "--model", tmp_path / "group.rtd.safetensors",
        "--jsonl", tmp_path / "new.jsonl", "--force", *([option] if option else []),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    header, *_, footer = written = lines(tmp_path / "new.jsonl")
    events = [line for line in written if line.get("event") == "aligned"]
    assert header["alignment"] == (None if option else asdict(ALIGNMENT))
    assert [line["n_events"] for line in events] == ([] if option else [20, 30, 40, 50])
    assert footer["counts"].get("aligned", 0) == len(events)


@pytest.mark.slow
def test_a_new_person_is_read_better_without_any_label() -> None:
    """Mean rank over new people, from the 21st event on, the map aligned or as the group has it."""
    shared = group()
    adapting = replace(shared, alignment=Alignment(shrink=0.5, weight=50.0, every=10, most=400))
    better = []
    for number in range(11, 17):
        recording = person(number, seconds=80.0)
        kept, aligned = (
            ranks(decoded(adapting, recording, replace(OPTIONS, align=one))[0], recording)
            for one in (False, None)
        )
        better.append(np.mean(aligned) - np.mean(kept))
    assert np.mean(better) > 0.005, better
    assert np.sum(np.array(better) > 0) >= 4, better


@pytest.mark.slow
def test_the_benchmark_of_an_alignment_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPO / "scripts")
    monkeypatch.setattr(sys, "argv", ["bench_alignment.py", "--features", "30", "--json"])
    importlib.import_module("bench_alignment").main()
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert row["p"] == 30
    assert 0 < row["update_s"] < 60
