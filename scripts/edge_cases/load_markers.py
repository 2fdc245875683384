"""Markers of a live session: of another clock, of unknown labels, in several channels."""

from __future__ import annotations

import math
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
from edge_cases.case import case, rt_decoder
from edge_cases.live_run import SFREQ, Amp, Live, fresh, marks, model_file, until

from rt_decoder.files.read import read_recording
from rt_decoder.timing.markers import MarkerRules
from tests.small import lines


def session(folder: Path, **outlet: Any) -> tuple[Amp, Any, Live]:
    """A session with markers, connected, after two seconds of samples in real order."""
    me = fresh()
    amp, words = Amp(me), marks(f"{me}-m", **outlet)
    live = Live(folder, me, f"{me}-m", **({"rules": MarkerRules(wait=0.5)} if not outlet else {}))
    live.connected(amp.outlet, words)
    amp.start -= 2.0  # they are of the two seconds before now
    goes_on(live, amp, 2.0)
    return amp, words, live


def goes_on(live: Live, amp: Amp, seconds: float) -> None:
    for _ in range(round(20 * seconds)):
        amp.send(round(SFREQ / 20))
        live.has(amp.row)


def of_another_clock(folder: Path, stamp: Any) -> str:
    amp, words, live = session(folder)
    n, row = live.session.counts["markers_received"], amp.row + 100
    words.push_sample(["2"], stamp(amp.at(amp.row)))
    words.push_sample(["1"], amp.at(row))
    until(lambda: live.session.counts["markers_received"] == n + 2)
    goes_on(live, amp, 2.0)
    (lost,) = live.told("marker_lost")
    until(lambda: live.answers)
    footer = live.finish()
    assert [(one.label, one.index) for one in live.answers] == [("word0", row)]
    assert footer["counts"]["markers_lost"] == 1
    assert footer["counts"]["markers_waiting"] == 0
    assert lost["label"] == "word1"
    return lost["reason"]


WAITS = "waits for ever, unsaid"


@case("load", "a marker of an hour ahead", WAITS)
def an_hour_ahead(folder: Path) -> str:
    why = of_another_clock(folder, lambda now: now + 3600)
    assert "s ahead of the stream: is it stamped with another clock" in why, why
    return why


@case("load", "a marker stamped with time.time()", WAITS)
def in_unix_time(folder: Path) -> str:
    why = of_another_clock(folder, lambda _: time.time())
    assert "ahead of the stream: is it stamped with another clock" in why, why
    return why


@case("load", "a marker stamped with Unix milliseconds", WAITS)
def in_unix_milliseconds(folder: Path) -> str:
    why = of_another_clock(folder, lambda _: 1e3 * time.time())
    assert "ahead of the stream: is it stamped with another clock" in why, why
    return why


@case("load", "a marker stamped 1e300", WAITS)
def stamped_absurdly(folder: Path) -> str:
    why = of_another_clock(folder, lambda _: 1e300)
    assert "1e+300 s ahead of the stream" in why, why
    return why


@case("load", "a marker stamped NaN", WAITS)
def stamped_nan(folder: Path) -> str:
    why = of_another_clock(folder, lambda _: math.nan)
    assert "no time" in why, why
    return why


@case("load", "a marker of an hour ago", "before the first sample, without a hint")
def an_hour_ago(folder: Path) -> str:
    why = of_another_clock(folder, lambda now: now - 3600)
    assert "too long ago: is it stamped with another clock" in why, why
    return why


@case("load", "2,700 markers of another clock", "wait for ever: 7 ms more for each hop")
def many_of_another_clock(folder: Path) -> str:
    amp, words, live = session(folder)
    for number in range(2700):
        words.push_sample(["2"], amp.at(0) + 3600 + number)
    until(lambda: live.session.counts["markers_received"] == 2700)
    goes_on(live, amp, 0.5)
    began = time.process_time()
    words.push_sample(["1"], amp.at(amp.row + 100))
    until(lambda: live.session.counts["markers_received"] == 2701)
    goes_on(live, amp, 2.0)
    took = time.process_time() - began
    until(lambda: live.answers)
    footer = live.finish()
    assert footer["counts"]["markers_lost"] == 2700
    assert [one.label for one in live.answers] == ["word0"]
    assert took < 2.0, f"{took:.1f} s of CPU for 2 s of signal"
    return f"2700 lost with the reason; {took:.2f} s of CPU for 2 s of signal"


@case("load", "markers come while the stream stands still", "found (still right)")
def stands_still(folder: Path) -> str:
    amp, words, live = session(folder)
    live.told("stale")
    pause = 2.2  # s; longer than --marker-wait 500 and a second
    end = time.monotonic() + pause
    while time.monotonic() < end:
        time.sleep(0.05)
    ahead = round((pause - 0.3) * SFREQ)
    words.push_sample(["5"], amp.at(amp.row + ahead))
    until(lambda: live.session.counts["markers_received"])
    row = amp.row + ahead
    goes_on(live, amp, 4.0)
    until(lambda: live.answers)
    live.finish()
    assert [(one.label, one.index) for one in live.answers] == [("word4", row)]
    return f"word4 found at its row, {ahead / SFREQ:g} s ahead of the samples when it came"


# --- labels


@case("load", "labels that the model does not know", "no word; readouts beside them")
def unknown_labels(folder: Path) -> str:
    amp, words, live = session(folder)
    for label in ("cat", "cat", "1", "mouse"):
        words.push_sample([label], amp.at(amp.row))
    until(lambda: live.session.counts["markers_received"] == 4)
    goes_on(live, amp, 1.5)
    until(lambda: len(live.answers) == 4)
    footer = live.finish()
    told = live.told("label_unknown")
    assert [line["label"] for line in told] == ["cat", "mouse"]
    assert footer["counts"]["markers_unknown"] == 3
    assert "of the model: word0, word1" in told[0]["reason"]
    return told[1]["reason"]


@case("load", "a hundred unknown labels", "no word")
def a_hundred_unknown_labels(folder: Path) -> str:
    amp, words, live = session(folder)
    for number in range(100):
        words.push_sample([f"key {number}"], amp.at(amp.row))
    until(lambda: live.session.counts["markers_received"] == 100)
    goes_on(live, amp, 1.5)
    until(lambda: len(live.answers) == 100)
    footer = live.finish()
    told = live.told("label_unknown")
    assert len(told) == 10
    assert footer["counts"]["markers_unknown"] == 100
    return f"{len(told)} events, 100 counted"


# --- channels


@case("load", "annotations in a channel each, live", "each is the label 0")
def annotations_live(folder: Path) -> str:
    amp, words, live = session(folder, form="double64", labels=("1", "2", "3"))
    words.push_sample([0.0, 1.5, 0.0], amp.at(amp.row))
    words.push_sample([0.0, 0.0, -1.0], amp.at(amp.row + 50))
    until(lambda: live.session.counts["markers_received"] == 2)
    row = amp.row
    goes_on(live, amp, 2.0)
    until(lambda: len(live.answers) == 2)
    live.finish()
    seen = [(one.label, one.index) for one in live.answers]
    assert seen == [("word1", row), ("word2", row + 50)], seen
    return f"{seen[0][0]} and {seen[1][0]}, at their rows"


@case("load", "numbers in channels without labels, live", "the first channel was the label")
def unlabelled_live(folder: Path) -> str:
    me = fresh()
    amp, words = Amp(me), marks(f"{me}-m", form="int32", labels=("", ""))
    ran = rt_decoder(
        "run", "--force", "--model", model_file(folder), "--source-id", me, "--markers", f"{me}-m"
    )
    del amp, words
    assert ran.code == 1, ran
    assert "got 2 channels of numbers" in ran.err, ran.err
    return "refused: need markers in one channel, or in channels with labels that differ"


def chunk(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<IH", len(content) + 2, tag) + content


def write_xdf(path: Path, labels: list[str], rows: dict[float, list[float]]) -> None:
    """4 s of one channel at 100 Hz, and a stream of numbers, as LabRecorder would write them."""

    def header(name: str, kind: str, rate: float, names: list[str]) -> bytes:
        channels = "".join(
            f"<channel><label>{one}</label><type>{kind}</type><unit>V</unit></channel>"
            for one in names
        )
        return (
            f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type><channel_count>"
            f"{len(names)}</channel_count><nominal_srate>{rate}</nominal_srate><channel_format>"
            f"double64</channel_format><desc><channels>{channels}</channels></desc></info>"
        ).encode()

    def samples(stamps: list[float], values: list[list[float]]) -> bytes:
        each = b"".join(
            b"\x08" + struct.pack(f"<d{len(row)}d", stamp, *row)
            for stamp, row in zip(stamps, values, strict=True)
        )
        return b"\x04" + struct.pack("<I", len(stamps)) + each

    stamps = (1000 + np.arange(400) / 100).tolist()
    one, two = struct.pack("<I", 1), struct.pack("<I", 2)
    path.write_bytes(
        b"XDF:" + chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
        + chunk(2, one + header("amp", "EEG", 100, ["Cz"]))
        + chunk(2, two + header("notes", "annotations", 0, labels))
        + chunk(3, one + samples(stamps, [[0.0]] * 400))
        + chunk(3, two + samples([*rows], [*rows.values()]))
    )  # fmt: skip


@case("load", "annotations in a channel each, in a file", "left out, unsaid; chosen: each is 0")
def annotations_in_a_file(folder: Path) -> str:
    rows = {1001.0: [0.0, 2.5], 1002.0: [-1.0, 0.0], 1003.0: [1.0, 1.0]}
    write_xdf(folder / "a.xdf", ["axe", "dog"], rows)
    seen = [(one.label, one.index) for one in read_recording(folder / "a.xdf").markers]
    assert seen == [("dog", 100), ("axe", 200), ("axe", 300), ("dog", 300)], seen
    return ", ".join(label for label, _ in seen)


@case("load", "numbers in channels without labels, in a file", "the first channel was the label")
def unlabelled_in_a_file(folder: Path) -> str:
    write_xdf(folder / "a.xdf", ["", ""], {1001.0: [0.0, 2.5]})
    ran = rt_decoder(
        "decode", "--force", folder / "a.xdf", "--model", model_file(folder), "--markers", "notes",
        "--jsonl", folder / "o.jsonl",
    )  # fmt: skip
    assert ran.code == 1, ran
    assert "got 2 channels of numbers in 'notes'" in ran.err, ran.err
    assert not (folder / "o.jsonl").exists()
    return "refused: need markers in one channel, or in channels with labels that differ"


@case("load", "the log of a record with markers of another clock", "no line speaks of them")
def decode_says_it(folder: Path) -> str:
    of_another_clock(folder, lambda now: now + 3600)
    ran = rt_decoder(
        "decode", "--force", folder / "record.xdf", "--model", model_file(folder), "--jsonl",
        folder / "o.jsonl",
    )  # fmt: skip
    assert ran.code == 0, ran
    (lost,) = [line for line in lines(folder / "o.jsonl") if line.get("event") == "marker_lost"]
    assert "s ahead of the stream: is it stamped with another clock" in lost["reason"], lost
    return lost["reason"]
