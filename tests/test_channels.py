"""Names, types and units of channels: as declared by the stream, or set by the user."""

import pytest

from rt_decoder.channels import Declared, declared_info
from rt_decoder.files.tables import read_channel_table


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
