"""The scale of a signal, and values that are no numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from edge_cases.case import case, rt_calibrate, rt_decoder
from edge_cases.channel_files import (
    NAMES,
    SFREQ,
    TYPES,
    as_decoded,
    decode,
    events_table,
    marks,
    microvolts,
    model_path,
    readouts,
    refused,
    write_csv,
    write_fif,
    write_xdf,
)

# --- scale


def other_scale(name: str, gain: float, before: str) -> None:
    @case("channels", name, before)
    def _(folder: Path) -> str:
        data = microvolts() * np.r_[np.full(8, gain), np.ones(4)]
        path = write_xdf(folder / "a.xdf", NAMES, data, types=TYPES)
        said = refused(decode(folder, path), "a.xdf: need the scale of calibration, got Fz x")
        assert not (folder / "log.jsonl").exists()
        return said


WITHOUT_A_WORD = "decoded or scored without a word, exit 0"
other_scale("decode of data 1,000 times too small", 1e-3, WITHOUT_A_WORD)
other_scale("decode of data a million times too large", 1e6, WITHOUT_A_WORD)
other_scale("decode of data 30 times too large", 30.0, WITHOUT_A_WORD)


@case("channels", "evaluate of data 1,000 times too small", WITHOUT_A_WORD)
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, 1e-3 * microvolts(), types=TYPES)
    ran = rt_calibrate("evaluate", path, "--model", model_path())
    return refused(ran, "a.xdf: need the scale of calibration", "x0.001")


@case("channels", "clean of data 1,000 times too small", "cleaned without a word")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, 1e-3 * microvolts(), types=TYPES)
    ran = rt_decoder("clean", path, "--model", model_path(), "-o", folder / "c_raw.fif")
    assert not (folder / "c_raw.fif").exists()
    return refused(ran, "a.xdf: need the scale of calibration", "x0.001")


@case("channels", "runs of one fit in different units", "fitted without a word")
def _(folder: Path) -> str:
    one = write_xdf(folder / "one.xdf", NAMES, microvolts(), types=TYPES)
    two = write_xdf(folder / "two.xdf", NAMES, microvolts()[::-1] * 1e3, types=TYPES)
    ran = rt_calibrate("cleaning", one, two, "-o", folder / "m.safetensors")
    assert not (folder / "m.safetensors").exists()
    return refused(ran, "two.xdf: need the scale of one.xdf", "is the unit right")


@case(
    "channels",
    "100 uV of mains is no unit",
    "decoded; live, steps were compared, and it was refused",
)
def _(folder: Path) -> str:
    hum = 141.0 * np.sin(2 * np.pi * 50.0 * np.arange(len(microvolts())) / SFREQ)
    path = write_xdf(folder / "a.xdf", NAMES, microvolts() + hum[:, None], types=TYPES)
    ran = decode(folder, path)
    assert (ran.code, "scale" in ran.err) == (0, False), ran.err
    return f"decoded, {len(readouts(folder / 'log.jsonl'))} readouts"


@case("channels", "another day, three times larger", "decoded")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, 3.0 * microvolts(), types=TYPES)
    ran = decode(folder, path)
    assert (ran.code, "scale" in ran.err) == (0, False), ran.err
    return f"decoded, {len(readouts(folder / 'log.jsonl'))} readouts"


# --- NaN


@case("channels", "NaN in a channel in use", "refused: need numbers, got 1 NaN")
def _(folder: Path) -> str:
    data, (onset, label) = microvolts().copy(), marks()[3]
    data[round((onset + 0.3) * SFREQ), 2] = np.nan
    path = write_xdf(folder / "a.xdf", NAMES, data, types=TYPES)
    ran = decode(folder, path)
    assert ran.code == 0, ran.err
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    of_word = [line for line in lines if line["type"] == "readout"][3]
    assert of_word["label"] == label
    assert "nonfinite" in of_word["reasons"], of_word
    return f"held and flagged: {', '.join(of_word['reasons'])}, quality {of_word['quality']}"


@case("channels", "NaN in FIF, in a channel that nobody uses", "refused: need numbers")
def _(folder: Path) -> str:
    data = np.column_stack((microvolts(), np.full(len(microvolts()), np.nan)))
    path = write_fif(folder / "a_raw.fif", (*NAMES, "spare"), (*TYPES, "misc"), data)
    return as_decoded(folder, path)


@case("channels", "NaN in CSV, in a channel that nobody uses", "refused: need numbers")
def _(folder: Path) -> str:
    data = np.column_stack((microvolts(), np.full(len(microvolts()), np.nan)))
    path = write_csv(folder / "a.csv", (*NAMES, "spare"), data)
    return as_decoded(
        folder, path, "--events", events_table(folder), "--units", "microvolts"
    )  # fmt: skip


@case("channels", "nothing but NaN", "refused: need numbers, got 6000 NaN")
def _(folder: Path) -> str:
    path = write_xdf(folder / "a.xdf", NAMES, np.full_like(microvolts(), np.nan), types=TYPES)
    return refused(decode(folder, path), "a.xdf: need numbers, got only NaN")


@case("channels", "a picked channel of nothing but NaN", "refused: need numbers")
def _(folder: Path) -> str:
    data = microvolts().copy()
    data[:, 4] = np.inf
    path = write_xdf(folder / "a.xdf", NAMES, data, types=TYPES)
    return refused(
        rt_calibrate("cleaning", path, "-o", folder / "m.safetensors"), "only NaN in C3: leave it"
    )
