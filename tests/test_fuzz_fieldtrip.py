"""A FieldTrip buffer that talks sense for a while, then lies: the source answers or is lost.

`test_fuzz` does the same to files; noise on the wire is in `test_fieldtrip`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rt_decoder.signal import StreamLost
from rt_decoder.sources.fieldtrip.source import FieldTripSource
from tests import fieldtrip_server as protocol
from tests.fieldtrip_server import FieldTripServer, names_chunk
from tests.test_fuzz import bounded, fuzz, mutations

pytest.importorskip("mne_realtime", reason="need mne-realtime to read a FieldTrip buffer")

COUNTS = st.sampled_from([0, 1, 3, 60, 1000, 10_000, 1 << 20, 1 << 31, (1 << 32) - 1])
RATES = st.sampled_from([0.0, -1.0, 1e-30, 1e-3, 100.0, 1e6, 3e38, float("nan"), float("inf")])
ANSWER_S = 0.1


class LyingServer(FieldTripServer):
    """Answers as it should, but the replies to `command` from the `after`-th on go through `lie`."""

    def __init__(self, command: int, after: int, lie: Callable[[bytes], bytes]) -> None:
        super().__init__(ring=500)
        self._command, self._left, self._lie = command, after, lie

    def _answer(self, command: int, payload: bytes) -> tuple[int, bytes]:
        status, reply = super()._answer(command, payload)
        if command == self._command:
            self._left -= 1
            if self._left < 0:
                reply = self._lie(reply)
        return status, reply


def converse(command: int, after: int, lie: Callable[[bytes], bytes]) -> int:
    """Samples that were delivered before the source ended, or was left."""
    n = 0
    with LyingServer(command, after, lie) as server:
        server.put_header(100.0, 3, chunks=names_chunk(["Fz", "Cz", "Pz"]))
        server.put_data(np.zeros((50, 3)))
        try:
            source = FieldTripSource(
                server.address, units="uV", timeout=ANSWER_S, reply_timeout=ANSWER_S
            )
        except (ValueError, OSError) as error:
            assert_sentence(error)
            return 0
        markers = source.markers()
        try:
            source.open()
            end = time.monotonic() + 5 * ANSWER_S
            for i in range(5):
                server.put_data(np.full((10, 3), i))
                server.put_event("word", f"word{i}")
                n += len(source.pull(ANSWER_S / 5).stamps)
                markers.pull()
                assert time.monotonic() < end + 5.0
        except StreamLost as error:
            assert_sentence(error)
        finally:
            ended = source.ended
            source.close()
    assert "its reader has failed" not in ended, "an error that nobody foresaw"
    return n


def assert_sentence(error: BaseException) -> None:
    assert 0 < len(str(error)) < 500
    assert "\n" not in str(error)


def replaced(layout: str, values: tuple[Any, ...]) -> Callable[[bytes], bytes]:
    """Put `values` in the place of the first numbers of a reply."""
    head = struct.pack(layout, *values)
    return lambda reply: head + reply[len(head) :]


@fuzz(25)
@given(
    after=st.integers(0, 1),
    values=st.tuples(COUNTS, COUNTS, COUNTS, RATES, COUNTS | st.integers(0, 12), COUNTS),
)
@example(after=0, values=((1 << 32) - 1, 50, 0, 100.0, 9, 0))
@example(after=0, values=(10_000, 50, 0, 100.0, 9, 0))
@example(after=0, values=(3, 50, 0, 100.0, 0xFFFFFFFF, 0))
@example(after=0, values=(3, 50, 0, 3e38, 9, 0))
@example(after=0, values=(3, 50, 0, 1e-30, 9, 0))
def test_a_header_that_lies(after: int, values: tuple[Any, ...]) -> None:
    with bounded(120 << 20):
        converse(protocol.GET_HDR, after, replaced("3If2I", values))


@fuzz(15)
@given(after=st.integers(0, 2), counts=st.tuples(COUNTS, COUNTS))
@example(after=1, counts=((1 << 32) - 1, (1 << 32) - 1))
def test_counts_that_lie(after: int, counts: tuple[int, int]) -> None:
    with bounded(120 << 20):
        converse(protocol.WAIT_DAT, after, replaced("2I", counts))


@fuzz(15)
@given(after=st.integers(0, 1), values=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS))
def test_samples_that_lie(after: int, values: tuple[Any, ...]) -> None:
    with bounded(120 << 20):
        converse(protocol.GET_DAT, after, replaced("4I", values))


@fuzz(15)
@given(
    after=st.integers(0, 1),
    values=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
)
def test_events_that_lie(after: int, values: tuple[Any, ...]) -> None:
    with bounded(120 << 20):
        converse(protocol.GET_EVT, after, replaced("8I", values))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [protocol.GET_HDR, protocol.WAIT_DAT, protocol.GET_DAT, protocol.GET_EVT]
)
@fuzz(60)
@given(data=st.data())
def test_replies_with_damage(command: int, data: st.DataObject) -> None:
    after, seen = data.draw(st.integers(0, 2)), {}

    def lie(reply: bytes) -> bytes:
        return seen.setdefault(reply, damaged(reply))

    def damaged(reply: bytes) -> bytes:
        flips = np.random.default_rng(seed).integers(0, 256, len(reply), np.uint8)
        where = np.random.default_rng(seed + 1).random(len(reply)) < 0.05
        return bytes(np.where(where, flips, np.frombuffer(reply, np.uint8)).astype(np.uint8))

    seed = data.draw(st.integers(0, 1 << 30))
    with bounded(120 << 20):
        converse(command, after, lie)


@fuzz(40)
@given(data=st.data())
def test_channels_that_a_neuromag_header_lies_about(data: st.DataObject) -> None:
    from mne_realtime.externals.FieldTrip import Header

    from rt_decoder.sources.fieldtrip.header import CHUNK_NEUROMAG, header_info

    channel = struct.pack("<4i", 203, 30, 96, 0) + struct.pack(
        "<3i2fi12f2i16s", 1, 1, 1, 1.0, 1.0, 3012, *[0.1] * 12, 112, 0, b"MEG0111"
    )
    header = Header()
    header.nChannels, header.fSample, header.dataType = 2, 100.0, 9
    header.chunks = {CHUNK_NEUROMAG: data.draw(mutations(channel * 2))}
    try:
        with bounded():
            header_info(header, units="T")
    except ValueError as error:
        assert_sentence(error)


def test_an_honest_conversation_delivers() -> None:
    assert converse(protocol.GET_HDR, 1000, bytes) > 0
