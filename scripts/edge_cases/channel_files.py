"""Files of a small participant with VEOG, HEOG, ECG and RESP, and what was decoded of them.

They are written in every format by writers of our own (bytes), by MNE or by scipy. The model has the
references in its contract.
"""

from __future__ import annotations

import functools
import json
import struct
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edge_cases.case import Ran, rt_decoder

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
        "decode",
        "--force",
        path,
        "--model",
        model_path(),
        "--jsonl",
        folder / f"{name}.jsonl",
        *more,
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
