"""Score the response to an event against the mean response of calibration, at many lags.

The cleaned signal is projected on a few spatial components, averaged in bins of about 20 ms from the
onset on, whitened in time by an autoregression, and compared with the template at 61 lags of a bin.
A score is 1 where the response is as in calibration. Scores are divided by the size of the signal
around the newest events over that in calibration: a gain does not matter. Of band powers the roots are
taken, which are envelopes, less their mean around the event.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rt_decoder.decoding.ring import Ring
from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.response import centre, project, project_roots, score_lags
from rt_decoder.kernels.window import bin_means, good_and_reasons

__all__ = ["LAGS", "ORDER", "EventScores", "Span", "response_span"]

BIN_RATE = 50.0  # Hz
LENGTH = 0.8  # s of the template
LAGS = 30  # bins to each side
ORDER = 3  # of the autoregression
_GAIN_EVENTS = 20  # whose size the gain is measured by


class Span(NamedTuple):
    """Samples around an onset that a score needs."""

    width: int  # samples a bin
    first: int  # from the onset
    last: int  # excluded
    n_times: int  # bins of the template

    @property
    def n_bins(self) -> int:
        """Bins of the whole span."""
        return (self.last - self.first) // self.width


def response_span(sfreq: float) -> Span:
    """Lay out the bins at a sampling rate in Hz."""
    width = max(1, round(sfreq / BIN_RATE))
    n_times = max(1, round(LENGTH * sfreq / width))
    return Span(width, -(LAGS + ORDER) * width, (n_times + LAGS) * width, n_times)


class EventScores:
    """Keep the projected signal, and score events in it.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    projection : array of shape (c, r)
        Spatial components.
    ar : array of shape (ORDER,)
        Coefficients of the autoregression.
    template : array of shape (n_times, r)
        Whitened response, scaled so that the mean score of calibration is 1.
    log_size : float
        Mean log size of the whitened components in calibration.
    wait : float
        How late a marker may come, in s.
    of_power : bool
        Whether samples are powers.

    Attributes
    ----------
    span : Span
        Samples that a score needs.
    of_power : bool
        As given.
    scores : array of shape (2 * LAGS + 1,)
        Of the newest event, one a lag, from the earliest response to the latest.

    Raises
    ------
    ValueError
        If shapes do not fit each other or the rate, or a number is not finite.
    """

    def __init__(
        self,
        sfreq: float,
        projection: np.ndarray,
        ar: np.ndarray,
        template: np.ndarray,
        log_size: float = 0.0,
        wait: float = 0.0,
        of_power: bool = False,
    ) -> None:
        self.span = response_span(sfreq)
        r = projection.shape[-1]
        expected = {"projection": (len(projection), r), "ar": (ORDER,)}
        expected["template"] = (self.span.n_times, r)
        for name, value in (("projection", projection), ("ar", ar), ("template", template)):
            if value.shape != expected[name] or not np.isfinite(value).all():
                raise ValueError(
                    f"need {name} of shape {expected[name]} of finite numbers, got {value.shape}"
                )
        self._projection = np.ascontiguousarray(projection, np.float64)
        self._ar = np.ascontiguousarray(ar, np.float64)
        self._template = np.ascontiguousarray(template, np.float64)
        self._log_size, self.of_power = float(log_size), of_power
        capacity = self.span.last - self.span.first + math.ceil((wait + 1.0) * sfreq)
        self._ring = Ring(capacity, r)
        self._rows = Rows((r,), np.float64)
        self.bins = np.zeros((self.span.n_bins, r))
        self._white = np.zeros((self.span.n_bins - ORDER, r))
        self.scores = np.zeros(2 * LAGS + 1)
        self.reset()

    def reset(self) -> None:
        """Forget signal and gain."""
        self._ring.reset()
        self._gain, self._n = 0.0, 0

    def restart(self) -> None:
        """Begin a new time line at index 0; the gain stays."""
        self._ring.reset()

    @property
    def next(self) -> int:
        """Index of the next sample."""
        return self._ring.next

    def write(self, data: np.ndarray, flags: np.ndarray, index: int) -> None:
        """Add samples.

        Parameters
        ----------
        data : array of shape (n, c), float64
            Further columns are left out.
        flags : array of shape (n,), uint32
            Reason bits.
        index : int
            Of the first sample; those before it that did not come were lost.
        """
        if index != self._ring.next:
            self._ring.restart(index)
        rows = self._rows.take(len(data))
        (project_roots if self.of_power else project)(data, self._projection, rows)
        self._ring.write(rows, flags)

    def look(self, onset: int) -> float:
        """Average the bins around an onset.

        Parameters
        ----------
        onset : int
            Index of its sample.

        Returns
        -------
        float
            Share of good samples in the response; 0 if the samples are not there.
        """
        first, last = onset + self.span.first, onset + self.span.last
        if first < self._ring.first or last > self._ring.next:
            return 0.0
        data, flags = self._ring.window(first, last)
        bin_means(data, 0, self.span.width, self.bins)
        if self.of_power:
            centre(self.bins)
        stop = -self.span.first + self.span.n_times * self.span.width
        n_good = good_and_reasons(flags[-self.span.first : stop])[0]
        return float(n_good / (stop + self.span.first))

    def score(self) -> bool:
        """Score what `look` found; False if it is no number or nothing at all."""
        power = score_lags(self.bins, self._ar, self._template, self._white, self.scores)
        if not (math.isfinite(power) and power > 0.0):
            return False
        size = 0.5 * math.log(power) - self._log_size
        self._n += 1
        self._gain += (size - self._gain) / min(self._n, _GAIN_EVENTS)
        np.divide(self.scores, math.exp(self._gain), out=self.scores)
        return True
