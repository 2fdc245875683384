"""Other items and other models in mid-session: whole, in time, and again from the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.language.embeddings import embed
from rt_decoder import Decoder, open_live
from rt_decoder.decoding.succession import carried, check_follows, grown
from rt_decoder.files.decisions import Added, Chosen, Decision, MarkerCame, Start, Swapped
from rt_decoder.files.model_file import load_model, model_hash, save_model
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.live.new_vectors import vectors_of
from rt_decoder.live.steering import Steering
from rt_decoder.model import Alignment, Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Target
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Choice, Marker, Readout
from rt_decoder.timing.markers import MarkerRules
from tests.language import tiny_bert
from tests.lsl_loopback import wait_for
from tests.small import (
    VECTORS,
    WORDS,
    fit_small,
    random_model,
    small_recipe,
    small_recording,
    timeless,
)
from tests.test_anytime import MODEL as SOONER
from tests.test_anytime import RECIPE, RECORDING
from tests.test_open_live import Amplifier, told

PLAIN = {"power": 1.0}
FIRST = random_model(RECORDING, small_recipe(target=PLAIN))
COLOURS = ("red", "green", "blue")
OTHER = random_model(RECORDING, small_recipe(target=PLAIN), items=COLOURS, seed=3)
NEW = np.random.default_rng(8).standard_normal((2, 16)).astype(np.float32)
AT = 1500  # row of a change, in the middle of an event's window

STEP = 100  # rows of a push
COMES = {  # markers by the row before which they come
    start: [one for one in RECORDING.markers if start <= one.index < start + STEP]
    for start in range(0, len(RECORDING.data), STEP)
}

Change = Callable[[Steering], None]
CHANGES: dict[str, tuple[Change, Decision]] = {
    "other": (lambda one: one.swap(OTHER), Swapped(AT, model_hash(OTHER))),
    "more": (lambda one: one.add(["sky", "sea"], NEW), Added.of(AT, ["sky", "sea"], NEW)),
}


def decoded(model: Model, changes: list[Change], anytime: bool = False) -> list[Readout]:
    """As a session does it: changes between two pushes."""
    decoder = Decoder(model, RECORDING.info, PipelineOptions(anytime=anytime))
    steering, readouts = Steering(decoder), []
    for start in range(0, len(RECORDING.data), STEP):
        for marker in COMES.get(start, ()):
            decoder.mark(Marker(marker.label, marker.time))
        if start == AT:
            for change in changes:
                change(steering)
            steering.apply(0.0, AT, None)
        rows = slice(start, start + STEP)
        readouts += decoder.push(RECORDING.data[rows], RECORDING.times[rows])
    return readouts


def recorded(*decisions: Decision, anytime: bool = False) -> Recording:
    came = [
        MarkerCame(start, marker.label, marker.time)
        for start, markers in COMES.items()
        for marker in markers
    ]
    start = Start(0, MarkerRules(), False, anytime=anytime)
    return replace(RECORDING, decisions=(start, *came, *decisions))


def again(model: Model, recording: Recording, *others: Model, chunk: int = 64) -> list[Readout]:
    options = PipelineOptions(then=others)
    return list(decode_recording(model, recording, RECORDING.markers, options, chunk=chunk))


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("chunk", [7, 300])
def test_a_record_tells_it_to_the_bit(name: str, chunk: int) -> None:
    change, decision = CHANGES[name]
    found = decoded(FIRST, [change])
    assert timeless(again(FIRST, recorded(decision), OTHER, chunk=chunk)) == timeless(found)
    plain = decoded(FIRST, [])
    n_before = sum(one.index + 200 <= AT for one in plain)
    assert timeless(found[:n_before]) == timeless(plain[:n_before])
    assert 0 < n_before < len(found) == len(plain)
    assert [one.seq for one in found] == list(range(len(found)))


def test_after_a_swap_the_other_model_answers() -> None:
    """No event is lost, and one that began before is answered by what is there when it is whole."""
    found, alone = decoded(FIRST, [CHANGES["other"][0]]), decoded(OTHER, [])
    late = [one for one in found if set(one.words) <= set(COLOURS)]
    assert late
    assert all(one.index + 200 > AT for one in late)
    assert timeless([one._replace(seq=0) for one in late]) == timeless(
        [one._replace(seq=0) for one in alone[-len(late) :]]
    )


def test_new_items_are_answered_and_leave_the_others_their_cosines() -> None:
    model = grown(FIRST, ("sky", "sea"), NEW)
    assert model.items == (*WORDS, "sky", "sea")
    assert np.logaddexp.reduce(model.log_prior) == pytest.approx(0.0)
    found, plain = decoded(FIRST, [CHANGES["more"][0]])[-1], decoded(FIRST, [])[-1]
    cosines = dict(zip(plain.words, plain.scores, strict=True))
    shared = {word: s for word, s in zip(found.words, found.scores, strict=True) if word in cosines}
    assert len(shared) >= 8
    for word, score in shared.items():
        assert score == pytest.approx(cosines[word], abs=2e-5)
    only = decoded(FIRST, [CHANGES["more"][0], lambda one: one.choose(candidates=("sea", "sky"))])[
        -1
    ]
    assert set(only.words) == {"sea", "sky"}


def test_two_changes_and_a_choice_at_once() -> None:
    changes: list[Change] = [
        CHANGES["other"][0],
        lambda one: one.add(["sky", "sea"], NEW),
        lambda one: one.choose(candidates=("sky", "red"), posterior=True),
    ]
    decisions = (
        CHANGES["other"][1], CHANGES["more"][1],
        Chosen(AT, Choice(("sky", "red"), posterior=True)),
    )  # fmt: skip
    found = decoded(FIRST, changes)
    assert set(found[-1].words) == {"sky", "red"}
    assert len(found[-1].posterior) == 5
    assert timeless(again(FIRST, recorded(*decisions), OTHER)) == timeless(found)


def test_a_choice_that_the_other_model_does_not_know_is_gone() -> None:
    choice = Choice(("word1", "word2"), threshold=0.4)
    assert carried(choice, FIRST) == choice
    assert carried(choice, OTHER) == Choice(threshold=0.4)
    found = decoded(FIRST, [lambda one: one.choose(candidates=("word1",)), CHANGES["other"][0]])
    assert set(found[-1].words) == set(COLOURS)


def test_an_event_with_a_choice_of_its_own_outlives_a_swap() -> None:
    decoder = Decoder(FIRST, RECORDING.info)
    steering, marker = Steering(decoder), RECORDING.markers[3]
    before, between = slice(0, marker.index), slice(marker.index, marker.index + 50)
    decoder.push(RECORDING.data[before], RECORDING.times[before])
    decoder.mark(steering.marker("onset", marker.time, {"candidates": ("word1", "word2")}))
    decoder.push(RECORDING.data[between], RECORDING.times[between])
    steering.swap(OTHER)
    steering.apply(0.0, between.stop, None)
    rest = slice(between.stop, None)
    (found,) = decoder.push(RECORDING.data[rest], RECORDING.times[rest])
    assert set(found.words) == set(COLOURS)


def test_sooner_answers_go_on() -> None:
    other = replace(random_model(RECORDING, RECIPE, seed=5), windows=SOONER.windows)
    other = replace(other, certificate=SOONER.certificate)
    found = decoded(SOONER, [lambda one: one.swap(other)], anytime=True)
    by_event: dict[int, list[float | None]] = {}
    for one in found:
        by_event.setdefault(one.index, []).append(one.until)
    assert all(ends == [0.2, 0.4, 0.6, None, 0.8] for ends in by_event.values())
    record = recorded(Swapped(AT, model_hash(other)), anytime=True)
    assert timeless(again(SOONER, record, other)) == timeless(found)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (random_model(RECORDING, small_recipe(filter={"h_freq": 20.0})), r"\[filter\]"),
        (random_model(RECORDING, small_recipe(features={"tmax": 0.6})), r"tmax"),
        (replace(OTHER, alignment=Alignment()), "aligned"),
        (replace(OTHER, weights=np.zeros((0, 0))), "only cleans"),
    ],
)
def test_an_unsuitable_model_is_refused_and_nothing_changes(model: Model, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        check_follows(model, FIRST)

    def attempt(steering: Steering) -> None:
        with pytest.raises(ValueError, match=what):
            steering.swap(model)

    assert timeless(decoded(FIRST, [attempt])) == timeless(decoded(FIRST, []))


@pytest.mark.parametrize(
    ("items", "vectors"),
    [
        (("word1",), NEW[:1]),
        (("sky", "sky"), NEW),
        (("",), NEW[:1]),
        (("sky",), NEW),
        (("sky",), NEW[:1, :5]),
        (("sky",), NEW[:1] * np.nan),
        (("sky",), NEW[:1] * 0),
        ((), NEW[:0]),
    ],
)
def test_items_that_cannot_be_added_are_refused(items: Any, vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="need"):
        grown(FIRST, items, vectors)


def test_new_vectors_become_what_those_of_a_fit_are() -> None:
    """Centred, raised to the target power, of length 1."""
    recipe = small_recipe(target={"power": 0.5})
    model = fit_small(small_recording(), recipe)
    known = [WORDS.index(item) for item in model.items]
    renamed = replace(model, items=tuple(f"old {item}" for item in model.items))
    more = grown(renamed, model.items, VECTORS[known])
    np.testing.assert_allclose(more.vectors[len(known) :], model.vectors, atol=1e-6)
    older = replace(renamed, target_transform=np.zeros((0, 0)))
    with pytest.raises(ValueError, match="fit it again"):
        grown(older, model.items, VECTORS[known])


@pytest.mark.slow
def test_vectors_are_computed_by_the_models_own_language_model(tmp_path: Path) -> None:
    target = Target(embedding=str(tiny_bert(tmp_path / "bert")), layer=1)
    found = vectors_of(target, ["word1", "word2"])
    given = embed(["word1", "word2"], model=target.embedding, layer=1, pooling="mean")
    np.testing.assert_allclose(found, given, atol=1e-6)
    with pytest.raises(ValueError, match="need vectors of none-there"):
        vectors_of(Target(embedding=str(tmp_path / "none-there")), ["word1"])


def test_vectors_that_were_given_by_hand_are_not_computed() -> None:
    with pytest.raises(ValueError, match="from a file"):
        vectors_of(Target(vectors="mine.tsv"), ["word1"])
    with pytest.raises(ValueError, match="one line"):
        vectors_of(Target(), ["word\n1"])


def test_a_model_that_is_missing_is_asked_for() -> None:
    with pytest.raises(ValueError, match="--then FILE"):
        again(FIRST, recorded(CHANGES["other"][1]))


@pytest.mark.lsl
@pytest.mark.parametrize("in_process", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_live_session_goes_on(tmp_path: Path, source_id: str, in_process: bool) -> None:
    paths = [tmp_path / f"{name}.rtd.safetensors" for name in ("first", "other", "unlike")]
    unlike = random_model(RECORDING, small_recipe(features={"tmax": 0.6}))
    for path, model in zip(paths, (FIRST, OTHER, unlike), strict=True):
        save_model(model, path)
    record, readouts = tmp_path / "session.xdf", []
    amplifier = Amplifier(source_id)
    amplifier.start()
    try:
        with open_live(
            paths[0], source_id, force=True, outlet="", timeout=60.0, record=record,
            continuous=False, in_process=in_process,
        ) as live:  # fmt: skip
            readouts.append(live.ask("word1", timeout=120.0))
            live.add(["sky", "sea"], NEW)
            wait_for(lambda: "added" in told(live))
            assert live.items[-2:] == ("sky", "sea")
            live.restrict(["sky", "word2"])
            readouts.append(live.ask(timeout=120.0))
            live.swap(paths[2])
            live.swap(tmp_path / "none.rtd.safetensors")
            wait_for(lambda: told(live).count("refused") == 2)
            live.swap(paths[1])
            wait_for(lambda: "swapped" in told(live))
            assert live.items == COLOURS
            readouts.append(live.ask(timeout=120.0))
            live.truth(readouts[-1].seq, "red")
            wait_for(lambda: live.score.get("n") == 2)
    finally:
        amplifier.stop()
    assert set(readouts[1].words) == {"sky", "word2"}
    assert set(readouts[2].words) == set(COLOURS)
    recording = read_recording(record)
    options = PipelineOptions(force=True, then=(load_model(paths[1]),))
    found = decode_recording(load_model(paths[0]), recording, recording.markers, options)
    assert timeless(list(found)) == timeless(readouts)
