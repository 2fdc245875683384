"""Where the decoder finds the words of a file, compared with the spikes in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.files.read import read_marked
from rt_decoder.files.recording import Recording
from rt_decoder.signal import Marker
from rt_decoder.timing.align import Align
from rt_decoder.timing.markers import MarkerRules


class Heard(NamedTuple):
    """Where the decoder finds the words of a file."""

    recording: Recording
    words: list[str]
    rows: list[int]  # of the samples that it takes for them
    gaps: list[tuple[int, int]]  # row from which on samples were lost, how many
    said: list[str]  # warnings of the reader

    def spikes(self) -> str:
        """Check that each word lies on a spike; say where."""
        unit = 1e-3 if self.recording.info.units[0] == "V" else 1e3
        values = self.recording.data[self.rows, 0]
        assert np.allclose(values, unit, rtol=0.02), f"{self.rows}: {values}"
        return f"rows {', '.join(map(str, self.rows))}" + "".join(
            f"; gap of {n} at row {row}" for row, n in self.gaps
        )


def hear(
    path: Path, events: Path | None = None, *, no: Iterable[str] = (), **reading: Any
) -> Heard:
    """Read a file and let the decoder's time base find its words; those in `no` are none."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recording, markers = read_marked(path, events, **reading)
    words = [one for one in markers if not any(part in one.label for part in no)]
    return Heard(recording, *_found(recording, words), [str(one.message) for one in said])


def _found(
    recording: Recording, markers: Sequence[Marker]
) -> tuple[list[str], list[int], list[tuple[int, int]]]:
    """As `recorded` does it: each marker comes a second before its sample."""
    info = recording.info
    align = Align(info, info, MarkerRules(), history=600.0)
    reached = np.maximum.accumulate(recording.times)
    waiting = sorted(markers, key=lambda one: one.time)
    index: list[int] = []
    found: list[Marker] = []
    for start in range(0, len(reached), 20):
        while waiting and waiting[0].time - 1 <= reached[start]:
            align.mark(waiting.pop(0))
        part = slice(start, start + 20)
        for chunk in align.process(recording.data[part], recording.times[part]):
            index += range(chunk.index, chunk.index + len(chunk.data))
        known, lost = align.markers()
        assert not lost, lost
        found += known
    gaps = [(one.change, one.n_lost) for one in align.take_decisions() if one.kind == "gap"]
    rows = [index.index(one.index) if one.index in index else -1 for one in found]
    return [one.label for one in found], rows, gaps


def refused(path: Path, why: str) -> str:
    """Check that a file is refused for a reason, and repeat it."""
    try:
        read_marked(path)
    except ValueError as error:
        said = str(error)
    else:
        raise AssertionError(f"need {path.name} refused, it was read")
    assert why in said, said
    return f"refused: {said}"
