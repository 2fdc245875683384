"""A model of a stream that nothing was fitted on: `record` and `check` watch a stream with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo, unit_gain

__all__ = ["unfitted_model"]

_WINDOW_S = 0.1  # of features, which nobody asks for; the shorter, the less memory


def unfitted_model(info: SignalInfo) -> Model:
    """Make a model that takes every channel of a stream, and changes nothing.

    It has the guard alone, which flags impossible values, and neither filter nor map. Time base,
    framing and markers work as in any session.

    Parameters
    ----------
    info : SignalInfo
        Of the stream.

    Returns
    -------
    Model
        In SI units. No scale is expected of its channels.

    Raises
    ------
    ValueError
        If a unit is unknown.

    Examples
    --------
    >>> model = unfitted_model(SignalInfo(250.0, ("Cz",), ("eeg",), ("uV",)))
    >>> model.info.units, model.has_map
    (('V',), False)
    """
    c = info.n_channels
    recipe = Recipe()
    n_window = max(1, round(_WINDOW_S * info.sfreq))
    recipe = replace(
        recipe,
        stream=replace(recipe.stream, picks=info.ch_names, reference="none"),
        filter=replace(recipe.filter, l_freq=0.0, h_freq=0.0, notch=False),
        clean=replace(recipe.clean, stages=(), references=()),
        features=replace(recipe.features, tmax=n_window / info.sfreq, decim=n_window),
    )
    return Model(
        info=replace(info, units=tuple(unit_gain(unit)[0] for unit in info.units)),
        recipe=recipe,
        sos=np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]),
        channel_scale=np.full(c, np.nan),
    )
