"""A live session in words: what it waits for, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rt_decoder.counted import counted
from rt_decoder.files.monitor_text import fit_lines
from rt_decoder.live.run_options import RunOptions
from rt_decoder.signal import SignalInfo

__all__ = [
    "ended_lines",
    "labels_text",
    "lost_text",
    "score_text",
    "search_text",
    "stream_line",
    "waiting_text",
]

_MOST_LABELS = 12
_LATE_S = 0.5  # markers that come later than that are told

_SCORES = {
    "rank": "rank accuracy",  # first: a narrow terminal cuts the line
    "top_1": "best item right",
    "top_10": "among the ten best",
    "bits": "bits beyond the prior",
}


def search_text(options: RunOptions) -> str:
    """Say which streams a session looks for, and how long in s."""
    joined = ", ".join(choice.name for choice in options.references)
    wanted = options.selection | {"FieldTrip buffer": options.fieldtrip}
    wanted |= {"references": joined}
    marked = (options.markers, *options.more_markers)
    found = [f"{key} {value!r}" for key, value in wanted.items() if value]
    chosen = ", ".join([*found, *(f"markers {name!r}" for name in marked if name)])
    streams = chosen or "any stream of numbers at a regular rate"
    return f"looking for {streams}, {options.timeout:g} s at most"


def waiting_text(name: str, info: SignalInfo, *markers: str) -> str:
    """Say what a session waits for, once its streams are found.

    Parameters
    ----------
    name : str
        Of the stream.
    info : SignalInfo
        Its channels.
    *markers : str
        Names of the marker streams; empty for none.

    Returns
    -------
    str
    """
    with_markers = "".join(f", markers {one!r}" for one in markers if one)
    return (
        f"waiting for the first sample of {name!r} ({counted(info.n_channels, 'channel')}, "
        f"{info.sfreq:g} Hz{with_markers}); Ctrl-C ends"
    )


def score_text(score: Mapping[str, Any]) -> str:
    """Say how the answers compare with what was shown, beside chance.

    Parameters
    ----------
    score : mapping
        `Score.summary`.

    Returns
    -------
    str
    """
    if not score["n"]:
        return f"score: {counted(score['n_outside'], 'truth')} told, none of them among several candidates"
    parts = [f"score of {counted(score['n'], 'event')} whose item was told: {score['verdict']}"]
    for name, words in _SCORES.items():
        if (one := score.get(name)) is not None:
            told = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
            parts.append(f"{words} {one['value']:.3f}{told} (chance {one['chance']:.3f})")
    return "; ".join(parts)


def lost_text(counts: Mapping[str, int], n_dropped: int) -> str:
    """Say what a session lost.

    Parameters
    ----------
    counts : mapping of str to int
        Of its events.
    n_dropped : int
        Entries of its files that a slow disk dropped.

    Returns
    -------
    str
    """
    lost = [
        (counts.get("lost_samples", 0), "sample", " lost"),
        (counts.get("skipped_samples", 0), "sample", " skipped"),
        (counts.get("markers_lost", 0), "marker", " lost"),
        (counts.get("markers_waiting", 0), "marker", " without a whole window"),
        (n_dropped, "entry", " dropped by a slow disk"),
        (counts.get("lost", 0), "loss", " of the stream"),
    ]
    plurals = {"entry": "entries", "loss": "losses"}
    said = [counted(n, noun, plurals.get(noun, "")) + rest for n, noun, rest in lost if n]
    return f"lost: {', '.join(said) or 'nothing'}"


def stream_line(stream: Mapping[str, Any]) -> str:
    """Say what one of several marker streams has sent."""
    if not stream["n"]:
        said = "none came"
    else:
        said = f"{stream['n']}: {labels_text(stream['labels'])}"
        if stream["latest_s"] > _LATE_S:
            said += f"; the latest came {stream['latest_s']:.1f} s after its time"
    losses = counted(stream["n_losses"], "time") if stream["n_losses"] else ""
    return f"markers of {stream['name']}: {said}{f'; lost {losses}' if losses else ''}"


def labels_text(labels: Mapping[str, int]) -> str:
    """List labels with their counts, the first of many."""
    named = [f"{label} ({n})" for label, n in list(labels.items())[:_MOST_LABELS]]
    more = f", ... ({counted(len(labels), 'label')})" if len(labels) > _MOST_LABELS else ""
    return ", ".join(named) + more


def ended_lines(footer: Mapping[str, Any], seconds: float, *files: Path | None) -> list[str]:
    """Say how a session went.

    Parameters
    ----------
    footer : mapping
        Last line of its log.
    seconds : float
        Signal time that was decoded, in s.
    *files : Path or None
        What it wrote.

    Returns
    -------
    list of str
    """
    counts = footer["counts"]
    lines = [
        f"ended: {counted(footer['n_samples'], 'sample')} ({seconds:.1f} s), "
        f"{counted(footer['n_readouts'], 'readout')} "
        f"({counts.get('abstained', 0)} abstained, {footer['n_late']} late), "
        f"{counted(counts.get('markers', 0), 'marker')}"
    ]
    others = footer.get("marker_streams", [])[1:]
    lines += [f"{stream_line(one)}; not decoded by" for one in others]
    if (n_labels := footer.get("n_labels")) is not None:
        lines.append(f"learned from {counted(n_labels, 'label')}, each after its own readout")
    if (score := footer.get("score")) is not None:
        lines.append(score_text(score))
    lines += fit_lines(footer)
    latency = {name: value for name, value in footer["latency_ms"].items() if value is not None}
    if latency:
        figures = "  ".join(f"{name} {value:.2f}" for name, value in latency.items())
        lines.append(f"newest sample to readout, ms: {figures}")
    lines.append(lost_text(counts, footer["n_dropped"]))
    if written := [path for path in files if path is not None]:
        lines.append("files: " + ", ".join(str(path) for path in written))
    return lines
