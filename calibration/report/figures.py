"""Draw what cleaning did to a stretch of recording, figures for each kind of artifact.

This module knows nothing of the page around the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.cleaning.eye_events import find_eye_events
from calibration.cleaning.heartbeat_source import find_source
from calibration.report.drawing import AFTER, BEFORE, GREY, IN_A_ROW, LEVELS, drawn, name_channels
from calibration.report.head_maps import NONE_DRAWN, draw_maps, heads_of
from calibration.report.stretch import Stretch
from calibration.report.tables import KINDS, unit_of
from rt_decoder.counted import counted
from rt_decoder.signal import DATA_TYPES, Reason, SignalInfo
from rt_decoder.sinks.text import plain

__all__ = ["Figure", "figures"]

LEAST_EVENTS = 5  # in an average


class Figure(NamedTuple):
    """A picture of what one stage does, or all of them."""

    stage: str  # name of the stage; empty for all
    title: str
    svg: str


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
    made = [_made("", "Power spectrum, median over channels.", _spectrum, stretch)]
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
            made += _around(stretch, stage, what, rows, span)
    references = cleaning.get("regressors", {}).get("references", {})
    kept = [name for name, found in references.items() if found["kept"]]
    if kept:
        title = "Correlation with the references, largest over channels, over the lag."
        made.append(_made("regressors", title, _correlations, stretch, kept))
    channels = cleaning.get("repair", {}).get("channels", {})
    if channels:
        title = "Share of each channel's variance that its neighbours cannot predict."
        alone = [np.array([1 - found["explained"] for found in channels.values()])]
        made.append(_by_channel("repair", title, list(channels), alone, ("",), "share"))
    if np.any(stretch.flags):
        title = "Share of the samples of each second that are flagged or corrected, by reason."
        made.append(_made("muscle", title, _timeline, stretch))
    return made


def _made(
    stage: str, title: str, draw: Callable[..., None], *arguments: Any, height: float = 2.4
) -> Figure:
    return Figure(stage, title, drawn(draw, *arguments, size=(7.4, height)))


def _picks(info: SignalInfo) -> tuple[np.ndarray, str, float]:
    """Find data channels of the most common type, the unit to show and the factor to it."""
    common = Counter(kind for kind in info.ch_types if kind in DATA_TYPES).most_common(1)[0][0]
    picks = np.flatnonzero([kind == common for kind in info.ch_types])
    return (picks, *unit_of(info.units[picks[0]]))


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
    axes.yaxis.set_major_formatter("{x:g}")  # the usual one writes formulas
    axes.yaxis.set_minor_formatter("")
    axes.set(xlabel="frequency, Hz", ylabel=f"{unit}²/Hz")
    axes.legend(frameon=False)


def _both(stretch: Stretch) -> tuple[tuple[np.ndarray, str, str], ...]:
    return (stretch.before, BEFORE, "before"), (stretch.after, AFTER, "after")


def _around(
    stretch: Stretch, stage: str, what: str, rows: np.ndarray, span: tuple[float, float]
) -> Iterator[Figure]:
    """Draw means around rows before and after, and the head at the time at which they are largest."""
    picks, unit, gain = _picks(stretch.info)
    first, stop = (round(t * stretch.info.sfreq) for t in span)
    rows = rows[(rows + first >= 0) & (rows + stop <= len(stretch.before))]
    if not len(rows):
        return
    at = rows[:, None] + np.arange(first, stop)
    means = [data[at].mean(axis=0) for data, _, _ in _both(stretch)]
    means = [mean - mean.mean(axis=0) for mean in means]
    t = np.arange(first, stop) / stretch.info.sfreq
    kind = KINDS[stretch.info.ch_types[picks[0]]].partition(" (")[0]
    title = f"Mean around {len(rows)} {what}, a line for each of {counted(len(picks), 'channel')} ({kind})."
    yield _made(stage, title, _locked, t, [gain * mean[:, picks] for mean in means], unit)
    peak = int(np.argmax(np.sum(means[0][:, picks] ** 2, axis=1)))
    said = f"The same on the head, {t[peak]:.2f} s after {what}, where it is largest."
    data = np.flatnonzero([one in DATA_TYPES for one in stretch.info.ch_types])
    heads = heads_of(_only(stretch.info, data), len(data))
    for head in heads:
        here = data[head.picks]
        unit, gain = unit_of(stretch.info.units[here[0]])
        columns = [gain * mean[peak][here] for mean in means]
        svg = drawn(draw_maps, head, columns, ("before", "after"), unit, size=(3.9, 1.8))
        yield Figure(stage, f"{said} {KINDS[head.kind]}; positions of {head.source}.", svg)
    if not heads:
        names = [stretch.info.ch_names[k] for k in picks]
        largest = [gain * np.abs(mean[:, picks]).max(axis=0) for mean in means]
        title = f"Largest value around {what} in each channel. {NONE_DRAWN}"
        yield _by_channel(stage, title, names, largest, ("before", "after"), unit)


def _only(info: SignalInfo, picks: np.ndarray) -> SignalInfo:
    """Keep some channels."""
    names, types, units = (
        tuple(values[k] for k in picks) for values in (info.ch_names, info.ch_types, info.units)
    )
    positions = None if info.positions is None else info.positions[picks]
    return SignalInfo(info.sfreq, names, types, units, positions)


def _locked(canvas: Any, t: np.ndarray, means: Sequence[np.ndarray], unit: str) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    most = 1.05 * max(np.abs(means[0]).max(), np.abs(means[1]).max(), 1e-9)
    for axes, mean, color, name in zip(
        panels, means, (BEFORE, AFTER), ("before", "after"), strict=True
    ):
        axes.plot(t, mean, color=color, lw=0.6, alpha=0.7, rasterized=True)
        axes.axvline(0.0, color=GREY, lw=0.6, zorder=0)
        axes.set(title=name, xlabel="time, s", ylim=(-most, most), xlim=(t[0], t[-1]))
    panels[0].set_ylabel(unit)


def _by_channel(
    stage: str,
    title: str,
    names: Sequence[str],
    values: Sequence[np.ndarray],
    labels: Sequence[str],
    unit: str,
) -> Figure:
    """Draw values of every channel; of more than fit on an axis, those of the largest first values."""
    at = list(range(len(names)))
    if len(at) > IN_A_ROW:
        at = np.sort(np.argsort(-values[0])[:IN_A_ROW]).tolist()
        title += f" The {IN_A_ROW} largest of {counted(len(names), 'channel')}."
    shown = [names[k] for k in at]
    return _made(stage, title, _bars, shown, [value[at] for value in values], labels, unit)


def _bars(
    canvas: Any,
    names: Sequence[str],
    values: Sequence[np.ndarray],
    labels: Sequence[str],
    unit: str,
) -> None:
    axes = canvas.subplots()
    colors = (BEFORE, AFTER) if len(values) > 1 else (AFTER,)
    width = 0.8 / len(values)
    for k, (value, color, label) in enumerate(zip(values, colors, labels, strict=True)):
        at = np.arange(len(names)) + width * (k - (len(values) - 1) / 2)
        axes.bar(at, value, width, color=color, label=label, rasterized=True)
    axes.set(ylabel=unit, xlim=(-1, len(names)))
    if len(values) > 1:
        axes.legend()
    name_channels(axes, names)


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
        axes.set(title=plain(name, 24), xlabel="lag of the data, ms", ylim=(0, None))
        axes.set_ylabel("correlation")
        axes.legend(frameon=False)


def _timeline(canvas: Any, stretch: Stretch) -> None:
    """Draw the share of samples in each second that bear each reason."""
    n = round(stretch.info.sfreq)
    flags = stretch.flags[: len(stretch.flags) // n * n].reshape(-1, n)
    reasons = [reason for reason in Reason if np.any(flags & reason)]
    axes = canvas.subplots()
    shares = np.array([np.mean(flags & reason != 0, axis=1) for reason in reasons])
    if len(shares):
        image = axes.imshow(
            shares, aspect="auto", cmap=LEVELS, vmin=0, vmax=1, interpolation="nearest"
        )
        canvas.colorbar(image, ax=axes, pad=0.01, label="share of samples")
    names = [str(reason.name).lower().replace("_", " ") for reason in reasons]
    axes.set(xlabel="time, s", yticks=range(len(names)), yticklabels=names)
