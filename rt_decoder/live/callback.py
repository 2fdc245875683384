"""Call an experiment's function with each readout, and measure how long it takes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any

from rt_decoder.latency import Histogram
from rt_decoder.signal import Readout

__all__ = ["Callback"]

MOST = 10_000  # readouts that may wait for it


class Callback:
    """A function that is called in a thread of its own, one readout after the other.

    Parameters
    ----------
    call : callable
        Takes a readout.
    budget_ms : float
        Time that a call may take; slower ones are counted.
    tell : callable
        Takes ``("event", line)`` for the first slow call, and ``("callback", exception)``: then no
        further call is made.
    """

    def __init__(
        self,
        call: Callable[[Readout], object],
        budget_ms: float,
        tell: Callable[[tuple[Any, ...]], object],
    ) -> None:
        self._call, self._budget_ns, self._tell = call, budget_ms * 1e6, tell
        self._executor = ThreadPoolExecutor(1, "on_readout")
        self._took, self._waited = Histogram(), Histogram()
        self._n_put = self._n_done = self._n_over = self._n_dropped = 0
        self._failed = False

    def put(self, readout: Readout) -> None:
        """Call the function once the calls before it are done."""
        if self._failed or self._n_put - self._n_done >= MOST:
            self._n_dropped += 1
            return
        self._n_put += 1
        self._executor.submit(self._run, readout, perf_counter_ns()).add_done_callback(self._look)

    def _run(self, readout: Readout, put: int) -> None:
        if self._failed:
            self._n_dropped += 1
            return
        began = perf_counter_ns()
        self._waited.add(began - put)
        self._call(readout)
        took = perf_counter_ns() - began
        self._took.add(took)
        self._n_over += took > self._budget_ns
        if took > self._budget_ns and self._n_over == 1:
            details = {"ms": round(took * 1e-6, 3), "budget_ms": self._budget_ns * 1e-6}
            line = {"type": "event", "event": "callback_slow", "time": readout.time, **details}
            self._tell(("event", line))

    def _look(self, done: Future[None]) -> None:
        self._n_done += 1
        if (error := done.exception()) is not None:
            self._failed = True
            self._tell(("callback", error))

    def close(self) -> None:
        """Wait until the readouts that wait were taken."""
        self._executor.shutdown()

    def summary(self) -> dict[str, Any]:
        """Return how many calls there were, how long they took and waited.

        Returns
        -------
        dict
            ``n``, ``n_over`` the budget, ``n_dropped``, ``ms`` and ``waited_ms`` with percentiles.
        """
        return {
            "n": self._n_done,
            "n_over": self._n_over,
            "n_dropped": self._n_dropped,
            "ms": self._took.summary(1e6),
            "waited_ms": self._waited.summary(1e6),
        }
