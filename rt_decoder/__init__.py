"""Decode words from brain signals in real time.

In flow order: `sources`, `timebase`, `align`, `framing`, `guard`, `filters`, `ring`, `features`,
`mapping`, `vocabulary`, `readout`; `pipeline` joins the stages, `decoder` one source with them,
`session` runs them live, `sinks` and `outlets` take what comes out.
"""

from rt_decoder.decoder import Decoder, MarkerRules, decode_recording
from rt_decoder.model import Model, ModelCorrupt, load_model, save_model
from rt_decoder.pipeline import Pipeline
from rt_decoder.signal import (
    Chunk,
    Features,
    Marker,
    ModelMismatch,
    Readout,
    Reason,
    SignalInfo,
    StreamLost,
)

__all__ = [
    "Chunk",
    "Decoder",
    "Features",
    "Marker",
    "MarkerRules",
    "Model",
    "ModelCorrupt",
    "ModelMismatch",
    "Pipeline",
    "Readout",
    "Reason",
    "SignalInfo",
    "StreamLost",
    "decode_recording",
    "load_model",
    "save_model",
]
