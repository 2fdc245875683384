"""What a recording of any length needs: peak memory of each command, and whether the bits agree.

Run as a program, this file is the process that is measured: ``memory.py STEP FOLDER FILE WHOLE_BYTES
LIMIT_BYTES`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.files import blocks
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.fif_writer import Span, write_fif
from rt_decoder.files.xdf_writer import XdfWriter
from rt_decoder.simulation.participant import Participant

__all__ = ["add_options", "measure"]

GIB = 1 << 30
WORDS = tuple(f"word{i}" for i in range(12))
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 16))
PIECE_S = 60.0  # simulated once and repeated, with noise that is new each time
ALL = 1 << 62


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=120.0, help="of the recording")
    parser.add_argument("--channels", type=int, default=306)
    parser.add_argument("--sfreq", type=float, default=1000.0, help="Hz")
    parser.add_argument("--limit-gib", type=float, default=8.0, help="as ulimit -v")
    parser.add_argument("--same-minutes", type=float, default=4.0, help="read whole and in blocks")
    parser.add_argument("--formats", default="fif,xdf")
    parser.add_argument("--folder", type=Path, default=None, help="with room for the recordings")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure both formats; returns figures, goals and what was asked for."""
    asked = {
        name: getattr(args, name)
        for name in ("minutes", "channels", "sfreq", "limit_gib", "same_minutes")
    }
    figures: dict[str, Any] = {}
    goals: dict[str, bool] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for kind in args.formats.split(","):
            file = write(Path(folder), kind, args.same_minutes, args)
            hashes = [run("fit", file, whole, ALL)["model"] for whole in (0, ALL)]
            goals[f"{kind}: model of blocks and of memory agree to the bit"] = len({*hashes}) == 1
            file.unlink()
            file = write(Path(folder), kind, args.minutes, args)
            figures[kind] = {"file_gib": file.stat().st_size / GIB}
            for step in STEPS:
                found = run(step, file, blocks.WHOLE_BYTES, int(args.limit_gib * GIB))
                figures[kind][step] = found
                goals[f"{kind}: {step} within {args.limit_gib:g} GiB"] = "error" not in found
                told = (
                    found.get("error") or f"{found['peak_gib']:.2f} GiB, {found['seconds']:.0f} s"
                )
                print(f"{kind}  {args.minutes:g} min  {step:<9} {told}", file=sys.stderr)
            for part in Path(folder).iterdir():
                part.unlink()
    return asked | {"figures": figures, "goals": goals}


def run(step: str, file: Path, whole: int, limit: int) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, step, str(file.parent), str(file), str(whole), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 else {"error": (lines or ["none"])[-1]}


def write(folder: Path, kind: str, minutes: float, args: argparse.Namespace) -> Path:
    """Write a recording of any length; only one piece is ever in memory."""
    person = Participant(
        VECTORS, WORDS, n_channels=args.channels, sfreq=args.sfreq, references=True,
        kind="meg" if args.channels % 3 == 0 else "eeg",
    )  # fmt: skip
    piece = person.simulate(duration=PIECE_S, seed=1, components=False)
    size = 0.1 * piece.data.std(axis=0)
    n_piece, n = len(piece.data), round(60 * minutes * args.sfreq)

    def read(start: int, stop: int) -> np.ndarray:
        """Samples from `start` on; their noise depends on the block of a thousand alone."""
        first = start - start % 1000
        numbers = range(first // 1000, -(-stop // 1000))
        noise = np.concatenate(
            [
                np.random.default_rng(k).standard_normal((1000, len(size)), np.float32)
                for k in numbers
            ]
        )[start - first : stop - first]
        return piece.data[np.arange(start, stop) % n_piece] + size * noise

    marks = [
        (base + one.index, one.label)
        for base in range(0, n, n_piece)
        for one in piece.events
        if base + one.index < n
    ]
    if kind == "fif":
        file = folder / f"long{minutes:g}_raw.fif"
        spans = [Span(row, label) for row, label in marks]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FIF's times in single precision
            write_fif(file, Blocks(read, (n, len(size))), piece.info, spans)
        return file
    file = folder / f"long{minutes:g}.xdf"
    with XdfWriter(file) as xdf:
        xdf.add_stream(1, name="long", type="EEG", info=piece.info)
        xdf.add_stream(2, name="words", type="Markers")
        for start in range(0, n, 500):
            stop = min(start + 500, n)
            xdf.write_samples(1, read(start, stop), np.arange(start, stop) / args.sfreq)
        rows, labels = zip(*marks, strict=True)
        xdf.write_samples(2, list(labels), np.array(rows) / args.sfreq)
    return file


def embed(texts: Any, **_: Any) -> np.ndarray:
    """Vectors of `WORDS`, in place of a language model's."""
    return VECTORS[[WORDS.index(text) for text in texts]]


def fit(folder: Path, file: Path, peaks: dict[str, float]) -> dict[str, Any]:
    """As `rt-calibrate fit`."""
    from calibration.cleaning.chain import fit_cleaning
    from calibration.cleaning.seen import unlocked_share
    from calibration.continuous import fit_continuous
    from calibration.design import build_design, draft_model
    from calibration.events import load_labelled
    from calibration.fit import fit_model
    from rt_decoder.files.model_file import save_model
    from rt_decoder.recipe import Recipe
    from rt_decoder.timing.markers import MarkerRules

    recipe = Recipe.from_dict({"fit": {"n_permutations": 99}, "stream": {"reference": "none"}})
    labelled = load_labelled([file], [], recipe, MarkerRules())
    peaks["read"] = peak()
    draft = draft_model([one.recording for one in labelled], recipe)
    peaks["draft"] = peak()
    share = unlocked_share(labelled, recipe.fit)
    draft, _ = fit_cleaning(draft, labelled, share=share)
    peaks["cleaning"] = peak()
    design = build_design(draft, labelled)
    peaks["design"] = peak()
    model = fit_model(draft, design, embedder=embed)
    peaks["map"] = peak()
    model = fit_continuous(model, design, labelled)
    peaks["continuous"] = peak()
    path = folder / "model.rtd.safetensors"
    return {"model": save_model(model, path, overwrite=True), "n_events": len(design.labels),
            "stages": sorted(model.cleaning)}  # fmt: skip


def decode(folder: Path, file: Path, peaks: dict[str, float]) -> dict[str, Any]:
    """As `rt-decoder decode`."""
    from rt_decoder.files.read import read_recording
    from rt_decoder.recorded import decode_recording

    recording = read_recording(file)
    peaks["read"] = peak()
    readouts = decode_recording(_model(folder), recording, recording.markers)
    return {"n_readouts": sum(1 for _ in readouts)}


def clean(folder: Path, file: Path, peaks: dict[str, float]) -> dict[str, Any]:
    """As `rt-decoder clean`."""
    from rt_decoder.commands.clean import clean_file
    from rt_decoder.files.read import read_recording

    recording = read_recording(file)
    peaks["read"] = peak()
    found = clean_file(_model(folder), recording, folder / "clean.fif", overwrite=True)
    return {"n_samples": found["n_samples"]}


def evaluate(folder: Path, file: Path, peaks: dict[str, float]) -> dict[str, Any]:
    """As `rt-calibrate evaluate`."""
    from calibration.design import build_design
    from calibration.evaluate import evaluate as score
    from calibration.events import load_labelled
    from rt_decoder.timing.markers import MarkerRules

    model = _model(folder)
    labelled = load_labelled([file], [], model.recipe, MarkerRules())
    peaks["read"] = peak()
    design = build_design(model, labelled, scaled=True).answered_only()
    return {"top1": score(model, design.X, design.labels, groups=design.run)["top1"]}


def _model(folder: Path) -> Any:
    from rt_decoder.files.model_file import load_model

    return load_model(folder / "model.rtd.safetensors")


STEPS: dict[str, Callable[[Path, Path, dict[str, float]], dict[str, Any]]] = {
    "fit": fit, "decode": decode, "clean": clean, "evaluate": evaluate,
}  # fmt: skip


def peak() -> float:
    """Most memory of this process so far, in GiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, 3)


def main() -> None:
    step, folder, file, whole, limit = sys.argv[1:]
    if int(limit) < ALL:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    blocks.WHOLE_BYTES = int(whole)
    warnings.simplefilter("ignore")
    began, peaks = time.monotonic(), {"import": peak()}
    found = STEPS[step](Path(folder), Path(file), peaks)
    found |= {"peak_gib": peak(), "seconds": round(time.monotonic() - began, 1), "peaks": peaks}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
