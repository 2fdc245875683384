"""What crosses to an experiment: whole, in order, as it was, and never waited for."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from rt_decoder.live.messages import Teller, decoded, encoded, messages
from rt_decoder.signal import ModelMismatch, Readout

READOUT = Readout(
    3, "event", "owl", 500, 1.25, 2.5, ("owl", "bée"), (0.5, 0.25), (0.625, 0.125), False, 1.5, 1.0,
    ("gap",), float("nan"), None, plausible=(),
)  # fmt: skip


def read_all(read: int, told: list[tuple[Any, ...]]) -> None:
    with os.fdopen(read, "rb") as pipe:
        told.extend(messages(pipe))


@pytest.mark.parametrize("n_items", [0, 3000])  # a frame that a pipe takes whole, and one in parts
def test_messages_keep_their_order_while_nobody_reads(n_items: int) -> None:
    read, write = os.pipe()
    teller = Teller(write)
    sent: list[tuple[Any, ...]] = []
    for k in range(600):  # more than a pipe holds
        sent.append(("readout", READOUT._replace(seq=k, posterior=(0.5,) * n_items)))
        if k % 50 == 0:
            sent.append(("event", {"event": "gap", "n_lost": k}))
    for message in sent:
        teller.tell(message)
    told: list[tuple[Any, ...]] = []
    reader = threading.Thread(target=read_all, args=(read, told))
    reader.start()
    teller.close()
    reader.join(60.0)
    assert not reader.is_alive()
    assert repr(told) == repr(sent)  # NaN is not equal to itself
    assert type(told[0][1]) is Readout


def test_numbers_of_numpy_arrive_as_numbers_to_the_bit() -> None:
    read, write = os.pipe()
    teller = Teller(write)
    changes: dict[str, Any] = {
        "bits": np.float64(0.1), "abstained": np.bool_(True), "posterior": (np.float32(0.3),),
    }  # fmt: skip
    odd = READOUT._replace(**changes)
    teller.tell(("readout", odd))
    teller.close()
    told: list[tuple[Any, ...]] = []
    read_all(read, told)
    readout = told[0][1]
    assert (readout.bits, readout.abstained, readout.posterior) == (
        0.1,
        True,
        (float(np.float32(0.3)),),
    )
    assert [type(one) for one in (readout.bits, readout.abstained)] == [float, bool]


def test_a_reader_that_is_gone_ends_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    teller = Teller(write)
    for _ in range(3):
        teller.tell(("readout", READOUT))
    teller.close()


def test_a_torn_frame_is_dropped() -> None:
    read, write = os.pipe()
    os.write(write, b"\x09\x00\x00\x00\x00torn")
    os.close(write)
    told: list[tuple[Any, ...]] = []
    read_all(read, told)
    assert told == []


def test_errors_have_their_class_again() -> None:
    for error in (ModelMismatch("need 4 channels"), FileNotFoundError("need a file")):
        what, again = decoded(encoded(("failed", error)))
        assert (what, type(again), str(again)) == ("failed", type(error), str(error))
    strange = type("Strange", (Exception,), {})("odd")
    assert str(decoded(encoded(("failed", strange)))[1]) == "Strange: odd"
