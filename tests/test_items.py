"""What is a stimulus, and which item a label names."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.ahead import check_events
from calibration.events import label_recording
from calibration.items import check_items, item_lines, piece_lines
from calibration.targets import share_vectors, spelled_labels, vocabulary_items
from rt_decoder.decoder import Decoder
from rt_decoder.files.annotations import bad_segments
from rt_decoder.files.recording import BadSegment, Recording
from rt_decoder.recipe import Recipe, Target
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker
from rt_decoder.timing.items import ItemRule, fold_key, is_code, is_stimulus, tidy, unknown_labels
from rt_decoder.timing.markers import MarkerRules
from tests.small import random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=20.0)


@pytest.mark.parametrize(
    "label",
    [
        "BAD", "BAD_muscle", "BADsegment", "bad blink", "Bad-1", "BAD boundary", "EDGE boundary",
        "EDGE 20 samples lost", "EDGE_", "boundary", "New Segment/", "new segment/x", "Comment/x y",
        "LostSamples", "New Segment/LostSamples: 12", "LostSamples: 3", "BAD_ACQ_SKIP",
        "bad_acq_skip", "SyncStatus/Sync On", "", "  ",
    ],
)  # fmt: skip
def test_no_stimulus(label: str) -> None:
    assert not is_stimulus(label)
    assert ItemRule(fold=True).item(label) is None
    assert ItemRule().item(label) is None


@pytest.mark.parametrize(
    "label",
    [
        "bad",
        "Bad",
        "bad-tempered",
        "BADGER",
        "badger",
        "Baden",
        "edge",
        "boundaries",
        "axe",
        "comment",
        "segment",
        "cue/blink",
        "S  1",
    ],
)
def test_a_stimulus(label: str) -> None:
    assert is_stimulus(label)
    assert ItemRule().item(label) == label


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("Stimulus/S  1", True), ("S  1", True), ("R128", True), ("T0", True), ("17", True),
        ("-3", True), ("1.0", True), ("DIN2", True), ("trigger 7", True), ("condition 3", True),
        ("word1", False), ("Stimulus/axe", False), ("B2B", False), ("one", False), ("cue/1", True),
    ],
)  # fmt: skip
def test_codes(label: str, code: bool) -> None:
    assert is_code(label) is code


@given(st.text(max_size=30))
def test_tidying_twice_changes_nothing(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)
    assert fold_key(unicodedata.normalize("NFD", text)) == fold_key(text)
    assert fold_key(f'  "{text}" ') == fold_key(text)


@given(st.text(max_size=20), st.booleans())
def test_an_item_names_itself(text: str, fold: bool) -> None:
    """A marker that carries an item's text is that item, in training and live."""
    item = ItemRule(fold=fold).item(text)
    if item is not None:
        assert ItemRule(fold=fold, items=[item]).item(item) == item


def test_names_are_found_however_the_code_is_written() -> None:
    rule = ItemRule({"S  1": "a face", "2": "a house"}, fold=True)
    for label in ("S  1", "S 1", "s1", "Stimulus/S  1", "Stimulus/S1"):
        assert rule.item(label) == "a face"
    assert rule.item("2") == "a house"
    assert rule.item("Stimulus/axe") == "axe"
    exact = ItemRule({"S  1": "a face"})
    assert exact.item("S 1") == "S 1"


def test_patterns_match_labels_and_items() -> None:
    rule = ItemRule({"1": "face"}, include=["f*", "boundary"], exclude=["fix*"], fold=True)
    found = [rule.item(label) for label in ("1", "FACE", "fixation", "axe", "cue/rest", "boundary")]
    assert found == ["face", "FACE", None, None, "cue/rest", "boundary"]
    assert ItemRule(exclude=["1"]).item("1") is None


def test_rules_of_a_recipe_come_where_there_are_no_names() -> None:
    target = Target(include=("a*",), exclude=("b*",), fold=True)
    assert MarkerRules().for_target(target) == MarkerRules("", {}, include=("a*",), exclude=("b*",), fold=True)  # fmt: skip
    assert MarkerRules(names={}).for_target(target) == MarkerRules(names={})


# --- bad segments


def test_segments_cover_the_samples_nearest_to_them() -> None:
    import mne

    notes = mne.Annotations([1.0, 2.5, 9.9, -1.0, 20.0, 3.0], [0.5, 0, 5.0, 1.1, 1.0, 1.0],
        ["BAD_a", "BAD boundary", "bad b", "BAD", "BAD", "badger"])  # fmt: skip
    found = bad_segments(notes, np.arange(1000) / 100, 100.0)
    assert found == (
        BadSegment(0, 10, "BAD"), BadSegment(100, 150, "BAD_a"), BadSegment(990, 1000, "bad b")
    )  # fmt: skip


@pytest.mark.parametrize("chunk", [7, 1024])
def test_windows_over_a_bad_segment_abstain_however_the_file_is_cut(chunk: int) -> None:
    model = random_model(RECORDING, small_recipe())
    bad = replace(RECORDING, bad_segments=(BadSegment(1000, 1500, "BAD"),))
    whole = list(decode_recording(model, bad, bad.markers, chunk=256))
    assert timeless(list(decode_recording(model, bad, bad.markers, chunk=chunk))) == timeless(whole)
    good = list(decode_recording(model, RECORDING, RECORDING.markers))
    assert len(good) == len(whole)
    for a, b in zip(good, whole, strict=True):
        hit = a.index < 1500 and a.index + 200 > 1000
        assert ("annotated" in b.reasons) is hit
        assert b.scores == a.scores  # samples are flagged, not changed
        assert hit or b == a or np.isnan(a.latency_ms)
    assert any(readout.abstained for readout in whole)


def test_the_decoder_takes_the_rules_of_its_model() -> None:
    recipe = small_recipe(target={"exclude": ["word3"]})
    decoder = Decoder(random_model(RECORDING, recipe), RECORDING.info)
    readouts, cut = [], 0
    for at, label in ((2.0, "WORD1"), (4.0, "BAD_x"), (6.0, "word3"), (8.0, "5"), (10.0, "owl")):
        decoder.mark(Marker(label, at))
        before, cut = cut, round((at + 1.5) * RECORDING.info.sfreq)
        readouts += decoder.push(RECORDING.data[before:cut], RECORDING.times[before:cut])
    assert [readout.label for readout in readouts] == ["word1", "word4", "owl"]
    assert decoder.align.n_left_out == 2


# --- calibration


def recording(labels: list[str]) -> Recording:
    markers = tuple(Marker(label, 1.0 + k, 250 * (1 + k)) for k, label in enumerate(labels))
    return replace(RECORDING, markers=markers)


def test_items_are_told_with_their_counts() -> None:
    recipe = Recipe()
    labels = ["axe", "Axe", "axe", "cow", "BAD_x", "cue/rest"]
    one = label_recording(recording(labels), None, recipe, MarkerRules())
    assert item_lines([one], recipe) == [
        "2 items in 4 events, from its own markers: axe 3, cow 1",
        "  one item each, written differently: axe 2/Axe 1 (--fold false parts)",
        "  no stimuli, left out: BAD_x 1 (--names TSV makes an item of one)",
    ]
    many = label_recording(
        recording([f"w{chr(97 + k)}" for k in range(16)]), None, recipe, MarkerRules()
    )
    assert item_lines([many], recipe)[0].count(" 1") == 16 + 1  # every item, and "16 items"
    most = label_recording(
        recording([f"w{chr(97 + k % 26)}{k // 26}x" for k in range(50)]),
        None,
        recipe,
        MarkerRules(),
    )
    assert item_lines([most], recipe)[0].startswith(
        "50 items in 50 events, from its own markers: most"
    )


def test_a_recording_without_stimuli_is_refused() -> None:
    with pytest.raises(
        ValueError, match="need stimuli among the labels of its own markers, got BAD_x"
    ):
        label_recording(recording(["BAD_x", "boundary"]), None, Recipe(), MarkerRules())


def test_codes_need_names_but_numbers_among_words_do_not() -> None:
    def check(labels: list[str], source: str = "", **target: object) -> None:
        recipe = Recipe.from_dict({"target": target})
        one = label_recording(recording(labels), None, recipe, MarkerRules())
        check_items([replace(one, source=source or one.source)])

    for labels in (["1", "2"], ["axe", "S  1"], ["axe", "bee", "7"]):
        with pytest.raises(ValueError, match="need names for the codes"):
            check(labels)
    check(["1", "2", "1"], names={"1": "one", "2": "2"})
    check(["axe", "S  1"], exclude=["s*"])
    check(["axe", "bee", "1984"], source="column word")


def test_the_vocabulary_decides_how_an_item_is_spelled(tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text('Axe\n"cow"\naxe\n', encoding="utf-8")
    assert vocabulary_items(str(path), (), fold=True) == ("Axe", "cow")
    assert spelled_labels(str(path), ["axe", "COW", "bee", "Bee", "Bee"]) == (
        "Axe", "cow", "Bee", "Bee", "Bee"
    )  # fmt: skip


@given(st.lists(st.integers(0, 5), min_size=2, max_size=12), st.integers(0, 99))
def test_items_with_the_same_vector_are_found(kinds: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((6, 32))[kinds] * (
        1 + 1e-7 * rng.standard_normal((len(kinds), 1))
    )
    before = vectors.copy()
    groups = share_vectors(vectors)
    assert groups == tuple(
        tuple(np.flatnonzero(np.equal(kinds, kind)).tolist())
        for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1
    )  # fmt: skip
    for group in groups:
        assert (vectors[list(group)] == before[group[0]]).all()


def test_unknown_labels_are_told_once() -> None:
    assert unknown_labels({"axe": 2}, ["axe"]) == ""
    assert "3 of 5 events" in unknown_labels({"axe": 2, "owl": 3}, ["axe"])


def test_items_that_are_no_words_of_the_language_model_are_told() -> None:
    one = label_recording(recording(["owl", "zorblax", "owl"]), None, Recipe(), MarkerRules())
    (line,) = piece_lines([one], Recipe().target)
    assert "no words of minilm, which reads them in pieces: zorblax (z " in line
    assert "owl" not in line
    known = label_recording(recording(["owl", "bee"]), None, Recipe(), MarkerRules())
    assert piece_lines([known], Recipe().target) == []


def test_groups_that_no_event_has_are_refused_with_the_fix() -> None:
    recipe = Recipe.from_dict({"fit": {"groups": "run"}})
    one = label_recording(recording(["owl", "bee"] * 10), None, recipe, MarkerRules())
    with pytest.raises(
        ValueError, match=r"need events tables \(--events TSV\) with a column 'run'"
    ):
        check_events([one], recipe)
