"""LSL outlet of what the log tells: events as they come, and each second how the session stands.

The page of ``rt-decoder dashboard`` reads it; a client that was late, or lost some lines, knows all
that matters after a second.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pylsl

from rt_decoder.sinks.outlets import describe_channels, opened
from rt_decoder.sinks.text import plain
from rt_decoder.sinks.worker import Worker

__all__ = ["LOG_TYPE", "LogOutlet"]

LOG_TYPE = "DecoderLog"  # the stream's type, by which clients find decoders
STATUS_EVERY = 1.0  # s
_LONGEST = 20_000  # characters of a text of the description
# what a channel's event says, and whether it is well again
CHANNEL_EVENTS = {
    "channel_disagrees": True, "channel_agrees": False,
    "channel_replaced": True, "channel_returned": False,
    "reference_left_out": True, "reference_unusable": True, "reference_usable": False,
    "reference_changed": True, "reference_as_before": False,
}  # fmt: skip


class LogOutlet:
    """An irregular stream of JSON lines, ``<name>-log``.

    Lines are those of the log (``type`` "event"), and ``status``: the log's footer as of now, with
    ``state`` of the stream, ``paused``, ``score``, ``channels`` (what is wrong with which) and ``unlike``
    (the last event that said so). ``desc/decoder`` says what decodes what.

    Parameters
    ----------
    name : str
        Stem of the stream's name.
    source_id : str
        Stem of its source id; unique to this decoder.
    about : mapping of str to str
        What consumers should know; goes to ``desc/decoder``.
    """

    def __init__(self, name: str, source_id: str, about: Mapping[str, str]) -> None:
        stream = pylsl.StreamInfo(f"{name}-log", LOG_TYPE, 1, 0.0, "string", f"{source_id}-log")
        describe_channels(stream, [("log", "JSON", "none")])
        node = stream.desc().append_child("decoder")
        for key, value in about.items():
            node.append_child_value(key, plain(value, _LONGEST))
        self._outlet = opened(stream)
        self._lines = Worker("log outlet", max_jobs=1024)
        self._standing: dict[str, Any] = {"paused": False, "channels": {}, "unlike": None}
        self._status: Callable[[], dict[str, Any]] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="status", daemon=True)

    def watch(self, status: Callable[[], dict[str, Any]]) -> None:
        """Send each second, from a thread, what `status` returns and what events have left standing."""
        self._status = status
        self._thread.start()

    def tell(self, line: Mapping[str, Any]) -> None:
        """Send an event, a line of the log; never waits."""
        self._note(line)
        self._send(line)

    def _note(self, line: Mapping[str, Any]) -> None:
        """Keep what lasts, for those who come later."""
        event, standing = line["event"], self._standing
        if event in ("paused", "resumed"):
            standing["paused"] = event == "paused"
        elif event == "unlike_calibration":
            told = ("what", "explanation", "fix")
            standing["unlike"] = {key: line[key] for key in told if key in line}
        elif event == "fits_calibration":
            standing["unlike"] = None
        elif (wrong := CHANNEL_EVENTS.get(event)) is not None and "channel" in line:
            channels = {k: v for k, v in standing["channels"].items() if k != line["channel"]}
            standing["channels"] = channels | ({line["channel"]: event} if wrong else {})

    def _repeat(self) -> None:
        while not self._closing.wait(STATUS_EVERY):
            self._send_status()

    def _send_status(self, **more: Any) -> None:
        if self._status is not None:
            self._send(self._status() | self._standing | {"type": "status"} | more)

    def _send(self, line: Mapping[str, Any]) -> None:
        line = dict(line)
        self._lines.put(lambda: self._push(line))

    def _push(self, line: Mapping[str, Any]) -> None:
        self._outlet.push_sample((json.dumps(line, ensure_ascii=False),))

    def close(self) -> None:
        """Say how the session ended, and send the lines that wait."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._send_status(state="ended")
        self._lines.close()
