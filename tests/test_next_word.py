"""The prior of the next word: what languages say, how it is joined, and what it may cost."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from calibration.confidence import Evidence
from calibration.demo import save_recording
from calibration.language_weight import fit_language
from calibration.next_word import Text, language_lines, language_scores
from rt_decoder.decoding.language.next_word import Beam, NextWord, mixed, rules_of
from rt_decoder.decoding.language.ngram import START, NGram
from rt_decoder.decoding.language.opening import words_of
from rt_decoder.files.decisions import Prior
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.session_record import encode, parse
from rt_decoder.model import Language, Model, Pooling, PosteriorParameters
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Readout
from rt_decoder.sinks.log import readout_line
from tests.language import tiny_gpt
from tests.small import (
    VECTORS,
    WORDS,
    call,
    lines,
    random_model,
    readouts,
    small_recipe,
    small_recording,
    timeless,
)  # fmt: skip

ITEMS = ("the", "cat", "sat", "New York")
TEXT = "The cat sat. The CAT, the dog, the cat!\nNew York sat"
RECORDING = small_recording(seconds=12.0)


def language_text(seed: int = 0) -> str:
    """Sentences of `WORDS`, each word followed by the next one or the one after."""
    rng, words = np.random.default_rng(seed), []
    for _ in range(300):
        at = int(rng.integers(len(WORDS)))
        for _ in range(5):
            words.append(WORDS[at])
            at = (at + int(rng.integers(1, 3))) % len(WORDS)
        words.append("\n")
    return " ".join(words)


class Taught:
    """A language of two words of context that a test can look into."""

    identity, memory, width = "taught", 1, 10_000

    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.table = np.log(rng.dirichlet(np.full(n, 0.3), n + 2) + 1e-9)
        self.table -= special.logsumexp(self.table, axis=1, keepdims=True)

    def log_prior(self, context: tuple[str, ...]) -> np.ndarray:
        if not context:
            return self.table[-1]
        return self.table[-2 if context[-1] == START else int(context[-1])]


@given(st.lists(st.sampled_from([*ITEMS, START, "dog"]), max_size=5), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_counts_give_a_distribution_and_what_is_unknown_hides_the_rest(
    context: list[str], order: int
) -> None:
    words = NGram(TEXT, ITEMS, order)
    p = np.exp(words.log_prior(context))
    assert p.sum() == pytest.approx(1)
    assert (p > 0).all()
    hidden = np.exp(words.log_prior(["the", "cat", "dog", *context]))
    np.testing.assert_array_equal(hidden, np.exp(words.log_prior(["dog", *context])))


def test_counts_are_joined_by_witten_and_bell() -> None:
    words = NGram(TEXT, ITEMS, 2)
    once = np.array([5, 4, 3, 2]) / 14  # each is counted once more than it comes
    assert words.n_words == 10
    np.testing.assert_allclose(np.exp(words.log_prior(())), once)
    # "the" is followed by cat, three times, and where "dog" is left out by itself
    np.testing.assert_allclose(
        np.exp(words.log_prior(("the",))), (np.array([1, 3, 0, 0]) + 2 * once) / 6
    )
    np.testing.assert_allclose(
        np.exp(words.log_prior((START,))), (np.array([2, 0, 0, 1]) + 2 * once) / 5
    )


@pytest.mark.parametrize(
    ("text", "items", "order", "said"),
    [
        ("a dog", ITEMS, 3, "words of the model"),
        (TEXT, ("Cat", "cat"), 3, "more than case"),
        (TEXT, ITEMS, 0, "order"),
    ],
)
def test_a_text_that_tells_nothing_is_refused(
    text: str, items: tuple[str, ...], order: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        NGram(text, items, order)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"UTF-8.*x\.txt"):
        NGram.read(tmp_path / "x.txt", ITEMS)
    with pytest.raises(ValueError, match="both"):
        words_of(tmp_path / "x.txt", "gpt")


@given(st.floats(0, 0.999), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_a_language_cannot_cost_more_than_its_weight_says(weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    own, other = (special.log_softmax(5 * rng.standard_normal(7)) for _ in range(2))
    both = mixed(own, other, weight)
    assert special.logsumexp(both) == pytest.approx(0, abs=1e-9)
    assert ((own - both) / np.log(2) <= -np.log2(1 - weight) + 1e-9).all()
    assert mixed(own, other, 0.0) is own


@given(st.integers(0, 30), st.sampled_from([0.3, 0.9, 1.0]))
@settings(max_examples=20, deadline=None)
def test_a_wide_beam_is_the_sum_over_all_sequences(seed: int, weight: float) -> None:
    n, rng = 3, np.random.default_rng(seed)
    items = tuple(str(i) for i in range(n))
    own, words = special.log_softmax(rng.standard_normal(n)), Taught(n, seed)
    ratios = rng.uniform(0, 3, (3, n))
    beam = Beam(items, own, words, weight)
    for ratio in ratios:
        beam.decoded(ratio)
    said = np.exp(mixed(np.broadcast_to(own, words.table.shape), words.table, weight))
    wanted = np.zeros(n)
    for a, b, c in product(range(n), repeat=3):
        p = said[-2, a] * said[a, b] * said[b, c] * ratios[0, a] * ratios[1, b] * ratios[2, c]
        wanted += p * said[c]
    np.testing.assert_allclose(np.exp(beam.log_prior()), wanted / wanted.sum(), atol=1e-9)


def test_what_falls_out_of_a_beam_is_a_context_of_which_nothing_is_known() -> None:
    words = Taught(4, 0)
    words.width = 1
    beam = Beam("0123", np.log(np.full(4, 0.25)), words, 1.0)
    beam.decoded(np.array([1.0, 0.0, 1.0, 0.0]))
    assert sum(beam.contexts.values()) == pytest.approx(1)
    assert len(beam.contexts) == 2
    assert beam.contexts[()] > 0
    beam.shown("no item")
    assert beam.contexts == {(): 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("spelled", [False, True])
def test_words_of_several_tokens_are_scored_by_all_of_them(tmp_path: Path, spelled: bool) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_gpt(tmp_path, spelled=spelled)
    items = ["word0", "word1", "word12", "word", "axe", "word123"]
    opened = words_of(None, str(folder))
    assert opened is not None
    words = opened(items)
    net, tokenizer = (
        kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    begin = [0, *tokenizer("word1 axe", add_special_tokens=False)["input_ids"]]
    share = {}
    for item in items:
        ids = tokenizer(f"x {item}", add_special_tokens=False)["input_ids"][1:]
        with torch.inference_mode():
            logits = net(torch.tensor([[*begin, *ids]])).logits[0].double().log_softmax(-1)
        log_p = sum(logits[len(begin) - 1 + i, one] for i, one in enumerate(ids))
        share[item] = float(log_p.exp())
    own = dict(share)
    own["word"] -= share["word0"] + share["word1"]
    own["word1"] -= share["word12"]
    own["word12"] -= share["word123"]
    wanted = np.array([own[item] for item in items])
    wanted = np.maximum(wanted, 1e-12 * wanted.sum())
    p = np.exp(words.log_prior(("word1", "axe")))
    np.testing.assert_allclose(p, wanted / wanted.sum(), rtol=1e-4, atol=1e-9)
    assert np.exp(words.log_prior([START] + ["axe"] * 100)).sum() == pytest.approx(1)


@pytest.mark.slow
def test_a_folder_without_a_language_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    opened = words_of(None, str(tmp_path))
    assert opened is not None
    with pytest.raises(OSError, match="causal language model"):
        opened(ITEMS)


def small_model(weight: float = 0.7, *, shown: bool = False) -> Model:
    """A random model with a language."""
    model = random_model(RECORDING, small_recipe())
    words = NGram(language_text(), WORDS)
    return replace(
        model,
        posterior=PosteriorParameters(5.0, 0.2, floor=0.01),
        language=Language(weight, 0.1, shown, words.identity),
    )


def decoded(model: Model, chunk: int, *, spoken: bool = True) -> list[Readout]:
    assert model.language is not None
    words = NGram(language_text(), WORDS)
    language = NextWord(model.items, model.log_prior, words, model.language) if spoken else None
    options = PipelineOptions(next_word=language)
    return list(decode_recording(model, RECORDING, RECORDING.markers, options, chunk=chunk))


@pytest.mark.parametrize("shown", [True, False])
def test_the_cut_of_the_stream_changes_no_bit(shown: bool) -> None:
    model = small_model(shown=shown)
    whole, pieces = decoded(model, 100_000), decoded(model, 7)
    assert timeless(whole) == timeless(pieces)
    assert [one.prior for one in whole] == ["", *["language"] * (len(whole) - 1)]
    assert readout_line(whole[1])["prior"] == "language"
    assert timeless(whole) != timeless(decoded(model, 64, spoken=False))


def test_a_language_of_weight_0_changes_nothing_but_its_name() -> None:
    model = small_model(0.0)
    assert model.language is not None
    model = replace(model, language=replace(model.language, threshold=model.posterior.threshold))
    for with_, without in zip(decoded(model, 64), decoded(model, 64, spoken=False), strict=True):
        assert with_.words == without.words
        np.testing.assert_allclose(with_.probabilities, without.probabilities, atol=1e-3)
        assert with_.bits == pytest.approx(without.bits, abs=1e-3)


def test_the_bits_of_a_language_are_not_the_brains() -> None:
    """A model that hears nothing has no bits, however sure the language is."""
    model = small_model(1.0, shown=True)
    model = replace(model, posterior=PosteriorParameters(0.0))
    found = decoded(model, 64)
    assert max(one.probabilities[0] for one in found) > 0.3
    assert max(abs(one.bits) for one in found) < 1e-6


def test_a_recorded_prior_answers_the_next_event_alone() -> None:
    model, rng = small_model(), np.random.default_rng(0)
    values = special.log_softmax(rng.standard_normal(12)).astype(np.float32)
    first = RECORDING.markers[2].index
    record = replace(RECORDING, decisions=(Prior.of(first, values),))
    usual, told = decoded(model, 64, spoken=False), list(
        decode_recording(model, record, RECORDING.markers, chunk=13)
    )  # fmt: skip
    assert [i for i, one in enumerate(told) if one.prior] == [
        i for i, (a, b) in enumerate(zip(timeless(usual), timeless(told), strict=True)) if a != b
    ]
    assert sum(bool(one.prior) for one in told) == 1


def test_a_prior_of_another_vocabulary_is_refused() -> None:
    record = replace(RECORDING, decisions=(Prior.of(10, np.zeros(2)),))
    with pytest.raises(ValueError, match="12 items"):
        list(decode_recording(small_model(), record, RECORDING.markers))


def test_a_model_keeps_its_language(tmp_path: Path) -> None:
    model = small_model()
    save_model(model, tmp_path / "m.rtd.safetensors")
    assert load_model(tmp_path / "m.rtd.safetensors").language == model.language


def test_a_weight_holds_for_the_language_that_it_was_fitted_with() -> None:
    model = small_model()
    assert model.language is not None
    assert rules_of(model, model.language.identity) == model.language
    with pytest.raises(ValueError, match="fit again"):
        rules_of(model, "another")
    with pytest.raises(ValueError, match="language-weight"):
        rules_of(replace(model, language=None), "another")
    assert rules_of(model, "another", 0.5).weight == 0.5
    with pytest.raises(ValueError, match="pools repeats"):
        rules_of(replace(model, pooling=Pooling()), model.language.identity)


@pytest.mark.parametrize("text", ["", "AAAAgA==", "AAAA", "AAA", "\u00e9", 3])
def test_only_whole_numbers_of_floats_are_a_recorded_prior(text: Any) -> None:
    plain = json.dumps({"index": 3, "decision": "prior", "log_prior": text})
    if text in ("", "AAAAgA=="):
        assert parse(plain) == Prior(3, text)
        assert encode(parse(plain)) == plain
    else:
        with pytest.raises(ValueError, match="damaged"):
            parse(plain)


def spoken(n: int, seed: int) -> tuple[Text, np.ndarray]:
    """Words of `language_text`'s sentences, and their numbers."""
    rng, truth = np.random.default_rng(seed), np.zeros(n, int)
    for i in range(n):
        step = int(rng.integers(1, 3))
        truth[i] = (truth[i - 1] + step) % 12 if i % 5 else rng.integers(12)
    return Text(tuple(WORDS[i] for i in truth), np.arange(n) % 5 == 0), truth


def heard(truth: np.ndarray, seed: int) -> Evidence:
    cosines = np.random.default_rng(seed).uniform(-1, 1, (len(truth), 12))
    cosines[np.arange(len(truth)), truth] += 0.5
    return Evidence(cosines, np.ones(len(truth)))


@pytest.mark.parametrize("shown", [True, False])
def test_both_together_are_better_than_each(shown: bool) -> None:
    model = replace(
        random_model(RECORDING, small_recipe()), log_prior=np.log(np.full(12, 1 / 12)),
        posterior=PosteriorParameters(1.5), item_bias=np.zeros(0),
    )  # fmt: skip
    text, truth = spoken(400, 0)
    train = np.flatnonzero(np.arange(400) % 50 > 2)
    words = NGram(language_text(), WORDS)
    found = heard(truth, 1)
    model, inner = fit_language(
        model, found.of(train), text, train, train // 50, words, shown
    )  # fmt: skip
    assert model.language is not None
    assert model.language.weight >= 0.5
    text, truth = spoken(1000, 2)
    scores = language_scores(model, heard(truth, 3), text, words, model.language)
    for one in (inner, scores):
        bits = {name: one[name]["bits"] for name in ("neural", "prior", "fused")}
        assert bits["fused"] > max(bits["neural"], bits["prior"])
        assert one["brain_bits"] == pytest.approx(bits["fused"] - bits["prior"])
        assert "hears no brain" in " ".join(language_lines(one, "here")) or shown or one is inner


def test_a_language_that_misleads_has_no_weight() -> None:
    model = replace(
        random_model(RECORDING, small_recipe()), log_prior=np.log(np.full(12, 1 / 12)),
        posterior=PosteriorParameters(1.5), item_bias=np.zeros(0),
    )  # fmt: skip
    text, truth = spoken(400, 0)
    train = np.arange(400)
    backwards = NGram(" ".join(reversed(language_text().split(" "))), WORDS)
    model, _ = fit_language(model, heard(truth, 1), text, train, train // 50, backwards, True)
    assert model.language is not None
    assert model.language.weight == 0


@pytest.mark.slow
def test_fit_evaluate_and_decode_take_a_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, model = tmp_path / "text.txt", tmp_path / "m.rtd.safetensors"
    text.write_text(language_text())
    rows = ["\t".join([w, *map(str, v)]) for w, v in zip(WORDS, VECTORS, strict=True)]
    head = "\t".join(["name", *map(str, range(VECTORS.shape[1]))])
    (tmp_path / "vectors.tsv").write_text("\n".join([head, *rows]) + "\n")
    for session in (1, 2):
        save_recording(small_recording(session=session), tmp_path / f"rec{session}.xdf")
    ran = call(
        capsys, "fit", tmp_path / "rec1.xdf", "--events", tmp_path / "rec1.tsv", "-o", model,
        "--vectors", tmp_path / "vectors.tsv", "--picks", "eeg", "--stages", "[]", "--n-blocks", "4",
        "--n-permutations", "19", "--precision", "0", "--language-text", text, "--json",
        program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    certificate = json.loads(ran.out.splitlines()[-1])["certificate"]
    assert "language prior of weight" in ran.out
    assert "sets that hold the item in 90 %" in ran.out
    assert {"neural", "prior", "alone", "fused"} <= certificate["language"]["final"].keys()
    kept = load_model(model)
    assert kept.language is not None
    assert kept.language.weight == certificate["language"]["out_of_fold"]["weight"]
    assert kept.set_cutoffs.shape == (99,)
    new = tmp_path / "rec2.xdf"
    ran = call(
        capsys, "evaluate", new, "--events", tmp_path / "rec2.tsv", "--model", model,
        "--language-text", text, "--language-weight", "0.5", "--json", program="calibration",
    )  # fmt: skip
    scores = json.loads(ran.out.splitlines()[-1])["scores"]
    assert scores["language"]["weight"] == 0.5
    assert [row["level"] for row in scores["sets"]] == [0.8, 0.9, 0.95]
    decoded = "decode", new, "--events", tmp_path / "rec2.tsv", "--model", model, "--force"
    for chunk in ("7", "500"):
        ran = call(
            capsys, *decoded, "--jsonl", tmp_path / f"{chunk}.jsonl", "--language-text", text,
            "--set", "0.9", "--chunk", chunk,
        )  # fmt: skip
        assert ran.code == 0, ran.err
    found = readouts(tmp_path / "7.jsonl")
    assert found == readouts(tmp_path / "500.jsonl")
    assert all({"set", "set_is_all"} <= one.keys() for one in found)
    assert {one.get("prior") for one in found[1:]} == {"language"}
    header = lines(tmp_path / "7.jsonl")[0]
    assert (header["set"], header["language"]["context"]) == (0.9, "decoded")
    ran = call(capsys, *decoded, "--jsonl", tmp_path / "x.jsonl", "--language-weight", "0.5")
    assert ran.code == 1
    assert "for a weight, got neither" in ran.err
