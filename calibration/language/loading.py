"""Load a model and what prepares its input, by the code of transformers.

Weights are read from safetensors only, and code that comes with a model never runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from rt_decoder.files.damage import first_line

__all__ = ["ModelSource", "load_model", "load_part"]

# what transformers raises where files are missing, damaged or of another kind
_UNLOADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError,
    SafetensorError,
)  # fmt: skip
_PARTS = {
    "AutoTokenizer": "tokenizer",
    "AutoImageProcessor": "image processor",
    "AutoFeatureExtractor": "feature extractor",
}


class ModelSource(NamedTuple):
    """Location and identity of a model."""

    location: str  # folder, or name on the hub
    revision: str | None  # commit on the hub; None for a folder
    identity: str  # hash of the folder's files, or name and commit


def load_model(source: ModelSource, part: str, device: str) -> tuple[Any, Any]:
    """Load what prepares the input, and the network, ready to run in float32.

    Parameters
    ----------
    source : ModelSource
    part : {"AutoTokenizer", "AutoImageProcessor", "AutoFeatureExtractor"}
        Class of transformers that prepares the input.
    device : str
        A torch device, such as ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    tuple
        Of the part and the network.

    Raises
    ------
    ValueError
        If there is no such device.
    OSError
        If the model or the part cannot be loaded.
    """
    import torch

    try:
        where_to = torch.device(device)
        torch.empty(0, device=where_to)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f"need a torch device of this machine such as 'cpu', got {device!r}"
        ) from None
    prepare = load_part(source, part)
    net = _loaded(source, part, "AutoModel", use_safetensors=True)
    # half-precision checkpoints would round differently in each batch
    return prepare, net.float().eval().to(device)


def load_part(source: ModelSource, part: str) -> Any:
    """Load what prepares the input, without the network.

    Parameters
    ----------
    source : ModelSource
    part : str
        As `load_model` takes it.

    Returns
    -------
    object
        Such as a tokenizer.

    Raises
    ------
    OSError
        If it cannot be loaded.
    """
    return _loaded(source, part, part)


def _loaded(source: ModelSource, part: str, kind: str, **how: Any) -> Any:
    import transformers

    where: dict[str, Any] = {"revision": source.revision, "trust_remote_code": False}
    if source.revision is None:
        where = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            return getattr(transformers, kind).from_pretrained(source.location, **where, **how)
    except _UNLOADABLE as error:
        raise OSError(
            f"need a transformers model with its {_PARTS[part]} in {Path(source.location).name}, "
            f"got one that cannot be loaded: {first_line(error)}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and reports of transformers while it loads."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
