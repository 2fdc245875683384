"""``rt-decoder streams`` and ``replay``: streams that are seen, and recordings that are sent."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.interrupt import stop_on_signals
from rt_decoder.commands.options import (
    UNMARKED,
    AsJson,
    Channels,
    Events,
    Label,
    Markers,
    Network,
    RecordingFile,
    SentName,
    Stream,
    Units,
)
from rt_decoder.commands.outputs import JSON, claim_outputs
from rt_decoder.counted import counted

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording
    from rt_decoder.replay.plan import ReplayOptions
    from rt_decoder.replay.replay import Replayed
    from rt_decoder.signal import Marker

__all__ = ["COMMANDS", "keep_here", "stream_recording"]

FAULTS = "Faults"


def streams(
    wait: Annotated[float, typer.Option(metavar="S", help="How long to search.", min=0.0)] = 2.0,
    as_json: AsJson = False,
) -> None:
    """List the LSL streams that can be seen.

    Example: rt-decoder streams --wait 5
    """
    from rt_decoder.sinks.text import plain
    from rt_decoder.sources.lsl.find import find_streams

    found = find_streams(wait)
    row = "{:<24} {:<10} {:<28} {:>8} {:>9}  {}".format
    if found:
        show_lines(row("name", "type", "source_id", "channels", "Hz", "unit"))
        for s in found:
            texts = (plain(text, 60) for text in (s.name, s.type, s.source_id))
            show_lines(row(*texts, s.n_channels, s.sfreq, plain(s.unit, 60)))
    else:
        show_lines(
            "no stream found; is the outlet running, and does a firewall or VPN stand between?"
        )
    if as_json:
        show_json({"streams": [s._asdict() for s in found]})


def replay(
    recording: RecordingFile,
    events: Events = None,
    label: Label = "",
    name: SentName = "replay",
    speed: Annotated[
        float, typer.Option(metavar="FACTOR", help="Speed relative to the recording.", min=0.01)
    ] = 1.0,
    wait: Annotated[
        float, typer.Option(metavar="S", help="Longest wait for consumers.", min=0.0)
    ] = 60.0,
    linger: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="How long consumers may read on after the last sample; Ctrl-C ends it.",
            min=0.0,
        ),
    ] = 2.0,
    channels: Channels = None,
    units: Units = None,
    stream: Stream = None,
    markers: Markers = UNMARKED,
    faults: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Faults to inject, such as loss=0.1s@10; default none.",
            show_default=False,
            rich_help_panel=FAULTS,
        ),
    ] = "",
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Random seed of the faults.", min=0, rich_help_panel=FAULTS),
    ] = 0,
    faults_log: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON",
            help="File for the faults and their times; default the last line printed.",
            rich_help_panel=FAULTS,
        ),
    ] = None,
    network: Network = False,
) -> None:
    """Stream a recording as if it were live, once consumers have connected.

    Example: rt-decoder replay run1.xdf --events run1.tsv --name amplifier
    """
    keep_here(network)
    from rt_decoder.files.atomic import write_whole
    from rt_decoder.files.outputs import reserve
    from rt_decoder.files.read import read_marked
    from rt_decoder.replay.faults import parse_faults
    from rt_decoder.replay.plan import ReplayOptions
    from rt_decoder.timing.double_events import check_stimuli
    from rt_decoder.timing.markers import MarkerRules

    try:
        wrong = parse_faults(faults) if faults else ()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if faults_log is not None and not wrong:
        raise typer.BadParameter("need --faults with --faults-log, got none")
    claim_outputs([("--faults-log", faults_log, JSON)], [recording, events, channels], None)
    options = ReplayOptions(speed=speed, wait=wait, linger=linger, faults=wrong, seed=seed)
    read, found = read_marked(
        recording, events, label, channels=channels, units=units, stream=stream, markers=markers
    )
    if events is not None:
        check_stimuli(found, MarkerRules(), read.name, events.name)
    if read.bad_segments:
        warnings.warn(
            f"{read.name}: a stream cannot say which of its segments are bad: a session decodes the "
            f"{len(read.bad_segments)} that `decode` flags",
            RuntimeWarning,
            stacklevel=2,
        )
    sent = stream_recording(read, found, name, options)
    if not wrong:
        return
    account = sent._asdict() | {"type": "faults", "spec": faults, "seed": seed}
    if faults_log is None:
        show_json(account)
    else:
        path = reserve(faults_log)[0] or faults_log
        write_whole(path, (json.dumps(account) + "\n").encode(), overwrite=True)
        show_lines(f"faults in {path.name}")


def keep_here(network: bool, offers: bool = True) -> None:
    """Offer streams to this machine only, unless the network is asked for.

    Parameters
    ----------
    network : bool
        Whether others may find and read our streams.
    offers : bool
        Whether there will be streams at all.

    Raises
    ------
    typer.BadParameter
        If this system cannot keep others out.
    """
    from rt_decoder.sinks.loopback import keep_quiet, stay_local

    if network:
        keep_quiet()
        return
    try:
        stay_local(offers)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def stream_recording(
    recording: Recording, markers: Sequence[Marker], name: str, options: ReplayOptions
) -> Replayed:
    """Send a recording until its end or Ctrl-C.

    Parameters
    ----------
    recording : Recording
        What to send.
    markers : sequence of Marker
        What to send beside it.
    name : str
        Of the stream; ``<name>-markers`` is that of the markers.
    options : ReplayOptions
        How it is sent.

    Returns
    -------
    Replayed
        What was sent.

    Raises
    ------
    KeyboardInterrupt
        If a signal came before anything was sent.
    """
    from uuid import uuid4

    from rt_decoder.replay.replay import replay as send

    waiting = "; waiting for consumers" if options.wait else ""
    with stop_on_signals() as should_stop, progress_bar("streaming") as progress:
        should_stop.only_ask()
        show_lines(f"streaming {name!r} and '{name}-markers'{waiting}, Ctrl-C ends")
        sent = send(
            recording, markers, options, name=name, source_id=f"{name}-{uuid4().hex[:12]}",
            should_stop=should_stop,
            progress=lambda n_samples: progress(n_samples / len(recording.data)),
        )  # fmt: skip
    if should_stop.came and sent.n_samples == 0:
        raise KeyboardInterrupt("nothing was sent")
    if sent.n_outside:
        warnings.warn(
            f"{sent.n_outside} of {counted(len(markers), 'marker')} not sent: outside the samples",
            RuntimeWarning,
            stacklevel=2,
        )
    return sent


COMMANDS = (streams, replay)
