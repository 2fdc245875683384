"""``rt-decoder warm`` and ``certify``: prepare this machine for sessions, and judge it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.options import OUTPUT, STREAM, AsJson
from rt_decoder.commands.outputs import Overwrite, claim_outputs
from rt_decoder.commands.streams import keep_here
from rt_decoder.counted import counted

__all__ = ["COMMANDS", "Tune"]

Tune = Annotated[
    list[str] | None,
    typer.Option(
        "--tune",
        metavar="WHAT",
        help="Ask the system for even timing: turns, priority, core, slack or memory; repeatable; default none.",
        rich_help_panel="When something goes wrong",
    ),
]


def warm(
    check: Annotated[
        bool, typer.Option("--check", help="Compile nothing; exit with 1 if a kernel is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compile the kernels and keep them, so that sessions start at once.

    Each core compiles; an installation needs it once.

    Example: rt-decoder warm
    """
    from rt_decoder.commands.compiling import compile_kernels
    from rt_decoder.kernels.cache import cache_folder
    from rt_decoder.live.warm import listed, missing

    n_compiled = 0 if check else compile_kernels()
    left = missing()
    show_lines(
        f"{counted(n_compiled, 'kernel')} compiled, {len(listed()) - len(left) - n_compiled} kept before, "
        f"{len(left)} missing; in {cache_folder() or 'no folder: compiled at each start'}"
    )
    if as_json:
        show_json({"compiled": n_compiled, "missing": len(left), "listed": len(listed())})
    if left and check:
        raise typer.Exit(1)


Folder = Annotated[
    Path,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Folder of logs and records, whose disk is tried.",
        exists=True,
        file_okay=False,
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyOptions:
    """Options of `certify`."""

    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Model file of rt-calibrate."),
    ] = None
    channels: Annotated[
        int, typer.Option(metavar="N", help="Channels of the model of noise.", min=1)
    ] = 64
    rate: Annotated[
        float, typer.Option(metavar="HZ", help="Rate of the model of noise.", min=100.0)
    ] = 1000.0
    words: Annotated[int, typer.Option(metavar="N", help="Size of the vocabulary.", min=2)] = 24_000
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Length of the session that is run.", min=3.0)
    ] = 30.0
    markers: Annotated[
        str,
        typer.Option(
            "--marker-stream",
            metavar="NAME",
            help="Marker stream whose delay is measured; default none.",
            show_default=False,
            rich_help_panel=STREAM,
        ),
    ] = ""
    folder: Folder = Path()
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="SVG",
            help="Draw what was measured; default none.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    overwrite: Overwrite = False
    as_json: AsJson = False


@bundled
def certify(options: CertifyOptions) -> None:
    """Measure whether this computer keeps the budget of a model, part by part; takes a minute.

    Without --model it is one of noise, of so many channels and words. Exit code 1: it does not.

    Example: rt-decoder certify --model me.rtd.safetensors --picture here.svg
    """
    keep_here(network=False)
    drawing = [("--picture", options.picture, (".svg",))]
    claim_outputs(drawing, [options.model], options.overwrite)
    from rt_decoder.commands.certify import Asked
    from rt_decoder.commands.certify import certify as measure
    from rt_decoder.commands.compiling import compile_kernels
    from rt_decoder.commands.console import progress_bar
    from rt_decoder.commands.machine_verdict import picture, verdict_lines
    from rt_decoder.commands.noise_model import noise_model
    from rt_decoder.files.atomic import write_whole
    from rt_decoder.files.model_file import load_model

    compile_kernels()
    model = noise_model(options.channels, options.rate, options.words)
    if options.model:
        model = load_model(options.model)
    if not model.has_map:
        raise ValueError("need a model with a map to certify, got one that only cleans")
    with progress_bar("measuring") as progress:
        told = measure(model, Asked(options.seconds, options.markers, options.folder), progress)
    show_lines(*verdict_lines(told))
    if options.picture is not None:
        write_whole(options.picture, picture(told).encode(), options.overwrite)
    if options.as_json:
        show_json(told)
    if not told["keeps"]:
        raise typer.Exit(1)


COMMANDS = (warm, certify)
