"""Tiny random models of images, sounds and sentences, saved as transformers does, and their stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def save_images(folder: Path, names: Sequence[str], side: int = 12) -> Path:
    """One image of random pixels each."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def save_sounds(folder: Path, names: Sequence[str], sfreq: int = 8000) -> Path:
    """One sound of three random tones each, of different lengths, as 16-bit WAV."""
    from scipy.io import wavfile

    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        t = np.arange(1200 + 40 * number) / sfreq
        wave = np.sin(2 * np.pi * rng.uniform(100, 3000, (3, 1)) * t).mean(axis=0)
        wavfile.write(folder / f"{name}.wav", sfreq, (32000 * wave).astype(np.int16))
    return folder


def save_vit(folder: Path) -> Path:
    """A model of images of 12 by 12 pixels, two layers of 16."""
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=12, patch_size=4, initializer_range=0.5,
    )  # fmt: skip
    ViTModel(config).save_pretrained(folder, safe_serialization=True)
    ViTImageProcessor(size={"height": 12, "width": 12}).save_pretrained(folder)
    return folder


def save_wav2vec2(folder: Path) -> Path:
    """A model of sounds at 16 kHz, two layers of 16."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8, 8), conv_stride=(8, 8), conv_kernel=(16, 16), num_feat_extract_layers=2,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, initializer_range=0.5,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder, safe_serialization=True)
    Wav2Vec2FeatureExtractor(sampling_rate=16000).save_pretrained(folder)
    return folder


def save_bert(folder: Path, sentences: Sequence[str]) -> Path:
    """A model of sentences over the words of some, two layers of 16."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({*" ".join(sentences).split()})]
    core = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{k}_token": f"[{k.upper()}]" for k in ("pad", "unk", "cls", "sep")}
    PreTrainedTokenizerFast(tokenizer_object=core, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
