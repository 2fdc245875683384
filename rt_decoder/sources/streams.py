"""Open the streams of a live session, and open them again after a loss or a long silence.

A session takes samples and markers from `LslStreams` or `FieldTripStreams`, and does not know which
of the two it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pylsl

from rt_decoder.sources.auxiliary.joined import JoinedSource
from rt_decoder.sources.auxiliary.stream import LONGEST_DELAY, AuxiliaryStream
from rt_decoder.sources.fieldtrip.markers import FieldTripMarkers
from rt_decoder.sources.fieldtrip.source import FieldTripSource
from rt_decoder.sources.lsl.find import other_than, resolve, selection_query
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.search import StreamSearch
from rt_decoder.sources.lsl.source import LslSource

__all__ = ["FieldTripStreams", "LslStreams", "ReferenceChoice", "parse_reference"]

_ANSWER_S = 1.0  # within which every outlet has answered
_NOT_YET = (LookupError, TimeoutError, ConnectionError)


class ReferenceChoice(NamedTuple):
    """An auxiliary stream whose channels are joined to the main stream as references."""

    name: str
    delay: float | None = None  # s; None: see `auxiliary.stream.AuxiliaryStream`


def parse_reference(text: str) -> ReferenceChoice:
    """Parse the text of ``--reference``.

    Parameters
    ----------
    text : str
        ``NAME`` or ``NAME=DELAY_MS``.

    Returns
    -------
    ReferenceChoice
        With the delay in s.

    Raises
    ------
    ValueError
        If the name is empty, or the text after the last ``=`` is no number from 0 to 5000.

    Examples
    --------
    >>> parse_reference("belt"), parse_reference("polar ecg=120")
    (ReferenceChoice(name='belt', delay=None), ReferenceChoice(name='polar ecg', delay=0.12))
    """
    name, equals, delay_ms = text.rpartition("=") if "=" in text else (text, "", "")
    try:
        delay = float(delay_ms) / 1e3 if equals else None
    except ValueError:
        delay = math.nan
    if not name.strip() or not (delay is None or 0.0 <= delay <= LONGEST_DELAY):
        raise ValueError(
            f"need --reference NAME or NAME=DELAY_MS with 0 to {1e3 * LONGEST_DELAY:g} ms, "
            f"got {text!r}"
        )
    return ReferenceChoice(name.strip(), delay)


@dataclass
class LslStreams:
    """The LSL streams of a session.

    Parameters
    ----------
    selection : dict
        Arguments of `lsl.find.resolve` that select the stream of samples.
    marker_name : str
        Name of the marker stream; "" for no markers.
    channels, units : path, str or None
        Channel table and unit that the user sets (``--channels``, ``--units``).
    timeout : float
        Longest time in s to look for a stream.
    references : tuple of ReferenceChoice
        Auxiliary streams to join to the samples; see `auxiliary.joined.JoinedSource`.

    Raises
    ------
    ValueError
        If a reference is named twice.
    """

    selection: dict[str, str | None]
    marker_name: str = ""
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    references: tuple[ReferenceChoice, ...] = ()
    _resolver: pylsl.ContinuousResolver | None = field(default=None, init=False)
    _main: LslSource | None = field(default=None, init=False)
    _joined: list[AuxiliaryStream] = field(default_factory=list, init=False)
    _rivals: pylsl.ContinuousResolver | None = field(default=None, init=False)
    _replacement: pylsl.StreamInfo | None = field(default=None, init=False)
    _seen_uids: set[str] = field(default_factory=set, init=False)
    _seen_since: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        names = [choice.name for choice in self.references]
        if len(set(names)) < len(names):
            raise ValueError(f"need each reference once, got {', '.join(names)}")

    def samples(self, timeout: float | None = None) -> LslSource | JoinedSource:
        """Find the stream of samples, references joined; LookupError unless exactly one matches."""
        wait = self.timeout if timeout is None else timeout
        return self._source(resolve(**self.selection, timeout=wait))

    def _source(self, stream: pylsl.StreamInfo) -> LslSource | JoinedSource:
        self._main = LslSource(stream, channels=self.channels, units=self.units)
        if not self.references:
            return self._main
        if not self._joined:
            self._joined = [self._reference(*choice) for choice in self.references]
        return JoinedSource(self._main, self._joined)

    def _reference(self, name: str, delay: float | None) -> AuxiliaryStream:
        source = LslSource(resolve(name=name, timeout=self.timeout))
        return AuxiliaryStream(source, delay=delay, again=StreamSearch(source))

    def markers(self) -> LslMarkers | None:
        """Find the stream of markers; None if the session has none."""
        if not self.marker_name:
            return None
        return LslMarkers(resolve(name=self.marker_name, timeout=self.timeout))

    def reopen(self, wait: float) -> LslSource | JoinedSource | None:
        """Find the stream of samples again after a loss.

        References that are open stay open. If `replacement` has found an outlet, this one is taken.

        Parameters
        ----------
        wait : float
            Longest time in s to look for the stream.

        Returns
        -------
        LslSource, JoinedSource or None
            The stream, not yet subscribed to; None if it is not back.
        """
        self.stop_looking()
        stream, self._replacement = self._replacement, None
        try:
            if stream is None:
                return self.samples(wait)
            if self._main is not None:
                self._main.close()  # its connection is half open and would never end by itself
            return self._source(stream)
        except _NOT_YET:
            return None

    def replacement(self) -> pylsl.StreamInfo | None:
        """Return an outlet that can replace the silent one, or None; never waits.

        A connection whose far end has vanished (a pulled cable, a crashed amplifier behind a
        switch) stays silent for ever. Call this while the stream is silent: liblsl looks in the
        background for an outlet with the same selection, name and type but another uid. An outlet
        that merely hangs keeps its uid. `reopen` then opens the replacement.
        """
        if self._main is None:
            return None
        if self._rivals is None:
            conditions = (
                selection_query(**self.selection),
                selection_query(self._main.name, self._main.type),
                other_than([self._main.uid]),
            )
            self._rivals = pylsl.ContinuousResolver(pred=" and ".join(conditions), forget_after=2.0)
        found = self._rivals.results()
        uids = {stream.uid() for stream in found}
        if uids != self._seen_uids:
            self._seen_uids, self._seen_since = uids, monotonic()
        # with several, the right one is unknown: give a second one the time to answer, too
        if len(found) != 1 or monotonic() - self._seen_since < _ANSWER_S:
            return None
        self._replacement = found[0]
        return found[0]

    def stop_looking(self) -> None:
        """Stop looking for a replacement: the stream has resumed, or is lost."""
        self._rivals = None
        self._seen_uids = set()

    def reopen_markers(self) -> LslMarkers | None:
        """Return the subscribed marker stream if it is back, else None; looks in the background."""
        if self._resolver is None:
            self._resolver = pylsl.ContinuousResolver("name", self.marker_name, forget_after=2.0)
        found = self._resolver.results()
        if len(found) != 1:
            return None
        try:
            markers = LslMarkers(found[0])
            markers.open()
        except _NOT_YET:
            return None
        self._resolver = None
        return markers


@dataclass
class FieldTripStreams:
    """Samples and events of a FieldTrip buffer.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.
    event_type : str or None
        Type of the events to read as markers; "" reads all, None reads none.
    channels, units : path, str or None
        Channel table and unit that the user sets (``--channels``, ``--units``).
    timeout : float
        Longest time in s to connect.
    """

    address: str
    event_type: str | None = None
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    _source: FieldTripSource | None = field(default=None, init=False)

    def samples(self, timeout: float | None = None) -> FieldTripSource:
        """Connect to the buffer, or return the open connection; TimeoutError if it is silent."""
        if self._source is None or timeout is not None:
            if self._source is not None:
                self._source.close()
            self._source = FieldTripSource(
                self.address, channels=self.channels, units=self.units,
                timeout=self.timeout if timeout is None else timeout,
            )  # fmt: skip
        return self._source

    def markers(self) -> FieldTripMarkers | None:
        """Return the buffer's events; None if the session has no markers."""
        return None if self.event_type is None else self.samples().markers(self.event_type)

    def reopen(self, wait: float) -> FieldTripSource | None:
        """Connect again; None if the buffer is not back within `wait` s."""
        try:
            return self.samples(wait)
        except _NOT_YET:
            return None

    def replacement(self) -> None:
        """Return None: a buffer that does not answer is lost, never silent."""

    def stop_looking(self) -> None:
        """Do nothing: no replacement is ever looked for."""

    def reopen_markers(self) -> FieldTripMarkers | None:
        """Return the events of the present connection."""
        return self.markers()
