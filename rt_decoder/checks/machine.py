"""Look at the machine that would record: space and speed of its disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter

from rt_decoder.checks.finding import Finding, Verdict

__all__ = ["check_disk"]

_LEAST_H = 2.0  # hours that a session may take
_SLOW_S = 0.5  # s for a second's samples to reach the disk
_TRIES = 5
_MOST_BYTES = 16 << 20  # of a try


def check_disk(folder: Path, bytes_a_second: float) -> Finding:
    """Write as a session record would, and see for how long there is space.

    Parameters
    ----------
    folder : Path
        Where records go.
    bytes_a_second : float
        What the stream's samples take.

    Returns
    -------
    Finding
        Of ``disk``.
    """
    content = os.urandom(int(min(max(bytes_a_second, 1.0), _MOST_BYTES)))
    worst = 0.0
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rt_decoder-check-") as file:
            for _ in range(_TRIES):
                begun = perf_counter()
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                worst = max(worst, perf_counter() - begun)
        hours = shutil.disk_usage(folder).free / max(bytes_a_second, 1.0) / 3600
    except OSError as error:
        text = f"cannot be written to: {error.strerror or error}"
        return Finding("disk", Verdict.BAD, text, "record into another folder")
    figures = {"hours": hours, "worst_ms": 1e3 * worst}
    text = (
        f"space for {min(hours, 999):.0f} h; a second's samples are written in {1e3 * worst:.0f} ms"
    )
    if hours < _LEAST_H:
        return Finding("disk", Verdict.BAD, text, "make space, or record to another disk", figures)
    if worst > _SLOW_S:
        return Finding("disk", Verdict.LOOK, text, "record to a local disk", figures)
    return Finding("disk", Verdict.GOOD, text, figures=figures)
