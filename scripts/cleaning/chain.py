"""Run the live cleaning chain over an array; the evaluation builds it only here.

`calibration.cleaning.chain` fits it and the live pipeline runs it, as in `rt-calibrate cleaning`
and `rt-decoder run`. There is no rereference, so that rivals get the same channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from cleaning.scene import H_FREQ, L_FREQ, LINE_FREQ, ORDER

from calibration.cleaning.chain import fit_cleaning
from calibration.design import draft_model
from calibration.events import LabelledRecording
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recipe import STAGES, Recipe
from rt_decoder.signal import FLAGS, Chunk, Marker, SignalInfo
from rt_decoder.timing.markers import MarkerRules

__all__ = ["Chain", "Cleaned", "as_chunk", "our_chain"]

_HOP_MS = 40.0  # cuts do not change results, and longer hops are faster
_BLOCK = 2500  # samples per chunk


class Cleaned(NamedTuple):
    """Output of the chain."""

    data: np.ndarray  # (n, c) all channels
    flags: np.ndarray  # (n,) flags of the whole sample, and those of its data channels
    channel_flags: np.ndarray  # (n, c)


class Chain:
    """A cleaning model, and the reports of its fit.

    Parameters
    ----------
    model : Model
    reports : dict
        By stage, from `fit_cleaning`.
    without : sequence of str
        Stages to leave out.
    """

    def __init__(self, model: Model, reports: dict[str, Any], without: Sequence[str] = ()) -> None:
        self.model, self.reports, self.without = model, reports, tuple(without)
        self.info = model.info
        self.restart()

    def restart(self) -> None:
        """Return to the state after calibration."""
        self.pipeline = Pipeline(self.model, PipelineOptions(without=self.without))
        self.stages = self.pipeline.stages
        self._hops: list[Chunk] = []
        self.pipeline.tap(lambda hop: self._hops.append(_copied(hop)))

    def clean(self, data: np.ndarray, cuts: Sequence[int] = ()) -> Cleaned:
        """Clean a recording (n, c) from the beginning, in chunks that end at `cuts`."""
        self.restart()
        return self.go_on(data, 0, cuts)

    def go_on(self, data: np.ndarray, index: int, cuts: Sequence[int] = ()) -> Cleaned:
        """Clean the samples (n, c) that begin at absolute `index`, a multiple of the hop.

        If they do not fill the last hop, it is filled up with the last sample.
        """
        n = len(data)
        padded = np.concatenate([data, np.repeat(data[-1:], -n % self.model.n_hop, 0)])
        ends = [*cuts] or [*range(_BLOCK, n, _BLOCK)]
        for first, stop in zip([0, *ends], [*ends, len(padded)], strict=True):
            chunk = as_chunk(padded[first:stop], index + first, self.info.sfreq)
            for _ in self.pipeline.push_features(chunk):
                pass
        hops = self._hops[:]
        self._hops.clear()
        return Cleaned(
            np.concatenate([hop.data for hop in hops])[:n],
            np.concatenate([hop.flags for hop in hops])[:n],
            np.concatenate([hop.channel_flags for hop in hops])[:n],
        )


def our_chain(
    data: np.ndarray,
    info: SignalInfo,
    markers: Sequence[Marker] = (),
    *,
    stages: Sequence[str] = STAGES,
    **filters: float | bool,
) -> Chain:
    """Fit the chain on a raw calibration recording (n, c); `markers` are words and cues.

    `filters` are keys of the recipe's ``[filter]`` whose values differ from those of the scenes.
    """
    band = {"l_freq": L_FREQ, "h_freq": H_FREQ, "order": ORDER, "notch": True}
    recipe = Recipe.from_dict(
        {
            "stream": {"reference": "none", "line_freq": LINE_FREQ, "hop_ms": _HOP_MS},
            "filter": band | filters,
            "clean": {"stages": list(stages)},
        }
    )
    stamps = np.arange(len(data)) / info.sfreq
    recording = Recording(data, stamps, info, tuple(markers), name="calibration")
    session = LabelledRecording(recording, tuple(markers), (), MarkerRules())
    model, reports = fit_cleaning(draft_model([recording], recipe), [session])
    if model.info.ch_names != info.ch_names:
        raise ValueError("need data channels first and references after them, all of known units")
    return Chain(model, reports)


def as_chunk(data: np.ndarray, index: int, sfreq: float) -> Chunk:
    """Make a chunk of unflagged samples (n, c) that begin at `index`."""
    n, c = data.shape
    times = (index + np.arange(n)) / sfreq
    return Chunk(data, times, index, np.zeros(n, FLAGS), np.zeros((n, c), FLAGS))


def _copied(chunk: Chunk) -> Chunk:
    return chunk._replace(
        data=chunk.data.copy(), flags=chunk.flags.copy(), channel_flags=chunk.channel_flags.copy()
    )
