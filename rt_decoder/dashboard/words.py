"""A readout as a row of the page."""

from __future__ import annotations

import math
from typing import Any

from rt_decoder.signal import ONSET, Readout
from rt_decoder.sinks.text import plain

__all__ = ["word_row"]

_TOP, _LONGEST = 4, 200


def word_row(readout: Readout, wall: float) -> dict[str, Any]:
    """Return what the page shows of a readout.

    Parameters
    ----------
    readout : Readout
        As an outlet told it.
    wall : float
        Seconds from the LSL clock to Unix time.

    Returns
    -------
    dict
        Plain values: ``word``, ``p``, ``others``, ``abstained``, ``reasons``, ``truth`` and ``hit`` (None
        where the truth is not known), and so on.
    """
    words = [plain(word, _LONGEST) for word in readout.words[:_TOP]]
    shares = [float(p) for p in readout.probabilities[:_TOP]]
    label = plain(readout.label, _LONGEST)
    truth = "" if label == ONSET else label
    word = words[0] if words else ""
    return {
        "seq": int(readout.seq),
        "kind": plain(readout.kind, 20),
        "at": float(readout.time) + wall if math.isfinite(readout.time) else 0.0,
        "word": word,
        "p": shares[0] if shares else None,
        "others": [list(pair) for pair in zip(words[1:], shares[1:], strict=True)],
        "abstained": bool(readout.abstained),
        "reasons": [plain(reason, 60) for reason in readout.reasons[:12]],
        "label": label,
        "truth": truth,
        "hit": None if not truth else word == truth,
        "quality": float(readout.quality),
        "latency_ms": None if math.isnan(readout.latency_ms) else float(readout.latency_ms),
        "late": bool(readout.late),
        "n_repeats": int(readout.n_repeats),
        "until": readout.until,
        "committed": plain(readout.committed, _LONGEST),
    }
