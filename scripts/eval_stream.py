"""Decode real EEG replayed over LSL as it was recorded, and compare with chance.

`--data` holds runs of a Muse headband, one CSV file each, in some of the folders ``SSVEP``,
``N170`` and ``P300``. Each run is held out in turn: the others calibrate a model through the live
stages, the run is replayed over real LSL at its recorded, jittered times together with its markers,
and another process decodes it. If a task has a single run, its first half calibrates and its second
half is replayed; the cut lies between two trials, so that the halves share no sample.

Every trial counts. A trial without an answer is wrong, even if the end of the file cuts its window
off; those are counted as `n_cut`, and the accuracy over whole trials, without them, stands beside.
Chance is always naming the more frequent item; p is the binomial tail at and above the result. If
one item is rare, the balanced accuracy (mean over items, chance 1/2) is the better figure; its p
comes from `calibration.nulls`.

AUC is that of the log-odds of the second item, over whole trials, threshold and prior aside. It
stands beside those of shrinkage LDA, on the features as they are and on clamped ones, and of Xdawn
covariances with tangent space (pyriemann; left out if it is not installed), fitted and tested on
the same trials (`stream_peers`). Runs are
replayed in parallel and share the processor, so latency is not reported; `scripts/demo` measures
it.

Exits 1 if a goal is missed: mean AUC of N170 and P300 at least that of either LDA less .005; flicker right
in 95 % of whole trials; live and offline the same in every run. Log, record and model of a run
where they differ are kept.

    python scripts/eval_stream.py [--data DIR ...] [--json] [--speed 1]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy.stats import binomtest
from stream_peers import PEERS, auc, peer_aucs

from calibration.design import build_design, draft_model
from calibration.events import load_labelled
from calibration.fit import fit_model
from calibration.identity import hash_files
from calibration.nulls import permutation_p
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.recorded import decode_recording
from rt_decoder.sinks.log import readout_line
from rt_decoder.sinks.loopback import configure_loopback
from rt_decoder.timing.markers import MarkerRules

REPO = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("RT_DECODER_DATA", REPO.parent / "shared" / "data"), "muse")
UNITS = "uV"  # the files state no unit
N_LIVE = 8  # runs in parallel; each has two processes that mostly wait for the next sample
AUC_MARGIN, LEAST_FLICKER = 0.005, 0.95  # goals, below LDA's AUC and of whole trials
TINY = 1e-300  # a probability of 0 has no logarithm
PATIENCE = 120  # s for all of them to start on a slow machine

# Recipes, chosen by reasoning and by cross-validation within calibration runs, never on a test.
# No final block is locked, as the held-out run is the test; no trial is dropped for its quality,
# and none is abstained from.
_SHARED: dict[str, dict[str, Any]] = {
    "fit": {"final_block": 0.0, "rank": 0},
    "readout": {"min_quality": 0.0, "precision": 0.0},
}
_STREAM: dict[str, Any] = {"reference": "none", "line_freq": 60.0}
_EVOKED = _SHARED | {
    "stream": _STREAM | {"picks": ["TP9", "AF7", "AF8", "TP10"]},  # Right AUX was not connected
    "filter": {"l_freq": 1.0, "h_freq": 30.0},
}
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    # Each flicker drives the visual cortex at its rate. Harmonics are left out, as that of 30 Hz is
    # the mains. The bands lag by 0.2 s and the cortex by 0.1 s, so the window opens at 0.3 s.
    "SSVEP": _SHARED
    | {
        "stream": _STREAM,
        "filter": {"l_freq": 5.0, "h_freq": 50.0},
        "features": {
            "kind": "bandpower",
            "bands": [[19.0, 21.0], [29.0, 31.0]],
            "band_order": 2,
            "tmin": 0.3,
            "tmax": 2.0,
        },
        "target": {"names": {"1": "flicker at thirty hertz", "2": "flicker at twenty hertz"}},
    },
    "N170": _EVOKED
    | {
        "features": {"tmin": 0.0, "tmax": 0.6},
        "target": {"names": {"1": "a house", "2": "a face"}},  # as eeg-notebooks codes them
    },
    # Targets are rare. The prior stays uniform: with the counts of the calibration run, all answers
    # would be the frequent item, at chance level and without information.
    "P300": _EVOKED
    | {
        "features": {"tmin": 0.0, "tmax": 0.8},
        "target": {"names": {"1": "any other picture", "2": "the target picture"}},
    },
}


class Run(NamedTuple):
    """One test."""

    task: str
    file: str
    calibration: tuple[Path, ...]
    test: Path


class Trial(NamedTuple):
    """One marker of a test, and what was answered."""

    truth: str
    answer: str  # "" for none
    log_odds: float  # of the task's second item; NaN if there is no readout
    time: float  # s in the recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[DATA], help="folders of SSVEP, N170, P300"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--speed", type=float, default=1.0, help="faster than recorded")
    args = parser.parse_args()
    for folder in args.data:
        if not any(list((folder / task).glob("*.csv")) for task in RECIPES):
            parser.error(f"need CSV files in {', '.join(RECIPES)} below {folder}, got none")
    if not 0 < args.speed <= 100:
        parser.error(f"need a speed above 0 and up to 100, got {args.speed:g}")
    configure_loopback()  # before liblsl is loaded, here and in the processes started below
    with tempfile.TemporaryDirectory(prefix="rt_decoder-eval-") as scratch:
        try:
            results = evaluate(args.data, Path(scratch), args.speed)
        except (OSError, ValueError) as error:
            sys.exit(f"eval_stream: {error}")
    tasks = pooled(results)
    report(tasks)
    missed = missed_goals(results, tasks)
    for goal in missed:
        print(f"missed: {goal}")
    if args.json:
        found = {"runs": results, "tasks": tasks, "speed": args.speed, "missed": missed}
        print(json.dumps(found, allow_nan=False))
    sys.exit(1 if missed else 0)


def evaluate(data: Sequence[Path], scratch: Path, speed: float) -> list[dict[str, Any]]:
    """Calibrate for every run, then replay and decode them side by side."""
    runs = [
        run for task in RECIPES for folder in data for run in plan(task, folder / task, scratch)
    ]
    models = [scratch / f"{number}.rtd.safetensors" for number in range(len(runs))]
    pairs = list(zip(runs, models, strict=True))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        peers = [calibrate(*pair) for pair in progress.track(pairs, description="calibrate")]
    print(f"{len(runs)} runs, replayed at {speed:g} x; all trials count; AUC over whole trials")
    print(
        f"{'task':<6} {'file':<28} {'trials':>6} {'cut':>3} {'accuracy':>8} {'whole':>5} "
        f"{'chance':>6} {'p':>7} {'balanced':>8} {'p':>7} {'AUC':>5} {'LDA':>5} {'clamp':>5} {'Xdawn':>5}  "
        "as offline"
    )
    results = []
    force = has_force()
    with ThreadPoolExecutor(N_LIVE) as pool:
        logs = pool.map(lambda run, model: decode_live(run, model, speed, force), runs, models)
        for run, model, peer, log in zip(runs, models, peers, logs, strict=True):
            results.append(score(run, model, log) | peer)
            print(row(results[-1]), flush=True)
    return results


def plan(task: str, source: Path, scratch: Path) -> list[Run]:
    """Leave one run out; the halves of a run where there is only one."""
    files = sorted(source.glob("*.csv"))
    if len(files) == 1:
        first, second = halves(files[0], scratch)
        return [Run(task, files[0].name, (first,), second)]
    return [
        Run(task, test.name, tuple(file for file in files if file != test), test) for test in files
    ]


def halves(file: Path, scratch: Path) -> tuple[Path, Path]:
    """Cut a recording midway between two onsets, into halves with half of the trials each."""
    onsets = [marker.index for marker in read_recording(file, units=UNITS).markers]
    if len(onsets) < 2:
        raise ValueError(f"need trials in {file.name}, got {len(onsets)}")
    middle = len(onsets) // 2
    cut = (onsets[middle - 1] + onsets[middle]) // 2
    header, *lines = file.read_text(encoding="utf-8-sig").splitlines()
    samples = [line for line in lines if line.strip()]
    parts = []
    for number, half in enumerate((samples[:cut], samples[cut:]), 1):
        part = scratch / f"{file.stem}-half{number}.csv"
        part.write_text("\n".join([header, *half]) + "\n", encoding="utf-8")
        parts.append(part)
    return parts[0], parts[1]


def calibrate(run: Run, model: Path) -> dict[str, float | None]:
    """Fit a model on the run's calibration recordings and write it; return the AUC of the peers."""
    recipe = Recipe.from_dict(RECIPES[run.task])
    rules = MarkerRules(names=dict(recipe.target.names))
    sessions = load_labelled(run.calibration, [], recipe, rules, units=UNITS)
    draft = draft_model([session.recording for session in sessions], recipe)
    design = build_design(draft, sessions)
    save_model(fit_model(draft, design, data_hash=hash_files(run.calibration)), model)
    (test,) = load_labelled([run.test], [], recipe, rules, units=UNITS)
    found = peer_aucs(draft, design, sessions, test, second_item(run.task))
    return {f"auc_{peer}": found[peer] for peer in PEERS}


def second_item(task: str) -> str:
    """Item of the marker 2, whose evidence the AUC measures."""
    return str(RECIPES[task]["target"]["names"]["2"])


def has_force() -> bool:
    """Whether `rt-decoder run` refuses a model that is not above its nulls, unless forced."""
    asked = [sys.executable, "-m", "rt_decoder", "run", "--help"]
    return "--force" in subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def decode_live(run: Run, model: Path, speed: float, force: bool) -> list[dict[str, Any]]:
    """Replay a run with `rt-decoder replay`; returns the log lines of `rt-decoder run`."""
    name, log = f"eval-{uuid4().hex}", model.with_suffix(".jsonl")
    program = [sys.executable, "-m", "rt_decoder"]
    send = [
        *program, "replay", str(run.test), "--name", name, "--units", UNITS,
        "--speed", f"{speed:g}", "--wait", str(PATIENCE),
    ]  # fmt: skip
    # The wait for late markers is in s of signal, so it grows with the speed.
    read = [
        *program, "run", "--model", str(model), "--force", "--name", name, "--markers", f"{name}-markers",
        "--log", str(log), "--record", str(model.with_suffix(".xdf")), "--outlet", "", "--timeout", str(PATIENCE),
        "--marker-wait", f"{2000 * max(1.0, speed):g}", "--until-lost", "--quiet",
        *(["--force"] if force else []),  # whether a model is proven is what the test asks
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        sender = subprocess.Popen(send, stdout=subprocess.DEVNULL, stderr=complaints)
        try:
            reader = subprocess.run(read, check=False, capture_output=True, text=True)
        finally:
            sender.terminate()  # still running only if the reader failed
            sender.wait()
        complaints.seek(0)
        if reader.returncode:
            why = "; ".join(filter(None, (reader.stderr.strip(), complaints.read().strip())))
            raise OSError(f"{run.file} was not decoded: {why}")
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def score(run: Run, model: Path, log: list[dict[str, Any]]) -> dict[str, Any]:
    """Score one test."""
    recording = read_recording(run.test, units=UNITS)
    recipe = Recipe.from_dict(RECIPES[run.task])
    second = second_item(run.task)
    trials = answers(recording, log, recipe.target.names, second)
    truth, words = (np.array([trial[i] for trial in trials]) for i in range(2))
    log_odds = np.array([trial.log_odds for trial in trials])
    read = np.isfinite(log_odds)
    ends = np.array([trial.time for trial in trials]) + recipe.features.tmax
    n_cut = int(np.sum(~read & (ends > recording.times[-1])))
    n_trials, n_correct = len(truth), int(np.sum(truth == words))
    chance = Counter(truth.tolist()).most_common(1)[0][1] / n_trials
    permuted = permutation_p(lambda labels: balanced(labels, words), truth)
    return {
        "file": run.file,
        "task": run.task,
        "split": "first half, second half" if run.test.name != run.file else "leave one run out",
        "n_trials": n_trials,
        "n_cut": n_cut,
        "n_whole": n_trials - n_cut,
        "decoded": int(np.sum(words != "")),
        "correct": n_correct,
        "accuracy": n_correct / n_trials,
        "accuracy_whole": n_correct / max(1, n_trials - n_cut),
        "chance": chance,
        "p": tail(n_correct, n_trials, chance),
        "balanced_accuracy": permuted.observed,
        "p_balanced": permuted.p,
        "auc": auc(truth[read] == second, log_odds[read]),
        "same_as_offline": is_same(model, readouts_of(log), recording),
    }


def readouts_of(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in log if line["type"] == "readout"]


def answers(
    recording: Recording, log: list[dict[str, Any]], names: Mapping[str, str], second: str
) -> list[Trial]:
    """Return the trials of a test in time order, whether or not they were read out.

    A recording's markers and those that the log says were found are the same, in order.
    """
    read = {(line["index"], line["label"]): line for line in readouts_of(log)}
    found = sorted((m["index"], m["label"]) for m in log if m["type"] == "marker")
    trials = []
    for marker in sorted(recording.markers, key=lambda marker: marker.time):
        truth = names.get(marker.label, marker.label)
        line = None
        if found and found[0][1] == truth:  # else it was lost
            line = read.pop(found.pop(0), None)
        word = "" if line is None or line["abstained"] else line["word"]
        trials.append(Trial(truth, word, log_odds(line, second), marker.time))
    if read or found:
        raise ValueError(f"{recording.name}: more readouts or markers in the log than trials")
    return trials


def log_odds(line: dict[str, Any] | None, second: str) -> float:
    """Log-odds of the item `second` against the others of a readout; NaN without one."""
    if line is None or not line["top"]:
        return math.nan
    probability = {word: p for word, _, p in line["top"]}
    other = sum(p for word, p in probability.items() if word != second)
    return math.log(max(probability[second], TINY)) - math.log(max(other, TINY))


def balanced(truth: np.ndarray, words: np.ndarray) -> float:
    """Balanced accuracy: mean over items of the share that was named correctly."""
    return float(np.mean([(words[truth == item] == item).mean() for item in np.unique(truth)]))


def tail(n_correct: int, n_trials: int, chance: float) -> float:
    """Probability of at least this many correct answers by chance."""
    return float(binomtest(n_correct, n_trials, chance, alternative="greater").pvalue)


def is_same(model: Path, readouts: list[dict[str, Any]], recording: Recording) -> bool:
    """Compare with `offline`; where they differ, keep log, record and model, and say where."""
    same = facts(readouts) == offline(model, recording)
    if not same:
        kept = tempfile.mkdtemp(prefix="rt_decoder-differs-")
        for path in (model, model.with_suffix(".jsonl"), model.with_suffix(".xdf")):
            shutil.copy(path, kept)
        print(f"{recording.name}: live and offline differ; log, record and model are in {kept}")
    return same


def offline(model: Path, recording: Recording) -> list[tuple[Any, ...]]:
    """Decode the recording without a stream; returns its `facts`."""
    fitted = load_model(model)
    options = PipelineOptions().for_target(fitted.recipe.target)
    found = decode_recording(fitted, recording, recording.markers, options)
    return facts([readout_line(readout) for readout in found])


def facts(readouts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what must not depend on how samples arrived: all but the wall clock."""
    fields = ("seq", "index", "label", "word", "top", "abstained", "bits", "quality", "reasons")
    return [tuple(line[field] for field in fields) for line in readouts]


def pooled(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pool the runs of each task; chance is always naming the more frequent item of each run."""
    tasks = {}
    for task in dict.fromkeys(result["task"] for result in results):
        runs = [result for result in results if result["task"] == task]
        counts = ("n_trials", "n_cut", "n_whole", "correct")
        total: dict[str, Any] = {key: sum(run[key] for run in runs) for key in counts}
        chance = sum(run["chance"] * run["n_trials"] for run in runs) / total["n_trials"]
        tasks[task] = total | {
            "n_runs": len(runs),
            "accuracy": total["correct"] / total["n_trials"],
            "accuracy_whole": total["correct"] / max(1, total["n_whole"]),
            "chance": chance,
            "p": tail(total["correct"], total["n_trials"], chance),
        }
        for score in ("auc", *(f"auc_{peer}" for peer in PEERS)):
            found = [run[score] for run in runs if run[score] is not None]
            tasks[task][score] = float(np.mean(found)) if found else None
    return tasks


def missed_goals(results: list[dict[str, Any]], tasks: dict[str, dict[str, Any]]) -> list[str]:
    """Say which goals are missed, one sentence each."""
    missed = [
        f"live and offline are the same in {run['task']} {run['file']}"
        for run in results
        if not run["same_as_offline"]
    ]
    for task, total in tasks.items():
        if task == "SSVEP" and total["accuracy_whole"] < LEAST_FLICKER:
            missed.append(f"SSVEP right in {100 * LEAST_FLICKER:.0f} % of whole trials")
        best = max(total[f"auc_{peer}"] or 0.0 for peer in ("lda", "clamped"))
        if task != "SSVEP" and (total["auc"] or 0.0) < best - AUC_MARGIN:
            missed.append(f"mean AUC of {task} at least that of either LDA less {AUC_MARGIN:g}")
    return missed


def number(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.3f}':>5}"


def row(result: dict[str, Any]) -> str:
    return (
        f"{result['task']:<6} {result['file']:<28} {result['n_trials']:>6} {result['n_cut']:>3} "
        f"{result['accuracy']:>8.3f} {result['accuracy_whole']:.3f} {result['chance']:>6.3f} "
        f"{result['p']:>7.1e} {result['balanced_accuracy']:>8.3f} {result['p_balanced']:>7.1e} "
        f"{number(result['auc'])} {number(result['auc_lda'])} {number(result['auc_clamped'])} "
        f"{number(result['auc_xdawn'])}  "
        f"{'yes' if result['same_as_offline'] else 'NO'}"
    )


def report(tasks: dict[str, dict[str, Any]]) -> None:
    for task, total in tasks.items():
        print(
            f"{task}: {total['correct']} right of {total['n_trials']} trials, "
            f"{total['accuracy']:.3f} (chance {total['chance']:.3f}, p {total['p']:.1e}); "
            f"of {total['n_whole']} whole trials {total['accuracy_whole']:.3f}, as "
            f"{total['n_cut']} are cut by the end of a file; mean AUC {number(total['auc'])}, "
            f"LDA {number(total['auc_lda'])} (clamped {number(total['auc_clamped'])}), Xdawn {number(total['auc_xdawn'])}"
        )


if __name__ == "__main__":
    main()
