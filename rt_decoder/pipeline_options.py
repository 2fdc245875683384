"""What can be asked of a pipeline: how to decode a stream, live or recorded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

from rt_decoder.decoding.anytime import certified_windows
from rt_decoder.decoding.language.next_word import NextWord
from rt_decoder.decoding.sets import cutoff_of
from rt_decoder.files.decisions import Start
from rt_decoder.model import Model, WindowMap
from rt_decoder.recipe import Target
from rt_decoder.timing.markers import MarkerRules

__all__ = ["PipelineOptions"]


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How to decode a stream, live or recorded.

    Parameters
    ----------
    rules : MarkerRules
        How markers become items.
    continuous : bool or None
        Also read out at every hop. The pipeline takes None as false; the commands replace it by
        true if no markers are expected.
    without : collection of str
        Cleaning stages to leave out, among `CLEANING`.
    force : bool
        Decode with a model that is not proven, too (see `files.proof`), and read out every hop with
        one whose posterior is fitted on events alone, which is no probability then.
    align : bool or None
        Whether a model that can is kept aligned with the person. None stands for true, but a
        session record is decoded as its session was.
    learn : bool or None
        Whether labels that name an item of the model are true, and join its map once their event
        is answered. None stands for false, but a session record is decoded as its session was.
    next_word : NextWord or None
        A language, which tells each event's prior; it comes before one that a record holds.
    level : float
        Share of events whose set is to hold the true item (`decoding.sets`); 0 makes no sets, but
        a session record is decoded as its session was.
    when_unlike : str or None
        What to do while the signal is not that of calibration: "abstain", "warn" or "stop" (which
        abstains as well, and ends a session). None stands for "abstain", but a session record is
        decoded as its session was.
    anytime : bool or None
        Whether events are answered sooner, too, by the windows that are above chance in the
        certificate; with `force` by all. None stands for false, but a session record is decoded as
        its session was.
    then : tuple of Model
        With which the session of a record went on, in any order.
    """

    rules: MarkerRules = MarkerRules()  # noqa: RUF009  (immutable)
    continuous: bool | None = None
    without: Collection[str] = ()
    force: bool = False
    align: bool | None = None
    learn: bool | None = None
    next_word: NextWord | None = None
    level: float = 0.0
    when_unlike: str | None = None
    anytime: bool | None = None
    then: tuple[Model, ...] = ()

    def for_target(self, target: Target) -> Self:
        """Return the options with the marker rules of a recipe, unless they have names already."""
        return replace(self, rules=self.rules.for_target(target))

    def windows(self, model: Model) -> tuple[WindowMap, ...]:
        """Return the windows by which events are answered sooner; often none."""
        return certified_windows(model, force=self.force) if self.anytime else ()

    def check(self, model: Model) -> None:
        """Raise ValueError if a model cannot do what is asked for."""
        if self.anytime:
            self._check_anytime(model)
        if self.learn and self.align is False:
            raise ValueError("need a map that is kept aligned with --learn, got --no-align")
        if self.learn and not model.learns:
            raise ValueError(
                "need a group's model for --learn, got one that labels cannot join; rt-calibrate "
                "pool makes one"
            )

    def _check_anytime(self, model: Model) -> None:
        if not model.windows:
            raise ValueError(
                "need a model with maps of windows that end earlier for --anytime, got one without; "
                "rt-calibrate fit --anytime .1 makes them"
            )
        if model.alignment is not None and self.align is not False:
            raise ValueError(
                "need --no-align with --anytime, got a map that is kept aligned: its shorter windows "
                "are not"
            )
        if not self.windows(model):
            raise ValueError(
                "need a window above chance in the certificate for --anytime, got none that ends "
                "before the model's own (--force takes them all)"
            )

    def as_recorded(self, start: Start | None, model: Model) -> Self:
        """Return the options of a recorded session, where these do not say so already."""
        options, learn = self, False
        if start is not None:
            learn = start.learn and model.learns and self.align is not False
            options = replace(self, when_unlike=self.when_unlike or start.when_unlike)
            if start.level and not self.level and model.set_cutoffs.size:
                options = replace(options, level=start.level)
            if self.anytime is None and start.anytime:
                sooner = replace(options, anytime=True)
                is_fixed = model.alignment is None or self.align is False
                options = sooner if is_fixed and sooner.windows(model) else options
        return options if self.learn is not None else replace(options, learn=learn)

    def cutoffs(self, model: Model) -> tuple[float, float] | None:
        """Cutoffs of sets, without and with a language's prior; None if no sets are asked for."""
        if not self.level:
            return None
        language = self.next_word
        is_fitted = language is None or language.rules == model.language
        spoken = cutoff_of(model, self.level, spoken=True) if is_fitted else 1.0
        return cutoff_of(model, self.level), spoken
