"""Fit the map of differences of channels, by which an exchange of electrodes or a gain is noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from rt_decoder.model import Model
from rt_decoder.monitor.montage import LEAST_CHANNELS, RATE, SECONDS, Change, compare_maps
from rt_decoder.signal import BAD, DATA_TYPES, Chunk
from rt_decoder.timing.electrodes import electrode_name

__all__ = ["SecondsOfChannels", "compared_channels", "fit_montage", "kept_every", "known_orders"]

_MOST_BYTES = 64 << 20  # of seconds that are kept
_BANK = 16  # channels of a plug
_LEAST_SECONDS = 2 * SECONDS
_NEAR = 0.03  # m from the place that mirrors another
_MOST_CHANNELS = 128  # so that no hop is held up by .3 ms
_PAIRS = 200  # exchanges that are tried


class SecondsOfChannels:
    """Collect the products of channels, second by second, of one recording.

    Parameters
    ----------
    model : Model
    picks : array of shape (m,), int
        Channels that are compared.
    every : int
        Seconds of which one is kept.
    """

    def __init__(self, model: Model, picks: np.ndarray, every: int = 1) -> None:
        self._picks, self._n_second = picks, round(model.info.sfreq)
        self._stride, self._every = max(1, round(model.info.sfreq / RATE)), every
        self._blocks: list[np.ndarray] = []
        self._bad: list[np.ndarray] = []
        self._n = self._n_seconds = 0
        self.products: list[np.ndarray] = []  # (m, m) mean products of each second, NaN where bad

    def add(self, hop: Chunk) -> None:
        """Take a hop."""
        rows = slice(-hop.index % self._stride, None, self._stride)
        self._blocks.append(hop.data[rows][:, self._picks])
        self._bad.append((hop.channel_flags[rows][:, self._picks] & BAD) != 0)
        self._n += len(hop.data)
        if self._n < self._n_second:
            return
        if self._n_seconds % self._every == 0 and any(len(block) for block in self._blocks):
            x = np.concatenate(self._blocks)
            bad = np.concatenate(self._bad).mean(axis=0) >= 0.5
            products = (x.T @ x / len(x)).astype(np.float32)
            products[bad] = products[:, bad] = np.nan
            self.products.append(products)
        self._n_seconds += 1
        self._n = 0
        self._blocks.clear()
        self._bad.clear()


def compared_channels(model: Model) -> np.ndarray:
    """Return the channels of the commonest data type, (m,) int; every second, ... above 128."""
    kinds = model.info.ch_types[: model.n_picks]
    common = Counter(kind for kind in kinds if kind in DATA_TYPES).most_common(1)
    found = np.flatnonzero([bool(common) and kind == common[0][0] for kind in kinds])
    return found[:: -(-len(found) // _MOST_CHANNELS) or 1]


def kept_every(n_seconds: float, m: int) -> int:
    """Return of how many seconds one is kept, so that memory suffices."""
    return max(1, int(-(-n_seconds * 4 * m * m // _MOST_BYTES)))


def known_orders(names: Sequence[str], positions: np.ndarray | None) -> dict[str, np.ndarray]:
    """List orders that a lab produces by accident.

    Parameters
    ----------
    names : sequence of str
        Of the m channels.
    positions : array of shape (m, 3) or None
        Of their sensors in m.

    Returns
    -------
    dict of str to array of shape (m,), int
        Channel of calibration that stands in each place.
    """
    m = len(names)
    places = np.arange(m)
    orders = {
        "left and right": _mirrored(names, positions),
        "one further": np.roll(places, 1),
        "one back": np.roll(places, -1),
        "reversed": places[::-1].copy(),
    }
    if m >= 2 * _BANK:
        banks = [places[i : i + _BANK] for i in range(0, m - _BANK + 1, _BANK)]
        for i in range(len(banks) - 1):
            order = places.copy()
            order[banks[i]], order[banks[i + 1]] = banks[i + 1], banks[i]
            orders[f"banks {i + 1} and {i + 2}"] = order
    return {name: order for name, order in orders.items() if (order != places).sum() >= m // 4}


def _mirrored(names: Sequence[str], positions: np.ndarray | None) -> np.ndarray:
    """Exchange left and right by the names of electrodes, else by positions."""
    known = {electrode_name(name).lower(): place for place, name in enumerate(names)}
    order = np.arange(len(names))
    for place, name in enumerate(map(electrode_name, names)):
        stem, number = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
        if stem and number and int(number) > 0:
            other = int(number) + (1 if int(number) % 2 else -1)
            order[place] = known.get(f"{stem}{other}".lower(), place)
    if (order != np.arange(len(names))).any() and sorted(order) == list(range(len(names))):
        return order
    order = np.arange(len(names))
    if positions is not None and np.isfinite(positions).all() and np.any(positions):
        away = np.linalg.norm(positions[:, None] - positions * [-1, 1, 1], axis=2)
        nearest = away.argmin(axis=1)
        both = nearest[nearest] == order
        order = np.where(both & (away.min(axis=1) < _NEAR), nearest, order)
    return order


def fit_montage(
    model: Model, picks: np.ndarray, runs: Sequence[np.ndarray]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit the maps, and try faults on the last fifth of each recording.

    Parameters
    ----------
    model : Model
    picks : array of shape (m,), int
        Channels that are compared.
    runs : sequence of array of shape (n_seconds, m, m)
        As `SecondsOfChannels` collects them.

    Returns
    -------
    fitted : dict
        Arguments of `MontageCheck`; empty where nothing can be checked.
    told : dict
        For the certificate.
    """
    m = len(picks)
    cuts = [int(0.8 * len(run)) for run in runs]
    train = [run[:cut] for run, cut in zip(runs, cuts, strict=True)]
    n = sum(map(len, train))
    told: dict[str, Any] = {"n_channels": m, "seconds": n}
    if m < LEAST_CHANNELS or n < _LEAST_SECONDS:
        why = "too few channels" if m < LEAST_CHANNELS else "too short a recording"
        return {}, told | {"never": why}
    names = [model.info.ch_names[i] for i in picks]
    positions = model.info.positions
    orders = known_orders(names, None if positions is None else np.array(positions)[picks])
    difference, plus = _maps(np.concatenate(train))
    fitted = {
        "picks": picks,
        "difference": difference,
        "plus": plus,
        "orders": np.array([*orders.values()], np.int64).reshape(-1, m),
        "names": list(orders),
    }
    held = np.concatenate([run[cut:] for run, cut in zip(runs, cuts, strict=True)])[-SECONDS:]
    if len(held) >= SECONDS // 2:
        told["tried"] = _tried(fitted, held)
    return fitted, told


def _maps(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log power of differences and sums, medians over seconds (n, m, m); 0 on the diagonal."""
    power = np.einsum("nii->ni", products)
    both = power[:, :, None] + power[:, None, :]
    found = []
    for sign in (-1, 1):
        with np.errstate(all="ignore"):
            logs = np.log(np.maximum(both + 2 * sign * products, 1e-300))
        logs[~np.isfinite(both)] = np.nan
        unknown = np.isnan(logs).all(axis=0)
        logs[:, unknown] = 0.0
        median = np.nanmedian(logs, axis=0)
        np.fill_diagonal(median, 0.0)
        found.append(median)
    return found[0], found[1]


def _tried(fitted: dict[str, Any], products: np.ndarray) -> dict[str, Any]:
    """Exchange, invert and bridge channels of held-out seconds; tell what is seen."""
    m = len(fitted["picks"])

    def seen(matrix: np.ndarray) -> tuple[str, str, tuple[int, ...]]:
        return _change(fitted, matrix @ products.astype(float) @ matrix.T)[:3]

    unit = np.eye(m)
    rng = np.random.default_rng(0)
    pairs = [(i, j) for i in range(m) for j in range(i)]
    if len(pairs) > _PAIRS:
        pairs = [pairs[k] for k in rng.choice(len(pairs), _PAIRS, replace=False)]
    n_right = {"exchange": 0, "bridge": 0, "inversion": 0}
    for i, j in pairs:
        swapped, bridged = unit.copy(), unit.copy()
        swapped[[i, j]] = swapped[[j, i]]
        bridged[i] = bridged[j] = 0.5 * (unit[i] + unit[j])
        bridged[i] += 1e-3 * unit[i]
        n_right["exchange"] += seen(swapped) == ("exchange", "", (j, i))
        n_right["bridge"] += seen(bridged) == ("bridge", "", (j, i))
    for i in range(m):
        turned = unit.copy()
        turned[i, i] = -1.0
        n_right["inversion"] += seen(turned) == ("inversion", "", (i,))
    orders = {
        name: seen(unit[order])[:2] == ("order", name)
        for name, order in zip(fitted["names"], fitted["orders"], strict=True)
    }
    return {
        "as_it_is": seen(unit)[0],
        "orders": orders,
        "exchange": n_right["exchange"] / len(pairs),
        "bridge": n_right["bridge"] / len(pairs),
        "inversion": n_right["inversion"] / m,
    }


def _change(fitted: dict[str, Any], products: np.ndarray) -> Change:
    """Judge some seconds as a session does."""
    now = _maps(products)[0]
    np.fill_diagonal(now, np.nan)
    maps = fitted["difference"], fitted["plus"], fitted["orders"]
    return compare_maps(now, *maps, tuple(fitted["names"]))
