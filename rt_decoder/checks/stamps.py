"""Look at the stamps of a stream: rate, jitter, losses, packets, delay, clock."""

from __future__ import annotations

import numpy as np

from rt_decoder.checks.finding import Finding, Verdict
from rt_decoder.checks.watch import Watched
from rt_decoder.counted import counted
from rt_decoder.files.recording import Recording

__all__ = ["check_stamps"]

_RATE_OFF = 1e-3  # share; a session refuses 1e-2
_JITTER_MS = 20.0  # beyond two hops, onsets found by stamps are uncertain
_PACKET_MS = 50.0
_LATE_MS = 100.0  # between the usual and the longest delay
_OTHER_CLOCK_S = 10.0
_DRIFT_MS = 5.0  # of the clock correction, a minute


def check_stamps(recording: Recording, watched: Watched) -> list[Finding]:
    """Judge the time line of a recording.

    Parameters
    ----------
    recording : Recording
        Of a minute or so; a session record also tells when samples came.
    watched : Watched
        What the time base made of it.

    Returns
    -------
    list of Finding
        Of ``rate``, ``jitter``, ``losses`` and, for a session record, ``packets``, ``delay`` and
        ``clock``.
    """
    findings = [_rate(recording, watched), _jitter(recording), _losses(recording, watched)]
    if recording.pulls is not None and len(recording.pulls) > 1:
        findings += _arrivals(recording, recording.pulls)
    return findings


def _rate(recording: Recording, watched: Watched) -> Finding:
    sfreq, times = recording.info.sfreq, recording.times
    if watched.refused:
        fix = "set the rate that the amplifier really sends, or restart it"
        return Finding("rate", Verdict.BAD, watched.refused, fix)
    span = times[-1] - times[0]
    measured = (len(times) + watched.n_lost - 1) / span if span > 0 else float("nan")
    off = measured / sfreq - 1
    text = f"{measured:.3f} Hz measured, {sfreq:g} Hz declared"
    figures = {"measured_hz": measured, "declared_hz": sfreq}
    if abs(off) <= _RATE_OFF:
        return Finding("rate", Verdict.GOOD, text, figures=figures)
    fix = f"{100 * off:+.2f} % off: samples are lost unseen, or the declared rate is wrong"
    return Finding("rate", Verdict.LOOK, text, fix, figures)


def _jitter(recording: Recording) -> Finding:
    """How far stamps lie from a straight line through each second."""
    n, times = max(2, round(recording.info.sfreq)), recording.times
    pieces = times[: len(times) // n * n].reshape(-1, n)
    if len(pieces) == 0:
        return Finding("jitter", Verdict.UNKNOWN, "needs a second of samples")
    at = np.arange(n) - (n - 1) / 2
    centred = pieces - pieces.mean(axis=1, keepdims=True)
    off = np.abs(centred - (centred @ at / (at @ at))[:, None] * at)
    # a second with a loss in it is no straight line, and is told by the losses
    worst_ms = 1e3 * np.percentile(off, 99, axis=1)
    jitter = float(np.median(worst_ms))
    text = f"stamps within {jitter:.2f} ms of a straight line (99 % of them)"
    figures = {"p99_ms": jitter}
    if jitter <= _JITTER_MS:
        return Finding("jitter", Verdict.GOOD, text, figures=figures)
    fix = "use the amplifier's own LSL program, with a cable instead of a radio link"
    return Finding("jitter", Verdict.LOOK, text, fix, figures)


def _losses(recording: Recording, watched: Watched) -> Finding:
    share = watched.n_lost / max(1, watched.n_lost + len(recording.stamps))
    figures = {"n_lost": watched.n_lost, "n_gaps": watched.n_gaps, "n_resets": watched.n_resets}
    resets = f"; its clock was set {counted(watched.n_resets, 'time')}" if watched.n_resets else ""
    if not watched.n_lost and not resets:
        return Finding("losses", Verdict.GOOD, "no sample lost", figures=figures)
    lost = f"{counted(watched.n_lost, 'sample')} lost in {counted(watched.n_gaps, 'gap')}"
    text = f"{lost} ({100 * share:.2f} %){resets}"
    fix = "check cable, battery and radio link, and what else the sending machine does"
    return Finding("losses", Verdict.BAD if share > 0.05 else Verdict.LOOK, text, fix, figures)


def _arrivals(recording: Recording, pulls: np.ndarray) -> list[Finding]:
    counts, arrivals = pulls[:, 0].astype(int), pulls[:, 1]
    some = counts > 0
    newest = recording.times[np.cumsum(counts)[some] - 1]
    delay_ms = 1e3 * (arrivals[some] - newest)
    usual, late = (float(np.percentile(delay_ms, p)) for p in (50, 99))
    n, sfreq = float(np.median(counts[some])), recording.info.sfreq
    packet_ms = 1e3 * n / sfreq
    figures = {"samples": n, "ms": packet_ms}
    text = f"{counted(round(n), 'sample')} at a time, every {packet_ms:.0f} ms"
    fix = "" if packet_ms <= _PACKET_MS else "answers wait for them: let it send smaller packets"
    found = [Finding("packets", Verdict.LOOK if fix else Verdict.GOOD, text, fix, figures)]
    figures = {"p50_ms": usual, "p99_ms": late}
    if abs(usual) > 1e3 * _OTHER_CLOCK_S:
        text = f"stamps are {abs(usual) / 1e3:.0f} s from this machine's clock: another clock's"
        fix = "latencies count from arrival, and markers need stamps of the same clock"
        found.append(Finding("delay", Verdict.LOOK, text, fix, figures))
    else:
        text = f"newest sample {usual:.1f} ms old when it comes, {late:.1f} ms at most (99 %)"
        is_late = late - usual > _LATE_MS
        fix = "use a cable, and close what else the network carries" if is_late else ""
        found.append(Finding("delay", Verdict.LOOK if fix else Verdict.GOOD, text, fix, figures))
    minutes = max(1 / 60, (arrivals[-1] - arrivals[0]) / 60)
    moved_ms = 1e3 * float(np.ptp(pulls[:, 2])) / max(1.0, minutes)
    text = f"the sender's clock moved by {moved_ms:.2f} ms a minute against this one"
    fix = "" if moved_ms <= _DRIFT_MS else "the time between the machines is uncertain: use a cable"
    verdict = Verdict.LOOK if fix else Verdict.GOOD
    found.append(Finding("clock", verdict, text, fix, {"ms_a_minute": moved_ms}))
    return found
