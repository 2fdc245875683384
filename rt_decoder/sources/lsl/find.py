"""Find LSL streams on the network, and select one."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from time import monotonic, sleep
from typing import NamedTuple

import pylsl

from rt_decoder.channels import Declared
from rt_decoder.counted import counted
from rt_decoder.timing.marker_columns import MarkerKind

__all__ = [
    "DATA",
    "FORMATS",
    "MARKS",
    "StreamSummary",
    "declared_channels",
    "find_streams",
    "in_background",
    "is_data",
    "marker_kind",
    "other_than",
    "resolve",
    "selection_query",
]

# LSL's names of its numeric formats; text is not among them
FORMATS = {
    pylsl.cf_float32: "float32",
    pylsl.cf_double64: "double64",
    pylsl.cf_int32: "int32",
    pylsl.cf_int16: "int16",
    pylsl.cf_int8: "int8",
    pylsl.cf_int64: "int64",
}
DATA = "nominal_srate>0 and channel_format!='string'"  # numbers at a regular rate
MARKS = "(nominal_srate=0 or channel_format='string')"  # text, or no regular rate
# liblsl queries by multicast, and half a second later by unicast: after this all have answered
_ANSWER_S = 1.0
_POLL_S = 0.02


class StreamSummary(NamedTuple):
    """One line of ``rt-decoder streams``."""

    name: str
    type: str
    source_id: str
    n_channels: int
    sfreq: float  # Hz, 0 for an irregular rate
    unit: str  # distinct units of its channels, joined by commas; "" if none is declared
    hostname: str
    format: str


def find_streams(wait_s: float = 2.0) -> list[StreamSummary]:
    """Look for `wait_s` seconds and list the streams on the network, sorted by name."""
    summaries = []
    for stream in _look("true()", wait_s):
        units = dict.fromkeys(channel.unit for channel in _described(stream) if channel.unit)
        summaries.append(
            StreamSummary(
                stream.name(),
                stream.type(),
                stream.source_id(),
                stream.channel_count(),
                stream.nominal_srate(),
                ", ".join(units),
                stream.hostname(),
                FORMATS.get(stream.channel_format(), "string"),
            )
        )
    return sorted(summaries)


def resolve(
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - LSL's own word
    source_id: str | None = None,
    predicate: str | None = None,
    timeout: float = 5.0,
    kind: str = "",
) -> pylsl.StreamInfo:
    """Find exactly one stream.

    Parameters
    ----------
    name, type, source_id : str or None
        Properties of the stream; all that are not None have to match. A `source_id` is assumed to
        be unique, as LSL requires; without it, the search takes a second longer, to see whether
        several streams match.
    predicate : str or None
        XPath 1.0 condition on the stream's description, such as ``starts-with(name,'BioSemi')``.
        If all four are None, any stream of numbers at a regular rate matches.
    timeout : float
        Longest time in s to look for it.
    kind : str
        `DATA` or `MARKS`: where streams of both kinds match, those of this one count. With a kind
        the search always makes sure that no second stream matches.

    Returns
    -------
    pylsl.StreamInfo
        Its short description, without channels.

    Raises
    ------
    LookupError
        If no stream matches, or several do. The message lists the streams found.
    ValueError
        If `predicate` is no condition in XPath 1.0.
    """
    query = selection_query(name, type, source_id, predicate)
    wish = "a stream of data" if query == DATA else f"a stream with {query}"
    found = _look(query, timeout, least=1)
    if not found:
        there = _look("true()", _ANSWER_S)
        raise LookupError(
            f"need {wish}, got none in {timeout:g} s; "
            + (f"found:{_listing(there)}" if there else "found no stream at all")
        )
    if source_id is None or kind:
        # the first answer ended the search: give the others the time to answer, too
        found = _look(query, _ANSWER_S, least=99 if kind else 2) or found
    if kind == MARKS:
        found = [stream for stream in found if not marker_kind(stream).is_signal] or found
    if kind:
        found = [stream for stream in found if is_data(stream) == (kind == DATA)] or found
    if len(found) > 1:
        raise LookupError(
            f"need just {wish}, got {len(found)}: {_what_separates(found, kind)}:{_listing(found)}"
        )
    return found[0]


def _look(query: str, seconds: float, least: int = 10**9) -> list[pylsl.StreamInfo]:
    """Streams that match, `least` or what answers in `seconds`; signals are heard meanwhile."""
    end = monotonic() + min(seconds, threading.TIMEOUT_MAX)
    try:
        resolver = pylsl.ContinuousResolver(pred=query, forget_after=5.0)
    except RuntimeError:
        raise ValueError(f"need an XPath 1.0 condition on a stream, got {query!r}") from None
    while True:
        found: list[pylsl.StreamInfo] = resolver.results()
        left = end - monotonic()
        if len(found) >= least or left <= 0:
            return found
        sleep(min(left, _POLL_S))  # liblsl's own search would keep Ctrl-C waiting


def selection_query(
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - LSL's own word
    source_id: str | None = None,
    predicate: str | None = None,
) -> str:
    """Write a selection as an XPath 1.0 condition.

    Parameters
    ----------
    name, type, source_id : str or None
        Properties that have to match; see `resolve`.
    predicate : str or None
        A further condition.

    Returns
    -------
    str
        All conditions, joined by "and".

    Raises
    ------
    ValueError
        If a property holds both kinds of quotes, which XPath 1.0 cannot express.
    """
    wanted = {"name": name, "type": type, "source_id": source_id}
    conditions = [f"{key}={_quoted(value)}" for key, value in wanted.items() if value is not None]
    if predicate is not None:
        conditions.append(f"({predicate})")
    return " and ".join(conditions or [DATA])


def in_background(query: str) -> pylsl.ContinuousResolver | None:
    """Look for streams with an XPath 1.0 condition from now on; None where no sockets are left."""
    try:
        return pylsl.ContinuousResolver(pred=query, forget_after=2.0)
    except RuntimeError:
        return None


def other_than(uids: Collection[str]) -> str:
    """Write an XPath 1.0 condition that excludes the outlets of `uids`; "true()" for none."""
    return " and ".join(f"uid!={_quoted(uid)}" for uid in sorted(uids)) or "true()"


def declared_channels(info: pylsl.StreamInfo, *, by_hand: bool = False) -> list[Declared]:
    """Read the declared label, type and unit of each channel.

    Parameters
    ----------
    info : pylsl.StreamInfo
        Full description, as an inlet returns it.
    by_hand : bool
        Whether the user names the channels; wrong descriptions are then ignored.

    Returns
    -------
    list of Declared
        One entry per channel, empty ones if the stream describes none.

    Raises
    ------
    ValueError
        If the stream describes fewer or more channels than it has, and `by_hand` is False.
    """
    declared = []
    channel = info.desc().child("channels").child("channel")
    while not channel.empty():
        declared.append(Declared(*(channel.child_value(key) for key in Declared._fields)))
        channel = channel.next_sibling("channel")
    n_channels = info.channel_count()
    if len(declared) == n_channels:
        return declared
    if declared and not by_hand:
        raise ValueError(
            f"need {n_channels} channels described, got {len(declared)} in stream "
            f"{info.name()!r}; their labels cannot be assigned: name ch1, ch2, ... in "
            "--channels TSV"
        )
    return [Declared()] * n_channels


def is_data(stream: pylsl.StreamInfo) -> bool:
    """Whether a stream is of the kind `DATA`."""
    return stream.nominal_srate() > 0 and stream.channel_format() in FORMATS


def marker_kind(stream: pylsl.StreamInfo) -> MarkerKind:
    """Say what a stream declares to be, as a stream of markers."""
    kind = FORMATS.get(stream.channel_format(), "string")
    return MarkerKind(stream.type(), kind, stream.nominal_srate() > 0)


def _described(stream: pylsl.StreamInfo) -> list[Declared]:
    """Ask a resolved stream for its channels; empty if it does not answer."""
    inlet = pylsl.StreamInlet(stream, recover=False)
    try:
        return declared_channels(inlet.info(timeout=2.0), by_hand=True)
    except (pylsl.util.TimeoutError, pylsl.util.LostError):
        return []


def _quoted(value: str) -> str:
    """Quote `value` as an XPath 1.0 literal, which has no escapes."""
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise ValueError(f"need a stream property without both kinds of quotes, got {value!r}")


def _listing(streams: Sequence[pylsl.StreamInfo]) -> str:
    """A line a stream; a short list of one stays on the line."""
    return (" " if len(streams) == 1 else "\n  ") + "\n  ".join(
        f"{s.name()!r} (type {s.type() or 'none'}, source_id {s.source_id() or 'none'}, "
        f"{counted(s.channel_count(), 'channel')}, "
        + (f"{s.nominal_srate():g} Hz)" if s.nominal_srate() > 0 else "irregular rate)")
        for s in sorted(streams, key=lambda s: s.name())
    )


def _what_separates(streams: Sequence[pylsl.StreamInfo], kind: str) -> str:
    for key in ("name", "source_id", "type", "hostname"):
        if len({getattr(stream, key)() for stream in streams}) == len(streams):
            if key == "source_id" and kind == MARKS:
                return "name one by its source_id"
            return f"choose by {key.replace('_', '-')}"
    return "no property distinguishes them: stop all but one"
