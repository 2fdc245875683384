"""Where and when the brain carries what is decoded: patterns of the decoder, and encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from calibration.patterns import haufe_patterns
from calibration.report.page import Heading, Note, Part, Picture, Section, Text
from calibration.report.shown import Shown
from calibration.report.tables import head_pictures, image, unit_of
from rt_decoder.model import Model

__all__ = ["decoder_strength", "section"]

_TIMES = 6  # maps in a row
_P_SHOWN = 0.05


def section(shown: Shown) -> Section | None:
    """Draw the decoder's patterns and, where it was encoded, r over time."""
    if not shown.model.has_map:
        return None
    parts: list[Part] = [Heading("Patterns of the decoder"), *_decoder(shown.model)]
    encoded = shown.certificate.get("encoding")
    parts.append(Heading("From network to brain"))
    parts += _encoded(shown.model, encoded) if encoded else [
        Note("Not in this model: `rt-calibrate encode` measures r at every channel and time.")
    ]  # fmt: skip
    return Section("Where and when", parts)


def decoder_strength(model: Model) -> np.ndarray:
    """Standard deviation of each channel and bin that goes with what the map decodes.

    Of features with covariance C and weights W it is the root of the diagonal of
    ``C W (W' C W)^-1 W' C``, so that it does not depend on the axes of the embedding space.

    Parameters
    ----------
    model : Model
        With a map and a covariance.

    Returns
    -------
    array of shape (c, t), float64
        In SI units; of bandpower t is bins and bands.
    """
    weights = np.asarray(model.weights, float)
    patterns = haufe_patterns(model.covariance, weights)
    power = np.einsum("ij,ij->i", patterns, np.asarray(model.covariance, float) @ weights)
    strength = np.sqrt(power.clip(0)) * model.scale
    return strength.reshape(-1, model.n_picks).T


def _decoder(model: Model) -> list[Part]:
    if not model.covariance.size:
        return [
            Note(
                "Not drawn: patterns need the covariance of the features, which is not in this model."
            )
        ]
    table = decoder_strength(model)
    features, sfreq = model.recipe.features, model.info.sfreq
    if features.kind != "amplitude":
        whole = np.sqrt(np.mean(table**2, axis=1, keepdims=True))
        said = "Spread of power in frequency bands that goes with what is decoded, over the window."
        return head_pictures(model.info, whole, ["window"], said, unit="power", signed=False)
    width = (features.tmax - features.tmin) / table.shape[1]
    if features.decim:
        width = features.decim / sfreq
    times = features.tmin + width * (np.arange(table.shape[1]) + 0.5)
    said = (
        "Spread of the signal that goes with what is decoded (Haufe et al. 2014), standard deviation "
        "over events, s after the onset."
    )
    maps = head_pictures(model.info, *_columns(table, times), said, signed=False)
    return [*maps, *_images(model, times, table)]


def _columns(table: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Take up to six times, evenly spaced."""
    at = np.unique(np.linspace(0, len(times) - 1, min(_TIMES, len(times))).round().astype(int))
    return table[:, at], [f"{times[k]:.2f} s" for k in at]


def _images(model: Model, times: np.ndarray, table: np.ndarray) -> list[Part]:
    """Draw all channels and times, a picture for each unit."""
    units = np.array(model.info.units[: model.n_picks])
    names = np.array(model.info.ch_names[: model.n_picks])
    parts: list[Part] = []
    for unit in dict.fromkeys(units.tolist()):
        here = units == unit
        shown, gain = unit_of(unit)
        svg = image(names[here].tolist(), times, gain * table[here], shown)
        strongest = np.argsort(-table[here].max(axis=1))[:8]
        told = ", ".join(names[here][strongest])
        parts.append(Picture(svg, f"The same, every channel and time. Strongest in: {told}."))
    return parts


def _encoded(model: Model, found: Mapping[str, Any]) -> list[Part]:
    """Draw held-out r over channels and times, as `calibration.encode.encoding_facts` tells it."""
    names, times = list(found["ch_names"]), np.asarray(found["times"], float)
    r, p = np.asarray(found["r"], float), np.asarray(found["p"], float)
    best = found["best"]
    parts: list[Part] = [
        Text(
            f"Largest held-out r {best['r']:.3f} ({best['low']:.3f} to {best['high']:.3f}), p = "
            f"{best['p']:.2g}, in {best['channel']} at {best['time']:.2f} s; "
            f"{found['n_channels_above_chance']} of {len(names)} channels are above chance at some time."
        )
    ]
    if names == list(model.info.ch_names[: len(names)]):
        said = "Held-out correlation of the signal with what the network predicts."
        parts += head_pictures(model.info, *_columns(r, times), said, unit="r")
        pattern = found.get("strength")
        if pattern is not None:
            columns = _columns(np.asarray(pattern, float), times)
            said = "Encoding patterns: spread of the signal that the network predicts."
            parts += head_pictures(model.info, *columns, said, signed=False)
    svg = image(names, times, r, "held-out r", signed=True, shown=p <= _P_SHOWN)
    framed = "Framed: p <= .05 against the largest r over all channels and times."
    parts.append(Picture(svg, f"Held-out r, every channel and time. {framed}"))
    return parts
