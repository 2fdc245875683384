"""Where and when the brain carries what is decoded: patterns of the decoder, and encoding."""

from __future__ import annotations

import numpy as np

from calibration.patterns import haufe_patterns
from calibration.report.above import is_above
from calibration.report.page import Heading, Note, Part, Section
from calibration.report.sections.encoded import columns, null_parts, r_parts, share_parts
from calibration.report.shown import Shown
from calibration.report.tables import Axis, head_pictures, images, unit_of
from rt_decoder.model import Model

__all__ = ["decoder_strength", "section"]


def section(shown: Shown) -> Section | None:
    """Draw the decoder's patterns and, where it was encoded, r over time."""
    if not shown.model.has_map:
        return None
    parts: list[Part] = [Heading("Patterns of the decoder")]
    if is_above(shown) is False:
        parts.append(Note("This model is not shown to be above chance: so these may be noise."))
    parts += _decoder(shown.model)
    encoded = shown.certificate.get("encoding")
    parts.append(Heading("From network to brain"))
    if not encoded:
        parts.append(
            Note(
                "Not in this model: `rt-calibrate fit --encode` measures r at every channel and time, "
                "and so does `rt-calibrate encode` with new recordings."
            )
        )
        return Section("Where and when", parts)
    parts += [*r_parts(shown.model, encoded), *null_parts(encoded)]
    parts += [Heading("Beyond nuisance"), *share_parts(shown.model, encoded)]
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
    maps = head_pictures(model.info, *columns(table, times), said, signed=False)
    return [*maps, *_images(model, times, table)]


def _images(model: Model, times: np.ndarray, table: np.ndarray) -> list[Part]:
    """Draw all channels and times, a picture for each unit."""
    units = np.array(model.info.units[: model.n_picks])
    names = np.array(model.info.ch_names[: model.n_picks])
    parts: list[Part] = []
    for unit in dict.fromkeys(units.tolist()):
        here = units == unit
        shown, gain = unit_of(unit)
        drawings = images(Axis(names[here].tolist(), times), gain * table[here], shown)
        strongest = np.argsort(-table[here].max(axis=1))[:8]
        told = ", ".join(names[here][strongest])
        parts += drawings(f"The same, every channel and time. Strongest in: {told}.")
    return parts
