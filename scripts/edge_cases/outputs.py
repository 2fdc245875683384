"""Outputs that would destroy something."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge_cases import outputs_disk, outputs_live  # noqa: F401  (their cases)
from edge_cases.case import case, rt_calibrate, rt_decoder
from edge_cases.outputs_place import (
    IS_READ,
    place,
    refused,
    untouched,
)

# --- an output that is an input


@case("outputs", "a model over the recording it is fitted on", "the recording became a model")
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    with untouched(rec):
        return refused(rt_calibrate("fit", rec, "-o", rec, "--overwrite"), IS_READ)


@case("outputs", "a cleaning model over the recording", "the recording became a model")
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    with untouched(rec):
        return refused(rt_calibrate("cleaning", rec, "-o", rec), IS_READ)


@case("outputs", "a log over the recording", "the recording became a log")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with untouched(rec):
        return refused(
            rt_decoder("decode", "--force", rec, "--model", model, "--jsonl", rec), IS_READ
        )


@case("outputs", "a log over the model", "the model became a log")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with untouched(model):
        return refused(
            rt_decoder("decode", "--force", rec, "--model", model, "--jsonl", model), IS_READ
        )


@case("outputs", "a log over the events table", "the table became a log")
def _(folder: Path) -> str:
    rec, model, table = (
        place(folder) / name for name in ("rec_raw.fif", "m.rtd.safetensors", "e.tsv")
    )
    with untouched(table):
        return refused(
            rt_decoder(
                "decode", "--force", rec, "--model", model, "--events", table, "--jsonl", table
            ),
            IS_READ,
        )


@case("outputs", "a link to the recording as output", "the link became a log, the recording stayed")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    link = folder / "log.jsonl"
    link.symlink_to(rec)
    with untouched(rec, link):
        call = ("decode", "--force", rec, "--model", model, "--jsonl", link, "--overwrite")
        return refused(rt_decoder(*call), IS_READ)


@case("outputs", "a hard link to the events table as output", "the link became a log")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    table, link = folder / "e.tsv", folder / "log.jsonl"
    link.hardlink_to(table)
    with untouched(table, link):
        call = (
            "decode",
            "--force",
            rec,
            "--model",
            model,
            "--events",
            table,
            "--jsonl",
            link,
            "--overwrite",
        )
        return refused(rt_decoder(*call), IS_READ)


@case("outputs", "words over the list of words", "the list became vectors")
def _(folder: Path) -> str:
    words = folder / "words.txt"
    words.write_text("axe\nbee\n")
    with untouched(words):
        return refused(rt_calibrate("embed", words, "-o", words), IS_READ)


@case("outputs", "vectors over the language model that makes them", "the language model was lost")
def _(folder: Path) -> str:
    llm, words = folder / "llm", folder / "words.txt"
    llm.mkdir()
    (llm / "model.safetensors").write_bytes(b"weights")
    words.write_text("axe\nbee\n")
    with untouched(llm / "model.safetensors"):
        out = llm / "model.safetensors"
        call = ("embed", words, "--embedding", llm, "-o", out, "--overwrite")
        return refused(rt_calibrate(*call), IS_READ)


@case("outputs", "a converted file over a part of a split FIF", "the second part was replaced")
def _(folder: Path) -> str:
    import mne

    place(folder)
    raw = mne.io.read_raw(folder / "rec_raw.fif", verbose="error")
    long = mne.concatenate_raws([raw.copy() for _ in range(8)], verbose="error")
    long.save(folder / "long_raw.fif", split_size="2MB", fmt="double", verbose="error")
    part = folder / "long_raw-1.fif"
    with untouched(part):
        call = ("convert", folder / "long_raw.fif", "-o", part, "--overwrite")
        return refused(rt_decoder(*call), IS_READ)


@case("outputs", "a live log over the model", "the model became a log")
def _(folder: Path) -> str:
    model = place(folder) / "m.rtd.safetensors"
    with untouched(model):
        return refused(rt_decoder("run", "--force", "--model", model, "--log", model), IS_READ)


@case(
    "outputs", "a list of faults over the recording that is replayed", "the recording became JSON"
)
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    call = ("replay", rec, "--faults", "loss=1s@1", "--faults-log", rec, "--wait", "0")
    with untouched(rec):
        return refused(rt_decoder(*call, "--speed", "100"), IS_READ)


# --- two outputs, other files, endings, folders


@case("outputs", "log and record in one file", "taken, exit 0: each destroys the other")
def _(folder: Path) -> str:
    model, out = place(folder) / "m.rtd.safetensors", folder / "a.xdf"
    log = folder / "a.jsonl"
    log.symlink_to(out)
    call = ("run", "--force", "--model", model, "--record", out, "--log")
    said = refused(rt_decoder(*call, log), "two files")
    refused(rt_decoder(*call, out), "need a file named .jsonl")
    assert not out.exists()
    return said


@case("outputs", "model and report in one file", "the report replaced the model")
def _(folder: Path) -> str:
    rec = place(folder) / "rec_raw.fif"
    (folder / "here").symlink_to(folder)
    (folder / "a.html").symlink_to(folder / "a.safetensors")
    call = ("fit", rec, "-o", folder / "a.safetensors", "--report", folder / "here" / "a.html")
    return refused(rt_calibrate(*call), "two files")


@case("outputs", "a recording over an older one", "the older one was replaced")
def _(folder: Path) -> str:
    old = folder / "v.xdf"
    old.write_bytes(b"XDF: a year of work")
    with untouched(old):
        return refused(
            rt_decoder("simulate", "--seconds", "6", "--save", old), "v.xdf, which exists"
        )


@case("outputs", "a recording over another's events table", "the table was replaced")
def _(folder: Path) -> str:
    old = folder / "w.tsv"
    old.write_text("onset\tduration\n")
    with untouched(old):
        call = ("simulate", "--seconds", "6", "--save", folder / "w.xdf")
        said = refused(rt_decoder(*call), "its events, got w.tsv, which exists")
        assert not (folder / "w.xdf").exists()
        refused(rt_decoder(*call[:-1], old), "need a file named .xdf")
    return said


@case("outputs", "the same decoding typed twice", "the first log was replaced")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    log = folder / "log.jsonl"
    call = ("decode", "--force", rec, "--model", model, "--jsonl", log)
    assert rt_decoder(*call).code == 0
    with untouched(log):
        said = refused(rt_decoder(*call), "--overwrite replaces it")
    assert rt_decoder(*call, "--overwrite").code == 0
    return f"{said}; and so it did"


@case("outputs", "a folder that nothing can be written to", "a bare errno after the decoding")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    call = ("decode", "--force", rec, "--model", model, "--jsonl", "/proc/log.jsonl")
    return refused(rt_decoder(*call), "cannot write log.jsonl in /proc")


@case("outputs", "/dev/null as output", "run as root, it became a file")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    ran = rt_decoder("decode", "--force", rec, "--model", model, "--jsonl", os.devnull)
    assert ran.code == 0, ran
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    return "decoded, /dev/null is what it was"
