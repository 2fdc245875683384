"""Causal, stateful filters: sections, rereference, decimation and band powers.

The first sample primes a filter, never a statistic of the chunk. Arrays that a stage does not
change (times, flags) are passed on themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt_decoder.cleaning.filter_design import (
    check_sos,
    design_anti_alias,
    design_sos,
    group_delay,
    settling_time,
)
from rt_decoder.cleaning.stage import Calls, Given, KernelStage
from rt_decoder.kernels.memory import Rows, aligned, padded
from rt_decoder.kernels.samples import merge_flags, subtract_mean
from rt_decoder.kernels.sos import bank_power, sos_filter_to, sos_prime
from rt_decoder.signal import FLAGS, Chunk, SignalInfo

__all__ = ["Decimator", "FilterBank", "Rereference", "SosFilter", "design_sos"]


class SosFilter(KernelStage):
    """Filters all channels by second-order sections.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    sos : array of shape (n_sections, 6)
        From `design_sos`; without sections the signal passes.

    Attributes
    ----------
    delay : float
        Group delay in s at the centre of the pass-band.
    settling : float
        Time in s until the effect of the priming has vanished.

    Raises
    ------
    ValueError
        If `sos` has another shape, is not finite or not stable.
    """

    def __init__(self, info: SignalInfo, sos: np.ndarray) -> None:
        self.info = info
        self.sos = check_sos(sos)
        self.delay = group_delay(self.sos, info.sfreq)
        self.settling = settling_time(self.sos, info.sfreq)
        self._state = aligned((len(self.sos), 2, padded(info.n_channels)))
        self._data = Rows((info.n_channels,), np.float64)
        self.is_ready = False

    def calls(self, n: int) -> Calls:
        """Filter all channels."""
        data = self._data.take(n)
        arguments = Given.DATA, self.sos, self._state, Given.INDEX, data
        return Calls(((sos_filter_to, arguments),), data)

    def process(self, chunk: Chunk) -> Chunk:
        """Filter `chunk`: bit-identical however the stream is cut."""
        if len(chunk.data) and not self.is_ready:
            first = self._data.take(len(chunk.data))
            first[:] = chunk.data
            sos_prime(first[0], self.sos, self._state)
            self.is_ready = True
        return super().process(chunk)

    def reset(self) -> None:
        """Prime again from the next sample."""
        self.is_ready = False


class Rereference(KernelStage):
    """Subtracts a common reference from the channels of one type.

    Parameters
    ----------
    info : SignalInfo
        Of the signal; unchanged by the stage.
    kind : "average", "none", None or sequence of str
        "average" subtracts the mean of all channels of the first type present of eeg, ecog, seeg
        (as MNE does). Names subtract the mean of those channels from all channels of their type.
        Other channels are copied.

    Notes
    -----
    A flagged channel that was not repaired is left out of the mean of that sample; if all are
    flagged, all are used. Leaving channel k out of n moves the mean by ``(mean - x[k]) / (n - 1)``.
    For a good channel that is far below its own amplitude. For a bad one it is the artifact that
    the mean would have spread to every channel.

    Raises
    ------
    ValueError
        If there is no channel to reference, a name is unknown or names are of several types.
    """

    delay = 0.0
    settling = 0.0

    def __init__(self, info: SignalInfo, kind: str | Sequence[str] | None) -> None:
        self.info = info
        self._sources, targets = _reference_picks(info, kind)
        self._targets = np.zeros(info.n_channels)
        self._targets[targets] = 1.0
        self._data = Rows((info.n_channels,), np.float64)

    def calls(self, n: int) -> Calls:
        """Subtract the reference; nothing if there is none."""
        if len(self._sources) == 0:
            return Calls(())
        data = self._data.take(n)
        arguments = Given.DATA, Given.CHANNEL_FLAGS, self._sources, self._targets, data
        return Calls(((subtract_mean, arguments),), data)

    def reset(self) -> None:
        """Do nothing: the stage has no state."""


def _reference_picks(
    info: SignalInfo, kind: str | Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    if kind is None or kind == "none":
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if kind == "average":
        types = [name for name in ("eeg", "ecog", "seeg") if name in info.ch_types]
        if not types:
            raise ValueError(
                "need eeg, ecog or seeg channels for an average reference, "
                f"got {', '.join(sorted(set(info.ch_types)))}; use reference = 'none'"
            )
        targets = np.flatnonzero([name == types[0] for name in info.ch_types])
        return targets, targets
    names = [kind] if isinstance(kind, str) else list(kind)
    unknown = [name for name in names if name not in info.ch_names]
    if unknown or not names:
        raise ValueError(
            f"need a reference of 'average', 'none' or channels among {', '.join(info.ch_names)}, "
            f"got {', '.join(unknown) or 'no name'}"
        )
    sources = np.array([info.ch_names.index(name) for name in names], np.int64)
    kinds = sorted({info.ch_types[i] for i in sources})
    if len(kinds) > 1:
        raise ValueError(f"need reference channels of one type, got {' and '.join(kinds)}")
    return sources, np.flatnonzero([name == kinds[0] for name in info.ch_types])


class Decimator:
    """Applies a low-pass, and keeps every `factor`-th sample of the absolute index.

    Sample ``index`` is kept if it is a multiple of `factor`, and becomes ``index // factor``. Its
    flags join those of the `factor` samples that end with it. Samples must be finite: `Guard`
    comes before.

    Parameters
    ----------
    info : SignalInfo
        Of the input.
    factor : int
        At least 2.

    Attributes
    ----------
    info : SignalInfo
        Of the output: its rate is divided by `factor`.
    delay : float
        Group delay in s of the low-pass.

    Raises
    ------
    ValueError
        If `factor` is below 2.
    """

    def __init__(self, info: SignalInfo, factor: int) -> None:
        if factor < 2:
            raise ValueError(f"need a decimation factor of at least 2, got {factor}")
        self.info = SignalInfo(
            info.sfreq / factor, info.ch_names, info.ch_types, info.units, info.positions
        )
        self.factor = factor
        self._filter = SosFilter(info, design_anti_alias(factor))
        self.delay = self._filter.delay
        self.settling = self._filter.settling
        c = info.n_channels
        self._data = Rows((c,), np.float64)
        self._times = Rows((), np.float64)
        # column 0: flags of the whole sample, then one column a channel
        self._all_flags = Rows((c + 1,), FLAGS)
        self._kept_flags = Rows((c + 1,), FLAGS)
        self._flags, self._channel_flags = Rows((), FLAGS), Rows((c,), FLAGS)
        self._carry = np.zeros(c + 1, FLAGS)

    def process(self, chunk: Chunk) -> Chunk:
        """Filter `chunk`, and keep the samples that are due, possibly none."""
        n, q = len(chunk.data), self.factor
        first = -chunk.index % q
        n_kept = len(range(first, n, q))
        data, times = self._data.take(n_kept), self._times.take(n_kept)
        data[:] = self._filter.process(chunk).data[first::q]
        times[:] = chunk.times[first::q]
        flags, kept = self._all_flags.take(n), self._kept_flags.take(n_kept)
        flags[:, 0] = chunk.flags
        flags[:, 1:] = chunk.channel_flags
        merge_flags(flags, first, q, self._carry, kept)
        # in one piece each, as the stages behind take them (`cleaning.chain`)
        out = self._flags.take(n_kept), self._channel_flags.take(n_kept)
        out[0][:], out[1][:] = kept[:, 0], kept[:, 1:]
        return Chunk(data, times, (chunk.index + first) // q, *out)

    def reset(self) -> None:
        """Prime again from the next sample."""
        self._filter.reset()
        self._carry[:] = 0


class FilterBank:
    """Computes the instantaneous power in several bands: squared causal band-passes.

    Channels of a chunk beyond those of `info` (references) are left out.

    Parameters
    ----------
    info : SignalInfo
        Of the input.
    bands : sequence of (l_freq, h_freq)
        In Hz.
    order : int
        Order of each Butterworth band-pass.

    Attributes
    ----------
    info : SignalInfo
        Of the output: channels ``"{name}:{l_freq:g}-{h_freq:g}"``, band by band, in squared units.
    delays : tuple of float
        Group delay in s of each band.
    delay : float
        The longest of them.

    Raises
    ------
    ValueError
        If there is no band or one is not inside (0, sfreq / 2).
    """

    def __init__(
        self, info: SignalInfo, bands: Sequence[tuple[float, float]], order: int = 4
    ) -> None:
        if len(bands) == 0:
            raise ValueError(
                "need at least one band, got none; set bands = [[l_freq, h_freq], ...]"
            )
        designs = [check_sos(design_sos(info.sfreq, low, high, order)) for low, high in bands]
        self.sos = np.stack(designs)
        self.delays = tuple(group_delay(sos, info.sfreq) for sos in designs)
        self.delay = max(self.delays)
        self.settling = max(settling_time(sos, info.sfreq) for sos in designs)
        n_bands, c = len(bands), info.n_channels
        self.info = SignalInfo(
            info.sfreq,
            tuple(f"{name}:{low:g}-{high:g}" for low, high in bands for name in info.ch_names),
            info.ch_types * n_bands,
            tuple(f"{unit}^2" for unit in info.units) * n_bands,
            None if info.positions is None else np.tile(info.positions, (n_bands, 1)),
        )
        self._state = aligned((n_bands, self.sos.shape[1], 2, padded(c)))
        self._input, self._scratch = Rows((c,), np.float64), Rows((c,), np.float64)
        self._power = Rows((n_bands * c,), np.float64)
        self._channel_flags = Rows((n_bands, c), FLAGS)
        self._primed = False

    def process(self, chunk: Chunk) -> Chunk:
        """Compute the power (n, n_bands * n_channels) of each sample."""
        n = len(chunk.data)
        data, power = self._input.take(n), self._power.take(n)
        c = data.shape[1]
        data[:] = chunk.data[:, :c]
        if n and not self._primed:
            for sos, state in zip(self.sos, self._state, strict=True):
                sos_prime(data[0], sos, state)
            self._primed = True
        bank_power(data, self.sos, self._state, chunk.index, self._scratch.take(n), power)
        channel_flags = self._channel_flags.take(n)
        channel_flags[:] = chunk.channel_flags[:, None, :c]
        flat = channel_flags.reshape(n, power.shape[1])
        return Chunk(power, chunk.times, chunk.index, chunk.flags, flat)

    def reset(self) -> None:
        """Prime again from the next sample."""
        self._primed = False
