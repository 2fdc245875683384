"""XDF: what is written comes back to the bit, what is torn or wrong is said."""

import errno
import os
import re
import stat
import struct
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pyxdf
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.files import blocks, xdf_numbers, xdf_writer
from rt_decoder.files.decisions import Note
from rt_decoder.files.read import read_recording
from rt_decoder.files.xdf_streams import load_streams
from rt_decoder.files.xdf_writer import BOUNDARY, XdfWriter
from rt_decoder.signal import Marker, SignalInfo

INFO = SignalInfo(250.0, ("Cz", "A<&>é"), ("eeg", "misc"), ("microvolts", "n/a"))
THREE = SignalInfo(250.3, ("a", "b", "c"), ("eeg",) * 3, ("microvolts",) * 3)
T0 = 123.456  # s


def raw_pyxdf(path):
    streams, _ = pyxdf.load_xdf(
        str(path), synchronize_clocks=False, dejitter_timestamps=False, verbose=False
    )
    return {stream["info"]["name"][0]: stream for stream in streams}


def stamps_of(n, sfreq=250.0):
    return T0 + np.arange(n) / sfreq


def write_data(xdf, stream_id=1, n=1000, **header):
    data = np.random.default_rng(stream_id).normal(size=(n, 2))
    xdf.add_stream(
        stream_id, **{"name": "amp", "type": "EEG", "source_id": "s1", "info": INFO} | header
    )
    xdf.write_samples(stream_id, data, stamps_of(n))
    return data


@given(
    values=st.lists(st.lists(st.floats(width=64), min_size=2, max_size=2), max_size=20),
    cuts=st.lists(st.integers(0, 20), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_doubles_come_back_to_the_bit_whatever_the_cuts(values, cuts):
    data = np.array(values, float).reshape(-1, 2)
    stamps = np.random.default_rng(len(values)).normal(1e5, 1e3, len(values))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.xdf")
        with XdfWriter(path) as xdf:
            xdf.add_stream(7, name="amp", type="EEG", info=INFO)
            edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
            for start, stop in pairwise(edges):
                xdf.write_samples(7, data[start:stop], stamps[start:stop])
        read = raw_pyxdf(path)["amp"]
    assert np.asarray(read["time_series"], float).tobytes() == data.tobytes()
    assert read["time_stamps"].tobytes() == stamps.tobytes()


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "float32", "double64"])
def test_every_number_format(kind, tmp_path):
    top = 2.5 if kind in ("float32", "double64") else 2 ** (int(kind[3:]) - 1) - 1
    data = np.array([[top, -top, 0]] * 2, np.float64 if "6" not in kind else None)
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        xdf.add_stream(1, name="x", type="Codes", n_channels=3, channel_format=kind)
        xdf.write_samples(1, data, np.array([1.0, 2.0]))
    read = raw_pyxdf(tmp_path / "a.xdf")["x"]
    assert read["info"]["channel_format"] == [kind]
    np.testing.assert_array_equal(read["time_series"], data)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
@settings(max_examples=40, deadline=None)
def test_text_comes_back(texts):
    texts = [*texts, "word " * 100, ""]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.xdf")
        with XdfWriter(path) as xdf:
            xdf.add_stream(1, name="m", type="Markers")
            xdf.write_samples(1, texts, np.arange(len(texts), dtype=float))
        read = raw_pyxdf(path)["m"]
    assert [row[0] for row in read["time_series"]] == texts
    assert read["time_stamps"].tolist() == list(range(len(texts)))


def test_header_description_offsets_and_footer(tmp_path):
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        write_data(xdf, desc={"rt_decoder": "1.2", "odd": "a\x00b"})
        xdf.write_clock_offset(1, 200.0, -0.25)
    read = raw_pyxdf(tmp_path / "a.xdf")["amp"]
    info, footer = read["info"], read["footer"]["info"]
    assert (info["nominal_srate"], info["source_id"]) == (["250.0"], ["s1"])
    desc = info["desc"][0]
    assert (desc["rt_decoder"], desc["odd"]) == (["1.2"], ["a\ufffdb"])
    assert desc["channels"][0]["channel"][1] == {
        "label": ["A<&>é"],
        "type": ["misc"],
        "unit": ["n/a"],
    }
    assert (read["clock_times"], read["clock_values"]) == ([200.0], [-0.25])
    assert footer["sample_count"] == ["1000"]
    assert float(footer["first_timestamp"][0]) == T0
    assert float(footer["last_timestamp"][0]) == stamps_of(1000)[-1]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_only_its_owner_reads_it_and_an_old_file_stays(tmp_path):
    path = tmp_path / "a.xdf"
    path.write_text("old")
    with pytest.raises(FileExistsError, match=r"a\.xdf, which exists"):
        XdfWriter(path)
    assert path.read_text() == "old"
    path.write_text("")  # as `reserve` makes it
    path.chmod(0o644)
    with XdfWriter(path) as xdf:
        write_data(xdf)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(raw_pyxdf(path)) == ["amp"]


def test_boundaries_every_ten_seconds(tmp_path, monkeypatch):
    now = [50.0]
    monkeypatch.setattr(xdf_writer.time, "monotonic", lambda: now[0])
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        xdf.add_stream(1, name="m", type="Markers")
        for _ in range(35):
            now[0] += 1.0
            xdf.write_samples(1, ["a"], np.array([now[0]]))
    assert (tmp_path / "a.xdf").read_bytes().count(BOUNDARY) == 3
    assert len(raw_pyxdf(tmp_path / "a.xdf")["m"]["time_stamps"]) == 35


def test_wrong_calls_are_refused_and_write_nothing(tmp_path):
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=INFO)
        xdf.add_stream(2, name="m", type="Markers")
        size = (tmp_path / "a.xdf").stat().st_size
        with pytest.raises(ValueError, match="stream_id, got 1"):
            xdf.add_stream(1, name="amp", type="EEG", info=INFO)
        with pytest.raises(ValueError, match="number format among"):
            xdf.add_stream(3, name="x", type="EEG", n_channels=1, channel_format="string")
        with pytest.raises(ValueError, match=r"shape \(2, 2\), got \(2, 3\)"):
            xdf.write_samples(1, np.zeros((2, 3)), np.zeros(2))
        with pytest.raises(ValueError, match="a stamp for each of 2 strings"):
            xdf.write_samples(2, ["a", "b"], np.zeros(1))
        with pytest.raises(ValueError, match="a stream that was added, got stream_id 9"):
            xdf.write_clock_offset(9, 0.0, 0.0)
        assert (tmp_path / "a.xdf").stat().st_size == size
    with pytest.raises(ValueError, match="open file"):
        xdf.write_samples(2, ["late"], np.zeros(1))
    xdf.close()


def test_a_full_disk_leaves_whole_chunks(tmp_path, monkeypatch):
    path = tmp_path / "a.xdf"
    xdf = XdfWriter(path)
    data = write_data(xdf)
    write = os.write

    def half_then_full(fd, block):
        if len(block) < 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, block[:999])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half_then_full)
        with pytest.raises(OSError, match="No space left"):
            xdf.write_samples(1, data[:50], stamps_of(50))
    xdf.write_samples(1, data[:10], stamps_of(10))  # space came back
    xdf.close()
    np.testing.assert_array_equal(
        raw_pyxdf(path)["amp"]["time_series"], np.concatenate([data, data[:10]])
    )


# ---- reading


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """A record of three chunks and its chunk ends with how many samples are whole there."""
    path = tmp_path_factory.mktemp("torn") / "a.xdf"
    ends = {}
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=INFO)
        for k in range(3):
            ends[path.stat().st_size] = 40 * k
            xdf.write_samples(
                1, np.full((40, 2), 1.0 + k), T0 + np.arange(40 * k, 40 * k + 40) / 250
            )
        ends[path.stat().st_size] = 120
    return path.read_bytes(), ends


@given(share=st.floats(0, 1))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore:.*is cut off")
def test_cut_at_any_byte_gives_the_whole_chunks(torn, share):
    content, ends = torn
    end = round(share * len(content))
    n = max((n for at, n in ends.items() if at <= end), default=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cut.xdf")
        path.write_bytes(content[:end])
        if n == 0:
            with pytest.raises((OSError, ValueError), match=r"cut\.xdf"):
                read_recording(path)
            return
        recording = read_recording(path)
    np.testing.assert_array_equal(recording.data, np.repeat([1.0, 2.0, 3.0], 40)[:n, None] * [1, 1])
    np.testing.assert_array_equal(recording.stamps, stamps_of(n))


def test_a_torn_end_is_said(torn, tmp_path):
    content, ends = torn
    end = next(at for at, n in ends.items() if n == 80)
    path = tmp_path / "cut.xdf"
    path.write_bytes(content[: end + 17])
    with pytest.warns(RuntimeWarning, match=r"cut\.xdf is cut off: left out the last 17 bytes"):
        read_recording(path)


def test_damage_before_the_end_is_refused(torn, tmp_path):
    content, ends = torn
    path = tmp_path / "bad.xdf"
    at = next(at for at, n in ends.items() if n == 40)
    boundary = bytes([1, 18, 5, 0]) + BOUNDARY
    for wrong in (bytes([7]), bytes([4, 255, 255, 255, 0])):  # no such width; beyond the end
        path.write_bytes(content[:at] + wrong + content[at + len(wrong) :] + boundary)
        with pytest.raises(OSError, match=f"damaged at byte {at}"):
            read_recording(path)
    position = content.index(b"\x03\x00", at)  # the sample count of that chunk
    path.write_bytes(content[: position + 7] + b"\xff" + content[position + 8 :])
    with pytest.raises(OSError, match="is damaged"):
        read_recording(path)


@pytest.mark.parametrize("content", [b"", b"XDF", b"PK\x03\x04 not at all"])
def test_what_is_no_xdf(content, tmp_path):
    (tmp_path / "a.xdf").write_bytes(content)
    with pytest.raises(OSError, match=r"a\.xdf is no XDF file"):
        read_recording(tmp_path / "a.xdf")


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "float32", "double64"])
@pytest.mark.parametrize("whole", [1 << 20, 0])
def test_samples_as_pyxdf_reads_them(tmp_path, monkeypatch, kind, whole):
    """Chunks of any length, some samples without a stamp: stamps and values to the bit."""
    rng = np.random.default_rng(0)
    path, at = tmp_path / "a.xdf", 100.0
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=THREE, channel_format=kind)
        xdf.add_stream(2, name="words", type="Markers")
    dtype = np.dtype(xdf_numbers.FORMATS[kind])
    with path.open("ab") as file:
        for n in [1, 1, 40, 0, 5000, 300, 1]:
            rows = b""
            for is_stamped in rng.random(n) < rng.choice([0.0, 0.1, 0.9, 1.0]):
                at += 0.004
                rows += b"\x08" + struct.pack("<d", at) if is_stamped else b"\0"
                rows += (100 * rng.standard_normal(3)).astype(dtype).tobytes()
            content = struct.pack("<HIBI", 3, 1, 4, n) + rows
            file.write(struct.pack("<BI", 4, len(content)) + content)
    monkeypatch.setattr(blocks, "WHOLE_BYTES", whole)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 24 * 333)
    monkeypatch.setattr(xdf_numbers, "_PIECE", 999)
    (stream, _), expected = load_streams(path), raw_pyxdf(path)["amp"]
    assert isinstance(stream.values, np.ndarray) == bool(whole)
    np.testing.assert_array_equal(stream.stamps, expected["time_stamps"])
    np.testing.assert_array_equal(np.asarray(stream.values), expected["time_series"])
    assert stream.values[777:779].tolist() == expected["time_series"][777:779].tolist()
    if whole:
        assert stream.values.dtype == expected["time_series"].dtype


@pytest.mark.parametrize("n_bytes", [-1, 1])
def test_a_chunk_that_holds_less_or_more_than_it_declares(tmp_path, n_bytes):
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=INFO)
    at = path.stat().st_size
    rows = (b"\x08" + struct.pack("<3d", 1.0, 2.0, 3.0)) * 2 + b"\0"
    content = struct.pack("<HIBB", 3, 1, 1, 2) + rows[: len(rows) - 1 + n_bytes]
    with path.open("ab") as file:
        file.write(struct.pack("<BI", 4, len(content)) + content)
    with pytest.raises(
        OSError, match=rf"^a\.xdf is damaged at byte {at}: a chunk (declares|holds)"
    ):
        read_recording(path)


def test_recording_has_data_types_units_and_markers_of_all_marker_streams(tmp_path):
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as xdf:
        data = write_data(xdf)
        xdf.add_stream(2, name="words", type="Markers")
        xdf.write_samples(2, ["axe", "", "nun"], T0 + np.array([0.401, 0.5, 1.0]))
        xdf.add_stream(3, name="keys", type="Events", n_channels=1, channel_format="double64")
        xdf.write_samples(3, np.array([[7], [2.5], [np.nan]]), T0 + np.array([0.8, 0.809, 0.9]))
        xdf.add_stream(4, name="log", type="Text")
        xdf.write_samples(4, ["started"], np.array([T0]))
    told = r"2 marker streams 'words' \(3 markers\) and the others are read together.*'keys'"
    with pytest.warns(RuntimeWarning, match=told):
        recording = read_recording(path)
    assert [m.label for m in read_recording(path, markers="words").markers] == ["axe", "nun"]
    np.testing.assert_array_equal(recording.data, data)
    np.testing.assert_array_equal(recording.stamps, stamps_of(1000))
    assert recording.info.ch_names == INFO.ch_names
    assert (recording.info.ch_types, recording.info.units) == (INFO.ch_types, INFO.units)
    assert [(m.label, m.index) for m in recording.markers] == [
        ("axe", 100),
        ("7", 200),
        ("2.5", 202),
        ("nun", 250),
    ]
    assert recording.markers[0].time == T0 + 0.401
    assert recording.correction == 0.0
    only = read_recording(path, markers="Text").markers
    assert only == (Marker("started", T0, 0),)
    with pytest.raises(ValueError, match=r"need a marker stream 'clicks', got 'words'"):
        read_recording(path, markers="clicks")


def test_markers_outside_the_samples_are_said(tmp_path):
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        write_data(xdf)
        xdf.add_stream(2, name="words", type="Markers")
        xdf.write_samples(2, ["early", "axe", "late"], T0 + np.array([-1.0, 1.0, 9.0]))
    with pytest.warns(RuntimeWarning, match="2 of 3 markers outside.*'early'"):
        recording = read_recording(tmp_path / "a.xdf")
    assert [(m.label, m.index) for m in recording.markers] == [
        ("early", -1),
        ("axe", 250),
        ("late", -1),
    ]


def test_channels_of_numbers_whose_labels_are_unknown_are_left_out(tmp_path):
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        write_data(xdf)
        xdf.add_stream(2, name="words", type="annotations")
        xdf.write_samples(2, ["axe"], T0 + np.array([1.0]))
        xdf.add_stream(3, name="keys", type="Events", n_channels=2, channel_format="int32")
        xdf.write_samples(3, np.array([[7, 0]], np.int32), T0 + np.array([1.5]))
    with pytest.warns(RuntimeWarning, match="got 2 channels of numbers in 'keys'.*left out"):
        recording = read_recording(tmp_path / "a.xdf")
    assert [m.label for m in recording.markers] == ["axe"]
    with pytest.raises(ValueError, match="got 2 channels of numbers in 'keys'"):
        read_recording(tmp_path / "a.xdf", markers="keys")


def test_a_signal_is_no_marker_stream(tmp_path):
    """`--markers EEG` names a type, too: of the other streams of that type none is of markers."""
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        write_data(xdf)
        write_data(xdf, 2, name="second", source_id="s2")
        xdf.add_stream(3, name="words", type="EEG")
        xdf.write_samples(3, ["axe"], T0 + np.array([1.0]))
    with pytest.raises(ValueError, match=r"need a marker stream .* got 'second', .* of type EEG"):
        read_recording(tmp_path / "a.xdf", stream="s1", markers="second")
    recording = read_recording(tmp_path / "a.xdf", stream="s1", markers="EEG")
    assert [m.label for m in recording.markers] == ["axe"]


def test_triggers_in_the_data_and_in_a_regular_marker_stream(tmp_path):
    codes = np.zeros((1000, 2))
    codes[300:310, 1] = 4
    trigger = SignalInfo(250.0, ("TRIG",), ("stim",), ("n/a",))
    with XdfWriter(tmp_path / "a.xdf") as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=INFO)
        xdf.write_samples(1, codes, stamps_of(1000))
        xdf.add_stream(2, name="line", type="Markers", info=trigger)
        xdf.write_samples(2, codes[:, 1:], stamps_of(1000))
    expected = (Marker("4", stamps_of(1000)[300], 300),)
    assert read_recording(tmp_path / "a.xdf").markers == expected
    assert read_recording(tmp_path / "a.xdf", markers="channel:A<&>é").markers == expected


def test_choosing_the_data_stream(tmp_path):
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as xdf:
        write_data(xdf)
        write_data(xdf, 2, name="amp", type="ECG", source_id="s2", n=500)
        xdf.add_stream(3, name="empty", type="EEG", info=INFO)
        xdf.add_stream(4, name="slow", type="Temp", n_channels=2)
        xdf.write_samples(4, np.zeros((5, 2)), stamps_of(5))
    with pytest.warns(RuntimeWarning, match="of 2 data streams 'amp' of type EEG is read"):
        assert len(read_recording(path).stamps) == 1000
    assert len(read_recording(path, stream="ecg").stamps) == 500
    assert len(read_recording(path, stream="s1").stamps) == 1000
    with pytest.raises(ValueError, match=r"need one data stream with name.*'amp'"):
        read_recording(path, stream="amp")
    for wanted in ("empty", "slow", "none"):
        with pytest.raises(ValueError, match=f"'{wanted}' .numbers at a regular rate.*irregular"):
            read_recording(path, stream=wanted)


def test_labels_that_are_too_few_are_not_guessed(tmp_path):
    path, table = tmp_path / "a.xdf", tmp_path / "channels.tsv"
    with XdfWriter(path) as xdf:
        write_data(xdf)
    content = path.read_bytes()  # the second channel becomes an element that nobody reads
    start = content.index(b"<channel>", content.index(b"<channel>") + 1)
    end = content.index(b"</channel></channels>")
    path.write_bytes(
        content[:start]
        + content[start:end].replace(b"<channel>", b"<chanxxx>")
        + b"</chanxxx>"
        + content[end + 10 :]
    )
    with pytest.raises(ValueError, match="need 2 channels described, got 1"):
        read_recording(path)
    table.write_text("stream_name\tmodel_name\tunit\nch1\tCz\tuV\nch2\tPz\tuV\n")
    assert read_recording(path, channels=table).info.ch_names == ("Cz", "Pz")


def test_clocks_of_two_machines_are_brought_together(tmp_path):
    """Data clock is 500 s ahead and drifts, marker clock 20 s behind; the network is noisy."""
    path, n = tmp_path / "a.xdf", 30_000
    rng = np.random.default_rng(0)
    local = 1000 + np.arange(n) / 250
    drift = 1 + 50e-6
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=INFO)
        data_clock = 1500 + (local - 1000) * drift
        xdf.write_samples(1, np.zeros((n, 2)), data_clock)
        xdf.add_stream(2, name="words", type="Markers")
        xdf.write_samples(2, ["axe"], np.array([1050.0 - 20]))
        for i in range(0, n, 1250):
            noise = rng.exponential(2e-3) if i % 5000 == 0 else rng.normal(0, 2e-5)
            xdf.write_clock_offset(1, data_clock[i], local[i] - data_clock[i] + noise)
        xdf.write_clock_offset(2, 1005.0, 20.0)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.stamps, data_clock)
    np.testing.assert_allclose(recording.times, local, atol=1e-4)
    assert recording.markers[0].index == 12_500
    assert recording.markers[0].time == pytest.approx(1050.0, abs=1e-9)


def session(path, n_pulls=6, last_pull=True):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(n_pulls * 10, 2))
    data[3] = np.nan
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=INFO, desc={"rt_decoder": "1"})
        xdf.add_stream(2, name="amp-markers", type="Markers")
        xdf.add_stream(3, name="rt_decoder-arrivals", type="Arrivals", n_channels=3)
        xdf.add_stream(4, name="rt_decoder-decisions", type="Decisions")
        xdf.write_samples(2, ["early", "axe"], T0 + np.array([-5.0, 0.5 + 10.0]))
        for k in range(n_pulls):
            part = slice(10 * k, 10 * k + 10)
            xdf.write_samples(1, data[part], T0 + np.arange(60)[part] * 0.02)
            if k < n_pulls - 1 or last_pull:
                row = np.array([[10.0, T0 + 10 + k, 10.0 + k / 1000]])
                xdf.write_samples(3, row, row[0, 1:2])
        xdf.write_clock_offset(1, T0, 99.0)  # what was in force counts, not what was measured
        xdf.write_samples(4, ['{"index": 7, "decision": "stale"}'], np.array([T0]))
    return data


def test_session_record(tmp_path):
    data = session(tmp_path / "s.xdf")
    recording = read_recording(tmp_path / "s.xdf")  # NaN and the wrong rate really happened
    np.testing.assert_array_equal(recording.data, data)
    np.testing.assert_array_equal(
        recording.pulls, [[10.0, T0 + 10 + k, 10.0 + k / 1000] for k in range(6)]
    )
    np.testing.assert_array_equal(recording.correction, 10 + np.repeat(range(6), 10) / 1000)
    assert recording.decisions == (Note(7, "stale", {}),)
    early, axe = recording.markers
    assert early == Marker("early", T0 - 5.0, -1)
    assert axe[:2] == ("axe", T0 + (0.5 + 10.0))
    assert axe.index > 0


def test_a_pull_that_was_not_recorded_to_its_end_is_left_out(tmp_path):
    data = session(tmp_path / "s.xdf", last_pull=False)
    recording = read_recording(tmp_path / "s.xdf")
    np.testing.assert_array_equal(recording.data, data[:50])
    assert len(recording.pulls) == 5
    assert len(recording.correction) == 50


# ---- real files: what each gives, or why it is refused

UV = {"units": "microvolts"}
REAL = {
    "magicblink/handFour.xdf": (UV, r"declared 250 Hz, got 24\.35 Hz"),
    "magicblink/handTwo.xdf": (UV, (11890, 8, 0)),
    "magicblink/justMarkers.xdf": ({}, r"need a data stream .*'Blinky' \(Markers: numbers, irr"),
    "magicblink/markersPlusEKG.xdf": (UV, (5620, 8, 29)),
    "magicblink/test1.xdf": (UV, (23390, 8, 48)),
    "magicblink/three_motion_five.xdf": (UV, (57070, 8, 136)),
    "muselsl2/sub-P001_ses-S001_task-Default_run-001_eeg.xdf": ({"stream": "EEG"}, (2820, 5, 0)),
    "muselsl2/sub-P023_ses-S001_task-Default_run-001_eeg.xdf": ({}, (1668, 5, 0)),
    "muselsl2/sub-P031_ses-S001_task-Default_run-001_eeg.xdf": ({"stream": "EEG"}, (1284, 5, 0)),
    "xdf_example_files/clock_resets.xdf": (UV, r"declared 100 Hz, got 93\.\d+ Hz"),
    "xdf_example_files/empty_streams.xdf": ({}, (10, 1, 0)),
    "xdf_example_files/minimal.xdf": (UV, (9, 3, 9)),
}


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:.*1 of 9 markers outside")  # minimal.xdf
@pytest.mark.parametrize("name", REAL)
def test_real_file(data_dir, name):
    options, expected = REAL[name]
    path = data_dir / "xdf" / name
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            read_recording(path, **options)
        return
    recording = read_recording(path, **options)
    assert (*recording.data.shape, len(recording.markers)) == expected


@pytest.mark.realdata
def test_no_real_file_is_forgotten_and_units_and_streams_are_asked_for(data_dir):
    folder = data_dir / "xdf"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.xdf")} == set(REAL)
    with pytest.raises(ValueError, match=r"channel ch1 \(eeg\): need a known unit, got ''"):
        read_recording(folder / "magicblink/test1.xdf")
    with pytest.warns(RuntimeWarning, match=re.escape("chooses another: 'Muse' (")):
        read_recording(folder / "muselsl2/sub-P001_ses-S001_task-Default_run-001_eeg.xdf")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["test1", "three_motion_five", "markersPlusEKG"])
def test_real_clock_offsets_agree_with_those_of_pyxdf(data_dir, name):
    path = data_dir / "xdf" / "magicblink" / f"{name}.xdf"
    recording = read_recording(path, **UV)
    streams, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False, verbose=False)
    by_type = {stream["info"]["type"][0]: stream for stream in streams}
    np.testing.assert_allclose(recording.times, by_type["EEG"]["time_stamps"], atol=1e-3)
    np.testing.assert_allclose(
        [m.time for m in recording.markers], by_type["Markers"]["time_stamps"], atol=1e-3
    )
    # pyxdf fits one straight line through all stamps, ours follows them
    streams, _ = pyxdf.load_xdf(str(path), verbose=False)
    line = next(one["time_stamps"] for one in streams if one["info"]["type"][0] == "EEG")
    assert all(abs(np.argmin(np.abs(line - m.time)) - m.index) <= 2 for m in recording.markers)


@pytest.mark.realdata
def test_streams_of_a_real_file_as_listed(data_dir):
    streams = load_streams(data_dir / "xdf" / "xdf_example_files" / "empty_streams.xdf")
    assert {(s.name[:5], s.is_text, len(s.stamps)) for s in streams} == {
        ("Empty", False, 0),
        ("Data ", False, 10),
        ("ctrl", True, 1),
        ("Empty", True, 0),
    }
