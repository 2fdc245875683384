"""A live session in words: what it waits for, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rt_decoder.files.monitor_text import fit_lines
from rt_decoder.live.run_options import RunOptions
from rt_decoder.signal import SignalInfo

__all__ = ["ended_lines", "score_text", "search_text", "waiting_text"]

_SCORES = {
    "top_1": "best item right",
    "top_10": "among the ten best",
    "rank": "rank accuracy",
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
        f"waiting for the first sample of {name!r} ({info.n_channels} channels, "
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
        return f"score: {score['n_outside']} truths told, none of them among several candidates"
    parts = [f"score of {score['n']} events whose item was told: {score['verdict']}"]
    for name, words in _SCORES.items():
        if (one := score.get(name)) is not None:
            told = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
            parts.append(f"{words} {one['value']:.3f}{told} (chance {one['chance']:.3f})")
    return "; ".join(parts)


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
        f"ended: {footer['n_samples']} samples ({seconds:.1f} s), {footer['n_readouts']} readouts "
        f"({counts.get('abstained', 0)} abstained, {footer['n_late']} late), "
        f"{counts.get('markers', 0)} markers"
    ]
    if (n_labels := footer.get("n_labels")) is not None:
        lines.append(f"learned from {n_labels} labels, each after its own readout")
    if (score := footer.get("score")) is not None:
        lines.append(score_text(score))
    lines += fit_lines(footer)
    latency = {name: value for name, value in footer["latency_ms"].items() if value is not None}
    if latency:
        figures = "  ".join(f"{name} {value:.2f}" for name, value in latency.items())
        lines.append(f"newest sample to readout, ms: {figures}")
    lost = {
        "samples lost": counts.get("lost_samples", 0),
        "samples skipped": counts.get("skipped_samples", 0),
        "markers lost": counts.get("markers_lost", 0),
        "markers without a whole window": counts.get("markers_waiting", 0),
        "entries dropped by a slow disk": footer["n_dropped"],
        "losses of the stream": counts.get("lost", 0),
    }
    said = ", ".join(f"{n} {what}" for what, n in lost.items() if n)
    lines.append(f"lost: {said or 'nothing'}")
    if written := [path for path in files if path is not None]:
        lines.append("files: " + ", ".join(str(path) for path in written))
    return lines
