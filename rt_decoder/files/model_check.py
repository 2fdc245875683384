"""Check that a pipeline can be built from a model.

A content hash shows that a file was not altered, not that its content makes sense. So shapes and
sizes are checked and the fitted stages are built once: no window, ring or stage can grow beyond
reason, and every error is raised when the file is read.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.cleaning.filter_design import check_sos
from rt_decoder.cleaning.filters import Rereference
from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.stages import fitted_stage
from rt_decoder.model import TENSORS, Model
from rt_decoder.monitor.monitor import make_monitor

__all__ = ["check_model"]

MAX_CHANNELS = 10_000
MAX_SECTIONS = 1000
MAX_WINDOW_BYTES = 4 << 30


def check_model(model: Model) -> None:
    """Raise ValueError unless a pipeline can be built from the model."""
    if model.info.n_channels > MAX_CHANNELS:
        raise ValueError(f"need at most {MAX_CHANNELS} channels, got {model.info.n_channels}")
    if model.references != model.info.ch_names[model.n_picks :] or model.n_picks < 1:
        raise ValueError("need the references as the last channels, and others before them")
    if len(set(model.items)) != len(model.items):
        raise ValueError("need each item once, got an item twice")
    _check_arrays(model)
    _check_windows(model)
    _check_window(model)
    check_sos(model.sos)
    Guard(model.info, model.channel_jump if model.channel_jump.size else None)
    Rereference(model.info, model.recipe.stream.reference)
    for name, arguments in model.cleaning.items():
        fitted_stage(name, model.info, arguments)
    make_monitor(model)


def _check_arrays(model: Model) -> None:
    """Check that shapes agree and numbers are finite."""
    c = model.info.n_channels
    expected: dict[str, tuple[int, ...]] = {
        "sos": (len(model.sos), 6),
        "channel_scale": (c,),
        "channel_jump": (c if model.channel_jump.size else 0,),
        "channel_level": (c if model.channel_level.size else 0,),
        "center": (len(model.center),),
        "scale": (len(model.center),),
    }
    if model.has_map:
        p, r = model.weights.shape
        dim, n_items = model.basis.shape[-1], len(model.items)
        expected |= {"center": (p,), "scale": (p,), "offset": (r,)}
        expected |= {"basis": (r, dim), "target_mean": (dim,)}
        expected |= {"vectors": (n_items, dim), "log_prior": (n_items,)}
        expected["item_bias"] = (n_items if model.item_bias.size else 0,)
        expected["covariance"] = (p, p) if model.covariance.size else (0, 0)
        expected["prior_gram"] = (p, p) if model.prior_gram.size else (0, 0)
        expected["target_transform"] = (dim, dim) if model.target_transform.size else (0, 0)
        expected["set_cutoffs"] = (99 if model.set_cutoffs.size else 0,)
        expected["language_cutoffs"] = (99 if model.language_cutoffs.size else 0,)
        expected["target_lengths"] = (n_items if model.prior_gram.size else 0,)
    for name, shape in expected.items():
        tensor = getattr(model, name)
        if np.shape(tensor) != shape:
            raise ValueError(f"need {name} of shape {shape}, got {np.shape(tensor)}")
    for name in TENSORS:
        tensor = getattr(model, name)
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise ValueError(f"need finite numbers in {name}, got others ({tensor.dtype})")
    if model.alignment is not None and not (model.has_map and model.covariance.size):
        raise ValueError("need map and covariance in a model that adapts, got none; pool again")
    if len(model.sos) > MAX_SECTIONS:
        raise ValueError(f"need at most {MAX_SECTIONS} sections in sos, got {len(model.sos)}")


def _check_windows(model: Model) -> None:
    """Check the maps of shorter windows."""
    r, n_items, before = model.weights.shape[1], len(model.items), (0, -np.inf)
    for one in model.windows:
        q = len(one.weights)
        shapes = {"weights": (q, r), "offset": (r,), "item_bias": (n_items,)}
        if not one.item_bias.size:
            shapes["item_bias"] = (0,)
        if not model.has_map or not before[0] < q < len(model.weights) or one.end <= before[1]:
            raise ValueError(
                "need shorter windows in order, each with fewer features than the model, got others"
            )
        for name, shape in shapes.items():
            tensor = getattr(one, name)
            if tensor.shape != shape or tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
                raise ValueError(
                    f"need finite {name} of shape {shape} of each window, got {tensor.shape}"
                )
        before = q, one.end


def _check_window(model: Model) -> None:
    """Check a window's memory, which depends on the rate and so is unknown to the recipe."""
    features, info = model.recipe.features, model.info
    seconds = features.tmax - min(features.tmin, 0.0)
    n_bytes = seconds * info.sfreq * info.n_channels * 8
    if n_bytes > MAX_WINDOW_BYTES:
        raise ValueError(
            f"need a window that fits into memory, got {n_bytes:.3g} bytes for {seconds:g} s; "
            "move tmin or tmax nearer to the onset"
        )
