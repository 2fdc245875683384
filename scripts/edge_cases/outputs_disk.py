"""Full disks, planted files, and names of people in what is written."""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from pathlib import Path

from edge_cases.case import case, rt_calibrate, rt_decoder
from edge_cases.outputs_place import (
    inside,
    place,
    small_disk,
    untouched,
)


@case("outputs", "no space for the model of a fit", "the fit was lost: [Errno 28]")
def _(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model, model_hash

    rec = place(folder) / "rec_raw.fif"
    with small_disk(folder, "4k") as disk, inside(folder):
        ran = rt_calibrate(
            "cleaning", rec, "-o", disk / "new.rtd.safetensors", "--stages", "eye,repair"
        )
    assert ran.code == 1, ran
    assert "cannot write new.rtd.safetensors in" in ran.err
    kept = Path(ran.err.rpartition("kept as ")[2].strip())
    assert model_hash(load_model(kept)), kept
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    return f"the model is kept in another folder: ...No space left...; it is kept as {kept.name}"


@case("outputs", "no space for a cleaned recording", "the work was lost: [Errno 28]")
def _(folder: Path) -> str:
    from rt_decoder.files.read import read_recording

    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with small_disk(folder, "64k") as disk, inside(folder):
        ran = rt_decoder("clean", rec, "--model", model, "-o", disk / "c_raw.fif")
    assert ran.code == 1, ran
    kept = Path(ran.err.rpartition("kept as ")[2].strip())
    assert len(read_recording(kept).data) == 5000
    return "cannot write c_raw.fif: No space left; kept in another folder, all 5000 samples"


@case("outputs", "no space for an offline log", "[Errno 28], no file named")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    with small_disk(folder, "4k") as disk:
        ran = rt_decoder("decode", "--force", rec, "--model", model, "--jsonl", disk / "log.jsonl")
        left = [path.name for path in disk.iterdir()]
    assert (ran.code, left) == (1, []), ran
    assert re.search(r"cannot write log\.jsonl in .*: No space left", ran.err), ran.err
    return "exit 1, cannot write log.jsonl in ...: No space left on device; nothing half-written"


@case("outputs", "a link planted at the temporary name", "followed: another file was overwritten")
def _(folder: Path) -> str:
    from rt_decoder.files.atomic import replacing, write_whole

    victim, out = folder / "victim", folder / "m.rtd.safetensors"
    victim.write_bytes(b"precious")
    enter = replacing.__enter__

    def planted(self: replacing) -> Path:
        path = enter(self)
        if not kept:
            path.symlink_to(victim)
            kept.append(path)
        return path

    kept: list[Path] = []
    replacing.__enter__ = planted  # type: ignore[method-assign]
    try:
        (folder / "other").mkdir()
        with untouched(victim), inside(folder / "other"), suppress(OSError):
            write_whole(out, b"a model")
            raise AssertionError("the link was taken")
    finally:
        replacing.__enter__ = enter  # type: ignore[method-assign]
    assert not out.exists()
    assert (folder / "other" / out.name).read_bytes() == b"a model"
    return "refused, and the model kept in another folder"


@case(
    "outputs",
    "an open file planted at the temporary name",
    "private once written, open to all until then",
)
def _(folder: Path) -> str:
    from rt_decoder.files.atomic import replacing

    out = folder / "m.rtd.safetensors"
    out.write_bytes(b"old")
    out.chmod(0o666)
    with replacing(out, overwrite=True) as path:
        path.write_bytes(b"a model, by a writer that keeps what it finds")
        path.chmod(0o666)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    return "mode 0600 whatever lay there"


@case("outputs", "file names of a person in log and converted file", "both held marie_curie")
def _(folder: Path) -> str:
    rec, model = place(folder) / "rec_raw.fif", folder / "m.rtd.safetensors"
    person = rec.rename(folder / "marie_curie_raw.fif")
    log, xdf = folder / "log.jsonl", folder / "curie.xdf"
    assert rt_decoder("decode", "--force", person, "--model", model, "--jsonl", log).code == 0
    ran = rt_decoder("convert", person, "-o", xdf)
    assert ran.code == 0, ran
    for path in (log, xdf):
        assert b"curie" not in path.read_bytes().lower(), path.name
    said = next(line for line in ran.out.splitlines() if "read before you share" in line)
    return f"neither holds the name; {said[:90]}..."


@case("outputs", "a name in an annotation that convert carries over", "carried over, not said")
def _(folder: Path) -> str:
    import mne

    raw = mne.io.read_raw(place(folder) / "rec_raw.fif", verbose="error")
    raw.set_annotations(raw.annotations + mne.Annotations([1.0], [0.0], ["Dr Curie: pause"]))
    raw.save(folder / "noted_raw.fif", fmt="double", verbose="error")
    for command, out in (("convert", "a.xdf"), ("clean", "a_raw.fif")):
        extra = ("--model", folder / "m.rtd.safetensors") if command == "clean" else ()
        ran = rt_decoder(command, folder / "noted_raw.fif", *extra, "-o", folder / out)
        assert ran.code == 0, ran
        assert "'Dr Curie: pause'" in ran.out, ran
    return "convert and clean: texts of markers 'Dr Curie: pause', ...: read before you share"
