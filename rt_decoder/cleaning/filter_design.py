"""Design causal filters as second-order sections; compute their delay and settling time.

Runs once, before the stream: functions that need `scipy.signal` import it themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["check_sos", "design_anti_alias", "design_sos", "group_delay", "settling_time"]


def design_sos(
    sfreq: float,
    l_freq: float | None = None,
    h_freq: float | None = None,
    order: int = 4,
    notch: Sequence[float] = (),
    notch_q: float = 30.0,
) -> np.ndarray:
    """Design a Butterworth band-pass, high-pass or low-pass, preceded by notches.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    l_freq, h_freq : float or None
        Edges (-3 dB) in Hz. If one is None the filter is a low-pass or high-pass; if both are,
        there are only the notches.
    order : int
        Order of the Butterworth prototype: a band-pass has `order` sections, the others half as
        many.
    notch : sequence of float
        Centres in Hz; list each harmonic.
    notch_q : float
        Quality: centre over -3 dB width.

    Returns
    -------
    sos : array of shape (n_sections, 6), float64
        Empty if there is nothing to filter.

    Raises
    ------
    ValueError
        If a frequency is not inside (0, sfreq / 2), the edges are in the wrong order, or `order` or
        `notch_q` is out of range.

    Examples
    --------
    >>> design_sos(250.0, 0.5, 40.0, order=2, notch=(50.0,)).shape
    (3, 6)
    """
    from scipy import signal

    nyquist = sfreq / 2
    for name, freq in (("l_freq", l_freq), ("h_freq", h_freq), *(("notch", f) for f in notch)):
        if freq is not None and not 0 < freq < nyquist:
            raise ValueError(
                f"need {name} between 0 and {nyquist:g} Hz (half of {sfreq:g} Hz), got {freq:g}; "
                "lower it or leave it out"
            )
    if l_freq is not None and h_freq is not None and l_freq >= h_freq:
        raise ValueError(f"need l_freq below h_freq, got {l_freq:g} and {h_freq:g} Hz")
    if not 1 <= order <= 12:
        raise ValueError(f"need a filter order between 1 and 12, got {order}")
    if not notch_q > 0:
        raise ValueError(f"need notch_q above 0, got {notch_q}")

    sections = [signal.tf2sos(*signal.iirnotch(freq, notch_q, fs=sfreq)) for freq in notch]
    if l_freq is not None and h_freq is not None:
        sections.append(signal.butter(order, (l_freq, h_freq), "bandpass", fs=sfreq, output="sos"))
    elif h_freq is not None:
        sections.append(signal.butter(order, h_freq, "lowpass", fs=sfreq, output="sos"))
    elif l_freq is not None:
        sections.append(signal.butter(order, l_freq, "highpass", fs=sfreq, output="sos"))
    return np.ascontiguousarray(np.vstack(sections)) if sections else np.empty((0, 6))


def design_anti_alias(factor: int) -> np.ndarray:
    """Design the low-pass of a decimation: Chebyshev I, order 8, ripple 0.05 dB.

    The edge lies at 0.8 of the new Nyquist frequency, as in `scipy.signal.decimate`. Frequencies
    that would fold into the pass-band are at least 41 dB down.

    Parameters
    ----------
    factor : int
        Every `factor`-th sample is kept.

    Returns
    -------
    array of shape (n_sections, 6), float64
        Second-order sections.
    """
    from scipy import signal

    return signal.cheby1(8, 0.05, 0.8 / factor, output="sos")


def check_sos(sos: np.ndarray) -> np.ndarray:
    """Check that all sections are stable, finite and have a0 = 1.

    Parameters
    ----------
    sos : array of shape (n_sections, 6)
        Second-order sections.

    Returns
    -------
    array of shape (n_sections, 6), float64
        Contiguous.

    Raises
    ------
    ValueError
        If the shape is wrong, a value is not finite, a0 is not 1 or a section is unstable.
    """
    sos = np.ascontiguousarray(sos, np.float64)
    if sos.ndim != 2 or sos.shape[1] != 6:
        raise ValueError(f"need sections of shape (n_sections, 6), got {sos.shape}")
    if not np.isfinite(sos).all() or not (sos[:, 3] == 1.0).all():
        raise ValueError("need finite sections with a0 = 1, got others; design the filter again")
    a1, a2 = sos[:, 4], sos[:, 5]
    stable = (np.abs(a2) < 1) & (
        np.abs(a1) < 1 + a2
    )  # the stability triangle of second-order sections
    if not stable.all():
        raise ValueError(
            f"need stable sections, got an unstable one at {int(np.argmin(stable))}; "
            "raise l_freq or lower the order"
        )
    return sos


def group_delay(sos: np.ndarray, sfreq: float) -> float:
    """Compute the group delay at the centre of the pass-band.

    It is the median over frequencies that lose less than 3 dB, evenly spaced in log frequency. For
    a Butterworth band-pass that is the delay at its geometric centre, for a low-pass the delay at 0
    Hz; a notch near the centre does not count.

    Parameters
    ----------
    sos : array of shape (n_sections, 6)
        Second-order sections; 0 s if there are none.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    float
        Delay in s.
    """
    if len(sos) == 0:
        return 0.0
    freqs = np.geomspace(1e-5, 0.4999, 20_000)  # cycles a sample
    z = np.exp(-2j * np.pi * freqs)
    gain, delay = np.ones_like(freqs), np.zeros_like(freqs)
    for b0, b1, b2, _, a1, a2 in sos:
        above, below = b0 + z * (b1 + z * b2), 1 + z * (a1 + z * a2)
        gain *= np.abs(above / below)
        # derivative of the phase; guarded against zeros of a section at this frequency
        above = np.where(np.abs(above) > 1e-12, above, 1e-12)
        delay += (z * (b1 + 2 * z * b2) / above - z * (a1 + 2 * z * a2) / below).real
    return float(np.median(delay[gain >= gain.max() / np.sqrt(2)]) / sfreq)


def settling_time(sos: np.ndarray, sfreq: float, tolerance: float = 0.01) -> float:
    """Compute the time until the effect of the priming has vanished.

    After it the responses to an impulse and to a step stay within `tolerance` of their final value.

    Parameters
    ----------
    sos : array of shape (n_sections, 6)
        Second-order sections; 0 s if there are none.
    sfreq : float
        Sampling rate in Hz.
    tolerance : float
        In units of the largest value of each response.

    Returns
    -------
    float
        Time in s.
    """
    from scipy.signal import sosfilt

    if len(sos) == 0:
        return 0.0
    sos = np.array(sos)  # scipy needs writable memory
    poles = np.array([np.roots(section[3:]) for section in sos]).ravel()
    radius = min(float(np.abs(poles).max()), 1 - 1e-7)
    if radius == 0.0:
        return 0.0
    n = int(min(math.log(tolerance * 1e-3) / math.log(radius) + 16, 600.0 * sfreq))
    impulse = np.zeros(n)
    impulse[0] = 1.0
    last = 0
    for response in (sosfilt(sos, impulse), sosfilt(sos, np.ones(n))):
        away = np.abs(response - response[-1])
        last = max(last, int(np.flatnonzero(away > tolerance * np.abs(response).max())[-1]) + 1)
    return last / sfreq
