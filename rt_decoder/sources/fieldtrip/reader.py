"""The thread that reads a FieldTrip buffer, and its queue of samples."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
from pylsl import local_clock

from rt_decoder.signal import StreamLost
from rt_decoder.sources.fieldtrip.client import BATCH, BufferClient
from rt_decoder.sources.fieldtrip.clock import SampleClock

__all__ = ["BufferReader"]

HEADER_AGAIN = 10.0  # s between looks at the header, in case a new measurement began unnoticed
MOST_EVENTS = 10_000  # at once; older ones are skipped and counted as lost


class BufferReader:
    """Fetches new samples and events of a buffer in a thread, from `start` on.

    The queue is bounded. While it is full nothing is fetched: samples stay on the server, which
    keeps minutes of them. Samples that the server no longer has are counted and leave a gap in the
    stamps.

    Parameters
    ----------
    client : BufferClient
        Connected; only the thread uses it from `start` on.
    header : mne_realtime.externals.FieldTrip.Header
        Of the measurement to read.
    sfreq : float
        Nominal rate in Hz.
    longest, most : int
        Largest number of samples in a block, and in the queue.

    Attributes
    ----------
    counts : Counter
        ``overrun`` (how often samples were gone from the server), ``lost`` (number of those
        samples), ``events_lost``, ``time_steps`` (see `SampleClock`).
    ended : str
        Reason why the buffer is lost; "" while it is not.
    n_queued : int
        Samples that wait in the queue.
    on_event : list of callable
        Each is called with an event of the client and its time in s, in the reader's thread.
    """

    def __init__(
        self, client: BufferClient, header: Any, sfreq: float, *, longest: int, most: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.ended = ""
        self.on_event: list[Callable[[Any, float], None]] = []
        self._client = client
        self._header = header
        self._clock = SampleClock(sfreq)
        self._longest, self._most = longest, most
        self._wait_ms = max(1, min(100, round(500 * client.timeout)))
        self._have = self._have_events = 0
        self._next_look = 0.0
        self._blocks: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self.n_queued = 0
        self._news = threading.Condition()  # guards the queue and `ended`
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=client.name, daemon=True)

    def start(self) -> None:
        """Begin with the next sample and the next event; StreamLost if the buffer is gone."""
        header = self._checked_header()
        self._have, self._have_events = header.nSamples, header.nEvents
        self._next_look = local_clock() + HEADER_AGAIN
        self._thread.start()

    def take(self, data: np.ndarray, stamps: np.ndarray, timeout: float) -> int:
        """Wait for samples, then take as many whole blocks as fit.

        Parameters
        ----------
        data : array of shape (m, n_channels), float64
            Filled from its first row.
        stamps : array of shape (m,), float64
            Filled alike, in s on this machine's LSL clock.
        timeout : float
            Longest time in s to wait.

        Returns
        -------
        int
            Number of samples taken.

        Raises
        ------
        StreamLost
            If the queue is empty and the buffer is lost.
        """
        n = 0
        with self._news:
            if not (self._blocks or self.ended):
                self._news.wait(timeout)
            while self._blocks:
                block, times = self._blocks[0]
                stop = n + len(times)
                if stop > len(stamps):
                    break
                data[n:stop], stamps[n:stop] = block, times
                n = stop
                self._blocks.popleft()
            self.n_queued -= n
            self._news.notify_all()
            if n == 0 and self.ended:
                raise StreamLost(self.ended)
        return n

    def stop(self) -> None:
        """End the thread and the connection."""
        self._stop.set()
        self._end(f"{self._client.name} was closed")  # first: an aborted request is no loss
        self._client.abort()
        if self._thread.is_alive():
            self._thread.join(2 * self._client.timeout)
        self._client.disconnect()

    def _end(self, why: str) -> None:
        with self._news:
            self.ended = self.ended or why
            self._news.notify_all()

    # From here on, methods run in the thread.

    def _run(self) -> None:
        why = f"{self._client.name}: its reader has failed"
        try:
            while not self._stop.is_set():
                self._step()
        except StreamLost as error:
            why = str(error)
        finally:  # `take` reports any end
            self._client.disconnect()
            self._end(why)

    def _step(self) -> None:
        n_samples, n_events = self._look(self._wait_ms)
        now = local_clock()
        if n_samples > self._have:
            self._clock.observe(n_samples - 1, now)
            self.counts["time_steps"] = self._clock.n_steps
            self._fetch(n_samples)
        if n_events != self._have_events:
            self._fetch_events(n_events)
        if now >= self._next_look:
            self._next_look = now + HEADER_AGAIN
            self._checked_header()

    def _look(self, milliseconds: int) -> tuple[int, int]:
        """Wait for new samples; returns the numbers of samples and events."""
        n_samples, n_events = self._client.wait_for(self._have, milliseconds)
        if n_samples < self._have:
            raise self._client.lost("new measurement")
        return n_samples, n_events

    def _checked_header(self) -> Any:
        header = self._client.header()
        if header is None or _contract(header) != _contract(self._header):
            raise self._client.lost("new measurement, another header")
        return header

    def _fetch(self, n_samples: int) -> None:
        n_channels, dtype = self._header.nChannels, self._header.dataType
        while self._have < n_samples and not self._stop.is_set():
            stop = min(n_samples, self._have + self._longest)
            block = self._client.data(self._have, stop, n_channels, dtype)
            if block is None:
                self._overrun()
                return
            self._hand_over(block, self._clock.times(self._have, stop))
            self._have = stop

    def _hand_over(self, block: np.ndarray, times: np.ndarray) -> None:
        n = len(times)
        with self._news:
            self._news.wait_for(lambda: self.n_queued + n <= self._most or self._stop.is_set())
            self._blocks.append((block, times))
            self.n_queued += n
            self._news.notify_all()

    def _overrun(self) -> None:
        """Skip to the newest sample: the server does not report how far back its memory goes."""
        newest, _ = self._look(0)
        self.counts["overrun"] += 1
        self.counts["lost"] += newest - self._have
        self._have = newest

    def _fetch_events(self, n_events: int) -> None:
        first = self._have_events if n_events > self._have_events else 0  # events were flushed
        self._have_events = n_events
        if not self.on_event:
            return
        skipped = max(0, n_events - first - MOST_EVENTS)
        self.counts["events_lost"] += skipped
        for start in range(first + skipped, n_events, BATCH):
            wanted = min(BATCH, n_events - start)
            events = self._client.events(start, start + wanted)[:wanted]
            self.counts["events_lost"] += wanted - len(events)
            for event in events:
                # read as unsigned, this sample is a "now" (-1) that the server left unchanged
                now = event.sample >= 1 << 31
                time = self._clock.time_of(self._have if now else event.sample)
                for take in self.on_event:
                    take(event, time)


def _contract(header: Any) -> tuple[Any, ...]:
    return header.nChannels, header.fSample, header.dataType, header.chunks
