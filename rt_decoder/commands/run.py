"""Run a session from a terminal: the command `run`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rt_decoder.commands.compiling import compile_kernels
from rt_decoder.commands.describe import continuous_text
from rt_decoder.commands.interrupt import stop_on_signals
from rt_decoder.commands.lines import event_text, readout_text
from rt_decoder.commands.session_text import ended_lines, search_text, waiting_text
from rt_decoder.commands.view import View
from rt_decoder.live.opening import open_session
from rt_decoder.live.run_options import RunOptions
from rt_decoder.model import Model
from rt_decoder.signal import Readout
from rt_decoder.sinks.worker import Worker

__all__ = ["run_live", "terminal"]


def run_live(
    model: Model,
    options: RunOptions,
    say: Callable[[str], None] | None = None,
    *,
    view: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Decode a live stream.

    Parameters
    ----------
    model : Model
        With a map.
    options : RunOptions
        Which stream, which markers, where to.
    say : callable or None
        Takes one line a readout or event, what the session waits for, the names of the files, and
        how it went.
    view : bool
        Show readouts and events in a few lines of the terminal that are kept up to date, unless
        the options are quiet.

    Returns
    -------
    footer : dict
        Which also ends the log.
    torn : list of str
        Which file is not whole, and why; empty if all is written.

    Raises
    ------
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model.
    KeyboardInterrupt
        If a signal came before the first sample.
    """
    tell = say or (lambda _: None)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(options.seconds))
        compile_kernels()
        tell(search_text(options))
        shown = View(model.recipe.readout.budget_ms) if view and not options.quiet else None
        session = open_session(model, options, stack, *_hearers(shown, say, options, stack))
        for what, sink in (("log", session.log), ("record", session.recorder)):
            if sink is not None:
                tell(f"{what:<6} {sink.path}")
        if session.decoder.pipeline.continuous and model.has_map:
            tell(f"every hop: {continuous_text(model)}")
        tell(
            waiting_text(
                session.source.name, session.source.info, options.markers, *options.more_markers
            )
        )
        if shown:
            stack.enter_context(shown.shown(session.counts))

        def should_stop() -> bool:
            if session.n_samples:
                stop.began()
            return stop()

        footer = session.run(should_stop)
        if stop.came and session.n_samples == 0:
            raise KeyboardInterrupt("no sample had come")
    sinks = [sink for sink in (session.log, session.recorder) if sink is not None]
    seconds = session.n_samples / session.source.info.sfreq
    for line in ended_lines(footer, seconds, *(Path(sink.path) for sink in sinks)):
        tell(line)
    return footer, [f"{sink.name}: {sink.reason}" for sink in sinks if sink.reason]


def _hearers(
    shown: View | None, say: Callable[[str], None] | None, options: RunOptions, stack: ExitStack
) -> tuple[Callable[..., None] | None, ...]:
    """What takes readouts, events and scores: the view, or else lines."""
    if shown is not None:
        return shown.on_readout, shown.on_event, shown.on_score
    on_readout, on_event = terminal(say, stack) if say else (None, None)
    return None if options.quiet else on_readout, on_event, None


def terminal(
    say: Callable[[str], None], stack: ExitStack
) -> tuple[Callable[[Readout], None], Callable[[dict[str, Any]], None]]:
    """Print readouts and events from another thread: a terminal that is held up holds nothing up."""
    printer = Worker("terminal", max_jobs=256)
    stack.callback(printer.close)

    def tell(readout: Readout) -> None:
        if readout.kind != "continuous" or readout.seq % 50 == 0:
            printer.put(lambda: say(readout_text(readout)))

    def warn(event: dict[str, Any]) -> None:
        printer.put(lambda: say(event_text(event)))

    return tell, warn
