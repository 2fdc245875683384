"""Measure whether this computer keeps the budget of a model: the command `certify`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from pylsl import local_clock

from rt_decoder.commands import machine_parts as parts
from rt_decoder.commands.machine_verdict import found_problems
from rt_decoder.live.opening import open_session
from rt_decoder.live.receiver import Receiver
from rt_decoder.live.run_options import run_options
from rt_decoder.model import Model
from rt_decoder.replay.outlet_process import OutletProcess
from rt_decoder.sources.streams import LslStreams

__all__ = ["Asked", "certify", "marker_delays"]

_QS = (50, 95, 99, 99.9)
_N_WAKES = 400
_SETTLES_S = 1.0  # of a session, not counted
_LEAST_S = 3.0
_Say = Callable[[float, str], object]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to measure: s of each live part, the marker stream ("" for none), the folder of logs."""

    seconds: float = 15.0
    markers: str = ""
    folder: Path = field(default_factory=Path)


def certify(model: Model, asked: Asked, say: _Say | None = None) -> dict[str, Any]:
    """Measure each part of the path, alone and together.

    Parameters
    ----------
    model : Model
        With a map.
    asked : Asked
    say : callable or None
        Takes the share that is done and what is being measured.

    Returns
    -------
    dict
        ``parts`` (ms of each), ``machine``, ``stages_us``, ``budget_ms``, ``limit_ms`` (what memory and
        network take at least), ``problems`` (each with ``what`` and ``fix``) and ``keeps``.
    """
    say, watch = say or _silent, parts.processors()
    say(0.0, "memory, clock and threads")
    machine: dict[str, Any] = {
        "memory_gb_s": round(parts.memory_bandwidth(), 2),
        "clock": parts.clock(),
        "blas_threads": parts.blas_threads(),
    }
    say(0.1, "scheduler and interpreter")
    alone = parts.percentiles(parts.wakes_elsewhere(_N_WAKES))
    here = parts.percentiles(parts.wakes(_N_WAKES))
    say(0.2, "disk")
    written = parts.percentiles(parts.disk(asked.folder))
    say(0.25, "network")
    with _sender(model, asked.seconds) as name:
        loopback = parts.percentiles(_receive(name, _part(asked.seconds)))
    measured = {"wake": alone, "wake_here": here, "disk": written, "loopback": loopback}
    if asked.markers:
        say(0.4, "markers")
        measured["markers"] = parts.percentiles(marker_delays(asked.markers, _part(asked.seconds)))
    say(0.5, "end to end")
    session = _run(model, asked.seconds)
    measured["end_to_end"] = session["latency_ms"]
    table = model.vectors.shape[0] * model.basis.shape[0] * 4  # bytes that each readout reads
    limit = 1e3 * table / (1e9 * machine["memory_gb_s"]) + (loopback["p50"] or 0.0)
    told = {
        "parts": measured, "machine": machine | {"processors": watch()},
        "stages_us": session["stages_us"], "made": session["made"], "asked": session["asked"],
        "budget_ms": model.recipe.readout.budget_ms, "hop_ms": 1e3 * model.n_hop / model.info.sfreq,
        "limit_ms": round(limit, 4), "n_items": len(model.items),
        "n_channels": model.info.n_channels, "sfreq": model.info.sfreq,
    }  # fmt: skip
    problems = found_problems(told)
    say(1.0, "done")
    return told | {"problems": problems, "keeps": not any(one["breaks"] for one in problems)}


def _silent(share: float, text: str) -> None:
    """Say nothing."""


def _part(seconds: float) -> float:
    return max(1.0, seconds / 5)


class _sender:
    """A process that streams noise as the model's channels."""

    def __init__(self, model: Model, seconds: float) -> None:
        self._model, self._seconds = model, seconds

    def __enter__(self) -> str:
        info = self._model.info
        n = int((self._seconds + 60.0) * info.sfreq)
        size = np.where(np.isfinite(self._model.channel_scale), self._model.channel_scale, 1e-5)
        noise = np.random.default_rng(0).standard_normal((n, info.n_channels)) * size
        due = np.arange(n) / info.sfreq
        name = f"certify-{os.getpid()}-{monotonic():.3f}"
        self._process = OutletProcess(name, name, info, noise, due, due)
        self._process.open()
        self._process.start(local_clock() + 0.2, 1.0)
        return name

    def __exit__(self, *_: object) -> None:
        self._process.close()


def _streams(name: str, markers: str = "") -> LslStreams:
    return LslStreams({"name": name}, (markers,) * bool(markers))


def _receive(name: str, seconds: float) -> list[float]:
    """Return from the newest stamp of each push to its arrival, in ms."""
    source, receiver, took = _streams(name).samples(), Receiver(), list[float]()
    source.open()
    end = monotonic() + seconds
    while monotonic() < end:
        got = receiver.pull(source, 0.05)
        if len(got.stamps):
            took.append(1e3 * (got.arrival - float(got.times[-1])))
    source.close()
    return took[len(took) // 5 :]  # a consumer that comes later gets what waits at once


def marker_delays(name: str, seconds: float) -> list[float]:
    """Return by how many ms the markers of a stream come after their stamps.

    Parameters
    ----------
    name : str
        Of the stream.
    seconds : float
        How long to listen.

    Returns
    -------
    list of float

    Raises
    ------
    LookupError
        If there is no such stream.
    """
    if not name:
        return []
    (source,) = _streams("", name).markers()
    source.open()
    took, end = list[float](), monotonic() + seconds
    while monotonic() < end:
        now = local_clock()
        took += [1e3 * (now - marker.time) for marker in source.pull()]
        parts.wakes(1)
    source.close()
    return took


def _run(model: Model, seconds: float) -> dict[str, Any]:
    """Run a session on noise; return its latencies, and how many readouts were made and due."""
    with _sender(model, seconds) as name, ExitStack() as stack:
        options = run_options(
            {"name": name, "continuous": True, "force": True, "timeout": 30.0, "outlet": name}
        )
        session = open_session(model, options, stack)
        pipeline, sfreq = session.decoder.pipeline, session.source.info.sfreq
        begun = [0, 0]

        def should_stop() -> bool:
            if not begun[0] and session.n_samples >= _SETTLES_S * sfreq:
                pipeline.lateness.latencies.reset()
                pipeline.stopwatch.reset()
                begun[:] = session.n_samples, pipeline.answerer.n_readouts
            return session.n_samples >= max(seconds, _LEAST_S) * sfreq

        footer = session.run(should_stop)
        asked = (session.n_samples - begun[0]) // (model.n_hop * pipeline.factor)
        return {
            "latency_ms": pipeline.lateness.latencies.summary(1e6, _QS), "stages_us": footer["stages_us"],
            "made": pipeline.answerer.n_readouts - begun[1], "asked": asked,
        }  # fmt: skip
