"""Bring a source's samples and markers to the model's channels on one time line.

The live session, `decode` and calibration all enter through `Align`. It picks and scales the
contract's channels by name, runs the time base over the stamps, and finds the sample nearest to
each marker. It knows nothing of where samples come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from itertools import pairwise

import numpy as np

from rt_decoder.kernels.memory import Rows
from rt_decoder.kernels.samples import take_scaled
from rt_decoder.signal import FLAGS, Chunk, Marker, ModelMismatch, SignalInfo
from rt_decoder.timing.markers import MarkerRules, TriggerReader
from rt_decoder.timing.matching import left_out, match_channels
from rt_decoder.timing.timebase import Decision, TimeBase
from rt_decoder.timing.waiting import WaitingMarkers

__all__ = [
    "Align",
    "rate_factor",
]

_FLOAT = np.dtype(np.float64)


def rate_factor(have: float, want: float) -> int:
    """Return the factor that decimates a stream at `have` Hz to `want` Hz.

    Parameters
    ----------
    have : float
        Rate of the stream in Hz.
    want : float
        Rate of the model in Hz.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ModelMismatch
        If `have` is more than 1 % off an integer multiple of `want`.

    Examples
    --------
    >>> rate_factor(1000.0, 250.0)
    4
    """
    factor = max(1, round(have / want))
    if abs(have / (factor * want) - 1.0) > 0.01:
        raise ModelMismatch(
            f"need a sampling rate of {want:g} Hz or an integer multiple of it, got {have:g} Hz"
        )
    return factor


class Align:
    """Bring samples and markers of one source to the model's contract.

    Parameters
    ----------
    have : SignalInfo
        What the source offers, in its own units and order.
    want : SignalInfo
        The model's contract.
    rules : MarkerRules
        How markers become items.
    optional : collection of str
        Channels that may be missing; a missing one is NaN.
    references : collection of str
        Channels that are left out, and NaN, where their unit cannot be converted.
    history : float
        How late a marker may arrive, in s.
    items : collection of str
        The vocabulary, for its spelling.

    Attributes
    ----------
    n_left_out : int
        Markers that were no stimuli.

    Raises
    ------
    ModelMismatch
        If channels are missing, units cannot be converted or the rate does not fit.
    """

    def __init__(
        self,
        have: SignalInfo,
        want: SignalInfo,
        rules: MarkerRules,
        optional: Collection[str] = (),
        references: Collection[str] = (),
        *,
        history: float,
        items: Collection[str] = (),
    ) -> None:
        self.picks, self.gains = match_channels(have, want, optional, references)
        self.left_out = left_out(have, want, self.picks)  # reasons, by the name of the channel
        self.info = SignalInfo(have.sfreq, want.ch_names, want.ch_types, want.units, want.positions)
        self.rules = rules
        self._item: Callable[[str], str | None] = rules.item_rule(items).item
        self.n_left_out = 0
        self._offset_samples = round(rules.offset * have.sfreq)
        self._trigger: TriggerReader | None = None
        self._trigger_column = -1
        if rules.trigger:
            if rules.trigger not in have.ch_names:
                raise ModelMismatch(
                    f"need a trigger channel {rules.trigger}, got {', '.join(have.ch_names)}"
                )
            self._trigger = TriggerReader(mask=rules.mask)
            self._trigger_column = have.ch_names.index(rules.trigger)
        self.timebase = TimeBase(have.sfreq, history + 1.0)
        self._n_columns = have.n_channels
        self._decisions: list[Decision] = []  # made since the last `take_decisions`
        self._waiting = WaitingMarkers(self.timebase, rules.wait, history)
        self._triggered: list[Marker] = []  # out of the trigger channel, with their samples
        n, c = math.ceil(have.sfreq * 0.1), len(self.picks)
        self._raw, self._channel_flags = Rows((c,), np.float64, n), Rows((c,), FLAGS, n)

    def rename(self, item: Callable[[str], str | None]) -> None:
        """Map labels to items by this from now on; see `MarkerRules.item_rule`."""
        self._item = item

    def mark(self, marker: Marker) -> None:
        """Add a marker by its time, unless it is no stimulus; `markers` finds its sample."""
        label = self._item(marker.label)
        if label is None:
            self.n_left_out += 1
            return
        placed = Marker(label, marker.time + self.rules.offset, answering=marker.answering)
        self._waiting.add(placed)

    def process(
        self,
        data: np.ndarray,
        stamps: np.ndarray,
        arrivals: np.ndarray | float | None = None,
        flags: np.ndarray | None = None,
    ) -> list[Chunk]:
        """Turn samples as delivered into chunks of the contract's channels.

        Parameters
        ----------
        data : array of shape (n, c), float
            As delivered, in the source's units and order.
        stamps : array of shape (n,), float64
            In s, on this machine's clock.
        arrivals : array of shape (n,), float or None
            When the samples arrived, in s; None where unknown.
        flags : array of shape (n,), uint32, or None
            Reason bits that the samples come with.

        Returns
        -------
        list of Chunk
            Empty without samples; else one chunk, and one more for each gap decided among them.

        Raises
        ------
        RateMismatch
            If the stamps run at another rate than was declared.
        """
        n = len(stamps)
        if n == 0:
            return []
        out, channel_flags = self._raw.take(n), self._channel_flags.take(n)
        # A missing channel (-1) takes the last column, and its gain is NaN.
        if data.dtype is _FLOAT and data.flags.carray:  # the layout that is compiled
            take_scaled(data, self.picks, self.gains, out)
        else:  # of a recording; numpy takes buffers
            np.take(data, self.picks, axis=1, out=out)
            out *= self.gains
        received = self.timebase.n_samples
        timed = self.timebase.update(stamps, arrivals)
        self._waiting.follow(timed, arrivals)
        times, index, found, decisions, _ = timed
        if flags is not None:
            found |= flags
        chunks = [Chunk(out, times, int(index[0]), found, channel_flags)]
        if decisions:
            self._decisions.extend(decisions)
            jumps = [d.sample - received for d in decisions if d.kind == "gap"]
            chunks = [
                Chunk(out[a:b], times[a:b], int(index[a]), found[a:b], channel_flags[a:b])
                for a, b in pairwise(sorted({0, n, *jumps}))
            ]
        if self._trigger is not None:
            start = 0
            for chunk in chunks:
                stop = start + len(chunk.times)
                self._read_triggers(data[start:stop, self._trigger_column], chunk)
                start = stop
        return chunks

    def _read_triggers(self, codes: np.ndarray, chunk: Chunk) -> None:
        for marker in self._trigger.process(codes, chunk.times, chunk.index):  # type: ignore[union-attr]
            label = self._item(marker.label)
            if label is None:
                self.n_left_out += 1
                continue
            shifted = marker.index + self._offset_samples
            moved = Marker(label, marker.time + self.rules.offset, shifted)
            self._triggered.append(moved)

    def markers(self) -> tuple[list[Marker], list[tuple[Marker, str]]]:
        """Take the markers that the stream has reached, and those that it never will.

        Returns
        -------
        known : list of Marker
            With their `index`, in order of index.
        lost : list of (Marker, str)
            Markers outside the time line, with the reason.
        """
        known, lost = self._waiting.take()
        if self._triggered:
            known = sorted(self._triggered + known, key=lambda marker: marker.index)
            self._triggered.clear()
        return known, lost

    def end(self) -> None:
        """Let `markers` give up those that lie beyond the stream, which has ended."""
        self._waiting.end()

    def take_decisions(self) -> list[Decision]:
        """Take the time base's decisions since the last call."""
        taken, self._decisions = self._decisions, []
        return taken

    @property
    def waiting(self) -> tuple[Marker, ...]:
        """Markers whose sample has not arrived yet."""
        return self._waiting.markers

    def warm_up(self, n: int) -> None:
        """Compile, and allocate memory for `n` samples at a time, before the first real sample."""
        self.process(np.zeros((n, self._n_columns)), np.zeros(n), 0.0)
        self.reset()
        self._decisions.clear()

    def reset(self) -> None:
        """Forget the time line and the waiting markers; the index starts at 0.

        Decisions stay until `take_decisions` takes them.
        """
        self.timebase.reset()
        self._waiting.reset()
        self._triggered.clear()
        if self._trigger is not None:
            self._trigger.reset()
