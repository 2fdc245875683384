"""Say in a line each what limits an encoding: ceiling, learning curve, layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.learning import FURTHEST
from rt_decoder.counted import counted

__all__ = ["ceiling_line", "layer_line", "learning_line", "limit_lines", "order_line"]


def limit_lines(facts: dict[str, Any]) -> list[str]:
    """Format what limits an encoding, of what was computed.

    Parameters
    ----------
    facts : dict
        With those of `calibration.limits.limit_facts`.

    Returns
    -------
    list of str
    """
    told = {
        "ceiling": ceiling_line,
        "learning": learning_line,
        "layers": layer_line,
        "layer_maps": order_line,
    }
    return [line(facts[name]) for name, line in told.items() if name in facts]


def ceiling_line(facts: dict[str, Any]) -> str:
    """Say what could be reached.

    Parameters
    ----------
    facts : dict
        As from `ceiling_facts`.

    Returns
    -------
    str

    Examples
    --------
    >>> ceiling_line({"rank": None, "why": "none: a single pass", "r": None})
    '  ceiling     none: a single pass'
    """
    rank, r = facts["rank"], facts["r"]
    told = facts["why"]
    if rank is not None:
        told = (
            f"any map's rank accuracy is at most {rank['rank_accuracy']:.3f} ({rank['low']:.3f} to "
            f"{rank['high']:.3f}), and {rank['reached']:.3f} was reached, from {counted(rank['n_items'], 'item')} "
            f"that came {rank['n_repeats']:.1f} times in each half of the recording"
        )
    if r is not None:
        place = np.unravel_index(np.argmax(r["value"]), np.shape(r["value"]))
        value, low, high = (np.array(r[name])[place] for name in ("value", "low", "high"))
        told += (
            f"; r of any prediction from the items is at most {value:.3f} ({low:.3f} to {high:.3f}), at "
            "the channel and time where this is largest"
        )
    return f"  ceiling     {told}"


def learning_line(facts: dict[str, Any] | None) -> str:
    """Say how accuracy grows.

    Parameters
    ----------
    facts : dict or None
        As from `learning_facts`.

    Returns
    -------
    str
    """
    if facts is None:
        return "  learning    unknown: too few events"
    first, last = facts["rank_accuracy"][0], facts["rank_accuracy"][-1]
    told = []
    for accuracy, (value, low, high) in facts["minutes"].items():
        if low is None and value is None:
            told.append(f"for {accuracy}: more than {FURTHEST:.0f} times those recorded")
            continue
        ends = ["never" if end is None else _minutes(end) for end in (value, low, high)]
        told.append(f"for {accuracy}: {ends[0]} ({ends[1]} to {ends[2]})")
    return (
        f"  learning    rank accuracy {first[0]:.3f} ({first[1]:.3f} to {first[2]:.3f}) after "
        f"{facts['n_events'][0]:.0f} events, {last[0]:.3f} ({last[1]:.3f} to {last[2]:.3f}) after "
        f"{facts['n_events'][-1]:.0f}; minutes of recording that it takes: {', '.join(told)}"
    )


def _minutes(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1f}"


def layer_line(facts: dict[str, Any]) -> str:
    """Say which layer is decoded best, if any.

    Parameters
    ----------
    facts : dict
        As from `layer_facts`.

    Returns
    -------
    str
    """
    rows, nested = facts["layers"], facts["nested"]
    value, low, high = nested["rank_accuracy"]
    end = f"chosen in inner folds {value:.3f} ({low:.3f} to {high:.3f}), p {nested['p']:.2g}"
    if facts["no_difference"]:
        values = [row["rank_accuracy"][0] for row in rows]
        return (
            f"  layers      no difference among {len(rows)} (p {facts['p_no_difference']:.2g}): "
            f"rank accuracy {min(values):.3f} to {max(values):.3f}; {end}"
        )
    best = max(rows, key=lambda row: row["rank_accuracy"][0])
    value, low, high = best["rank_accuracy"]
    same = [row["name"] for row in rows if row["as_good_as_best"] and row is not best]
    told = f", not told apart from {', '.join(same)}" if same else ""
    return (
        f"  layers      {best['name']} best of {len(rows)}: rank accuracy {value:.3f} "
        f"({low:.3f} to {high:.3f}){told}; {end}"
    )


def order_line(facts: dict[str, Any]) -> str:
    """Say whether early layers match early signals.

    Parameters
    ----------
    facts : dict
        As from `map_facts`.

    Returns
    -------
    str
    """
    told = []
    for name, what in (("latency", "time after the onset"), ("front", "place, back to front")):
        found = facts[name]
        if found is not None:
            told.append(
                f"best layer with {what} {found['correlation']:+.2f} ({found['low']:+.2f} to "
                f"{found['high']:+.2f}), p {found['p']:.2g} (smallest {found['p_smallest']:.2g})"
            )
    if not told:
        return "  order       unknown: no layer predicts enough channels and times"
    same = (
        f"; layers differ in no mean r (p {facts['p_no_difference']:.2g})"
        if facts["no_difference"]
        else ""
    )
    return f"  order       {'; '.join(told)}{same}"
