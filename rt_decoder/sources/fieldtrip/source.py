"""Read samples from a FieldTrip buffer, as MEG sites use it.

A thread (`reader`) fetches new samples; `pull` returns them. The buffer has no stamps: times come
from sample numbers (`clock`). So stamps are on this machine's LSL clock, lost samples leave a gap
in them, and events fall exactly on their samples.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from pylsl import local_clock

from rt_decoder.signal import SignalInfo
from rt_decoder.source import Pulled
from rt_decoder.sources.fieldtrip.header import header_info, header_types_by_name
from rt_decoder.sources.fieldtrip.markers import FieldTripMarkers

if TYPE_CHECKING:
    from rt_decoder.sources.fieldtrip.client import BufferClient

__all__ = ["DEFAULT_PORT", "FieldTripSource", "parse_address"]

DEFAULT_PORT = 1972
QUEUED_SECONDS = 10.0
QUEUED_BYTES = 64 << 20
PULLED_BYTES = 16 << 20
_LONGEST_PULL = 4096  # samples


def parse_address(address: str) -> tuple[str, int]:
    """Parse the address of a buffer.

    Parameters
    ----------
    address : str
        ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``.

    Returns
    -------
    host : str
        Without brackets.
    port : int
        1972 if `address` has none.

    Raises
    ------
    ValueError
        If `address` has another form.

    Examples
    --------
    >>> parse_address("meg-acq:1973"), parse_address("10.0.0.2")
    (('meg-acq', 1973), ('10.0.0.2', 1972))
    """
    host, colon, port = address.strip().rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):  # no port; bare IPv6
        host, port = address.strip(), str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not host or set(host) & set(" /[]") or not 0 < number < 65536:
        raise ValueError(
            f"need HOST:PORT with a port of 1 to 65535, got {address!r}; "
            f"such as --fieldtrip localhost:{DEFAULT_PORT}"
        )
    return host, number


class FieldTripSource:
    """The samples of a FieldTrip buffer.

    Parameters
    ----------
    address : str
        See `parse_address`.
    channels : path or None
        Table of names, types and units that the user sets (``--channels``).
    units : str or None
        Unit that the user sets (``--units``). Only buffers with a Neuromag header state units.
    timeout : float
        Longest time in s to connect and to wait for a measurement to begin.
    reply_timeout : float
        Longest time in s to wait for a reply; after it the server counts as lost.

    Attributes
    ----------
    info : SignalInfo
        Rate and channels, from the header or set by the user.
    types_by_name : dict of str to str
        Types that nothing but a channel's name tells; a session says so at its start.
    name : str
        ``fieldtrip://HOST:PORT``.
    counts : Counter
        Losses; see `reader.BufferReader`.

    Raises
    ------
    TimeoutError
        If there is no buffer, or no measurement in it, within `timeout`.
    ValueError
        If the address or the header is invalid, or a unit is missing.
    ImportError
        If mne-realtime is not installed.
    """

    def __init__(
        self,
        address: str,
        *,
        channels: str | Path | None = None,
        units: str | None = None,
        timeout: float = 5.0,
        reply_timeout: float = 2.0,
    ) -> None:
        from rt_decoder.sources.fieldtrip.reader import BufferReader  # imports MNE

        host, port = parse_address(address)
        client, header = _connect(host, port, timeout, reply_timeout)
        try:
            self.info: SignalInfo = header_info(header, channels=channels, units=units)
            self.types_by_name = header_types_by_name(header, channels=channels, units=units)
        except (ValueError, OSError):  # OSError: of the channel table
            client.disconnect()
            raise
        self.name: str = client.name
        sfreq, row = self.info.sfreq, 8 * self.info.n_channels
        n = max(2, int(min(_LONGEST_PULL, sfreq, PULLED_BYTES // row)))
        self._data = np.zeros((n, self.info.n_channels))
        self._stamps = np.zeros(n)
        most = max(n, int(min(QUEUED_SECONDS * sfreq, QUEUED_BYTES // row)))
        self._reader = BufferReader(client, header, sfreq, longest=n, most=most)
        self.counts = self._reader.counts

    @property
    def n_overrun(self) -> int:
        """How often the server no longer had the next samples."""
        return self.counts["overrun"]

    @property
    def ended(self) -> str:
        """Reason why the buffer is lost; "" while it is not."""
        return self._reader.ended

    def markers(self, kind: str = "") -> FieldTripMarkers:
        """Read events of type `kind` (all if empty) from now on, or from a later `open` on."""
        markers = FieldTripMarkers(self.name, lambda: self.ended, kind)
        self._reader.on_event.append(markers.take)
        return markers

    def open(self, timeout: float = 5.0) -> None:  # noqa: ARG002  (every answer has its own)
        """Subscribe: samples and events put from now on are delivered.

        Parameters
        ----------
        timeout : float
            Not used: every reply has a deadline.

        Raises
        ------
        StreamLost
            If the buffer is gone, or a new measurement with another header has begun.
        """
        self._reader.start()

    def pull(self, timeout: float, n: int = 1) -> Pulled:  # noqa: ARG002  (as other sources)
        """Wait for samples, then take all that have arrived, up to one second of them.

        Parameters
        ----------
        timeout : float
            Longest time in s to wait.
        n : int
            Not used: samples come in the server's own blocks.

        Returns
        -------
        Pulled
            0 samples after a timeout.

        Raises
        ------
        StreamLost
            If the server has closed the connection, did not reply in time or sent a malformed
            reply, or if a new measurement has begun; raised once all earlier samples were pulled.
        """
        got = self._reader.take(self._data, self._stamps, timeout)
        return Pulled(self._data[:got], self._stamps[:got], local_clock())

    def waiting(self) -> int:
        """Return how many samples were fetched since the last pull, or did not fit it."""
        return self._reader.n_queued

    def correction(self, timeout: float = 5.0) -> float:  # noqa: ARG002  (as other sources)
        """Return 0: stamps are already on this machine's LSL clock."""
        return 0.0

    def close(self) -> None:
        """Disconnect from the buffer."""
        self._reader.stop()


def _connect(
    host: str, port: int, timeout: float, reply_timeout: float
) -> tuple[BufferClient, Any]:
    """Connect until there is a buffer and a measurement; returns client and header."""
    from rt_decoder.sources.fieldtrip.client import BufferClient

    end = monotonic() + timeout
    pause = 0.02
    while True:
        try:
            client = BufferClient(host, port, min(reply_timeout, max(0.1, end - monotonic())))
            header = client.header()
            if header is not None:
                client.timeout = reply_timeout
                return client, header
            client.disconnect()
            why = "no measurement has begun"
        except OSError as error:
            why = str(error)
        if monotonic() + pause >= end:
            raise TimeoutError(f"no FieldTrip buffer at {host}:{port} in {timeout:g} s: {why}")
        Event().wait(pause)
        pause = min(2 * pause, 0.5)
