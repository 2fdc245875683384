"""Refuse events that are there twice: each would count as evidence that was never recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rt_decoder.signal import Marker
from rt_decoder.timing.items import CUE, fold_key, shorten
from rt_decoder.timing.markers import MarkerRules

__all__ = ["check_single", "check_stimuli"]

CLOSEST = 0.01  # s: no word is heard again so soon, but two streams may write one event


def check_stimuli(markers: Sequence[Marker], rules: MarkerRules, name: str, source: str) -> None:
    """Refuse stimuli that are there twice; what is none, and cues, may be.

    Parameters
    ----------
    markers : sequence of Marker
        In any order.
    rules : MarkerRules
        Tell what is a stimulus, and which item it is.
    name : str
        Of the recording.
    source : str
        Of the markers, for the sentence.

    Raises
    ------
    ValueError
        As `check_single`.
    """
    item = rules.item_rule().item
    check_single([one for one in markers if item(one.label) is not None], item, name, source)


def check_single(
    markers: Sequence[Marker], item: Callable[[str], str | None], name: str, source: str
) -> None:
    """Refuse markers of one item at one time, and of two items at one sample; cues do not count.

    Parameters
    ----------
    markers : sequence of Marker
        Stimuli, in any order.
    item : callable
        Returns the item of a label.
    name : str
        Of the recording.
    source : str
        Of the markers, for the sentence.

    Raises
    ------
    ValueError
        With the first of them, their number, and the fix.
    """
    ordered = sorted((m for m in markers if not m.label.startswith(CUE)), key=lambda m: m.time)
    again, other = [], []
    last: dict[str, float] = {}
    for k, marker in enumerate(ordered):
        what = fold_key(item(marker.label) or marker.label)
        before = ordered[k - 1] if k else None
        if marker.time - last.get(what, -float("inf")) < CLOSEST:
            again.append(marker)
        elif before is not None and before.index == marker.index and before.time == marker.time:
            other.append((before, marker))
        last[what] = marker.time
    if again:
        first = again[0]
        raise ValueError(
            f"{name}: need each event once, got {len(again)} of {len(ordered)} again at the same "
            f"time, the first {shorten(first.label)!r} at sample {first.index}, from {source}; "
            "take them out of the table or the recording, or choose one stream with --markers NAME"
        )
    if other:
        (one, two), n = other[0], len(other)
        raise ValueError(
            f"{name}: need one item at a time, got {n} events at the sample of another item, the "
            f"first {shorten(one.label)!r} and {shorten(two.label)!r} at sample {two.index}, from "
            f"{source}; leave out what is no stimulus with --exclude PATTERN"
        )
