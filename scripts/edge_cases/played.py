"""A session on a stream that is played from memory, with any stamps, and a recorder's file of it."""

from __future__ import annotations

import functools
import json
import struct
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from edge_cases.case import Ran, rt_decoder
from pylsl import local_clock

from rt_decoder.files.model_file import save_model
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.model import Model
from rt_decoder.signal import Marker, SignalInfo, StreamLost
from rt_decoder.sinks.log import JsonlLog
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Pulled
from tests.small import lines, random_model, readouts, small_recipe, small_recording

LABELS = ("cat", "dog", "axe")
NAMES = ("Cz", "Pz", "Fz", "Oz")


@functools.cache
def model() -> Model:
    """A random map on four channels at 250 Hz; which words it says does not matter here."""
    recording = small_recording(seconds=12.0)
    info = SignalInfo(250.0, NAMES, ("eeg",) * 4, ("V",) * 4)
    recording = type(recording)(recording.data[:, :4], recording.stamps, info)
    return random_model(recording, small_recipe(), items=LABELS)


def signal(n: int) -> np.ndarray:
    """Noise of 10 uV, (n, 4) in V."""
    return 1e-5 * np.random.default_rng(0).standard_normal((n, 4))


# --- files of another recorder


def _chunk(tag: int, body: bytes) -> bytes:
    body = struct.pack("<H", tag) + body
    return b"\x04" + struct.pack("<I", len(body)) + body


def _header(number: int, name: str, kind: str, sfreq: float, labels: tuple[str, ...]) -> bytes:
    channels = "".join(
        f"<channel><label>{label}</label><type>EEG</type><unit>V</unit></channel>"
        for label in labels
    )
    text = (
        f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
        f"<channel_count>{len(labels) or 1}</channel_count><nominal_srate>{sfreq}</nominal_srate>"
        f"<channel_format>{'double64' if labels else 'string'}</channel_format>"
        f"<desc><channels>{channels}</channels></desc></info>"
    )
    return _chunk(2, struct.pack("<I", number) + text.encode())


def write_xdf(
    path: Path, stamps: np.ndarray, markers: list[tuple[str, float]], sfreq: float = 250.0
) -> None:
    """Write a stream and its markers byte by byte, as the specification of XDF has it."""
    data = signal(len(stamps)) * np.sqrt(sfreq / 250)  # as strong in the band of brain signals
    parts = [b"XDF:", _chunk(1, b"<info><version>1.0</version></info>")]
    parts += [_header(1, "Amp", "EEG", sfreq, NAMES), _header(2, "Stim", "Markers", 0.0, ())]
    rows = np.empty(len(stamps), [("n", "u1"), ("stamp", "<f8"), ("values", "<f8", 4)])
    rows["n"], rows["stamp"], rows["values"] = 8, stamps, data
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        count = struct.pack("<IBI", 1, 4, len(part))
        parts.append(_chunk(3, count + part.tobytes()))
    for label, at in markers:
        text = struct.pack("<IBBBd", 2, 1, 1, 8, at) + bytes([1, len(label)]) + label.encode()
        parts.append(_chunk(3, text))
    path.write_bytes(b"".join(parts))


class Decoded(NamedTuple):
    """What `decode` made of a file."""

    ran: Ran
    lines: list[dict[str, Any]]

    def rows(self) -> dict[str, int]:
        """Sample index of each readout by label."""
        return {line["label"]: line["index"] for line in self.lines if line["type"] == "readout"}

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind."""
        return [line for line in self.lines if line.get("event") == kind]


def decode(folder: Path, path: Path) -> Decoded:
    """Decode a file with `rt-decoder decode`."""
    saved, log = folder / "model.rtd.safetensors", folder / "decoded.jsonl"
    if not saved.exists():
        save_model(model(), saved)
    log.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        ran = rt_decoder("decode", "--force", path, "--model", saved, "--jsonl", log)
    return Decoded(ran, lines(log) if log.exists() else [])


# --- live


class Played:
    """A source, and the markers beside it, that play stamps from memory.

    Parameters
    ----------
    stamps : array of shape (n,)
        Of the samples, 250 Hz, as the sender gives them.
    markers : list of (int, str, float)
        Row before which each comes, label, stamp.
    pull : int
        Samples a pull.
    paced : bool
        Whether pulls come in real time; else all at once, 20 s late.
    """

    name, info = "played", SignalInfo(250.0, NAMES, ("eeg",) * 4, ("V",) * 4)

    def __init__(
        self,
        stamps: np.ndarray,
        markers: list[tuple[int, str, float]] = (),  # type: ignore[assignment]
        pull: int = 25,
        paced: bool = False,
    ) -> None:
        self.stamps, self.pull_size, self.paced = stamps, pull, paced
        self.pause_at, self.pause = len(stamps), 0.0  # s by which later samples arrive later
        self.data, self.left, self.at = signal(len(stamps)), list(markers), 0
        self.start = local_clock() if paced else local_clock() - 20 - len(stamps) / 250

    def open(self, _timeout: float = 0.0) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def correction(self, _timeout: float = 0.0) -> float:
        """Stamps are as they are."""
        return 0.0

    def waiting(self) -> int:
        """Nothing waits."""
        return 0

    def pull(self, _timeout: float = 0.0, _n: int = 1) -> Any:
        """Give the next samples; the stream is lost after the last."""
        if self.at >= len(self.stamps):
            raise StreamLost("played to the end")
        part = slice(self.at, self.at + self.pull_size)
        self.at += self.pull_size
        due = self.start + self.at / 250 + (self.pause if self.at > self.pause_at else 0.0)
        if self.paced:
            time.sleep(max(0.0, due - local_clock()))
            due = local_clock()
        return Pulled(self.data[part].copy(), self.stamps[part], due)


class PlayedMarkers:
    """The markers of a `Played`."""

    name = "played-markers"

    def __init__(self, played: Played) -> None:
        self.played = played
        self.open, self.close = played.open, played.close

    def pull(self) -> list[Marker]:
        """Give those that come before the samples pulled last."""
        came = [one for one in self.played.left if one[0] < self.played.at]
        self.played.left = [one for one in self.played.left if one not in came]
        return [Marker(label, at) for _, label, at in came]


class Live(NamedTuple):
    """What a session left behind."""

    footer: dict[str, Any]
    lines: list[dict[str, Any]]
    record: Path
    log: Path

    def rows(self) -> dict[str, int]:
        """Sample index of each readout by label."""
        return {line["label"]: line["index"] for line in self.lines if line["type"] == "readout"}

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind."""
        return [line for line in self.lines if line.get("event") == kind]


def live(folder: Path, played: Played, continuous: bool = False) -> Live:
    """Run a session on it, with a log and a record."""
    record, log = folder / "session.xdf", folder / "session.jsonl"
    sinks = Sinks(
        recorder=Recorder(record, played.info, played.name, "played-markers"), log=JsonlLog(log)
    )
    options = LiveOptions(until_lost=True, continuous=continuous)
    session = Session(model(), played, options, markers=[PlayedMarkers(played)], sinks=sinks)  # type: ignore[arg-type]
    footer = session.run(lambda: False)
    sinks.log.close()  # type: ignore[union-attr]
    sinks.recorder.close()  # type: ignore[union-attr]
    return Live(footer, lines(log), record, log)


def is_given_back(folder: Path, session: Live) -> str:
    """Assert that the record decodes as the session did, is converted, and is read by pyxdf."""
    import pyxdf

    again = decode(folder, session.record)
    assert again.ran.code == 0, again.ran.err
    assert readouts(folder / "decoded.jsonl") == readouts(session.log), "other readouts"
    for out in (folder / "same.xdf", folder / "same_raw.fif"):
        ran = rt_decoder("convert", session.record, "-o", out)
        assert ran.code == 0, ran.err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyxdf divides by durations of 0
        streams, _ = pyxdf.load_xdf(str(session.record))
    n = max(len(stream["time_series"]) for stream in streams)
    assert n == session.footer["n_samples"], n
    json.dumps(session.footer, allow_nan=False)
    return f"{len(again.rows())} readouts again from the record"
