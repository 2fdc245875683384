"""``rt-decoder decode``, ``clean`` and ``convert``: from a recording to a file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.answer_options import Anytime, SetLevel, Then, WhenUnlike
from rt_decoder.commands.bids_options import ConvertOptions
from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.compiling import compile_kernels
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.language import (
    LanguageModel,
    LanguageText,
    LanguageWeight,
    next_word_of,
)
from rt_decoder.commands.options import (
    DECODING,
    UNMARKED,
    Align,
    AsJson,
    Channels,
    Continuous,
    Events,
    Force,
    Label,
    Learn,
    MarkerOffset,
    Markers,
    Mask,
    ModelFile,
    RecordingFile,
    Stream,
    Units,
    Without,
)
from rt_decoder.commands.outputs import FIF, LOG, XDF, Overwrite, claim_outputs
from rt_decoder.counted import counted

if TYPE_CHECKING:
    from rt_decoder.commands.convert import Converted

__all__ = ["COMMANDS"]


def decode(
    recording: RecordingFile,
    model: ModelFile,
    jsonl: Annotated[
        Path, typer.Option("--jsonl", metavar="FILE", help="Log to write, JSON lines.")
    ],
    events: Events = None,
    label: Label = "",
    markers: Markers = UNMARKED,
    mask: Mask = None,
    marker_offset: MarkerOffset = 0.0,
    continuous: Continuous = None,
    without: Without = frozenset(),
    force: Force = False,
    align: Align = None,
    learn: Learn = None,
    language_text: LanguageText = None,
    language_model: LanguageModel = "",
    language_weight: LanguageWeight = None,
    level: SetLevel = 0.0,
    when_unlike: WhenUnlike = None,
    anytime: Anytime = None,
    then: Then = None,
    chunk: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Samples per push; does not change the readouts.",
            min=1,
            rich_help_panel=DECODING,
        ),
    ] = 64,
    channels: Channels = None,
    units: Units = None,
    stream: Stream = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Decode a recording through the live pipeline, as fast as it goes.

    Example: rt-decoder decode run2.xdf --model me.rtd.safetensors --jsonl run2.jsonl
    """
    from rt_decoder.commands.decode import decode_file, no_readouts
    from rt_decoder.files.model_file import load_model
    from rt_decoder.files.monitor_text import fit_lines
    from rt_decoder.files.proof import check_proven
    from rt_decoder.files.read import read_marked
    from rt_decoder.pipeline import PipelineOptions
    from rt_decoder.timing.markers import MarkerRules

    rules = MarkerRules(markers.trigger, mask=mask, offset=marker_offset * 1e-3)
    if markers.trigger and events is not None:
        raise typer.BadParameter("need --events or --markers channel:NAME, got both")
    read_too = [recording, model, events, channels, language_text, *(then or ())]
    claim_outputs([("--jsonl", jsonl, LOG)], read_too, overwrite)
    fitted = load_model(model)
    if not fitted.has_map:
        raise ValueError(f"{model.name} has no map: it cleans, it does not name words")
    if not force:
        check_proven(fitted, model.name)
    language = next_word_of(fitted, language_text, language_model, language_weight)
    options = PipelineOptions(
        rules,
        continuous,
        without,
        force,
        align,
        learn,
        language,
        level,
        when_unlike,
        anytime,
        tuple(load_model(one) for one in then or ()),
    )
    options.check(fitted)
    label = label or fitted.recipe.target.label
    read, found = read_marked(
        recording, events, label, channels=channels, units=units, stream=stream,
        markers=markers.stream,
    )  # fmt: skip
    if markers.trigger:  # as live: the channel comes in place of what the file marks elsewhere
        found = ()
    compile_kernels()
    with progress_bar("decoding") as progress:
        footer = decode_file(
            fitted, read, found, jsonl, options,
            chunk=chunk, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    show_lines(
        f"{counted(footer['n_readouts'], 'readout')} of {counted(footer['n_samples'], 'sample')} in {jsonl.name}"
    )
    if "n_labels" in footer:
        show_lines(
            f"learned from {counted(footer['n_labels'], 'label')}, each after its own readout"
        )
    show_lines(*fit_lines(footer))
    if footer["n_readouts"] == 0:
        warnings.warn(no_readouts(footer, markers), RuntimeWarning, stacklevel=2)
    if as_json:
        show_json(footer)


def clean(
    recording: RecordingFile,
    model: ModelFile,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FIF", help="File to write.")],
    without: Without = frozenset(),
    channels: Channels = None,
    units: Units = None,
    stream: Stream = None,
    markers: Markers = UNMARKED,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Run the live cleaning chain over a recording and write all its channels.

    Example: rt-decoder clean run2.xdf --model me.rtd.safetensors -o run2_raw.fif
    """
    from rt_decoder.commands.clean import clean_file
    from rt_decoder.files.model_file import load_model
    from rt_decoder.files.monitor_text import fit_lines, told_lines
    from rt_decoder.files.read import read_recording
    from rt_decoder.pipeline import PipelineOptions

    options = PipelineOptions(without=without)
    claim_outputs([("--out", out, FIF)], [recording, model, channels], overwrite)
    fitted = load_model(model)
    read = read_recording(recording, channels=channels, units=units, stream=stream, markers=markers)
    compile_kernels()
    with progress_bar("cleaning") as progress:
        told = clean_file(fitted, read, out, options, overwrite=overwrite, progress=progress)
    shares = ", ".join(
        f"{name} {100 * share:.1f} %" for name, share in told["corrected"].items() if share
    )
    show_lines(
        f"{counted(told['n_samples'], 'sample')} of {counted(told['n_channels'], 'channel')} in {out.name}",
        f"corrected: {shares or 'nothing'}; bad {100 * told['bad']:.1f} %",
        *(
            f"{event['channel']} {event['event'].removeprefix('channel_')}: {event['fix']}"
            for event in told["events"]
            if "fix" in event and "channel" in event
        ),
        *fit_lines(told | {"counts": {}}),
        *told_lines(told["events"]),
        *_texts(told["texts"]),
    )
    if as_json:
        show_json(told)


@bundled
def convert(
    recording: RecordingFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FIF|XDF|ROOT",
            help="File to write, whose name sets the format; with --subject, a BIDS data set.",
        ),
    ],
    options: ConvertOptions,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a recording or session record as FIF, as XDF or into BIDS; mends one that a kill cut off.

    With a log in place of a recording, its readouts become an events table under
    ROOT/derivatives/rt_decoder.

    Example: rt-decoder convert session.xdf -o session_raw.fif
    """
    from rt_decoder.commands.convert import convert as write
    from rt_decoder.commands.convert_bids import bids_name, convert_to_bids
    from rt_decoder.commands.decoded_events import write_decoded

    name = bids_name(out, options.codes)
    if recording.suffix == ".jsonl":
        show_lines(f"wrote {write_decoded(recording, out, name, overwrite=overwrite)}")
        return
    if name is None:
        claim_outputs([("--out", out, FIF + XDF)], [recording, options.channels], overwrite)
        told = write(recording, out, **options.reading, overwrite=overwrite)
    else:
        told, out = convert_to_bids(recording, out, name, **options.reading, overwrite=overwrite)
    show_lines(*_converted(told, out.name))
    if as_json:
        show_json(told._asdict())


def _converted(told: Converted, name: str) -> list[str]:
    """Say what was written, and what could not be."""
    found = [
        f"{counted(told.n_samples, 'sample')} of {counted(told.n_channels, 'channel')} and "
        f"{counted(told.n_markers, 'marker')} in {name}"
    ]
    if told.n_breaks or told.n_markers_left_out:
        found.append(
            f"time breaks in {counted(told.n_breaks, 'place')}, {counted(told.n_lost, 'sample')} lost; "
            f"{counted(told.n_markers_left_out, 'marker')} outside the samples left out"
        )
    return found + _texts(told.texts)


def _texts(texts: Sequence[str]) -> list[str]:
    """Say what is carried over as somebody typed it: it may name a person."""
    shown = ", ".join(repr(text[:40]) for text in texts[:6])
    more = f" and {len(texts) - 6} more" if len(texts) > 6 else ""
    if not texts:
        return []
    return [f"copied as they are, read before you share the file: texts of markers {shown}{more}"]


COMMANDS = (decode, clean, convert)
