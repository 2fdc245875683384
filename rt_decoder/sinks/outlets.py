"""LSL outlets: signals, markers and readouts.

Every stream describes its channels as the XDF conventions ask
(``desc/channels/channel/label, type, unit``), so that a recorder stores what the numbers mean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pylsl

from rt_decoder.signal import Readout, SignalInfo
from rt_decoder.sinks.log import readout_line
from rt_decoder.sinks.loopback import keep_local
from rt_decoder.sinks.text import plain
from rt_decoder.sinks.worker import Worker

__all__ = [
    "FITS",
    "KINDS",
    "ReadoutOutlets",
    "data_outlet",
    "describe_channels",
    "marker_outlet",
    "opened",
]

# stream type where it is not the channel type in capitals
_STREAM_TYPES = {"mag": "MEG", "grad": "MEG"}

_SCORES = (
    ("cosine", "Score", "none"),
    ("probability", "Score", "none"),
    ("quality", "Score", "none"),
    ("latency", "Score", "milliseconds"),
    ("seq", "Number", "none"),
    ("item", "Number", "none"),  # of the best item, as in desc/items; -1 if there is none
    ("abstained", "Flag", "none"),
    ("state", "Number", "none"),  # of FITS: is the signal that of calibration?
    ("kind", "Number", "none"),  # of KINDS
)
FITS = ("unchecked", "fits", "doubtful", "unlike")
KINDS = ("event", "continuous", "pooled", "anytime")
MAX_ITEMS = 10_000  # that a description holds


def describe_channels(
    stream: pylsl.StreamInfo,
    channels: list[tuple[str, str, str]],
    positions: np.ndarray | None = None,
) -> None:
    """Name channels, and where their sensors are, as XDF has it.

    Parameters
    ----------
    stream : pylsl.StreamInfo
        Whose description is written to.
    channels : list of (str, str, str)
        Label, type and unit of each.
    positions : array of shape (n, 3) or None
        In m; written in mm.
    """
    node = stream.desc().append_child("channels")
    for k, (label, kind, unit) in enumerate(channels):
        channel = node.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("type", kind)
        channel.append_child_value("unit", unit)
        if positions is not None and np.isfinite(positions[k]).all():
            location = channel.append_child("location")
            for axis, value in zip("XYZ", positions[k], strict=True):
                location.append_child_value(axis, f"{1e3 * value:.3f}")


def opened(stream: pylsl.StreamInfo, *buffers: int) -> pylsl.StreamOutlet:
    """Outlet of `stream`; for this machine only, unless the network is asked for."""
    outlet = pylsl.StreamOutlet(stream, *buffers)
    keep_local(outlet)
    return outlet


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("need a name for the stream that is sent, got an empty one")


def data_outlet(
    name: str,
    info: SignalInfo,
    source_id: str,
    channel_format: str = "double64",
    *,
    chunk: int = 0,
    max_buffered: int = 360,
    meta: Mapping[str, Mapping[str, str]] | None = None,
) -> pylsl.StreamOutlet:
    """Open an outlet for a signal.

    Push with ``outlet.push_chunk(data, stamps.tolist())``: C-contiguous data of the outlet's
    format is not copied on the way to liblsl.

    Parameters
    ----------
    name, source_id : str
        How consumers find it; `source_id` has to be unique to this outlet.
    info : SignalInfo
        Rate, names, types and units; units go out as they are.
    channel_format : str
        ``double64`` carries every value unchanged; also float32, int8, int16, int32, int64.
    chunk : int
        Samples that liblsl collects before it sends; 0 sends every push at once.
    max_buffered : int
        Seconds kept for a consumer that does not read; it loses older samples.
    meta : mapping of str to mapping
        Further groups of the description: name, then key and text.

    Returns
    -------
    pylsl.StreamOutlet
        Open.

    Raises
    ------
    ValueError
        If the name is empty, which LSL cannot send.
    """
    _check_name(name)
    common = Counter(info.ch_types).most_common(1)[0][0]
    stream = pylsl.StreamInfo(
        name,
        _STREAM_TYPES.get(common, common.upper()),
        info.n_channels,
        info.sfreq,
        channel_format,
        source_id,
    )
    types = [ch_type.upper() for ch_type in info.ch_types]
    describe_channels(
        stream, list(zip(info.ch_names, types, info.units, strict=True)), info.positions
    )
    for group, texts in (meta or {}).items():
        node = stream.desc().append_child(group)
        for key, text in texts.items():
            node.append_child_value(key, text)
    return opened(stream, chunk, max_buffered)


def marker_outlet(name: str, source_id: str) -> pylsl.StreamOutlet:
    """Open an outlet for markers: one string per sample, at an irregular rate.

    Parameters
    ----------
    name, source_id : str
        As of `data_outlet`.

    Returns
    -------
    pylsl.StreamOutlet
        Open.

    Raises
    ------
    ValueError
        If the name is empty, which LSL cannot send.
    """
    _check_name(name)
    stream = pylsl.StreamInfo(name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", source_id)
    describe_channels(stream, [("marker", "Marker", "none")])
    return opened(stream)


class ReadoutOutlets:
    """Two irregular streams that carry readouts: ``<name>-scores`` and ``<name>-readout``.

    A sample of the first holds the winner's cosine and probability, quality, the latency in ms at
    its stamp (the stamp less this is the time of the newest sample), ``seq``, the winner's number,
    whether it abstained, ``state`` (a place in `FITS`) and ``kind`` (in `KINDS`): a client that reads
    numbers alone can act on it. ``desc/items`` names the items, the first is number 0.

    Parameters
    ----------
    name : str
        Stem of both stream names.
    source_id : str
        Stem of both source ids; unique to this decoder.
    meta : mapping of str to str
        What consumers should know of the decoder, such as the model's hash; goes to
        ``desc/decoder`` of both streams.
    items : sequence of str
        Of the model; of a vocabulary of more than `MAX_ITEMS` only their number is told.

    Attributes
    ----------
    texts : Worker
        The thread that sends the texts.
    """

    def __init__(
        self, name: str, source_id: str, meta: Mapping[str, str], items: Sequence[str] = ()
    ) -> None:
        scores = pylsl.StreamInfo(
            f"{name}-scores", "Decoder", len(_SCORES), 0.0, "float32", f"{source_id}-scores"
        )
        readout = pylsl.StreamInfo(
            f"{name}-readout", "Decoder", 1, 0.0, "string", f"{source_id}-readout"
        )
        describe_channels(scores, list(_SCORES))
        describe_channels(readout, [("readout", "JSON", "none")])
        for stream in (scores, readout):
            node = stream.desc().append_child("decoder")
            for key, value in meta.items():
                node.append_child_value(key, str(value))
        self._describe_items(scores, items)
        self._scores = opened(scores)
        self._readout = opened(readout)
        self.texts = Worker("readout texts", max_jobs=1024)

    @staticmethod
    def _describe_items(stream: pylsl.StreamInfo, items: Sequence[str]) -> None:
        stream.desc().append_child_value("n_items", str(len(items)))
        node = stream.desc().append_child("items")
        for item in items if len(items) <= MAX_ITEMS else ():
            node.append_child_value("item", plain(item, 200))
        for name, codes in (("states", FITS), ("kinds", KINDS)):
            stream.desc().append_child_value(name, ",".join(codes))

    def push_scores(self, readout: Readout) -> None:
        """Send the numbers of a readout, stamped with its time, at once: closed loops wait for them."""
        best = (readout.scores[0], readout.probabilities[0]) if readout.words else (nan, nan)
        numbers = (*best, readout.quality, readout.latency_ms, readout.seq, readout.item)
        state, kind = FITS.index(readout.fit), KINDS.index(readout.kind)
        self._scores.push_sample((*numbers, readout.abstained, state, kind), readout.time)

    def push_text(self, readout: Readout) -> None:
        """Send the text of a readout, stamped with its time, in another thread."""
        self.texts.put(lambda: self._send_text(readout))

    def _send_text(self, readout: Readout) -> None:
        text = json.dumps(readout_line(readout), ensure_ascii=False)
        self._readout.push_sample((text,), readout.time)

    def tell(self, line: Mapping[str, Any], time: float) -> None:
        """Send an event, a line of the log, among the texts.

        Parameters
        ----------
        line : mapping
            As the log has it; its ``type`` is "event".
        time : float
            Stamp in s on the LSL clock.
        """
        text = json.dumps(line, ensure_ascii=False)
        self.texts.put(lambda: self._readout.push_sample((text,), time))

    def close(self) -> None:
        """Send the texts that wait."""
        self.texts.close()
