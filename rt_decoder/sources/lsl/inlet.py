"""One connection to an LSL outlet, with built-in errors and no silent recovery."""

from __future__ import annotations

import ctypes
import re
import socket
from functools import cache
from time import monotonic
from typing import Any

import pylsl

from rt_decoder.signal import StreamLost

__all__ = ["Inlet", "may_destroy"]

SLICE = 0.1  # s that liblsl may keep a signal waiting
# s; a machine under load measures its own clock that badly, and two machines of one name differ more
SAME_CLOCK = 0.1


def may_destroy(version: int, info: str) -> bool:
    """Whether a library destroys the inlet of a dead stream without aborting the process.

    liblsl issue 220, mended before 1.18.0.b6 (pylsl 1.18.6): 600 dead inlets in all states were
    destroyed within 1 ms each and left nothing behind.

    Parameters
    ----------
    version : int
        ``pylsl.library_version()``.
    info : str
        ``pylsl.library_info()``.

    Returns
    -------
    bool
    """
    beta = re.search(r"v1\.18\.0\.b(\d+)", info)
    return version >= 118 and (beta is None or int(beta[1]) >= 6)


@cache
def _library() -> tuple[int, str]:
    return pylsl.library_version(), str(pylsl.library_info())


class Inlet:
    """A pylsl inlet that never recovers.

    Parameters
    ----------
    stream : pylsl.StreamInfo
        From `resolve`.
    timeout : float
        Longest time in s to wait for the full description.

    Attributes
    ----------
    info : pylsl.StreamInfo
        The full description.
    handle : int or None
        The handle of liblsl; None once the stream is closed or lost.

    Raises
    ------
    TimeoutError
        If the stream does not answer.
    StreamLost
        If the outlet is gone, or another one has taken its place.
    """

    def __init__(self, stream: pylsl.StreamInfo, timeout: float) -> None:
        self._name = stream.name()
        self._same_host = stream.hostname() == socket.gethostname()
        self._same_clock = False
        try:
            inlet = pylsl.StreamInlet(stream, recover=False, processing_flags=pylsl.proc_none)
        except RuntimeError as error:
            raise StreamLost(f"cannot connect to stream {self._name!r}: {error}") from None
        self._inlet: pylsl.StreamInlet | None = inlet
        self.handle: int | None = inlet.obj.value
        self.info: pylsl.StreamInfo = self._wait("info", timeout)
        if self.info.uid() != stream.uid():  # an outlet that took the port of one that has ended
            self.close()
            raise StreamLost(
                f"stream {self._name!r} is gone: another outlet, {self.info.name()!r}, answers in "
                "its place"
            )

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the pylsl inlet, and translate its errors.

        Parameters
        ----------
        method : str
            Name of the method.
        *args : Any
            Its arguments.
        **kwargs : Any
            Its keyword arguments.

        Returns
        -------
        Any
            What the method returns.

        Raises
        ------
        StreamLost
            If the outlet is gone, or the inlet was closed.
        TimeoutError
            If the outlet does not answer in time.
        """
        if self._inlet is None:
            raise StreamLost(f"stream {self._name!r} was closed or lost")
        try:
            return getattr(self._inlet, method)(*args, **kwargs)
        except pylsl.util.TimeoutError:
            raise TimeoutError(
                f"stream {self._name!r} does not answer: a firewall, or an outlet that hangs"
            ) from None
        except (pylsl.util.LostError, pylsl.util.InternalError):
            raise self.lost() from None

    def _wait(self, method: str, timeout: float) -> Any:
        """Call a method that waits up to `timeout` s, in slices: liblsl keeps signals waiting."""
        end = monotonic() + timeout
        while True:
            try:
                return self.ask(method, min(SLICE, timeout))
            except TimeoutError:
                if monotonic() >= end:
                    raise

    def open(self, timeout: float) -> None:
        """Measure the clock once, so that later `correction`s do not wait, and subscribe."""
        self.correction(timeout)
        self._wait("open_stream", timeout)

    def correction(self, timeout: float) -> float:
        """Return the seconds to add to the sender's stamps; exactly 0 if both clocks are one."""
        if self._same_clock:
            return 0.0
        seconds = float(self._wait("time_correction", timeout))
        # Kept, so that a later, noisier measurement does not make two clocks out of one: samples and
        # markers would be apart by what a busy machine made of it.
        self._same_clock = self._same_host and abs(seconds) < SAME_CLOCK
        return 0.0 if self._same_clock else seconds

    def lost(self) -> StreamLost:
        """Give up a stream that is gone; returns the error to raise."""
        if self._inlet is not None and not may_destroy(*_library()):
            # Without its handle pylsl destroys nothing, and liblsl keeps the inlet, with seven
            # descriptors and a thread, until the process ends.
            self._inlet.obj = ctypes.c_void_p()
        self.close()
        return StreamLost(f"stream {self._name!r} is lost: its outlet is gone")

    def close(self) -> None:
        """Disconnect: pylsl destroys the inlet."""
        self._inlet = self.handle = None
