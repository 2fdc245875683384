"""Receive a stream and answer, for a while; the last line of the output is what was measured."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rt_decoder.sinks.loopback import configure_loopback

configure_loopback()

from pylsl import StreamInlet, local_clock  # noqa: E402 - after its configuration

from rt_decoder.latency import Histogram  # noqa: E402
from rt_decoder.live.options import LiveOptions, Sinks  # noqa: E402
from rt_decoder.live.session import Session  # noqa: E402
from rt_decoder.sinks.outlets import ReadoutOutlets  # noqa: E402
from rt_decoder.sources.lsl.find import resolve  # noqa: E402
from rt_decoder.sources.lsl.markers import LslMarkers  # noqa: E402
from rt_decoder.sources.lsl.source import LslSource  # noqa: E402
from scripts.speed.scene import (  # noqa: E402
    DECIM,
    N_HOP,
    SFREQ,
    SOS,
    WINDOW_S,
    Case,
    Scene,
    load_scene,
    stages_of,
)

SETTLE_S = 3.0  # until the filters have settled, and a window is full
K = 10


class Meter:
    """Collects latencies once the receiver has settled, and the CPU time since then."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self.ms = seconds, list[float]()
        self.first = self.last = 0.0  # stamps
        self.start()

    def start(self) -> None:
        """Begin to settle now."""
        self._begun, self._ends = 0.0, float("inf")
        self._from = local_clock() + SETTLE_S

    def add(self, stamp: float) -> None:
        """Count an answer that used samples up to `stamp` and is there now."""
        now = local_clock()
        if now >= self._from and not self._begun:
            self._begun, self._cpu = now, time.process_time()
            self._ends = now + self._seconds
        if self._begun and now < self._ends:
            self.ms.append(1e3 * (now - stamp))
            self.first, self.last = self.first or stamp, stamp

    @property
    def over(self) -> bool:
        """Whether the time is up; it is, too, where nothing comes."""
        now = local_clock()
        return now >= self._ends or now > self._from + self._seconds + 20.0

    def result(self, step_s: float) -> dict[str, Any]:
        """Latencies, CPU, and how many answers a step of `step_s` asks for."""
        wall = local_clock() - self._begun
        asked = round((self.last - self.first) / step_s) + 1 if step_s else len(self.ms)
        cpu = (time.process_time() - self._cpu) / wall
        return {"ms": self.ms, "cpu": cpu, "made": len(self.ms), "asked": asked}


def with_ours(case: Case, scene: Scene, source_id: str, seconds: float) -> dict[str, Any]:
    """Run a session, with its outlets."""
    meter = Meter(seconds)
    source = LslSource(resolve(source_id=source_id))
    is_event = case.mode == "event"
    markers = [LslMarkers(resolve(source_id=f"{source_id}-m"))] if is_event else []
    options = LiveOptions(continuous=not is_event, force=True)
    session = Session(scene.model, source, options, markers=markers)
    pipeline = session.decoder.pipeline
    pipeline.stages = stages_of(case.n_channels)
    pipeline.stopwatch.histograms |= {name: Histogram() for name in pipeline.stages}
    outlets = ReadoutOutlets("bench-live", f"{source_id}-out", {}, scene.model.items)

    def on_readout(readout: Any) -> None:
        meter.add(local_clock() - 1e-3 * readout.latency_ms)  # which has just ended

    missed: list[str] = []

    def on_event(event: dict[str, Any]) -> None:
        # at the beginning one may come before the first sample, at the end one may still wait
        if event["event"] == "marker_lost" and meter.ms and not meter.over:
            missed.append(event["reason"])

    session.attach(Sinks(outlets=outlets, on_readout=on_readout, on_event=on_event))
    session.decoder.warm_up()
    meter.start()
    footer = session.run(lambda: meter.over)
    session.close()
    outlets.close()
    result = meter.result(0.0 if is_event else N_HOP / SFREQ)
    if is_event:  # those that were missed, too
        result["asked"] += len(missed)
    return result | {
        "stages_us": footer["stages_us"],
        "table_bytes": pipeline.answerer.vocabulary.table_bytes,
    }


def with_bare(_case: Case, _scene: Scene, source_id: str, seconds: float) -> dict[str, Any]:
    """Only receive: an answer is the newest sample of a hop."""
    source = LslSource(resolve(source_id=source_id))
    source.open()
    meter, n = Meter(seconds), 0
    while not meter.over:
        _, stamps, _ = source.pull(0.05)
        before, n = n, n + len(stamps)
        if n // N_HOP > before // N_HOP:
            meter.add(stamps[-1])
    source.close()
    return meter.result(N_HOP / SFREQ)


def _map(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n_features, n_dims) of the whole map, and vectors (n_items, n_dims)."""
    model = scene.model
    return model.weights @ model.basis, model.vectors


def with_tuned(case: Case, scene: Scene, source_id: str, seconds: float) -> dict[str, Any]:
    """The peer as a good programmer writes it: pylsl, float32, one product each, nothing twice."""
    from scipy.signal import sosfilt

    weights, vectors = _map(scene)
    c = case.n_channels
    inlet = StreamInlet(resolve(source_id=source_id), recover=False)
    inlet.open_stream(5.0)
    room = np.zeros((1000, len(scene.info.ch_names)), np.float32)
    zi = np.zeros((len(SOS), 2, c))
    n_window, meter, filled, n = round(WINDOW_S * SFREQ), Meter(seconds), 0, 0
    window = np.zeros((n_window, c), np.float32)
    while not meter.over:
        _, stamps = inlet.pull_chunk(0.05, max_samples=1000, min_samples=1, dest_obj=room)
        if not stamps:
            continue
        got = len(stamps)
        clean, zi = sosfilt(SOS, room[:got, :c], axis=0, zi=zi)
        window = np.concatenate([window[got:], clean.astype(np.float32)])
        before, n, filled = n, n + got, filled + got
        if n // N_HOP == before // N_HOP or filled < n_window:
            continue
        x = window.reshape(-1, DECIM, c).mean(axis=1).ravel() * np.float32(1e5)
        z = x @ weights
        scores = vectors @ (z / np.linalg.norm(z))
        best = np.argpartition(scores, -K)[-K:]
        best = best[np.argsort(-scores[best])]
        meter.add(stamps[-1])
    return meter.result(N_HOP / SFREQ)


def _with_stream(
    case: Case, scene: Scene, source_id: str, seconds: float, dtype: type
) -> dict[str, Any]:
    """What the field uses: StreamLSL, sosfilt, Ridge and cosine_similarity."""
    from mne_lsl.stream import StreamLSL
    from scipy.signal import sosfilt
    from sklearn.linear_model import Ridge
    from sklearn.metrics.pairwise import cosine_similarity

    weights, vectors = _map(scene)
    ridge = Ridge().fit(np.eye(2, len(weights)), np.eye(2, weights.shape[1]))
    ridge.coef_ = np.ascontiguousarray(weights.T.astype(dtype))
    ridge.intercept_ = np.zeros(weights.shape[1], dtype)
    vectors = vectors.astype(dtype)
    stream = StreamLSL(bufsize=2.0, source_id=source_id)
    stream.connect(acquisition_delay=0.001, timeout=10.0)
    c, n_window = case.n_channels, round(WINDOW_S * SFREQ)
    zi, n = np.zeros((len(SOS), c, 2)), 0
    window, meter = np.zeros((c, n_window), dtype), Meter(seconds)
    try:
        while not meter.over:
            if not (new := stream.n_new_samples):
                time.sleep(1e-4)
                continue
            data, stamps = stream.get_data(winsize=min(new, 1900) / SFREQ)
            clean, zi = sosfilt(SOS, data[:c], axis=1, zi=zi)
            got = data.shape[1]
            window = np.concatenate([window[:, got:], clean.astype(dtype)], axis=1)[:, -n_window:]
            before, n = n, n + got
            if n // N_HOP == before // N_HOP:
                continue
            x = window.reshape(c, -1, DECIM).mean(axis=2).T.ravel() * dtype(1e5)
            scores = cosine_similarity(ridge.predict(x[None]), vectors)[0]
            np.argsort(-scores)[:K]
            meter.add(stamps[-1])
    finally:
        stream.disconnect()
    return meter.result(N_HOP / SFREQ)


def with_peer(case: Case, scene: Scene, source_id: str, seconds: float) -> dict[str, Any]:
    """The peer in float32."""
    return _with_stream(case, scene, source_id, seconds, np.float32)


def with_peer64(case: Case, scene: Scene, source_id: str, seconds: float) -> dict[str, Any]:
    """The peer in float64."""
    return _with_stream(case, scene, source_id, seconds, np.float64)


RECEIVERS: dict[str, Callable[[Case, Scene, str, float], dict[str, Any]]] = {
    "ours": with_ours,
    "bare": with_bare,
    "tuned": with_tuned,
    "peer": with_peer,
    "peer64": with_peer64,
}


def main() -> None:
    """Measure one receiver."""
    name, n_channels, chunk, mode, path, source_id, seconds = sys.argv[1:]
    case = Case(int(n_channels), int(chunk), mode, path)
    scene = load_scene(path)
    print(json.dumps(RECEIVERS[name](case, scene, source_id, float(seconds))))


if __name__ == "__main__":
    main()
