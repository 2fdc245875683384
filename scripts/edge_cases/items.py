"""Markers that are no stimuli, codes without names, and the same item written twice."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from edge_cases.case import Ran, case, rt_calibrate, rt_decoder

KIND = "items"
SFREQ, N = 100, 7000
NAMES = ("Fz", "Cz", "Pz", "Oz", "C3", "C4")
WORDS = ("cat", "dog", "axe")
Note = tuple[float, float, str]  # onset and duration in s, label
ONSETS = [3.0 + 2.5 * k for k in range(24)]
HEARD: list[Note] = [(onset, 0.3, WORDS[k % 3]) for k, onset in enumerate(ONSETS)]
FEW = ("--stages", "[]", "--n-permutations", "9", "--purge", "0", "--n-blocks", "4")


def signal() -> np.ndarray:
    """Noise with a wave after each word, (N, 6) V."""
    rng = np.random.default_rng(3)
    x = 1e-5 * rng.standard_normal((N, len(NAMES)))
    for onset, _, word in HEARD:
        row = int(onset * SFREQ) + 20
        x[row : row + 25, WORDS.index(word)] += 4e-5
    return x


# --- a writer for each format, independent of the readers


def write_fif(folder: Path, notes: Sequence[Note], bads: Sequence[str] = ()) -> Path:
    import mne

    raw = mne.io.RawArray(signal().T, mne.create_info(list(NAMES), SFREQ, "eeg"), verbose="error")
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
    return rt_calibrate("fit", recording, *FEW, *arguments, "-o", model), model


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
    ran = rt_decoder("decode", recording, "--model", model, "--jsonl", log, *arguments)
    assert ran.code == 0, ran.err
    return ran, [json.loads(line) for line in log.read_text().splitlines()]


def words_of(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in log if line["type"] == "readout"]


JOINTS: list[Note] = [(20.4, 0, "BAD boundary"), (20.4, 0, "EDGE boundary"), (41.1, 0, "boundary")]


@case(KIND, "BAD annotations of a FIF file", "5 items, BAD_muscle and bad blink among them")
def bad_in_fif(folder: Path) -> str:
    notes = [*HEARD, (10.6, 2.0, "BAD_muscle"), (30.6, 4.0, "bad blink")]
    path = write_fif(folder, notes)
    ran, items = fitted(path)
    assert items == tuple(sorted(WORDS)), items
    line = next(line for line in ran.out.splitlines() if "marked as bad and flagged" in line)
    assert "6.0 s" in line, line
    assert "BAD_muscle 1" in line, line
    _, log = decoded(path, path.with_name("m.rtd.safetensors"))
    for readout in words_of(log):
        at = readout["index"] / SFREQ
        hit = any(at < stop and at + 0.8 > start for start, stop in ((10.6, 12.6), (30.6, 34.6)))
        assert ("annotated" in readout["reasons"]) == hit, readout
        assert hit or not readout["abstained"]
    n = sum(readout["abstained"] for readout in words_of(log))
    assert len(words_of(log)) == 24
    assert n >= 2
    return f"items {', '.join(items)}; {n} windows over bad segments abstain: annotated"


@case(KIND, "BAD annotations of an EDF+ file", "4 items, Bad segment among them")
def bad_in_edf(folder: Path) -> str:
    path = write_edf(folder, [*HEARD, (10.6, 2.0, "Bad segment")])
    ran, items = fitted(path)
    assert items == tuple(sorted(WORDS)), items
    assert "2.0 s are marked as bad" in ran.out
    return f"items {', '.join(items)}; 2.0 s flagged"


@case(KIND, "joints of a FIF file", "6 items, BAD boundary and EDGE boundary among them")
def joints_in_fif(folder: Path) -> str:
    return only_words(write_fif(folder, [*HEARD, *JOINTS]), ["BAD boundary", "EDGE boundary"])


@case(KIND, "boundary of an EEGLAB file", "4 items, boundary among them")
def boundary_in_eeglab(folder: Path) -> str:
    return only_words(write_eeglab(folder, [*HEARD, (20.4, 0, "boundary")]), ["boundary 1"])


@case(KIND, "notes of a BrainVision file", "5 items, New Segment/ and Comment/eyes closed too")
def notes_in_brainvision(folder: Path) -> str:
    notes = [*HEARD, (20.4, 0, "Comment/eyes closed"), (41.1, 0, "New Segment/")]
    return only_words(write_brainvision(folder, notes), ["New Segment/", "Comment/eyes closed"])


@case(KIND, "BAD markers of an XDF stream", "5 items, BAD_muscle and EDGE boundary among them")
def bad_in_xdf(folder: Path) -> str:
    notes = [*HEARD, (20.4, 0, "BAD_muscle"), (41.1, 0, "EDGE boundary")]
    return only_words(write_xdf(folder, notes), ["BAD_muscle", "EDGE boundary"])


@case(KIND, "BAD rows of an events table", "5 items, BAD_ACQ_SKIP and LostSamples: 7 among them")
def bad_in_table(folder: Path) -> str:
    notes = [*HEARD, (20.4, 0, "BAD_ACQ_SKIP"), (41.1, 0, "LostSamples: 7")]
    table = write_table(folder / "events.tsv", sorted(notes), "trial_type")
    path = write_xdf(folder, HEARD)
    told = only_words(path, ["BAD_ACQ_SKIP", "LostSamples: 7"], "--events", table)
    assert "column trial_type" in fitted(path, "--events", table)[0].out
    return told


@case(KIND, "badger and edge are words", "taken as words")
def badger(folder: Path) -> str:
    names = {"cat": "badger", "dog": "edge", "axe": "axe"}
    _, items = fitted(write_xdf(folder, [(a, b, names[label]) for a, b, label in HEARD]))
    assert items == ("axe", "badger", "edge"), items
    return f"items {', '.join(items)}"


@case(KIND, "fixation crosses excluded by pattern", "no such option; fixation is an item")
def excluded(folder: Path) -> str:
    crosses: list[Note] = [(onset - 0.5, 0, "Fixation") for onset in ONSETS]
    path = write_xdf(folder, [*HEARD, *crosses])
    _ran, items = fitted(path, "--exclude", "fix*")
    assert items == tuple(sorted(WORDS)), items
    _, log = decoded(path, path.with_name("m.rtd.safetensors"))  # the model holds the pattern
    assert {readout["label"] for readout in words_of(log)} == set(WORDS)
    n = log[-1]["counts"]["markers_left_out"]
    assert n == 24, log[-1]["counts"]
    return f"items {', '.join(items)}; decode leaves out {n} markers as well"


@case(KIND, "two patterns of what is included", "no such option; 4 items")
def included(folder: Path) -> str:
    path = write_xdf(folder, [*HEARD, *((onset + 1, 0, "response") for onset in ONSETS)])
    _, items = fitted(path, "--include", "[cd]*", "--include", "axe")
    assert items == tuple(sorted(WORDS)), items
    return f"items {', '.join(items)}"


@case(KIND, "BAD markers of a live session", "a readout for BAD_muscle, label BAD_muscle")
def bad_live(folder: Path) -> str:
    """The session's own `Decoder`, with markers as LSL and FieldTrip give them."""
    from rt_decoder.decoder import Decoder
    from rt_decoder.files.model_file import load_model
    from rt_decoder.files.read import read_recording
    from rt_decoder.signal import Marker

    path = write_xdf(folder, HEARD)
    fitted(path)
    recording = read_recording(path)
    decoder = Decoder(load_model(path.with_name("m.rtd.safetensors")), recording.info)
    for at, label in ((53.0, "CAT"), (56.0, "BAD_muscle"), (59.0, "boundary"), (62.0, ' "dog" ')):
        decoder.mark(Marker(label, at))
    readouts = decoder.push(recording.data, recording.times)
    labels = [readout.label for readout in readouts]
    assert labels == ["cat", "dog"], labels
    assert decoder.n_left_out == 2
    return f"labels {', '.join(labels)}; {decoder.n_left_out} markers left out, counted"


@case(KIND, "BAD markers over LSL", "28 readouts, BAD_muscle and CAT among the labels")
def bad_over_lsl(folder: Path) -> str:
    """The same over a real stream: replayed, decoded live, recorded, and decoded again."""
    model = folder / "m.rtd.safetensors"
    fitted(write_xdf(folder, HEARD))
    loud = [(onset, 0.0, word.upper()) for onset, _, word in HEARD]
    bad = [(onset, 0.0, label) for onset in (20.4, 41.1) for label in ("BAD_muscle", "boundary")]
    path, name = write_xdf(folder, [*loud, *bad]), f"edges-{uuid4().hex}"
    program = [sys.executable, "-m", "rt_decoder"]
    send = [*program, "replay", str(path), "--name", name, "--speed", "20", "--wait", "60"]
    run = [
        *program, "run", "--model", str(model), "--name", name, "--markers", f"{name}-markers",
        "--until-lost", "--marker-wait", "30000", "--timeout", "60", "--log", str(folder / "s.jsonl"),
        "--record", str(folder / "s.xdf"), "--quiet", "--outlet", "",
    ]  # fmt: skip
    config = folder / "rt_decoder-lsl-alone.cfg"  # ports and a session that nobody else uses
    config.write_text(
        "[ports]\nIPv6 = disable\nBasePort = 27572\nPortRange = 128\n[multicast]\n"
        "ResolveScope = machine\nListenAddress = 127.0.0.1\nAddressesOverride = {127.0.0.1}\n"
        f"[lab]\nKnownPeers = {{127.0.0.1}}\nSessionID = {name}\n[log]\nlevel = -3\n",
        encoding="ascii",
    )
    env = os.environ | {"LSLAPICFG": str(config)}
    sender = subprocess.Popen(send, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        ran = subprocess.run(run, check=False, capture_output=True, text=True, timeout=120, env=env)
    finally:
        sender.terminate()
        sender.wait()
    assert ran.returncode == 0, ran.stderr[-300:]
    log = [json.loads(line) for line in (folder / "s.jsonl").read_text().splitlines()]
    live = [line["label"] for line in words_of(log)]
    assert live == [word for _, _, word in HEARD], live
    assert log[-1]["counts"]["markers_left_out"] == 4, log[-1]["counts"]
    _, again = decoded(folder / "s.xdf", model)
    keys = ("label", "index", "top", "quality")
    assert [[line[key] for key in keys] for line in words_of(again)] == [
        [line[key] for key in keys] for line in words_of(log)
    ]
    assert again[-1]["counts"]["markers_left_out"] == 4
    return f"{len(live)} readouts of known items, 4 markers left out; the record decodes the same"


# --- codes

CODES = {"cat": "S  1", "dog": "S  2", "axe": "S 13"}
CODED: list[Note] = [(onset, 0, f"Stimulus/{CODES[word]}") for onset, _, word in HEARD]


@case(KIND, "codes of a BrainVision file", "S  1 embedded as English, certificate written")
def codes_refused(folder: Path) -> str:
    ran, model = fit(write_brainvision(folder, CODED))
    assert not model.exists()
    return refused(ran, "need names for the codes", "Stimulus/S 1 8", "--names TSV")


@case(KIND, "numbers of a marker column in CSV", "1, 2 and 3 embedded as English")
def numbers_refused(folder: Path) -> str:
    path = write_csv(folder, [(onset, 1 + WORDS.index(word)) for onset, _, word in HEARD])
    return refused(fit(path, "--units", "uV")[0], "need names for the codes", "1 8")


@case(KIND, "numbers of a trigger channel", "1, 2 and 3 embedded as English")
def triggers_refused(folder: Path) -> str:
    path = write_csv(folder, [(onset, 1 + WORDS.index(word)) for onset, _, word in HEARD])
    ran, _ = fit(path, "--units", "uV", "--markers", "channel:Marker0")
    return refused(ran, "need names for the codes", "1 8")


@case(KIND, "names of codes from a table", "--names TSV refused: not a table of texts")
def named(folder: Path) -> str:
    table = folder / "names.tsv"
    rows = "\n".join(f"{code}\t{word}" for word, code in CODES.items())
    table.write_text(f"code\tname\n{rows}\n", encoding="utf-8")
    path = write_brainvision(folder, CODED)
    _, items = fitted(path, "--names", table)
    assert items == tuple(sorted(WORDS)), items
    ran, _ = fit(path, "--names", write_table(folder / "other.tsv", HEARD))
    refused(ran, "need tab-separated columns code and name")
    return f"items {', '.join(items)}; another table is refused"


# --- the same item twice


@case(KIND, "case and accents of an events table", "4 items, pairs with the same vector")
def case_and_accents(folder: Path) -> str:
    ways = ("Cat", "cat", "\xe9t\xe9", unicodedata.normalize("NFD", "\xe9t\xe9"))
    notes = [(onset, 0.0, ways[k % 4]) for k, onset in enumerate(ONSETS)]
    table = write_table(folder / "events.tsv", notes)
    path = write_xdf(folder, HEARD)
    ran, items = fitted(path, "--events", table)
    assert items == ("Cat", "\xe9t\xe9"), items
    assert "written differently: Cat 6/cat 6" in ran.out, ran.out
    return f"items {', '.join(items)}, said"


@case(KIND, "apostrophes and quotes of markers", "5 items where 2 are right")
def apostrophes(folder: Path) -> str:
    ways = ("don't", "don\u2019t", '"don\'t"', "axe", " axe ")
    notes = [(onset, 0.0, ways[k % 5]) for k, onset in enumerate(ONSETS)]
    _, items = fitted(write_xdf(folder, notes))
    assert items == ("axe", "don't"), items
    return f"items {', '.join(items)}"


@case(KIND, "decode of markers written differently", "24 labels that no item has, unsaid")
def decode_folds(folder: Path) -> str:
    fitted(write_xdf(folder, HEARD))
    loud = [(onset, 0.0, f'"{word.upper()}"') for onset, _, word in HEARD]
    ran, log = decoded(write_xdf(folder, loud), folder / "m.rtd.safetensors")
    labels = [readout["label"] for readout in words_of(log)]
    assert labels == [word for _, _, word in HEARD], labels
    assert "does not know" not in ran.err
    return f"{len(labels)} labels as the model writes them"


@case(KIND, "kept apart on request", "no such option")
def kept_apart(folder: Path) -> str:
    notes = [(onset, 0.0, ("Cat", "cat", "dog")[k % 3]) for k, onset in enumerate(ONSETS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ran, items = fitted(write_xdf(folder, notes), "--fold", "false")
    assert items == ("Cat", "cat", "dog"), items
    assert "Cat = cat" in ran.out  # an uncased language model: in the certificate, too
    return "3 items; said: Cat = cat share a vector"


@case(KIND, "accents that the language model drops", "two items with one vector, unsaid")
def same_vector(folder: Path) -> str:
    notes = [(onset, 0.0, ("\xe9t\xe9", "ete", "dog")[k % 3]) for k, onset in enumerate(ONSETS)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ran, _items = fitted(write_xdf(folder, notes))
    said = " ".join([ran.err, *(str(one.message) for one in told)])
    assert "2 items share a vector" in said, said
    assert "ete = \xe9t\xe9" in said, said
    return "said: " + said[said.index("2 items share") :][:110]


@case(KIND, "glyphs that the language model does not know", "two items with one vector, unsaid")
def unknown_glyphs(folder: Path) -> str:
    notes = [(onset, 0.0, ("\u1200", "\u1201", "dog")[k % 3]) for k, onset in enumerate(ONSETS)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ran, _ = fitted(write_xdf(folder, notes))
    said = " ".join([ran.err, *(str(one.message) for one in told)])
    assert "2 items share a vector" in said, said
    assert "items with the same vector, which tie" in ran.out
    return "said, and in the certificate"


# --- labels that the model does not know


def _two_models(folder: Path, labels: Sequence[str]) -> Path:
    fitted(write_xdf(folder, HEARD))
    notes = [(onset, 0.0, labels[k % len(labels)]) for k, onset in enumerate(ONSETS)]
    return write_xdf(folder, notes)


@case(
    KIND, "evaluate where no label is known", "refused only after all was decoded, no label named"
)
def evaluate_unknown(folder: Path) -> str:
    path = _two_models(folder, ("owl", "bee"))
    ran = rt_calibrate("evaluate", path, "--model", folder / "m.rtd.safetensors")
    return refused(ran, "of the recording owl 12, bee 12; of the model axe, cat, dog")


@case(KIND, "evaluate where some labels are known", "a count, no label named")
def evaluate_partly(folder: Path) -> str:
    path = _two_models(folder, ("cat", "owl", "Dog"))
    ran = rt_calibrate("evaluate", path, "--model", folder / "m.rtd.safetensors")
    assert ran.code == 0, ran.err
    line = next(line for line in ran.out.splitlines() if "does not know" in line)
    assert line.startswith("8 of 24 events"), line
    return line


@case(KIND, "decode where no label is known", "24 labels that no item has, unsaid")
def decode_unknown(folder: Path) -> str:
    path = _two_models(folder, ("owl", "bee"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ran, log = decoded(path, folder / "m.rtd.safetensors")
    said = " ".join([ran.err, *(str(one.message) for one in told)])
    assert "24 of 24 events have items that the model does not know" in said, said
    assert len(words_of(log)) == 24  # a marker may only say when a word came
    return "said once; 24 readouts at the markers"


# --- channels, and the account


@case(KIND, "channels that a FIF file marks as bad", "Pz in the map and in the average reference")
def bad_channel(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model

    path = write_fif(folder, HEARD, bads=["Pz"])
    ran, model = fit(path)
    assert ran.code == 0, ran.err
    assert "Pz (--bads keep uses them)" in ran.out, ran.out
    assert "Pz" not in load_model(model).info.ch_names
    ran, model = fit(path, "--bads", "keep")
    assert "Pz" in load_model(model).info.ch_names
    assert "marked as bad" not in ran.out
    return "Pz left out, said; kept with --bads keep"


@case(KIND, "a bad channel of the second recording", "Pz in the map")
def bad_channel_of_another(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model

    other = folder / "other"
    other.mkdir()
    first = write_fif(folder, HEARD)
    ran, model = fit(first, write_fif(other, HEARD, bads=["Pz"]))
    assert ran.code == 0, ran.err
    assert "Pz" not in load_model(model).info.ch_names
    return "Pz left out of both"


@case(KIND, "every event of a fit is accounted for", "25 events, 18 train, 6 locked, 0 dropped")
def account(folder: Path) -> str:
    path = write_fif(folder, [*HEARD, (10.6, 4.0, "BAD_muscle")])
    ran, _ = fitted(path, "--purge", "3")
    assert ran.out.startswith("3 items in 24 events, from its own markers: cat 8"), ran.out
    line = next(line for line in ran.out.splitlines() if line.startswith("split: "))
    total, *parts = [int(word) for word in line.replace(",", " ").split() if word.isdigit()]
    assert total == sum(parts) == 24, line
    return line
