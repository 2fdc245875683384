"""Words of languages other than English: frequencies, scripts, models."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.ahead import check_events, check_settings
from calibration.events import label_recording
from calibration.language.embeddings import embed
from calibration.language.scripts import language_note, script_of
from calibration.language.words import frequent_words, word_log_prior
from calibration.nuisance import covariates
from calibration.readout import prior_of
from calibration.senses import check_target
from calibration.targets import Targets, vocabulary_items
from rt_decoder.recipe import Recipe, Target
from rt_decoder.timing.markers import MarkerRules
from tests.small import WORDS, call, small_recipe, small_recording

RUSSIAN = ("вода", "огонь", "и", "дом", "паровоз", "стол")


def targets(items) -> Targets:
    n = len(items)
    return Targets(tuple(items), np.eye(n), np.eye(n), np.arange(n))


@pytest.mark.parametrize(
    ("items", "script"),
    [
        (RUSSIAN, "Cyrillic"), (("水", "火"), "Chinese"), (("みず", "ひ"), "Japanese"),
        (("물", "불"), "Korean"), (("ماء", "نار"), "Arabic"), (("נחל",), "Hebrew"),
        (("पानी",), "Devanagari"), (("ψωμί",), "Greek"), (("straße", "ŵy"), "Latin"),
        (("17", "?"), ""), ((), ""), (("tea", "вода", "дом"), "Cyrillic"),
    ],
)  # fmt: skip
def test_script(items, script):
    assert script_of(items) == script


@pytest.mark.parametrize(
    ("items", "target", "told"),
    [
        (RUSSIAN, {}, "in Cyrillic script, and minilm is a model of English"),
        (RUSSIAN, {"language": "ru"}, "(--embedding NAME|FOLDER)"),
        (("Haus", "Baum"), {"language": "de"}, "of language de, and minilm is a model of English"),
        (RUSSIAN, {"embedding": "xlm-roberta-base"}, "name their language for their frequencies"),
        (RUSSIAN, {"embedding": "xlm-roberta-base", "language": "ru"}, ""),
        (("house", "17"), {}, ""), (("Haus", "Baum"), {"language": "en"}, ""),
    ],
)  # fmt: skip
def test_what_is_said_of_a_language(items, target, told):
    note = language_note(items, target.get("embedding", "minilm"), target.get("language", ""))
    assert (told in note) if told else note == ""


@pytest.mark.parametrize("language", ["de", "ru", "zh", "ja", "ko", "hi", "ar"])
def test_words_and_frequencies_of_a_language(language):
    words = frequent_words(30, language)
    assert len(set(words)) == 30
    assert words != frequent_words(30)
    prior = word_log_prior(words, language)
    np.testing.assert_allclose(np.exp(prior).sum(), 1.0)
    assert np.ptp(prior) > 0.1  # known: unknown words are all as frequent
    assert prior[0] > prior[-1]


def test_a_recipe_takes_the_frequencies_of_its_language():
    recipe = Recipe.from_dict({"target": {"language": "ru"}, "readout": {"prior": "wordfreq"}})
    prior = prior_of(targets(RUSSIAN), recipe)
    np.testing.assert_array_equal(prior, word_log_prior(RUSSIAN, "ru"))
    assert RUSSIAN[np.argmax(prior)] == "и"
    russian, english = (covariates(targets(RUSSIAN), code)["frequency"] for code in ("ru", "en"))
    assert np.ptp(russian) > 0.1
    assert not np.allclose(russian, english)
    assert vocabulary_items("wordfreq:5", (), language="ru") == tuple(frequent_words(5, "ru"))


def test_an_unknown_language_is_refused_at_once():
    with pytest.raises(ValueError, match=r"need a language that wordfreq knows, ar, bg, .* 'xx'"):
        check_settings(Recipe.from_dict({"target": {"language": "xx"}}))


def test_a_fit_says_so_before_it_works():
    names = dict(zip(WORDS, (*RUSSIAN, "река", "лес", "гора", "мост", "хлеб", "соль"), strict=True))
    recipe = small_recipe(target={"names": names})
    labelled = [label_recording(small_recording(), None, recipe, MarkerRules())]
    with pytest.warns(RuntimeWarning, match="items are in Cyrillic script, and minilm"):
        check_events(labelled, recipe)
    check_settings(recipe)


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    """An XLM-RoBERTa of two layers that has never learned anything; knows letters of any script."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("xlm")
    letters = sorted(set("".join(RUSSIAN) + "水火abc"))
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *letters]
    core = Tokenizer(
        models.Unigram([(piece, -float(k)) for k, piece in enumerate(pieces)], unk_id=3)
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    special = {
        "bos": "<s>",
        "pad": "<pad>",
        "eos": "</s>",
        "unk": "<unk>",
        "cls": "<s>",
        "sep": "</s>",
    }
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, **{f"{name}_token": piece for name, piece in special.items()}
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, initializer_range=0.5,
    )  # fmt: skip
    transformers.XLMRobertaModel(config).eval().save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_multilingual_model_by_its_folder(multilingual):
    check_target(Target(embedding=str(multilingual), language="ru"))
    items = (*RUSSIAN, "水", "火", "abc")
    vectors = embed(items, model=multilingual, cache_dir=False)
    assert vectors.shape == (len(items), 16)
    assert np.linalg.matrix_rank(vectors - vectors.mean(axis=0)) == len(items) - 1


def test_the_language_is_an_option(capsys):
    for command in ("fit", "encode"):
        assert "--language CODE" in call(capsys, command, "--help", program="calibration").out
