"""Stamps that are no times, pauses and other clocks: what a session wrote can be read again."""

from __future__ import annotations

import math
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pyxdf

from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Start
from rt_decoder.files.read import read_recording
from rt_decoder.files.xdf_writer import XdfWriter
from rt_decoder.model import Model
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, Readout
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received
from tests.small import WORDS, call, random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=12.0)
SFREQ = RECORDING.info.sfreq
T0, PULL = 1000.0, 25  # s; samples


@cache
def model() -> Model:
    return random_model(RECORDING, small_recipe())


def stamps() -> np.ndarray:
    return T0 + np.arange(len(RECORDING.data)) / SFREQ


def one(value: float, at: int = 1003) -> np.ndarray:
    odd = stamps()
    odd[at] = value
    return odd


def shifted(at: int, by: float) -> np.ndarray:
    odd = stamps()
    odd[at:] += by
    return odd


ODD = {
    "one nan": one(math.nan),
    "the first nan": one(math.nan, 0),
    "the newest of a pull infinite": one(-math.inf, 1024),
    "one 1e300": one(1e300),
    "the first 1e300": one(1e300, 0),
    "one in milliseconds": one(1.7e12),
    "one 0": one(0.0),
    "the first 0": one(0.0, 0),
    "one far ahead": one(9e9),
    "half a second of nan": np.where(np.arange(3000) // 125 == 9, math.nan, stamps()),
    "two hours' pause": shifted(1500, 7200.0),
    "a year's pause": shifted(1500, 3.2e7),
    "set back by an hour": shifted(1500, -3600.0),
    "equal for a while": np.where(np.arange(3000) // 50 == 20, T0 + 4.2, stamps()),
    "pushes of half a second": stamps()[np.arange(3000) // 125 * 125 + 124],
    "Unix time": stamps() + 1.7e9,
}
TIMES = {"1e300": 1e300, "unix milliseconds": 1.7e12, "-1e300": -1e300, "nan": math.nan,
         "infinite": math.inf, "year 2300": 1.04e10}  # fmt: skip


def session(path: Path, times: np.ndarray, odd_markers: dict[str, float]) -> list[Readout]:
    """Decode and record pulls as a session does; the markers are right but for the odd ones."""
    decoder = Decoder(model(), RECORDING.info)
    recorder = Recorder(path, RECORDING.info, "amplifier", "stimuli")
    recorder.decision(T0, Start(0, decoder.align.rules, continuous=False))
    usable = np.where(np.abs(times) < 9e9, times, np.interp(np.arange(3000), *seen(times)))
    due = {event.index: Marker(event.label, usable[event.index]) for event in RECORDING.markers}
    due |= {k: Marker(WORDS[0], time) for k, time in enumerate(odd_markers.values(), 500)}
    readouts: list[Readout] = []
    for start in range(0, len(times), PULL):
        for row in sorted(due):
            if start <= row < start + PULL:
                recorder.marker(due[row], T0 + row / SFREQ, start)
                decoder.mark(due[row])
        part = slice(start, start + PULL)
        arrival = T0 + (start + PULL) / SFREQ
        recorder.pulled(Received(RECORDING.data[part], times[part], arrival, 0.0))
        readouts += decoder.push(RECORDING.data[part], times[part], arrival)
    recorder.close()
    assert recorder.error is None
    return readouts


def seen(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    good = np.flatnonzero(np.abs(times) < 9e9)
    return good, times[good]


@pytest.mark.parametrize("what", [*ODD, "odd markers"])
def test_a_record_gives_back_what_live_tolerated(what, tmp_path):
    path = tmp_path / "session.xdf"
    live = session(path, ODD.get(what, stamps()), TIMES if what == "odd markers" else {})
    assert len(live) >= len(RECORDING.markers) - 2
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.stamps, ODD.get(what, stamps()))
    again = list(decode_recording(model(), recording, recording.markers, chunk=7))
    assert timeless(again) == timeless(live)


@pytest.mark.slow
@pytest.mark.parametrize("what", [*ODD, "odd markers"])
def test_a_record_is_converted_and_read_by_others(what, tmp_path, capsys):
    path, same, fif = (tmp_path / name for name in ("session.xdf", "same.xdf", "out_raw.fif"))
    live = session(path, ODD.get(what, stamps()), TIMES if what == "odd markers" else {})
    for out in (same, fif):
        ran = call(capsys, "convert", path, "-o", out)
        assert ran.code == 0, ran.err
    recording = read_recording(same)
    again = list(decode_recording(model(), recording, recording.markers))
    assert timeless(again) == timeless(live)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyxdf divides by durations of 0
        for file in (path, same):
            streams, _ = pyxdf.load_xdf(str(file))
            data = next(one for one in streams if one["info"]["type"] == ["EEG"])
            np.testing.assert_array_equal(data["time_series"], RECORDING.data)


# --- files of other recorders


def write(path: Path, times: np.ndarray, markers: list[Marker]) -> None:
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=RECORDING.info)
        xdf.write_samples(1, RECORDING.data, times)
        xdf.add_stream(2, name="words", type="Markers")
        xdf.write_samples(
            2, [one.label for one in markers], np.array([one.time for one in markers])
        )


WORDS_AT = [Marker(event.label, T0 + event.index / SFREQ) for event in RECORDING.markers]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300, 1.7e12])
@pytest.mark.parametrize("at", [0, 1003, 2999])
def test_a_file_with_one_stamp_that_is_none(value, at, tmp_path):
    write(tmp_path / "a.xdf", stamps(), WORDS_AT)
    write(tmp_path / "odd.xdf", one(value, at), WORDS_AT)
    whole = read_recording(tmp_path / "a.xdf")
    with pytest.warns(
        RuntimeWarning, match=f"1 of 3000 stamps that are no times, the first is .* {at}: these"
    ):
        odd = read_recording(tmp_path / "odd.xdf")
    assert [marker.index for marker in odd.markers] == [marker.index for marker in whole.markers]
    decoded = [list(decode_recording(model(), one, one.markers)) for one in (whole, odd)]
    assert [a.index for a in decoded[0]] == [a.index for a in decoded[1]]
    near = [a.words == b.words for a, b in zip(*decoded, strict=True)]
    assert np.mean(near) > 0.9


@pytest.mark.parametrize("value", [0.0, 9e9, T0 + 900])
def test_a_file_with_one_stray_stamp(value, tmp_path):
    write(tmp_path / "odd.xdf", one(value), WORDS_AT)
    with pytest.warns(
        RuntimeWarning, match="1 of 3000 stamps that are no times, the first is .* 1003: these"
    ):
        odd = read_recording(tmp_path / "odd.xdf")
    found = [readout.index for readout in decode_recording(model(), odd, odd.markers)]
    assert found == [marker.index for marker in RECORDING.markers][: len(found)]
    assert len(found) >= len(WORDS_AT) - 1


def test_a_file_of_odd_stamps_is_refused(tmp_path):
    write(tmp_path / "odd.xdf", np.where(np.arange(3000) % 5 == 0, math.nan, stamps()), WORDS_AT)
    with pytest.raises(
        ValueError, match="need time stamps in s, got 600 of 3000 stamps that are no times"
    ):
        read_recording(tmp_path / "odd.xdf")


@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_markers_that_lie_nowhere_do_not_hinder_the_others(time, tmp_path):
    write(tmp_path / "a.xdf", stamps(), [*WORDS_AT, Marker("elsewhere", time)])
    with pytest.warns(RuntimeWarning, match=f"1 of {len(WORDS_AT) + 1} markers outside"):
        recording = read_recording(tmp_path / "a.xdf")
    assert [marker.index for marker in recording.markers if marker.label != "elsewhere"] == [
        marker.index for marker in RECORDING.markers
    ]
    found = [one.index for one in decode_recording(model(), recording, recording.markers)]
    assert len(found) >= len(WORDS_AT) - 1
