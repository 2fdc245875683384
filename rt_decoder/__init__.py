"""Decode words from brain signals in real time.

In flow order: `sources` reads samples, `timing` places them on a sample grid, `cleaning` removes
artifacts, `decoding` turns windows into words. `pipeline` joins the stages, `decoder` joins one
source to them, `live` runs them in real time, and `sinks` writes the results.

The names below load their modules at first use, so that `rt-decoder --help` does not wait for
numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rt_decoder.decoder import Decoder
    from rt_decoder.decoding.hidden import Evidence
    from rt_decoder.files.model_file import ModelCorrupt, load_model, save_model
    from rt_decoder.live.api import open_live
    from rt_decoder.live.handle import Live
    from rt_decoder.model import Model
    from rt_decoder.pipeline import Pipeline, PipelineOptions
    from rt_decoder.recorded import decode_recording
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
    from rt_decoder.sinks.log import parse_readout
    from rt_decoder.timing.markers import MarkerRules

    __version__: str

_HOME = {
    "Chunk": "signal",
    "Decoder": "decoder",
    "Evidence": "decoding.hidden",
    "Features": "signal",
    "Live": "live.handle",
    "Marker": "signal",
    "MarkerRules": "timing.markers",
    "Model": "model",
    "ModelCorrupt": "files.model_file",
    "ModelMismatch": "signal",
    "Pipeline": "pipeline",
    "PipelineOptions": "pipeline",
    "Readout": "signal",
    "Reason": "signal",
    "SignalInfo": "signal",
    "StreamLost": "signal",
    "decode_recording": "recorded",
    "load_model": "files.model_file",
    "open_live": "live.api",
    "parse_readout": "sinks.log",
    "save_model": "files.model_file",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("rt-decoder")
    if name not in _HOME:
        raise AttributeError(f"module 'rt_decoder' has no attribute {name!r}")
    return getattr(import_module(f"rt_decoder.{_HOME[name]}"), name)
