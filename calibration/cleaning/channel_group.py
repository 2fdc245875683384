"""Fit the channels of one type: which predict which, by which weights, and what is usual."""

from __future__ import annotations

import numpy as np

from calibration.cleaning.neighbors import pick_neighbors, solve_ridge, spline_weights

__all__ = ["LEAST", "ChannelGroup"]

LEAST = 4  # channels of a type that can predict one another
_ALPHAS = (1e-3, 1e-2, 1e-1)  # of the variance of a channel
_BRIDGED = (
    3e-3  # of the power: difference of channels that are one; the nearest differ by .01 or more
)
_BRIDGED_TYPICAL = 0.05  # the same, of what the nearest channels usually differ by
_MOST_BRIDGED = 0.25  # of the channels
_POPPING = 0.05  # of the samples beyond ten standard deviations of the residual: it pops often
_SHARED = 0.2  # of its variance then that another channel has, too: a blink, no pop
_TOLERANCE = 0.5  # as in the live stage
_NOISE_S, _POWER_S = 1.0, 0.3  # as in the live stage


class ChannelGroup:
    """Channels of one type, each predicted from others of the group.

    Parameters
    ----------
    x : array of shape (n, c), float64
        Filtered samples of the channels, SI.
    good : array of shape (n,), bool
        Samples to learn from.
    positions : array of shape (c, 3) or None
        Sensor positions; NaN where unknown.
    sfreq : float
        Rate of the samples in Hz.

    Attributes
    ----------
    neighbors : array of shape (c, k), int64
        Columns of `x` that predict each channel, set by `fit`.
    weights : array of shape (c, k), float64
        Weight of each neighbour.
    scale : array of shape (c,), float64
        Robust standard deviation of each channel.
    reasons : list of str
        Why each channel is bad; empty for a good one.
    method : list of str
        How the weights of each channel were found.
    held_out : dict
        Of each channel on the last third: `explained`, the share of its variance that is predicted,
        and `error`, the RMS of the residual in SI; arrays of shape (c,).
    """

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
        self.positions = np.full((c, 3), np.nan) if positions is None else positions
        self._placed = np.isfinite(self.positions).all(axis=1)
        typical = np.median(self.scale)
        self.reasons = ["flat" if s <= 0.1 * typical else "" for s in self.scale]
        self.neighbors = np.zeros((c, 0), np.int64)
        self.weights = np.zeros((c, 0))
        self.method = [""] * c
        self.held_out = {"explained": np.zeros(c), "error": np.zeros(c)}

    @property
    def bad(self) -> np.ndarray:
        """Channels that are bad in calibration, (c,) bool."""
        return np.array([bool(reason) for reason in self.reasons])

    def fit(self, k: int, *, bridges: bool = False) -> str:
        """Fit the neighbours of every channel.

        Parameters
        ----------
        k : int
            Neighbours per channel.
        bridges : bool
            Whether electrodes that gel connects are bad: they predict each other perfectly, and
            neither is at its place.

        Returns
        -------
        str
            Why this is impossible, or an empty string.
        """
        if bridges and not self._too_little():
            for i in self._bridged():
                self.reasons[i] = "bridged"
        for i_pass in range(3):  # pops and bad channels spoil the very fit that finds them
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
        if usable.sum() < LEAST:
            return (
                f"need {LEAST} good channels of a type to predict one another, got "
                f"{usable.sum()} of {len(usable)}; check the electrodes or leave repair out"
            )
        return ""

    def _bridged(self) -> list[int]:
        """Find channels that another equals but for noise; none if they are many: a fault it is not.

        References
        ----------
        Tenke and Kayser 2001, doi:10.1016/S1388-2457(00)00553-8 (electrical distance)
        """
        usable = np.flatnonzero(~self.bad)
        x = self.x[self.good][:, usable]
        moments = x.T @ x / len(x)
        size = np.diag(moments)
        apart = size[:, None] + size - 2 * moments
        apart = apart / np.maximum(np.minimum(size[:, None], size), 1e-300)
        np.fill_diagonal(apart, np.inf)
        least = apart.min(axis=1)
        found = usable[least < min(_BRIDGED, _BRIDGED_TYPICAL * float(np.median(least)))]
        return found.tolist() if len(found) <= _MOST_BRIDGED * len(usable) else []

    def _moments(self, rows: np.ndarray) -> np.ndarray:
        z = self.x[rows] / np.where(self.scale > 0, self.scale, 1.0)
        return z.T @ z / len(z)

    def _choose(self, k: int) -> None:
        """Choose neighbours and weights of each good channel by the error on the last third."""
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
            options = []  # method, picks, weights fitted on the first part, weights fitted on all
            picks = pick_neighbors(moments, i, usable, k, _ALPHAS[1])
            for alpha in _ALPHAS:
                on_part, on_all = (solve_ridge(m, i, picks, alpha) for m in (moments, both))
                options.append((f"ridge {alpha:g}", picks, on_part, on_all))
            if self._has_near(i, usable, k):
                near, spline = spline_weights(self.positions, i, usable & self._placed, k)
                spline = spline * self.scale[near] / self.scale[i]  # for standardized channels
                options.append(("spline", near, spline, spline))
            errors = [_error(held_out, i, picks, on_part) for _, picks, on_part, _ in options]
            best = int(np.argmin(errors))
            self.method[i], picks, _, weights = options[best]
            self.neighbors[i] = picks
            self.weights[i] = weights * self.scale[i] / self.scale[picks]
            self.held_out["explained"][i] = 1.0 - errors[best] / held_out[i, i]
            self.held_out["error"][i] = np.sqrt(max(errors[best], 0.0)) * self.scale[i]

    def _has_near(self, i: int, usable: np.ndarray, k: int) -> bool:
        """Whether channel `i` and `k` others that are usable have a place."""
        others = usable & self._placed
        return bool(self._placed[i]) and int(others.sum() - others[i]) >= k

    def _judge(self) -> None:
        """Find channels that are bad already: far larger than the others, or like none of them."""
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
        """Drop samples with a pop in a good channel, if they are few; a channel that often pops is bad."""
        usable = np.flatnonzero(~self.bad)
        r = self._residual()[:, usable]
        limit = 10.0 * np.median(np.abs(r[self.good]), axis=0) / 0.6745
        p = np.abs(self.x[:, usable] - r)
        beyond = (np.abs(r) > limit + _TOLERANCE * p) & self.good[:, None]
        often = beyond.sum(axis=0) > _POPPING * self.good.sum()
        for j in np.flatnonzero(often).tolist():
            if self._is_alone(usable[j], beyond[:, j]):
                self.reasons[usable[j]] = "pops"
        pops = beyond[:, ~self.bad[usable]].any(axis=1)
        if pops.sum() < 0.2 * self.good.sum():
            self.good &= ~pops

    def _is_alone(self, i: int, at: np.ndarray) -> bool:
        """Whether nothing of channel `i` shows in others at some samples, as of a blink it would."""
        x = self.x[at] - self.x[at].mean(axis=0)
        size = np.sqrt(np.sum(x**2, axis=0)) + 1e-300
        shared = np.abs(x.T @ x[:, i]) / (size * size[i])
        return bool(np.delete(shared, i).max() ** 2 < _SHARED)

    def _residual(self) -> np.ndarray:
        r = np.empty_like(self.x)
        for i in range(r.shape[1]):
            r[:, i] = self.x[:, i] - self.x[:, self.neighbors[i]] @ self.weights[i]
        return r

    def _replace_bad(self, k: int) -> None:
        """Predict bad channels by a spline of the nearest, else by the mean of some good ones."""
        usable = ~self.bad
        k = self.neighbors.shape[1]
        for i in np.flatnonzero(self.bad).tolist():
            if self._has_near(i, usable, k):
                near = usable & self._placed
                self.neighbors[i], self.weights[i] = spline_weights(self.positions, i, near, k)
                self.method[i] = "spline"
            else:
                good = np.flatnonzero(usable)
                self.neighbors[i] = good[np.linspace(0, len(good) - 1, k).round().astype(int)]
                self.weights[i] = 1.0 / k
                self.method[i] = "mean"

    def all_weights(self) -> np.ndarray:
        """Weights of the live stage, (3, c, k): on all neighbours, on each alone, its share."""
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
        """Limits of the live stage, (5, c).

        Row by row: the residual at which distrust begins; the mean square of the residual's share
        of that limit; the share of the usual power below which a channel is dead; the usual mean
        square; the largest credible value. See `rt_decoder.cleaning.repair.ChannelRepair`.
        """
        r = self._residual()
        p = self.x - r
        tolerance = _TOLERANCE * np.abs(p)
        sigma = np.median(np.abs(r[self.good]), axis=0) / 0.6745
        beyond = (np.abs(r) - tolerance)[self.good]
        common, rare = np.quantile(beyond, [0.995, 0.9999], axis=0)
        usual = np.mean(self.x[self.good] ** 2, axis=0)
        least = 0.5 * np.sqrt(usual) + 1e-6 * np.max(self.scale)  # even if predicted very well
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
    """Compute the mean square of a prediction's residual."""
    within = weights @ moments[np.ix_(picks, picks)] @ weights
    return float(moments[i, i] - 2.0 * weights @ moments[picks, i] + within)


def _running(squares: np.ndarray, good: np.ndarray, length: float) -> np.ndarray:
    """Compute exponential means (n_good, c) over good samples, of `length` samples.

    The first `length` samples give the start value, so that the mean needs no time to settle.
    """
    from scipy.signal import lfilter

    a = 1.0 / length
    kept = squares[good]
    start = kept[: max(1, int(length))].mean(axis=0) * (1.0 - a)
    return lfilter([a], [1.0, a - 1.0], kept, axis=0, zi=start[None])[0]
