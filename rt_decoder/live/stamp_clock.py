"""Compare the stamps of the samples with this machine's clock, and say when they are of another.

A latency counts from the newest sample that a readout used. On a stream whose clock is unknown here
(Unix time, an hour off) that sample is taken to be as old as its arrival says.
"""

from __future__ import annotations

import math
from typing import Any

from rt_decoder.pipeline import Pipeline

__all__ = ["StampClock"]


class StampClock:
    """Watches the stamps of a session; says once what is odd about them."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def look(self, pipeline: Pipeline) -> list[tuple[str, dict[str, Any]]]:
        """Look at what the pipeline has found, after a pull.

        Parameters
        ----------
        pipeline : Pipeline
            The session's.

        Returns
        -------
        list of (str, dict)
            Events with their details.
        """
        if pipeline.lateness.clock_offset and math.isfinite(pipeline.lateness.clock_offset):
            return self._once(
                "stamps_of_another_clock",
                ahead_s=round(-pipeline.lateness.clock_offset, 3),
                reason="latencies count from arrival: the sender stamps by another clock",
            )
        if pipeline.lateness.n_early:
            return self._once(
                "stamps_ahead",
                ahead_ms=round(pipeline.lateness.earliest_ms, 3),
                reason="a readout came before the stamp of its newest sample: the sender's clock, "
                "or its correction, runs ahead",
            )
        return []

    def _once(self, event: str, **details: Any) -> list[tuple[str, dict[str, Any]]]:
        if event in self._told:
            return []
        self._told.add(event)
        return [(event, details)]
