"""Read samples from an LSL stream.

Inlets never recover by themselves: liblsl would rejoin an outlet whose channels may have changed
places, and keep the old labels. Stamps stay raw: liblsl's smoother counts samples and drifts after
a loss. This module does not know what the samples mean for a model.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pylsl
from pylsl import local_clock
from pylsl.lib import lib as _liblsl

from rt_decoder.channels import ChannelRow, declared_info, types_by_name
from rt_decoder.files.tables import read_channel_table
from rt_decoder.signal import SignalInfo, StreamLost
from rt_decoder.source import Pulled
from rt_decoder.sources.lsl.find import (
    FORMATS,
    StreamSummary,
    declared_channels,
    find_streams,
    resolve,
)
from rt_decoder.sources.lsl.inlet import Inlet
from rt_decoder.sources.lsl.markers import LslMarkers

__all__ = [
    "LslMarkers",
    "LslSource",
    "Pulled",
    "StreamSummary",
    "find_streams",
    "local_clock",
    "resolve",
]

_LONGEST_PULL = 4096  # samples

# The C functions, with separate argument types (pylsl's are shared by the whole process). They
# convert every numeric format to double inside liblsl, exactly up to 2^53, release the GIL and
# fill memory that is allocated once; pylsl's pull_chunk allocates at each call.
_pull_sample = ctypes.CFUNCTYPE(
    ctypes.c_double,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_double,
    ctypes.c_void_p,
)(("lsl_pull_sample_d", _liblsl))
_pull_chunk = ctypes.CFUNCTYPE(
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
    ctypes.c_double,
    ctypes.c_void_p,
)(("lsl_pull_chunk_d", _liblsl))

_samples_available = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p)(
    ("lsl_samples_available", _liblsl)
)


class LslSource:
    """A stream of samples at a regular rate.

    Parameters
    ----------
    stream : pylsl.StreamInfo
        From `resolve`.
    channels : path, mapping of str to ChannelRow, or None
        Table of names, types and units that the user sets (``--channels``).
    units : str or None
        Unit that the user sets (``--units``).
    timeout : float
        Longest time in s to wait for the stream's description.

    Attributes
    ----------
    info : SignalInfo
        Rate and channels, as declared by the stream or set by the user.
    types_by_name : dict of str to str
        Types that nothing but a channel's name tells; a session says so at its start.
    table : mapping of str to ChannelRow
        What the user sets for single channels.
    name, type, source_id, uid, format : str
        Of the stream. `uid` identifies this one outlet; `format` is LSL's name of the number
        format.

    Raises
    ------
    ValueError
        If the stream holds text, has no regular rate, or a channel's unit is not known.
    TimeoutError
        If the stream does not answer.
    StreamLost
        If the outlet closes meanwhile.
    """

    def __init__(
        self,
        stream: pylsl.StreamInfo,
        *,
        channels: str | Path | Mapping[str, ChannelRow] | None = None,
        units: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.name, self.type, self.uid = stream.name(), stream.type(), stream.uid()
        self.source_id = stream.source_id()
        sfreq = stream.nominal_srate()
        if stream.channel_format() not in FORMATS:
            raise ValueError(f"need numbers as data, got stream {self.name!r} of text")
        if sfreq <= 0:
            raise ValueError(
                f"need a regular sampling rate as data, got stream {self.name!r} of irregular "
                "rate: filters and windows need equal steps (read it as markers: --markers)"
            )
        self.format = FORMATS[stream.channel_format()]
        self.table = channels if isinstance(channels, Mapping) else read_channel_table(channels)
        self._inlet = Inlet(stream, timeout)
        declared = declared_channels(self._inlet.info, by_hand=channels is not None)
        self.info: SignalInfo = declared_info(
            sfreq, declared, self.type, channels=self.table, units=units
        )
        self.types_by_name = types_by_name(declared, self.type, self.table)
        n = min(_LONGEST_PULL, max(2, math.ceil(sfreq)))
        self._data = np.zeros((n, self.info.n_channels))
        self._stamps = np.zeros(n)
        self._error = ctypes.c_int()
        # taken once: .ctypes.data costs a microsecond each time
        self._first = (self._data.ctypes.data, self.info.n_channels)
        self._first_at = (self._data.ctypes.data, self._stamps.ctypes.data)
        self._n_most = n // 2  # so that there is always room for what has come meanwhile
        self._error_at = ctypes.addressof(self._error)

    def open(self, timeout: float = 5.0) -> None:
        """Subscribe: samples pushed from now on are delivered.

        Parameters
        ----------
        timeout : float
            Longest time in s to wait for the stream.

        Raises
        ------
        TimeoutError
            If the stream does not answer.
        StreamLost
            If the outlet is gone.
        """
        self._inlet.open(timeout)

    def pull(self, timeout: float, n: int = 1) -> Pulled:
        """Wait for samples, then take all that have arrived, up to one second of them.

        The wait for all `n` is one call of liblsl, which holds no lock of the interpreter.

        Parameters
        ----------
        timeout : float
            Longest time in s to wait.
        n : int
            Samples to wait for, such as those that fill a hop; fewer come after a timeout.

        Returns
        -------
        Pulled
            0 samples where none came in time.

        Raises
        ------
        StreamLost
            If the outlet is gone. A pulled cable or a stopped process only leads to timeouts.
        """
        handle, error = self._inlet.handle, self._error_at
        if handle is None:
            raise StreamLost(f"stream {self.name!r} was closed or lost")
        stamps, got = self._stamps, min(n, self._n_most)
        stamps[:got] = 0.0  # a stamp of 0 means no sample; on an error nothing else tells how many
        if got > 1:
            _pull_chunk(handle, *self._first_at, got * self.info.n_channels, got, timeout, error)
        else:
            stamps[0] = _pull_sample(handle, *self._first, timeout, error)
        while got and stamps[got - 1] == 0.0:
            got -= 1
        if self._error.value and not got:
            raise self._inlet.lost()
        if got == max(
            1, min(n, self._n_most)
        ):  # on an error, deliver these; the next call will fail
            c, row = self.info.n_channels, self._data.strides[0]
            n_values = _pull_chunk(
                handle, self._first_at[0] + got * row, self._first_at[1] + got * 8,
                (len(stamps) - got) * c, len(stamps) - got, 0.0, error,
            )  # fmt: skip
            if not self._error.value:
                got += n_values // c
        return Pulled(self._data[:got], stamps[:got], local_clock())

    def waiting(self) -> int:
        """Return how many samples have arrived since the last pull, or did not fit it."""
        handle = self._inlet.handle
        return 0 if handle is None else int(_samples_available(handle))

    def correction(self, timeout: float = 5.0) -> float:
        """Return the seconds to add to raw stamps to reach this machine's LSL clock.

        liblsl measures them again every few seconds in the background. They are exactly 0 for a
        stream of this machine (same host name, below 0.1 s): both ends read one monotonic clock,
        and the error of the measurement would only shift markers against samples.

        Parameters
        ----------
        timeout : float
            Longest time in s to wait for a first measurement.

        Returns
        -------
        float
            In s.
        """
        return self._inlet.correction(timeout)

    def close(self) -> None:
        """Disconnect."""
        self._inlet.close()
