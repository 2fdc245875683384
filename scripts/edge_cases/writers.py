"""Write small recordings in many formats: bytes, mne and scipy, nothing of the program's.

The first channel is 0 but for a spike of 1 mV at every true event sample, so that truth is in the
data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SFREQ = 100
N = 6000
AT, WORDS = (10, 30, 45, 50), ("cat", "dog", "axe", "owl")  # s of recorded signal
ROWS = [1000, 3000, 4500, 5000]


def signal(spikes: Iterable[float], n: int = N, n_channels: int = 4) -> np.ndarray:
    """Noise of 10 uV, and spikes of 1 mV in the first channel at these s; (n, c) in V."""
    data = 1e-5 * np.random.default_rng(7).standard_normal((n, n_channels))
    data[:, 0] = 0
    data[[round(at * SFREQ) for at in spikes], 0] = 1e-3
    return data


def table(path: Path, onsets: Iterable[float], words: Iterable[str] = WORDS) -> Path:
    """Write an events table."""
    rows = "".join(f"{on:.4f}\t0\t{word}\n" for on, word in zip(onsets, words, strict=True))
    path.write_text(f"onset\tduration\tword\n{rows}")
    return path


def _length(n: int) -> bytes:
    return b"\x01" + bytes([n]) if n < 256 else b"\x04" + struct.pack("<I", n)


def _chunk(tag: int, body: bytes) -> bytes:
    body = struct.pack("<H", tag) + body
    return _length(len(body)) + body


def _header(number: int, name: str, kind: str, n: int, rate: int, form: str) -> bytes:
    named = "".join(
        f"<channel><label>{label}</label><type>{kind}</type><unit>microvolts</unit></channel>"
        for label in ("Fz", "Cz", "Pz", "Oz", "TRIG")[: n if rate else 0]
    )
    xml = (
        f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
        f"<channel_count>{n}</channel_count><nominal_srate>{rate}</nominal_srate>"
        f"<channel_format>{form}</channel_format><source_id>s{number}</source_id>"
        f"<desc><channels>{named}</channels></desc></info>"
    )
    return _chunk(2, struct.pack("<I", number) + xml.encode())


def _samples(number: int, stamps: np.ndarray, values: Iterable[bytes]) -> bytes:
    body = b"".join(
        b"\x08" + struct.pack("<d", stamp) + value
        for stamp, value in zip(stamps, values, strict=True)
    )
    return _chunk(3, struct.pack("<IBI", number, 4, len(stamps)) + body)


def write_xdf(
    path: Path,
    stamps: np.ndarray,
    clock: Iterable[tuple[float, float]] = (),
    *,
    marks: Sequence[float] = tuple(1000.0 + at for at in AT),
    marks_clock: Iterable[tuple[float, float]] = (),
    data: np.ndarray | None = None,
) -> Path:
    """Write the signal with these stamps, words, and clock offsets as (when, offset)."""
    values = (1e6 * signal(AT) if data is None else data).astype("<f4")
    n_channels = values.shape[1]
    parts = [
        _chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>"),
        _header(1, "Amp", "EEG", n_channels, SFREQ, "float32"),
        _header(2, "Stim", "Markers", 1, 0, "string"),
    ]
    for start in range(0, len(stamps), 50):
        part = slice(start, start + 50)
        parts.append(_samples(1, stamps[part], (row.tobytes() for row in values[part])))
    parts.append(_samples(2, np.array(marks), (_length(len(w)) + w.encode() for w in WORDS)))
    for number, offsets in ((1, clock), (2, marks_clock)):
        parts += [_chunk(4, struct.pack("<Idd", number, *one)) for one in offsets]
    path.write_bytes(b"XDF:" + b"".join(parts))
    return path


class Channel(NamedTuple):
    """One signal of an EDF file: +-3276.7 uV."""

    label: str
    rate: int
    counts: np.ndarray


def counts(spikes: Iterable[float] = (), n: int = N, *, rate: int = SFREQ) -> np.ndarray:
    """A flat signal with spikes of 1 mV, as EDF's whole numbers of .1 uV."""
    values = np.zeros(n, int)
    values[[round(at * rate) for at in spikes]] = 10000
    return values


EEG = [
    Channel(name, SFREQ, np.rint(1e7 * column).astype(int))
    for name, column in zip(("EEG Cz", "EEG Pz"), signal(()).T[1:], strict=False)
]


def write_edf(
    path: Path,
    channels: Sequence[Channel],
    notes: Iterable[tuple[float, str]] = (),
    starts: Sequence[float] | None = None,
) -> Path:
    """Write EDF+ (BDF+ by its name) with records of 1 s; with `starts`, discontinuous."""
    is_bdf = path.suffix == ".bdf"
    width, kind = (3, "BDF") if is_bdf else (2, "EDF")
    n_records = len(channels[0].counts) // channels[0].rate
    begins = list(range(n_records)) if starts is None else list(starts)
    n_text = 120 // width
    sizes = [*(channel.rate for channel in channels), n_text]
    n = len(sizes)

    def texts(values: Iterable[object], size: int) -> bytes:
        return b"".join(str(value).encode()[:size].ljust(size) for value in values)

    low, high = (-8388608, 8388607) if is_bdf else (-32768, 32767)
    most = high / 10
    head = (b"\xffBIOSEMI" if is_bdf else b"0       ") + texts(["X X X X"], 80)
    head += texts(["Startdate 31-MAR-2024 X X X"], 80) + b"31.03.2410.00.00"
    head += texts([256 * (n + 1)], 8) + texts([kind + ("+C" if starts is None else "+D")], 44)
    head += texts([n_records, 1], 8) + texts([n], 4)
    head += texts([*(channel.label for channel in channels), f"{kind} Annotations"], 16)
    head += texts([""] * n, 80) + texts([*["uV"] * len(channels), ""], 8)
    head += texts([*[-most] * len(channels), -1], 8) + texts([*[most] * len(channels), 1], 8)
    head += texts([low] * n, 8) + texts([high] * n, 8) + texts([""] * n, 80)
    head += texts(sizes, 8) + texts([""] * n, 32)
    body = [head]
    for k, begin in enumerate(begins):
        for channel in channels:
            part = channel.counts[k * channel.rate : (k + 1) * channel.rate].astype("<i4")
            body.append(part.view("u1").reshape(-1, 4)[:, :width].tobytes())
        text = b"" if np.isnan(begin) else f"+{begin:g}\x14\x14\0".encode()
        for onset, label in notes:
            if begin <= onset < begin + 1:
                text += f"+{onset:g}\x14{label}\x14\0".encode()
        body.append(text.ljust(width * n_text, b"\0"))
    path.write_bytes(b"".join(body))
    return path


def write_gdf(path: Path, channels: Sequence[Channel]) -> Path:
    """Write GDF 1.25 with records of 1 s."""
    n, n_records = len(channels), len(channels[0].counts) // channels[0].rate
    head = b"GDF 1.25" + b"X".ljust(80) + b"X".ljust(80) + b"2024033110000000"
    head += struct.pack("<q", 256 * (n + 1)) + bytes(44) + struct.pack("<qIII", n_records, 1, 1, n)
    head += b"".join(one.label.encode().ljust(16) for one in channels) + b" " * 80 * n
    head += b"uV      " * n + struct.pack("<d", -3276.8) * n + struct.pack("<d", 3276.7) * n
    head += struct.pack("<q", -32768) * n + struct.pack("<q", 32767) * n + b" " * 80 * n
    head += struct.pack(f"<{n}I", *(one.rate for one in channels)) + struct.pack("<I", 3) * n
    head += bytes(32 * n)
    records = (
        one.counts[k * one.rate : (k + 1) * one.rate].astype("<i2").tobytes()
        for k in range(n_records)
        for one in channels
    )
    no_events = b"\x01" + SFREQ.to_bytes(3, "little") + bytes(4)
    path.write_bytes(head + b"".join(records) + no_events)
    return path


def mne_raw(data: np.ndarray, onsets: Iterable[float], words: Iterable[str]) -> Any:
    import mne

    raw = mne.io.RawArray(
        data.T, mne.create_info(["Fz", "Cz", "Pz", "Oz"], SFREQ, "eeg"), verbose="error"
    )
    onsets = list(onsets)
    raw.set_annotations(mne.Annotations(onsets, [0.0] * len(onsets), list(words)))
    return raw


def write_joined(path: Path) -> Path:
    """Two FIF files joined, the second with an offset in three channels."""
    import mne

    halves = [
        mne_raw(signal((10, 20), 3000) + 1e-4 * k * (np.arange(4) > 0), (10, 20), ("cat", "dog"))
        for k in range(2)
    ]
    mne.concatenate_raws(halves, verbose="error").save(path, verbose="error")
    return path


def write_set(path: Path, cut: float | None) -> Path:
    """EEGLAB file with a boundary before row 2000; `cut` samples were taken out there."""
    from scipy.io import savemat

    events = [(1000, "cat", 0), (2000.5, "boundary", cut), *((row + 1, word, 0) for row, word in
              zip(ROWS[1:], WORDS[1:], strict=True))]  # fmt: skip
    events[0] = (1001, "cat", 0)
    event = np.array(
        [(float(at), kind, np.zeros(0) if n is None else float(n)) for at, kind, n in events],
        dtype=[("latency", "O"), ("type", "O"), ("duration", "O")],
    )
    chanlocs = np.array([(name,) for name in ("Fz", "Cz", "Pz", "Oz")], dtype=[("labels", "O")])
    eeg = {
        "setname": "x", "nbchan": 4.0, "trials": 1.0, "pnts": float(N), "srate": float(SFREQ),
        "xmin": 0.0, "xmax": (N - 1) / SFREQ, "data": 1e6 * signal(AT).T, "event": event,
        "chanlocs": chanlocs, "icawinv": [], "icasphere": [], "icaweights": [], "epoch": [],
    }  # fmt: skip
    savemat(path, {"EEG": eeg}, appendmat=False)
    return path


def write_vhdr(path: Path, marks: Iterable[str]) -> Path:
    """BrainVision in 0.1 uV, with a stimulus at each row of `ROWS` and these marks more."""
    names = "".join(f"Ch{k}={name},,0.1,uV\n" for k, name in enumerate(("Fz", "Cz", "Pz", "Oz"), 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        "DataOrientation=MULTIPLEXED\nNumberOfChannels=4\nSamplingInterval=10000\n\n"
        f"[Binary Infos]\nBinaryFormat=INT_16\n\n[Channel Infos]\n{names}"
    )
    words = [f"Stimulus,{word},{row + 1},1,0" for row, word in zip(ROWS, WORDS, strict=True)]
    lines = [f"Mk{k}={mark}\n" for k, mark in enumerate([*marks, *words], 1)]
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\n\n[Marker Infos]\n{''.join(lines)}"
    )
    path.with_suffix(".eeg").write_bytes(np.rint(1e7 * signal(AT)).astype("<i2").tobytes())
    return path
