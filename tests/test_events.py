"""Events tables, and where their onsets fall among the samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.files.events import EventRow, markers_from_events, read_events
from rt_decoder.files.recording import Recording
from rt_decoder.files.sample_times import sample_times
from rt_decoder.files.stamps import measured_sfreq, nearest_samples
from rt_decoder.signal import SignalInfo


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "run_events.tsv"
    path.write_bytes(text.encode(encoding))
    return path


def recording(stamps, sfreq=100.0, correction=0.0):
    info = SignalInfo(sfreq, ("Cz",), ("eeg",), ("V",))
    return Recording(np.zeros((len(stamps), 1)), stamps, info, correction=correction, name="r.xdf")


def rows(*onsets):
    return [EventRow(onset, "w", {}) for onset in onsets]


def test_reads_words_in_order_of_onset_with_all_their_cells(tmp_path):
    path = table(
        tmp_path,
        "\ufeffonset\tduration\ttrial_type\tword\tsentence\r\n"
        "2.5\t0.3\tread\tRäder\t7\r\n"
        "1.25\t0.3\tread\taxe\t7\r\n"
        "\r\n"
        "0.5\t0\tcross\tn/a\tn/a\r\n",
    )
    events = read_events(path)
    assert [(event.onset, event.label) for event in events] == [(1.25, "axe"), (2.5, "Räder")]
    assert events[0].row == {
        "onset": "1.25",
        "duration": "0.3",
        "trial_type": "read",
        "word": "axe",
        "sentence": "7",
    }
    assert [event.label for event in read_events(path, column="trial_type")] == [
        "cross",
        "read",
        "read",
    ]


def test_trial_type_is_the_label_where_there_are_no_words(tmp_path):
    assert read_events(table(tmp_path, "onset\ttrial_type\n1\tgo\n"))[0].label == "go"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "need tab-separated columns with onset"),
        ("onset,word\n1,axe\n", "need tab-separated columns with onset"),
        ("time\tword\n1\taxe\n", "with onset, got time, word"),
        ("onset\tduration\n1\t0\n", "with trial_type"),
        ("onset\tword\n", "need events"),
        ("onset\tword\n1\tn/a\n", "need events"),
        ("onset\tword\n1\taxe\n2\t \n", "line 3: need a word, got an empty cell"),
        ("onset\tword\nsoon\taxe\n", "line 2: need an onset in s, got 'soon'"),
        ("onset\tword\nnan\taxe\n", "line 2: need an onset"),
        ("onset\tword\nn/a\taxe\n", "line 2: need an onset"),
        ("onset\tword\n1\taxe\tx\n", "line 2: need 2 cells, got 3"),
        ("onset\tword\n1\n", "line 2: need 2 cells, got 1"),
        ("onset\tword\tword\n1\ta\tb\n", "different names"),
    ],
)
def test_bad_tables_are_refused_with_their_line(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason):
        read_events(table(tmp_path, text))


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "none.tsv")
    with pytest.raises(ValueError, match="UTF-8"):
        read_events(table(tmp_path, "onset\tword\n1\tRäder\n", "latin-1"))
    with pytest.raises(ValueError, match="with item"):
        read_events(table(tmp_path, "onset\tword\n1\taxe\n"), column="item")


def test_regular_recording_rounds_the_onset_to_a_sample():
    regular = recording(42.9 + np.arange(1000) / 100)
    markers = markers_from_events(rows(0, 0.004, 0.006, 3.21, 9.99), regular)
    assert [m.index for m in markers] == [0, 0, 1, 321, 999]
    assert [m.time for m in markers] == [regular.stamps[m.index] for m in markers]


def test_marker_times_are_those_of_samples_on_the_smoothed_corrected_clock():
    correction = np.linspace(-860.0, -860.1, 500)
    jittered = recording(
        7 + np.arange(500) / 100 + np.random.default_rng(1).normal(0, 2e-3, 500),
        correction=correction,
    )
    for m in markers_from_events(rows(0.5, 1.237, 4.9), jittered):
        assert m.time == sample_times(jittered)[m.index]
        assert abs(m.time - jittered.times[m.index]) < 0.01


@pytest.mark.parametrize("onset", [-0.006, 10.0])
def test_events_outside_are_refused(onset):
    with pytest.raises(ValueError, match=r"within its 9\.990 s, got 1 of 2 outside.*\(w\)"):
        markers_from_events(rows(1.0, onset), recording(np.arange(1000) / 100))


def test_an_event_in_a_gap_is_refused():
    stamps = np.arange(1000) / 100
    stamps[500:] += 2
    assert markers_from_events(rows(7.05), recording(stamps))[0].index == 505
    with pytest.raises(ValueError, match="outside or in a gap"):
        markers_from_events(rows(6.0), recording(stamps))


@given(
    jitter=st.lists(st.floats(-0.03, 0.03), min_size=1, max_size=30),
    onsets=st.lists(st.floats(-0.5, 0.8), max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_nearest_sample_is_nearest_even_where_stamps_step_back(jitter, onsets):
    stamps = 3 + np.arange(len(jitter)) / 100 + np.array(jitter)
    times = 3 + np.array(onsets)
    found = nearest_samples(stamps, times, 100.0)
    regular = np.all(np.abs(stamps - stamps[0] - np.arange(len(stamps)) / 100) < 1e-5)
    for row, time in zip(found, times, strict=True):
        distance = np.abs(stamps - time)
        if row < 0:
            assert distance.min() > (0.004 if regular else 0.1)
        else:
            assert distance[row] <= distance.min() + 2e-5


def test_no_samples_no_rows():
    assert nearest_samples(np.zeros(0), np.array([1.0]), 100.0).tolist() == [-1]


def test_measured_rate_does_not_count_losses_and_jumps():
    rng = np.random.default_rng(0)
    stamps = np.arange(60_000) / 250.1 + rng.normal(0, 0.004, 60_000)
    stamps[20_000:] += 3.0  # lost
    stamps[40_000:] -= 9000.0  # another clock
    assert measured_sfreq(stamps, 250.0) == pytest.approx(250.1, abs=0.02)
