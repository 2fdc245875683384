"""Measure a copy speller: does it make as few errors as was wanted, and how fast is it?

Each simulated person (eight channels, all artifacts, twelve words, one strength of the response each)
is calibrated on one recording. In another recording, with other words and noise, every word is read
out with its posterior. The speller (`rt_decoder.Evidence`) is to copy words: readouts of a word, in the
order of time, are its cues, one every `--soa` s, until the speller is sure or has seen `--most`; a word
is begun only where so many cues are left. It is told the truth after it has decided. Beside it stands
the same evidence after a fixed number of cues: of all numbers the fastest whose errors are as few as
was wanted, a choice that only somebody who knows the truth could make.

Goals: over all people the error rate is at most the wanted one, and in no person higher by more than
chance (binomial p below .01 / people). Nothing is fitted on the second recording.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from rt_decoder import Decoder, Evidence, Model, Readout, decode_recording
from rt_decoder.decoding.answering import make_answering
from rt_decoder.files.recording import Recording
from rt_decoder.recipe import Recipe
from rt_decoder.signal import Choice
from rt_decoder.simulation.participant import Participant
from rt_decoder.timing.markers import MarkerRules

SNR = (0.25, 0.35, 0.5, 0.7)
WORDS = tuple(f"word{i}" for i in range(12))
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 16))
P = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=15.0, help="length of each recording")
    parser.add_argument("--error-rate", type=float, default=0.05, help="wanted")
    parser.add_argument("--most", type=int, default=20, help="cues a word")
    parser.add_argument("--soa", type=float, default=1.0, help="s from a cue to the next")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.people < 1 or args.minutes < 1 or not 0 < args.error_rate < 1 or args.most < 1:
        parser.error("need a person, a minute, an error rate between 0 and 1, and a cue")
    console = Console(stderr=True)
    rows = [person(number, args) for number in track(range(args.people), "people", console=console)]
    report(rows, args.error_rate)
    n = sum(row["n"] for row in rows)
    n_wrong = sum(row["n_wrong"] for row in rows)
    rate = n_wrong / n
    rates = [row["bits_per_minute"] for row in rows]
    told = {
        "wanted": args.error_rate, "minutes": args.minutes, "people": rows, "n": n,
        "error_rate": rate, "bits_per_minute": float(np.mean(rates)),
        "fixed_bits_per_minute": float(np.mean([row["fixed_bits_per_minute"] for row in rows])),
    }  # fmt: skip
    if args.json:
        print(json.dumps(told, allow_nan=False))
    missed = [
        f"person {row['person']}: {row['error_rate']:.3f} of {row['n']} wrong (p = {row['p']:.1g})"
        for row in rows
        if row["p"] < P / len(rows)
    ]
    if rate > args.error_rate:
        missed.append(f"{rate:.3f} of {n} wrong, not {args.error_rate}")
    if missed:
        sys.exit(f"eval_speller: {'; '.join(missed)}")


def recorded(one: Participant, seed: int, minutes: float) -> Recording:
    heard = one.simulate(duration=60 * minutes, seed=seed, components=False, soa=(0.8, 1.0))
    stamps = np.arange(len(heard.data)) / heard.info.sfreq
    return Recording(heard.data, stamps, heard.info, heard.events, name=f"simulated-{seed}")


def embedder(texts: Sequence[str], **_: Any) -> np.ndarray:
    return VECTORS[[WORDS.index(text) for text in texts]]


def fitted(recording: Recording) -> Model:
    recipe = Recipe.from_dict(
        {"stream": {"picks": ["eeg"]}, "clean": {"stages": []}, "fit": {"n_permutations": 19}}
    )
    draft = draft_model([recording], recipe)
    design = build_design(draft, [label_recording(recording, None, recipe, MarkerRules())])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return fit_model(draft, design, embedder=embedder)


def person(number: int, args: argparse.Namespace) -> dict[str, Any]:
    snr = SNR[number % len(SNR)]
    one = Participant(VECTORS, WORDS, n_channels=8, references=True, snr=snr, seed=number)
    model = fitted(recorded(one, 1, args.minutes))
    recording = recorded(one, 2, args.minutes)
    decoder = Decoder(model, recording.info)
    decoder.pipeline.answerer.answer_by(make_answering(model, Choice(posterior=True)))
    cues: dict[str, list[Readout]] = {word: [] for word in WORDS}
    for readout in decode_recording(model, recording, recording.markers, decoder=decoder):
        cues[readout.label].append(readout)
    correlation = model.certificate["pooled"]["correlation"]
    stopped = spelled(model.items, cues, args, error_rate=args.error_rate, correlation=correlation)
    row = {"person": number, "snr": snr, "correlation": correlation} | stopped
    row["p"] = float(binom.sf(row["n_wrong"] - 1, row["n"], args.error_rate))
    fixed = {
        n: spelled(model.items, cues, args, stop=1.0, fixed=n, correlation=correlation)
        for n in range(1, args.most + 1)
    }
    good = [n for n, told in fixed.items() if told["error_rate"] <= args.error_rate]
    row["fixed"] = min(good) if good else args.most
    row["fixed_error_rate"] = fixed[row["fixed"]]["error_rate"]
    row["fixed_bits_per_minute"] = fixed[row["fixed"]]["bits_per_minute"]
    return row


def spelled(
    items: Sequence[str], cues: dict[str, list[Readout]], args: argparse.Namespace,
    fixed: int = 0, **rule: Any,
) -> dict[str, Any]:  # fmt: skip
    """Copy words, as many times as there are cues; one after the other, word by word."""
    evidence = Evidence(items, most=fixed or args.most, **rule)
    clock = 0.0
    for word, readouts in cues.items():
        place = 0
        while place + args.most <= len(readouts):
            while not evidence.is_done:
                shift = clock - readouts[place].onset
                moved = readouts[place]._replace(onset=clock, time=readouts[place].time + shift)
                evidence.add(moved)
                clock, place = clock + args.soa, place + 1
            evidence.decide(truth=word)
    told = evidence.summary()
    n_wrong = sum(not one.is_right for one in evidence.decisions)
    names = ("n", "n_sure", "error_rate", "expected_error_rate", "readouts", "bits_per_minute")
    return {name: told[name] for name in names} | {"n_wrong": n_wrong}


def report(rows: Sequence[dict[str, Any]], wanted: float) -> None:
    table = Table(title=f"copy speller, wanted error rate {wanted}")
    for head in (
        "person", "snr", "words", "sure", "errors", "expected", "cues", "bits/min", "fixed cues",
        "errors", "bits/min",
    ):  # fmt: skip
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(
            str(row["person"]), f"{row['snr']}", str(row["n"]), str(row["n_sure"]),
            f"{row['error_rate']:.3f}", f"{row['expected_error_rate']:.3f}",
            f"{row['readouts']:.1f}", f"{row['bits_per_minute']:.1f}", str(row["fixed"]),
            f"{row['fixed_error_rate']:.3f}", f"{row['fixed_bits_per_minute']:.1f}",
        )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
