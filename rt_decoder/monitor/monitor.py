"""Watch a session for what differs from calibration.

Everything here follows from samples and markers alone, so that a session, its record and `decode` say
the same. The response to an event is judged once its last sample has come, 1.4 s after the onset; the
verdict holds for the readouts whose window ends there or later. That on the channels of a second is
ready before the next one ends.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from typing import Any

import numpy as np

from rt_decoder.kernels.ranks import rank_of
from rt_decoder.model import Model
from rt_decoder.monitor.montage import MontageCheck
from rt_decoder.monitor.ranks import RankTest
from rt_decoder.monitor.response import LAGS, EventScores
from rt_decoder.monitor.sequence import Finding, ResponseTest
from rt_decoder.monitor.verdict import Fit, about_channels, about_ranks, about_response
from rt_decoder.monitor.watcher import Watcher
from rt_decoder.signal import Chunk

__all__ = ["Monitor", "make_monitor"]

Event = tuple[str, dict[str, Any]]


class Monitor(Watcher):
    """Compare a signal with calibration's, event by event and second by second.

    Parameters
    ----------
    model : Model
        Names the channels, and says which windows are good enough.
    response : (EventScores, ResponseTest) or None
        Scores the response to each event, and tests the scores.
    sides : EventScores or None
        Scores what differs in it between left and right.
    montage : MontageCheck or None
        Compares the differences of channels.
    ranks : RankTest or None
        Tests the ranks of the truth, where markers tell it.

    Attributes
    ----------
    state : Fit
        What is known so far.
    """

    def __init__(
        self,
        model: Model,
        response: tuple[EventScores, ResponseTest] | None,
        montage: MontageCheck | None,
        ranks: RankTest | None = None,
        sides: EventScores | None = None,
    ) -> None:
        self._sides = sides
        self._scored = [] if response is None else [response[0], *([sides] if sides else [])]
        self._of_power = response is not None and response[0].of_power
        self._model, self._response, self._montage = model, response, montage
        self._ranks, self._places = ranks, {item: i for i, item in enumerate(model.items)}
        self._least_good = model.recipe.readout.min_quality
        self._waiting: list[int] = []
        self._news: list[Event] = []
        self._is_told = False  # that it fits
        self._stop = 0
        self.state = Fit.UNCHECKED

    def mark(self, onset: int) -> None:
        """Expect a response to an event at this sample."""
        if self._response is not None:
            insort(self._waiting, onset)

    def raw(self, hop: Chunk) -> None:
        """Take a hop as it is before channels are repaired."""
        montage = self._montage
        if montage is None:
            return
        before = montage.change
        if montage.add(hop) and montage.change != before:
            was = self.state
            self.state = self._seen()
            details = about_channels(montage.change, self._names)
            found = {"check": "channels", "sample": hop.index + len(hop.data)}
            name = "channels_differ" if montage.change.what else "channels_fit"
            if self.state is Fit.UNLIKE and was is not Fit.UNLIKE:
                name = "unlike_calibration"
            self._news.append((name, found | details))

    @property
    def _names(self) -> tuple[str, ...]:
        picks = self._model.monitor["channels"]["picks"]
        return tuple(self._model.info.ch_names[i] for i in picks)

    def write(
        self, data: np.ndarray, flags: np.ndarray, index: int, power: np.ndarray | None = None
    ) -> None:
        """Take cleaned samples.

        Parameters
        ----------
        data : array of shape (n, c), float64
        flags : array of shape (n,), uint32
            Reason bits.
        index : int
            Of the first sample; those before it that did not come were lost.
        power : array of shape (n, bands * c), float64, or None
            Of the samples in bands, where features are of these.
        """
        rows = power if self._of_power and power is not None else data
        for scores in self._scored:
            scores.write(rows, flags, index)

    def advance(self, stop: int) -> None:
        """Judge the events whose last sample lies before `stop`."""
        self._stop = stop
        if self._response is not None:
            last = self._response[0].span.last
            while self._waiting and self._waiting[0] + last <= stop:
                self._judge(*self._response, self._waiting.pop(0))

    def truth(self, label: str, scores: np.ndarray) -> None:
        """Take the cosines (V,) of an event whose marker has this label, after its readout."""
        ranks, place = self._ranks, self._places.get(label)
        if ranks is None or place is None or math.isnan(rank := rank_of(scores, place)):
            return
        if ranks.add(rank):
            self.state = self._seen()
            found = {"check": "ranks", "n_events": ranks.n, "sample": self._stop}
            if ranks.alarm:
                name = "unlike_calibration" if self._response is None else "ranks_differ"
                self._news.append((name, found | about_ranks()))
            else:
                self._news.append(("above_chance", found))

    def _judge(self, response: EventScores, test: ResponseTest, onset: int) -> None:
        if response.look(onset) < self._least_good or not response.score():
            return
        changed = test.add(response.scores, self._score_sides(onset))
        self.state = self._seen()
        found = {"check": "events", "n_events": test.n, "sample": onset + response.span.last}
        if test.alarm and changed:
            finding = test.finding
            if self._of_power and finding.what == "inverted":  # an envelope has no polarity
                finding = Finding("absent")
            self._news.append(("unlike_calibration", found | about_response(finding)))
            self._is_told = False
        elif test.fits and not self._is_told:
            self._news.append(("fits_calibration", found | {"level": round(test.level, 3)}))
            self._is_told = True

    def _score_sides(self, onset: int) -> float:
        sides = self._sides
        if sides is None or sides.look(onset) < self._least_good or not sides.score():
            return math.nan
        return float(sides.scores[LAGS])

    def _seen(self) -> Fit:
        test = None if self._response is None else self._response[1]
        change = "" if self._montage is None else self._montage.change.what
        ranks = self._ranks is not None and self._ranks.alarm
        if (test is not None and test.alarm) or change == "order" or (ranks and test is None):
            return Fit.UNLIKE
        if (test is not None and test.in_doubt) or change or ranks:
            return Fit.DOUBTFUL
        return Fit.FITS if test is not None and test.fits else Fit.UNCHECKED

    def take_events(self) -> list[Event]:
        """Take what is to be told since the last call."""
        taken, self._news = self._news, []
        return taken

    @property
    def summary(self) -> dict[str, Any]:
        """State, events that were judged, their mean score, and what differs among channels."""
        told: dict[str, Any] = {"state": self.state.value, "n_events": 0}
        if self._response is not None:
            test = self._response[1]
            told["n_events"] = test.n
            told |= {"level": round(test.level, 3)} if test.n else {}
        if self._ranks is not None:
            told |= {"n_truths": self._ranks.n, "above_chance_since": self._ranks.above_since}
        if self._montage is not None and (likeness := self._montage.likeness) == likeness:
            told |= {"channels": self._montage.change.what, "likeness": round(likeness, 3)}
        return told

    def warm_up(self) -> None:
        """Compile every kernel; forgets everything."""
        if self._response is not None:
            response, test = self._response
            response.look(-response.span.first)
            response.bins[:] = 1.0
            response.score()
            test.add(response.scores)
            test.level  # noqa: B018  (compiles)
        if self._sides is not None:
            self._score_sides(-self._sides.span.first)
        if self._montage is not None:
            self._montage.warm_up()
        if self._ranks is not None:
            rank_of(np.zeros(len(self._places), np.float32), 0)
        self.reset()

    def restart(self) -> None:
        """Begin a new time line at index 0; what is known of the signal stays."""
        for scores in self._scored:
            scores.restart()
        if self._montage is not None:
            self._montage.restart()
        self._waiting.clear()

    def reset(self) -> None:
        """Forget everything."""
        for scores in self._scored:
            scores.reset()
        if self._response is not None:
            self._response[1].reset()
        if self._montage is not None:
            self._montage.reset()
        if self._ranks is not None:
            self._ranks.reset()
        self._waiting.clear()
        self._news.clear()
        self._is_told, self.state = False, Fit.UNCHECKED


def make_monitor(model: Model, wait: float = 0.0) -> Monitor | None:
    """Make the monitor of a model; None where it was fitted without one, or nothing can be seen.

    Parameters
    ----------
    model : Model
        With what calibration found in `monitor`.
    wait : float
        How late a marker may come, in s.

    Returns
    -------
    Monitor or None

    Raises
    ------
    ValueError
        If what the model holds does not fit together.
    """
    response = montage = ranks = sides = None
    try:
        if fitted := model.monitor.get("events"):
            of_sides = model.monitor.get("sides")
            response = _response(model, fitted, wait, of_sides)
            sides = None if of_sides is None else _scores(model, of_sides, wait)
        if fitted := model.monitor.get("channels"):
            montage = _montage(model, fitted)
        if fitted := model.monitor.get("ranks"):
            ranks = RankTest(fitted["ratio"], len(model.items))
    except KeyError as error:
        raise ValueError(f"need {error.args[0]} in the monitor, got none") from None
    except (TypeError, AttributeError, IndexError):
        raise ValueError("need arrays and numbers in the monitor, got others") from None
    if response is None and montage is None and ranks is None:
        return None
    return Monitor(model, response, montage, ranks, sides)


def _scores(model: Model, fitted: Mapping[str, Any], wait: float) -> EventScores:
    of_power = model.monitor["events"].get("of") == "envelopes"
    scores = EventScores(
        model.info.sfreq, fitted["projection"], fitted["ar"], fitted["template"],
        fitted["log_size"], wait, of_power,
    )  # fmt: skip
    n = model.n_picks * (len(model.recipe.features.bands) if of_power else 1)
    if len(fitted["projection"]) != n:
        raise ValueError(f"need a projection of {n} channels, got another")
    return scores


def _response(
    model: Model, fitted: Mapping[str, Any], wait: float, sides: Mapping[str, Any] | None
) -> tuple[EventScores, ResponseTest]:
    scores = _scores(model, fitted, wait)
    lag = scores.span.width / model.info.sfreq
    tested = fitted["profile"], fitted["spread"], fitted["spreads"]
    of_sides = None if sides is None else (sides["spread"], sides["alike"])
    return scores, ResponseTest(*tested, lag, of_sides)


def _montage(model: Model, fitted: Mapping[str, Any]) -> MontageCheck:
    picks = fitted["picks"]
    if picks.size and not (picks.min() >= 0 and picks.max() < model.n_picks):
        raise ValueError(f"need channels below {model.n_picks} to compare, got others")
    maps = fitted["difference"], fitted["plus"], fitted["orders"]
    return MontageCheck(model.info.sfreq, model.n_hop, picks, *maps, tuple(fitted["names"]))
