"""Vectors of images and sounds, compared with the same computed by hand, and vectors from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.language.senses import embed_stimuli
from calibration.language.stimuli import find_stimuli, read_image, read_sound
from calibration.language.vector_file import pick_vectors, read_vectors
from calibration.senses import check_target, embedder_of
from rt_decoder.recipe import Target
from rt_decoder.timing.items import ItemRule
from rt_decoder.timing.stems import stem
from tests.tiny_senses import save_images, save_sounds, save_vit, save_wav2vec2

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NAMES = ("axe", "big bee", "cow")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vit(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_images_are_pooled_over_patches(
    vit: Path, tmp_path: Path, layer: int, pooling: str
) -> None:
    folder = save_images(tmp_path / "images", NAMES)
    found = embed_stimuli(NAMES, folder, model=vit, layer=layer, pooling=pooling, cache_dir=False)
    prepare = transformers.AutoImageProcessor.from_pretrained(vit)
    net = transformers.AutoModel.from_pretrained(vit).eval()
    for name, row in zip(NAMES, found, strict=True):
        pixels = prepare([read_image(folder / f"{name}.png")], return_tensors="pt")
        with torch.inference_mode():
            state = net(**pixels, output_hidden_states=True).hidden_states[layer][0].numpy()
        wanted = state.mean(axis=0) if pooling == "mean" else state[-1]
        np.testing.assert_allclose(row, wanted, atol=1e-5)


def test_sounds_are_pooled_over_frames_and_resampled(wav2vec2: Path, tmp_path: Path) -> None:
    folder = save_sounds(tmp_path / "sounds", NAMES)
    found = embed_stimuli(NAMES, folder, model=wav2vec2, cache_dir=False)
    net = transformers.AutoModel.from_pretrained(wav2vec2).eval()
    prepare = transformers.AutoFeatureExtractor.from_pretrained(wav2vec2)
    for name, row in zip(NAMES, found, strict=True):
        wave = read_sound(folder / f"{name}.wav", 16000)
        with torch.inference_mode():
            state = net(**prepare(wave, sampling_rate=16000, return_tensors="pt"))
        np.testing.assert_allclose(row, state.last_hidden_state[0].mean(dim=0), atol=1e-5)


def test_what_is_cached_is_not_computed_again(vit: Path, tmp_path: Path) -> None:
    folder, cache = save_images(tmp_path / "images", NAMES), tmp_path / "cache"
    first = embed_stimuli(NAMES, folder, model=vit, cache_dir=cache)
    shards = list(cache.rglob("*.safetensors"))
    again = embed_stimuli(NAMES[::-1], folder, model=vit, cache_dir=cache)
    np.testing.assert_array_equal(again, first[::-1])
    assert list(cache.rglob("*.safetensors")) == shards
    save_images(folder, ("other", *NAMES))  # the same names, other pixels
    assert not np.allclose(embed_stimuli(NAMES, folder, model=vit, cache_dir=cache), first)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, np.float32])
def test_full_scale_is_one(tmp_path: Path, kind: type) -> None:
    from scipy.io import wavfile

    wave = np.sin(np.linspace(0, 60, 800))
    whole = np.issubdtype(kind, np.integer)
    scale = np.iinfo(kind).max / (2 if kind is np.uint8 else 1) if whole else 1.0
    stored = (wave * scale * 0.99 + (128 if kind is np.uint8 else 0)).astype(kind)
    wavfile.write(tmp_path / "a.wav", 8000, np.column_stack([stored, stored]))
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav", 8000), 0.99 * wave, atol=0.02)
    assert len(read_sound(tmp_path / "a.wav", 16000)) == 1600


def test_files_are_found_by_their_stems(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "images", NAMES)
    save_images(folder / "more", ["Elk"])
    assert [path.name for path in find_stimuli(folder, ["elk", "axe"])] == ["Elk.png", "axe.png"]
    with pytest.raises(ValueError, match=r"got none for dog; the folder has .*axe\.png"):
        find_stimuli(folder, ["axe", "dog"])
    save_images(folder / "more", ["axe"])
    with pytest.raises(ValueError, match=r"need one image or sound named 'axe', got axe\.png and"):
        find_stimuli(folder, ["axe"])
    save_sounds(folder, ["dog"])
    with pytest.raises(ValueError, match=r"got both: cow\.png and dog\.wav"):
        find_stimuli(folder, ["cow", "dog"])
    with pytest.raises(OSError, match="got no folder 'nowhere'"):
        find_stimuli(tmp_path / "nowhere", ["cow"])


def test_damaged_files_are_named(vit: Path, wav2vec2: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
    (tmp_path / "worse.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(OSError, match=r"need an image in bad\.png"):
        embed_stimuli(["bad"], tmp_path, model=vit, cache_dir=False)
    with pytest.raises(OSError, match=r"need a sound in worse\.wav"):
        embed_stimuli(["worse"], tmp_path, model=wav2vec2, cache_dir=False)
    short = save_sounds(tmp_path / "short", ["a"])
    from scipy.io import wavfile

    wavfile.write(short / "a.wav", 16000, np.ones(20, np.int16))
    with pytest.raises(ValueError, match=r"sounds that the model takes, got a\.wav"):
        embed_stimuli(["a"], short, model=wav2vec2, cache_dir=False)
    with pytest.raises(OSError, match="need safetensors weights"):
        embed_stimuli(["a"], short, model=tmp_path, cache_dir=False)


def test_a_model_without_safetensors_or_of_another_sense_is_refused(
    vit: Path, tmp_path: Path
) -> None:
    sounds = save_sounds(tmp_path / "sounds", NAMES)
    with pytest.raises((OSError, ValueError), match=r"feature extractor|that the model takes"):
        embed_stimuli(NAMES, sounds, model=vit, cache_dir=False)
    with pytest.raises(ValueError, match="need a model of images or sounds"):
        check_target(Target(stimuli=str(sounds)))
    with pytest.raises(ValueError, match="need a layer from -3 to 2, got 5"):
        check_target(Target(stimuli=str(sounds), embedding=str(vit), layer=5))


def save_vectors(path: Path, names: list[str], rows: np.ndarray) -> Path:
    """Vectors as each kind of file holds them."""
    if path.suffix == ".npz":
        np.savez(path, items=np.array(names), vectors=rows)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"vectors": rows}, path, metadata={"items": json.dumps(names)})
    else:
        cut = "\t" if path.suffix == ".tsv" else ","
        lines = [cut.join(["name", *map(str, range(rows.shape[1]))])]
        lines += [cut.join([n, *map(repr, r.tolist())]) for n, r in zip(names, rows, strict=True)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


ENDINGS = (".tsv", ".csv", ".npz", ".safetensors")


@pytest.mark.parametrize("ending", ENDINGS)
def test_vectors_are_read_from_any_kind_of_file(tmp_path: Path, ending: str) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 4))
    path = save_vectors(tmp_path / f"mine{ending}", list(NAMES), rows)
    embedder = embedder_of(Target(vectors=str(path)))
    found = embedder(("COW", "axe"), model="minilm", layer=-1, pooling="mean")
    np.testing.assert_array_equal(found, rows[[2, 0]])
    with pytest.raises(
        ValueError, match="got none for dog; names of vectors are axe, big bee, cow"
    ):
        embedder(("dog", "cow"))


def test_a_tensor_for_each_name_will_do(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    rows = dict(zip(NAMES, np.eye(3), strict=True))
    np.savez(tmp_path / "a.npz", **rows)
    save_file(rows, tmp_path / "a.safetensors")
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(pick_vectors(read_vectors(path), NAMES), np.eye(3))


@pytest.mark.parametrize("ending", ENDINGS)
def test_bad_vectors_are_refused(tmp_path: Path, ending: str) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 4))
    path, names = tmp_path / f"mine{ending}", list(NAMES)
    for wrong, row_names, match in (
        (np.where(np.arange(4) == 1, np.nan, rows), names, "finite numbers for 'axe', got NaN"),
        (rows, ["axe", "cow", "axe"], "each name once, got 'axe' twice"),
        (rows, ["axe", "", "cow"], "each name once, got an empty one"),
        (np.ones((3, 4)), names, "different vectors, got 3 that are all equal"),
        (rows[:1], names[:1], "two vectors or more"),
    ):
        save_vectors(path, row_names, wrong)
        with pytest.raises(ValueError, match=match):
            read_vectors(path)
    path.write_bytes(b"\xff\xfe\x00nothing")
    with pytest.raises(ValueError, match=r"^mine\."):
        read_vectors(path)


def test_tables_of_vectors_are_refused_by_row(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    for text, match in (
        ("name,a,b\naxe,1,2\nbee,1\n", "row 3: need 3 cells, got 2"),
        ("name,a,b\naxe,1,2\nbee,1,x\n", "row 3: need numbers beside 'bee'"),
        ("name\naxe\n", "need a header"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=match):
            read_vectors(path)
    with pytest.raises(ValueError, match=r"need vectors in \.tsv"):
        read_vectors(tmp_path / "mine.xlsx")
    with pytest.raises(OSError, match=r"got no file gone\.npz"):
        read_vectors(tmp_path / "gone.npz")
    path.write_text("name,a\nAxe,1\naxe,2\n")
    with pytest.raises(ValueError, match="need one vector for 'AXE', got those of Axe and axe"):
        pick_vectors(read_vectors(path), ["AXE"])


def test_labels_of_files_become_stems() -> None:
    rule = ItemRule(fold=True, stems=True, items=["Axe", "bee.v2"])
    assert rule.item("stimuli/axe.JPG") == "Axe"
    assert rule.item("C:\\a\\bee.v2.png") == rule.item("bee.v2") == "bee.v2"
    assert rule.item("cue/blink.wav") == "cue/blink.wav"
    assert rule.item("BAD_segment") is None
    assert ItemRule().item("a/axe.jpg") == "a/axe.jpg"
    assert stem(".png") == ".png"


def test_one_source_of_vectors_is_named() -> None:
    with pytest.raises(ValueError, match="one of vectors, stimuli, context, got vectors and stimu"):
        Target(vectors="a.npz", stimuli="b")
