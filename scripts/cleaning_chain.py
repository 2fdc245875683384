"""The live cleaning stages over an array: the one place where the evaluation builds them.

Calibration fits each stage on the output of the one before, as the live pipeline does. Stages that
are named in `without` are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from cleaning_scene import band

from calibration.eye import fit_eye
from calibration.eye_events import EyeSpan
from calibration.heartbeat import fit_heartbeat
from calibration.regression import fit_regression
from calibration.repair import fit_repair
from rt_decoder.artifacts.repair import ChannelRepair
from rt_decoder.filters import SosFilter
from rt_decoder.guard import Guard
from rt_decoder.signal import CORRECTED, Chunk, Marker, SignalInfo

__all__ = ["STAGES", "Chain", "Cleaned", "as_chunk", "eye_spans", "our_chain"]

STAGES = ("repair", "eye", "regressors", "heartbeat")
_BLOCK = 2500  # samples at a time; how the stream is cut changes nothing


class Cleaned(NamedTuple):
    """What came out of the chain."""

    data: np.ndarray  # (n, c) all channels
    flags: np.ndarray  # (n,)
    channel_flags: np.ndarray  # (n, c)


class Chain:
    """Guard, filters and the fitted cleaning stages."""

    def __init__(self, info: SignalInfo, stages: dict[str, Any], reports: dict[str, Any]) -> None:
        self.info, self.stages, self.reports = info, stages, reports

    def reset(self) -> None:
        """Back to calibration."""
        for stage in self.stages.values():
            stage.reset()

    def clean(self, data: np.ndarray, cuts: Sequence[int] = (), *, index: int = 0) -> Cleaned:
        """Clean a recording (n, c) from the beginning; `cuts` are where chunks end."""
        self.reset()
        return _join(self.run(data, cuts, index=index))

    def run(self, data: np.ndarray, cuts: Sequence[int] = (), *, index: int = 0) -> Iterator[Chunk]:
        """Yield chunks as they leave the last stage, copied; goes on where it was."""
        ends = [*cuts] or list(range(_BLOCK, len(data), _BLOCK))
        for first, stop in zip([0, *ends], [*ends, len(data)], strict=True):
            yield self.process(as_chunk(data[first:stop], index + first, self.info.sfreq))

    def process(self, chunk: Chunk) -> Chunk:
        """One chunk through all stages; its arrays are the caller's."""
        for stage in self.stages.values():
            chunk = stage.process(chunk)
        return Chunk(
            chunk.data.copy(), chunk.times, chunk.index, chunk.flags.copy(),
            chunk.channel_flags.copy(),
        )  # fmt: skip


def our_chain(
    data: np.ndarray,
    info: SignalInfo,
    markers: Sequence[Marker] = (),
    without: Sequence[str] = (),
    sos: np.ndarray | None = None,
) -> Chain:
    """Fit the chain on a calibration recording (n, c), raw; `markers` may tell of cues."""
    sos = band(info.sfreq) if sos is None else sos
    stages: dict[str, Any] = {"guard": Guard(info), "filter": SosFilter(info, sos)}
    reports: dict[str, Any] = {}
    seen = _join(Chain(info, stages, {}).run(data))
    settled = np.arange(len(data)) < round(stages["filter"].settling * info.sfreq)
    spans = eye_spans(markers, info.sfreq)
    for name in STAGES:
        if name in without:
            continue
        bad = settled | ((seen.flags & ~np.uint16(CORRECTED)) != 0)
        fit, stage = _fitted(name, seen, info, bad, spans)
        if stage is None:
            continue
        stages[name] = stage
        reports[name] = fit.report
        seen = _join(
            _copied(stage.process(_with_flags(seen, first, info.sfreq)))
            for first in range(0, len(data), _BLOCK)
        )
    chain = Chain(info, stages, reports)
    chain.reset()
    return chain


def _fitted(
    name: str, seen: Cleaned, info: SignalInfo, bad: np.ndarray, spans: list[EyeSpan]
) -> tuple[Any, Any]:
    """What calibration found for a stage, and the stage; None and None without one."""
    if name == "repair":
        found = fit_repair(seen.data, info, bad)
        return found, None if found is None else ChannelRepair(info, **found.arguments)
    if name == "eye":
        found = fit_eye(seen.data, info, bad, cued=spans or None)
    elif name == "regressors":
        found = fit_regression(seen.data, info, bad)
    else:
        found = fit_heartbeat(seen.data, info, bad)
    return found, found.stage(info)


def eye_spans(markers: Sequence[Marker], sfreq: float) -> list[EyeSpan]:
    """Cues of a scene as spans of 20 s."""
    return [
        EyeSpan(marker.index, marker.index + round(20.0 * sfreq), marker.label.split("/")[1])
        for marker in markers
        if marker.label.startswith("cue/")
    ]


def as_chunk(data: np.ndarray, index: int, sfreq: float) -> Chunk:
    """Unflagged samples (n, c) that begin at `index`."""
    n, c = data.shape
    times = (index + np.arange(n)) / sfreq
    return Chunk(data, times, index, np.zeros(n, np.uint16), np.zeros((n, c), np.uint16))


def _with_flags(seen: Cleaned, first: int, sfreq: float) -> Chunk:
    rows = slice(first, first + _BLOCK)
    chunk = as_chunk(seen.data[rows], first, sfreq)
    return chunk._replace(flags=seen.flags[rows], channel_flags=seen.channel_flags[rows])


def _copied(chunk: Chunk) -> Chunk:
    return chunk._replace(
        data=chunk.data.copy(), flags=chunk.flags.copy(), channel_flags=chunk.channel_flags.copy()
    )


def _join(chunks: Iterator[Chunk]) -> Cleaned:
    parts = list(chunks)
    return Cleaned(
        np.concatenate([part.data for part in parts]),
        np.concatenate([part.flags for part in parts]),
        np.concatenate([part.channel_flags for part in parts]),
    )
