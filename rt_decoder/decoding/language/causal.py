"""The next word by a causal language model, through transformers.

A word of several tokens has the product of their probabilities; where its tokens begin those of
another item ("cat", "cats"), the other item's share is taken off. The items' shares are then made to
sum to 1. The context runs through the network once; what is cached of it serves all items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from rt_decoder.decoding.language.ngram import START
from rt_decoder.files.damage import first_line
from rt_decoder.files.packages import need_packages

__all__ = ["CausalModel"]

# what transformers raises where files are missing, damaged or of another kind
_UNLOADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError,
    SafetensorError,
)  # fmt: skip
_ANCHOR = "the"  # a word before each item, which is then cut off: tokens differ at a text's start
_MEMORY, _WIDTH = 32, 2  # words of context; contexts that are followed
_BATCH = 256  # prefixes of items that run at once
_LEAST = 1e-12  # share of an item: none is impossible


class CausalModel:
    """Probabilities of the next item, from a causal language model.

    Parameters
    ----------
    net, tokenizer : transformers' model and tokenizer
    items : sequence of str
        The vocabulary, in the decoder's order; they are written as in a sentence, after a space.
    identity : str
        Says which model it is.

    Raises
    ------
    ValueError
        If the tokenizer has no token to begin with, or does not know an item, or two have the same
        tokens.
    """

    def __init__(self, net: Any, tokenizer: Any, items: Sequence[str], identity: str) -> None:
        self.identity, self._net, self._tokenizer = identity, net, tokenizer
        self.memory, self.width = _MEMORY, _WIDTH
        begin = tokenizer.bos_token_id
        begin = tokenizer.eos_token_id if begin is None else begin
        if begin is None:
            raise ValueError("need a tokenizer with a token that begins a text, got none")
        self._begin = int(begin)
        takes = signature(net.forward).parameters  # its name differs between releases
        self._cache = "cache" if "cache" in takes else "past_key_values"
        self._longest = int(getattr(net.config, "max_position_embeddings", None) or 1024)
        anchor = self._coded(_ANCHOR)
        self._paths = [self._path(item, anchor) for item in items]
        if len(set(self._paths)) < len(items):
            raise ValueError("need items that the tokenizer tells apart, got two that it does not")
        self._longest -= 1 + max(map(len, self._paths))
        # every beginning of an item; the empty one stands for the context itself
        inner = {path[:n] for path in self._paths for n in range(len(path))}
        self._inner = sorted(inner, key=lambda path: (len(path), path))
        self._longer = _longer_items(self._paths)

    def _coded(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _path(self, item: str, anchor: tuple[int, ...]) -> tuple[int, ...]:
        whole = self._coded(f"{_ANCHOR} {item}")
        path, unknown = whole[len(anchor) :], self._tokenizer.unk_token_id
        if whole[: len(anchor)] != anchor or not path or (unknown is not None and unknown in path):
            raise ValueError(f"need items that the language model's tokenizer knows, got {item!r}")
        return path

    @classmethod
    def open(cls, name: str, items: Sequence[str]) -> CausalModel:
        """Load a model; weights are read from safetensors only, and none of its code is run.

        Parameters
        ----------
        name : str
            A folder, or a name on the Hugging Face hub.
        items : sequence of str

        Returns
        -------
        CausalModel

        Raises
        ------
        ImportError
            If transformers or torch is not installed.
        OSError
            If there is no such model, or it cannot be loaded.
        ValueError
            As the class does.
        """
        need_packages("torch", "transformers", what="for --language-model")
        import transformers

        folder = Path(name).expanduser()
        place = str(folder) if folder.is_dir() else name
        where: dict[str, Any] = {"trust_remote_code": False}
        if folder.is_dir():
            where["local_files_only"] = True
        try:
            with _quiet():
                tokenizer = transformers.AutoTokenizer.from_pretrained(place, **where)
                net: Any = transformers.AutoModelForCausalLM.from_pretrained(
                    place, use_safetensors=True, **where
                )
        except _UNLOADABLE as error:
            raise OSError(
                f"need a causal language model of transformers in {Path(name).name}, got one that "
                f"cannot be loaded: {first_line(error)}"
            ) from error
        identity = _identify(folder) if folder.is_dir() else f"{name}@{net.config._commit_hash}"
        return cls(net.float().eval(), tokenizer, items, f"model {identity}")

    def log_prior(self, context: Sequence[str]) -> np.ndarray:
        """Compute the log probability of each item as the next one.

        Parameters
        ----------
        context : sequence of str
            Items that came before, the newest last.

        Returns
        -------
        array of shape (n_items,), float64
            Natural logarithms; the exponentials sum to 1.
        """
        import torch

        text = " ".join(word for word in context if word != START)
        past = self._coded(text) if text else ()
        with torch.inference_mode():
            known = self._known([self._begin, *past[max(0, len(past) - self._longest) :]])
        p = np.exp(
            [sum(known[path[:n]][path[n]] for n in range(len(path))) for path in self._paths]
        )
        p -= [p[longer].sum() for longer in self._longer]
        p = np.maximum(p, _LEAST * p.sum())
        return np.asarray(np.log(p / p.sum()))

    def _known(self, ids: list[int]) -> dict[tuple[int, ...], np.ndarray]:
        """Log probabilities (n_tokens,) of the token after each beginning of an item."""
        import torch

        first = self._net(torch.tensor([ids]), use_cache=True)
        known: dict[tuple[int, ...], np.ndarray] = {(): _log_softmax(first.logits[:, -1])[0]}
        for length in sorted({len(path) for path in self._inner if path}):
            same = [path for path in self._inner if len(path) == length]
            for start in range(0, len(same), _BATCH):
                batch = same[start : start + _BATCH]
                cache = deepcopy(first.past_key_values)
                cache.batch_repeat_interleave(len(batch))
                out = self._net(torch.tensor(batch), **{self._cache: cache})
                known |= dict(zip(batch, _log_softmax(out.logits[:, -1]), strict=True))
        return known


def _longer_items(paths: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """List for each item the shortest others whose tokens begin with its own."""
    place = {path: i for i, path in enumerate(paths)}
    longer: list[list[int]] = [[] for _ in paths]
    for i, path in enumerate(paths):
        shorter = (place.get(path[:n]) for n in range(len(path) - 1, 0, -1))
        nearest = next((one for one in shorter if one is not None), None)
        if nearest is not None:
            longer[nearest].append(i)
    return longer


def _log_softmax(logits: Any) -> np.ndarray:
    return np.asarray(logits.double().log_softmax(dim=-1).cpu().numpy())


def _identify(folder: Path) -> str:
    """Hash what the probabilities depend on."""
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".safetensors", ".json", ".txt")]
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and reports of transformers while it loads."""
    from transformers import utils

    logging: Any = utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
