"""Join references that come on other streams, with clocks and rates of their own, to the main one.

A respiration belt, an ECG or an accelerometer is often a stream of its own. `JoinedSource` gives
each main sample the references' values at its time less a declared delay, so that what follows, a
session record included, sees one stream. It knows nothing of LSL: sources are what
`SampleSource` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rt_decoder.kernels.memory import Rows
from rt_decoder.signal import SignalInfo
from rt_decoder.source import Pulled, SampleSource
from rt_decoder.sources.auxiliary.clock_line import ClockLine
from rt_decoder.sources.auxiliary.stream import AuxiliaryStream
from rt_decoder.timing.timebase import RateMismatch

__all__ = ["JoinedSource"]


class JoinedSource:
    """A main stream of samples with references from other streams as further channels.

    Parameters
    ----------
    main : SampleSource
        Its samples, stamps and clock are those of the whole.
    references : sequence of AuxiliaryStream
        At least one. They may be shared with the source that takes this one's place after a loss
        of the main stream: what is open stays open.

    Attributes
    ----------
    name : str
        Of the main stream.
    info : SignalInfo
        Channels of the main stream, then those of each reference; the rate is the main one's.

    Raises
    ------
    ValueError
        If two streams have a channel of the same name, or there is no reference.
    """

    def __init__(self, main: SampleSource, references: Sequence[AuxiliaryStream]) -> None:
        if not references:
            raise ValueError("need at least one reference to join, got none")
        self.main, self.references = main, tuple(references)
        self.name = main.name
        self.info = _joined_info(main, self.references)
        self._line = ClockLine(main.info.sfreq)
        self._out = Rows((self.info.n_channels,), np.float64)
        for reference in self.references:
            reference.follow(main.info.sfreq)

    def open(self, timeout: float = 5.0) -> None:
        """Subscribe to every stream that is not open yet, to the main one last."""
        for reference in self.references:
            reference.open(timeout)
        self.main.open(timeout)

    def pull(self, timeout: float) -> Pulled:
        """Wait for main samples; never for references.

        Returns
        -------
        Pulled
            Stamps and arrival are the main stream's. A reference that was not there, or not yet,
            is NaN.

        Raises
        ------
        StreamLost
            If the main stream is gone. References may come and go: see `take_events`.
        """
        data, stamps, arrival = self.main.pull(timeout)
        n, n_main = len(stamps), self.main.info.n_channels
        out = self._out.take(n)
        if n == 0:
            return Pulled(out, stamps, arrival)
        out[:, :n_main] = data
        try:
            self._line.update(self.main, stamps, arrival)
        except RateMismatch:  # whoever reads the main stream's time will say so
            self._line.start_again()
        column = n_main
        for reference in self.references:
            reference.fill(self._line, out, column, arrival)
            column += reference.info.n_channels
        return Pulled(out, stamps, arrival)

    def correction(self, timeout: float = 5.0) -> float:
        """Seconds from the main stream's stamps to this machine's clock."""
        return self.main.correction(timeout)

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """What happened to references since the last call: (event, details).

        `reference_stale`, `reference_live_again`, `reference_late`, `reference_lost`,
        `reference_returned`, `reference_refused`; details name the stream.
        """
        return [event for reference in self.references for event in reference.watch.take_events()]

    def close(self) -> None:
        """Leave all streams."""
        self.main.close()
        for reference in self.references:
            reference.close()


def _joined_info(main: SampleSource, references: Sequence[AuxiliaryStream]) -> SignalInfo:
    owner = dict.fromkeys(main.info.ch_names, main.name)
    for reference in references:
        for name in reference.info.ch_names:
            if name in owner:
                raise ValueError(
                    f"need channel names that differ between streams, got {name} in "
                    f"{owner[name]!r} and {reference.name!r}: rename it in one of them"
                )
            owner[name] = reference.name
    infos = [main.info, *(reference.info for reference in references)]
    positions = None
    if main.info.positions is not None:
        positions = np.full((len(owner), 3), math.nan)
        positions[: main.info.n_channels] = main.info.positions
    return SignalInfo(
        main.info.sfreq,
        tuple(owner),
        tuple(ch_type for info in infos for ch_type in info.ch_types),
        tuple(unit for info in infos for unit in info.units),
        positions,
    )
