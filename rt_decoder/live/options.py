"""Options of a live session, and the sinks that it writes to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rt_decoder.decoding.language.process import LanguageProcess
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Chunk, Readout

if TYPE_CHECKING:
    from rt_decoder.sinks.log import JsonlLog
    from rt_decoder.sinks.outlets import ReadoutOutlets
    from rt_decoder.sinks.record import Recorder

__all__ = ["LiveOptions", "Sinks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions(PipelineOptions):
    """Options of a live session, besides those of the pipeline.

    Parameters
    ----------
    until_lost : bool
        End the session normally when the stream is lost.
    skip : bool
        When more than `max_behind` s of samples wait: True drops all but the newest hop, which the
        pipeline sees as a gap; False decodes everything and marks it late.
    max_behind : float
        Backlog at which samples are skipped, in s.
    language : LanguageProcess or None
        Tells each event's prior; see `next_words`.
    tune : collection of str
        What to ask the system for, among `tuning.TUNABLE`; an event ``tuned`` says what it allowed.
    """

    until_lost: bool = False
    skip: bool = False
    max_behind: float = 0.5
    language: LanguageProcess | None = None
    tune: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """Where a session writes its results; each may be None.

    Parameters
    ----------
    log : JsonlLog or None
        Takes readouts, markers and events.
    recorder : Recorder or None
        Takes raw samples, markers and decisions.
    outlets : ReadoutOutlets or None
        Send readouts over LSL.
    on_readout : callable or None
        Called with each readout in the loop's thread; keep it short.
    on_event : callable or None
        Called with each event, a line of the log, in the loop's thread.
    on_score : callable or None
        Called with the score's summary (see `Score`) when it has changed, in the loop's thread.
    on_clean : callable or None
        Called with each cleaned hop in the loop's thread; see `Pipeline.tap`.
    """

    log: JsonlLog | None = None
    recorder: Recorder | None = None
    outlets: ReadoutOutlets | None = None
    on_readout: Callable[[Readout], object] | None = None
    on_event: Callable[[dict[str, Any]], object] | None = None
    on_score: Callable[[dict[str, Any]], object] | None = None
    on_clean: Callable[[Chunk], None] | None = None

    @property
    def after_scores(self) -> tuple[Callable[[Readout], object], ...]:
        """What hears of a readout once its scores have left, in order."""
        text = self.outlets.push_text if self.outlets is not None else None
        write = self.log.write if self.log is not None else None
        return tuple(one for one in (text, write, self.on_readout) if one is not None)
