"""Recordings with gaps, several rates or several clocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from edge_cases import gapped_files  # noqa: F401  (more cases of this kind)
from edge_cases.case import case, rt_decoder
from edge_cases.hearing import hear
from edge_cases.writers import (
    AT,
    ROWS,
    SFREQ,
    N,
    signal,
    table,
    write_xdf,
)

from rt_decoder.files.read import read_marked

RAW_STAMPS = "one line of clock offsets through two clocks: two of four words left"
TRUE = 1000 + np.arange(N) / SFREQ
MEASURED = np.arange(1000.0, 1060, 5)


def set_at(when: float, jump: float) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Stamps of a sender whose clock jumps, and the offsets that a recorder measures."""
    stamps = TRUE + jump * (when <= TRUE)
    return stamps, [(at + jump * (at >= when), -jump * (at >= when)) for at in MEASURED]


for _jump, _what, _before in (
    (4000.0, "a sender that restarts with another clock", "two of four words left"),
    (-990.0, "a sender whose clock starts from zero", "refused: stamps jump back by 990.0 s"),
    (0.5, "a clock set ahead by half a second", "rows 4450, 4950 where 4500, 5000 are right"),
    (-0.5, "a clock set back by half a second", "rows 4550, 5050 where 4500, 5000 are right"),
):

    @case("files", f"XDF of {_what}", _before)
    def reset(folder: Path, jump: float = _jump) -> str:
        """The line of each clock; no gap, for nothing is lost."""
        heard = hear(write_xdf(folder / "x.xdf", *set_at(1036.2, jump)))
        assert heard.rows == ROWS, heard.rows
        assert not heard.gaps
        np.testing.assert_allclose(heard.recording.times, TRUE, rtol=0, atol=1e-6)
        return heard.spikes()


@case("files", "XDF of a sender that was away for 3 s and came back with another clock", RAW_STAMPS)
def reset_after_a_pause(folder: Path) -> str:
    stamps, clock = set_at(1036.2, 4000.0)
    late = np.arange(N) >= 3620
    marks = [1000.0 + at + 3 * (at > 36) for at in AT]
    heard = hear(write_xdf(folder / "x.xdf", stamps + 3 * late, clock, marks=marks))
    assert heard.rows == ROWS, heard.rows
    assert heard.gaps == [(3620, 300)], heard.gaps
    return heard.spikes()


@case("files", "XDF of a stimulus computer that restarts", RAW_STAMPS)
def reset_of_the_markers(folder: Path) -> str:
    _, clock = set_at(1040, 7e5)
    marks = [1000.0 + at + 7e5 * (at > 40) for at in AT]
    heard = hear(write_xdf(folder / "x.xdf", TRUE, marks=marks, marks_clock=clock))
    assert heard.rows == ROWS, heard.rows
    return heard.spikes()


@case("files", "XDF with two clock measurements that strayed", "right: a median line")
def strayed_offsets(folder: Path) -> str:
    clock = [(at, 0.4 * (k in (3, 8))) for k, at in enumerate(MEASURED)]
    heard = hear(write_xdf(folder / "x.xdf", TRUE, clock))
    assert heard.rows == ROWS, heard.rows
    return heard.spikes()


@case("files", "XDF of a network that was busy for 20 s", "right: a median line")
def busy_network(folder: Path) -> str:
    """Offsets that step by 80 ms and back, while the stamps do not: the clock was not set."""
    clock = [(at, 0.08 * (4 <= k < 8)) for k, at in enumerate(MEASURED)]
    heard = hear(write_xdf(folder / "x.xdf", TRUE, clock))
    assert heard.rows == ROWS, heard.rows
    assert not heard.gaps
    return heard.spikes()


@case("files", "XDF whose offsets nobody measured, of a clock set ahead", "right: a gap")
def unmeasured_step(folder: Path) -> str:
    """It looks like a loss, and is said to be one: words after it are not moved."""
    stamps, _ = set_at(1036.2, 0.5)
    marks = [1000.0 + at + 0.5 * (at > 36) for at in AT]  # of the same computer
    heard = hear(write_xdf(folder / "x.xdf", stamps, marks=marks))
    assert heard.rows == ROWS, heard.rows
    assert heard.gaps == [(3620, 50)], heard.gaps
    return heard.spikes()


BURSTS = np.repeat(TRUE[24::25], 25)
ON_RAW = "rows off by 3 to 11: the stamp of the marked row"


@case(
    "files",
    "events table beside XDF stamped in bursts of 25",
    "rows off by one: the nearest raw stamp",
)
def bursts_table(folder: Path) -> str:
    events = table(folder / "e.tsv", [at - 0.24 for at in AT])  # from the first stamp
    heard = hear(write_xdf(folder / "x.xdf", BURSTS), events)
    assert heard.rows == ROWS, heard.rows
    assert [marker.index for marker in read_marked(folder / "x.xdf", events)[1]] == ROWS
    return heard.spikes()


@case(
    "files",
    "markers in XDF stamped in bursts of 25",
    "right where decoded; off by up to 12 after convert",
)
def bursts_markers(folder: Path) -> str:
    heard = hear(write_xdf(folder / "x.xdf", BURSTS))
    assert heard.rows == ROWS, heard.rows
    assert [marker.index for marker in heard.recording.markers] == ROWS
    ran = rt_decoder("convert", folder / "x.xdf", "-o", folder / "x.fif")
    assert ran.code == 0, ran.err
    assert (again := hear(folder / "x.fif")).rows == ROWS, again.rows
    return heard.spikes() + "; after convert the same"


def write_csv(path: Path, stamps: np.ndarray) -> Path:
    """The signal in uV, with a marker column."""
    codes = np.zeros(N)
    codes[ROWS] = range(1, 5)
    rows = np.column_stack((stamps, 1e6 * signal(AT), codes))
    header = "timestamps,Fz,Cz,Pz,Oz,Marker0"
    np.savetxt(path, rows, fmt="%.6f", delimiter=",", header=header, comments="")
    return path


@case("files", "marker column of a CSV file stamped in bursts of 12", ON_RAW)
def csv_markers(folder: Path) -> str:
    path = write_csv(folder / "x.csv", np.repeat(TRUE[11::12], 12))
    heard = hear(path, units="microvolts")
    assert heard.rows == ROWS, heard.rows
    return heard.spikes()


@case(
    "files",
    "events table beside a CSV file stamped in bursts of 25",
    "rows off by one: the nearest raw stamp",
)
def csv_table(folder: Path) -> str:
    path = write_csv(folder / "x.csv", BURSTS)
    heard = hear(path, table(folder / "e.tsv", [at - 0.24 for at in AT]), units="microvolts")
    assert heard.rows == ROWS, heard.rows
    return heard.spikes()


@case(
    "files",
    "trigger channel of XDF stamped in bursts of 25",
    "rows off by 24: the stamp of the marked row",
)
def bursts_trigger(folder: Path) -> str:
    codes = np.zeros((N, 1))
    codes[ROWS, 0] = range(1, 5)
    path = write_xdf(folder / "x.xdf", BURSTS, data=np.hstack((1e6 * signal(AT), codes)))
    heard = hear(path, markers="channel:TRIG")
    assert heard.rows == ROWS, heard.rows
    return heard.spikes()
