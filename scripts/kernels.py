#!/usr/bin/env python3
"""List the kernels that fits and sessions compile, with the types of their arguments.

Fits and decodes small simulated people with every stage and kind of features, and looks at what numba
has compiled. `rt-decoder warm` compiles the list, `rt_decoder/kernels/signatures.txt`, ahead.

scripts/kernels.py          exits with 1 if the list lacks a kernel
scripts/kernels.py --write  writes it
"""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from numba.core.dispatcher import Dispatcher

from calibration.cleaning.chain import fit_cleaning
from calibration.continuous import fit_continuous
from calibration.design import build_design
from calibration.monitor import fit_monitor
from rt_decoder.decoder import Decoder
from rt_decoder.files.recording import Recording
from rt_decoder.live import warm
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import STAGES
from rt_decoder.recorded import decode_recording
from tests.cleaned import fitted, labelled, scene
from tests.small import fit_small, random_model, small_recipe, small_recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the list")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # what small people lack
    run_everything()
    found = compiled()
    if args.write:
        warm.LIST.write_text("".join(f"{' '.join(one)}\n" for one in found), encoding="ascii")
    elif lacking := set(found) - set(warm.listed()):
        for one in sorted(lacking):
            print(" ".join(one))
        sys.exit("kernels: the list lacks these; scripts/kernels.py --write lists them")
    print(f"{len(found)} kernels")


def run_everything() -> None:
    """Run what compiles kernels, but references on streams of their own."""
    decode(fitted()[0], scene())
    recording = small_recording()
    one = labelled(recording)
    for recipe in (
        small_recipe(readout={"repeats": 2, "precision": 0.0}),
        small_recipe(features={"kind": "bandpower"}),
    ):
        model = fit_small(recording, recipe)
        design = build_design(model, [one])
        decode(fit_monitor(fit_continuous(model, design, [one]), design, [one]), recording)
    tracked = small_recipe(clean={"stages": list(STAGES), "mains": "adaptive"})
    decode(fit_cleaning(random_model(scene(), tracked), [labelled(scene())])[0], scene())


def decode(model: Model, recording: Recording) -> None:
    """Decode a recording in every way, and warm up as a session does."""
    options = PipelineOptions(continuous=True, force=True)
    for _ in decode_recording(model, recording, recording.markers, options=options):
        pass
    Decoder(model, recording.info, options).warm_up()


def compiled() -> list[warm.Kernel]:
    """Return what this process has called, inner kernels left out, ordered."""
    room = import_module("rt_decoder.kernels")
    found = []
    for file in sorted(module.name for module in iter_modules(room.__path__)):
        for name, kernel in vars(import_module(f"{room.__name__}.{file}")).items():
            here = isinstance(kernel, Dispatcher) and kernel.py_func.__module__.endswith(f".{file}")
            if here and not name.startswith("_"):
                found += [
                    warm.Kernel(file, name, "; ".join(map(warm.spelled, types)))
                    for types in kernel.signatures
                ]
    return sorted(found)


if __name__ == "__main__":
    main()
