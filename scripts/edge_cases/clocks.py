"""Stamps that are not what they seem: in files of other recorders, live, and in our own records."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
from edge_cases.case import case
from edge_cases.played import LABELS, Played, decode, is_given_back, live, write_xdf

T0 = 1000.0
AT = (4.0, 6.5, 9.0)  # s, of the markers
N = 3000  # samples at 250 Hz


def stamps(sfreq: float = 250.0) -> np.ndarray:
    return T0 + np.arange(int(12 * sfreq)) / sfreq


def pushes(length: int, sfreq: float = 250.0, at: int = -1, late: float = 1e-3) -> np.ndarray:
    """Samples sent `length` at once, with one stamp: that of the sample `at` among them."""
    true = stamps(sfreq)
    first = np.arange(len(true)) // length * length
    row = np.minimum(first + (at if at >= 0 else length - 1), len(true) - 1)
    return (
        true[row] + late * np.random.default_rng(1).random(len(true) // length + 1)[first // length]
    )


def spaced(length: int, sfreq: float) -> np.ndarray:
    """The same, where the sender counted the stamps back from the last."""
    true = stamps(sfreq)
    jitter = 2e-3 * np.random.default_rng(1).random(len(true) // length + 1)
    return true + jitter[np.arange(len(true)) // length]


def one(value: float, row: int = 1003) -> np.ndarray:
    odd = stamps()
    odd[row] = value
    return odd


def marks(offset: float = 0.0) -> list[tuple[str, float]]:
    return [(label, T0 + at + offset) for label, at in zip(LABELS, AT, strict=True)]


def coming(
    early: int = 0, step: float = 0.0, since: int = N, offset: float = 0.0
) -> list[tuple[int, str, float]]:
    """Markers, `early` samples before theirs; stamped by a clock that is set at row `since`."""
    rows = [round(at * 250) for at in AT]
    return [
        (row - early, label, T0 + row / 250 + offset + step * (row >= since))
        for row, label in zip(rows, LABELS, strict=True)
    ]


def words_off(folder: Path, times: np.ndarray, sfreq: float = 250.0) -> int:
    """Decode a file; return by how many samples of the stream the worst readout is off."""
    write_xdf(folder / "a.xdf", times, marks(), sfreq)
    done = decode(folder, folder / "a.xdf")
    assert done.ran.code == 0, done.ran.err
    assert done.rows().keys() == set(LABELS), done.rows()
    assert not done.events("gap"), done.events("gap")
    write_xdf(folder / "tidy.xdf", stamps(sfreq), marks(), sfreq)
    tidy = decode(folder, folder / "tidy.xdf").rows()
    if sfreq == 250:
        assert tidy == {"cat": 1000, "dog": 1625, "axe": 2250}
    return max(abs(row - tidy[label]) for label, row in done.rows().items())


# --- long pushes, in files


@case("clocks", "125 samples with one stamp", "words off by 10 samples or more")
def one_stamp(folder: Path) -> str:
    off = words_off(folder, pushes(125))
    assert off <= 1
    return f"off by {off} samples"


@case("clocks", "62 samples with one stamp", "false gaps; longer, refused: got 253 Hz")
def quarter_second(folder: Path) -> str:
    off = words_off(folder, pushes(62))
    assert off <= 1
    return f"off by {off} samples"


@case("clocks", "2,500 samples at 5 kHz with one stamp", "several false gaps")
def fast(folder: Path) -> str:
    off = words_off(folder, pushes(2500, 5000.0), 5000.0)
    assert off <= 1
    return f"off by {off} samples of the model"


@case("clocks", "2,500 samples at 5 kHz, counted back", "false gaps and resets")
def fast_spaced(folder: Path) -> str:
    off = words_off(folder, spaced(2500, 5000.0), 5000.0)
    assert off <= 1
    return f"off by {off} samples of the model"


@case("clocks", "a loss between pushes of half a second", "none found, or others")
def loss_between_pushes(folder: Path) -> str:
    true = T0 + np.arange(4000) / 250
    true[2000:] += 1.0  # 250 samples lost
    times = true[np.arange(4000) // 125 * 125 + 124]
    write_xdf(folder / "a.xdf", times, [("cat", T0 + 4.0), ("axe", T0 + 14.0)])
    done = decode(folder, folder / "a.xdf")
    (gap,) = done.events("gap")
    assert abs(gap["n_lost"] - 250) <= 1, gap
    assert done.rows()["axe"] == 3500
    return f"{gap['n_lost']} lost samples, the word after it at {done.rows()['axe']}"


# --- odd stamps, in files


def odd_file(folder: Path, value: float, row: int) -> str:
    write_xdf(folder / "a.xdf", one(value, row), marks())
    done = decode(folder, folder / "a.xdf")
    assert done.ran.code == 0, done.ran.err
    assert done.rows() == {"cat": 1000, "dog": 1625, "axe": 2250}, done.rows()
    told = f"1 of {N} stamps that are no times, the first is {value:g} at sample {row}"
    assert told in " ".join(done.ran.err.split()), done.ran.err
    return "all three words; warning: 1 stamp is none"


for name, value, row, before in (
    ("one stamp is NaN", math.nan, 1003, "refused: need finite time stamps"),
    ("the first stamp is 1e300", 1e300, 0, "refused: need finite time stamps"),
    ("one stamp is 0", 0.0, 1003, "refused: need one clock"),
    ("one stamp in Unix milliseconds", 1.7e12, 1003, "refused: need finite time stamps"),
):
    case("clocks", name, before)(partial(odd_file, value=value, row=row))


def odd_markers(folder: Path, odd: list[tuple[str, float]]) -> str:
    write_xdf(folder / "a.xdf", stamps(), [*marks(), *odd])
    done = decode(folder, folder / "a.xdf")
    assert done.ran.code == 0, done.ran.err
    assert done.rows() == {"cat": 1000, "dog": 1625, "axe": 2250}, done.rows()
    said = " ".join(done.ran.err.split())
    assert f"{len(odd)} of {3 + len(odd)} markers outside" in said, said
    return f"three words; {len(odd)} said to lie outside"


@case("clocks", "a marker at 1e300", "refused whole")
def marker_far(folder: Path) -> str:
    return odd_markers(folder, [("owl", 1e300)])


@case("clocks", "markers in Unix milliseconds, NaN and infinity", "refused whole")
def marker_nan(folder: Path) -> str:
    return odd_markers(folder, [("owl", 1.7e12), ("ant", math.nan), ("bee", -math.inf)])


def pause(folder: Path, seconds: float) -> str:
    times = stamps()
    times[1500:] += seconds
    write_xdf(folder / "a.xdf", times, [("cat", T0 + 4.0), ("axe", T0 + seconds + 9.0)])
    done = decode(folder, folder / "a.xdf")
    assert done.ran.code == 0, done.ran.err
    (gap,) = done.events("gap")
    assert gap["n_lost"] == 250 * seconds, gap
    assert done.rows() == {"cat": 1000, "axe": 2250 + gap["n_lost"]}, done.rows()
    return f"a gap of {gap['n_lost']:,} samples, and both words"


@case("clocks", "a pause of two hours", "error: Out of range float values are not JSON compliant")
def two_hours(folder: Path) -> str:
    return pause(folder, 7200.0)


@case("clocks", "a pause of a year", "error: Out of range float values are not JSON compliant")
def a_year(folder: Path) -> str:
    return pause(folder, 3.2e7)


# --- live: what the session tolerates, its record gives back


def given_back(folder: Path, times: np.ndarray) -> str:
    session = live(folder, Played(times, coming()))
    assert session.rows().keys() == set(LABELS), session.rows()
    assert session.rows()["cat"] == 1000, session.rows()
    return is_given_back(folder, session)


@case("clocks", "live: NaN, infinity, 1e300 and 0 among the stamps", "refused: got -2.103e-282 Hz")
def live_odd(folder: Path) -> str:
    times = stamps()
    times[[0, 700, 1300, 1900]] = 1e300, math.nan, -math.inf, 0.0
    return given_back(folder, times)


@case("clocks", "live: half a second without stamps", "the record is unreadable")
def live_nan(folder: Path) -> str:
    times = stamps()
    times[1200:1325] = math.nan
    return given_back(folder, times)


@case("clocks", "live: pushes of half a second", "words off by 10 samples or more")
def live_pushes(folder: Path) -> str:
    session = live(folder, Played(pushes(125), coming(), pull=125))
    rows = session.rows()
    assert max(abs(rows[k] - r) for k, r in (("cat", 1000), ("dog", 1625), ("axe", 2250))) <= 1
    return f"{rows}; {is_given_back(folder, session)}"


@case("clocks", "live: markers at 1e300, NaN and in milliseconds", "the record is unreadable")
def live_markers(folder: Path) -> str:
    odd = [(1200 + k, "owl", value) for k, value in enumerate((1e300, 1.7e12, -1e300, math.nan))]
    session = live(folder, Played(stamps(), [*coming(), *odd]))
    assert session.rows() == {"cat": 1000, "dog": 1625, "axe": 2250}, session.rows()
    return is_given_back(folder, session)


@case("clocks", "live: a pause of two hours", "ValueError: cannot convert float NaN to integer")
def live_pause(folder: Path) -> str:
    times = stamps()
    times[1500:] += 7200.0
    played = Played(times, coming(step=7200.0, since=1500))
    played.pause_at, played.pause = 1500, 7200.0
    session = live(folder, played)
    (gap,) = session.events("gap")
    assert gap["n_lost"] == 7200 * 250, gap
    assert session.rows()["axe"] == 2250 + gap["n_lost"], session.rows()
    return f"a gap of {gap['n_lost']:,} samples; {is_given_back(folder, session)}"


@case("clocks", "live: the clock is set back while markers come early", "the marker is lost")
def live_back(folder: Path) -> str:
    played = Played(stamps() - 3600.0 * (np.arange(N) >= 1620), coming(10, -3600.0, 1620))
    session = live(folder, played)
    assert session.rows() == {"cat": 1000, "dog": 1625, "axe": 2250}, session.rows()
    assert len(session.events("reset")) == 1
    return f"all three words, one reset; {is_given_back(folder, session)}"


# --- live: stamps of another clock


def other_clock(folder: Path, offset: float) -> str:
    session = live(folder, Played(stamps() + offset, coming(offset=offset)))
    (event,) = session.events("stamps_of_another_clock")
    took = [line["latency_ms"] for line in session.lines if line["type"] == "readout"]
    assert all(0 <= one < 60_000 for one in took), took
    assert session.footer["latency_ms"]["p50"] > 0
    assert all(line["late"] for line in session.lines if line["type"] == "readout")
    assert session.rows() == {"cat": 1000, "dog": 1625, "axe": 2250}, session.rows()
    return f"said once: {event['ahead_s']:,.0f} s ahead; latency as arrivals tell"


@case("clocks", "live: stamps in Unix time", "latency -1,700,003,599,994 ms, percentiles 0")
def unix_time(folder: Path) -> str:
    return other_clock(folder, 1.7e9)


@case("clocks", "live: stamps 10 hours behind", "every readout late by 10 hours")
def hours_behind(folder: Path) -> str:
    return other_clock(folder, -1e5)


def refused(folder: Path, stamp: float, why: str) -> str:
    said = ""
    try:
        live(folder, Played(np.full(N, stamp)))
    except ValueError as error:
        said = str(error)
    assert why in said, said or "not refused"
    return f"refused: {said}"


@case("clocks", "live: no sample has a stamp", "decoded to the end, no word why")
def no_stamps(folder: Path) -> str:
    return refused(folder, math.nan, "none that is a time in s")


@case("clocks", "live: stamps 60 ms ahead of this machine", "latency 0 in the percentiles, no word")
def stamps_ahead(folder: Path) -> str:
    played = Played(np.zeros(750), paced=True)
    played.stamps = played.start + np.arange(750) / 250 + 0.06
    session = live(folder, played, continuous=True)
    (event,) = session.events("stamps_ahead")
    told = [line for line in session.lines if line["type"] == "readout"]
    early = [line for line in told if line["latency_ms"] < 0]
    assert len(early) == session.footer["n_early"] > 10
    assert not any(line["late"] for line in early)
    n_all = session.footer["n_readouts"]
    return f"said once: {event['ahead_ms']:.0f} ms; {len(early)} of {n_all} kept out"


@case("clocks", "live: stamps that do not advance", "refused: got inf Hz")
def equal_stamps(folder: Path) -> str:
    return refused(folder, T0, "got stamps that do not advance")
