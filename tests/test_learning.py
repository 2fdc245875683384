"""Labels that join a group's map: the mathematics, and that no label touches its own readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.confidence import Evidence, log_posterior
from calibration.demo import save_recording
from calibration.group_map import Setting, fit_group, item_space, total
from calibration.pool import pool_models
from calibration.scores import cosine
from calibration.transfer import Shared, shared_sums
from rt_decoder.commands.describe import model_lines
from rt_decoder.commands.session_text import ended_lines
from rt_decoder.decoder import Decoder
from rt_decoder.decoding.alignment import align, whitened_weights
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.learning import LabelSums
from rt_decoder.files.decisions import Realigned, Start, Truth
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, Readout
from rt_decoder.timing.markers import MarkerRules
from tests.new_person import ALIGNMENT, RULES, group, person, ranks
from tests.people import DIM, N_BINS, N_CHANNELS, trials
from tests.people import person as simulated_person
from tests.small import WORDS, call, lines, timeless

LEARN = PipelineOptions(RULES, learn=True)
NEW = person(7)
EVENTS = len(NEW.markers)


@pytest.fixture(scope="module")
def model() -> Model:
    return group()


@cache
def plain() -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The session that knows no label."""
    return decoded(group(), NEW, PipelineOptions(RULES))


@cache
def own() -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The session that learns its own labels."""
    return decoded(group())


def told(recording: Recording, labels: Sequence[str]) -> Recording:
    """The recording with these labels in place of its own."""
    markers = tuple(
        marker._replace(label=label)
        for marker, label in zip(recording.markers, labels, strict=True)
    )
    return replace(recording, markers=markers)


def shuffled(recording: Recording, seed: int = 1) -> Recording:
    labels = [marker.label for marker in recording.markers]
    return told(recording, list(np.random.default_rng(seed).permutation(labels)))


def decoded(
    model: Model, recording: Recording = NEW, options: PipelineOptions = LEARN, chunk: int = 64
) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """What every readout says, and the updates that came into effect."""
    decoder = Decoder(model, recording.info, options)
    markers = recording.markers
    answers = list(decode_recording(model, recording, markers, chunk=chunk, decoder=decoder))
    return said(answers), decoder.take_updates()


def said(answers: Sequence[Readout]) -> list[tuple[Any, ...]]:
    """Readouts without the marker's own label, comparable to the bit."""
    return [
        (one.kind, one.index, one.words, one.scores, one.probabilities, one.abstained, one.bits)
        for one in answers
    ]


# --- the sums


def own_events(model: Model, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, len(model.weights))) * rng.uniform(0.5, 2, len(model.weights))
    return X, rng.integers(0, len(model.items), n)


def test_the_map_is_the_ridge_of_the_group_and_of_one_person_more() -> None:
    """As `pool` sums people; kappa 1 makes the new one as good as any other."""
    people = [simulated_person(seed, 120) for seed in range(4)]
    pooled, _ = pool_models([one.model for one in people], [one.companion for one in people])
    chosen = pooled.certificate["map"]
    assert chosen["kappa_labels"] == 1 / 4
    free = replace(pooled, recipe=replace(pooled.recipe, features=replace(
        pooled.recipe.features, clamp=1e6)))  # fmt: skip
    new = simulated_person(9, 240)
    center, scale = robust_scale(new.X)
    sums = [shared_sums(one.companion.people[0], pooled.items, 1.0) for one in people]
    summed = total(sums)
    prior = (summed.gram + chosen["alpha"] * np.eye(len(summed.gram))) / 4
    np.testing.assert_allclose(pooled.prior_gram, prior, rtol=1e-5, atol=1e-5 * prior.max())

    labels = LabelSums(replace(free, prior_gram=4 * pooled.prior_gram))
    labels.add(new.X, new.truth, center, scale)
    W = sums[0].whitener  # of anybody: the same on both sides
    found = labels.learned(whitened_weights(pooled), W, scale)

    Z = (new.X - center) / scale @ W
    Z -= Z.mean(axis=0)
    mine = Shared(Z.T @ Z, np.zeros_like(summed.sums), np.zeros(len(pooled.items)), W,
                  sums[0].moments)  # fmt: skip
    np.add.at(mine.sums, new.truth, Z)
    space = item_space(people[0].companion.people[0].vectors.astype(float), summed.counts)
    both = summed.plus(mine)
    setting = Setting(chosen["alpha"] / np.linalg.eigvalsh(both.gram).mean(), chosen["power"])
    wanted = fit_group(both, space, setting)
    assert wanted.alpha == pytest.approx(chosen["alpha"])
    turn = space.axes @ pooled.basis.T  # signs of principal axes are anybody's
    np.testing.assert_allclose(found, wanted.weights @ turn, atol=2e-4 * np.abs(found).max())
    moved = np.abs(found - whitened_weights(pooled)).max()
    assert moved > 0.05 * np.abs(found).max()


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000), n=st.integers(1, 60), cut=st.floats(0, 1),
    power=st.integers(-8, 8),
)  # fmt: skip
def test_events_add_up_however_they_come_and_gains_cancel(
    seed: int, n: int, cut: float, power: int
) -> None:
    model = group()
    X, items = own_events(model, seed, n)
    center, scale = np.median(X, axis=0), np.full(X.shape[1], 1.5)
    W, A = np.eye(X.shape[1]), whitened_weights(model)
    once, parts, louder = LabelSums(model), LabelSums(model), LabelSums(model)
    once.add(X, items, center, scale)
    at, gain = int(cut * n), 2.0**power
    for rows in (slice(0, at), slice(at, n)):
        parts.add(X[rows], items[rows], center, scale)
    louder.add(gain * X, items, gain * center, gain * scale)
    whole = once.learned(A, W, scale)
    assert parts.n == once.n == n
    np.testing.assert_allclose(parts.learned(A, W, scale), whole, atol=1e-9)
    np.testing.assert_array_equal(louder.learned(A, W, gain * scale), whole)
    # a centre that moved between two updates makes no difference, either
    moved = LabelSums(model)
    moved.add(X[:at], items[:at], center, scale)
    moved.add(X[at:], items[at:], center + 0.01, scale)
    np.testing.assert_allclose(moved.learned(A, W, scale), whole, atol=0.02)
    once.reset()
    assert once.learned(A, W, scale) is A


def test_one_event_and_events_of_one_item_leave_the_group_where_it_is(model: Model) -> None:
    """Centred for the person, a single event says nothing, and one item no direction."""
    X, _ = own_events(model, 3, 40)
    A, W = whitened_weights(model), np.eye(len(model.weights))
    center, scale = robust_scale(X)
    one, same = LabelSums(model), LabelSums(model)
    one.add(X[:1], np.array([2]), center, scale)
    np.testing.assert_allclose(one.learned(A, W, scale), A, atol=1e-9)
    same.add(X, np.full(40, 5), center, scale)
    shrunk = same.learned(A, W, scale)  # towards a map that tells nothing apart
    assert np.linalg.norm(shrunk) < np.linalg.norm(A)
    with pytest.raises(IndexError):
        same.add(X[:1], np.array([len(model.items)]), center, scale)


def test_a_heavy_group_hears_no_label(model: Model) -> None:
    X, items = own_events(model, 4, 50)
    heavy = replace(model, prior_gram=1e9 * model.prior_gram)
    labels = LabelSums(heavy)
    labels.add(X, items, *robust_scale(X))
    deaf, heard = align(heavy, X), align(heavy, X, None, labels)
    np.testing.assert_allclose(heard.weights, deaf.weights, rtol=1e-4, atol=1e-6)


# --- a session


def test_labels_change_nothing_before_the_first_update_and_all_after_it(model: Model) -> None:
    answers, updates = own()
    wrong, same = decoded(model, shuffled(NEW))
    assert answers[:20] == wrong[:20]
    assert answers[20:] != wrong[20:]
    n_told = [one["n_labels"] for one in updates]
    assert n_told == [one["n_labels"] for one in same] == [one["n_events"] for one in updates]


@pytest.mark.parametrize(
    "last", [pytest.param(19, marks=pytest.mark.slow), 20, pytest.param(30, marks=pytest.mark.slow)]
)
def test_a_label_never_touches_its_own_readout(model: Model, last: int) -> None:
    """Nor any other before the update after it: each label counts from there on."""
    labels = [marker.label for marker in NEW.markers]
    labels[last] = next(word for word in WORDS if word != labels[last])
    answers, updates = own()
    wrong, _ = decoded(model, told(NEW, labels))
    from_here = min(one["n_events"] for one in updates if one["n_events"] > last)
    assert answers[:from_here] == wrong[:from_here]
    assert answers[from_here:] != wrong[from_here:]


def test_without_being_told_a_session_looks_at_no_label(model: Model) -> None:
    assert plain() == decoded(model, shuffled(NEW), PipelineOptions(RULES))
    assert plain()[0] != own()[0]
    assert "n_labels" not in plain()[1][0]


def test_markers_that_name_no_word_are_no_labels(model: Model) -> None:
    """They align all the same; so a session without any is the one that does not learn."""
    unnamed = told(NEW, ["go"] * EVENTS)
    answers, updates = decoded(model, unnamed)
    assert answers == plain()[0]
    assert [one["n_labels"] for one in updates] == [0] * len(plain()[1])
    every_second = ["go" if n % 2 else one.label for n, one in enumerate(NEW.markers)]
    _, updates = decoded(model, told(NEW, every_second))
    assert [one["n_labels"] for one in updates] == [one["n_events"] // 2 for one in updates]


@pytest.mark.parametrize("chunk", [pytest.param(7, marks=pytest.mark.slow), 100_000])
def test_cuts_change_nothing(model: Model, chunk: int) -> None:
    assert decoded(model, chunk=chunk) == own()


def test_repeats_of_a_trial_are_not_told_before_its_last_answer(model: Model) -> None:
    """Their item is the same: the label of the first would tell the others."""
    repeats = replace(model.recipe, readout=replace(model.recipe.readout, repeats=7))
    pooled = replace(model, recipe=repeats)
    trials = [WORDS[n // 7 % len(WORDS)] for n in range(EVENTS)]
    wrong = [WORDS[(n // 7 + (n >= 14)) % len(WORDS)] for n in range(EVENTS)]  # from the third on
    answers, updates = decoded(pooled, told(NEW, trials))
    others, _ = decoded(pooled, told(NEW, wrong))
    assert [one["n_labels"] for one in updates] == [one["n_events"] // 7 * 7 for one in updates]
    n_same = next(n for n, (a, b) in enumerate(zip(answers, others, strict=True)) if a != b)
    event = [one for one in answers[:n_same] if one[0] == "event"]
    assert len(event) == 30  # the update after 20 knows 14 labels, that after 30 knows 28
    # a cue begins a trial early: what was before it may be told
    cued = [*trials]
    cued[18] = "cue/trial"
    _, updates = decoded(pooled, told(NEW, cued))
    assert updates[0]["n_labels"] == 18


def test_bad_events_and_reset_leave_no_label_behind(model: Model) -> None:
    data = NEW.data.copy()
    data[NEW.markers[3].index : NEW.markers[8].index, :6] = np.nan
    _, updates = decoded(model, replace(NEW, data=data))
    assert all(one["n_labels"] == one["n_events"] for one in updates)
    decoder = Decoder(model, NEW.info, LEARN)
    for _ in decode_recording(model, NEW, NEW.markers, decoder=decoder):
        pass
    assert decoder.learned() == {"n_labels": 50}
    decoder.pipeline.reset()
    decoder.align.reset()
    assert decoder.learned() == {"n_labels": 0}
    again = decode_recording(model, NEW, NEW.markers, decoder=decoder)
    assert said(list(again)) == own()[0]


def test_a_session_record_is_decoded_as_it_learned(model: Model) -> None:
    rows = [marker.index for marker in NEW.markers]
    made = (Realigned(rows[26], 20), Realigned(rows[45], 33))
    record = replace(NEW, decisions=(Start(0, RULES, False, align=True, learn=True), *made))
    answers = said([*decode_recording(model, record, record.markers, PipelineOptions(RULES))])
    never, learned = plain()[0], own()[0]
    assert answers[:20] == learned[:20]
    assert answers[27:30] == learned[27:30] != never[27:30]  # by the same 20, labels and all
    for learn, options in ((True, False), (False, None)):
        start = Start(0, RULES, False, align=True, learn=learn)
        record = replace(NEW, decisions=(start, *made))
        kept = decode_recording(model, record, NEW.markers, PipelineOptions(RULES, learn=options))
        assert said([*kept])[27:30] == never[27:30]
    # a model that cannot learn decodes the record as far as it can
    bare = replace(model, prior_gram=np.zeros((0, 0)), target_lengths=np.zeros(0))
    record = replace(NEW, decisions=(Start(0, RULES, False, align=True, learn=True), *made))
    kept = decode_recording(bare, record, NEW.markers, PipelineOptions(RULES))
    assert said([*kept])[27:30] == never[27:30]


def test_what_is_told_later_is_a_label_of_the_next_update(model: Model) -> None:
    """The map is the same to the bit as with markers that name the items."""
    rng, maps = np.random.default_rng(5), []
    rows = rng.normal(model.center, model.scale, (20, len(model.center)))
    for is_told in (False, True):
        pipeline = Pipeline(model, LEARN)
        adaptation = pipeline.adaptation
        assert adaptation is not None
        for seq, row in enumerate(rows):
            is_last = seq == len(rows) - 1
            label = "onset" if is_told or is_last else WORDS[seq % 12]
            adaptation.add(row, 1.0, label, seq=seq)
            if is_told:
                adaptation.truth(seq, WORDS[seq % 12])
                adaptation.truth(seq + 100, WORDS[0])  # an event that is not known
                adaptation.truth(seq, "no word")
        adaptation.hop()
        assert adaptation.n_labels == 19  # the last was told after the last event: it waits
        assert pipeline.answerer.map is not None
        maps.append(pipeline.answerer.map.A.copy())
    np.testing.assert_array_equal(*maps)


def test_truths_of_a_record_are_learned_from_however_it_is_cut(model: Model) -> None:
    hidden = told(NEW, ["onset"] * EVENTS)
    answers = list(decode_recording(model, hidden, hidden.markers, PipelineOptions(RULES)))
    width = round(1.5 * NEW.info.sfreq)
    truths = [
        Truth(one.index + width, one.seq, marker.label)
        for one, marker in zip(answers, NEW.markers, strict=False)
        if one.index + width < len(NEW.data)
    ]
    session = replace(hidden, decisions=(Start(0, RULES, False, learn=True), *truths))
    found = []
    for chunk in (64, 5000):
        decoder = Decoder(model, NEW.info, LEARN)
        said = list(decode_recording(model, session, hidden.markers, decoder=decoder, chunk=chunk))
        found.append((timeless(said), decoder.learned()["n_labels"]))
    assert found[0] == found[1]
    assert found[0][1] >= 30
    assert found[0][0] != timeless(answers)


def test_what_cannot_learn_is_refused(model: Model, tmp_path: Path) -> None:
    bare = replace(model, prior_gram=np.zeros((0, 0)), target_lengths=np.zeros(0))
    for one in (bare, replace(model, alignment=None)):
        with pytest.raises(ValueError, match="need a group's model for --learn"):
            Pipeline(one, LEARN)
    with pytest.raises(ValueError, match="need a group's model that learns"):
        LabelSums(bare)
    with pytest.raises(ValueError, match="kept aligned with --learn, got --no-align"):
        Pipeline(model, replace(LEARN, align=False))
    for wrong in (
        {"prior_gram": np.eye(3)},
        {"target_lengths": np.ones(3)},
        {"prior_gram": np.zeros((0, 0))},
    ):
        with pytest.raises(ValueError, match="of shape"):
            save_model(replace(model, **wrong), tmp_path / "x.rtd.safetensors")


# --- files and command lines


@pytest.mark.parametrize("option", ["", "--learn"])
def test_decode_says_from_how_many_labels_it_learned(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    save_model(model, path := tmp_path / "group.rtd.safetensors")
    assert "learns      from true labels" in "\n".join(model_lines(load_model(path)))
    save_recording(NEW, tmp_path / "new.xdf")
    ran = call(
        capsys, "decode", tmp_path / "new.xdf", "--model", path, "--jsonl",
        tmp_path / "new.jsonl", "--force", *([option] if option else []),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    header, *_, footer = written = lines(tmp_path / "new.jsonl")
    events = [line for line in written if line.get("event") == "aligned"]
    assert header.get("learn", False) == bool(option)
    assert footer.get("n_labels") == (50 if option else None)
    assert events[-1].get("n_labels") == (50 if option else None)
    assert ("learned from 50 labels" in ran.out + ran.err) == bool(option)


@pytest.mark.parametrize(("command", "more"), [("run", ()), ("decode", ("--no-align",))])
def test_commands_refuse_to_learn_before_they_look_for_anything(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, more: tuple[str]
) -> None:
    whose = model if more else replace(model, alignment=None)
    save_model(whose, path := tmp_path / "group.rtd.safetensors")
    save_recording(NEW, tmp_path / "new.xdf")
    files = (tmp_path / "new.xdf", "--jsonl", tmp_path / "new.jsonl") if more else ()
    ran = call(capsys, command, *files, "--model", path, "--force", "--learn", *more)
    assert ran.code == 1
    assert ("got --no-align" if more else "need a group's model for --learn") in ran.err
    assert "looking for" not in ran.err
    assert not (tmp_path / "new.jsonl").exists()


def test_the_end_of_a_session_tells_the_labels() -> None:
    footer: dict[str, Any] = {
        "counts": {}, "n_samples": 1, "n_readouts": 1, "n_late": 0, "latency_ms": {}, "n_dropped": 0
    }  # fmt: skip
    assert not any("learned" in line for line in ended_lines(footer, 1.0))
    assert any(
        "learned from 3 labels" in line for line in ended_lines(footer | {"n_labels": 3}, 1.0)
    )


def test_a_label_is_named_as_the_rules_name_it(model: Model) -> None:
    """Codes of a trigger channel are labels, too."""
    rules = MarkerRules("TRIG", RULES.names)
    decoder = Decoder(model, NEW.info, PipelineOptions(rules, learn=True))
    n = sum(1 for _ in decode_recording(model, NEW, (), decoder=decoder))
    assert n >= 50
    assert decoder.learned() == {"n_labels": 50}
    assert isinstance(NEW.markers[0], Marker)


@pytest.mark.slow
def test_a_person_with_structure_of_their_own_is_read_better_with_true_labels() -> None:
    """Rank accuracy after the first 100 events: aligned alone, with labels, with shuffled ones."""
    adapting = replace(group(), alignment=replace(ALIGNMENT, most=400))
    found = []
    for number in (11, 12, 13):
        recording = person(number, seconds=150.0, own=0.5)
        sessions = ((False, recording), (True, recording), (True, shuffled(recording, number)))
        found.append([
            np.mean(ranks([*decode_recording(
                adapting, one, one.markers, PipelineOptions(RULES, learn=learn)
            )], recording, 100))
            for learn, one in sessions
        ])  # fmt: skip
    kept, learned, wrong = np.array(found).T
    assert (learned > kept).all(), found
    assert np.mean(learned - kept) > 0.04, found
    assert (wrong < kept).all(), found


@pytest.mark.slow
def test_the_groups_posterior_becomes_too_modest_and_not_too_bold() -> None:
    """It stays as it is while labels join, and tells more bits of later events of new people."""
    people = [simulated_person(seed, common=mixed(seed), snr=0.3) for seed in range(1, 6)]
    pooled, _ = pool_models([one.model for one in people], [one.companion for one in people])
    assert pooled.learns
    whitened, found = whitened_weights(pooled), []
    for seed in range(100, 106):
        X, truth = trials(seed, 960, snr=0.3, common=mixed(seed))
        seen, items = X[:400], truth[:400]
        for n in (0, 100, 400):
            labels = LabelSums(pooled)
            labels.add(seen[:n], items[:n], *robust_scale(seen))
            parts = align(pooled, seen, whitened, labels)
            found.append(answered(replace(pooled, **parts._asdict()), X[400:], truth[400:]))
    bits, sure, right = np.array(found).reshape(6, 3, 3).mean(axis=0).T
    assert bits[2] > bits[1] > bits[0] > 0.1, bits
    assert right[2] > right[1] > right[0], right
    assert (sure < right + 0.03).all(), (sure, right)


def mixed(seed: int) -> np.ndarray:
    """What a person's brain makes of the items: half as everybody's."""
    shape = (DIM, N_CHANNELS * N_BINS)
    everybodys, own = (np.random.default_rng([one, 77]).standard_normal(shape) for one in (0, seed))
    return np.sqrt(0.5 / DIM) * (everybodys + own)


def answered(model: Model, X: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Bits beyond an even guess, mean probability of the best item, and how often it is right."""
    features = scale_features(X, model.center, model.scale, model.recipe.features.clamp)
    z = features @ model.weights + model.offset
    cosines = cosine(z, model.vectors @ model.basis.T)
    evidence = Evidence(cosines, np.linalg.norm(z, axis=1))
    log = log_posterior(evidence, model.posterior, model.log_prior)
    bits = np.mean(log[np.arange(len(truth)), truth]) / np.log(2) + np.log2(len(model.items))
    best = np.exp(log.max(axis=1))
    return float(bits), float(best.mean()), float(np.mean(log.argmax(axis=1) == truth))
