"""Look at channels: dead, noisy, bridged, of the wrong size, full of mains."""

from __future__ import annotations

import numpy as np

from rt_decoder.checks.finding import Finding, Verdict, named
from rt_decoder.checks.quality import StreamQuality
from rt_decoder.signal import DATA_TYPES, SignalInfo, unit_gain

__all__ = ["check_channels"]

_MOSTLY = 0.5  # share of the time from which a channel is dead, not only disturbed
_BAND = 1.0, 40.0  # Hz
_NOISY, _QUIET = (
    4.0,
    5.0,
)  # times larger, or smaller, than the median channel of its type; the front
# of a head blinks, and is up to three times as large
_BRIDGED = 0.003  # share of the usual variance of a difference; neighbours on a head stay above .02
_LEAST = 4  # channels of a type to compare with each other
_SIZES_UV = 0.3, 300.0  # between which scalp EEG lies, 1 to 40 Hz
_MAINS_UV = 5.0
_MAINS = 50.0, 60.0


def check_channels(data: np.ndarray, info: SignalInfo, quality: StreamQuality) -> list[Finding]:
    """Judge each channel by itself and beside the others of its type.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels)
        Of some seconds or minutes, in the units that `info` declares.
    info : SignalInfo
    quality : StreamQuality
        What the guard flagged.

    Returns
    -------
    list of Finding
        Of ``channels``, ``size``, ``bridges`` and ``mains``.
    """
    import scipy.signal

    findings = [_flagged(quality)]
    dead = {name for name, shares in quality.shares().items() if sum(shares.values()) > _MOSTLY}
    alive = [
        i
        for i, (name, kind) in enumerate(zip(info.ch_names, info.ch_types, strict=True))
        if kind in DATA_TYPES and name not in dead
    ]
    if not alive or len(data) < 2 * info.sfreq:
        return [*findings, Finding("size", Verdict.UNKNOWN, "needs data channels and two seconds")]
    gains = np.array([unit_gain(info.units[i])[1] for i in alive])
    x = _filled(np.asarray(data[:, alive], np.float64) * gains)
    top = min(_BAND[1], 0.45 * info.sfreq)
    sos = scipy.signal.butter(2, [_BAND[0], top], "bandpass", fs=info.sfreq, output="sos")
    band = scipy.signal.sosfiltfilt(sos, x - x.mean(axis=0), axis=0)
    picked = info.pick(alive)
    findings += [_sizes(band, picked), _bridges(band, picked), _mains(x, picked)]
    return findings


def _flagged(quality: StreamQuality) -> Finding:
    shares = {name: sum(one.values()) for name, one in quality.shares().items()}
    told = quality.lines()
    if not told:
        return Finding("channels", Verdict.GOOD, "none missing, constant or impossible")
    verdict = Verdict.BAD if max(shares.values()) > _MOSTLY else Verdict.LOOK
    fix = "look at the electrode and its cable; a plug that is out reads as constant"
    return Finding("channels", verdict, named(told), fix, {"shares": quality.shares()})


def _filled(x: np.ndarray) -> np.ndarray:
    """Put a channel's median where it holds no number."""
    bad = ~np.isfinite(x)
    if not bad.any():
        return x
    middle = np.nanmedian(np.where(bad, np.nan, x), axis=0)
    return np.where(bad, np.nan_to_num(middle), x)


def _robust_size(band: np.ndarray, sfreq: float) -> np.ndarray:
    """Median over seconds of each channel's standard deviation: a movement does not matter."""
    n = max(1, round(sfreq))
    pieces = band[: len(band) // n * n].reshape(-1, n, band.shape[1])
    return np.asarray(np.median(pieces.std(axis=1), axis=0))


def _groups(info: SignalInfo) -> list[np.ndarray]:
    """Channels of a type, where there are enough to compare."""
    kinds = np.array(info.ch_types)
    groups = [np.flatnonzero(kinds == kind) for kind in dict.fromkeys(info.ch_types)]
    return [group for group in groups if len(group) >= _LEAST]


def _sizes(band: np.ndarray, info: SignalInfo) -> Finding:
    size = _robust_size(band, info.sfreq)
    told, loud = [], []
    for group in _groups(info):
        middle = np.median(size[group])
        for i in group[size[group] > _NOISY * middle]:
            loud.append(f"{info.ch_names[i]} {size[i] / middle:.1f} times the others")
        for i in group[size[group] * _QUIET < middle]:
            told.append(f"{info.ch_names[i]} a {middle / max(size[i], 1e-30):.0f}th of the others")
    eeg = size[[i for i, kind in enumerate(info.ch_types) if kind == "eeg"]] * 1e6
    figures = {"uv": {n: s * 1e6 for n, s in zip(info.ch_names, size, strict=True)}}
    if len(eeg) and not _SIZES_UV[0] < np.median(eeg) < _SIZES_UV[1]:
        text = f"EEG of {np.median(eeg):.3g} uV (1 to 40 Hz), where scalps have 3 to 50"
        fix = "is the unit right? (--units, --channels); is the amplifier's gain?"
        return Finding("size", Verdict.BAD, text, fix, figures)
    if loud or told:
        fix = "more gel, or press the electrode on; read its impedance"
        return Finding("size", Verdict.LOOK, named(loud + told), fix, figures)
    text = f"median EEG {np.median(eeg):.1f} uV, 1 to 40 Hz" if len(eeg) else "channels are alike"
    return Finding("size", Verdict.GOOD, text, figures=figures)


def _bridges(band: np.ndarray, info: SignalInfo) -> Finding:
    """Pairs whose difference hardly varies: gel between two electrodes makes one of them."""
    pairs: list[tuple[float, str]] = []
    groups = _groups(info)
    for group in groups:
        covariance = np.cov(band[:, group].T)
        power = np.diag(covariance)
        apart = power[:, None] + power[None, :] - 2 * covariance
        first, second = np.triu_indices(len(group), 1)
        usual = np.median(apart[first, second])
        for a, b in zip(first, second, strict=True):
            if apart[a, b] < _BRIDGED * usual:
                names = f"{info.ch_names[group[a]]} and {info.ch_names[group[b]]}"
                pairs.append((apart[a, b] / usual, names))
    if not groups:
        return Finding("bridges", Verdict.UNKNOWN, f"needs {_LEAST} channels of a type")
    if not pairs:
        return Finding("bridges", Verdict.GOOD, "no two channels are the same")
    told = [name for _, name in sorted(pairs)]
    fix = "is there gel between them, or one signal on two channels? dry the skin between"
    return Finding("bridges", Verdict.LOOK, named(told), fix, {"pairs": told})


def _mains(x: np.ndarray, info: SignalInfo) -> Finding:
    import scipy.signal

    eeg = [i for i, unit in enumerate(info.units) if unit_gain(unit)[0] == "V"]
    if not eeg or info.sfreq < 2 * (_MAINS[0] + 8):
        return Finding(
            "mains", Verdict.UNKNOWN, f"needs channels in volts, and {2 * 58} Hz or more"
        )
    n = min(len(x), round(4 * info.sfreq))
    freqs, power = scipy.signal.welch(x[:, eeg], info.sfreq, nperseg=n, axis=0)
    width = freqs[1]
    sizes = {}
    for mains in _MAINS:
        near = np.abs(freqs - mains)
        beside = power[(near > 2) & (near < 6)]
        if mains + 8 < info.sfreq / 2 and len(beside):
            peak = power[near <= 1] - np.median(beside, axis=0)
            sizes[mains] = 1e6 * np.sqrt(np.maximum(peak.sum(axis=0), 0) * width)
    mains, size = max(sizes.items(), key=lambda one: float(np.median(one[1])))
    middle = float(np.median(size))
    figures = {"hz": mains, "median_uv": middle}
    text = f"{mains:g} Hz of {middle:.1f} uV in the median channel"
    loud = [
        info.ch_names[eeg[i]] for i in np.argsort(-size) if size[i] > max(_MAINS_UV, 3 * middle)
    ]
    if middle <= _MAINS_UV and not loud:
        return Finding("mains", Verdict.GOOD, text, figures=figures)
    text += f"; most in {named(loud)}" if loud else ""
    fix = "ground and reference well on? chargers, lamps and cables away; the notch takes out the rest"
    return Finding("mains", Verdict.LOOK, text, fix, figures | {"channels": loud})
