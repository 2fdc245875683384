"""Decode live from an experiment's own program: `open_live` starts a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from rt_decoder.live.handle import Live
from rt_decoder.live.run_options import run_options
from rt_decoder.signal import Readout
from rt_decoder.sinks.loopback import keep_quiet

__all__ = ["open_live"]


def open_live(
    model: str | os.PathLike[str],
    name: str = "",
    markers: str | Sequence[str] = "",
    *,
    in_process: bool = False,
    network: bool = False,
    on_readout: Callable[[Readout], object] | None = None,
    budget_ms: float = 10.0,
    **options: Any,
) -> Live:
    """Decode a live stream, and return once the session is ready to.

    The session runs in a process of its own: it shares no interpreter with the experiment.

    Parameters
    ----------
    model : path-like
        Model file.
    name : str
        Name of the LSL stream; any if empty.
    markers : str or sequence of str
        Name of a marker stream, or ``channel:NAME``; may be empty, see `Live.mark`. Then every hop
        is read out, unless ``continuous=False``. Of several streams the first one's markers are
        decoded; all are counted and recorded.
    in_process : bool
        Run in a thread of this process instead; what holds the interpreter then holds the decoder.
    network : bool
        Whether other machines may find and read the outlets.
    on_readout : callable or None
        Called with each readout in a thread of its own, in order; the session does not wait for it.
        What it raises ends the calls, and is raised by `Live.wait` and `Live.stop`.
    budget_ms : float
        Time that a call may take; `Live.callback` counts those that took longer.
    **options
        Those of ``rt-decoder run``, without dashes and with the same defaults: ``log``, ``record``,
        ``type``, ``source_id``, ``fieldtrip``, ``reference`` (a list), ``marker_offset`` in ms,
        ``continuous``, ``without``, ``learn``, ``force``, ``outlet``, ``candidates``, ``posterior``
        and so on; also ``prior``, as `Live.choose` takes it.

    Returns
    -------
    Live

    Raises
    ------
    LookupError
        If not exactly one stream matches.
    ModelMismatch
        If the stream does not fit the model.
    OSError, ValueError, TypeError
        If a file or an option is not what it must be.
    """
    given = {"outlet": "rt_decoder"} | options | {"name": name, "markers": markers}
    run_options(given)  # what is wrong with them is told before anything starts
    if network or not in_process:  # else the session configures this process
        keep_quiet()
    given |= {"model": os.fspath(model), "network": network}
    return Live(given, in_process, on_readout, budget_ms)
