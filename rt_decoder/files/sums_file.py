"""Write and read companion files (``*.sums.safetensors``): the sums that a model was fitted on.

A companion lies beside its model. For each training recording it holds how often each item came, the
sum of its scaled features, and their Gram matrix: enough to fit the map again, alone or together with
other people's, and no sample, name or path. Hashes of its bytes and of distances between peaks tell
where it would be counted twice. A group's companion holds the sums of all its people.

Gram matrices are float64, one triangle, ``4 p (p + 1)`` bytes a recording: what is added can be taken
out again to the bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.files.atomic import write_whole
from rt_decoder.files.model_file import DAMAGE, MAX_BYTES, ModelCorrupt, content_hash, read_tensors
from rt_decoder.files.sums import (
    Companion,
    OthersSums,
    PersonSums,
    RecordingId,
    RecordingSums,
    folded,
    unfolded,
)

__all__ = ["load_sums", "save_sums"]

SUMS_VERSION = 1
_KEY = "rt_decoder_sums"
_MAX_PEOPLE = 100_000


def save_sums(
    companion: Companion, path: str | os.PathLike[str], *, overwrite: bool = False
) -> str:
    """Write a companion whole or not at all, readable by its owner only.

    Parameters
    ----------
    companion : Companion
        Checked before anything is written.
    path : path-like
        File to write, usually as `companion_path` names it.
    overwrite : bool
        Whether a file of this name may be replaced.

    Returns
    -------
    str
        The content hash.

    Raises
    ------
    ValueError
        If the sums do not fit together.
    OSError
        If the file cannot be written; the sentence says where the sums are kept.
    """
    from safetensors.numpy import save

    _check(companion)
    text, tensors = _pack(companion)
    digest = content_hash(text, tensors)
    write_whole(Path(path), save(tensors, metadata={_KEY: text, "sha256": digest}), overwrite)
    return digest


def load_sums(path: str | os.PathLike[str], model_hash: str = "") -> Companion:
    """Read a companion and check it.

    Parameters
    ----------
    path : path-like
    model_hash : str
        Hash of the model that it must belong to; empty for any.

    Returns
    -------
    Companion

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelCorrupt
        If it is truncated, altered, malformed, too new, or belongs to another model; a ValueError.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"need the companion {path.name} beside the model, got none; "
            "rt-calibrate fit writes it, unless --no-sums is given"
        )
    if path.stat().st_size > MAX_BYTES:
        raise ModelCorrupt(f"{path.name} is larger than any companion")
    metadata, tensors = read_tensors(path, _KEY, "companion of a model")
    if content_hash(metadata[_KEY], tensors) != metadata.get("sha256"):
        raise ModelCorrupt(f"{path.name} was altered after it was written: its hash differs")
    try:
        head = json.loads(metadata[_KEY])
        _check_version(head)
        companion = _unpack(head, tensors)
        _check(companion)
    except DAMAGE as error:
        why = str(error) if isinstance(error, ValueError) else f"need {error}, got none"
        raise ModelCorrupt(f"{path.name} cannot be used: {' '.join(why.split())[:300]}") from None
    if model_hash and companion.model_hash != model_hash:
        raise ModelCorrupt(
            f"{path.name} belongs to another model; fit the model and its companion again together"
        )
    return companion


def _check_version(head: Mapping[str, Any]) -> None:
    version = int(head["format_version"])
    if version > SUMS_VERSION:
        raise ValueError(f"need format {SUMS_VERSION} or older, got {version}; upgrade rt-decoder")


def _pack(companion: Companion) -> tuple[str, dict[str, np.ndarray]]:
    tensors: dict[str, np.ndarray] = {}
    people = []
    for number, person in enumerate(companion.people):
        prefix = f"{number}."
        for name in ("vectors", "center", "scale", "positions"):
            if (value := getattr(person, name)) is not None:
                tensors[prefix + name] = value
        for place, one in enumerate(person.recordings):
            for name in ("counts", "sums", "triangle"):
                tensors[f"{prefix}{place}.{name}"] = getattr(one, name)
        if person.others is not None:
            tensors[f"{prefix}others.triangle"] = folded(person.others.gram)
            tensors[f"{prefix}others.sums"] = person.others.sums
            tensors[f"{prefix}others.counts"] = person.others.counts
        people.append(
            {
                "layout": dict(person.layout),
                "code": person.code,
                "items": person.items,
                "recordings": person.hashes,
                "fingerprints": [_hex(one.fingerprint) for one in person.recordings],
                "others": []
                if person.others is None
                else [[one.data_hash, _hex(one.fingerprint)] for one in person.others.recordings],
                "chosen": dict(person.chosen),
                "shrink": None if person.others is None else person.others.shrink,
            }
        )
    head = {
        "format_version": SUMS_VERSION,
        "model_hash": companion.model_hash,
        "people": people,
    }
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return json.dumps(head, sort_keys=True, ensure_ascii=False), tensors


def _unpack(head: Mapping[str, Any], tensors: dict[str, np.ndarray]) -> Companion:
    people = []
    for number, one in enumerate(head["people"]):
        prefix = f"{number}."
        prints = one.get("fingerprints") or [""] * len(one["recordings"])
        recordings = tuple(
            RecordingSums(
                str(data_hash),
                tensors[f"{prefix}{place}.counts"],
                tensors[f"{prefix}{place}.sums"],
                tensors[f"{prefix}{place}.triangle"],
                _unhex(prints[place]),
            )
            for place, data_hash in enumerate(one["recordings"])
        )
        center = tensors[f"{prefix}center"]
        others = None
        if one["shrink"] is not None:
            others = OthersSums(
                unfolded(tensors[f"{prefix}others.triangle"], len(center)),
                tensors[f"{prefix}others.sums"],
                tensors[f"{prefix}others.counts"],
                float(one["shrink"]),
                tuple(RecordingId(str(sha), _unhex(text)) for sha, text in one.get("others", ())),
            )
        people.append(
            PersonSums(
                dict(one["layout"]),
                tuple(str(item) for item in one["items"]),
                tensors[f"{prefix}vectors"],
                center,
                tensors[f"{prefix}scale"],
                recordings,
                {str(key): float(value) for key, value in one["chosen"].items()},
                tensors.get(f"{prefix}positions"),
                others,
                str(one.get("code", "")),
            )
        )
    return Companion(tuple(people), str(head["model_hash"]))


def _hex(fingerprint: tuple[int, ...]) -> str:
    return "".join(f"{one:016x}" for one in fingerprint)


def _unhex(text: str) -> tuple[int, ...]:
    """Read a fingerprint; none in files that are older than it."""
    return tuple(int(text[at : at + 16], 16) for at in range(0, len(text), 16))


def _check(companion: Companion) -> None:
    """Raise ValueError unless all shapes agree and all numbers are finite."""
    if not 1 <= len(companion.people) <= _MAX_PEOPLE:
        raise ValueError(f"need 1 to {_MAX_PEOPLE} people, got {len(companion.people)}")
    for person in companion.people:
        p, n_items = person.n_features, len(person.items)
        if not person.recordings or len(set(person.items)) != n_items:
            raise ValueError("need recordings, and each item once")
        expected: list[tuple[str, np.ndarray, tuple[int, ...]]] = [
            ("center", person.center, (p,)),
            ("scale", person.scale, (p,)),
            ("vectors", person.vectors, (n_items, person.vectors.shape[-1])),
        ]
        for one in person.recordings:
            heard = int(np.sum(one.counts > 0))
            expected += [
                ("counts", one.counts, (n_items,)),
                ("sums", one.sums, (heard, p)),
                ("triangle", one.triangle, (p * (p + 1) // 2,)),
            ]
        if person.positions is not None:
            n_channels = len(person.layout["channels"])
            expected.append(("positions", person.positions, (n_channels, 3)))
        if person.others is not None:
            expected += [
                ("others.gram", person.others.gram, (p, p)),
                ("others.sums", person.others.sums, (n_items, p)),
                ("others.counts", person.others.counts, (n_items,)),
            ]
        _check_arrays(expected)
        if not (person.scale > 0).all() or any((one.counts < 0).any() for one in person.recordings):
            raise ValueError("need scales above 0 and counts of 0 or more")


def _check_arrays(expected: list[tuple[str, np.ndarray, tuple[int, ...]]]) -> None:
    for name, array, shape in expected:
        if array.shape != shape:
            raise ValueError(f"need {name} of shape {shape}, got {array.shape}")
        if array.dtype.kind != "f" or not (np.isfinite(array).all() or name == "positions"):
            raise ValueError(f"need finite numbers in {name}, got others ({array.dtype})")
