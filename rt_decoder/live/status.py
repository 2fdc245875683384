"""How a session stands, for those who watch it: its footer as of now, and which channels are bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.decoder import Decoder
from rt_decoder.signal import reason_names

if TYPE_CHECKING:
    from rt_decoder.live.session import Session

__all__ = ["bad_channels", "status_line"]


def status_line(session: Session) -> dict[str, Any]:
    """Say how a session stands; changes nothing, so that any thread may ask while it runs.

    Parameters
    ----------
    session : Session

    Returns
    -------
    dict
        The footer so far, with ``state`` of the stream, ``budget_ms`` and ``bad`` channels.
    """
    pipeline = session.decoder.pipeline
    return session.footer() | {
        "type": "status",
        "state": session.watchdog.state.value,
        "budget_ms": pipeline.lateness.budget_ms,
        "bad": bad_channels(session.decoder),
    }


def bad_channels(decoder: Decoder) -> dict[str, list[str]]:
    """Return channels of the stream that are not used as they are now, and why.

    Parameters
    ----------
    decoder : Decoder
        Of the session.

    Returns
    -------
    dict of str to list of str
        Reasons, as readouts name them, by channel.
    """
    found: dict[str, list[str]] = {}
    for stage in decoder.pipeline.stages.values():
        names = stage.info.ch_names
        if isinstance(stage, Guard):
            bits = stage.flagged
            for k in np.flatnonzero(bits).tolist():
                found[names[k]] = list(reason_names(int(bits[k])))
        elif isinstance(stage, ChannelRepair):
            for k in np.flatnonzero(stage.replaced).tolist():
                found.setdefault(names[k], []).append("repaired")
    return found
