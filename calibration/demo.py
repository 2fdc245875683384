"""The main job on a simulated participant: calibrate, stream over LSL, decode live, score.

Vocabulary and vectors are real (frequent English words, MiniLM); brain, artifacts and amplifier
are simulated. The stream comes from another process over real LSL on loopback.

Readouts come at markers only. No posterior of continuous readouts is fitted: words follow each other
without pauses, so that it would never answer, at the cost of another pass of the live stages.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration.cleaning.chain import fit_cleaning
from calibration.cleaning.seen import unlocked_share
from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from calibration.language.embeddings import embed
from calibration.language.words import frequent_words
from calibration.monitor import fit_monitor
from calibration.nulls import matching_test
from calibration.report.text import certificate_lines, cleaning_lines
from calibration.scores import rank_accuracies, summarize
from rt_decoder.counted import counted
from rt_decoder.files.atomic import replacing, write_whole
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.proof import why_unproven
from rt_decoder.files.recording import Recording
from rt_decoder.files.xdf_writer import XdfWriter
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import Readout
from rt_decoder.simulation.participant import Participant
from rt_decoder.timing.markers import MarkerRules

__all__ = ["run_demo", "save_recording", "simulate_recording"]

CALIBRATION_WORDS = 1200


def simulate_recording(
    *,
    seconds: float | None = None,
    n_words: int | None = None,
    n_vocabulary: int,
    n_channels: int = 32,
    sfreq: float = 250.0,
    seed: int = 0,
    session: int = 1,
    responses: int | None = None,
) -> Recording:
    """Record a simulated participant who hears frequent English words.

    Parameters
    ----------
    seconds, n_words : float, int or None
        Length in s or in words; pass one of them.
    n_vocabulary : int
        Size of the vocabulary.
    n_channels : int
        Number of EEG channels.
    sfreq : float
        Sampling rate in Hz.
    seed : int
        Random seed of the participant.
    session : int
        Random seed of the words heard and of the noise.
    responses : int or None
        Random seed of what words evoke, for people who share it.

    Returns
    -------
    Recording
    """
    words = frequent_words(n_vocabulary)
    participant = Participant(
        embed(words),
        words,
        n_channels=n_channels,
        sfreq=sfreq,
        references=True,
        seed=seed,
        responses=responses,
    )
    simulation = participant.simulate(
        n_words=n_words, duration=seconds, seed=session, components=False
    )
    stamps = np.arange(len(simulation.data)) / sfreq
    name = f"simulated-{seed}-{session}"
    return Recording(simulation.data, stamps, simulation.info, simulation.events, name=name)


def save_recording(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording as XDF, with its markers also as a BIDS events table beside it.

    Parameters
    ----------
    recording : Recording
        What to write.
    path : path
        Of the XDF file; the table's ends in ``.tsv``.
    overwrite : bool
        Whether files of these names may be replaced.

    Raises
    ------
    OSError
        If a file cannot be written, or exists and may not be replaced.
    """
    with replacing(path, overwrite) as new:
        _write_xdf(recording, new)
    first = recording.stamps[0]
    lines = ["onset\tduration\ttrial_type\tword"]
    lines += [f"{float(m.time - first)!r}\t0\tword\t{m.label}" for m in recording.markers]
    write_whole(path.with_suffix(".tsv"), ("\n".join(lines) + "\n").encode(), overwrite)


def _write_xdf(recording: Recording, path: Path) -> None:
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name=recording.name, type="EEG", info=recording.info)
        xdf.add_stream(2, name=f"{recording.name}-markers", type="Markers")
        for start in range(0, len(recording.data), 4096):
            rows = slice(start, start + 4096)
            xdf.write_samples(1, recording.data[rows], recording.stamps[rows])
        labels = [marker.label for marker in recording.markers]
        xdf.write_samples(2, labels, np.array([marker.time for marker in recording.markers]))


def run_demo(
    *, seconds: float, n_vocabulary: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the whole demonstration.

    Parameters
    ----------
    seconds : float
        Length of the live part, in s.
    n_vocabulary : int
        Words to choose among.
    seed : int
        Random seed of the participant.
    say : callable
        Called with each line to print.

    Returns
    -------
    dict
        Scores, latencies in ms and stage times in us.

    Raises
    ------
    ValueError
        If the model is not above its nulls.
    """
    with tempfile.TemporaryDirectory(prefix="rt_decoder-demo-") as folder:
        say(f"1. a simulated participant hears {CALIBRATION_WORDS} words drawn from {n_vocabulary}")
        calibration = simulate_recording(
            n_words=CALIBRATION_WORDS, n_vocabulary=n_vocabulary, seed=seed, session=1
        )
        say("2. calibration: live stages over the recording, ridge to MiniLM, certificate")
        path = Path(folder, "demo.rtd.safetensors")
        save_model(_calibrate(calibration, n_vocabulary, say), path)
        model = load_model(path)
        if why := why_unproven(model):
            raise ValueError(f"need a model that is above its nulls, got one that is not: {why}")
        say(f"3. live: {seconds:g} s over LSL, artifacts in the signal; truth -> decoded")
        live = simulate_recording(seconds=seconds, n_vocabulary=n_vocabulary, seed=seed, session=2)
        recording = Path(folder, "live.xdf")
        save_recording(live, recording)
        labels, cosines, footer = _decode_live(model, recording, f"demo-{seed}", say)
    return _result(model, len(live.markers), labels, cosines, footer, say)


def _calibrate(recording: Recording, n_vocabulary: int, say: Callable[[str], None]) -> Model:
    recipe = Recipe.from_dict({"target": {"vocabulary": f"wordfreq:{n_vocabulary}"}})
    draft = draft_model([recording], recipe)
    labelled = label_recording(recording, None, recipe, MarkerRules())
    share = unlocked_share([labelled], recipe.fit)
    draft, cleaning = fit_cleaning(draft, [labelled], share=share)
    design = build_design(draft, [labelled])
    model = fit_model(draft, design, say=lambda line: say(f"   {line}"))
    model = fit_monitor(model, design, [labelled], say=lambda line: say(f"   {line}"))
    model = replace(model, certificate={**model.certificate, "cleaning": cleaning})
    for line in (*cleaning_lines(cleaning), *certificate_lines(model)):
        say(f"   {line}")
    return model


def _decode_live(
    model: Model, recording: Path, name: str, say: Callable[[str], None]
) -> tuple[list[str], list[np.ndarray], dict[str, Any]]:
    """Labels and cosines of every event readout, and the session's footer."""
    from rt_decoder.commands.interrupt import stop_on_signals
    from rt_decoder.commands.lines import readout_text
    from rt_decoder.live.opening import open_session
    from rt_decoder.live.run_options import RunOptions

    command = [sys.executable, "-m", "rt_decoder", "replay", str(recording), "--name", name]
    labels: list[str] = []
    cosines: list[np.ndarray] = []
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(_running(command))
        options = RunOptions(
            selection={"name": name}, markers=f"{name}-markers", timeout=60.0, until_lost=True
        )
        should_stop = stack.enter_context(stop_on_signals())

        def keep(readout: Readout) -> None:
            labels.append(readout.label)
            cosines.append(session.decoder.pipeline.answerer.scores.copy())  # type: ignore[union-attr]
            hit = "*" if readout.label in readout.words else " "
            say(f"  {hit}{readout_text(readout)}")

        session = open_session(model, options, stack, on_readout=keep)
        footer = session.run(should_stop)
        if sender.poll() not in (None, 0):
            raise OSError(f"the sender ended with exit code {sender.returncode}")
    if should_stop.came and not labels:
        raise KeyboardInterrupt("no word was decoded")
    return labels, cosines, footer


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _result(
    model: Model,
    n_words: int,
    labels: Sequence[str],
    cosines: Sequence[np.ndarray],
    footer: dict[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    if not labels:
        raise OSError(
            f"need words decoded live, got none of {n_words} ({footer['n_samples']} samples came)"
        )
    place = {item: i for i, item in enumerate(model.items)}
    truth = np.array([place[label] for label in labels])
    similarity = np.stack(cosines)
    scores = summarize(similarity, truth, np.exp(model.log_prior))
    null = matching_test(rank_accuracies(similarity), truth)
    latency, stages = footer["latency_ms"], footer["stages_us"]
    say(
        f"4. {len(labels)} of {counted(n_words, 'word')} decoded live, trained on another recording of the "
        f"same participant, {counted(len(model.items), 'word')} to choose among"
    )
    for name in ("top1", "top10", "rank_accuracy"):
        say(
            f"   {name:<14}{scores[name]:.3f}   chance {scores[f'chance_{name}']:.3f}   "
            f"prior only {scores[f'prior_{name}']:.3f}"
        )
    say(f"   rank accuracy against permuted labels: p = {null.p:.2g}")
    say("   newest sample to readout, ms: " + _row(latency) + f"   late: {footer['n_late']}")
    for name, row in stages.items():
        say(f"   {name:<14}us: {_row(row)}")
    return {
        "vocabulary": len(model.items),
        "n_words": n_words,
        "decoded": len(labels),
        "top1": scores["top1"],
        "top10": scores["top10"],
        "rank_accuracy": scores["rank_accuracy"],
        "chance_top10": scores["chance_top10"],
        "prior_top10": scores["prior_top10"],
        "p": null.p,
        "latency_ms": latency,
        "late": footer["n_late"],
        "stages_us": {name: {q: row[q] for q in ("p50", "p99")} for name, row in stages.items()},
    }


def _row(percentiles: dict[str, float | None]) -> str:
    return "  ".join(
        f"{name} {value:.2f}" for name, value in percentiles.items() if value is not None
    )
