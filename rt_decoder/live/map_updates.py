"""Align the map of a running session in another thread, and swap it in between two pushes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Realigned
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.worker import Worker

__all__ = ["MapUpdates"]


class MapUpdates:
    """Compute the updates of a model that adapts, out of the loop's way.

    An update that fails ends the updates, not the session: the map stays as it is.

    Parameters
    ----------
    decoder : Decoder
        The session's decoder. If its model does not adapt, nothing is done.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._worker: Worker | None = None
        if decoder.pipeline.adaptation is not None:
            self._worker = Worker("alignment", max_jobs=1)
            decoder.pipeline.adaptation.defer(partial(_begin, self._worker))

    def swap(
        self, time: float, n_samples: int, recorder: Recorder | None
    ) -> list[tuple[str, dict[str, Any]]]:
        """Put an update that is ready into effect, and record it.

        Parameters
        ----------
        time : float
            Now, in s on the LSL clock.
        n_samples : int
            Samples decoded so far.
        recorder : Recorder or None
            The session record.

        Returns
        -------
        list of (str, dict)
            Events ``aligned``, or ``alignment_ended`` with the reason.
        """
        adaptation = self._decoder.pipeline.adaptation
        if self._worker is None or adaptation is None:
            return []
        if self._worker.take_error() is not None:
            return [("alignment_ended", {"reason": self._worker.reason})]
        update = adaptation.apply()
        if update is None:
            return []
        if recorder is not None:
            recorder.decision(time, Realigned(n_samples, update.n_events))
        return [("aligned", details) for details in self._decoder.take_updates()]

    def close(self) -> None:
        """End the thread once the update that it computes is done; its result is not used."""
        if self._worker is not None:
            self._worker.close()


def _begin(worker: Worker, job: Callable[[], None]) -> None:
    worker.put(partial(_compute, job))


def _compute(job: Callable[[], None]) -> None:
    try:
        job()
    except MemoryError as error:
        raise ValueError("the memory does not hold the covariance") from error
