"""Conversion: what goes in comes out, to the bit where the format can hold it."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import pyxdf

from calibration.demo import save_recording
from rt_decoder.commands.convert import convert
from rt_decoder.files.decisions import Restart, Start
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received
from rt_decoder.timing.markers import MarkerRules
from tests.small import call, random_model, small_recipe, small_recording, timeless
from tests.test_sinks import fill

TYPES = ("eeg", "mag", "grad", "seeg", "ecog", "eog", "ecg", "resp", "emg", "misc", "stim")
UNITS = ("microvolts", "fT", "fT/cm", "mV", "V", "uV", "mV", "n/a", "uV", "n/a", "n/a")
GAINS = (1e-6, 1e-15, 1e-13, 1e-3, 1, 1e-6, 1e-3, 1, 1e-6, 1, 1)
ALL = SignalInfo(250.0, tuple(f"a channel of type {kind}" for kind in TYPES), TYPES, UNITS)
torn = pytest.mark.filterwarnings("ignore:.*is cut off", "ignore:.*was not closed")


def save(path: Path, **changes) -> Recording:
    """A recording of every type of channel, with markers."""
    rng = np.random.default_rng(0)
    stamps = 500 + np.arange(2000) / 250
    words = ("axe", "a:b é", "axe")
    marks = [Marker(w, float(stamps[k]), k) for w, k in zip(words, (10, 999, 1500), strict=True)]
    recording = Recording(rng.normal(size=(2000, 11)) * 100, stamps, ALL, tuple(marks), name="amp")
    recording = replace(recording, **changes)
    save_recording(recording, path)
    return recording


# --- FIF


def test_fif_holds_values_names_types_and_markers(tmp_path: Path) -> None:
    recording = save(tmp_path / "a.xdf")
    told = convert(tmp_path / "a.xdf", tmp_path / "a.fif")
    assert told == (2000, 11, 8.0, 3, 0, 0, 0, ("axe", "a:b é"))
    raw = mne.io.read_raw(tmp_path / "a.fif", preload=True, verbose="error")
    np.testing.assert_array_equal(raw.get_data(), (recording.data * GAINS).T)
    assert (raw.ch_names, raw.get_channel_types()) == (list(ALL.ch_names), list(TYPES))
    assert raw.info["sfreq"] == 250.0
    assert raw.info["meas_date"] is None
    np.testing.assert_allclose(raw.annotations.onset, np.array([10, 999, 1500]) / 250, atol=1e-6)
    assert raw.annotations.description.tolist() == ["axe", "a:b é", "axe"]


@pytest.mark.filterwarnings("ignore:This filename")
def test_there_and_back(tmp_path: Path) -> None:
    save(tmp_path / "a.xdf")
    convert(tmp_path / "a.xdf", tmp_path / "b.fif")
    convert(tmp_path / "b.fif", tmp_path / "c.xdf")
    convert(tmp_path / "c.xdf", tmp_path / "d.fif")
    b, c, d = (read_recording(tmp_path / name) for name in ("b.fif", "c.xdf", "d.fif"))
    for read in (c, d):
        np.testing.assert_array_equal(read.data, b.data)
        assert (read.info.ch_names, read.info.ch_types) == (b.info.ch_names, b.info.ch_types)
        assert read.info.units == b.info.units
        assert [(m.label, m.index) for m in read.markers] == [(m.label, m.index) for m in b.markers]
    np.testing.assert_array_equal(c.stamps, b.stamps)


def test_positions_are_kept(tmp_path: Path) -> None:
    positions = np.array([[0.01, 0.02, 0.09], [np.nan] * 3])
    raw = mne.io.RawArray(
        np.zeros((2, 100)), mne.create_info(["Cz", "x"], 100.0, ["eeg", "misc"]), verbose="error"
    )
    for channel, position in zip(raw.info["chs"], positions, strict=True):
        channel["loc"][:3] = position
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    convert(tmp_path / "a_raw.fif", tmp_path / "b_raw.fif")
    read = read_recording(tmp_path / "b_raw.fif")
    np.testing.assert_allclose(read.info.positions, positions, rtol=1e-6)


def test_lost_samples_are_told_and_marked(tmp_path: Path) -> None:
    n, kept = 8000, np.delete(np.arange(8000), np.r_[2000:2100, 5000:5003])
    info = SignalInfo(250.0, ("Cz",), ("eeg",), ("V",))
    recording = Recording(np.zeros((len(kept), 1)), 7 + kept / 250, info, name="amp")
    save_recording(recording, tmp_path / "a.xdf")
    told = convert(tmp_path / "a.xdf", tmp_path / "a_raw.fif")
    assert (told.n_samples, told.n_lost, told.n_breaks) == (n - 103, 103, 2)
    raw = mne.io.read_raw(tmp_path / "a_raw.fif", verbose="error")
    assert raw.annotations.description.tolist() == ["EDGE 100 samples lost", "EDGE 3 samples lost"]
    np.testing.assert_allclose(raw.annotations.onset, [2000 / 250, 4900 / 250], atol=2 / 250)


@pytest.mark.slow
def test_a_marker_that_fif_cannot_place_is_said(tmp_path: Path, monkeypatch) -> None:
    """Two hours on, single precision is coarser than a sample."""
    n, sfreq = 9_200_000, 1100.0
    stamps = np.arange(n) / sfreq
    marks = tuple(Marker("a", float(stamps[k]), k) for k in range(n - 50, n))
    long = Recording(np.zeros((n, 1)), stamps, SignalInfo(sfreq, ("Cz",), ("eeg",), ("V",)), marks)
    monkeypatch.setattr("rt_decoder.commands.convert.read_recording", lambda *_, **__: long)
    with pytest.warns(
        RuntimeWarning, match=r"b\.fif: FIF keeps .* from 8364 s on are a sample off"
    ):
        convert(tmp_path / "a.xdf", tmp_path / "b.fif")


def test_words_that_fif_cannot_hold_are_said(tmp_path: Path) -> None:
    save(tmp_path / "a.xdf", markers=(Marker("日本", 501.0, 250), Marker("é", 502.0, 500)))
    with pytest.warns(RuntimeWarning, match=r"a\.fif: FIF keeps labels in Latin-1, .* '日本' is"):
        convert(tmp_path / "a.xdf", tmp_path / "a.fif")
    raw = mne.io.read_raw(tmp_path / "a.fif", verbose="error")
    assert raw.annotations.description.tolist() == ["&#26085;&#26412;", "é"]


def test_names_that_fif_cannot_hold_are_refused(tmp_path: Path) -> None:
    info = SignalInfo(250.0, ("Cz", "Ä1"), ("eeg", "eeg"), ("V", "V"))
    save(tmp_path / "a.xdf", data=np.zeros((2000, 2)), info=info)
    with pytest.raises(ValueError, match=r"need channel names in ASCII for FIF, got Ä1; .*--chan"):
        convert(tmp_path / "a.xdf", tmp_path / "a.fif")
    convert(tmp_path / "a.xdf", tmp_path / "b.xdf")
    assert read_recording(tmp_path / "b.xdf").info.ch_names == ("Cz", "Ä1")


# --- session records


def session_record(path: Path) -> tuple[Recording, MarkerRules]:
    recording = small_recording(session=2, seconds=12.0)
    rules = MarkerRules(names=small_recipe().to_dict()["target"]["names"])
    record = Recorder(path, recording.info, "amplifier", "stimuli")
    record.decision(0.0, Start(0, rules, False))
    markers = list(recording.markers)
    for start in range(0, 3000, 20):
        part = slice(start, start + 20)
        stamps, correction = recording.stamps[part] - 900.0, 900.0 + start * 1e-9
        while markers and markers[0].index < start + 20:
            record.marker(markers.pop(0), float(recording.stamps[start]), start)
        if start == 1000:
            record.decision(4.0, Restart(start))
        record.pulled(
            Received(recording.data[part], stamps, recording.stamps[part][-1] + 0.01, correction)
        )
    record.close()
    return recording, rules


def test_a_session_record_stays_one(tmp_path: Path) -> None:
    recording, rules = session_record(tmp_path / "r.xdf")
    told = convert(tmp_path / "r.xdf", tmp_path / "b.xdf")
    assert (told.n_samples, told.n_markers, told.n_breaks) == (3000, len(recording.markers), 1)
    before, after = read_recording(tmp_path / "r.xdf"), read_recording(tmp_path / "b.xdf")
    for name in ("data", "stamps", "correction", "pulls"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.markers, after.decisions) == (before.markers, before.decisions)
    model = random_model(recording, small_recipe())
    decoded = [
        timeless(list(decode_recording(model, r, r.markers, PipelineOptions(rules))))
        for r in (before, after)
    ]
    assert len(decoded[0]) > 5
    assert decoded[0] == decoded[1]
    streams, _ = pyxdf.load_xdf(str(tmp_path / "b.xdf"), dejitter_timestamps=False)
    np.testing.assert_allclose(streams[0]["time_stamps"], recording.stamps[:3000], atol=1e-5)


@torn
def test_a_record_that_was_cut_off_becomes_whole(tmp_path: Path) -> None:
    session_record(tmp_path / "r.xdf")
    content = (tmp_path / "r.xdf").read_bytes()
    (tmp_path / "r.xdf").write_bytes(content[: len(content) // 2])
    told = convert(tmp_path / "r.xdf", tmp_path / "b.xdf")
    convert(tmp_path / "r.xdf", tmp_path / "b.fif")
    streams, _ = pyxdf.load_xdf(str(tmp_path / "b.xdf"))
    assert streams[0]["footer"]["info"]["sample_count"] == [str(told.n_samples)]
    assert 1000 < told.n_samples < 2000
    raw = mne.io.read_raw(tmp_path / "b.fif", verbose="error")
    assert raw.n_times == told.n_samples
    assert "EDGE stream came back" in raw.annotations.description


def test_odd_samples_and_markers_of_a_record(tmp_path: Path) -> None:
    """NaN really happened; a marker without a sample is counted."""
    info = SignalInfo(100.0, ("Cz", "TRIG"), ("eeg", "stim"), ("microvolts", "n/a"))
    record = Recorder(tmp_path / "r.xdf", info, "amplifier")
    data, _ = fill(record)
    record.marker(Marker("late", 99.0), 54.0, 12)
    record.close()
    told = convert(tmp_path / "r.xdf", tmp_path / "b.fif")
    assert (told.n_markers, told.n_markers_left_out) == (1, 1)
    raw = mne.io.read_raw(tmp_path / "b.fif", verbose="error")
    np.testing.assert_array_equal(raw.get_data()[0], data[:, 0] * 1e-6)


# --- files


def test_files_are_private_and_replaced_only_when_whole(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path / "a.xdf")
    for name in ("b.xdf", "b.fif"):
        (tmp_path / name).write_text("old")
        (tmp_path / name).chmod(0o644)
        with pytest.raises(FileExistsError, match=f"need a new file for out, got {name}"):
            convert(tmp_path / "a.xdf", tmp_path / name)
        convert(tmp_path / "a.xdf", tmp_path / name, overwrite=True)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 4  # and the events table of `save`

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for name in ("b.xdf", "b.fif"):
        with pytest.raises(OSError, match=f"cannot write {name} in .*: No space"):
            convert(tmp_path / "a.xdf", tmp_path / name, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_fif_too_big_for_one_file_is_several(tmp_path: Path, monkeypatch) -> None:
    recording = save(tmp_path / "a.xdf", **long_recording())
    whole = mne.io.BaseRaw.save

    def split(self, *args, **kwargs):
        return whole(self, *args, **kwargs, split_size="2MB")

    monkeypatch.setattr(mne.io.BaseRaw, "save", split)
    convert(tmp_path / "a.xdf", tmp_path / "b_raw.fif")
    assert (tmp_path / "b_raw-1.fif").exists()
    raw = mne.io.read_raw(tmp_path / "b_raw.fif", verbose="error")
    np.testing.assert_array_equal(raw.get_data()[9], recording.data[:, 9])


def long_recording() -> dict[str, np.ndarray]:
    data = np.random.default_rng(1).normal(size=(40_000, 11))
    return {"data": data, "stamps": np.arange(40_000) / 250, "markers": ()}


def test_wrong_calls(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path / "a.xdf")
    with pytest.raises(ValueError, match=r"need a file named \.fif or \.xdf for out, got a\.edf"):
        convert(tmp_path / "a.xdf", tmp_path / "a.edf")
    with pytest.raises(
        ValueError, match=r"need another file for out than one that is read, got a\.xdf"
    ):
        convert(tmp_path / "a.xdf", tmp_path / ".." / tmp_path.name / "a.xdf")
    with pytest.raises(FileNotFoundError, match=r"need a folder absent for b\.fif"):
        convert(tmp_path / "a.xdf", tmp_path / "absent" / "b.fif")
    with pytest.raises(FileNotFoundError, match=r"no such file: none\.xdf"):
        convert(tmp_path / "none.xdf", tmp_path / "b.fif")
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(ImportError, match=r"need mne to write"):
        convert(tmp_path / "a.xdf", tmp_path / "b.fif")
    assert json.dumps(convert(tmp_path / "a.xdf", tmp_path / "b.xdf")._asdict())


# --- names of people


@pytest.mark.parametrize("ending", ["xdf", "fif"])
def test_no_file_name_is_carried_over_and_texts_are_said(tmp_path: Path, ending, capsys) -> None:
    save(tmp_path / "marie_curie.xdf")
    out = tmp_path / f"curie_raw.{ending}"
    ran = call(capsys, "convert", tmp_path / "marie_curie.xdf", "-o", out)
    assert ran.code == 0
    texts = dict.fromkeys(m.label for m in read_recording(tmp_path / "marie_curie.xdf").markers)
    said = next(line for line in ran.out.splitlines() if line.startswith("copied as they are"))
    assert all(repr(text) in said for text in list(texts)[:6])
    assert b"curie" not in out.read_bytes().lower()


def test_what_a_file_marks_as_bad_is_carried_over(tmp_path: Path) -> None:
    notes = mne.Annotations([1.0, 3.0], [0.5, 0.0], ["BAD_muscle", "axe"])
    raw = mne.io.RawArray(
        np.zeros((2, 500)), mne.create_info(["Cz", "Pz"], 100.0, "eeg"), verbose="error"
    )
    raw.set_annotations(notes)
    raw.info["bads"] = ["Pz"]
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    convert(tmp_path / "a_raw.fif", tmp_path / "b_raw.fif")
    first, again = (read_recording(tmp_path / f"{name}_raw.fif") for name in "ab")
    assert again.bad_segments == first.bad_segments == ((100, 150, "BAD_muscle"),)
    assert again.bads == ("Pz",)
    assert again.markers == first.markers
    with pytest.warns(RuntimeWarning, match="1 segment and 1 channel .* are plain in it"):
        convert(tmp_path / "a_raw.fif", tmp_path / "c.xdf")
    assert [marker.label for marker in read_recording(tmp_path / "c.xdf").markers] == [
        "BAD_muscle", "axe"
    ]  # fmt: skip
