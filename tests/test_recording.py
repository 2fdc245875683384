"""Recordings of all formats against what was put into them, and what is refused."""

import struct
import sys

import mne
import numpy as np
import pytest

from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording, check_recording
from rt_decoder.signal import Marker, SignalInfo

NAMES = ["Fp1", "Cz", "EOG 1", "MEG 0111", "MEG 0112", "STI"]
TYPES = ["eeg", "eeg", "eog", "mag", "grad", "stim"]


@pytest.fixture
def raw():
    """Two seconds at 200 Hz that begin at sample 400, with a note 0.5 s and one 1.25 s in."""
    rng = np.random.default_rng(0)
    data = rng.normal(0, 1e-5, (6, 400))
    data[3:5] *= 1e-7
    data[5] = 0
    data[5, [40, 41, 42, 300]] = [3, 3, 5, 9]
    raw = mne.io.RawArray(
        data, mne.create_info(NAMES, 200.0, TYPES), first_samp=400, verbose="error"
    )
    raw.set_annotations(mne.Annotations([1.25, 0.5], [0, 0.1], ["axe", "BAD_blink"]))
    return raw


def write_csv(tmp_path, text):
    path = tmp_path / "run.csv"
    path.write_text(text, encoding="utf-8")
    return path


def muse_like(tmp_path, stamps, columns="timestamps,TP9,Marker0", value="1.5", codes=None):
    codes = np.zeros(len(stamps), int) if codes is None else codes
    lines = [f"{t:.6f},{value},{code}" for t, code in zip(stamps, codes, strict=True)]
    return write_csv(tmp_path, "\n".join([columns, *lines]) + "\n")


@pytest.mark.parametrize("meas_date", [None, 1e9])
def test_fif_gives_time_first_si_and_the_notes_as_markers(raw, meas_date, tmp_path):
    raw.set_meas_date(meas_date)
    raw.save(tmp_path / "session.fif", fmt="double", verbose="error")
    recording = read_recording(tmp_path / "session.fif")
    np.testing.assert_allclose(recording.data, raw.get_data().T, rtol=1e-14)
    assert recording.data.flags.c_contiguous
    assert recording.info.ch_names == tuple(NAMES)
    assert recording.info.ch_types == tuple(TYPES)
    assert recording.info.units == ("V", "V", "V", "T", "T/m", "n/a")
    np.testing.assert_array_equal(recording.stamps, (400 + np.arange(400)) / 200)
    assert recording.markers == (Marker("axe", 650 / 200, 250),)
    assert [segment.label for segment in recording.bad_segments] == ["BAD_blink"]
    assert recording.bad_segments[0].start == 100
    events, _ = mne.events_from_annotations(raw, verbose="error")
    assert sorted(m.index for m in recording.markers) == sorted(events[:, 0] - 400)
    assert recording.name == "session.fif"


def test_triggers_from_a_channel_are_those_of_mne(raw, tmp_path):
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    recording = read_recording(tmp_path / "a_raw.fif", markers="channel:STI")
    events = mne.find_events(raw, "STI", consecutive=True, shortest_event=1, verbose="error")
    assert [(m.index + 400, int(m.label)) for m in recording.markers] == [
        (e[0], e[2]) for e in events
    ]
    with pytest.raises(ValueError, match="need a channel STI 014 for the markers, got Fp1"):
        read_recording(tmp_path / "a_raw.fif", markers="channel:STI 014")
    with pytest.raises(ValueError, match="channel:NAME"):
        read_recording(tmp_path / "a_raw.fif", markers="STI")


def test_positions_are_in_metres_and_nan_where_unknown(raw, tmp_path):
    where = {"Fp1": [0.03, 0.1, 0.0], "Cz": [0.0, 0.0, 0.12]}
    raw.set_montage(mne.channels.make_dig_montage(where, coord_frame="head"), on_missing="ignore")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    positions = read_recording(tmp_path / "a_raw.fif").info.positions
    np.testing.assert_allclose(positions[:2], list(where.values()), atol=1e-7)
    assert np.isnan(positions[2]).all()


def test_brainvision(tmp_path):
    counts = np.random.default_rng(1).integers(-3000, 3000, (500, 2)).astype("<i2")
    (tmp_path / "a.eeg").write_bytes(counts.tobytes())
    (tmp_path / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=a.eeg\n[Marker Infos]\nMk1=Stimulus,S  7,101,1,0\nMk2=Response,R  1,301,1,0\n"
    )
    (tmp_path / "a.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=a.eeg\nMarkerFile=a.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=2\nSamplingInterval=4000\n[Binary Infos]\nBinaryFormat=INT_16\n"
        "[Channel Infos]\nCh1=Cz,,0.1,µV\nCh2=Pz,,0.5,µV\n",
        encoding="utf-8",
    )
    recording = read_recording(tmp_path / "a.vhdr")
    np.testing.assert_allclose(recording.data, counts * [1e-7, 5e-7], rtol=1e-9)
    assert recording.info.sfreq == 250.0
    assert [(m.label, m.index) for m in recording.markers] == [
        ("Stimulus/S  7", 100),
        ("Response/R  1", 300),
    ]


def edf_bytes(counts, unit="uV"):
    """EDF of one channel, one record a second, 100 digital steps a unit."""
    n = len(counts) // 100
    fields = ["0".ljust(8), "X".ljust(80), "X".ljust(80), "01.01.20", "00.00.00", "512".ljust(8)]
    fields += [" " * 44, str(n).ljust(8), "1".ljust(8), "1".ljust(4), "EEG Cz".ljust(16)]
    fields += [" " * 80, unit.ljust(8), "-327.68".ljust(8), "327.67".ljust(8)]
    fields += ["-32768".ljust(8), "32767".ljust(8), " " * 80, "100".ljust(8), " " * 32]
    return "".join(fields).encode() + counts.astype("<i2").tobytes()


def test_edf_and_one_that_is_cut_off(tmp_path):
    counts = np.random.default_rng(2).integers(-3000, 3000, 1000)
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes(counts))
    recording = read_recording(path)
    np.testing.assert_allclose(recording.data[:, 0], counts * 1e-8, atol=1e-14)
    assert recording.info.units == ("V",)
    path.write_bytes(edf_bytes(counts)[:1500])
    with pytest.warns(RuntimeWarning, match="does not match the file size"):
        recording = read_recording(path)
    assert len(recording.stamps) == 400


def test_channel_table_corrects_what_a_file_states_wrongly(tmp_path):
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes(np.arange(500), unit=""))
    table = tmp_path / "channels.tsv"
    table.write_text("stream_name\tmodel_name\ttype\tunit\nEEG Cz\tCz\tecog\tmicrovolts\n")
    info = read_recording(path, channels=table).info
    assert (info.ch_names, info.ch_types, info.units) == (("Cz",), ("ecog",), ("microvolts",))
    with pytest.raises(ValueError, match="leave --units out"):
        read_recording(path, units="microvolts")


def test_muse_csv(tmp_path):
    rng = np.random.default_rng(3)
    stamps = 1e5 + np.arange(2560) / 256.1 + rng.normal(0, 1e-3, 2560)
    codes = np.zeros(2560, int)
    codes[[10, 700, 701, 1500]] = [1, 2, 2, 1]
    recording = read_recording(muse_like(tmp_path, stamps, codes=codes), units="microvolts")
    assert recording.info.sfreq == 256.0
    assert recording.info.ch_types == ("eeg", "stim")
    assert recording.info.units == ("microvolts", "n/a")
    np.testing.assert_array_equal(recording.stamps, np.round(stamps, 6))
    assert [(m.label, m.index) for m in recording.markers] == [("1", 10), ("2", 700), ("1", 1500)]
    taken = 1e5 + np.array([10, 700, 1500]) / 256.1  # not when they were stamped
    np.testing.assert_allclose([m.time for m in recording.markers], taken, rtol=0, atol=4e-4)


@pytest.mark.parametrize(("real", "stated"), [(255.96, 256), (500.9, 500), (62.52, 62.52)])
def test_csv_rate_is_measured(tmp_path, real, stated):
    path = muse_like(tmp_path, np.arange(3000) / real)
    recording = read_recording(path, units="V", markers="channel:Marker0")
    assert recording.info.sfreq == pytest.approx(stated, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "need samples, got none"),
        ("timestamps,Cz\n", "need samples, got none"),
        ("time,Cz\n0,1\n", "need a column timestamps"),
        ("timestamps,Cz\n0,1\n1,x\n", "header, got 'x' in line 3, column Cz"),
        ("timestamps,Cz\n0,1\n\n1,\n", "an empty cell in line 4, column Cz; write nan"),
        ("timestamps,Cz\n0,1\n1\n", "need numbers below the header"),
        ("timestamps,Cz\n0,1,2\n1,1,2\n", "need one value for each of 2 columns, got 3"),
        ("timestamps,Cz\n1,1\n1,2\n", "need finite timestamps that advance"),
        ("timestamps,Cz\nnan,1\n1,2\n", "need finite timestamps that advance"),
        ("timestamps,Cz,Cz\n0,1,2\n1,1,2\n", "Cz more than once"),
        ("timestamps,Cz,Pz\n0,nan,inf\n.1,nan,nan\n.2,nan,-inf\n", "got only NaN or infinite"),
    ],
)
def test_bad_csv_is_refused_with_a_reason(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason):
        read_recording(write_csv(tmp_path, text), units="V")


def test_csv_needs_a_unit_by_hand_and_text(tmp_path):
    path = muse_like(tmp_path, np.arange(10) / 10)
    with pytest.raises(ValueError, match=r"channel TP9.*--units"):
        read_recording(path)
    with pytest.raises(ValueError, match="need markers as channel:NAME"):
        read_recording(path, units="V", markers="words")
    path.write_bytes(b"timestamps,\xff\xfe\n")
    with pytest.raises(ValueError, match="UTF-8"):
        read_recording(path, units="V")


def simple(stamps, sfreq=100.0, data=None):
    info = SignalInfo(sfreq, ("Cz", "Pz"), ("eeg", "eeg"), ("V", "V"))
    return Recording(np.zeros((len(stamps), 2)) if data is None else data, stamps, info)


def test_clock_that_is_not_one_is_refused():
    regular = np.arange(9000) / 100
    check_recording(simple(regular))
    with pytest.raises(ValueError, match="declared 100 Hz, got 92"):
        check_recording(simple(np.arange(3000) / 92))
    reset = regular.copy()
    reset[1000:] -= 5
    with pytest.raises(ValueError, match=r"jump back by 5\.0 s at sample 1000"):
        check_recording(simple(reset))
    with pytest.raises(
        ValueError, match="need time stamps in s, got 1 of 2 stamps that are no times"
    ):
        check_recording(simple(np.array([0.0, np.nan])))
    with pytest.raises(ValueError, match="need samples"):
        check_recording(simple(np.zeros(0)))


def test_nan_is_for_the_guard_and_nothing_but_nan_is_refused():
    data = np.full((100, 2), np.nan)
    with pytest.raises(ValueError, match="got only NaN or infinite values"):
        check_recording(simple(np.arange(100) / 100, data=data))
    data[30, 0] = 0.0
    check_recording(simple(np.arange(100) / 100, data=data))


def test_recording_wants_shapes_that_fit():
    with pytest.raises(ValueError, match=r"data of shape \(n, 2\), got \(3,\) and \(3, 1\)"):
        simple(np.arange(3.0), data=np.zeros((3, 1)))


@pytest.mark.filterwarnings("ignore:Invalid tag")
def test_epochs_other_files_and_damage(raw, tmp_path):
    epochs = tmp_path / "words-epo.fif"
    epochs.write_bytes(b"")
    with pytest.raises(ValueError, match="need a continuous recording, got epochs"):
        read_recording(epochs)
    with pytest.raises(FileNotFoundError, match=r"no such file: none\.fif"):
        read_recording(tmp_path / "none.fif")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(OSError, match=r"cannot read notes\.txt"):
        read_recording(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="only XDF"):
        read_recording(tmp_path / "notes.txt", stream="EEG")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    whole = (tmp_path / "a_raw.fif").read_bytes()
    for end in (3, 100, 1000, len(whole) // 2, len(whole) - 5000):
        (tmp_path / "cut_raw.fif").write_bytes(whole[:end])
        with pytest.raises(OSError, match=r"cannot read cut_raw\.fif"):
            read_recording(tmp_path / "cut_raw.fif")


def test_a_reader_that_is_not_installed_is_named(monkeypatch, tmp_path):
    path = tmp_path / "a.edf"
    path.write_bytes(struct.pack("8s", b"0"))
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(ImportError, match=r"need mne to read \.edf.*rt-decoder\[files\]"):
        read_recording(path)


@pytest.mark.realdata
def test_real_muse_runs_keep_every_trial(data_dir):
    for path in sorted((data_dir / "muse").glob("*/*.csv")):
        recording = read_recording(path, units="microvolts")
        codes = np.loadtxt(path, delimiter=",", skiprows=1, usecols=6).astype(int)
        onsets = np.flatnonzero((codes != 0) & (np.diff(codes, prepend=0) != 0))
        assert [m.index for m in recording.markers] == onsets.tolist()
        assert [int(m.label) for m in recording.markers] == codes[onsets].tolist()
        assert recording.info.sfreq == 256.0


@pytest.mark.realdata
def test_real_eeglab_file_with_its_events(data_dir):
    recording = read_recording(data_dir / "eeglab_sample" / "test_raw.set")
    labels = [m.label for m in recording.markers]
    assert (labels.count("square"), labels.count("rt")) == (80, 74)
    assert recording.data.shape == (30504, 32)
    assert 1e-6 < recording.data.std() < 1e-4  # V


@pytest.mark.realdata
def test_real_edf_and_fif(data_dir):
    with pytest.warns(RuntimeWarning, match="from their names: ECG ECG is ecg"):
        edf = read_recording(data_dir / "eegmat" / "Subject05_2.edf")
    assert edf.info.ch_types == ("eeg",) * 20 + ("ecg",)
    assert edf.data.shape == (31000, 21)
    assert 1e-6 < edf.data[:, 0].std() < 1e-4  # V
    fif = read_recording(data_dir / "mne_lsl_samples" / "sample_audvis_raw.fif")
    kinds = {kind: fif.info.ch_types.count(kind) for kind in ("mag", "grad", "eeg")}
    assert kinds == {"mag": 102, "grad": 204, "eeg": 60}
    assert fif.stamps[0] == pytest.approx(42.956, abs=1e-3)
    with pytest.raises(ValueError, match="epochs"):
        read_recording(data_dir / "words_vanvliet" / "subject04-epo.fif")
