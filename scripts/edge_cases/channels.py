"""Types, units, scale and names of channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from edge_cases import channel_scale, channel_streams  # noqa: F401  (more cases)
from edge_cases.case import case, rt_calibrate, rt_decoder
from edge_cases.channel_files import (
    NAMES,
    TYPES,
    as_decoded,
    decode,
    events_table,
    marks,
    microvolts,
    reading,
    readouts,
    refused,
    write_brainvision,
    write_csv,
    write_edf,
    write_eeglab,
    write_fif,
    write_xdf,
)

# --- types


def typed(before: str) -> Callable[[Callable[[Path], tuple[Path, dict[str, Any]]]], Any]:
    """Case: a format without types."""

    def enter(write: Callable[[Path], tuple[Path, dict[str, Any]]]) -> Any:
        name = write.__name__.replace("_", " ")

        @case("channels", f"types from {name}", before)
        def run(folder: Path) -> str:
            path, options = write(folder)
            read, told = reading(path, **options)
            assert read.info.ch_types == TYPES, read.info.ch_types
            assert "VEOG is eog" in told, told
            assert "RESP is resp" in told, told
            own = path.suffix not in (".csv", ".vhdr")  # BrainVision's are Stimulus/word1
            more: tuple[Any, ...] = () if own else ("--events", events_table(folder))
            for option, value in options.items():
                more += (f"--{option}", value)
            words = as_decoded(folder, path, *more)
            return f"as they are; said: {told[told.index('channels without') :][:90]}...; {words}"

        return run

    return enter


ALL_EEG = "all twelve eeg, in the average reference and in the map, without a word"


@typed(ALL_EEG)
def EDF(folder: Path) -> tuple[Path, dict[str, Any]]:
    return write_edf(folder / "a.edf", NAMES, ["uV"] * 12, microvolts()), {}


@typed(ALL_EEG)
def BDF(folder: Path) -> tuple[Path, dict[str, Any]]:
    return write_edf(folder / "a.bdf", NAMES, ["uV"] * 12, microvolts(), bdf=True), {}


@typed(ALL_EEG)
def BrainVision(folder: Path) -> tuple[Path, dict[str, Any]]:
    return write_brainvision(folder / "a.vhdr", NAMES, microvolts()), {}


@typed(ALL_EEG)
def EEGLAB(folder: Path) -> tuple[Path, dict[str, Any]]:
    return write_eeglab(folder / "a.set", NAMES, microvolts()), {}


@typed(ALL_EEG)
def CSV(folder: Path) -> tuple[Path, dict[str, Any]]:
    return write_csv(folder / "a.csv", NAMES, microvolts()), {"units": "microvolts"}


@typed(ALL_EEG)
def XDF_of_type_EEG(folder: Path) -> tuple[Path, dict[str, Any]]:
    return write_xdf(folder / "a.xdf", NAMES, microvolts()), {}


@case("channels", "names that speak of no type stay EEG", "eeg")
def _(_: Path) -> str:
    from rt_decoder.channels import type_of_name

    eeg = "E1 E12 EXG1 EXG8 Ref REF AUX M1 A2-A1 TP9 Fp1-F7 EEG ECoG1 PO4 TRG EOZ EMGANG STIM-LESS1"
    stay = [name for name in eeg.split()[:-2] if type_of_name(name)]
    assert stay == [], stay
    other = {
        "EEG EKG1-Ref": "ecg", "EOG-L": "eog", "eog left": "eog", "VEO": "eog", "HEOGR": "eog",
        "Chin EMG": "emg", "ECG ECG": "ecg", "Resp nasal": "resp", "Belt1": "resp", "STI 014": "stim",
        "STI101": "stim", "Status": "stim", "GSR2": "misc", "Temp rectal": "misc", "x_dir": "misc",
    }  # fmt: skip
    found = {name: type_of_name(name) for name in other}
    assert found == other, found
    return f"{len(eeg.split()) - 2} names stay EEG, {len(other)} tell their type"


@case("channels", "channels.tsv of BIDS beside an EDF", "not read; all eeg, the bad one in use")
def _(folder: Path) -> str:
    names = ("Fz", "Cz", "left eye", "chest", "P3")
    write_edf(folder / "sub-01_task-x_eeg.edf", names, ["uV"] * 5, microvolts()[:, :5])
    (folder / "sub-01_task-x_channels.tsv").write_text(
        "name\ttype\tunits\tstatus\tlow_cutoff\nFz\tEEG\tuV\tgood\t0.1\nCz\tEEG\tuV\tgood\t0.1\n"
        "left eye\tHEOG\tuV\tgood\t0.1\nchest\tECG\tuV\tgood\t0.1\nP3\tEEG\tuV\tbad\t0.1\n"
    )
    read, told = reading(folder / "sub-01_task-x_eeg.edf")
    kinds = dict(zip(read.info.ch_names, read.info.ch_types, strict=True))
    assert kinds["left eye"] == "eog", kinds
    assert kinds["chest"] == "ecg", kinds
    np.testing.assert_allclose(1e6 * read.data[:5900, 0], microvolts()[:5900, 0], atol=0.1)
    return f"left eye is eog, chest is ecg, in volts once; {told or 'nothing to say'}"


@case("channels", "channels.tsv of BIDS over names", "all eeg")
def _(folder: Path) -> str:
    folder = folder / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    write_brainvision(folder / "sub-01_task-x_run-1_eeg.vhdr", ("Fz", "ECG"), microvolts()[:, :2])
    (folder / "sub-01_task-x_channels.tsv").write_text(
        "name\ttype\tunits\nFz\tEEG\tn/a\nECG\tEMG\tµV\n"
    )
    read, _ = reading(folder / "sub-01_task-x_run-1_eeg.vhdr")
    assert read.info.ch_types == ("eeg", "emg"), read.info.ch_types
    return "ECG is emg, as the table has it"


@case("channels", "--channels with the columns of BIDS", "refused: need tab-separated columns")
def _(folder: Path) -> str:
    table = folder / "channels.tsv"
    table.write_text("name\ttype\tunits\tgroup\nFz\tEEG\tμV\tcap\nVEOG\tECG\tµV\tface\n")
    path = write_xdf(folder / "a.xdf", ("Fz", "VEOG"), microvolts()[:, [0, 8]], units="")
    read, _ = reading(path, channels=table)
    assert read.info.ch_types == ("eeg", "ecg"), read.info.ch_types
    assert [unit[-1] for unit in read.info.units] == ["V", "V"]
    edf = write_edf(folder / "a.edf", ("Fz", "VEOG"), ["uV"] * 2, microvolts()[:, [0, 8]])
    read, _ = reading(edf, channels=table)
    assert np.abs(read.data).max() < 1e-2
    assert read.info.units == ("V", "V"), read.info.units
    return "taken for XDF and EDF; both letters mu; volts once"


# --- units


@case("channels", "XDF converted to FIF", "refused: channel RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    whole = write_xdf(folder / "w.xdf", NAMES, microvolts(), types=TYPES)
    assert rt_decoder("convert", whole, "-o", folder / "a_raw.fif").code == 0
    return as_decoded(folder, folder / "a_raw.fif")


@case("channels", "FIF converted to XDF", "refused: channel RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    fif = write_fif(folder / "w_raw.fif", NAMES, TYPES, microvolts())
    assert rt_decoder("convert", fif, "-o", folder / "a.xdf").code == 0
    return as_decoded(folder, folder / "a.xdf")


@case("channels", "a belt without a unit", "refused: channel RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    units = ["microvolts"] * 11 + [""]
    path = write_xdf(folder / "a.xdf", NAMES, microvolts(), types=TYPES, units=units)
    said = as_decoded_with_warning(folder, path, "reference RESP is left out: need a unit of V")
    ran = decode(folder, path, "--units", "microvolts")
    assert "left out" not in ran.err, ran.err
    return f"{said}; --units reaches it"


@case("channels", "a belt in percent", "refused: channel RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    units = ["microvolts"] * 11 + ["%"]
    path = write_xdf(folder / "percent.xdf", NAMES, microvolts(), types=TYPES, units=units)
    return as_decoded_with_warning(folder, path, "reference RESP is left out: need a unit of V")


def as_decoded_with_warning(folder: Path, path: Path, told: str) -> str:
    ran = decode(folder, path)
    assert ran.code == 0, ran.err
    assert told in ran.err, ran.err
    found = readouts(folder / "log.jsonl")
    assert len(found) == len(marks()), len(found)
    return ran.err.strip()[:160]


@case("channels", "EDF in nV and without a unit", "nV read as V, 1e9 too large; '' as V; no word")
def _(folder: Path) -> str:
    data = microvolts()[:, :3]
    path = write_edf(folder / "a.edf", NAMES[:3], ["nV", "", "uV"], data)
    read, told = reading(path)
    assert read.info.units == ("nV", "V", "V"), read.info.units
    assert "Fz in nV" in told, told
    assert "count as V: Cz" in told, told
    return told[:200]


# --- names


@case("channels", "names that differ by case", "need channels Fz, ...; not that they are there")
def _(folder: Path) -> str:
    names = [name.lower() for name in NAMES]
    path = write_xdf(folder / "a.xdf", names, microvolts(), types=TYPES)
    return refused(decode(folder, path), "differ only in upper and lower case", "fz for Fz")


@case("channels", "names that differ by spaces", "need channels Fz, ...; not that they are there")
def _(folder: Path) -> str:
    names = [f"{name[0]} {name[1:]}" for name in NAMES]
    path = write_xdf(folder / "a.xdf", names, microvolts(), types=TYPES)
    return refused(decode(folder, path), "or spaces (F z for Fz", "--channels")


# --- mains, and a single channel


@case("channels", "the mains that a FIF states", "50 Hz whatever the file says")
def _(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model

    path = write_fif(folder / "a_raw.fif", NAMES, TYPES, microvolts(), line_freq=60.0)
    assert rt_calibrate("cleaning", path, "-o", folder / "m.safetensors").code == 0
    assert load_model(folder / "m.safetensors").recipe.stream.line_freq == 60.0
    ran = rt_calibrate("cleaning", path, "-o", folder / "n.safetensors", "--line-freq", "50")
    assert "the recordings state others (a_raw.fif 60 Hz)" in ran.err, ran.err
    said = decode(folder, path).err
    assert "it states mains of 60 Hz, the model takes out 50 Hz" in said, said
    return said.strip().splitlines()[-1][:200]


@case("channels", "the mains that BIDS states above the file", "50 Hz whatever the file says")
def _(folder: Path) -> str:
    (folder / "dataset_description.json").write_text("{}")
    (folder / "task-x_eeg.json").write_text('{"PowerLineFrequency": 60}')
    inside = folder / "sub-01" / "eeg"
    inside.mkdir(parents=True)
    path = write_edf(inside / "sub-01_task-x_eeg.edf", NAMES, ["uV"] * 12, microvolts())
    read, _ = reading(path)
    assert read.line_freq == 60.0
    return "60 Hz"


@case(
    "channels",
    "the average of one channel",
    "error: The leading minor of order 1 of B is not positive definite.",
)
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, microvolts(), types=TYPES)
    ran = rt_calibrate("cleaning", path, "-o", folder / "m.safetensors", "--picks", "Cz")
    told = refused(ran, "need two eeg channels or more for an average reference, got Cz alone")
    ran = rt_calibrate(
        "cleaning", path, "-o", folder / "m.safetensors", "--picks", "Cz", "--reference", "none"
    )
    assert ran.code == 0, ran.err
    return told
