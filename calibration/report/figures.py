"""Draw what cleaning did to a stretch of recording, one figure per kind of artifact.

This module knows nothing of the page around the figures.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.cleaning.eye_events import find_eye_events
from calibration.cleaning.heartbeat_source import find_source
from calibration.report.stretch import Stretch
from rt_decoder.signal import DATA_TYPES, Reason, SignalInfo
from rt_decoder.sinks.text import plain

__all__ = ["Figure", "figures"]

LEAST_EVENTS = 5  # in an average
_BEFORE, _AFTER = "#b3402a", "#1f5fa8"
_COMMON = {"V": ("uV", 1e6), "T": ("fT", 1e15), "T/m": ("fT/cm", 1e13)}


class Figure(NamedTuple):
    """A picture of what one stage does, or all of them."""

    stage: str  # name of the stage; empty for all
    title: str
    png: str  # base64


def figures(stretch: Stretch, cleaning: dict[str, Any]) -> list[Figure]:
    """Draw the figures of a report: of all stages together, and of each with something to show.

    Parameters
    ----------
    stretch : Stretch
    cleaning : dict
        Report of `calibration.cleaning.chain.fit_cleaning`.

    Returns
    -------
    list of Figure
    """
    made = [_made("", "Spectrum, median over channels", _spectrum, stretch)]
    rest = stretch.bad
    blinks = find_eye_events(stretch.before, stretch.info, rest).blinks
    source, _ = find_source(stretch.before, stretch.info, rest)
    beats = np.zeros(0, int) if source is None else source.beats.peaks
    for stage, what, rows, span in (
        ("eye", "blinks", blinks, (-0.2, 0.6)),
        ("heartbeat", "R waves", beats, (-0.2, 0.5)),
        ("", "events", stretch.events, (-0.2, 0.8)),
    ):
        if len(rows) >= LEAST_EVENTS:
            title = f"Mean around {len(rows)} {what}, each channel"
            made.append(_made(stage, title, _locked, stretch, rows, span))
    references = cleaning.get("regressors", {}).get("references", {})
    kept = [name for name, found in references.items() if found["kept"]]
    if kept:
        title = "Correlation with references, largest over channels"
        made.append(_made("regressors", title, _correlations, stretch, kept))
    channels = cleaning.get("repair", {}).get("channels", {})
    if channels:
        title = "Share of each channel's variance that its neighbours predict"
        made.append(_made("repair", title, _explained, channels))
    if np.any(stretch.flags):
        title = "Share of samples flagged or corrected, by reason"
        made.append(_made("muscle", title, _timeline, stretch))
    return made


def _made(stage: str, title: str, draw: Callable[..., None], *arguments: Any) -> Figure:
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a channel's name is no formula
        return _drawn(stage, title, draw, *arguments)


def _drawn(stage: str, title: str, draw: Callable[..., None], *arguments: Any) -> Figure:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(8.0, 2.8), layout="constrained")
    draw(canvas, *arguments)
    file = io.BytesIO()
    canvas.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return Figure(stage, title, base64.b64encode(file.getvalue()).decode())


def _picks(info: SignalInfo) -> tuple[np.ndarray, str, float]:
    """Find data channels of the most common type, the unit to show and the factor to it."""
    common = Counter(kind for kind in info.ch_types if kind in DATA_TYPES).most_common(1)[0][0]
    picks = np.flatnonzero([kind == common for kind in info.ch_types])
    unit, gain = _COMMON.get(info.units[picks[0]], (info.units[picks[0]], 1.0))
    return picks, unit, gain


def _spectrum(canvas: Any, stretch: Stretch) -> None:
    from scipy.signal import welch

    picks, unit, gain = _picks(stretch.info)
    axes = canvas.subplots()
    sfreq = stretch.info.sfreq
    for data, color, name in _both(stretch):
        x = gain * data[np.ix_(~stretch.bad, picks)] if not stretch.bad.all() else gain * data
        f, power = welch(x, sfreq, nperseg=min(len(x), round(4 * sfreq)), axis=0)
        shown = (f > 0) & (f <= 60.0)
        axes.semilogy(f[shown], np.median(power, axis=1)[shown], color=color, label=name, lw=1)
    axes.set(xlabel="Hz", ylabel=f"{unit}²/Hz")
    axes.legend(frameon=False)


def _both(stretch: Stretch) -> tuple[tuple[np.ndarray, str, str], ...]:
    return (stretch.before, _BEFORE, "before"), (stretch.after, _AFTER, "after")


def _locked(
    canvas: Any, stretch: Stretch, rows: np.ndarray, span: tuple[float, float]
) -> None:  # fmt: skip
    """Draw means before and after on one scale, and the peak of each channel on the head."""
    picks, unit, gain = _picks(stretch.info)
    first, stop = (round(t * stretch.info.sfreq) for t in span)
    rows = rows[(rows + first >= 0) & (rows + stop <= len(stretch.before))]
    at = rows[:, None] + np.arange(first, stop)
    means = [gain * data[:, picks][at].mean(axis=0) for data, _, _ in _both(stretch)]
    means = [mean - mean.mean(axis=0) for mean in means]
    t = np.arange(first, stop) / stretch.info.sfreq
    *lines, size = canvas.subplots(1, 3, width_ratios=(1, 1, 1))
    most = 1.05 * max(np.abs(means[0]).max(), np.abs(means[1]).max(), 1e-9)
    for axes, mean, (_, color, name) in zip(lines, means, _both(stretch), strict=True):
        axes.plot(t, mean, color=color, lw=0.6, alpha=0.7)
        axes.axvline(0.0, color="0.7", lw=0.6, zorder=0)
        axes.set(title=name, xlabel="s", ylabel=unit, ylim=(-most, most))
    largest = [np.abs(mean).max(axis=0) for mean in means]
    positions = stretch.info.positions
    if positions is not None and np.isfinite(positions[picks]).all():
        _head(size, positions[picks], largest, unit)
    else:
        _bars(size, [stretch.info.ch_names[k] for k in picks], largest, unit)


def _head(axes: Any, positions: np.ndarray, largest: Sequence[np.ndarray], unit: str) -> None:
    """Draw the peak at each sensor as the area of a disc, seen from above, nose up."""
    unit_vectors = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    away = np.arccos(np.clip(unit_vectors[:, 2], -1.0, 1.0))
    flat = (
        unit_vectors[:, :2] / np.maximum(np.linalg.norm(unit_vectors[:, :2], axis=1), 1e-9)[:, None]
    )
    x, y = (away[:, None] * flat).T
    most = max(float(largest[0].max()), 1e-30)
    for size, color, name in zip(largest, (_BEFORE, _AFTER), ("before", "after"), strict=True):
        axes.scatter(x, y, s=4 + 220 * size / most, color=color, alpha=0.5, lw=0, label=name)
    axes.set(title=f"peaks, up to {most:.3g} {unit}", aspect="equal", xticks=[], yticks=[])
    axes.margins(0.2)
    axes.axis("off")


def _bars(
    axes: Any, names: Sequence[str], largest: Sequence[np.ndarray], unit: str
) -> None:  # fmt: skip
    at = np.arange(len(names))
    for k, (size, color) in enumerate(zip(largest, (_BEFORE, _AFTER), strict=True)):
        axes.bar(at + 0.4 * k - 0.2, size, 0.4, color=color)
    axes.set(title="peaks", ylabel=unit)
    _name_channels(axes, names)


def _name_channels(axes: Any, names: Sequence[str]) -> None:
    every = max(1, len(names) // 32)
    axes.set_xticks(
        range(0, len(names), every),
        [plain(name, 24) for name in names[::every]],
        rotation=90,
        fontsize=6,
    )


def _correlations(canvas: Any, stretch: Stretch, names: Sequence[str]) -> None:
    """Draw the correlation with each reference before and after, at lags up to half a second."""
    picks, _, _ = _picks(stretch.info)
    reach = round(0.5 * stretch.info.sfreq)
    lags = np.arange(-reach, reach + 1, max(1, reach // 50))
    for axes, name in zip(canvas.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        reference = stretch.before[:, stretch.info.ch_names.index(name)]
        for data, color, label in _both(stretch):
            x = data[reach:-reach, picks]
            x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-30)
            largest = []
            for lag in lags:
                r = reference[reach - lag : len(reference) - reach - lag]
                r = (r - r.mean()) / max(float(r.std()), 1e-30)
                largest.append(np.abs(r @ x / len(r)).max())
            axes.plot(1e3 * lags / stretch.info.sfreq, largest, color=color, label=label, lw=1)
        axes.set(title=plain(name, 24), xlabel="lag of the data (ms)", ylim=(0, None))
        axes.legend(frameon=False)


def _explained(canvas: Any, channels: dict[str, dict[str, Any]]) -> None:
    axes = canvas.subplots()
    axes.bar(range(len(channels)), [c["explained"] for c in channels.values()], color=_AFTER)
    axes.set(ylim=(0, 1))
    _name_channels(axes, list(channels))


def _timeline(canvas: Any, stretch: Stretch) -> None:
    """Draw the share of samples in each second that bear each reason."""
    n = round(stretch.info.sfreq)
    flags = stretch.flags[: len(stretch.flags) // n * n].reshape(-1, n)
    reasons = [reason for reason in Reason if np.any(flags & reason)]
    axes = canvas.subplots()
    shares = np.array([np.mean(flags & reason != 0, axis=1) for reason in reasons])
    if len(shares):
        axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [str(reason.name).lower().replace("_", " ") for reason in reasons]
    axes.set(xlabel="s", yticks=range(len(names)), yticklabels=names)
