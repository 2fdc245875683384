"""Say why no window is good: channels that are bad nearly all the time, with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rt_decoder.decoder import Decoder
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import hops_of_recording
from rt_decoder.signal import BAD

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["why_none_is_good"]

_MOSTLY = 0.5  # of the samples


def why_none_is_good(model: Model, sessions: Sequence[LabelledRecording]) -> str:
    """Name the channels that the guard flags in most samples, and what to do.

    Parameters
    ----------
    model : Model
    sessions : sequence of LabelledRecording

    Returns
    -------
    str
        End of a sentence; it begins with a colon or semicolon.
    """
    names = model.info.ch_names[: model.n_picks]
    n_bad, n = np.zeros(len(names)), 0
    for session in sessions:
        decoder = Decoder(model, session.recording.info, PipelineOptions(session.rules))
        for hop in hops_of_recording(decoder, session.recording, (), "guard"):
            n_bad += ((hop.channel_flags[:, : len(names)] & BAD) != 0).sum(axis=0)
            n += len(hop.data)
    bad = [name for name, count in zip(names, n_bad, strict=True) if count > _MOSTLY * n]
    if not bad:
        return "; rt-decoder check and the markers of bad segments tell what is wrong"
    kept = [name for name in names if name not in bad]
    them = "it" if len(bad) == 1 else "them"
    return (
        f": {', '.join(bad)} {'is' if len(bad) == 1 else 'are'} flat, out of range or lost most of the "
        f"time; leave {them} out: "
        + (f"--picks {','.join(kept)}" if kept else "no channel is left then; is the unit right?")
    )
