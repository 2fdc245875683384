"""Check the layer and the weights of a language model without loading it."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

__all__ = ["check_files", "check_layer"]

# names of the number of layers in config.json
_COUNTS = ("num_hidden_layers", "encoder_layers", "num_layers", "n_layer", "n_layers")


def check_layer(layer: int, n: int) -> None:
    """Refuse a layer that is none of `n` hidden states; negative ones count from the last.

    Parameters
    ----------
    layer : int
        Number of the hidden state.
    n : int
        How many there are.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    if not -n <= layer < n:
        raise ValueError(f"need a layer from {-n} to {n - 1}, got {layer}")


def check_files(folder: Path, layer: int) -> None:
    """Refuse a layer that a model has not, or weights that are cut off.

    Parameters
    ----------
    folder : Path
        Of the model.
    layer : int
        As in `check_layer`; not checked where the model does not tell.

    Raises
    ------
    ValueError
        If there is no such layer.
    OSError
        If the model's files cannot be read.
    """
    path = folder / "config.json"
    if path.is_file():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            n = next((config[name] for name in _COUNTS if isinstance(config.get(name), int)), None)
        except (ValueError, AttributeError):
            raise OSError(f"need transformers' config.json in {folder.name}, got another") from None
        if n is not None:
            check_layer(layer, n + 1)
    for weights in folder.glob("*.safetensors"):
        try:
            with safe_open(weights, framework="numpy"):
                pass
        except SafetensorError:
            raise OSError(f"need whole weights, got {weights.name} cut off or damaged") from None
