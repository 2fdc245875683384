"""``rt-decoder``: simulate, replay, decode live and decode files.

Each command imports what it needs when it runs, so that ``--help`` costs nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from rt_decoder.commands.console import app_of, progress_bar, run_app, show_json, show_lines

if TYPE_CHECKING:
    from rt_decoder.model import Model
    from rt_decoder.replay.replay import Replayed

__all__ = ["main"]

app = app_of("Decode words from brain signals in real time.")

ModelFile = Annotated[Path, typer.Option("--model", help="Model file of rt-calibrate.")]
Events = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads it at run time)
    typer.Option("--events", help="BIDS events TSV."),
]
Channels = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--channels", help="TSV: stream name, model name, type, unit."),
]
Units = Annotated[str, typer.Option("--units", help="Unit of the samples where none is declared.")]
Stream = Annotated[str, typer.Option("--stream", help="Data stream of an XDF file with several.")]
Markers = Annotated[str, typer.Option("--markers", help="Marker stream by name, or channel:NAME.")]
Mask = Annotated[Optional[int], typer.Option("--mask", help="Bits of the trigger channel.")]  # noqa: UP045
Offset = Annotated[float, typer.Option("--marker-offset", help="Added to every marker, in ms.")]
Wait = Annotated[
    float, typer.Option("--marker-wait", help="How late a marker may come, in ms.", min=0.0)
]
Seconds = Annotated[float, typer.Option("--seconds", help="Stop after this time; 0 never.")]
Without = Annotated[
    str, typer.Option("--without", help="Cleaning stages to leave out, joined by commas; or all.")
]
Label = Annotated[str, typer.Option("--label", help="Events column; default word or trial_type.")]
Network = Annotated[
    bool, typer.Option("--network", help="Let other machines find and read the streams.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="Length of the live part.", min=5.0)] = 60.0,
    words: Annotated[int, typer.Option(help="Size of the vocabulary.", min=20)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the simulated participant.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate a participant, calibrate, stream over LSL, decode live, tell how well."""
    from rt_decoder.sinks.loopback import configure_loopback

    configure_loopback()  # before liblsl is loaded
    run_demo = _calibration("demo").run_demo
    result = run_demo(seconds=seconds, n_vocabulary=words, seed=seed, say=show_lines)
    if as_json:
        show_json(result)


@app.command()
def streams(
    wait: Annotated[float, typer.Option(help="How long to look, in s.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """List the LSL streams that can be seen."""
    from rt_decoder.sources.lsl.find import find_streams

    found = find_streams(wait)
    row = "{:<24} {:<10} {:<28} {:>8} {:>9}  {}".format
    if found:
        show_lines(row("name", "type", "source_id", "channels", "Hz", "unit"))
        show_lines(
            *(row(s.name, s.type, s.source_id, s.n_channels, s.sfreq, s.unit) for s in found)
        )
    else:
        show_lines(
            "no stream found; is the outlet running, and does a firewall or VPN stand between?"
        )
    if as_json:
        show_json({"streams": [s._asdict() for s in found]})


@app.command()
def simulate(
    seconds: Seconds = 120.0,
    name: Annotated[str, typer.Option(help="Of the stream.")] = "simulated",
    words: Annotated[int, typer.Option(help="Size of the vocabulary.", min=2)] = 200,
    channels: Annotated[int, typer.Option(help="Number of EEG channels.", min=4)] = 32,
    sfreq: Annotated[float, typer.Option(help="Sampling rate in Hz.", min=50.0)] = 250.0,
    seed: Annotated[int, typer.Option(help="Of the participant.")] = 0,
    session: Annotated[int, typer.Option(help="Of what is heard and of the noise.")] = 1,
    save: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write an XDF file (and its events TSV) instead of streaming."),
    ] = None,
    network: Network = False,
) -> None:
    """Stream a simulated participant who hears words, with markers; or save a recording."""
    _keep_here(network)
    simulate_recording = _calibration("demo").simulate_recording
    if seconds <= 0:
        raise typer.BadParameter(f"need --seconds above 0, got {seconds:g}")
    recording = simulate_recording(
        seconds=seconds, n_vocabulary=words, n_channels=channels, sfreq=sfreq, seed=seed,
        session=session,
    )  # fmt: skip
    if save is not None:
        _calibration("demo").save_recording(recording, save)
        show_lines(f"wrote {save.name} and {save.with_suffix('.tsv').name}")
        return
    _stream(recording, recording.markers, name, 1.0, 0.0)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="What MNE reads, XDF, CSV, session record.")],
    events: Events = None,
    label: Label = "",
    name: Annotated[str, typer.Option(help="Of the stream; <name>-markers beside it.")] = "replay",
    speed: Annotated[float, typer.Option(help="Faster than recorded.", min=0.01)] = 1.0,
    wait: Annotated[float, typer.Option(help="For consumers, in s.")] = 60.0,
    channels: Channels = None,
    units: Units = "",
    stream: Stream = "",
    markers: Markers = "",
    faults: Annotated[str, typer.Option(help="What goes wrong, such as loss=0.1s@10.")] = "",
    seed: Annotated[int, typer.Option(help="Of the faults.", min=0)] = 0,
    faults_log: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="JSON of the faults injected; default the last line."),
    ] = None,
    network: Network = False,
) -> None:
    """Stream a recording as if it were live, once consumers have connected."""
    _keep_here(network)
    from rt_decoder.replay.faults import parse_faults

    try:
        wrong = parse_faults(faults) if faults else ()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if faults_log is not None and not wrong:
        raise typer.BadParameter("need --faults with --faults-log, got none")
    read, found = _read(recording, events, label, channels, units, stream, markers)
    sent = _stream(read, found, name, speed, wait, faults=wrong, seed=seed)
    if not wrong:
        return
    account = sent._asdict() | {"type": "faults", "spec": faults, "seed": seed}
    if faults_log is None:
        show_json(account)
    else:
        faults_log.write_text(json.dumps(account) + "\n", encoding="utf-8")


@app.command()
def run(
    model: ModelFile,
    name: Annotated[str, typer.Option(help="Of the stream.")] = "",
    type_: Annotated[str, typer.Option("--type", help="Of the stream.")] = "",
    source_id: Annotated[str, typer.Option(help="Of the stream.")] = "",
    predicate: Annotated[str, typer.Option(help="Any LSL predicate.")] = "",
    fieldtrip: Annotated[
        str, typer.Option(help="HOST:PORT of a FieldTrip buffer; --markers is then an event type.")
    ] = "",
    markers: Markers = "",
    mask: Mask = None,
    marker_offset: Offset = 0.0,
    marker_wait: Wait = 2000.0,
    continuous: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(help="Read out at every hop; default where there are no markers."),
    ] = None,
    log: Annotated[Optional[Path], typer.Option(help="JSON lines.")] = None,  # noqa: UP045
    record: Annotated[Optional[Path], typer.Option(help="Session record, XDF.")] = None,  # noqa: UP045
    outlet: Annotated[str, typer.Option(help="Stem of the outlets' names.")] = "rt_decoder",
    clean_outlet: Annotated[
        str, typer.Option(help="Name of a stream of the cleaned signal, with quality and reasons.")
    ] = "",
    without: Without = "",
    channels: Channels = None,
    units: Units = "",
    timeout: Annotated[float, typer.Option(help="For finding streams, in s.")] = 10.0,
    seconds: Seconds = 0.0,
    until_lost: Annotated[bool, typer.Option(help="End when the stream ends.")] = False,
    reference: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="NAME or NAME=DELAY_MS of a stream with ECG, belt, ...; repeatable."),
    ] = None,
    when_behind: Annotated[
        str, typer.Option(help="'catch-up' decodes everything late, 'skip' drops what is old.")
    ] = "catch-up",
    max_behind: Annotated[
        float, typer.Option(help="What may wait before it is old, in ms.", min=10.0)
    ] = 500.0,
    network: Network = False,
    quiet: Annotated[bool, typer.Option(help="Print no readouts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Decode a live stream; readouts go to LSL outlets, to the log and to the terminal."""
    _keep_here(network)
    if when_behind not in ("catch-up", "skip"):
        raise typer.BadParameter(f"need --when-behind catch-up or skip, got {when_behind!r}")
    from rt_decoder.commands.run import LiveOptions, run_live
    from rt_decoder.files.model_file import load_model

    fitted = load_model(model)
    if not fitted.has_map and not clean_outlet:
        raise ValueError(
            f"{model.name} has no map: it cleans, and names no words (--clean-outlet NAME)"
        )
    options = LiveOptions(
        selection={
            "name": name or None,
            "type": type_ or None,
            "source_id": source_id or None,
            "predicate": predicate or None,
        },
        fieldtrip=fieldtrip,
        markers=markers,
        mask=mask,
        marker_offset=marker_offset * 1e-3,
        marker_wait=marker_wait * 1e-3,
        continuous=continuous,
        log=log,
        record=record,
        outlet=outlet if fitted.has_map else "",
        clean_outlet=clean_outlet,
        without=_without(without),
        channels=channels,
        units=units or None,
        timeout=timeout,
        references=_references(reference or []),
        skip=when_behind == "skip",
        max_behind=max_behind * 1e-3,
        seconds=seconds,
        until_lost=until_lost,
    )
    footer = run_live(fitted, options, None if quiet else show_lines)
    if as_json:
        show_json(footer)


@app.command()
def decode(
    recording: Annotated[Path, typer.Argument(help="What MNE reads, XDF, CSV, session record.")],
    model: ModelFile,
    jsonl: Annotated[Path, typer.Option("--jsonl", help="Where the readouts go.")],
    events: Events = None,
    label: Label = "",
    chunk: Annotated[int, typer.Option(help="Samples a push; changes nothing.", min=1)] = 64,
    markers: Markers = "",
    mask: Mask = None,
    marker_offset: Offset = 0.0,
    continuous: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(help="Read out at every hop; default where there are no events."),
    ] = None,
    channels: Channels = None,
    units: Units = "",
    stream: Stream = "",
    without: Without = "",
    as_json: AsJson = False,
) -> None:
    """Decode a recording through the live pipeline, as fast as it goes."""
    from rt_decoder.commands.decode import decode_file
    from rt_decoder.files.model_file import load_model

    fitted = _with_map(model, load_model(model))
    label = label or fitted.recipe.target.label
    trigger = markers.startswith("channel:")
    if trigger and events is not None:
        raise typer.BadParameter("need --events or --markers channel:NAME, got both")
    read, found = _read(
        recording, events, label, channels, units, stream, "" if trigger else markers
    )
    if trigger:  # as live: the channel comes in place of what the file marks elsewhere
        found = ()
    with progress_bar("decoding") as progress:
        footer = decode_file(
            fitted, read, found, jsonl,
            trigger=markers.removeprefix("channel:") if trigger else "",
            mask=mask, marker_offset=marker_offset * 1e-3, continuous=continuous,
            without=_without(without), chunk=chunk, progress=progress,
        )  # fmt: skip
    show_lines(f"{footer['n_readouts']} readouts of {footer['n_samples']} samples in {jsonl.name}")
    if as_json:
        show_json(footer)


@app.command()
def clean(
    recording: Annotated[Path, typer.Argument(help="What MNE reads, XDF, CSV, session record.")],
    model: ModelFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Named .fif.")],
    without: Without = "",
    channels: Channels = None,
    units: Units = "",
    stream: Stream = "",
    markers: Markers = "",
    as_json: AsJson = False,
) -> None:
    """Run the live cleaning chain over a recording and write all its channels."""
    from rt_decoder.commands.clean import clean_file
    from rt_decoder.files.model_file import load_model

    if out.exists() and out.samefile(recording):
        raise ValueError(f"need another file than the recording itself, got {out.name}")
    fitted = load_model(model)
    read, _ = _read(recording, None, "", channels, units, stream, markers)
    with progress_bar("cleaning") as progress:
        told = clean_file(fitted, read, out, without=_without(without), progress=progress)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in told["corrected"].items() if share)
    show_lines(
        f"{told['n_samples']} samples of {told['n_channels']} channels in {out.name}",
        f"corrected: {shares or 'nothing'}; bad {told['bad']:.1%}",
    )
    if as_json:
        show_json(told)


@app.command()
def convert(
    recording: Annotated[Path, typer.Argument(help="What MNE reads, XDF, CSV, session record.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Named .fif or .xdf.")],
    channels: Channels = None,
    units: Units = "",
    stream: Stream = "",
    markers: Markers = "",
    as_json: AsJson = False,
) -> None:
    """Write a recording or session record as FIF or XDF; mends one that a kill cut off."""
    from rt_decoder.commands.convert import convert as write

    told = write(
        recording, out, channels=channels, units=units or None, stream=stream or None,
        markers=markers or None,
    )  # fmt: skip
    show_lines(
        f"{told.n_samples} samples of {told.n_channels} channels and {told.n_markers} markers "
        f"in {out.name}"
    )
    if told.n_breaks or told.n_markers_left_out:
        show_lines(
            f"time breaks in {told.n_breaks} places, {told.n_lost} samples lost; "
            f"{told.n_markers_left_out} markers outside the samples left out"
        )
    if as_json:
        show_json(told._asdict())


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Model file.")], as_json: AsJson = False
) -> None:
    """Show what a model holds: contract, settings, delays, memory, certificate."""
    from rt_decoder.commands.describe import model_lines, model_summary
    from rt_decoder.files.model_file import load_model

    fitted = load_model(model)
    show_lines(*model_lines(fitted))
    if as_json:
        show_json(model_summary(fitted))


@app.command()
def info(as_json: AsJson = False) -> None:
    """Show versions, liblsl, processor features and the LSL configuration."""
    from rt_decoder.commands.describe import system_summary

    summary = system_summary()
    show_lines(*(f"{key:<16} {value}" for key, value in summary.items()))
    if as_json:
        show_json(summary)


def _keep_here(network: bool) -> None:
    """Offer streams to this machine only, unless the network is asked for."""
    from rt_decoder.sinks.loopback import configure_local

    if not network:
        configure_local()  # before liblsl is used


def _calibration(module: str) -> Any:
    """Module of `calibration`, or one sentence on what is missing."""
    from importlib import import_module

    try:
        return import_module(f"calibration.{module}")
    except ImportError as error:
        raise ImportError(
            f"need the calibration extra ({error.name or error}): pip install 'rt-decoder[calibration]'"
        ) from None


def _without(text: str) -> tuple[str, ...]:
    """Stages by name; a wrong one is refused."""
    from rt_decoder.cleaning.stages import CLEANING

    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names == ("all",):
        return CLEANING
    if unknown := set(names) - set(CLEANING):
        raise typer.BadParameter(
            f"need --without all or stages among {', '.join(CLEANING)}, got {', '.join(unknown)}"
        )
    return names


def _references(texts: list[str]) -> Any:
    if not texts:
        return ()
    from rt_decoder.sources.streams import parse_reference

    try:
        return tuple(parse_reference(text) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _with_map(path: Path, model: Model) -> Model:
    if not model.has_map:
        raise ValueError(f"{path.name} has no map: it cleans, it does not name words")
    return model


def _read(
    path: Path, events: Path | None, label: str, channels: Path | None, units: str, stream: str,
    markers: str,
) -> Any:  # fmt: skip
    """Recording, and the markers of the events table or its own."""
    from rt_decoder.files.events import markers_from_events, read_events
    from rt_decoder.files.read import read_recording

    recording = read_recording(
        path, channels=channels, units=units or None, stream=stream or None, markers=markers or None
    )
    if events is None:
        return recording, recording.markers
    return recording, markers_from_events(read_events(events, column=label or None), recording)


def _stream(
    recording: Any, markers: Any, name: str, speed: float, wait: float, **faults: Any
) -> Replayed:
    from uuid import uuid4

    from rt_decoder.commands.run import stop_on_signals
    from rt_decoder.replay.replay import replay as stream

    waiting = "; waiting for consumers" if wait else ""
    with stop_on_signals() as should_stop, progress_bar("streaming") as progress:
        show_lines(f"streaming {name!r} and '{name}-markers'{waiting}, Ctrl-C ends")
        return stream(
            recording, markers, name=name, source_id=f"{name}-{uuid4().hex[:12]}", speed=speed,
            wait_for_consumers=wait, should_stop=should_stop,
            progress=lambda n_samples: progress(n_samples / len(recording.data)), **faults,
        )  # fmt: skip


def main() -> None:
    """Run the program."""
    run_app(app)
