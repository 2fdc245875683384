"""Vectors of images and sounds, from the hidden layers of any model of transformers.

Weights are read from safetensors only, and code that comes with a model never runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration.language.computed import cached_vectors
from calibration.language.language_model import blocks, find_model
from calibration.language.layers import check_layer
from calibration.language.loading import ModelSource, load_model
from calibration.language.stimuli import find_stimuli, read_image, read_sound, sense_of
from calibration.language.vector_cache import VectorCache
from rt_decoder.files.damage import first_line
from rt_decoder.files.packages import need_packages

__all__ = ["embed_stimuli"]

_PARTS = {"image": "AutoImageProcessor", "sound": "AutoFeatureExtractor"}
# what networks raise on input that is not theirs
_UNFIT = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError)


def embed_stimuli(
    items: Sequence[str],
    folder: str | Path,
    *,
    model: str | Path,
    layer: int = -1,
    pooling: str = "mean",
    batch_size: int = 16,
    cache_dir: str | Path | bool | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """Compute vectors of images or sounds from one hidden layer of a model.

    Parameters
    ----------
    items : sequence of str
        Stems of files in the folder, all images or all sounds.
    folder : path
        Of the files; its folders are searched, too.
    model : str or path
        A folder, or a name on the Hugging Face hub: a model of images with its image processor, or
        of sounds with its feature extractor. Of models of images and texts the part for images
        is used, of encoder-decoder models the encoder.
    layer : int
        Hidden state: 0 is the input embedding, 1 the first layer, -1 the last.
    pooling : {"mean", "last"}
        Mean over patches, pixels or frames, special ones such as ``[CLS]`` included; or the last.
    batch_size : int
        Images per forward pass; sounds differ in length and go one by one.
    cache_dir : path, False or None
        As `embeddings.embed`; keyed by the bytes of the files.
    device : str
        A torch device, such as ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    array of shape (n_items, n_dimensions), float32
        Not normalised.

    Raises
    ------
    ValueError
        If an item has no file or several; if files are images as well as sounds, or are not what
        the model takes; if the layer or the device does not exist.
    OSError
        If the folder, a file or the model cannot be found or read.
    ImportError
        If a package is missing.
    """
    paths = find_stimuli(folder, items)
    if not paths:
        raise ValueError("need one item or more, got none")
    need_packages("torch", "transformers", what="for vectors of images and sounds")
    sense, source = sense_of(paths), find_model(model)
    keys = [_key(path) for path in paths]
    return cached_vectors(
        dict(zip(keys, paths, strict=True)),
        keys,
        VectorCache.open(cache_dir, [source.identity, layer, pooling, sense]),
        lambda: _Encoder(source, sense, layer, pooling, device),
        batch_size,
    )


def _key(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Encoder:
    """A model and what prepares its input, loaded to turn files into vectors."""

    def __init__(
        self, source: ModelSource, sense: str, layer: int, pooling: str, device: str
    ) -> None:
        self.prepare, net = load_model(source, _PARTS[sense], device)
        if getattr(net.config, "is_encoder_decoder", False):
            net = net.get_encoder()
        net = getattr(net, "vision_model", net) if sense == "image" else net
        self.net, self.sense, self.device = net, sense, device
        self.layer, self.pooling = layer, pooling

    def __call__(
        self, paths: list[Path], batch_size: int, advance: Callable[[int], None]
    ) -> np.ndarray:
        """Return vectors of shape (n_paths, n_dimensions), float32."""
        rows = []
        for batch in blocks(paths, batch_size if self.sense == "image" else 1):
            rows.append(self._forward(batch))
            advance(len(batch))
        vectors = np.concatenate(rows)
        if not np.isfinite(vectors).all():
            raise ValueError("need finite vectors, got NaN or infinity; the weights are damaged")
        return vectors

    def _forward(self, batch: list[Path]) -> np.ndarray:
        import torch

        prepared = self._prepared(batch)
        try:
            with torch.inference_mode():
                states = self.net(
                    **{name: value.to(self.device) for name, value in prepared.items()},
                    output_hidden_states=True,
                ).hidden_states
        except _UNFIT as error:
            raise ValueError(
                f"need {self.sense}s that the model takes, got {batch[0].name}, which it does not: "
                f"{first_line(error)}"
            ) from error
        check_layer(self.layer, len(states))
        state = states[self.layer]
        if state.ndim == 4:  # (n, channels, height, width) of a convolutional network
            state = state.flatten(2).mT
        pooled = state[:, -1] if self.pooling == "last" else state.mean(dim=1)
        return pooled.cpu().numpy()

    def _prepared(self, batch: list[Path]) -> dict[str, Any]:
        """Tensors that the network takes."""
        if self.sense == "image":
            return dict(self.prepare([read_image(path) for path in batch], return_tensors="pt"))
        sfreq = int(self.prepare.sampling_rate)
        wave = read_sound(batch[0], sfreq)
        return dict(self.prepare(wave, sampling_rate=sfreq, return_tensors="pt"))
