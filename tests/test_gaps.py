"""Gaps that a file tells of, rates of EDF channels, and when samples were taken.

Whole files of each format are in scripts/edge_cases/gapped_files.py.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.files.edf_header import EdfHeader, other_rates, read_edf_header, record_starts
from rt_decoder.files.gaps import UNKNOWN_S, lay_out
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.files.sample_times import channel_markers, sample_times
from rt_decoder.files.stamps import are_counted
from rt_decoder.signal import SignalInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from edge_cases.writers import EEG, write_edf

mne.set_log_level("error")


@pytest.mark.parametrize(
    ("channels", "sfreq", "others"),
    [
        ({"EEG Fpz-Cz": 100, "EEG Pz-Oz": 100, "EOG": 100, "Resp": 1, "EMG": 1, "Temp": 1, "Event": 1},
         100, {"Resp", "EMG", "Temp", "Event"}),
        ({"Fp1": 250, "Cz": 250, "ECG": 1000}, 250, {"ECG"}),
        ({"C3-M2": 200, "O2-M1": 200, "SpO2": 1, "Audio": 8000, "Snore": 8000, "Flow": 8000},
         200, {"SpO2", "Audio", "Snore", "Flow"}),
        ({"x1": 500, "x2": 500, "x3": 50}, 500, {"x3"}),  # no name tells
        ({"x1": 500, "x2": 50}, 500, {"x2"}),
        ({"Fp1": 250, "EDF Annotations": 60}, 250, set()),
    ],
)  # fmt: skip
def test_the_rate_is_that_of_most_eeg_channels(channels, sfreq, others):
    header = EdfHeader(True, 0, 1, 1.0, tuple(channels), tuple(channels.values()))
    found, left_out = other_rates(header)
    assert (found, set(left_out)) == (sfreq, others)
    first = next(iter(channels))
    assert other_rates(header, {"none", first})[0] == channels[first]  # the user's table counts


def test_records_tell_when_they_start(tmp_path):
    starts = [0.25, 1.25, 4.0, *range(5, 60)]
    path = write_edf(tmp_path / "x.edf", EEG, (), [*starts, 70, 71])
    header = read_edf_header(path)
    assert not header.is_continuous
    np.testing.assert_array_equal(record_starts(path, header), [*starts, 70, 71])
    stamps = read_recording(path).stamps
    np.testing.assert_allclose(stamps[[0, 99, 100, 200, 5800]], [0, 0.99, 1, 3.75, 69.75])


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".fif"])
@pytest.mark.parametrize("content", [b"", b"0" * 300, b"\xff" * 4096, b" " * 4096])
def test_a_header_that_makes_no_sense_is_left_to_mne(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    header = read_edf_header(path)
    assert header is None or other_rates(header)[0] >= 0


@pytest.mark.parametrize("content", [b"0" * 300, b"\xff" * 4096, b"GDF 1.25" + b"0" * 4096])
def test_gdf_that_declares_more_channels_than_it_holds(tmp_path, content):
    """MNE would count to the end."""
    (tmp_path / "x.gdf").write_bytes(content)
    with pytest.raises(OSError, match=r"x\.gdf: its header declares \d+ channels, but it holds"):
        read_edf_header(tmp_path / "x.gdf")


@given(
    notes=st.lists(
        st.tuples(st.floats(-2, 12), st.floats(0, 3),
                  st.sampled_from(["BAD_ACQ_SKIP", "EDGE boundary", "EDGE 25 samples lost",
                                   "EDGE clock set", "boundary", "cat", "BAD_muscle"])),
        max_size=6,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_stamps_only_ever_advance_and_onsets_keep_their_samples(notes):
    numbers = np.arange(1000.0)
    raw = mne.io.RawArray(numbers[None], mne.create_info(["Cz"], 100.0, "eeg"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what lies outside the samples
        raw.set_annotations(mne.Annotations(*zip(*notes, strict=True)) if notes else None)
    layout = lay_out(raw, Path("x_raw.fif"))
    assert len(layout.stamps) == len(layout.rows)
    steps = np.diff(layout.stamps)
    assert (steps > 0.0099).all()
    gaps = steps[steps > 0.0101] - 0.01
    filled = np.diff(layout.rows)[steps > 0.0101] - 1
    short = np.rint(gaps * 100) - filled
    # notes that meet in one gap add up
    assert ((short >= 0) & (short % 25 == 0) & (short <= len(notes) * UNKNOWN_S * 100)).all()
    onsets = np.array([0.0, 3.456, 9.99, 10.0, -0.02, np.nan])
    for onset, place in zip(onsets, layout.rows_at(onsets, 100.0), strict=True):
        if place >= 0:
            assert layout.rows[place] == round(onset * 100)


@given(size=st.integers(2, 30), offset=st.floats(-1e4, 1e6), sfreq=st.sampled_from([100.0, 256.0]))
@settings(max_examples=20, deadline=None)
def test_samples_of_a_burst_were_taken_one_after_the_other(size, offset, sfreq):
    n = 3000
    true = offset + np.arange(n + size) / sfreq
    stamps = np.repeat(true[size - 1 :: size], size)[:n]
    codes = np.zeros(n)
    codes[[1000, 2003]] = [1, 2]
    info = SignalInfo(sfreq, ("TRIG",), ("stim",), ("n/a",))
    recording = Recording(codes[:, None], stamps, info)
    assert not are_counted(stamps, sfreq)
    late = sample_times(recording) - true[:n]
    assert np.abs(late[600:]).max() < 0.1 / sfreq
    found = [marker.time for marker in channel_markers(recording, "TRIG")]
    np.testing.assert_allclose(found, true[[1000, 2003]], rtol=0, atol=0.1 / sfreq)


def test_counted_stamps_are_taken_as_they_are():
    stamps = 7 + np.arange(500) / 250
    stamps[200:] += 3.3
    info = SignalInfo(250.0, ("Cz",), ("eeg",), ("V",))
    recording = Recording(np.zeros((500, 1)), stamps, info)
    assert are_counted(stamps, 250.0)
    np.testing.assert_array_equal(sample_times(recording), stamps)
    assert are_counted(stamps[:1], 250.0)
    assert not are_counted(stamps + np.random.default_rng(0).normal(0, 1e-3, 500), 250.0)
