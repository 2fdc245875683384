"""Open the streams of a live session, and open them again after a loss or a long silence.

A session asks its `LslStreams` or `FieldTripStreams` for samples and markers; it does not know
which of the two it has.
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

_ANSWER_S = 1.0  # in which every outlet has answered
_NOT_YET = (LookupError, TimeoutError, ConnectionError)


class ReferenceChoice(NamedTuple):
    """A stream whose channels are joined to the main one as references."""

    name: str
    delay: float | None = None  # s; None: see `reference.AuxiliaryStream`


def parse_reference(text: str) -> ReferenceChoice:
    """Read ``NAME`` or ``NAME=DELAY_MS``, as ``--reference`` takes it.

    Raises
    ------
    ValueError
        If there is no name, or what follows the last ``=`` is no number of ms in 0 to 5000.

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
    """Streams of LSL.

    Parameters
    ----------
    selection : dict
        Arguments of `lsl.resolve`.
    marker_name : str
        Name of the marker stream; none if empty.
    channels, units : path, str or None
        By hand.
    timeout : float
        For finding streams, in s.
    references : tuple of ReferenceChoice
        Streams that are joined to the samples; see `joined.JoinedSource`.
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
        """The stream of samples, with its references; LookupError if not exactly one matches."""
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
        """The stream of markers, or None where none is wanted."""
        if not self.marker_name:
            return None
        return LslMarkers(resolve(name=self.marker_name, timeout=self.timeout))

    def reopen(self, wait: float) -> LslSource | JoinedSource | None:
        """The stream of samples once it is back; None if it is not within `wait` s.

        References that are open stay open. After a `replacement` it is that one.
        """
        self.stop_looking()
        stream, self._replacement = self._replacement, None
        try:
            if stream is None:
                return self.samples(wait)
            if self._main is not None:
                self._main.close()  # its connection is half open: nobody else would end it
            return self._source(stream)
        except _NOT_YET:
            return None

    def replacement(self) -> pylsl.StreamInfo | None:
        """Another outlet of the stream that is connected, or None; at once.

        A connection whose far end has vanished (a pulled cable, a crashed amplifier behind a
        switch) stays silent for ever. To be asked while the stream is silent: liblsl then looks in
        the background for an outlet of the same selection, name and type with a uid of its own.
        One that merely hangs keeps its uid. Once there is one, `reopen` will open it.
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
        # of several, which one is meant cannot be known: give a second one the time to answer too
        if len(found) != 1 or monotonic() - self._seen_since < _ANSWER_S:
            return None
        self._replacement = found[0]
        return found[0]

    def stop_looking(self) -> None:
        """The stream goes on, or is lost: look for no replacement."""
        self._rivals = None
        self._seen_uids = set()

    def reopen_markers(self) -> LslMarkers | None:
        """The stream of markers once it is back; looks in the background and does not wait."""
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
        Type of the events that are markers; "" takes all, None takes none.
    channels, units : path, str or None
        By hand.
    timeout : float
        For connecting, in s.
    """

    address: str
    event_type: str | None = None
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    _source: FieldTripSource | None = field(default=None, init=False)

    def samples(self, timeout: float | None = None) -> FieldTripSource:
        """The buffer's samples; TimeoutError if it does not answer."""
        if self._source is None or timeout is not None:
            if self._source is not None:
                self._source.close()
            self._source = FieldTripSource(
                self.address, channels=self.channels, units=self.units,
                timeout=self.timeout if timeout is None else timeout,
            )  # fmt: skip
        return self._source

    def markers(self) -> FieldTripMarkers | None:
        """The buffer's events, or None where none are wanted."""
        return None if self.event_type is None else self.samples().markers(self.event_type)

    def reopen(self, wait: float) -> FieldTripSource | None:
        """The buffer once it is back; None if it is not within `wait` s."""
        try:
            return self.samples(wait)
        except _NOT_YET:
            return None

    def replacement(self) -> None:
        """None: a buffer is asked, and one that does not answer is lost."""

    def stop_looking(self) -> None:
        """Nothing to do; see `replacement`."""

    def reopen_markers(self) -> FieldTripMarkers | None:
        """The events of the buffer that is there now."""
        return self.markers()
