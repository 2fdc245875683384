"""Join the channels of auxiliary streams, each with its own clock and rate, to the main stream.

A respiration belt, an ECG or an accelerometer is often a separate stream. `JoinedSource` adds to
each main sample the references' values at its time minus a declared delay. All later parts, the
session record included, then see one stream. This module knows nothing of LSL: any `SampleSource`
will do.
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
    """A main stream, with the channels of auxiliary streams as further channels.

    Parameters
    ----------
    main : SampleSource
        Its stamps and clock are those of the joined samples.
    references : sequence of AuxiliaryStream
        At least one. After a loss of the main stream the next `JoinedSource` can take them over:
        open ones stay open.

    Attributes
    ----------
    name : str
        Of the main stream.
    info : SignalInfo
        Channels of the main stream, then those of each auxiliary stream, at the main stream's rate.
    types_by_name : dict of str to str
        Types of the main stream's channels that nothing but their names tell.

    Raises
    ------
    ValueError
        If two streams have a channel of the same name, or `references` is empty.
    """

    def __init__(self, main: SampleSource, references: Sequence[AuxiliaryStream]) -> None:
        if not references:
            raise ValueError("need at least one reference to join, got none")
        self.main, self.references = main, tuple(references)
        self.name = main.name
        self.info = _joined_info(main, self.references)
        # as a session says at its start; auxiliary streams are references whatever their names
        self.types_by_name: dict[str, str] = getattr(main, "types_by_name", {})
        self._line = ClockLine(main.info.sfreq)
        self._out = Rows((self.info.n_channels,), np.float64)
        for reference in self.references:
            reference.follow(main.info.sfreq)

    def open(self, timeout: float = 5.0) -> None:
        """Subscribe to every stream that is not open yet; to the main stream last."""
        for reference in self.references:
            reference.open(timeout)
        self.main.open(timeout)

    def pull(self, timeout: float, n: int = 1) -> Pulled:
        """Wait for samples of the main stream, never for references.

        Parameters
        ----------
        timeout : float
            Longest time in s to wait.
        n : int
            Samples to wait for.

        Returns
        -------
        Pulled
            With stamps and arrival of the main stream. References are NaN where they are missing
            or late.

        Raises
        ------
        StreamLost
            If the main stream is gone. Auxiliary streams may come and go: see `take_events`.
        """
        data, stamps, arrival = self.main.pull(timeout, n)
        n_got, n_main = len(stamps), self.main.info.n_channels
        out = self._out.take(n_got)
        if n_got == 0:
            return Pulled(out, stamps, arrival)
        out[:, :n_main] = data
        try:
            self._line.update(self.main, stamps, arrival)
        except RateMismatch:  # the time base of the session will report it
            self._line.start_again()
        column = n_main
        for reference in self.references:
            reference.fill(self._line, out, column, arrival)
            column += reference.info.n_channels
        return Pulled(out, stamps, arrival)

    def waiting(self) -> int:
        """Return how many samples of the main stream the last pull has left behind."""
        return self.main.waiting()

    def correction(self, timeout: float = 5.0) -> float:
        """Return the seconds to add to the main stream's stamps to reach this machine's clock."""
        return self.main.correction(timeout)

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what happened to auxiliary streams since the last call, as (event, details).

        Events are `reference_stale`, `reference_live_again`, `reference_late`, `reference_lost`,
        `reference_returned` and `reference_refused`; details name the stream.
        """
        return [event for reference in self.references for event in reference.watch.take_events()]

    def close(self) -> None:
        """Disconnect from all streams."""
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
