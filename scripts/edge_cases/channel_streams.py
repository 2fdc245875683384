"""Channels of live streams: types, units, scale."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from edge_cases.case import case, rt_decoder
from edge_cases.channel_files import (
    NAMES,
    SFREQ,
    TYPES,
    decode,
    microvolts,
    model_path,
    reading,
    readouts,
    refused,
    write_fif,
    write_xdf,
)

# --- live


def live(folder: Path, name: str, *more: str | Path) -> list[dict[str, Any]]:
    """Decode the stream of this name until it ends, with a record; the lines of the log."""
    ran = rt_decoder(
        "run", "--force", "--model", model_path(), "--name", name, "--log", folder / "live.jsonl",
        "--record", folder / "live.xdf", "--until-lost", "--outlet", "", *more,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in (folder / "live.jsonl").read_text().splitlines()]


def sending(declared: Sequence[tuple[str, str, str]], data: np.ndarray) -> tuple[str, Any]:
    """An amplifier with these labels, types and units, in a thread; its name."""
    import pylsl

    name = f"edges-{uuid.uuid4().hex}"
    info = pylsl.StreamInfo(name, "EEG", len(declared), SFREQ, "double64", name)
    channels = info.desc().append_child("channels")
    for row in declared:
        channel = channels.append_child("channel")
        for key, text in zip(("label", "type", "unit"), row, strict=True):
            if text:
                channel.append_child_value(key, text)

    def send() -> None:
        outlet = pylsl.StreamOutlet(info)
        outlet.wait_for_consumers(60.0)
        begin = pylsl.local_clock()
        for k in range(0, len(data), 5):
            stop = min(k + 5, len(data))
            outlet.push_chunk(data[k:stop].tolist(), begin + (stop - 1) / SFREQ)
            time.sleep(max(0.0, begin + stop / SFREQ - pylsl.local_clock()))
        del outlet

    thread = threading.Thread(target=send)
    thread.start()
    return name, thread


@case(
    "channels",
    "live, a stream without types, a belt without a unit",
    "refused: RESP counts as EEG and has no unit",
)
def _(folder: Path) -> str:
    units = ["microvolts"] * 11 + [""]
    declared = [(name, "", unit) for name, unit in zip(NAMES, units, strict=True)]
    name, thread = sending(declared, microvolts()[: 2 * SFREQ])
    lines = live(folder, name)
    thread.join()
    events = {line["event"]: line for line in lines if line["type"] == "event"}
    assert "VEOG is eog" in events["types_by_name"]["channels"], events
    assert events["reference_left_out"]["channel"] == "RESP", events
    read, _ = reading(folder / "live.xdf")
    assert read.info.ch_types == TYPES, read.info.ch_types
    return f"events types_by_name and reference_left_out ({events['reference_left_out']['reason']})"


@case("channels", "live, powers of ten as mne-lsl's player declares", "refused: RESP, got n/a")
def _(folder: Path) -> str:
    declared = [(name, kind, "0") for name, kind in zip(NAMES, TYPES, strict=True)]
    name, thread = sending(declared, 1e-6 * microvolts()[: 2 * SFREQ])
    lines = live(folder, name)
    thread.join()
    events = {line["event"] for line in lines if line["type"] == "event"}
    assert not events & {"reference_left_out", "types_by_name", "scale"}, events
    return "every channel in use"


@case("channels", "live, volts for microvolts", "refused within 10 s")
def _(_: Path) -> str:
    declared = [(name, kind, "volts") for name, kind in zip(NAMES, TYPES, strict=True)]
    name, thread = sending(declared, microvolts()[: 11 * SFREQ])
    ran = rt_decoder("run", "--force", "--model", model_path(), "--name", name, "--outlet", "")
    thread.join()
    return refused(ran, "need the scale of calibration", "--units")


def replayed(folder: Path, path: Path) -> str:
    """Replay a file to `run`; live and recorded words are those of `decode`."""
    from tests.small import finish, start

    name = f"edges-{uuid.uuid4().hex}"
    ran = decode(folder, path)
    assert ran.code == 0, ran.err
    replaying = start("replay", path, "--name", name)
    try:
        live(folder, name, "--markers", f"{name}-markers")
    finally:
        finish(replaying)
    ran = decode(folder, folder / "live.xdf", name="record")
    assert ran.code == 0, ran.err
    kept = [readouts(folder / f"{stem}.jsonl") for stem in ("log", "live", "record")]
    assert kept[0] == kept[1] == kept[2], [len(one) for one in kept]
    return f"{len(kept[0])} words live, recorded and decoded alike"


@case("channels", "live replay of XDF converted to FIF", "refused: RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    whole = write_xdf(folder / "w.xdf", NAMES, microvolts()[: 8 * SFREQ], types=TYPES, seconds=7.0)
    assert rt_decoder("convert", whole, "-o", folder / "a_raw.fif").code == 0
    return replayed(folder, folder / "a_raw.fif")


@case("channels", "live replay of FIF converted to XDF", "refused: RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    data = microvolts()[: 8 * SFREQ]
    fif = write_fif(folder / "w_raw.fif", NAMES, TYPES, data, seconds=7.0)
    assert rt_decoder("convert", fif, "-o", folder / "a.xdf").code == 0
    return replayed(folder, folder / "a.xdf")
