"""The last line of a session's log: counts and percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rt_decoder.decoder import Decoder
from rt_decoder.files.proof import forced
from rt_decoder.latency import Histogram
from rt_decoder.live.descriptors import descriptors
from rt_decoder.sinks.worker import Worker

__all__ = ["footer_line", "scored"]


def scored(decoder: Decoder) -> dict[str, Any]:
    """Return ``score``, where items of events were told; nothing else."""
    score = decoder.pipeline.answerer.scored.score
    return {"score": score.summary()} if score.n else {}


def footer_line(
    decoder: Decoder,
    n_samples: int,
    counts: Mapping[str, int],
    backlog: Histogram,
    references: Sequence[Any],
    sinks: Mapping[str, Worker | None],
) -> dict[str, Any]:
    """Summarize a session so far.

    Parameters
    ----------
    decoder : Decoder
        The session's decoder.
    n_samples : int
        Samples received.
    counts : mapping of str to int
        Counts of events, readouts and markers.
    backlog : Histogram
        Signal time that was waiting at each pull, in ns.
    references : sequence of AuxiliaryStream
        Auxiliary streams joined to the samples.
    sinks : mapping of str to (Worker or None)
        The log and the record, if in use, by what they are.

    Returns
    -------
    dict
        The footer line of the log.
    """
    pipeline = decoder.pipeline
    used = {what: sink for what, sink in sinks.items() if sink is not None}
    return {
        "type": "footer",
        **forced(pipeline.model, force=pipeline.force),
        "n_samples": n_samples,
        "n_readouts": pipeline.answerer.n_readouts,
        **decoder.learned(),
        **scored(decoder),
        "fit": pipeline.monitor.summary,
        "n_late": pipeline.lateness.n_late,
        "n_early": pipeline.lateness.n_early,
        "counts": dict(counts)
        | {"markers_waiting": decoder.n_waiting, "markers_left_out": decoder.align.n_left_out},
        "references": {
            one.name: {"n_missing": one.n_missing, "n_late": one.n_late} for one in references
        },
        "n_descriptors": None if (have := descriptors()) is None else have[0],
        "n_dropped": sum(sink.n_dropped for sink in used.values()),
        "errors": [f"{what}: {sink.reason}" for what, sink in used.items() if sink.reason],
        "latency_ms": pipeline.lateness.latencies.summary(1e6),
        "backlog_ms": backlog.summary(1e6),
        "stages_us": pipeline.stopwatch.summary_us(),
    }
