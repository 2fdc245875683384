"""Send the cleaned signal as an LSL stream, for programs that do the rest themselves."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import numpy as np

from rt_decoder.kernels.memory import Rows
from rt_decoder.signal import BAD, Chunk, SignalInfo, reason_names
from rt_decoder.sinks.outlets import data_outlet, marker_outlet

__all__ = ["CleanOutlet"]

# what consumers of LSL expect of each SI unit, and the factor to it
_COMMON = {"V": ("microvolts", 1e6), "T": ("femtotesla", 1e15), "T/m": ("fT/cm", 1e13)}
_BAD = int(BAD)


class CleanOutlet:
    """Two streams: `name` with the cleaned channels and ``quality``, ``<name>-reasons`` with markers.

    Stamps are the times at which samples were taken; the filters' delay is in
    ``desc/cleaning/delay_s``, positions of sensors in ``location`` of their channel (in mm). ``quality`` is 1 where a sample is good and 0 where it is flagged. A
    marker comes whenever the reasons change: their names joined by commas, corrections included,
    or ``good``.

    Parameters
    ----------
    name : str
        Name of the stream.
    info : SignalInfo
        The cleaned signal, SI units.
    delay : float
        Delay of the cleaning chain, in s.
    meta : mapping of str to str
        What consumers should know besides; goes to ``desc/cleaning``, too. Its ``session`` ends the
        source id, by which consumers find all outlets of a decoder.
    """

    def __init__(
        self, name: str, info: SignalInfo, delay: float, meta: Mapping[str, str] | None = None
    ) -> None:
        units, gains = zip(*(_COMMON.get(unit, (unit, 1.0)) for unit in info.units), strict=True)
        ch_names = (*info.ch_names, "quality")
        where = None if info.positions is None else np.vstack((info.positions, np.full(3, np.nan)))
        out = SignalInfo(info.sfreq, ch_names, (*info.ch_types, "misc"), (*units, "n/a"), where)
        cleaning = {"delay_s": f"{delay:.6f}", **(meta or {})}
        source_id = f"{name}-{cleaning.get('session') or uuid4().hex[:12]}"
        self._outlet = data_outlet(name, out, source_id, "float32", meta={"cleaning": cleaning})
        self._reasons = marker_outlet(f"{name}-reasons", f"{source_id}-reasons")
        self._gains = np.array(gains)
        self._scaled = Rows((len(gains),), np.float64)
        self._samples = Rows((len(gains) + 1,), np.float32)
        self._last = -1

    def push(self, chunk: Chunk) -> None:
        """Send a hop; `flags` joined over channels."""
        n, c = len(chunk.data), len(self._gains)
        scaled, samples = self._scaled.take(n), self._samples.take(n)
        np.multiply(chunk.data[:, :c], self._gains, out=scaled)
        samples[:, :c] = scaled
        stamps = chunk.times.tolist()
        for t, bits in enumerate(chunk.flags.tolist()):
            samples[t, c] = (bits & _BAD) == 0
            if bits != self._last:
                reasons = ",".join(reason_names(bits)) or "good"
                self._reasons.push_sample([reasons], stamps[t])
                self._last = bits
        self._outlet.push_chunk(samples, stamps)

    def close(self) -> None:
        """Close both streams."""
        del self._outlet, self._reasons
