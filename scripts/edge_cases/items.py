"""Markers that are no stimuli, and codes without names; spellings.py has the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import edge_cases.spellings  # noqa: F401  (enters its cases)
from edge_cases.case import case
from edge_cases.marked_files import (
    HEARD,
    KIND,
    ONSETS,
    SFREQ,
    WORDS,
    Note,
    decoded,
    fit,
    fitted,
    only_words,
    refused,
    words_of,
    write_brainvision,
    write_csv,
    write_edf,
    write_eeglab,
    write_fif,
    write_table,
    write_xdf,
)

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


@case(KIND, "bad, badger and edge are words", "taken as words")
def badger(folder: Path) -> str:
    names = {"cat": "badger", "dog": "edge", "axe": "bad"}
    _, items = fitted(write_xdf(folder, [(a, b, names[label]) for a, b, label in HEARD]))
    assert items == ("bad", "badger", "edge"), items
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
    for at, label in ((51.5, "CAT"), (51.8, "BAD_muscle"), (52.1, "boundary"), (52.7, ' "dog" ')):
        decoder.mark(Marker(label, at))
    readouts = decoder.push(recording.data, recording.times)
    labels = [readout.label for readout in readouts]
    assert labels == ["cat", "dog"], labels
    assert decoder.align.n_left_out == 2
    return f"labels {', '.join(labels)}; {decoder.align.n_left_out} markers left out, counted"


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
        *program, "run", "--force", "--model", str(model), "--name", name, "--markers", f"{name}-markers",
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
