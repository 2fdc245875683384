"""Begin a session record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pylsl import local_clock

from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Start
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received

__all__ = ["begin_record"]


def begin_record(
    recorder: Recorder, decoder: Decoder, references: Sequence[Any], n_samples: Callable[[], int]
) -> None:
    """Record how the session starts, and from now on the samples of its auxiliary streams.

    Parameters
    ----------
    recorder : Recorder
        The session record.
    decoder : Decoder
        The session's decoder.
    references : sequence of AuxiliaryStream
        Auxiliary streams joined to the samples.
    n_samples : callable
        Returns how many samples of the main stream have come.
    """
    for one in references:
        recorder.add_reference(one.name, one.info)
        one.pass_on(partial(_keep, recorder, one.name, n_samples))
    pipeline = decoder.pipeline
    without = tuple(sorted(pipeline.without))
    joined = tuple(one.describe() for one in references)
    align = None if pipeline.model.alignment is None else decoder.alignment is not None
    rules, continuous = decoder.align.rules, pipeline.continuous
    start = Start(
        0, rules, continuous, without, joined, align, decoder.learns, pipeline.when_unlike,
        anytime=bool(pipeline.sooner.ends), level=pipeline.level,
    )  # fmt: skip
    recorder.decision(local_clock(), start)


def _keep(recorder: Recorder, name: str, n_samples: Callable[[], int], received: Received) -> None:
    recorder.pulled_reference(name, received, n_samples())
