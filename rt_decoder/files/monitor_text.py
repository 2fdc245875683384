"""Say what a model's monitor can notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rt_decoder.counted import counted
from rt_decoder.model import Model

__all__ = ["fit_lines", "monitor_lines", "told_lines"]


def monitor_lines(model: Model) -> list[str]:
    """Describe what a session with this model notices, and what not.

    Parameters
    ----------
    model : Model

    Returns
    -------
    list of str
    """
    told = model.certificate.get("monitor")
    if not isinstance(told, dict):
        return ["is it you   not checked: the model was fitted without a monitor; fit it again"]
    try:
        return [
            f"is it you   {_events_text(told['events'])}",
            f"truth told  {_ranks_text(told['ranks'])}",
            f"montage     {_channels_text(told['channels'])}",
        ]
    except (LookupError, TypeError, ValueError, AttributeError):
        return ["is it you   cannot be read: the certificate holds no table of it"]


def _events_text(events: dict[str, Any]) -> str:
    of = " of envelopes" if events.get("of") == "envelopes" else ""
    if events["weak"]:
        return (
            f"response{of} to events too weak (d = {events['d']:.2f} in {counted(events['n'], 'event')}): timing, "
            "polarity and person are not checked"
        )
    notices = events["notices"]
    shift = f"late or early by {1e3 * events.get('least_shift', 0.06):.0f} ms or more"
    names = {"absent": "missing or another's", "inverted": "inverted", "shifted": shift}
    names["left and right"] = "left and right exchanged"
    told = ", ".join(
        f"{text} after {notices[key]}" for key, text in names.items() if key in notices
    )
    text = f"response{of} to events checked (d = {events['d']:.2f}): noticed, in events, {told}"
    if locked := events.get("locked"):
        tried = ", ".join(
            f"{fault} at event {locked[fault]}" if locked[fault] else f"{fault} never"
            for fault in ("inverted", "shifted", "absent")
            if fault in notices
        )
        alarm = locked["as_it_is"]
        own = f"false alarm at event {alarm}" if alarm else "no false alarm"
        text += f" (tried on {counted(locked['n'], 'locked event')}: {own}; {tried})"
    return text


def _ranks_text(ranks: dict[str, Any]) -> str:
    if ranks["weak"]:
        return "ranks of items that markers name are not checked: the effect is too small"
    return (
        f"where markers name the item, its rank tells after about {counted(ranks['alarm'], 'event')} that the "
        f"effect is gone, after {ranks['sure']} that it is above chance"
    )


def _channels_text(channels: dict[str, Any]) -> str:
    if "never" in channels:
        return f"not checked: {channels['never']} ({counted(channels['n_channels'], 'channel')})"
    text = "order, swaps, inversions, bridges and gain of channels checked, within 20 s"
    if not (tried := channels.get("tried")):
        return text
    orders = tried["orders"]
    named = ", ".join(name for name, seen in orders.items() if seen) or "none"
    missed = ", ".join(name for name, seen in orders.items() if not seen)
    return (
        f"{text} (tried on held-out seconds: named {named}"
        f"{f'; not seen {missed}' if missed else ''}; {100 * tried['exchange']:.0f} % of swaps, "
        f"{100 * tried['inversion']:.0f} % of inversions, {100 * tried['bridge']:.0f} % of bridges)"
    )


def fit_lines(footer: Mapping[str, Any]) -> list[str]:
    """Say whether the signal of a session was that of calibration.

    Parameters
    ----------
    footer : mapping
        Last line of its log.

    Returns
    -------
    list of str
    """
    fit = footer.get("fit")
    if fit is None:
        return ["like calibration: not checked, the model cannot tell"]
    told = f"{counted(fit['n_events'], 'event')} judged"
    if "level" in fit:
        told += f", response {fit['level']:.2f} of calibration's"
    n_times = footer["counts"].get("unlike_calibration", 0)
    found = f"; differences were told {counted(n_times, 'time')}, see the log" if n_times else ""
    return [f"like calibration: {fit['state']} ({told}){found}"]


def told_lines(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say what differs from calibration and what to look at, each once, in order.

    Parameters
    ----------
    events : iterable of mapping
        Details of events; those that explain nothing are left out.

    Returns
    -------
    list of str
    """
    told = [f"{one['explanation']}: {one['fix']}" for one in events if "explanation" in one]
    return list(dict.fromkeys(told))
