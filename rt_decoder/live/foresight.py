"""Wake up shortly before an answer is due, so that its last sample finds everything warm.

While a session waits, the processor slows down and others use its caches: the first code that runs, and
what it reads, take two to three times as long [measured]. So the wait for the samples that complete an
answer ends a little before the last one is expected. What has come by then is decoded, which takes work
off the last sample, and what the answer will read is read once. No bit depends on it: results do not
depend on how a stream is cut.
"""

from __future__ import annotations

from collections.abc import Callable

from rt_decoder.live.receiver import Receiver
from rt_decoder.pipeline import Pipeline
from rt_decoder.source import Received, SampleSource

__all__ = ["LEAD", "LONGEST", "Foresight"]

LONGEST = 0.05  # s; bounds how long a request to stop waits
LEAD = 0.5e-3  # s before the last sample: a timer is late by .1, and getting ready takes .2 to .3
LEAST = 1e-3  # s; a shorter wait stays whole


class Foresight:
    """Waits for the samples of an answer in two parts.

    Parameters
    ----------
    sfreq : float
        Rate of the stream in Hz.
    clock : callable
        Returns the time in s on the clock of arrivals.
    """

    def __init__(self, sfreq: float, clock: Callable[[], float]) -> None:
        self._sfreq, self._clock = sfreq, clock
        self._arrival, self._is_ready = 0.0, False

    def pull(
        self, receiver: Receiver, source: SampleSource, pipeline: Pipeline
    ) -> tuple[Received, int]:
        """Wait for samples, and get ready if the answer that follows them is still to come.

        Parameters
        ----------
        receiver : Receiver
            Pulls.
        source : SampleSource
            From this.
        pipeline : Pipeline
            The session's.

        Returns
        -------
        received : Received
            What came.
        n : int
            Samples that complete the next hop or window: fewer have come where they did not come in
            time, or are not all there yet.
        """
        n = pipeline.n_wanted
        left = self._arrival + n / self._sfreq - LEAD - self._clock()
        is_parted = not self._is_ready and LEAST < left < LONGEST and pipeline.answers_next
        received = receiver.pull(source, left if is_parted else LONGEST, n)
        self._is_ready = False
        if len(received.stamps) >= n:
            self._arrival = received.arrival
        elif is_parted:
            pipeline.touch()
            self._is_ready = True
        return received, n
