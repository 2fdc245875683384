"""Ask a language for the prior of each event, out of the loop's way.

The loop tells each event and goes on. What the language answers is used if it is there before the
next event's window is full; else that event has the usual prior, which is told.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

import numpy as np

from rt_decoder.decoder import Decoder
from rt_decoder.decoding.language.process import LanguageProcess
from rt_decoder.files.decisions import Prior
from rt_decoder.signal import Marker
from rt_decoder.sinks.record import Recorder
from rt_decoder.sinks.worker import Worker
from rt_decoder.timing.items import CUE

__all__ = ["NextWords"]

_MAX_WAITING = 64  # events that a language which hangs has not taken


class NextWords:
    """Bring a language's priors into a running session.

    Parameters
    ----------
    decoder : Decoder
        The session's decoder.
    language : LanguageProcess or None
        None leaves every event the usual prior.

    Attributes
    ----------
    n_late : int
        Events whose prior came too late.
    """

    def __init__(self, decoder: Decoder, language: LanguageProcess | None) -> None:
        self._pipeline, self._language = decoder.pipeline, language
        # number of the event, the prior, the usual answering then, and what answers the next event
        self._answers: deque[tuple[int, np.ndarray, Any, Any]] = deque()
        self._told: deque[tuple[str, dict[str, Any]]] = deque()
        self._n_asked, self._n_ready, self.n_late = 0, -1, 0
        self._has_ended = language is None
        if language is not None:
            self._worker = Worker("language", _MAX_WAITING)
            self._pipeline.answerer.foretell = self._ask
            language.begin(self._take, self._end)

    def _ask(self, marker: Marker, ratio: np.ndarray | None) -> None:
        """Take an event from the loop; the next one has the usual prior until the answer is there."""
        if self._language is None or self._has_ended:
            return
        had_prior = self._n_ready == self._n_asked
        is_cue = marker.label.startswith(CUE)
        if self._n_asked and ratio is not None and not (had_prior or is_cue):
            self.n_late += 1
            self._told.append(("language_prior_late", {"n_late": self.n_late}))
        self._n_asked += 1
        self._worker.put(partial(self._language.ask, self._n_asked, marker, ratio))

    def _take(self, n: int, log_prior: np.ndarray) -> None:
        """Take an answer, in the reader's thread, and make of it what answers an event."""
        usual = self._pipeline.answerer.answering
        expected = self._pipeline.answerer.expect(log_prior)
        if expected is not None:
            self._answers.append((n, log_prior, usual, expected))

    def _end(self, reason: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._told.append(("language_ended", {"reason": reason}))

    def apply(
        self, time: float, n_samples: int, recorder: Recorder | None
    ) -> list[tuple[str, dict[str, Any]]]:
        """Put the newest answer into effect, and record it.

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
            Events ``language_prior_late``, with how many so far, and ``language_ended``.
        """
        while self._answers:
            n, log_prior, usual, expected = self._answers.popleft()
            if n != self._n_asked:  # of an event that is over
                continue
            if usual is not self._pipeline.answerer.answering:  # other candidates since
                expected = self._pipeline.answerer.expect(log_prior) or expected
            self._pipeline.answerer.prepare(expected)
            self._n_ready = n
            if recorder is not None:
                recorder.decision(time, Prior.of(n_samples, log_prior))
        events = list(self._told)
        for _ in events:
            self._told.popleft()
        return events

    def close(self) -> None:
        """End the language's process."""
        self._has_ended = True
        if self._language is not None:
            self._pipeline.answerer.foretell = None
            self._language.close()
            self._worker.close()
