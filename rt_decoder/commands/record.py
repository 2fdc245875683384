"""``rt-decoder record``: streams into a session record, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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

if TYPE_CHECKING:
    from rt_decoder.live.run_options import RunOptions

__all__ = ["COMMANDS", "record_stream"]

_MOST_LABELS, _MOST_CHANNELS = 12, 12
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

    What `rt-calibrate fit` reads, and every program that reads XDF. Ctrl-C ends. Exit code 3: the
    record is not whole.

    Example: rt-decoder record --name Amp --markers Stimuli --reference belt -o calibration.xdf
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
        ``path``, ``n_samples``, ``seconds``, ``markers`` by label, ``channels`` (what was wrong, as
        `StreamQuality.shares`), ``bad`` (the same in words), ``counts`` of events, ``errors``.

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
        show_lines(waiting_text(session.source.name, info, options.markers))
        told = stack.enter_context(_told_every(_SOON if options.seconds else _LATER))

        def should_stop() -> bool:
            stop.only_ask()  # the loop is there, and asks
            if session.n_samples:
                stop.began()
                told(session.n_samples / info.sfreq, sum(session.labels.seen.values()))
            return stop()

        footer = session.run(should_stop)
        if stop.came and session.n_samples == 0:
            raise KeyboardInterrupt("no sample had come")
    if session.n_samples == 0:
        recorder.path.unlink(missing_ok=True)  # it holds nothing
        raise LookupError(f"need samples of {session.source.name!r}, got none before it ended")
    return {
        "path": str(recorder.path),
        "n_samples": session.n_samples,
        "seconds": session.n_samples / info.sfreq,
        "markers": dict(session.labels.seen),
        "channels": quality.shares(),
        "bad": quality.lines(),
        "counts": footer["counts"],
        "n_dropped": footer["n_dropped"],
        "errors": footer["errors"],
    }


@contextmanager
def _told_every(seconds: float) -> Iterator[Callable[[float, int], None]]:
    """Yield what takes the s and markers so far, and tells them now and then from another thread."""
    from rt_decoder.sinks.worker import Worker

    printer, due = Worker("progress", max_jobs=8), seconds

    def tell(recorded: float, n_markers: int) -> None:
        nonlocal due
        if recorded >= due:
            due += seconds
            text = f"recorded {recorded:.0f} s, {n_markers} markers"
            printer.put(lambda: show_lines(text))

    try:
        yield tell
    finally:
        printer.close()


def _lines(summary: dict[str, Any]) -> list[str]:
    """Say what was recorded, what was lost and which channels were bad."""
    counts, labels = summary["counts"], summary["markers"]
    named = [f"{label} ({n})" for label, n in list(labels.items())[:_MOST_LABELS]]
    more = f", ... ({len(labels)} labels)" if len(labels) > _MOST_LABELS else ""
    lost = {
        "samples lost": counts.get("lost_samples", 0),
        "markers lost": counts.get("markers_lost", 0),
        "entries dropped by a slow disk": summary["n_dropped"],
        "losses of the stream": counts.get("lost", 0),
    }
    said = ", ".join(f"{n} {what}" for what, n in lost.items() if n)
    wrong = summary["bad"]
    wrong_more = f" and {len(wrong) - _MOST_CHANNELS} more" if len(wrong) > _MOST_CHANNELS else ""
    return [
        f"recorded: {summary['n_samples']} samples ({summary['seconds']:.1f} s), "
        f"{sum(labels.values())} markers{': ' if named else ''}{', '.join(named)}{more}",
        f"lost: {said or 'nothing'}",
        f"channels: {', '.join(wrong[:_MOST_CHANNELS]) or 'none missing, constant or impossible'}"
        f"{wrong_more}",
        f"file: {summary['path']}",
    ]


COMMANDS = (bundled(record),)
