"""Names, types and units of channels: as declared by the stream, or set by the user."""

from pathlib import Path

import mne
import numpy as np
import pytest

from rt_decoder.channels import (
    ChannelRow,
    Declared,
    declared_info,
    types_by_name,
    types_sentence,
)
from rt_decoder.files.read import read_recording
from rt_decoder.files.sidecar import beside, power_line_frequency
from rt_decoder.files.tables import read_channel_table
from rt_decoder.signal import ModelMismatch, SignalInfo
from rt_decoder.timing.matching import left_out, match_channels


def table(tmp_path, text):
    path = tmp_path / "channels.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_types_ignore_case_and_default_to_that_of_the_stream():
    info = declared_info(
        250.0,
        [
            Declared("Cz", "EEG", "microvolts"),
            Declared("H", "HEOG", "uV"),
            Declared("M1", "MEG", "fT"),
            Declared("G1", "MEG", "fT/cm"),
            Declared("P", "", "mV"),
            Declared("X", "gyroscope", "dps"),
            Declared("T", "TRIG", ""),
        ],
        "EEG",
    )
    assert info.ch_types == ("eeg", "eog", "mag", "grad", "eeg", "misc", "stim")
    assert info.units == ("microvolts", "uV", "fT", "fT/cm", "mV", "n/a", "n/a")


def test_missing_labels_are_numbered_by_place():
    info = declared_info(
        1.0, [Declared(unit="V"), Declared("A", "", "V"), Declared()], "ECG", units="V"
    )
    assert info.ch_names == ("ch1", "A", "ch3")
    assert info.ch_types == ("ecg",) * 3


@pytest.mark.parametrize("unit", ["", "furlong"])
def test_a_missing_or_unknown_unit_is_refused_unless_given_by_hand(unit, tmp_path):
    declared = [Declared("Cz", "EEG", unit)]
    with pytest.raises(ValueError, match=r"channel Cz.*--units"):
        declared_info(250.0, declared)
    assert declared_info(250.0, declared, units="microvolts").units == ("microvolts",)
    by_hand = read_channel_table(table(tmp_path, "stream_name\tunit\nCz\tmV\n"))
    assert declared_info(250.0, declared, channels=by_hand, units="V").units == ("mV",)


def test_a_unit_by_hand_applies_to_types_that_can_have_it():
    declared = [Declared("Cz", "eeg", "V"), Declared("M", "mag", "fT"), Declared("S", "stim", "")]
    assert declared_info(1.0, declared, units="microvolts").units == ("microvolts", "fT", "n/a")
    assert declared_info(1.0, declared, units="n/a").units == ("n/a",) * 3


def test_table_renames_and_retypes(tmp_path):
    path = table(
        tmp_path,
        "\ufeffStream Name\tmodel_name\ttype\tunit\r\nch2\tVEOG\tEOG\t\r\n\r\nch1\tFpz\t\tmicrovolts\r\n",
    )
    info = declared_info(
        1.0,
        [Declared(), Declared(unit="mV"), Declared("Oz", "", "V")],
        "eeg",
        channels=read_channel_table(path),
    )
    assert info.ch_names == ("Fpz", "VEOG", "Oz")
    assert info.ch_types == ("eeg", "eog", "eeg")
    assert info.units == ("microvolts", "mV", "V")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label\ttype\nCz\teeg\n", "need tab-separated columns"),
        ("stream_name\tname\nCz\tCz\n", "need tab-separated columns"),
        ("name\ttype\nCz\tEEG\nCz\tEEG\n", "line 3: need each name once, got Cz"),
        ("name\ttype\ttype\nCz\tEEG\tEEG\n", "need each column once, got type"),
        ("stream_name,unit\nCz,V\n", "need tab-separated columns"),
        ("stream_name\ttype\nCz\tcheese\n", "line 2: need a type among"),
        ("stream_name\ttype\nCz\teeg\nCz\teog\n", "line 3: need each stream_name once, got Cz"),
        ("stream_name\ttype\nCz\teeg\tV\n", "line 2: need a stream_name and at most 2"),
        ("stream_name\ttype\n\teeg\n", "line 2: need a stream_name"),
    ],
)
def test_bad_tables(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason):
        read_channel_table(table(tmp_path, text))


def test_a_table_row_without_its_channel_is_refused(tmp_path):
    by_hand = read_channel_table(table(tmp_path, "stream_name\nPz\n"))
    with pytest.raises(ValueError, match="names Pz, the stream has Cz"):
        declared_info(1.0, [Declared("Cz", "eeg", "V")], channels=by_hand)


def test_a_stream_that_declares_nothing_is_eeg_and_needs_a_unit():
    silent = [Declared("a"), Declared("b")]
    with pytest.raises(ValueError, match="unit"):
        declared_info(250.0, silent)
    info = declared_info(250.0, silent, units="microvolts")
    assert info.ch_types == ("eeg", "eeg")
    assert info.units == ("microvolts", "microvolts")


@pytest.mark.parametrize(
    ("ch_type", "power", "unit"),
    [("EEG", "-6", "microvolts"), ("EEG", "0", "volts"), ("MAG", "-15", "femtotesla")],
)
def test_powers_of_ten_are_units_of_the_type(ch_type, power, unit):
    assert declared_info(250.0, [Declared("a", ch_type, power)]).units == (unit,)


def test_a_power_of_ten_without_a_name_is_refused():
    with pytest.raises(ValueError, match="unit"):
        declared_info(250.0, [Declared("a", "EEG", "-5")])


# --- types by name, tables of BIDS, units of references


def test_types_come_from_names_only_where_nothing_else_tells():
    declared = [
        Declared("Fz", "", "uV"), Declared("VEOG", "", "uV"), Declared("ECG", "EEG", "uV"),
        Declared("Resp", "", ""), Declared("EXG1", "", "uV"),
    ]  # fmt: skip
    assert declared_info(1.0, declared, "EEG").ch_types == ("eeg", "eog", "eeg", "resp", "eeg")
    assert types_by_name(declared) == {"VEOG": "eog", "Resp": "resp"}
    assert declared_info(1.0, declared[:2], "ECG").ch_types == ("ecg", "ecg")
    by_hand = {"VEOG": ChannelRow(type="misc")}
    assert types_by_name(declared, channels=by_hand) == {"Resp": "resp"}
    assert "VEOG is eog, Resp is resp" in types_sentence(types_by_name(declared))
    assert types_sentence({}) == ""


def test_a_bad_channel_of_a_table_is_used_by_nothing(tmp_path):
    text = "name\ttype\tunits\tstatus\nCz\tEEG\tuV\tbad\nPz\tEEG\tn/a\tgood\nnone\tREF\t\t\n"
    by_hand = read_channel_table(table(tmp_path, text))
    declared = [Declared("Cz", "", "V"), Declared("Pz", "", "V")]
    info = declared_info(1.0, declared, channels=by_hand)
    assert (info.ch_types, info.units) == (("misc", "eeg"), ("uV", "V"))


def test_units_reach_a_belt_that_declares_none():
    belt = [Declared("RESP", "resp", ""), Declared("X", "misc", "dps"), Declared("S", "stim", "")]
    assert declared_info(1.0, belt, units="uV").units == ("uV", "n/a", "n/a")
    assert declared_info(1.0, [Declared("RESP", "resp", "0")]).units == ("volts",)


def info_of(**units: str) -> SignalInfo:
    return SignalInfo(1.0, tuple(units), ("eeg",) * len(units), tuple(units.values()))


def test_a_reference_whose_unit_does_not_convert_is_left_out_with_the_reason():
    want, have = info_of(Cz="V", RESP="V"), info_of(RESP="n/a", Cz="uV")
    picks, gains = match_channels(have, want, references=("RESP",))
    np.testing.assert_array_equal(picks, [1, -1])
    np.testing.assert_allclose(gains, [1e-6, np.nan])
    assert "need a unit of V, got n/a" in left_out(have, want, picks)["RESP"]
    with pytest.raises(ModelMismatch, match="channel RESP: need a unit of V, got n/a"):
        match_channels(have, want)
    # a belt of an earlier version's FIF had no unit, and volts all the same
    assert match_channels(info_of(RESP="V"), info_of(RESP="n/a"))[1] == 1.0
    with pytest.raises(ModelMismatch, match="need a unit of n/a, got V"):
        match_channels(info_of(RESP="uV"), info_of(RESP="n/a"))


def test_names_that_differ_by_case_or_spaces_are_shown():
    with pytest.raises(ModelMismatch, match=r"\(fz for Fz, C z for Cz\): rename with --channels"):
        match_channels(info_of(**{"fz": "V", "C z": "V"}), info_of(Fz="V", Cz="V"))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"sub-1_task-x_channels.tsv": ""}, "sub-1_task-x_channels.tsv"),
        ({"sub-1_task-y_channels.tsv": ""}, None),
        ({"../../task-x_channels.tsv": ""}, None),  # no data set
        (
            {"../../task-x_channels.tsv": "", "../../dataset_description.json": "{}"},
            "task-x_channels.tsv",
        ),
    ],
)
def test_what_bids_puts_beside_a_recording(tmp_path, files, found):
    folder = tmp_path / "sub-1" / "eeg"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    place = beside(folder / "sub-1_task-x_run-2_eeg.edf", "_channels.tsv")
    assert (place.name if place else None) == found
    assert beside(folder / "any.edf", "_channels.tsv") is None


@pytest.mark.parametrize(
    ("text", "freq"),
    [('{"PowerLineFrequency": 60}', 60.0), ('{"PowerLineFrequency": "n/a"}', None), ("[]", None)],
)
def test_power_line_frequency_beside_a_recording(tmp_path, text, freq):
    path = tmp_path / "sub-1_eeg.edf"
    assert power_line_frequency(path) is None
    (tmp_path / "sub-1_eeg.json").write_text(text)
    assert power_line_frequency(path) == freq
    (tmp_path / "sub-1_eeg.json").write_text("{")
    with pytest.raises(ValueError, match=r"sub-1_eeg\.json: need a JSON object"):
        power_line_frequency(path)


def test_a_unit_that_is_none_is_damage(tmp_path: Path) -> None:
    info = mne.create_info(["a", "b"], 250.0, ["mag", "eeg"])
    path = tmp_path / "rec_raw.fif"
    mne.io.RawArray(np.zeros((2, 500)), info, verbose=False).save(path, verbose=False)
    tesla = (112).to_bytes(4, "big")
    content = path.read_bytes()
    assert content.count(tesla) == 1
    path.write_bytes(content.replace(tesla, (16_777_217).to_bytes(4, "big")))
    with pytest.raises(OSError, match=r"cannot read rec_raw\.fif"):
        read_recording(path)
