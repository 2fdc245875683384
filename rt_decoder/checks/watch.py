"""Run a recording through a session's time base and guard, as `record` does live."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rt_decoder.checks.quality import StreamQuality
from rt_decoder.checks.unfitted import unfitted_model
from rt_decoder.decoder import Decoder
from rt_decoder.files.recording import Recording
from rt_decoder.signal import ModelMismatch

__all__ = ["Watched", "watch"]


@dataclass
class Watched:
    """What a session's time base and guard would say of a recording."""

    quality: StreamQuality
    n_lost: int = 0
    n_gaps: int = 0
    n_resets: int = 0
    refused: str = ""  # why a session would refuse the stream


def watch(recording: Recording) -> Watched:
    """Watch a recording as a session would.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    Watched
    """
    decoder = Decoder(unfitted_model(recording.info), recording.info)
    watched = Watched(StreamQuality(recording.info))
    decoder.pipeline.tap(watched.quality.look)
    arrivals = recording.arrivals
    step = max(1, round(recording.info.sfreq / 8))
    try:
        for start in range(0, len(recording.stamps), step):
            rows = slice(start, start + step)
            came = None if arrivals is None else arrivals[rows]
            data = np.asarray(recording.data[rows], np.float64)
            for _ in decoder.push_features(data, recording.times[rows], came):
                pass  # no marker asks for features
    except ModelMismatch as error:
        watched.refused = str(error)
    for decision in decoder.take_decisions():
        watched.n_lost += decision.n_lost
        watched.n_gaps += decision.kind == "gap"
        watched.n_resets += decision.kind == "reset"
    return watched
