"""Whether what a model holds can be decoded with.

A content hash tells that a file was not altered. It does not tell that whoever wrote it was sane:
here types and ranges are checked, so that no window, ring or hop grows beyond reason and every
error is said when the file is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rt_decoder.model import TENSORS, Model
from rt_decoder.signal import SignalInfo

__all__ = ["check_model", "check_settings"]

MAX_SFREQ = 1e6  # Hz
MAX_CHANNELS = 10_000
MAX_WINDOW_S = 600.0
MAX_WINDOW_BYTES = 4 << 30


def check_model(model: Model) -> None:
    """Raise ValueError unless shapes agree and every number is finite."""
    c = model.info.n_channels
    expected: dict[str, tuple[int, ...]] = {
        "sos": (len(model.sos), 6),
        "channel_scale": (c,),
        "channel_jump": (c if model.channel_jump.size else 0,),
        "center": (len(model.center),),
        "scale": (len(model.center),),
    }
    if model.has_map:
        p, r = model.weights.shape
        dim, n_items = model.basis.shape[-1], len(model.items)
        expected |= {"center": (p,), "scale": (p,), "offset": (r,)}
        expected |= {"basis": (r, dim), "target_mean": (dim,)}
        expected |= {"vectors": (n_items, dim), "log_prior": (n_items,)}
        for key in ("tau", "threshold", "min_quality"):
            if not np.isfinite(model.posterior[key]):
                raise ValueError(f"need a finite {key}, got {model.posterior[key]}")
    for name, shape in expected.items():
        tensor = getattr(model, name)
        if np.shape(tensor) != shape:
            raise ValueError(f"need {name} of shape {shape}, got {np.shape(tensor)}")
    for name in TENSORS:
        if not np.isfinite(getattr(model, name)).all():
            raise ValueError(f"need finite numbers in {name}")
    for stage, arguments in model.cleaning.items():
        for name, value in arguments.items():  # an infinite limit is none
            if isinstance(value, np.ndarray) and np.isnan(value).any():
                raise ValueError(f"need numbers in {name} of {stage}")
    if model.references != model.info.ch_names[model.n_picks :] or model.n_picks < 1:
        raise ValueError("need the references as the last channels, and others before them")


def check_settings(
    info: SignalInfo,
    recipe: Any,
    items: tuple[Any, ...],
    posterior: Any,
    certificate: Any,
    versions: Any,
) -> None:
    """Raise ValueError unless everything has its type and lies within reason."""
    for what, names in (("channel names", info.ch_names), ("units", info.units), ("items", items)):
        _need(all(isinstance(name, str) for name in names), f"text as {what}", names)
    _need(info.n_channels <= MAX_CHANNELS, f"at most {MAX_CHANNELS} channels", info.n_channels)
    _need(info.sfreq <= MAX_SFREQ, f"a sampling rate of at most {MAX_SFREQ:g} Hz", info.sfreq)
    _need(len(set(items)) == len(items), "each item once", "an item twice")
    for what, value in (
        ("recipe", recipe), ("posterior", posterior), ("certificate", certificate),
        ("versions", versions),
    ):  # fmt: skip
        _need(isinstance(value, dict), f"a table as {what}", value)
    for key, value in posterior.items():
        _number(posterior, key, f"{key} of the posterior", -1e12, 1e12)
        _need(key != "tau" or value >= 0, "a tau of 0 or more", value)
    _check_recipe(info, recipe)


def _check_recipe(info: SignalInfo, recipe: Mapping[str, Any]) -> None:
    sections: dict[str, Any] = {}
    for name in ("stream", "features", "target", "readout"):
        sections[name] = recipe.get(name)
        _need(isinstance(sections[name], dict), f"a section [{name}] in the recipe", sections[name])
    stream, features = sections["stream"], sections["features"]
    _number(stream, "hop_ms", "hop_ms", 1e-3, 1000.0)
    reference = stream.get("reference")
    _need(_are(reference, str) or isinstance(reference, str), "a reference by name", reference)
    first = _number(features, "tmin", "tmin", -MAX_WINDOW_S, MAX_WINDOW_S)
    last = _number(features, "tmax", "tmax", -MAX_WINDOW_S, MAX_WINDOW_S)
    _need(last > first, "tmax above tmin", last)
    n_bytes = (last - min(first, 0.0)) * info.sfreq * info.n_channels * 8
    _need(n_bytes <= MAX_WINDOW_BYTES, "a window that fits into memory", f"{n_bytes:.3g} bytes")
    _need(features.get("kind") in ("amplitude", "bandpower"), "a kind", features.get("kind"))
    _whole(features, "decim", 0, 1_000_000)
    _number(features, "clamp", "clamp", 0.0, 1e12)
    baseline = features.get("baseline")
    _need(_are(baseline, float) and len(baseline) in (0, 2), "a baseline of two times", baseline)
    _need(all(abs(t) <= MAX_WINDOW_S for t in baseline), "a baseline near the window", baseline)
    bands = features.get("bands")
    _need(
        _are(bands, list) and len(bands) <= 100 and all(_are(b, float) and len(b) == 2 for b in bands),
        "bands of two frequencies", bands,
    )  # fmt: skip
    _whole(features, "band_order", 1, 20)
    _number(sections["readout"], "budget_ms", "budget_ms", 0.0, 1e9)
    _whole(sections["readout"], "top", 1, 1_000_000)
    names = sections["target"].get("names")
    _need(
        isinstance(names, dict) and all(isinstance(name, str) for name in names.values()),
        "a table of names", names,
    )  # fmt: skip


def _are(value: Any, kind: type) -> bool:
    """Whether it is a list, as JSON has it, of `kind`; whole numbers are numbers."""
    if not isinstance(value, list):
        return False
    if kind is float:
        return all(_is_number(one) for one in value)
    return all(isinstance(one, kind) for one in value)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300
        and math.isfinite(value)
    )


def _number(section: Mapping[str, Any], key: str, what: str, low: float, high: float) -> float:
    value = section.get(key)
    _need(_is_number(value) and low <= value <= high, f"{what} from {low:g} to {high:g}", value)  # type: ignore[operator]
    return float(value)  # type: ignore[arg-type]


def _whole(section: Mapping[str, Any], key: str, low: int, high: int) -> None:
    value = section.get(key)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    _need(is_whole and low <= value <= high, f"{key} from {low} to {high}", value)  # type: ignore[operator]


def _need(condition: bool, what: str, got: object) -> None:
    if not condition:
        raise ValueError(f"need {what}, got {_short(got)}")


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 64:
        return "a number of many digits"  # Python refuses to write some
    if isinstance(value, dict | list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:80]
