"""Look for what a body does: blinks, heartbeats, breath. A reference that shows none is none."""

from __future__ import annotations

import numpy as np

from rt_decoder.checks.finding import Finding, Verdict, named
from rt_decoder.signal import SignalInfo, unit_gain
from rt_decoder.timing.electrodes import electrode_names

__all__ = ["check_body"]

_FRONT = {"Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8"}
_LEAST_S = 20.0
_BLINK_UV, _BLINK_SIZES = 40.0, 6.0  # least size, and times the robust deviation
_REGULAR, _HEART = 0.8, (40.0, 150.0)  # share of beats near the usual interval; beats a minute
_BREATH, _BREATHES = (0.1, 0.7), 0.5  # Hz, and its share of the power up to 2 Hz


def check_body(data: np.ndarray, info: SignalInfo) -> list[Finding]:
    """Say which of blinks, heartbeats and breath are seen, and where.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels)
        In the units that `info` declares.
    info : SignalInfo

    Returns
    -------
    list of Finding
        Of ``blinks``, ``heart`` and ``breath``; the last two for recorded references alone.
    """
    if len(data) < _LEAST_S * info.sfreq:
        return [Finding("body", Verdict.UNKNOWN, f"needs {_LEAST_S:g} s of samples")]
    kinds = info.ch_types
    findings = [_blinks(data, info)]
    findings += [_heart(data[:, i], info, i) for i, kind in enumerate(kinds) if kind == "ecg"]
    findings += [_breath(data[:, i], info, i) for i, kind in enumerate(kinds) if kind == "resp"]
    return findings


def _blinks(data: np.ndarray, info: SignalInfo) -> Finding:
    import scipy.signal

    names = electrode_names(info.ch_names, info.ch_types)
    front = [i for i, name in enumerate(names) if name in _FRONT]
    eog = [i for i, kind in enumerate(info.ch_types) if kind == "eog"]
    eog = [i for i in eog if "h" not in info.ch_names[i].casefold()] or eog  # HEOG sees gaze
    if not front and not eog:
        return Finding("blinks", Verdict.UNKNOWN, "no EOG and no frontal electrode by name")
    best, where = 0, ""
    sos = scipy.signal.butter(2, [1.0, min(10.0, 0.4 * info.sfreq)], "bandpass", fs=info.sfreq,
                              output="sos")  # fmt: skip
    for i in (*eog, *front):
        x = np.nan_to_num(np.asarray(data[:, i], np.float64)) * unit_gain(info.units[i])[1] * 1e6
        trace = scipy.signal.sosfiltfilt(sos, x - np.median(x))
        scale = 1.4826 * float(np.median(np.abs(trace)))
        height = max(_BLINK_UV, _BLINK_SIZES * scale)
        width = np.array([0.05, 0.5]) * info.sfreq
        for sign in (1, -1):  # an EOG may be plugged the other way round
            peaks, _ = scipy.signal.find_peaks(
                sign * trace, height=height, distance=max(1, round(0.3 * info.sfreq)), width=width
            )
            if len(peaks) > best:
                best, where = len(peaks), info.ch_names[i]
    minutes = len(data) / info.sfreq / 60
    looked = named([info.ch_names[i] for i in (*eog, *front)])
    if best:
        text = f"{best} seen in {where} ({best / minutes:.2g} a minute)"
        return Finding("blinks", Verdict.GOOD, text, figures={"n": best, "channel": where})
    fix = "ask for a few blinks; if still none is seen, an electrode or a name is wrong"
    return Finding("blinks", Verdict.LOOK, f"none seen in {looked}", fix, {"n": 0})


def _heart(x: np.ndarray, info: SignalInfo, i: int) -> Finding:
    import mne

    name = info.ch_names[i]
    gain = unit_gain(info.units[i])[1]
    wave = np.nan_to_num(np.asarray(x, np.float64)) * (gain if gain else 1.0)
    if np.ptp(wave) == 0:
        return Finding("heart", Verdict.BAD, f"{name} is constant", "put the lead on")
    made = mne.create_info([name], info.sfreq, "ecg", verbose="error")
    raw = mne.io.RawArray(wave[None, :], made, verbose="error")
    try:
        beats, _, rate = mne.preprocessing.find_ecg_events(raw, ch_name=name, verbose="error")
    except (ValueError, RuntimeError):
        beats, rate = np.zeros((0, 3)), 0.0
    intervals = np.diff(beats[:, 0]) / info.sfreq
    usual = float(np.median(intervals)) if len(intervals) else 0.0
    near = float(np.mean(np.abs(intervals - usual) < 0.25 * usual)) if usual else 0.0
    figures = {"channel": name, "beats_a_minute": float(rate), "regular": near}
    if usual and near >= _REGULAR and _HEART[0] <= 60 / usual <= _HEART[1]:
        text = f"{name}: {60 / usual:.0f} beats a minute, {near:.0%} of them regular"
        return Finding("heart", Verdict.GOOD, text.replace("%", " %"), figures=figures)
    text = f"{name} shows no regular beats"
    fix = "is the lead on, and is it the ECG? a lead that shows no heart cleans nothing"
    return Finding("heart", Verdict.LOOK, text, fix, figures)


def _breath(x: np.ndarray, info: SignalInfo, i: int) -> Finding:
    import scipy.signal

    name = info.ch_names[i]
    wave = np.nan_to_num(np.asarray(x, np.float64))
    if np.ptp(wave) == 0:
        return Finding("breath", Verdict.BAD, f"{name} is constant", "put the belt on")
    step = max(1, int(info.sfreq // 20))
    slow = wave[: len(wave) // step * step].reshape(-1, step).mean(axis=1)
    rate = info.sfreq / step
    n = min(len(slow), round(30 * rate))
    freqs, power = scipy.signal.welch(scipy.signal.detrend(slow), rate, nperseg=n, detrend="linear")
    slow_enough = freqs <= 2.0
    breath = (freqs >= _BREATH[0]) & (freqs <= _BREATH[1])
    share = float(power[breath].sum() / max(power[slow_enough].sum(), 1e-300))
    peak = float(freqs[breath][np.argmax(power[breath])])
    figures = {"channel": name, "breaths_a_minute": 60 * peak, "share": share}
    if share >= _BREATHES:
        return Finding("breath", Verdict.GOOD, f"{name}: {60 * peak:.0f} breaths a minute",
                       figures=figures)  # fmt: skip
    fix = "is the belt tight, and is it the belt?"
    return Finding("breath", Verdict.LOOK, f"{name} shows no breath", fix, figures)
