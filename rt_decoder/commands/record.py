"""``rt-decoder record``: streams into a session record, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import show_error, show_json, show_lines
from rt_decoder.commands.options import AsJson, Seconds
from rt_decoder.commands.outputs import XDF, claim_outputs
from rt_decoder.commands.run_options import UntilLost
from rt_decoder.commands.stream_options import StreamOptions
from rt_decoder.commands.streams import keep_here
from rt_decoder.counted import counted

if TYPE_CHECKING:
    from rt_decoder.checks.quality import StreamQuality
    from rt_decoder.live.run_options import RunOptions
    from rt_decoder.live.session import Session
    from rt_decoder.sinks.record import Recorder

__all__ = ["COMMANDS", "record_stream"]

_MOST_CHANNELS = 12
_SOON, _LATER = 10.0, 60.0  # s between two lines of progress, with an end and without


def record(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="XDF", help="Session record; if taken, the next number."
        ),
    ],
    options: StreamOptions,
    as_json: AsJson = False,
    seconds: Seconds = 0.0,
    until_lost: UntilLost = False,
) -> None:
    """Record a stream, its markers and references, watched as in a session; no model is needed.

    The record is an XDF file, which `rt-calibrate fit` reads, and every program that reads XDF. Of
    several marker streams the first gives the words, unless a reader asks for another. Ctrl-C ends.
    Exit code 3: the record is not whole.

    Example: rt-decoder record --name Amp --markers Stimuli --markers Buttons -o calibration.xdf
    """
    keep_here(network=False, offers=False)
    claim_outputs([("--output", output, XDF)], options.read_files, None)
    from rt_decoder.files.tables import read_channel_table

    given = {"record": output, "seconds": seconds, "until_lost": until_lost}
    asked = options.session(given)
    options.say(show_lines)
    read_channel_table(options.channels)
    summary = record_stream(asked)
    show_lines(*_lines(summary))
    if as_json:
        show_json(summary)
    if summary["errors"]:
        show_error(f"recorded, but not all is written: {'; '.join(summary['errors'])}")
        raise typer.Exit(3)


def record_stream(options: RunOptions) -> dict[str, Any]:
    """Record until a signal, the time or the end of the stream.

    Parameters
    ----------
    options : RunOptions
        Which streams, and where to.

    Returns
    -------
    dict
        ``path``, ``n_samples``, ``seconds``, ``markers`` by label, ``marker_streams`` (of each its
        ``name``, ``n``, ``labels``, ``n_losses`` and ``latest_s``, how long after its time the latest
        marker came), ``channels`` (what was wrong, as `StreamQuality.shares`), ``bad`` (the same in
        words), ``counts`` of events, ``errors``.

    Raises
    ------
    LookupError
        If not exactly one stream matches.
    KeyboardInterrupt
        If a signal came before the first sample.
    """
    from rt_decoder.checks.quality import StreamQuality
    from rt_decoder.commands.interrupt import stop_on_signals
    from rt_decoder.commands.run import terminal
    from rt_decoder.commands.session_text import search_text, waiting_text
    from rt_decoder.live.opening import open_session

    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(options.seconds))
        show_lines(search_text(options))
        _, on_event = terminal(show_lines, stack)
        session = open_session(None, options, stack, on_event=on_event)
        recorder, info = session.recorder, session.source.info
        assert recorder is not None  # options.record is set
        quality = StreamQuality(info)
        session.decoder.pipeline.tap(quality.look)
        show_lines(waiting_text(session.source.name, info, options.markers, *options.more_markers))
        told = stack.enter_context(_told_every(_SOON if options.seconds else _LATER))

        def should_stop() -> bool:
            if session.n_samples:
                stop.began()
                told(session.n_samples / info.sfreq, partial(_so_far, session))
            return stop()

        footer = session.run(should_stop)
        if stop.came and session.n_samples == 0:
            raise KeyboardInterrupt("no sample had come")
    if session.n_samples == 0:
        recorder.path.unlink(missing_ok=True)  # it holds nothing
        raise LookupError(f"need samples of {session.source.name!r}, got none before it ended")
    return _summary(session, recorder, quality, footer)


def _summary(
    session: Session, recorder: Recorder, quality: StreamQuality, footer: dict[str, Any]
) -> dict[str, Any]:
    """What `record_stream` returns."""
    streams = session.markers.told()
    return {
        "path": str(recorder.path),
        "n_samples": session.n_samples,
        "seconds": session.n_samples / session.source.info.sfreq,
        "markers": dict(sum((one["labels"] for one in streams), Counter()))
        if streams
        else dict(session.labels.seen),
        "marker_streams": streams,
        "channels": quality.shares(),
        "bad": quality.lines(),
        "counts": footer["counts"],
        "n_dropped": footer["n_dropped"],
        "errors": footer["errors"],
    }


@contextmanager
def _told_every(seconds: float) -> Iterator[Callable[[float, Callable[[], str]], None]]:
    """Yield what takes the s so far and a text, and tells them now and then from another thread."""
    from rt_decoder.sinks.worker import Worker

    printer, due = Worker("progress", max_jobs=8), seconds

    def tell(recorded: float, so_far: Callable[[], str]) -> None:
        nonlocal due
        if recorded >= due:
            due += seconds
            text = f"recorded {recorded:.0f} s, {so_far()}"
            printer.put(lambda: show_lines(text))

    try:
        yield tell
    finally:
        printer.close()


def _so_far(session: Session) -> str:
    """Say how many markers each stream has sent."""
    if len(session.markers.readers) == 1:
        return counted(sum(session.labels.seen.values()), "marker")
    said = [f"{one['name']} {one['n'] or 'none yet'}" for one in session.markers.told()]
    return f"markers: {', '.join(said)}"


def _lines(summary: dict[str, Any]) -> list[str]:
    """Say what was recorded, what was lost and which channels were bad."""
    from rt_decoder.commands.session_text import labels_text, lost_text, stream_line

    counts, labels, streams = summary["counts"], summary["markers"], summary["marker_streams"]
    named = f": {labels_text(labels)}" if labels and len(streams) < 2 else ""
    counts = {name: n for name, n in counts.items() if name != "markers_waiting"}  # no windows here
    wrong = summary["bad"]
    wrong_more = f" and {len(wrong) - _MOST_CHANNELS} more" if len(wrong) > _MOST_CHANNELS else ""
    return [
        f"recorded: {counted(summary['n_samples'], 'sample')} ({summary['seconds']:.1f} s), "
        f"{counted(sum(labels.values()), 'marker')}{named}",
        *(stream_line(one) for one in streams if len(streams) > 1),
        lost_text(counts, summary["n_dropped"]),
        f"channels: {', '.join(wrong[:_MOST_CHANNELS]) or 'none missing, constant or impossible'}"
        f"{wrong_more}",
        f"file: {summary['path']}",
    ]


COMMANDS = (bundled(record),)
