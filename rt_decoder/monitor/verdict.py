"""What the checks say, as a state and in plain words."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from rt_decoder.monitor.montage import Change
from rt_decoder.monitor.sequence import Finding

__all__ = [
    "CHANGES",
    "UNCLEAR",
    "UNLIKE_REASON",
    "WHEN_UNLIKE",
    "Fit",
    "about_channels",
    "about_ranks",
    "about_response",
]

UNLIKE_REASON = "unlike_calibration"  # of readouts that abstain
UNCLEAR = "unlike"  # what an event says while it is not clear how the signal differs
WHEN_UNLIKE = ("abstain", "warn", "stop")
CHANGES = (  # events that every consumer hears of
    "unlike_calibration",
    "fits_calibration",
    "channels_differ",
    "channels_fit",
    "ranks_differ",
    "above_chance",
)


class Fit(StrEnum):
    """Whether the signal is that of calibration, as far as it is checked."""

    UNCHECKED = "unchecked"
    FITS = "fits"
    DOUBTFUL = "doubtful"
    UNLIKE = "unlike"


def about_response(finding: Finding) -> dict[str, Any]:
    """Explain what is wrong with the response to events, and what to look at."""
    if finding.what == "shifted":
        ms = round(1e3 * finding.lag)
        when = f"{abs(ms)} ms {'later' if ms > 0 else 'earlier'}"
        return {
            "what": "shifted",
            "lag_ms": ms,
            "explanation": f"responses come {when} than in calibration",
            "fix": "did a marker or amplifier delay change? (--marker-offset)",
        }
    if finding.what == "mirrored":
        return {
            "what": "order",
            "explanation": "left and right look exchanged",
            "fix": "look at plugs, cap and channel names (--channels TSV)",
        }
    if finding.what == "inverted":
        return {
            "what": "inverted",
            "explanation": "polarity is inverted",
            "fix": "do amplifier and reference have the polarity of calibration?",
        }
    if finding.what == "absent":
        return {
            "what": "absent",
            "explanation": "the response to events is missing or another",
            "fix": "is it another person, cap or stimuli? Put it right, or calibrate again",
        }
    return {
        "what": UNCLEAR,
        "explanation": "the response to events is not as in calibration; how is not clear yet",
        "fix": "wait for more events, or look at person, cap, markers and stimuli",
    }


def about_ranks() -> dict[str, Any]:
    """Explain that the truth is ranked worse than in the certificate."""
    return {
        "what": "ranks",
        "explanation": "items that markers name are ranked less than half as well as in calibration",
        "fix": "is it another person, cap, timing or stimuli, or do markers not tell the truth?",
    }


def about_channels(change: Change, names: tuple[str, ...]) -> dict[str, Any]:
    """Explain what differs among channels of these names, and what to look at."""
    if not change.what:
        return {}
    told = [names[place] for place in change.channels]
    explanation, fix = {
        "order": (
            f"{change.name} look exchanged"
            if " and " in change.name
            else f"the channels look exchanged: {change.name}",
            "look at plugs, cap and channel names (--channels TSV)",
        ),
        "exchange": (
            f"channels {' and '.join(told)} look swapped",
            "look at their plugs and names; their repair by neighbours hides it from readouts",
        ),
        "inversion": (
            f"channel {told[0] if told else ''} looks inverted",
            "look at its plug; its repair by neighbours hides it from readouts",
        ),
        "bridge": (f"channels {' and '.join(told)} look bridged", "is there gel between them?"),
        "gain": (
            f"the signal is {change.factor:g} times as large as in calibration",
            "did gain or unit change, or the contact of the reference?",
        ),
    }[change.what]
    found = {"what": change.what, "explanation": explanation, "fix": fix}
    return found | ({"channels": told} if told else {})
