"""``rt-decoder check``: whether a stream is fit for a session."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import show_json, show_lines
from rt_decoder.commands.machine import Folder
from rt_decoder.commands.options import MARKERS, UNMARKED, AsJson, Stream
from rt_decoder.commands.stream_options import StreamOptions
from rt_decoder.commands.streams import keep_here

if TYPE_CHECKING:
    from rt_decoder.checks.finding import Finding
    from rt_decoder.files.recording import Recording
    from rt_decoder.model import Model
    from rt_decoder.timing.marker_choice import MarkerChoice

__all__ = ["COMMANDS"]

_ENDS = {
    "good": "ready: nothing stands against a session",
    "look": "a session would run; look first at: {what}",
    "bad": "not ready: {what}",
}


def check(
    options: StreamOptions,
    recording: Annotated[
        Path | None,
        typer.Argument(
            metavar="[REC]", help="A recording to look at, instead of a live stream.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="Model file of rt-calibrate."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="How long to look at a live stream.", min=2.0)
    ] = 60.0,
    stream: Stream = None,
    photodiode: Annotated[
        str,
        typer.Option(
            metavar="CHANNEL", help="Channel of a photodiode on the screen: measures --marker-offset.",
            show_default=False, rich_help_panel=MARKERS,
        ),
    ] = "",
    folder: Folder = Path(),
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Look at a stream for a minute before a session: stamps, channels, body, markers, disk, model.

    Blink a few times and let the stimuli run meanwhile. Exit code 1: not ready.

    Example: rt-decoder check --name Amp --markers Stimuli --model me.rtd.safetensors
    """
    keep_here(network=False, offers=False)
    from rt_decoder.files.model_file import load_model
    from rt_decoder.files.read import read_recording
    from rt_decoder.files.tables import read_channel_table

    fitted = None if model is None else load_model(model)
    options.say(show_lines)
    read_channel_table(options.channels)
    markers = options.markers or [UNMARKED]
    if recording is not None:
        reading: dict[str, Any] = {
            "channels": options.channels,
            "units": options.units,
            "stream": stream,
        }
        found = [read_recording(recording, markers=one, **reading) for one in markers]
    else:
        found = _live(options, markers, seconds)
    looked = {
        "expects_markers": recording is not None or bool(markers[0]), "photodiode": photodiode,
        "markers_of": [one.stream for one in markers],
    }  # fmt: skip
    verdict, findings = _judge(found, fitted, folder if recording is None else None, looked)
    if as_json:
        plain = [one._asdict() | {"verdict": one.verdict.value} for one in findings]
        show_json({"verdict": verdict, "findings": plain})
    if verdict == "bad":
        raise typer.Exit(1)


def _judge(
    found: Sequence[Recording], model: Model | None, folder: Path | None, looked: dict[str, Any]
) -> tuple[str, list[Finding]]:
    """Look at a recording, and at the disk where the next one would go; print what is found.

    `found` has it once a marker stream.
    """
    from rt_decoder.checks.check import check_recording
    from rt_decoder.checks.finding import finding_lines, worst
    from rt_decoder.checks.machine import check_disk

    findings = check_recording(found[0], model, others=found[1:], **looked)
    if folder is not None:
        info = found[0].info
        findings.append(check_disk(folder, 8.0 * info.n_channels * info.sfreq))
    verdict = worst(findings).value
    what = [one.what for one in findings if one.verdict.value == verdict]
    show_lines(*finding_lines(findings), _ENDS[verdict].format(what=", ".join(what)))
    return verdict, findings


def _live(
    options: StreamOptions, markers: Sequence[MarkerChoice], seconds: float
) -> list[Recording]:
    """Record for a while, into a file that is gone afterwards; once a marker stream."""
    from rt_decoder.commands.record import record_stream
    from rt_decoder.files.read import read_recording

    with tempfile.TemporaryDirectory(prefix="rt_decoder-check-") as place:
        path = Path(place) / "check.xdf"
        record_stream(options.session({"seconds": seconds, "record": path, "until_lost": True}))
        several = len(markers) > 1 or markers[0].trigger
        return [read_recording(path, markers=one if several else UNMARKED) for one in markers]


COMMANDS = (bundled(check),)
