"""The goals of cleaning, in a table with our figure, the best rival's, and whether we pass.

Correlations and the relative error are judged in samples that the chain does not flag.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["GOALS", "Goal", "goals_table"]

OURS = "this chain"


class Goal(NamedTuple):
    """One row: a figure, its goal, and the range in which it passes."""

    figure: str  # key in `methods` or in `chain`
    text: str
    goal: float
    low: float | None = None  # smallest value that passes
    high: float | None = None  # largest value that passes


GOALS = {
    "blink_db": Goal("blink_db", ">= 20", 20.0, low=20.0),
    "heart_db": Goal("heart_db", ">= 11", 11.0, low=11.0),
    "breath_db": Goal("breath_db", ">= 15", 15.0, low=15.0),
    "pop_db": Goal("pop_db", ">= 25", 25.0, low=25.0),
    "cc": Goal("cc_good", ">= .95", 0.95, low=0.95),
    "rrmse": Goal("rrmse_good", "<= .31", 0.31, high=0.31),
    "distortion": Goal("distortion", "<= .02", 0.02, high=0.02),
    "erp_gain": Goal("erp_gain", ".95-1.05", 1.0, low=0.95, high=1.05),
    "eog_correlation": Goal("eog_correlation_good", "< .1", 0.1, high=0.1),
    "qrs_sensitivity": Goal("qrs_sensitivity", ">= 99.8 %", 99.8, low=99.8),
    "qrs_ppv": Goal("qrs_ppv", ">= 99.8 %", 99.8, low=99.8),
    "qrs_delay_ms": Goal("qrs_delay_ms", "<= 40", 40.0, high=40.0),
    "dropout_weights": Goal("dropout_weights", "<= .01", 0.01, high=0.01),
    "dropout_error": Goal("dropout_error", "<= 1.1", 1.1, high=1.1),
    "gap_offset_uv": Goal("gap_offset_uv", "<= 5", 5.0, high=5.0),
    "cuts_differ": Goal("cuts_differ", "0", 0.0, high=0.0),
    "added_delay_ms": Goal("added_delay_ms", "0", 0.0, high=0.0),
}


def goals_table(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `{name: {reached, goal, rival, rival_name, pass}}` from mean figures.

    The rival is the one closest to passing; the uncleaned input ("none") is one of them.
    """
    table = {}
    for name, goal in GOALS.items():
        if goal.figure in result["methods"][OURS]:
            reached = result["methods"][OURS][goal.figure]
            rivals = {
                method: figures[goal.figure]
                for method, figures in result["methods"].items()
                if method != OURS and figures[goal.figure] is not None
            }
        else:
            reached = result["chain"][goal.figure]
            rivals = {
                key.split(":")[1]: value
                for key, value in result["chain"].items()
                if key.startswith(f"{goal.figure}:")
            }
        best = min(rivals, key=lambda method: _miss(goal, rivals[method]), default=None)
        table[name] = {
            "reached": reached,
            "goal": goal.goal,
            "rival": rivals.get(best),
            "rival_name": best,
            "pass": reached is not None and passes(goal, reached),
        }
    return table


def passes(goal: Goal, value: float) -> bool:
    """Whether a figure passes."""
    return (goal.low is None or value >= goal.low) and (goal.high is None or value <= goal.high)


def _miss(goal: Goal, value: float) -> float:
    """Distance by which the goal is missed; negative if it is exceeded."""
    if goal.low is not None and goal.high is not None:
        return abs(value - goal.goal)
    return goal.goal - value if goal.low is not None else value - goal.goal
