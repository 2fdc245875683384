"""Decode one source: join `Align` and `Pipeline`.

The live session, `rt-decoder decode` and calibration all use a `Decoder`; there is no second
implementation of the path. It knows nothing of LSL, logs or files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.latency import clock_offset
from rt_decoder.model import Alignment, Model
from rt_decoder.pipeline import Pipeline, PipelineOptions, Successor
from rt_decoder.signal import Chunk, Features, Marker, Readout, SignalInfo
from rt_decoder.timing.align import Align, rate_factor
from rt_decoder.timing.timebase import Decision

__all__ = ["Decoder"]

_PIECE = 0.5  # s of samples to align at a time


class Decoder:
    """Decode the samples and markers of one source.

    Parameters
    ----------
    model : Model
        The fitted model.
    have : SignalInfo
        Rate and channels of the source.
    options : PipelineOptions
        Marker rules, stages to leave out, and whether to read out every hop.
    clock : callable or None
        LSL clock in s, for live latencies; None offline.

    Raises
    ------
    ModelMismatch
        If the source does not fit the model's contract.
    """

    def __init__(
        self,
        model: Model,
        have: SignalInfo,
        options: PipelineOptions = PipelineOptions(),  # noqa: B008  (immutable)
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        factor = rate_factor(have.sfreq, model.info.sfreq)
        options = options.for_target(model.recipe.target)
        rules = options.rules
        self.pipeline = Pipeline(model, options, factor=factor, clock=clock)
        window_s = self.pipeline.ring.capacity / model.info.sfreq
        self.align = Align(
            have, model.info, rules, model.optional, model.references,
            history=window_s + rules.wait, items=model.items,
        )  # fmt: skip
        self._is_live, self._follows = clock is not None, False
        self._n_piece = max(1, round(_PIECE * have.sfreq))
        self.lost: list[tuple[Marker, str]] = []
        self.found: list[Marker] = []
        self.off_scale: list[str] = []  # channels of a recording that are far from their scale

    def mark(self, marker: Marker) -> None:
        """Add a marker; its sample is found once the stream reaches its time."""
        self.align.mark(marker)

    def push(
        self,
        data: np.ndarray,
        stamps: np.ndarray,
        arrivals: np.ndarray | float | None = None,
        flags: np.ndarray | None = None,
    ) -> list[Readout]:
        """Decode samples.

        Parameters
        ----------
        data : array of shape (n, c), float
            As the source delivers them; any n.
        stamps : array of shape (n,), float64
            Corrected time stamps in s.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s; None where unknown. They distinguish lost samples from
            a clock that was set.
        flags : array of shape (n,), uint32, or None
            Reason bits that the samples come with.

        Returns
        -------
        list of Readout
            Of every window that these samples complete, in order.
        """
        readouts: list[Readout] = []
        for chunk in self._aligned(data, stamps, arrivals, flags):
            readouts += self.pipeline.push(chunk)
        return readouts

    def push_features(
        self,
        data: np.ndarray,
        stamps: np.ndarray,
        arrivals: np.ndarray | float | None = None,
        flags: np.ndarray | None = None,
    ) -> Iterator[tuple[str, Marker, Features]]:
        """Yield the features of the windows that these samples complete.

        Parameters
        ----------
        data : array of shape (n, c), float
            As the source delivers them; any n.
        stamps : array of shape (n,), float64
            Corrected time stamps in s.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s; None where unknown.
        flags : array of shape (n,), uint32, or None
            Reason bits that the samples come with.

        Yields
        ------
        kind : {"event", "continuous"}
        marker : Marker
        features : Features
            Its `values` are valid until the next one.
        """
        for chunk in self._aligned(data, stamps, arrivals, flags):
            yield from self.pipeline.push_features(chunk)

    def push_until(
        self,
        stage: str,
        data: np.ndarray,
        stamps: np.ndarray,
        arrivals: np.ndarray | float | None = None,
        flags: np.ndarray | None = None,
    ) -> Iterator[Chunk]:
        """Yield hops as they leave a stage of the pipeline.

        Parameters
        ----------
        stage : str
            Name of the stage.
        data : array of shape (n, c), float
            As the source delivers them; any n.
        stamps : array of shape (n,), float64
            Corrected time stamps in s.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s; None where unknown.
        flags : array of shape (n,), uint32, or None
            Reason bits that the samples come with.

        Yields
        ------
        Chunk
            Its arrays are valid until the next one.
        """
        for chunk in self._aligned(data, stamps, arrivals, flags):
            yield from self.pipeline.run_until(stage, chunk)

    def skip(
        self, data: np.ndarray, stamps: np.ndarray, arrivals: np.ndarray | float | None = None
    ) -> None:
        """Drop overdue samples; the pipeline sees a gap.

        Parameters
        ----------
        data : array of shape (n, c), float
            As the source delivers them; any n.
        stamps : array of shape (n,), float64
            Corrected time stamps in s.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s; None where unknown.
        """
        for chunk in self._aligned(data, stamps, arrivals):
            self.pipeline.skip(chunk)

    def _aligned(
        self,
        data: np.ndarray,
        stamps: np.ndarray,
        arrivals: np.ndarray | float | None,
        flags: np.ndarray | None = None,
    ) -> Iterator[Chunk]:
        # In pieces: a marker must find its sample before the sample is forgotten.
        for start in range(0, len(stamps), self._n_piece):
            piece = slice(start, start + self._n_piece)
            came = arrivals[piece] if isinstance(arrivals, np.ndarray) else arrivals
            marked = None if flags is None else flags[piece]
            chunks = self.align.process(data[piece], stamps[piece], came, marked)
            if self._is_live and isinstance(came, float):
                self.pipeline.lateness.clock_offset = clock_offset(self.align.timebase.newest, came)
            self._place()
            yield from chunks

    def _place(self) -> None:
        known, lost = self.align.markers()
        for marker in known:
            self.pipeline.mark(marker)
        self.found.extend(known)
        self.lost.extend(lost)

    def swap(self, next_one: Successor) -> None:
        """Go on with another model from the next sample on; `Pipeline.ready` makes it."""
        self.pipeline.swap(next_one)
        self.align.rename(next_one.item)

    def end(self) -> None:
        """Give up the markers that lie beyond the stream, which has ended."""
        self.align.end()
        self._place()

    def take_decisions(self) -> list[Decision]:
        """Take the time base's decisions since the last call."""
        return self.align.take_decisions()

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Take what repair (see `ChannelRepair`) and monitor tell since the last call."""
        stage, told = self.pipeline.stages.get("repair"), self.pipeline.monitor.take_events()
        return (stage.take_events() if isinstance(stage, ChannelRepair) else []) + told

    def take_markers(self) -> tuple[list[Marker], list[tuple[Marker, str]]]:
        """Take markers found, and markers lost with reasons, since the last call."""
        found, self.found = self.found, []
        lost, self.lost = self.lost + self.pipeline.take_missed(), []
        return found, lost

    def follow(self, wanted: Collection[int]) -> None:
        """Align the map as a session did, by `realign`, after each of these numbers of events."""
        if self.pipeline.adaptation is not None:
            self.pipeline.adaptation.follow(wanted)
            self._follows = True

    def realign(self, n_events: int) -> bool:
        """Put an update by so many events into effect; False if `follow` announced it in vain."""
        adaptation = self.pipeline.adaptation
        if adaptation is None or not self._follows:
            return True
        if adaptation.next_update != n_events:
            return False
        adaptation.apply()
        return True

    def take_updates(self) -> list[dict[str, Any]]:
        """Take the alignments of the map since the last call, as details of an event."""
        adaptation = self.pipeline.adaptation
        updates = () if adaptation is None else adaptation.take_updates()
        return [
            {"n_events": update.n_events, "change": round(update.change, 4)}
            | ({"n_labels": update.n_labels} if self.learns else {})
            for update in updates
        ]

    @property
    def learns(self) -> bool:
        """Whether labels join the map."""
        return self.pipeline.adaptation is not None and self.pipeline.adaptation.learns

    def learned(self) -> dict[str, int]:
        """Return ``n_labels`` in the map that is in effect; nothing if none can join it."""
        adaptation = self.pipeline.adaptation
        return {"n_labels": adaptation.n_labels} if adaptation and adaptation.learns else {}

    @property
    def alignment(self) -> Alignment | None:
        """How the map is kept aligned with the person; None if it is not."""
        pipeline = self.pipeline
        return None if pipeline.adaptation is None else pipeline.model.alignment

    @property
    def n_wanted(self) -> int:
        """Samples that complete the next window or hop: fewer make no readout."""
        return self.pipeline.n_wanted

    @property
    def needed(self) -> set[str]:
        """Channels that the source must have."""
        names = {*self.align.info.ch_names, self.align.rules.trigger} - {""}
        return names - self.pipeline.model.optional

    @property
    def n_waiting(self) -> int:
        """Markers that have no readout yet."""
        return len(self.align.waiting) + self.pipeline.n_pending

    def restart(self) -> None:
        """Begin a new time line after a loss of the stream; old and new samples never join."""
        self.lost.extend((marker, "the stream was lost") for marker in self.align.waiting)
        self.align.reset()
        self.pipeline.restart()

    def warm_up(self) -> None:
        """Compile every kernel and allocate memory before the first real sample."""
        self.pipeline.warm_up()
        self.align.warm_up(self._n_piece)  # memory for a backlog, too
