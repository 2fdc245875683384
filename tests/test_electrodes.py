"""Electrodes by the names of channels: as files and amplifiers write them, and who uses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.cleaning.eye_events import find_eye_events
from calibration.electrodes import placed, positions_by_name
from calibration.montage import channel_matrix, common_channels
from calibration.report.head_maps import heads_of
from rt_decoder.files.sums import PersonSums
from rt_decoder.signal import ModelMismatch, SignalInfo
from rt_decoder.simulation.head import electrodes
from rt_decoder.timing.electrodes import electrode_name, electrode_names, shared_names
from rt_decoder.timing.matching import match_channels
from tests.people import person

STYLES = (
    "EEG {}",
    "{}-LE",
    "{}",
    "{}.",
    "{}..",
    "EEG {}-Ref",
    "{}-A1",
    "EEG.{}",
    "EEG_{}",
    "{} (uV)",
    "{} uV",
    "{}_\u00b5V",
    "{}'",
    "'{}'",
    "[{}]",
    "{}-VREF",
    "{}A2",
    "{}REF",
    "{}-(A1+A2)/2",
    "EEG{}",
    "EEG1 {}",
    "01-{}",
    "Channel_{}",
    "EEG {} - Avg [uV]",
)
CAP = electrodes(64)[0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("change", [str, str.upper, str.lower, str.title])
def test_every_electrode_is_known_however_it_is_written(style, change):
    for name in CAP:
        assert electrode_name(style.format(change(name))) == name


@pytest.mark.filterwarnings("ignore:Montage name:FutureWarning")
def test_names_are_those_of_the_published_system():
    mne = pytest.importorskip("mne")
    names = mne.channels.make_standard_montage("standard_1005").ch_names
    old = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    assert [electrode_name(name) for name in names] == [old.get(name, name) for name in names]


@pytest.mark.parametrize(
    "name",
    [
        "EEG 001",
        "EEG1-Ref",
        "CH 1",
        "Fp1-F7",
        "F3C3",
        "A1 Fp1",
        "EEG Fpz-Cz",
        "A2-A1",
        "A1A2",
        "EXG1",
        "VEOG",
        "ECG A1",
        "MEG0111",
        "E12",
        "E22",
        "E1M2",
        "O2Sat",
        "Right AUX",
        "Ref",
        "uV",
        "EEG",
        "",
    ],
)
def test_other_names_tell_no_electrode(name):
    assert electrode_name(name) == ""


def test_two_channels_are_never_one():
    assert electrode_names(["T3", "T7", "Cz"]) == ("", "", "Cz")
    assert shared_names(["EEG Fp1", "fp1", "Cz."]) == ("EEG Fp1", "fp1", "Cz")
    assert electrode_names(["F3", "EEG F3"], ["seeg", "eeg"]) == ("", "F3")


def test_one_electrode_of_all_pairs_is_their_reference():
    names = ["Fp1-Cz", "Fp2-Cz", "EEG O1-Cz", "O2-Cz", "ECG"]
    assert electrode_names(names) == ("Fp1", "Fp2", "O1", "O2", "")
    assert electrode_names(["Fp1-F7", "F7-T3", "T3-T5", "T5-O1"]) == ("",) * 4


def test_letters_that_count_are_no_rows_of_the_head():
    caps = [f"{letter}{i}" for letter in "ABCD" for i in range(1, 33)]
    assert set(electrode_names(caps)) == {""}
    assert electrode_names([*caps, "Cz"])[-1] == "Cz"
    assert set(electrode_names(["EEG C3-Ref", *(f"EEG {name}-Ref" for name in caps[:32])])) == {""}
    shaft = [f"O{i}" for i in range(1, 9)]
    assert electrode_names([*shaft, "Cz", "C3"]) == ("",) * 8 + ("Cz", "C3")
    clinic = ["X1", "X2", "X3", "X4", "T1", "T2", "Fp1", "C3", "O1"]
    assert electrode_names(clinic)[-3:] == ("Fp1", "C3", "O1")
    assert electrode_names(["TP9", "AF7", "AF8", "TP10", "Right AUX"])[:2] == ("TP9", "AF7")


@given(st.lists(st.text(max_size=12), max_size=12, unique=True))
def test_names_stay_apart(names):
    told, shared = electrode_names(names), shared_names(names)
    assert len(told) == len(shared) == len(names)
    assert len(set(shared)) == len(names)
    real = [one for one in told if one]
    assert len(set(real)) == len(real)
    assert all(electrode_name(one) == one for one in real)


@pytest.mark.parametrize("style", STYLES)
def test_blinks_are_found_in_frontal_channels_of_any_style(style):
    rng, sfreq = np.random.default_rng(0), 100.0
    names = ("Fp1", "Fp2", "F7", "F8", "Cz", "Pz", "O1", "O2")
    front = np.array([1.0, 0.9, 0.3, 0.3, 0.1, 0.0, 0.0, 0.0])
    onsets = np.arange(300, 6000, 500)
    bump = np.zeros(6000)
    bump[(onsets[:, None] + np.arange(30)).ravel()] = np.tile(np.hanning(30), len(onsets))
    data = 1e-6 * rng.standard_normal((6000, 8)) + 1e-4 * np.outer(bump, front)
    info = SignalInfo(sfreq, tuple(map(style.format, names)), ("eeg",) * 8, ("V",) * 8)
    events = find_eye_events(data, info, np.zeros(6000, bool))
    assert events.way == "frontal"
    assert events.source == info.ch_names[:4]
    assert len(events.blinks) == len(onsets)


def _with_names(one: PersonSums, names: list[str]) -> PersonSums:
    return replace(one, layout=dict(one.layout) | {"channels": names})


def test_people_share_channels_that_are_named_differently():
    (one,) = person(seed=1, n=120).companion.people
    names = list(CAP[: len(one.layout["channels"])])
    other = [f"EEG {name.upper()}-Ref" for name in names[::-1]]
    people = [_with_names(one, names), _with_names(one, other)]
    assert common_channels(people) == names
    assert common_channels(people[::-1]) == other
    np.testing.assert_array_equal(channel_matrix(people[1], names), np.eye(len(names))[::-1])
    nowhere = replace(people[1], positions=None)
    by_place = channel_matrix(nowhere, names, None, "position")
    np.testing.assert_allclose(by_place, np.eye(len(names))[::-1], atol=0.2)


def test_maps_and_neighbours_have_places():
    names = tuple(f"EEG {name}-LE" for name in CAP)
    info = SignalInfo(100.0, (*names, "ECG"), ("eeg",) * 64 + ("ecg",), ("V",) * 65)
    (head,) = heads_of(info, 64)
    assert len(head.picks) == 64
    known = placed(info)
    assert np.isfinite(known[:64]).all()
    assert np.isnan(known[64]).all()
    np.testing.assert_array_equal(known[:64], positions_by_name(CAP))
    own = replace(info, positions=np.ones((65, 3)))
    assert placed(own) is own.positions
    assert placed(SignalInfo(100.0, ("a", "b"), ("eeg",) * 2, ("V",) * 2)) is None


def test_a_stream_that_is_named_differently_is_refused_with_the_names():
    want = SignalInfo(100.0, ("Fp1", "Cz"), ("eeg",) * 2, ("V",) * 2)
    have = SignalInfo(100.0, ("EEG Fp1", "EEG Cz"), ("eeg",) * 2, ("V",) * 2)
    with pytest.raises(ModelMismatch, match=r"same electrodes \(EEG Fp1 for Fp1, EEG Cz for Cz\)"):
        match_channels(have, want)
