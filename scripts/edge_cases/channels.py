"""Types, units, scale and names of channels.

A small participant with VEOG, HEOG, ECG and RESP is written in every format by writers of our own
(bytes), by MNE or by scipy. Its model has the references in its contract.
"""

from __future__ import annotations

import functools
import json
import struct
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edge_cases.case import Ran, case, rt_calibrate, rt_decoder

from tests.small import fit_small, small_recipe, small_recording

NAMES = ("Fz", "Cz", "Pz", "Oz", "C3", "C4", "P7", "P8", "VEOG", "HEOG", "ECG", "RESP")
TYPES = ("eeg",) * 8 + ("eog", "eog", "ecg", "resp")
SFREQ = 250


@functools.cache
def heard(session: int) -> Any:
    """What the participant hears and what is measured, 24 s."""
    return small_recording(session=session, seconds=24.0)


@functools.cache
def model_path() -> Path:
    """A model whose contract holds the references, in a file."""
    from rt_decoder.files.model_file import save_model

    recipe = small_recipe(clean={"stages": ["eye", "regressors"]})
    path = Path(tempfile.mkdtemp(prefix="rt_decoder-edges-")) / "me.rtd.safetensors"
    model = fit_small(small_recording(seconds=60.0), recipe)
    assert model.references == NAMES[8:]
    save_model(model, path)
    return path


def microvolts(session: int = 2) -> np.ndarray:
    return 1e6 * heard(session).data[:, :12]


def marks(session: int = 2) -> list[tuple[float, str]]:
    return [(marker.index / SFREQ, marker.label) for marker in heard(session).markers]


# --- writers


def write_edf(
    path: Path, names: Sequence[str], units: Sequence[str], data: np.ndarray, *, bdf: bool = False,
    reach: float = 3276.7, sfreq: int = SFREQ,
) -> Path:  # fmt: skip
    """EDF+ or BDF+ of `data` (n, c) within +-`reach`, with the words as annotations."""
    top, width, annotated = (2**23 - 1, 3, "BDF") if bdf else (32767, 2, "EDF")
    ns, n_rec, tal = data.shape[1] + 1, len(data) // sfreq, 60

    def field(text: object, n: int) -> bytes:
        return str(text).encode("latin-1")[:n].ljust(n)

    columns = [
        ([*names, f"{annotated} Annotations"], 16), ([""] * ns, 80), ([*units, ""], 8),
        ([f"{-reach:g}"] * (ns - 1) + [-1], 8), ([f"{reach:g}"] * (ns - 1) + [1], 8),
        ([-top] * ns, 8), ([top] * ns, 8), ([""] * ns, 80),
        ([sfreq] * (ns - 1) + [tal], 8), ([""] * ns, 32),
    ]  # fmt: skip
    head = (b"\xffBIOSEMI" if bdf else field("0", 8)) + field("X X X X", 80)
    head += field("Startdate 31-MAR-2024 X X X", 80) + field("31.03.24", 8) + field("10.00.00", 8)
    head += field(256 * (ns + 1), 8) + field(f"{annotated}+C", 44) + field(n_rec, 8)
    head += field(1, 8) + field(ns, 4)
    head += b"".join(field(text, n) for texts, n in columns for text in texts)
    counts = np.rint(data / reach * top).astype("<i4")
    body = [head]
    for k in range(n_rec):
        for column in counts[k * sfreq : (k + 1) * sfreq].T:
            raw = np.ascontiguousarray(column).view(np.uint8).reshape(-1, 4)
            body.append(raw[:, :width].tobytes())
        text = f"+{k}\x14\x14\0".encode()
        for onset, label in marks():
            if k <= onset < k + 1:
                text += f"+{onset:.3f}\x14{label}\x14\0".encode()
        body.append(text.ljust(width * tal, b"\0"))
    path.write_bytes(b"".join(body))
    return path


def write_brainvision(path: Path, names: Sequence[str], data: np.ndarray) -> Path:
    """BrainVision in float32 microvolts."""
    stem = path.with_suffix("").name
    channels = "\n".join(f"Ch{k}={name},,1,µV" for k, name in enumerate(names, 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}.eeg\nMarkerFile={stem}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(names)}\n"
        f"SamplingInterval={1e6 / SFREQ:g}\n\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n\n"
        f"[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    path.with_suffix(".eeg").write_bytes(data.astype("<f4").tobytes())
    rows = "\n".join(
        f"Mk{k}=Stimulus,{label},{round(onset * SFREQ) + 1},1,0"
        for k, (onset, label) in enumerate(marks(), 1)
    )
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}.eeg\n\n[Marker Infos]\n{rows}\n",
        encoding="utf-8",
    )
    return path


def write_eeglab(path: Path, names: Sequence[str], data: np.ndarray) -> Path:
    from scipy.io import savemat

    place = {"X": 0.0, "Y": 0.0, "Z": 0.0}
    eeg = {
        "setname": "x", "nbchan": float(len(names)), "trials": 1.0, "pnts": float(len(data)),
        "srate": float(SFREQ), "xmin": 0.0, "xmax": (len(data) - 1) / SFREQ, "data": data.T,
        "icawinv": [], "icasphere": [], "icaweights": [], "icaact": [], "epoch": [],
        "chanlocs": np.array(
            [(name, *place.values()) for name in names],
            dtype=[("labels", object), ("X", object), ("Y", object), ("Z", object)],
        ),
        "event": np.array(
            [(label, onset * SFREQ + 1, 1.0) for onset, label in marks()],
            dtype=[("type", object), ("latency", object), ("duration", object)],
        ),
    }  # fmt: skip
    savemat(path, {"EEG": eeg})
    return path


def write_csv(path: Path, names: Sequence[str], data: np.ndarray) -> Path:
    table = np.column_stack((np.arange(len(data)) / SFREQ, data))
    np.savetxt(path, table, "%.7g", ",", header=",".join(("timestamps", *names)), comments="")
    return path


def write_xdf(
    path: Path, names: Sequence[str], data: np.ndarray, *, types: Sequence[str] = (),
    units: Sequence[str] | str = "microvolts", seconds: float = 24.0,
) -> Path:  # fmt: skip
    """XDF as a recorder writes it, in doubles, with the words in a marker stream."""

    def length(n: int) -> bytes:
        return b"\x01" + bytes([n]) if n < 256 else b"\x04" + struct.pack("<I", n)

    def chunk(tag: int, body: bytes) -> bytes:
        body = struct.pack("<H", tag) + body
        return length(len(body)) + body

    def head(sid: int, name: str, kind: str, n: int, rate: int, number: str, desc: str) -> bytes:
        xml = (
            f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
            f"<channel_count>{n}</channel_count><nominal_srate>{rate}</nominal_srate>"
            f"<channel_format>{number}</channel_format><source_id>s{sid}</source_id>"
            f"<desc><channels>{desc}</channels></desc></info>"
        )
        return chunk(2, struct.pack("<I", sid) + xml.encode())

    units = [units] * len(names) if isinstance(units, str) else units
    described = "".join(
        f"<channel><label>{name}</label><type>{kind}</type><unit>{unit}</unit></channel>"
        for name, kind, unit in zip(names, types or [""] * len(names), units, strict=True)
    )
    parts = [b"XDF:", chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    parts.append(head(1, "Amp", "EEG", len(names), SFREQ, "double64", described))
    parts.append(head(2, "Words", "Markers", 1, 0, "string", ""))
    for start in range(0, len(data), 50):
        rows = [
            b"\x08" + struct.pack("<d", 1000 + (start + k) / SFREQ) + row.astype("<f8").tobytes()
            for k, row in enumerate(data[start : start + 50])
        ]
        parts.append(chunk(3, struct.pack("<IBI", 1, 4, len(rows)) + b"".join(rows)))
    words = [
        b"\x08" + struct.pack("<d", 1000 + onset) + length(len(label)) + label.encode()
        for onset, label in marks()
        if onset < seconds
    ]
    parts.append(chunk(3, struct.pack("<IBI", 2, 4, len(words)) + b"".join(words)))
    path.write_bytes(b"".join(parts))
    return path


def write_fif(
    path: Path, names: Sequence[str], types: Sequence[str], data: np.ndarray,
    line_freq: float | None = None, seconds: float = 24.0,
) -> Path:  # fmt: skip
    """FIF by MNE; `data` in microvolts."""
    import mne

    info = mne.create_info(list(names), SFREQ, list(types), verbose="error")
    info["line_freq"] = line_freq
    raw = mne.io.RawArray(1e-6 * data.T, info, verbose="error")
    onsets, labels = zip(*(mark for mark in marks() if mark[0] < seconds), strict=True)
    raw.set_annotations(mne.Annotations(onsets, 0.0, labels))
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


# --- what was seen


def events_table(folder: Path) -> Path:
    path = folder / "words.tsv"
    rows = "".join(f"{onset:.4f}\t0\t{label}\n" for onset, label in marks())
    path.write_text(f"onset\tduration\tword\n{rows}")
    return path


def reading(path: Path, **options: Any) -> tuple[Any, str]:
    """A recording, and what was said of it."""
    from rt_decoder.files.read import read_recording

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read = read_recording(path, **options)
    return read, " ".join(str(one.message) for one in told)


def decode(folder: Path, path: Path, *more: str | Path, name: str = "log") -> Ran:
    return rt_decoder(
        "decode", path, "--model", model_path(), "--jsonl", folder / f"{name}.jsonl", *more
    )


def readouts(path: Path) -> list[tuple[Any, ...]]:
    """Truth, answer and whether it abstained."""
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [
        (line["label"], line["top"][0][0], line["abstained"])
        for line in lines
        if line["type"] == "readout"
    ]


def as_decoded(folder: Path, path: Path, *more: str | Path) -> str:
    """Decode a file, and compare its words with those of the XDF as it was measured."""
    whole = write_xdf(folder / "whole.xdf", NAMES, microvolts(), types=TYPES)
    ran = decode(folder, whole, name="whole")
    assert ran.code == 0, ran.err
    expected = readouts(folder / "whole.jsonl")
    ran = decode(folder, path, *more)
    assert ran.code == 0, ran.err
    found = readouts(folder / "log.jsonl")
    assert len(found) == len(expected) >= 8
    alike = sum(one[:2] == other[:2] for one, other in zip(found, expected, strict=True))
    assert alike == len(expected), f"{alike} of {len(expected)} words alike"
    return f"{alike} of {len(expected)} words as from the XDF that was measured"


def refused(ran: Ran, *words: str) -> str:
    assert ran.code == 1, (ran.code, ran.err)
    for word in words:
        assert word in ran.err, ran.err
    return f"refused: {ran.err.strip().splitlines()[-1][:230]}"


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


# --- scale


def other_scale(name: str, gain: float, before: str) -> None:
    @case("channels", name, before)
    def _(folder: Path) -> str:
        data = microvolts() * np.r_[np.full(8, gain), np.ones(4)]
        path = write_xdf(folder / "a.xdf", NAMES, data, types=TYPES)
        said = refused(decode(folder, path), "a.xdf: need the scale of calibration, got Fz x")
        assert not (folder / "log.jsonl").exists()
        return said


WITHOUT_A_WORD = "decoded or scored without a word, exit 0"
other_scale("decode of data 1,000 times too small", 1e-3, WITHOUT_A_WORD)
other_scale("decode of data a million times too large", 1e6, WITHOUT_A_WORD)
other_scale("decode of data 30 times too large", 30.0, WITHOUT_A_WORD)


@case("channels", "evaluate of data 1,000 times too small", WITHOUT_A_WORD)
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, 1e-3 * microvolts(), types=TYPES)
    ran = rt_calibrate("evaluate", path, "--model", model_path())
    return refused(ran, "a.xdf: need the scale of calibration", "x0.001")


@case("channels", "clean of data 1,000 times too small", "cleaned without a word")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, 1e-3 * microvolts(), types=TYPES)
    ran = rt_decoder("clean", path, "--model", model_path(), "-o", folder / "c_raw.fif")
    assert not (folder / "c_raw.fif").exists()
    return refused(ran, "a.xdf: need the scale of calibration", "x0.001")


@case("channels", "runs of one fit in different units", "fitted without a word")
def _(folder: Path) -> str:
    one = write_xdf(folder / "one.xdf", NAMES, microvolts(), types=TYPES)
    two = write_xdf(folder / "two.xdf", NAMES, microvolts() * 1e3, types=TYPES)
    ran = rt_calibrate("cleaning", one, two, "-o", folder / "m")
    assert not (folder / "m").exists()
    return refused(ran, "two.xdf: need the scale of one.xdf", "x1e+03")


@case("channels", "100 uV of mains is no unit", "decoded; live, steps were compared, and it was refused")
def _(folder: Path) -> str:
    hum = 141.0 * np.sin(2 * np.pi * 50.0 * np.arange(len(microvolts())) / SFREQ)
    path = write_xdf(folder / "a.xdf", NAMES, microvolts() + hum[:, None], types=TYPES)
    ran = decode(folder, path)
    assert (ran.code, "scale" in ran.err) == (0, False), ran.err
    return f"decoded, {len(readouts(folder / 'log.jsonl'))} readouts"


@case("channels", "another day, three times larger", "decoded")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, 3.0 * microvolts(), types=TYPES)
    ran = decode(folder, path)
    assert (ran.code, "scale" in ran.err) == (0, False), ran.err
    return f"decoded, {len(readouts(folder / 'log.jsonl'))} readouts"


# --- NaN


@case("channels", "NaN in a channel in use", "refused: need numbers, got 1 NaN")
def _(folder: Path) -> str:
    data, (onset, label) = microvolts().copy(), marks()[3]
    data[round((onset + 0.3) * SFREQ), 2] = np.nan
    path = write_xdf(folder / "a.xdf", NAMES, data, types=TYPES)
    ran = decode(folder, path)
    assert ran.code == 0, ran.err
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    of_word = [line for line in lines if line["type"] == "readout"][3]
    assert of_word["label"] == label
    assert "nonfinite" in of_word["reasons"], of_word
    return f"held and flagged: {', '.join(of_word['reasons'])}, quality {of_word['quality']}"


@case("channels", "NaN in FIF, in a channel that nobody uses", "refused: need numbers")
def _(folder: Path) -> str:
    data = np.column_stack((microvolts(), np.full(len(microvolts()), np.nan)))
    path = write_fif(folder / "a_raw.fif", (*NAMES, "spare"), (*TYPES, "misc"), data)
    return as_decoded(folder, path)


@case("channels", "NaN in CSV, in a channel that nobody uses", "refused: need numbers")
def _(folder: Path) -> str:
    data = np.column_stack((microvolts(), np.full(len(microvolts()), np.nan)))
    path = write_csv(folder / "a.csv", (*NAMES, "spare"), data)
    return as_decoded(
        folder, path, "--events", events_table(folder), "--units", "microvolts"
    )  # fmt: skip


@case("channels", "nothing but NaN", "refused: need numbers, got 6000 NaN")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, np.full_like(microvolts(), np.nan), types=TYPES)
    return refused(decode(folder, path), "a.xdf: need numbers, got only NaN")


@case("channels", "a picked channel of nothing but NaN", "refused: need numbers")
def _(folder: Path) -> str:
    data = microvolts().copy()
    data[:, 4] = np.inf
    path = write_xdf(folder / "a.xdf", NAMES, data, types=TYPES)
    return refused(rt_calibrate("cleaning", path, "-o", folder / "m"), "only NaN in C3: leave it")


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
    assert rt_calibrate("cleaning", path, "-o", folder / "m").code == 0
    assert load_model(folder / "m").recipe.stream.line_freq == 60.0
    ran = rt_calibrate("cleaning", path, "-o", folder / "n", "--line-freq", "50")
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


@case("channels", "the average of one channel", "error: The leading minor of order 1 of B is not positive definite.")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, microvolts(), types=TYPES)
    ran = rt_calibrate("cleaning", path, "-o", folder / "m", "--picks", "Cz")
    told = refused(ran, "need two eeg channels or more for an average reference, got Cz alone")
    ran = rt_calibrate("cleaning", path, "-o", folder / "m", "--picks", "Cz", "--reference", "none")
    assert ran.code == 0, ran.err
    return told


# --- live


def live(folder: Path, name: str, *more: str | Path) -> list[dict[str, Any]]:
    """Decode the stream of this name until it ends, with a record; the lines of the log."""
    ran = rt_decoder(
        "run", "--model", model_path(), "--name", name, "--log", folder / "live.jsonl",
        "--record", folder / "live.xdf", "--until-lost", "--outlet", "", *more,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in (folder / "live.jsonl").read_text().splitlines()]


def sending(declared: Sequence[tuple[str, str, str]], data: np.ndarray) -> tuple[str, Any]:
    """An amplifier with these labels, types and units, in a thread; its name."""
    import pylsl

    name = f"edges-{uuid.uuid4().hex}"
    info = pylsl.StreamInfo(name, "EEG", len(declared), SFREQ, "double64", name)
    channels = info.desc().append_child("channels")
    for row in declared:
        channel = channels.append_child("channel")
        for key, text in zip(("label", "type", "unit"), row, strict=True):
            if text:
                channel.append_child_value(key, text)

    def send() -> None:
        outlet = pylsl.StreamOutlet(info)
        outlet.wait_for_consumers(60.0)
        begin = pylsl.local_clock()
        for k in range(0, len(data), 5):
            stop = min(k + 5, len(data))
            outlet.push_chunk(data[k:stop].tolist(), begin + (stop - 1) / SFREQ)
            time.sleep(max(0.0, begin + stop / SFREQ - pylsl.local_clock()))
        del outlet

    thread = threading.Thread(target=send)
    thread.start()
    return name, thread


@case("channels", "live, a stream without types, a belt without a unit", "refused: RESP counts as EEG and has no unit")
def _(folder: Path) -> str:
    units = ["microvolts"] * 11 + [""]
    declared = [(name, "", unit) for name, unit in zip(NAMES, units, strict=True)]
    name, thread = sending(declared, microvolts()[: 2 * SFREQ])
    lines = live(folder, name)
    thread.join()
    events = {line["event"]: line for line in lines if line["type"] == "event"}
    assert "VEOG is eog" in events["types_by_name"]["channels"], events
    assert events["reference_left_out"]["channel"] == "RESP", events
    read, _ = reading(folder / "live.xdf")
    assert read.info.ch_types == TYPES, read.info.ch_types
    return f"events types_by_name and reference_left_out ({events['reference_left_out']['reason']})"


@case("channels", "live, powers of ten as mne-lsl's player declares", "refused: RESP, got n/a")
def _(folder: Path) -> str:
    declared = [(name, kind, "0") for name, kind in zip(NAMES, TYPES, strict=True)]
    name, thread = sending(declared, 1e-6 * microvolts()[: 2 * SFREQ])
    lines = live(folder, name)
    thread.join()
    events = {line["event"] for line in lines if line["type"] == "event"}
    assert not events & {"reference_left_out", "types_by_name", "scale"}, events
    return "every channel in use"


@case("channels", "live, volts for microvolts", "refused within 10 s")
def _(_: Path) -> str:
    declared = [(name, kind, "volts") for name, kind in zip(NAMES, TYPES, strict=True)]
    name, thread = sending(declared, microvolts()[: 11 * SFREQ])
    ran = rt_decoder("run", "--model", model_path(), "--name", name, "--outlet", "")
    thread.join()
    return refused(ran, "need the scale of calibration", "--units")


def replayed(folder: Path, path: Path) -> str:
    """Replay a file to `run`; live and recorded words are those of `decode`."""
    from tests.small import finish, start

    name = f"edges-{uuid.uuid4().hex}"
    ran = decode(folder, path)
    assert ran.code == 0, ran.err
    replaying = start("replay", path, "--name", name)
    try:
        live(folder, name, "--markers", f"{name}-markers")
    finally:
        finish(replaying)
    ran = decode(folder, folder / "live.xdf", name="record")
    assert ran.code == 0, ran.err
    kept = [readouts(folder / f"{stem}.jsonl") for stem in ("log", "live", "record")]
    assert kept[0] == kept[1] == kept[2], [len(one) for one in kept]
    return f"{len(kept[0])} words live, recorded and decoded alike"


@case("channels", "live replay of XDF converted to FIF", "refused: RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    whole = write_xdf(folder / "w.xdf", NAMES, microvolts()[: 8 * SFREQ], types=TYPES, seconds=7.0)
    assert rt_decoder("convert", whole, "-o", folder / "a_raw.fif").code == 0
    return replayed(folder, folder / "a_raw.fif")


@case("channels", "live replay of FIF converted to XDF", "refused: RESP: need a unit of V, got n/a")
def _(folder: Path) -> str:
    data = microvolts()[: 8 * SFREQ]
    fif = write_fif(folder / "w_raw.fif", NAMES, TYPES, data, seconds=7.0)
    assert rt_decoder("convert", fif, "-o", folder / "a.xdf").code == 0
    return replayed(folder, folder / "a.xdf")
