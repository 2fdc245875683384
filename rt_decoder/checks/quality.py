"""Count what was wrong with each channel of a stream."""

from __future__ import annotations

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.signal import BAD, Chunk, Reason, SignalInfo

__all__ = ["StreamQuality"]

_JUDGED = {  # what the guard flags, and how it is called
    "missing": Reason.NONFINITE | Reason.REFERENCE_LOST,
    "constant": Reason.FLAT | Reason.RAIL,
    "impossible": Reason.AMPLITUDE | Reason.JUMP,
}
_NAMED = 4  # channels with the same figure that are named


class StreamQuality:
    """Count the samples of each channel that are missing, constant or impossible.

    Parameters
    ----------
    info : SignalInfo
        Of the stream.
    """

    def __init__(self, info: SignalInfo) -> None:
        self._names = info.ch_names
        self._counts = np.zeros((len(_JUDGED), info.n_channels), np.int64)
        self._n = self._n_lost = 0

    def look(self, hop: Chunk) -> None:
        """Count the flags of a hop behind the guard; see `Pipeline.tap`."""
        lost = (hop.flags & Reason.GAP).astype(bool)
        have = hop.channel_flags[~lost] & BAD
        self._n += len(have)
        self._n_lost += int(lost.sum())
        for row, bits in enumerate(_JUDGED.values()):
            self._counts[row] += np.count_nonzero(have & int(bits), axis=0)

    def shares(self) -> dict[str, dict[str, float]]:
        """Return the share of samples that were not lost, by channel and what is wrong; no zeros."""
        shares = self._counts / max(1, self._n)
        return {
            name: {
                what: round(float(share), 6)
                for what, share in zip(_JUDGED, column, strict=True)
                if share
            }
            for name, column in zip(self._names, shares.T, strict=True)
            if column.any()
        }

    def lines(self, least: float = 0.01) -> list[str]:
        """Say which channels were wrong for more than a share `least` of the time, worst first."""
        alike: dict[tuple[float, str], list[str]] = {}
        for name, shares in self.shares().items():
            for what, share in shares.items():
                if share > least:
                    alike.setdefault((round(100 * share), what), []).append(name)
        lines = []
        for (percent, what), names in sorted(alike.items(), reverse=True):
            who = counted(len(names), "channel") if len(names) > _NAMED else ", ".join(names)
            lines.append(f"{who} {percent:.0f} % {what}")
        return lines
