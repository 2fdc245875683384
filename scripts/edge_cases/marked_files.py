"""Small recordings with markers in each format, written by hand, and what is fitted on them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from edge_cases.case import Ran, rt_calibrate, rt_decoder

KIND = "items"
SFREQ, N = 100, 7000
NAMES = ("Fz", "Cz", "Pz", "Oz", "C3", "C4")
WORDS = ("cat", "dog", "axe")
Note = tuple[float, float, str]  # onset and duration in s, label
ONSETS = [3.0 + 2.5 * k for k in range(24)]
HEARD: list[Note] = [(onset, 0.3, WORDS[k % 3]) for k, onset in enumerate(ONSETS)]
FEW = ("--stages", "[]", "--n-permutations", "9", "--purge", "0", "--n-blocks", "4")


def signal(seed: int = 3) -> np.ndarray:
    """Noise with a wave after each word, (N, 6) V."""
    rng = np.random.default_rng(seed)
    x = 1e-5 * rng.standard_normal((N, len(NAMES)))
    for onset, _, word in HEARD:
        row = int(onset * SFREQ) + 20
        x[row : row + 25, WORDS.index(word)] += 4e-5
    return x


# --- a writer for each format, independent of the readers


def write_fif(folder: Path, notes: Sequence[Note], bads: Sequence[str] = (), seed: int = 3) -> Path:
    import mne

    info = mne.create_info(list(NAMES), SFREQ, "eeg")
    raw = mne.io.RawArray(signal(seed).T, info, verbose="error")
    onsets, durations, labels = zip(*notes, strict=True)
    raw.set_annotations(mne.Annotations(onsets, durations, labels))
    raw.info["bads"] = list(bads)
    raw.save(folder / "run_raw.fif", verbose="error", overwrite=True)
    return folder / "run_raw.fif"


def write_edf(folder: Path, notes: Sequence[Note]) -> Path:
    """EDF+ by hand: a second a record, annotations in the last signal."""
    labels = [*NAMES, "EDF Annotations"]
    n_records, tal = N // SFREQ, 120
    counts = np.round(signal() * 1e6 * 10).astype("<i2")  # 0.1 uV a bit

    def field(text: Any, n: int) -> bytes:
        return str(text).encode("latin-1")[:n].ljust(n)

    ns = len(labels)
    head = field("0", 8) + field("X X X X", 80) + field("Startdate 31-MAR-2024 X X X", 80)
    head += field("31.03.24", 8) + field("10.00.00", 8) + field(256 * (ns + 1), 8)
    head += field("EDF+C", 44) + field(n_records, 8) + field(1, 8) + field(ns, 4)
    columns: list[tuple[int, Callable[[int], Any]]] = [
        (16, lambda k: labels[k]),
        (80, lambda _: ""),
        (8, lambda k: "uV" if k < ns - 1 else ""),
        (8, lambda k: -3276.8 if k < ns - 1 else -1),
        (8, lambda k: 3276.7 if k < ns - 1 else 1),
        (8, lambda _: -32768),
        (8, lambda _: 32767),
        (80, lambda _: ""),
        (8, lambda k: SFREQ if k < ns - 1 else tal),
        (32, lambda _: ""),
    ]
    for width, value in columns:
        head += b"".join(field(value(k), width) for k in range(ns))
    body = []
    for second in range(n_records):
        rows = counts[second * SFREQ : (second + 1) * SFREQ]
        text = f"+{second}\x14\x14\0".encode()
        for onset, duration, label in notes:
            if second <= onset < second + 1:
                text += f"+{onset:g}\x15{duration:g}\x14{label}\x14\0".encode()
        body += [rows.T.tobytes(), text.ljust(2 * tal, b"\0")]
    path = folder / "run.edf"
    path.write_bytes(head + b"".join(body))
    return path


def write_brainvision(folder: Path, notes: Sequence[Note]) -> Path:
    """BrainVision by hand; a label is TYPE/TEXT."""
    lines = ["Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]"]
    lines += ["Codepage=UTF-8", "DataFile=run.eeg", "[Marker Infos]", "Mk1=New Segment,,1,1,0"]
    for k, (onset, duration, label) in enumerate(notes, 2):
        kind, _, text = label.partition("/") if "/" in label else ("Stimulus", "", label)
        n = max(1, round(duration * SFREQ))
        lines.append(f"Mk{k}={kind},{text},{round(onset * SFREQ) + 1},{n},0")
    (folder / "run.vmrk").write_text("\n".join(lines) + "\n", encoding="utf-8")
    head = ["Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]"]
    head += ["Codepage=UTF-8", "DataFile=run.eeg", "MarkerFile=run.vmrk", "DataFormat=BINARY"]
    head += ["DataOrientation=MULTIPLEXED", f"NumberOfChannels={len(NAMES)}"]
    head += [f"SamplingInterval={1e6 / SFREQ:g}", "[Binary Infos]", "BinaryFormat=IEEE_FLOAT_32"]
    head += ["[Channel Infos]", *(f"Ch{k}={name},,1,uV" for k, name in enumerate(NAMES, 1))]
    (folder / "run.vhdr").write_text("\n".join(head) + "\n", encoding="utf-8")
    (signal() * 1e6).astype("<f4").tofile(folder / "run.eeg")
    return folder / "run.vhdr"


def write_eeglab(folder: Path, notes: Sequence[Note]) -> Path:
    from scipy.io import savemat

    def table(**columns: Sequence[Any]) -> np.ndarray:
        rows = np.zeros((1, len(next(iter(columns.values())))), [(name, "O") for name in columns])
        for name, values in columns.items():
            for k, value in enumerate(values):
                rows[name][0, k] = value
        return rows

    events = table(
        type=[label for _, _, label in notes],
        latency=[float(onset * SFREQ + 1) for onset, _, _ in notes],
        duration=[float(duration * SFREQ) for _, duration, _ in notes],
    )
    eeg = {
        "setname": "run", "nbchan": len(NAMES), "trials": 1, "pnts": N, "srate": float(SFREQ),
        "xmin": 0.0, "xmax": (N - 1) / SFREQ, "data": signal().T * 1e6, "ref": "common",
        "chanlocs": table(labels=list(NAMES)), "event": events,
        "icawinv": [], "icasphere": [], "icaweights": [], "icaact": [], "epoch": [],
    }  # fmt: skip
    savemat(folder / "run.set", {"EEG": eeg}, appendmat=False)
    return folder / "run.set"


def write_xdf(folder: Path, notes: Sequence[Note]) -> Path:
    """XDF by hand: a stream of samples and one of markers."""

    def size(n: int) -> bytes:
        return b"\x01" + bytes([n]) if n < 256 else b"\x04" + struct.pack("<I", n)

    def chunk(tag: int, body: bytes) -> bytes:
        body = struct.pack("<H", tag) + body
        return size(len(body)) + body

    def header(sid: int, name: str, kind: str, n: int, rate: int, form: str, more: str) -> bytes:
        info = (
            f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type><channel_count>{n}"
            f"</channel_count><nominal_srate>{rate}</nominal_srate><channel_format>{form}"
            f"</channel_format><source_id>{name}</source_id><uid>u{sid}</uid><desc>{more}</desc>"
            "</info>"
        )
        return chunk(2, struct.pack("<I", sid) + info.encode())

    channels = "".join(
        f"<channel><label>{name}</label><type>EEG</type><unit>microvolts</unit></channel>"
        for name in NAMES
    )
    rows = (signal() * 1e6).astype("<f4")
    stamped = (
        b"\x08" + struct.pack("<d", 50 + k / SFREQ) + row.tobytes() for k, row in enumerate(rows)
    )
    marks = (
        b"\x08" + struct.pack("<d", 50 + onset) + size(len(label.encode())) + label.encode()
        for onset, _, label in sorted(notes)
    )
    path = folder / "run.xdf"
    path.write_bytes(
        b"XDF:" + chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
        + header(1, "Amp", "EEG", len(NAMES), SFREQ, "float32", f"<channels>{channels}</channels>")
        + header(2, "Stim", "Markers", 1, 0, "string", "")
        + chunk(3, struct.pack("<I", 1) + b"\x04" + struct.pack("<I", N) + b"".join(stamped))
        + chunk(3, struct.pack("<I", 2) + b"\x04" + struct.pack("<I", len(notes)) + b"".join(marks))
    )  # fmt: skip
    return path


def write_csv(folder: Path, codes: Sequence[tuple[float, int]]) -> Path:
    marks = np.zeros(N)
    for onset, code in codes:
        marks[int(onset * SFREQ)] = code
    table = np.column_stack((np.arange(N) / SFREQ, signal() * 1e6, marks))
    path = folder / "run.csv"
    header = ",".join(("timestamps", *NAMES, "Marker0"))
    np.savetxt(path, table, delimiter=",", header=header, comments="", fmt="%.4f")
    return path


def write_table(path: Path, notes: Sequence[Note], column: str = "word") -> Path:
    rows = [f"{onset:g}\t{duration:g}\t{label}" for onset, duration, label in notes]
    text = "\n".join([f"onset\tduration\t{column}", *rows]) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


# --- what is tried


def fit(recording: Path, *arguments: str | Path) -> tuple[Ran, Path]:
    model = recording.with_name("m.rtd.safetensors")
    return rt_calibrate("fit", recording, *FEW, *arguments, "-o", model, "--overwrite"), model


def fitted(recording: Path, *arguments: str | Path) -> tuple[Ran, tuple[str, ...]]:
    """Fit, and return what was said and the model's items."""
    from rt_decoder.files.model_file import load_model

    ran, model = fit(recording, *arguments)
    assert ran.code == 0, ran.err
    return ran, load_model(model).items


def refused(ran: Ran, *parts: str) -> str:
    assert ran.code in (1, 2), (ran.code, ran.out[-200:])
    said = " ".join(ran.err.split())
    assert all(part in said for part in parts), said
    return f"refused: {said.removeprefix('error: ')[:150]}"


def only_words(recording: Path, left_out: Sequence[str], *arguments: str | Path) -> str:
    ran, items = fitted(recording, *arguments)
    assert items == tuple(sorted(WORDS)), items
    line = next(line for line in ran.out.splitlines() if line.lstrip().startswith("no stimuli"))
    assert all(label in line for label in left_out), line
    return f"items {', '.join(items)};{line}"


def decoded(
    recording: Path, model: Path, *arguments: str | Path
) -> tuple[Ran, list[dict[str, Any]]]:
    log = recording.with_name("run.jsonl")
    ran = rt_decoder("decode", "--force", recording, "--model", model, "--jsonl", log, *arguments)
    assert ran.code == 0, ran.err
    return ran, [json.loads(line) for line in log.read_text().splitlines()]


def words_of(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in log if line["type"] == "readout"]
