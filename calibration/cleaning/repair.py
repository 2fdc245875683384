"""Fit `rt_decoder.cleaning.repair`: which channels predict which, and what is usual.

Works on what the stage will see: the output of the causal filters. Each channel type is a group of
its own (`calibration.cleaning.channel_group`). Second moments are not centred, because the stage
has no offset either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.cleaning.channel_group import LEAST, ChannelGroup
from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, share_text
from calibration.electrodes import placed
from rt_decoder.counted import counted
from rt_decoder.signal import DATA_TYPES

__all__ = ["fit", "fit_repair", "line", "no_repair", "summary"]

_NEIGHBORS = 8  # 12 lower the error by a tenth and double the cost [measured, 64 channels]
_ROWS = 100_000  # samples are enough


def no_repair(ch_types: tuple[str, ...]) -> str:
    """Return why none of these channels can be repaired, or an empty string.

    >>> no_repair(("eeg", "eeg", "eog"))
    'need at least 4 channels of a type to predict one another, got 2 eeg'
    """
    counts = {name: ch_types.count(name) for name in DATA_TYPES if name in ch_types}
    if any(count >= LEAST for count in counts.values()):
        return ""
    found = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
    return f"need at least {LEAST} channels of a type to predict one another, got {found}"


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on filtered samples."""
    return fit_repair(seen.samples.data, seen.model.info, seen.samples.bad)


def fit_repair(data: np.ndarray, info: Any, bad: np.ndarray | None = None) -> StageFit | LeftOut:
    """Fit the repair of bad channels.

    Parameters
    ----------
    data : array of shape (n, c), float64
        Filtered by the live filters, in SI units.
    info : SignalInfo
    bad : array of shape (n,), bool, or None
        Samples to leave out.

    Returns
    -------
    StageFit or LeftOut
        Left out if no type has four channels (see `no_repair`), fewer than four of a type are
        good, or fewer than 10 s are good. The report::

            bad        names of channels that are bad already, and the reason of each
            left       channel types that are not repaired, and the reason of each
            channels   of each channel on the last third: share of its variance that is
                       explained, error (RMS of the residual, SI) and method of its prediction

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    n, c = data.shape
    good = np.ones(n, bool) if bad is None else ~np.asarray(bad, bool)
    if c != info.n_channels or good.shape != (n,):
        raise ValueError(
            f"need data of shape (n, {info.n_channels}) and bad of shape (n,), "
            f"got {data.shape} and {good.shape}"
        )
    if good.sum() < 10.0 * info.sfreq:
        return LeftOut(
            f"need 10 s of good samples to learn what is usual, got {good.sum() / info.sfreq:.1f}"
        )
    if reason := no_repair(info.ch_types):
        return LeftOut(reason)
    # Every step-th sample is enough: a prediction uses one sample, so aliasing does it no harm.
    step = max(1, int(info.sfreq // 200), -(-n // _ROWS))
    whole, places = _Whole(c, _NEIGHBORS), placed(info)
    for name in DATA_TYPES:
        columns = np.flatnonzero([kind == name for kind in info.ch_types])
        if len(columns) >= LEAST:
            x = np.ascontiguousarray(data[::step, columns], np.float64)
            positions = None if places is None else places[columns]
            group = ChannelGroup(x, good[::step], positions, info.sfreq / step)
            if reason := group.fit(min(_NEIGHBORS, len(columns) - 1), bridges=name == "eeg"):
                return LeftOut(reason)
            whole.put(columns, group, info.ch_names)
        elif len(columns):
            whole.report["left"][name] = f"fewer than {LEAST} channels"
    return StageFit(whole.arguments, whole.report)


class _Whole:
    """The fit of all `c` channels, group after group."""

    def __init__(self, c: int, k: int) -> None:
        self.arguments = {
            "neighbors": np.full((c, k), -1, np.int64),
            "weights": np.zeros((3, c, k)),
            "limits": np.zeros((5, c)),
            "bad": np.zeros(c, bool),
        }
        self.report: dict[str, Any] = {"bad": {}, "left": {}, "channels": {}}

    def put(self, columns: np.ndarray, group: ChannelGroup, names: tuple[str, ...]) -> None:
        """Put in the fit of a group, whose channels stand in `columns`."""
        k = group.neighbors.shape[1]
        self.arguments["neighbors"][columns, :k] = columns[group.neighbors]
        self.arguments["weights"][:, columns, :k] = group.all_weights()
        self.arguments["limits"][:, columns] = group.limits()
        self.arguments["bad"][columns] = group.bad
        for i, column in enumerate(columns):
            name = names[column]
            if group.bad[i]:
                self.report["bad"][name] = group.reasons[i]
            self.report["channels"][name] = {
                "explained": round(float(group.held_out["explained"][i]), 4),
                "error": float(f"{group.held_out['error'][i]:.4g}"),
                "method": group.method[i],
            }


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found, replaced and kept."""
    explained = sorted(channel["explained"] for channel in report["channels"].values())
    bad = ", ".join(f"{name} ({why})" for name, why in report["bad"].items())
    middle = share_text(explained[len(explained) // 2], 0) if explained else "n/a"
    return Summary(
        f"{counted(len(explained), 'channel')}; bad: {bad or 'none'}",
        f"{middle} of a channel's variance predicted (median)",
        "trusted channels, unchanged",
    )


def line(report: dict[str, Any]) -> str:
    """Format the report as one line for the terminal."""
    explained = sorted(channel["explained"] for channel in report["channels"].values())
    bad = ", ".join(f"{name} ({why})" for name, why in report["bad"].items())
    middle = f"{explained[len(explained) // 2]:.3f}" if explained else "  n/a"
    return f"{counted(len(explained), 'channel')}, median variance predicted {middle}" + (
        f"; bad in calibration: {bad}" if bad else ""
    )
