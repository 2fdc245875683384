"""Fit `rt_decoder.cleaning.repair`: who predicts whom, and what is usual.

Works on what the stage will see: the output of the causal filters. Second moments are not centred,
for the stage has no offset either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.cleaning.neighbors import pick_neighbors, solve_ridge, spline_weights
from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary
from rt_decoder.signal import DATA_TYPES

__all__ = ["fit", "fit_repair", "line", "no_repair", "summary"]

_LEAST = 4  # channels of a type that can predict one another
_NEIGHBORS = 8  # 12 would lower the error by a tenth and double the cost [measured, 64 channels]
_ALPHAS = (1e-3, 1e-2, 1e-1)  # of the variance of a channel
_ROWS = 100_000  # samples that are enough
_TOLERANCE = 0.5  # as in the stage
_NOISE_S, _POWER_S = 1.0, 0.3  # as in the stage


def no_repair(ch_types: tuple[str, ...]) -> str:
    """Why none of these channels can be repaired; empty if some can.

    >>> no_repair(("eeg", "eeg", "eog"))
    'need at least 4 channels of a type to predict one another, got 2 eeg'
    """
    counts = {name: ch_types.count(name) for name in DATA_TYPES if name in ch_types}
    if any(count >= _LEAST for count in counts.values()):
        return ""
    found = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
    return f"need at least {_LEAST} channels of a type to predict one another, got {found}"


def fit(seen: Seen) -> StageFit | LeftOut:
    """Fit the stage on filtered samples."""
    return fit_repair(seen.samples.data, seen.model.info, seen.samples.bad)


def fit_repair(data: np.ndarray, info: Any, bad: np.ndarray | None = None) -> StageFit | LeftOut:
    """Fit the repair of bad channels.

    Parameters
    ----------
    data : array of shape (n, c)
        Filtered by the live filters, SI.
    info : SignalInfo
    bad : array of shape (n,), bool, or None
        Samples not to learn from.

    Returns
    -------
    StageFit or LeftOut
        Left out where no type has four channels (`no_repair` says so), of a type fewer than four
        are good, or fewer than 10 s are good. The report: `bad` (name: reason), `left` (type:
        reason), and by channel on the held-out last third: `explained` variance and `error` (RMS in
        SI units) of its prediction, and its `method`.

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
    # every step-th sample: neighbours predict instantly, so what folds down folds down alike
    step = max(1, int(info.sfreq // 200), -(-n // _ROWS))
    whole = _Whole(c, _NEIGHBORS)
    for name in DATA_TYPES:
        columns = np.flatnonzero([kind == name for kind in info.ch_types])
        if len(columns) >= _LEAST:
            x = np.ascontiguousarray(data[::step, columns], np.float64)
            positions = None if info.positions is None else info.positions[columns]
            group = _Group(x, good[::step], positions, info.sfreq / step)
            if reason := group.fit(min(_NEIGHBORS, len(columns) - 1)):
                return LeftOut(reason)
            whole.put(columns, group, info.ch_names)
        elif len(columns):
            whole.report["left"][name] = f"fewer than {_LEAST} channels"
    return StageFit(whole.arguments, whole.report)


class _Whole:
    """A fit of no channel yet, into which groups are put."""

    def __init__(self, c: int, k: int) -> None:
        self.arguments = {
            "neighbors": np.full((c, k), -1, np.int64),
            "weights": np.zeros((3, c, k)),
            "limits": np.zeros((5, c)),
            "bad": np.zeros(c, bool),
        }
        self.report: dict[str, Any] = {"bad": {}, "left": {}, "channels": {}}

    def put(self, columns: np.ndarray, group: _Group, names: tuple[str, ...]) -> None:
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


class _Group:
    """Channels of one type: (n, c) samples, which of them are good, positions, rate of samples."""

    def __init__(
        self,
        x: np.ndarray,
        good: np.ndarray,
        positions: np.ndarray | None,
        sfreq: float,
    ) -> None:
        self.x, self.good, self.sfreq = x, good.copy(), sfreq
        c = x.shape[1]
        self.scale = np.median(np.abs(x[good]), axis=0) / 0.6745
        known = positions is not None and bool(np.isfinite(positions).all())
        self.positions = positions if known else None
        typical = np.median(self.scale)
        self.reasons = ["flat" if s <= 0.1 * typical else "" for s in self.scale]
        self.neighbors = np.zeros((c, 0), np.int64)
        self.weights = np.zeros((c, 0))
        self.method = [""] * c
        self.held_out = {"explained": np.zeros(c), "error": np.zeros(c)}

    @property
    def bad(self) -> np.ndarray:
        return np.array([bool(reason) for reason in self.reasons])

    def fit(self, k: int) -> str:
        """Why the group cannot be fitted; empty once it is."""
        for i_pass in range(3):  # pops and bad channels spoil the fit that finds them
            if reason := self._too_little():
                return reason
            self._choose(k)
            n_before = self.bad.sum()
            self._judge()
            self._drop()
            if self.bad.sum() == n_before and i_pass > 0:
                break
        if reason := self._too_little():
            return reason
        self._choose(k)
        self._replace_bad(k)
        return ""

    def _too_little(self) -> str:
        usable = ~self.bad
        if np.median(self.scale) == 0.0:
            return "need channels that are not constant, got more than half that are"
        if usable.sum() < _LEAST:
            return (
                f"need {_LEAST} good channels of a type to predict one another, got "
                f"{usable.sum()} of {len(usable)}; check the electrodes or leave repair out"
            )
        return ""

    def _moments(self, rows: np.ndarray) -> np.ndarray:
        z = self.x[rows] / np.where(self.scale > 0, self.scale, 1.0)
        return z.T @ z / len(z)

    def _choose(self, k: int) -> None:
        """Neighbours and weights of each good channel: what errs least on the held-out part."""
        rows = np.flatnonzero(self.good)
        train, test = np.split(rows, [2 * len(rows) // 3])
        moments, held_out, both = map(self._moments, (train, test, rows))
        usable = ~self.bad
        k = min(k, int(usable.sum()) - 1)
        c = len(self.scale)
        self.neighbors, self.weights = np.zeros((c, k), np.int64), np.zeros((c, k))
        self.method = [""] * c
        self.held_out = {"explained": np.zeros(c), "error": np.zeros(c)}
        for i in np.flatnonzero(usable).tolist():
            options = []  # name, picks, weights on the first part, weights on all
            picks = pick_neighbors(moments, i, usable, k, _ALPHAS[1])
            for alpha in _ALPHAS:
                on_part, on_all = (solve_ridge(m, i, picks, alpha) for m in (moments, both))
                options.append((f"ridge {alpha:g}", picks, on_part, on_all))
            if self.positions is not None:
                near, spline = spline_weights(self.positions, i, usable, k)
                spline = spline * self.scale[near] / self.scale[i]  # of standardized channels
                options.append(("spline", near, spline, spline))
            errors = [_error(held_out, i, picks, on_part) for _, picks, on_part, _ in options]
            best = int(np.argmin(errors))
            self.method[i], picks, _, weights = options[best]
            self.neighbors[i] = picks
            self.weights[i] = weights * self.scale[i] / self.scale[picks]
            self.held_out["explained"][i] = 1.0 - errors[best] / held_out[i, i]
            self.held_out["error"][i] = np.sqrt(max(errors[best], 0.0)) * self.scale[i]

    def _judge(self) -> None:
        """Find channels that are bad already: unlike the others in size, or like none of them."""
        usable = ~self.bad
        log = np.log(self.scale[usable])
        spread = max(1.4826 * float(np.median(np.abs(log - np.median(log)))), 0.15)
        explained = self.held_out["explained"]
        connected = np.median(explained[usable]) > 0.6
        for i, value in zip(np.flatnonzero(usable), log, strict=True):
            if value - np.median(log) > 4.0 * spread and explained[i] < 0.3:
                self.reasons[i] = "noisy"
            elif connected and explained[i] < 0.1:
                self.reasons[i] = "unlike its neighbours"

    def _drop(self) -> None:
        """Leave out samples with a pop in a good channel, if they are few."""
        usable = ~self.bad
        r = self._residual()[:, usable]
        limit = 10.0 * np.median(np.abs(r[self.good]), axis=0) / 0.6745
        p = np.abs(self.x[:, usable] - r)
        pops = (np.abs(r) > limit + _TOLERANCE * p).any(axis=1) & self.good
        if pops.sum() < 0.2 * self.good.sum():
            self.good &= ~pops

    def _residual(self) -> np.ndarray:
        r = np.empty_like(self.x)
        for i in range(r.shape[1]):
            r[:, i] = self.x[:, i] - self.x[:, self.neighbors[i]] @ self.weights[i]
        return r

    def _replace_bad(self, k: int) -> None:
        """Channels that are bad: the spline of the nearest, else the mean of some good ones."""
        usable = ~self.bad
        k = self.neighbors.shape[1]
        for i in np.flatnonzero(self.bad).tolist():
            if self.positions is not None:
                self.neighbors[i], self.weights[i] = spline_weights(self.positions, i, usable, k)
                self.method[i] = "spline"
            else:
                good = np.flatnonzero(usable)
                self.neighbors[i] = good[np.linspace(0, len(good) - 1, k).round().astype(int)]
                self.weights[i] = 1.0 / k
                self.method[i] = "mean"

    def all_weights(self) -> np.ndarray:
        """The regressions together and one by one, and the share of each of the latter."""
        moments = self._moments(np.flatnonzero(self.good))
        c, k = self.neighbors.shape
        out = np.zeros((3, c, k))
        out[0] = self.weights
        variance = np.diag(moments)
        for i, picks in enumerate(self.neighbors):
            if self.bad[i]:
                out[1, i], out[2, i] = 1.0, 1.0 / k
                continue
            gain = moments[i, picks] / variance[picks]
            known = moments[i, picks] ** 2 / (variance[i] * variance[picks])
            out[1, i] = gain * self.scale[i] / self.scale[picks]
            out[2, i] = known / (1.02 - np.minimum(known, 1.0))
        return out

    def limits(self) -> np.ndarray:
        """Residual, its mean square, share of the power of a dead channel, mean square, largest."""
        r = self._residual()
        p = self.x - r
        tolerance = _TOLERANCE * np.abs(p)
        sigma = np.median(np.abs(r[self.good]), axis=0) / 0.6745
        beyond = (np.abs(r) - tolerance)[self.good]
        common, rare = np.quantile(beyond, [0.995, 0.9999], axis=0)
        usual = np.mean(self.x[self.good] ** 2, axis=0)
        least = 0.5 * np.sqrt(usual) + 1e-6 * np.max(self.scale)  # however well it is predicted
        limit = np.maximum.reduce([6.0 * sigma, 2.5 * common, 1.3 * rare, least])
        share = (r / (limit + tolerance)) ** 2
        noise = _running(share, self.good, _NOISE_S * self.sfreq)
        power = _running(self.x**2, self.good, _POWER_S * self.sfreq)
        expected = _running(p**2, self.good, _POWER_S * self.sfreq)
        weakest = np.quantile(power / (np.minimum(expected, usual) + 1e-60), 0.001, axis=0)
        limits = np.stack(
            [
                limit,
                np.maximum(
                    9.0 * np.mean(share[self.good], axis=0), 2.0 * np.quantile(noise, 0.999, axis=0)
                ),
                np.minimum(0.04, 0.2 * weakest),
                usual,
                np.maximum(4.0 * np.abs(self.x[self.good]).max(axis=0), 20.0 * np.sqrt(usual)),
            ]
        )
        typical = np.median(limits[:, ~self.bad], axis=1)
        limits[:, self.bad] = typical[:, None]
        return limits


def _error(moments: np.ndarray, i: int, picks: np.ndarray, weights: np.ndarray) -> float:
    """Mean square of a prediction's residual."""
    within = weights @ moments[np.ix_(picks, picks)] @ weights
    return float(moments[i, i] - 2.0 * weights @ moments[picks, i] + within)


def _running(squares: np.ndarray, good: np.ndarray, length: float) -> np.ndarray:
    """Exponential mean over good samples, from the second time constant on."""
    from scipy.signal import lfilter

    a = 1.0 / length
    kept = squares[good]
    start = kept[: max(1, int(length))].mean(axis=0) * (1.0 - a)
    return lfilter([a], [1.0, a - 1.0], kept, axis=0, zi=start[None])[0]


def summary(report: dict[str, Any]) -> Summary:
    """What was found, taken out and kept."""
    explained = sorted(channel["explained"] for channel in report["channels"].values())
    bad = ", ".join(f"{name} ({why})" for name, why in report["bad"].items())
    middle = f"{explained[len(explained) // 2]:.0%}" if explained else "n/a"
    return Summary(
        f"{len(explained)} channels; bad: {bad or 'none'}",
        f"{middle} of a channel's variance predicted (median)",
        "trusted channels, all",
    )


def line(report: dict[str, Any]) -> str:
    """Put what was found in a line."""
    explained = sorted(channel["explained"] for channel in report["channels"].values())
    bad = ", ".join(f"{name} ({why})" for name, why in report["bad"].items())
    middle = f"{explained[len(explained) // 2]:.3f}" if explained else "  n/a"
    return f"{len(explained)} channels, median variance predicted {middle}" + (
        f"; bad in calibration: {bad}" if bad else ""
    )
