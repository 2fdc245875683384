"""What a live session is asked for, and where it hands what it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Chunk, Readout

if TYPE_CHECKING:
    from rt_decoder.sinks.log import JsonlLog
    from rt_decoder.sinks.outlets import ReadoutOutlets
    from rt_decoder.sinks.record import Recorder

__all__ = ["LiveOptions", "Sinks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions(PipelineOptions):
    """What a live session adds to the options of the pipeline.

    Parameters
    ----------
    until_lost : bool
        A lost stream is a normal end.
    skip : bool
        What to do when more than `max_behind` s of samples wait: drop all but the newest hop of
        them, which counts as a gap (True), or process everything and mark it late.
    max_behind : float
        In s.
    """

    until_lost: bool = False
    skip: bool = False
    max_behind: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """Where a session hands what it has; each may be missing.

    Parameters
    ----------
    log, recorder, outlets : or None
        Where readouts, raw samples and answers go.
    on_readout : callable or None
        Called with each readout in the loop's thread: keep it short.
    on_event : callable or None
        Called with each event, as the log has it, in the loop's thread.
    on_clean : callable or None
        Called with each hop once it is cleaned, in the loop's thread; see `Pipeline.tap`.
    """

    log: JsonlLog | None = None
    recorder: Recorder | None = None
    outlets: ReadoutOutlets | None = None
    on_readout: Callable[[Readout], None] | None = None
    on_event: Callable[[dict[str, Any]], None] | None = None
    on_clean: Callable[[Chunk], None] | None = None
