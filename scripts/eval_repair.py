"""Judge the repair of bad channels on people who were recorded twice.

Repair is fitted on a person's first recording, as `rt-calibrate cleaning` does, and runs on the
second. Nothing is chosen on the second one. A folder of such pairs is given: names of files that are
alike up to their last `_` are one person's, in alphabetical order.

1. Channels as they are. A channel is of plausible size if its RMS behind the filters is at most
   twice, and at least half, that of the first recording. None may be replaced for more than a minute
   in a row unless it is reported (`channel_disagrees`) and passed on.
2. Faults that are planted, one channel (or pair) at a time: dead (.3 uV of noise), popped (steps of
   300 to 600 uV that die away within seconds, about every 6 s), bridged (two electrodes at their
   mean). Planted in both recordings, at least 95 % of the bad samples are repaired; dead and popped
   in the second alone as well. A bridge that comes later is told, without a goal.

The first 10 s do not count, as filters and running means settle.

    python scripts/eval_repair.py --data DIR [--people N] [--faults dead,popped,bridged] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cleaning.chain import Chain, Cleaned, as_chunk
from rich.progress import track

from calibration.cleaning.chain import fit_cleaning
from calibration.design import draft_model
from calibration.events import LabelledRecording
from rt_decoder.cleaning.filters import SosFilter
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.recipe import Recipe
from rt_decoder.signal import BAD, Reason
from rt_decoder.timing.markers import MarkerRules
from rt_decoder.timing.matching import match_channels

REPO = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("RT_DECODER_DATA", REPO.parent / "shared" / "data")) / "eegmat"
FAULTS = ("dead", "popped", "bridged")
SETTLED_S, MINUTE_S = 10.0, 60.0
PLAUSIBLE = 2.0  # times larger or smaller
LEAST = 0.95  # of the bad samples
HELD = BAD & ~np.uint32(Reason.BAD_CHANNEL)  # what the guard held is no choice of the repair


class Pair(NamedTuple):
    """Two recordings of one person, in the same channels."""

    name: str
    first: Recording
    second: Recording


class Plant(NamedTuple):
    """A fault in one recording (n, c)."""

    data: np.ndarray
    channels: list[int]
    bad: np.ndarray  # (n,) bool: samples that are to be repaired


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of two recordings a person")
    parser.add_argument("--people", type=int, help="the first so many of them; all by default")
    parser.add_argument("--faults", default=",".join(FAULTS), help="faults to plant; '' for none")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    faults = [one for one in args.faults.split(",") if one]
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"need faults among {', '.join(FAULTS)}, got {', '.join(sorted(unknown))}")
    files = pairs_of(args.data)[: args.people]
    if not files:
        parser.error(f"need a folder of two recordings a person, got {args.data}")
    people = {}
    for name, paths in track(files, "people", console=stderr()):
        with warnings.catch_warnings():  # types by name, as every recording of the folder has them
            warnings.simplefilter("ignore", RuntimeWarning)
            pair = Pair(name, *(read_recording(path) for path in paths))
        people[name] = {"as_they_are": as_they_are(pair)} | {
            f"{fault} in {where}": planted(pair, fault, where)
            for fault in faults
            for where in ("both", "second")
        }
    result = {"people": people, "goals": goals_of(people, faults)}
    print_table(result)
    if args.json:
        print(json.dumps(result, allow_nan=False))
    raise SystemExit(not all(goal["pass"] for goal in result["goals"].values()))


def stderr() -> Any:
    """Return a console for progress, which leaves standard output to results."""
    from rich.console import Console

    return Console(stderr=True)


def pairs_of(folder: Path) -> list[tuple[str, list[Path]]]:
    """List people with their first two files."""
    people: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.suffix.lower() in (".edf", ".bdf", ".fif", ".vhdr", ".set", ".xdf"):
            stem = path.stem.removesuffix("_raw").removesuffix("_eeg")
            people.setdefault(stem.rpartition("_")[0], []).append(path)
    return [(name, paths[:2]) for name, paths in people.items() if name and len(paths) > 1]


def fit(recording: Recording) -> Chain:
    """Fit filters and repair on a recording."""
    line_freq = recording.line_freq or 50.0
    recipe = Recipe.from_dict(
        {
            "stream": {"reference": "none", "line_freq": line_freq, "hop_ms": 40.0},
            "clean": {"stages": ["repair"], "references": []},
        }
    )
    session = LabelledRecording(recording, (), (), MarkerRules())
    return Chain(*fit_cleaning(draft_model([recording], recipe), [session]))


def run(chain: Chain, data: np.ndarray) -> tuple[Cleaned, list[tuple[str, dict[str, Any]]]]:
    """Clean a recording (n, c), and return what the repair tells meanwhile."""
    cleaned = chain.clean(data)
    stage = chain.stages["repair"]
    assert isinstance(stage, ChannelRepair)
    return cleaned, stage.take_events()


def in_model(chain: Chain, recording: Recording) -> np.ndarray:
    """Return the recording (n, c) in the channels and units of the model."""
    picks, gains = match_channels(recording.info, chain.info)
    return np.asarray(recording.data[:, picks] * gains)


def filtered(chain: Chain, data: np.ndarray) -> np.ndarray:
    """Apply the chain's filters alone."""
    stage = SosFilter(chain.info, chain.model.sos)
    out = stage.process(as_chunk(data, 0, chain.info.sfreq)).data
    return out[round(SETTLED_S * chain.info.sfreq) :].copy()


def longest(replaced: np.ndarray) -> np.ndarray:
    """Return the longest stretch (c,) of samples in a row that are True, of (n, c)."""
    run, most = np.zeros(replaced.shape[1], int), np.zeros(replaced.shape[1], int)
    for row in replaced:
        run = (run + 1) * row
        most = np.maximum(most, run)
    return most


def as_they_are(pair: Pair) -> dict[str, Any]:
    """Run the repair on the second recording; report the channels that it replaced."""
    chain = fit(pair.first)
    first, second = in_model(chain, pair.first), in_model(chain, pair.second)
    start = round(SETTLED_S * chain.info.sfreq)
    cleaned, events = run(chain, second)
    flags = cleaned.channel_flags[start:]
    replaced = ((flags & Reason.BAD_CHANNEL) > 0) & ((flags & HELD) == 0)
    before, out = filtered(chain, second), cleaned.data[start:]
    size = rms(before) / np.maximum(rms(filtered(chain, first)), 1e-30)
    in_a_row = longest(replaced) / chain.info.sfreq
    told = {details["channel"] for event, details in events if event == "channel_disagrees"}
    bad = chain.reports["repair"]["bad"]
    channels = {}
    for k, name in enumerate(chain.info.ch_names):
        if replaced[:, k].mean() > 0.01:
            plausible = 1 / PLAUSIBLE <= size[k] <= PLAUSIBLE
            channels[name] = {
                "replaced": round(float(replaced[:, k].mean()), 3),
                "replaced_after_30_s": round(float(replaced[3 * start :, k].mean()), 3),
                "in_a_row_s": round(float(in_a_row[k]), 1),
                "size": round(float(size[k]), 2),
                "plausible": bool(plausible),
                "told": name in told,
                "bad_in_first": name in bad,
                "r": round(float(np.corrcoef(before[:, k], out[:, k])[0, 1]), 3),
                "missed": bool(plausible and in_a_row[k] > MINUTE_S),
            }
    return {"n_channels": len(chain.info.ch_names), "bad_in_first": bad, "channels": channels}


def rms(x: np.ndarray) -> np.ndarray:
    """Root mean square (c,) of samples (n, c)."""
    return np.sqrt(np.mean(x**2, axis=0))


def planted(pair: Pair, fault: str, where: str) -> dict[str, Any]:
    """Plant a fault; report which share of the bad samples is repaired."""
    rng = np.random.default_rng([FAULTS.index(fault), len(pair.name), *pair.name.encode()])
    draft = fit(pair.first)
    first, second = in_model(draft, pair.first), in_model(draft, pair.second)
    good = [k for k, name in enumerate(draft.info.ch_names) if draft.info.ch_types[k] == "eeg"]
    good = [k for k in good if draft.info.ch_names[k] not in draft.reports["repair"]["bad"]]
    pick = int(rng.choice(good))
    neighbors = draft.model.cleaning["repair"]["neighbors"][pick]
    pair_of = [pick, int(neighbors[0])]
    chain = draft
    if where == "both":
        bad = plant(draft, first, fault, pair_of, rng).data
        info = draft.info
        chain = fit(Recording(bad, np.arange(len(bad)) / info.sfreq, info, (), name="planted"))
    it = plant(chain, second, fault, pair_of, rng)
    cleaned, events = run(chain, it.data)
    start = round(SETTLED_S * chain.info.sfreq)
    repaired = (cleaned.channel_flags[start:, it.channels] & Reason.REPAIRED) > 0
    shares = repaired[it.bad[start:]].mean(axis=0)
    return {
        "channels": [chain.info.ch_names[k] for k in it.channels],
        "bad_in_first": [
            chain.reports["repair"]["bad"].get(chain.info.ch_names[k], "") for k in it.channels
        ],
        "repaired": round(float(shares.min()), 4),
        "events": sorted({event for event, _ in events}),
    }


def plant(
    chain: Chain, data: np.ndarray, fault: str, pair: list[int], rng: np.random.Generator
) -> Plant:
    """Put a fault into a copy of the recording (n, c)."""
    out, sfreq = data.copy(), chain.info.sfreq
    k, other = pair
    n = len(data)
    everywhere = np.ones(n, bool)
    if fault == "dead":
        out[:, k] = 0.3e-6 * rng.standard_normal(n)
        return Plant(out, [k], everywhere)
    if fault == "bridged":
        out[:, pair] = out[:, [k, other]].mean(axis=1, keepdims=True)
        out[:, pair] += 0.1e-6 * rng.standard_normal((n, 2))
        return Plant(out, [k, other], everywhere)
    pops = np.zeros(n)
    at = rng.uniform(2.0, 4.0)
    while (start := round(at * sfreq)) < n:
        age = np.arange(n - start) / sfreq
        pops[start:] += rng.choice([-1, 1]) * rng.uniform(300e-6, 600e-6) * np.exp(-age / 3.0)
        at += rng.uniform(3.0, 9.0)
    out[:, k] += pops
    one = np.repeat(pops[:, None], data.shape[1], axis=1)
    behind = SosFilter(chain.info, chain.model.sos).process(as_chunk(one, 0, sfreq)).data[:, 0]
    return Plant(out, [k], np.abs(behind) > 3 * rms(filtered(chain, data))[k])


def goals_of(people: dict[str, Any], faults: list[str]) -> dict[str, dict[str, Any]]:
    """Compare with the goals of this file."""
    channels = [
        (name, channel, row)
        for name, one in people.items()
        for channel, row in one["as_they_are"]["channels"].items()
    ]
    missed = [f"{name} {channel}" for name, channel, row in channels if row["missed"]]
    goals = {
        "plausible_channels_replaced_for_ever": {
            "reached": len(missed), "goal": "0", "pass": not missed, "which": missed,
        }
    }  # fmt: skip
    for fault in faults:
        for where in ("both", "second"):
            shares = [one[f"{fault} in {where}"]["repaired"] for one in people.values()]
            is_goal = (fault, where) != ("bridged", "second")
            goals[f"{fault} in {where}, repaired"] = {
                "reached": round(min(shares), 4),
                "mean": round(float(np.mean(shares)), 4),
                "goal": f">= {LEAST}" if is_goal else "none",
                "pass": min(shares) >= LEAST or not is_goal,
            }
    return goals


def print_table(result: dict[str, Any]) -> None:
    print(f"{'person':<12}{'channel':<12}{'replaced':>9}{'after 30 s':>11}{'in a row':>9}"
          f"{'size':>6}{'r':>7}  told")  # fmt: skip
    for name, one in result["people"].items():
        for channel, row in one["as_they_are"]["channels"].items():
            print(
                f"{name:<12}{channel:<12}{100 * row['replaced']:>7.1f} %{100 * row['replaced_after_30_s']:>9.1f} %"
                f"{row['in_a_row_s']:>7.1f} s{row['size']:>6.2f}{row['r']:>7.3f}  "
                f"{'bad in first' if row['bad_in_first'] else 'yes' if row['told'] else '-'}"
            )
    print(f"\n{'goal':<40}{'reached':>9}{'goal':>9}")
    for name, row in result["goals"].items():
        verdict = "" if row["goal"] == "none" else "pass" if row["pass"] else "MISS"
        print(f"{name:<40}{row['reached']:>9.4g}{row['goal']:>9}  {verdict}")


if __name__ == "__main__":
    main()
