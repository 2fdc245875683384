"""Open the streams of a live session, and open them again after a loss or a long silence.

A session takes samples and markers from `LslStreams` or from `buffers.FieldTripStreams`,
and does not know which of the two it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pylsl

from rt_decoder.sources.auxiliary.joined import JoinedSource
from rt_decoder.sources.auxiliary.stream import LONGEST_DELAY, AuxiliaryStream
from rt_decoder.sources.lsl.find import (
    DATA,
    in_background,
    is_data,
    other_than,
    resolve,
    selection_query,
)
from rt_decoder.sources.lsl.marker_search import MarkerSearch
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.search import StreamSearch
from rt_decoder.sources.lsl.source import LslSource

__all__ = ["LslStreams", "ReferenceChoice", "parse_reference"]

_ANSWER_S = 1.0  # within which every outlet has answered


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
    marker_names : sequence of str
        Names of the marker streams, or their source_ids.
    channels, units : path, str or None
        Channel table and unit that the user sets (``--channels``, ``--units``).
    timeout : float
        Longest time in s to look for a stream.
    references : tuple of ReferenceChoice
        Auxiliary streams to join to the samples; see `auxiliary.joined.JoinedSource`.

    Raises
    ------
    ValueError
        If a reference or a marker stream is named twice.
    """

    selection: dict[str, str | None]
    marker_names: Sequence[str] = ()
    channels: Path | None = None
    units: str | None = None
    timeout: float = 10.0
    references: tuple[ReferenceChoice, ...] = ()
    _why_not: str = field(default="", init=False)
    _marks: list[MarkerSearch] = field(default_factory=list, init=False)
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
        if len(set(self.marker_names)) < len(self.marker_names):
            raise ValueError(f"need each marker stream once, got {', '.join(self.marker_names)}")
        self._marks = [MarkerSearch(name) for name in self.marker_names]

    def samples(self, timeout: float | None = None) -> LslSource | JoinedSource:
        """Find the stream of samples, references joined; LookupError unless exactly one matches."""
        wait = self.timeout if timeout is None else timeout
        return self._source(resolve(**self.selection, timeout=wait, kind=DATA))

    def _source(self, stream: pylsl.StreamInfo) -> LslSource | JoinedSource:
        # the table is read once: at a return the file may be gone
        channels = self.channels if self._main is None else self._main.table
        self._main = LslSource(stream, channels=channels, units=self.units)
        if not self.references:
            return self._main
        if not self._joined:
            self._joined = [self._reference(*choice) for choice in self.references]
        return JoinedSource(self._main, self._joined)

    def _reference(self, name: str, delay: float | None) -> AuxiliaryStream:
        source = LslSource(resolve(name=name, timeout=self.timeout, kind=DATA))
        return AuxiliaryStream(source, delay=delay, again=StreamSearch(source))

    def markers(self) -> list[LslMarkers]:
        """Find the streams of markers.

        Returns
        -------
        list of LslMarkers
            In the order of `marker_names`.

        Raises
        ------
        LookupError
            If one is missing or matched by several; each is told. If two names are of one stream.
        """
        found: list[LslMarkers] = []
        missing: list[str] = []
        for search in self._marks:
            try:
                found.append(search.find(_ANSWER_S if missing else self.timeout))
            except LookupError as error:
                missing.append(str(error))
        if missing:
            raise LookupError("; and ".join(missing))
        if len({one.uid for one in found}) < len(found):
            raise LookupError(
                f"need each marker stream once, got {' and '.join(self.marker_names)}, which name "
                "one stream twice"
            )
        return found

    def reopen(self, wait: float) -> LslSource | JoinedSource | None:
        """Find the stream of samples again after a loss.

        It is looked for by its selection, name, type and kind, so that no other stream passes for
        it. References that are open stay open. If `replacement` has found an outlet, this one is
        taken.

        Parameters
        ----------
        wait : float
            Longest time in s to look for the stream.

        Returns
        -------
        LslSource, JoinedSource or None
            The stream, not yet subscribed to; None if it is not back.

        Raises
        ------
        ValueError
            If it is back, and cannot be read.
        """
        self._why_not = ""
        self.stop_looking()
        stream, self._replacement = self._replacement, None
        try:
            if stream is None:
                return self._again(wait)
            if self._main is not None:
                self._main.close()  # its connection is half open and would never end by itself
            return self._source(stream)
        except (TimeoutError, ConnectionError) as error:
            self._why_not = str(error)
            return None
        except LookupError as error:
            self._why_not = str(error) if "need just" in str(error) else ""
            return None

    def _again(self, wait: float) -> LslSource | JoinedSource | None:
        """Find the stream that was, and none that merely fits the selection, too."""
        if self._main is None:
            return self.samples(wait)
        found = resolve(
            name=self._main.name, type=self._main.type, kind=DATA, timeout=wait,
            predicate=selection_query(**self.selection),
        )  # fmt: skip
        return self._source(found) if is_data(found) else None

    @property
    def why_not(self) -> str:
        """Why the last `reopen` found something and did not take it; "" if it found nothing."""
        return self._why_not

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
                DATA,
                other_than([self._main.uid]),
            )
            self._rivals = in_background(" and ".join(conditions))
            if self._rivals is None:
                return None
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

    def reopen_markers(self, number: int = 0) -> LslMarkers | None:
        """Return a marker stream, subscribed, if it is back, else None; looks in the background.

        Parameters
        ----------
        number : int
            Which one of `marker_names`.

        Returns
        -------
        LslMarkers or None

        Raises
        ------
        ValueError
            If it is back and cannot be read; once for each outlet.
        """
        return self._marks[number].again() if number < len(self._marks) else None
