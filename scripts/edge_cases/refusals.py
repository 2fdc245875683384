"""Calls that cannot work, and signals in every phase (`interrupts.py`)."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from edge_cases import interrupts  # noqa: F401  (of this kind, too)
from edge_cases.calls import decode, fit, missing, no_cleaning, sentence, small, write_inputs
from edge_cases.case import Ran, case, rt_calibrate, rt_decoder

from calibration.demo import save_recording

# --- files that are none


@case("refusals", "events table that is not there", "[Errno 2] No such file or directory: '/...'")
def _(folder: Path) -> str:
    write_inputs(folder)
    return sentence(decode(folder, "--events", folder / "none.tsv"), "no such file: none.tsv")


@case("refusals", "recipe that is a folder", "[Errno 21] Is a directory: '/...'")
def _(folder: Path) -> str:
    write_inputs(folder)
    (folder / "r.toml").mkdir()
    return sentence(fit(folder, "--recipe", folder / "r.toml"), "the folder r.toml")


@case("refusals", "vocabulary of bytes", "'utf-8' codec can't decode byte, after the cleaning")
def _(folder: Path) -> str:
    write_inputs(folder)
    (folder / "v.txt").write_bytes(bytes(range(128, 256)))
    with no_cleaning():
        return sentence(fit(folder, "--vocabulary", folder / "v.txt"), "v.txt", "UTF-8")


@case("refusals", "channel table that is not there, live", "searched for the stream first")
def _(folder: Path) -> str:
    write_inputs(folder)
    begin = time.monotonic()
    ran = rt_decoder(
        "run",
        "--force",
        "--model",
        folder / "m.safetensors",
        "--channels",
        folder / "c.tsv",
        "--name",
        "no",
    )
    assert time.monotonic() - begin < 5.0
    return sentence(ran, "no such file: c.tsv")


@case("refusals", "model of other bytes", "Error while deserializing header: header too large")
def _(folder: Path) -> str:
    write_inputs(folder)
    (folder / "m.safetensors").write_bytes(b"\xff" * 4096)
    return sentence(decode(folder), "m.safetensors", "no whole model file")


@case("refusals", "model without its filter, hash made anew", "__init__() missing 1 required ...")
def _(folder: Path) -> str:
    import hashlib

    from safetensors import safe_open
    from safetensors.numpy import save_file

    write_inputs(folder)
    path = folder / "m.safetensors"
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["rt_decoder"]
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "sos"}  # noqa: SIM118
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode() + tensor.tobytes())
    save_file(tensors, path, {"rt_decoder": text, "sha256": digest.hexdigest()})
    said = sentence(decode(folder), "m.safetensors", "sos")
    assert "argument" not in said
    return said


@case("refusals", "HDF5 of MATLAB without its reader", "The h5py package is required to read ...")
def _(folder: Path) -> str:
    write_inputs(folder)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
    (folder / "x.set").write_bytes(
        text.ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(512)
    )
    with missing("pymatreader", "h5py"):
        ran = rt_decoder("convert", folder / "x.set", "-o", folder / "x_raw.fif")
    return sentence(ran, "x.set", "pip install 'rt-decoder[files]'")


@case("refusals", "ANT recording without antio", "first line of several; no package named")
def _(folder: Path) -> str:
    (folder / "x.cnt").write_bytes(b"RIFF" + struct.pack("<I", 4096) + b"CNT " + bytes(4096))
    with missing("antio"):
        ran = rt_decoder("convert", folder / "x.cnt", "-o", folder / "x_raw.fif")
    return sentence(ran, "need antio to read x.cnt: pip install 'rt-decoder[files]'")


@case("refusals", "BrainVision header without its data", "[Errno 2] in the middle of a sentence")
def _(folder: Path) -> str:
    (folder / "x.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=x.eeg\nMarkerFile=x.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=1\nSamplingInterval=4000\n[Binary Infos]\nBinaryFormat=INT_16\n"
        "[Channel Infos]\nCh1=Fz,,0.1,uV\n"
    )
    return sentence(rt_decoder("convert", folder / "x.vhdr", "-o", folder / "x_raw.fif"), "x.vhdr")


# --- before the cleaning


@case("refusals", "layer that the language model has not", "said after the cleaning")
def _(folder: Path) -> str:
    write_inputs(folder)
    with no_cleaning():
        return sentence(fit(folder, "--layer", "99"), "need a layer from -7 to 6, got 99")


@case(
    "refusals", "wordfreq that is not installed", "No module named 'wordfreq', after the cleaning"
)
def _(folder: Path) -> str:
    write_inputs(folder)
    with no_cleaning(), missing("wordfreq"):
        ran = fit(folder, "--vocabulary", "wordfreq:50")
    return sentence(ran, "need wordfreq", "pip install 'rt-decoder[calibration]'")


@case("refusals", "matplotlib that is not installed", "the fit was lost with its report")
def _(folder: Path) -> str:
    write_inputs(folder)
    with no_cleaning(), missing("matplotlib"):
        ran = fit(folder, "--report", folder / "r.html")
    return sentence(ran, "need matplotlib for --report", "rt-decoder[calibration]")


@case("refusals", "one item only", "said after the cleaning")
def _(folder: Path) -> str:
    write_inputs(folder)
    rows = "".join(f"{2 + i / 2}\t0\taxe\n" for i in range(30))
    (folder / "one.tsv").write_text("onset\tduration\tword\n" + rows)
    with no_cleaning():
        ran = rt_calibrate(
            "fit",
            folder / "rec.xdf",
            "--events",
            folder / "one.tsv",
            "-o",
            folder / "o.safetensors",
        )
    return sentence(ran, "2 items or more")


@case("refusals", "groups that leave nothing to train on", "said after the cleaning")
def _(folder: Path) -> str:
    write_inputs(folder)
    rows = "".join(f"{2 + i / 2}\t0\tword{i % 3}\tall\n" for i in range(30))
    (folder / "g.tsv").write_text("onset\tduration\tword\tstory\n" + rows)
    with no_cleaning():
        ran = rt_calibrate(
            "fit", folder / "rec.xdf", "--events", folder / "g.tsv", "-o", folder / "o.safetensors",
            "--groups", "story",
        )  # fmt: skip
    return sentence(ran, "group")


@case("refusals", "two tables for one recording", "exit 1")
def _(folder: Path) -> str:
    write_inputs(folder)
    return sentence(fit(folder, "--events", folder / "rec.tsv"), "got 2", code=(2,))


# --- values


def _number_case(value: str, option: str, before: str) -> None:
    @case("refusals", f"{option} {value}", before)
    def _(folder: Path) -> str:
        write_inputs(folder)
        return sentence(decode(folder, f"{option}={value}"), option, code=(2,))


for _value in ("inf", "nan"):
    _number_case(_value, "--marker-offset", "traceback of OverflowError or words of Python")
_number_case("1e300", "--marker-offset", "0 readouts, exit 0")
_number_case("-1e300", "--marker-offset", "0 readouts, exit 0")


@case("refusals", "a stage by its name of before", "need all or stages among ..., no word of mains")
def _(folder: Path) -> str:
    write_inputs(folder)
    return sentence(decode(folder, "--without", "line"), "line is called mains now")


@case("refusals", "an option by its name of before", "No such option: --line")
def _(folder: Path) -> str:
    write_inputs(folder)
    return sentence(fit(folder, "--line", "adaptive"), "need --mains")


@case("refusals", "triggers in a channel that has none", "0 readouts, exit 0, no hint")
def _(folder: Path) -> str:
    recording = small()
    data = recording.data.copy()
    data[:, recording.info.ch_names.index("ECG")] = 0.0
    write_inputs(folder)
    save_recording(replace(recording, data=data), folder / "rec.xdf", overwrite=True)
    ran = decode(folder, "--markers", "channel:ECG")
    assert ran.code == 0, ran
    assert "channel ECG holds no trigger" in ran.err, ran.err
    return ran.err.strip()


@case("refusals", "an XPath that is none", "searched for 10 s, then 'got none'")
def _(folder: Path) -> str:
    write_inputs(folder)
    ran = rt_decoder("run", "--force", "--model", folder / "m.safetensors", "--predicate", "name='")
    return sentence(ran, "XPath")


def _several(folder: Path, *types: str) -> Ran:
    """An XDF of one stream a type, each of its own number of channels."""
    from rt_decoder.files.xdf_writer import XdfWriter
    from rt_decoder.signal import SignalInfo

    with XdfWriter(folder / "several.xdf") as xdf:
        for k, kind in enumerate(types, 1):
            info = SignalInfo(250.0, tuple(f"{k}-{i}" for i in range(k)), ("eeg",) * k, ("V",) * k)
            xdf.add_stream(k, name=f"stream {k}", type=kind, info=info)
            xdf.write_samples(k, np.ones((500, k)), np.arange(500) / 250.0)
    return rt_decoder("convert", folder / "several.xdf", "-o", folder / "c_raw.fif", "--json")


@case("refusals", "three data streams, one of type EEG", "refused, with the list")
def _(folder: Path) -> str:
    ran = _several(folder, "Gaze", "EEG", "ACC")
    assert ran.code == 0, ran
    assert json.loads(ran.out.splitlines()[-1])["n_channels"] == 2
    assert "'stream 2' of type EEG is read" in ran.err, ran.err
    return ran.err.strip()


@case("refusals", "two data streams of type EEG", "refused, with the list")
def _(folder: Path) -> str:
    return sentence(_several(folder, "EEG", "EEG"), "choose it with --stream")
