"""Files with gaps that their format tells of, and with channels at several rates."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from edge_cases.case import case, rt_decoder
from edge_cases.hearing import hear, refused
from edge_cases.writers import (
    AT,
    EEG,
    ROWS,
    SFREQ,
    WORDS,
    Channel,
    N,
    counts,
    mne_raw,
    signal,
    table,
    write_edf,
    write_gdf,
    write_joined,
    write_set,
    write_vhdr,
)

PAUSED = [*np.arange(20.0), *(50 + np.arange(40.0))]  # 20 s, a pause of 30 s, 40 s
PAUSED_NOTES = [(5, "cat"), (55, "dog"), (75, "axe")]


for _suffix in ("edf", "bdf"):

    @case(
        "files", f"pause inside {_suffix.upper()}+D", "row 5500 where 2500 is right, one word lost"
    )
    def pause(folder: Path, suffix: str = _suffix) -> str:
        spiked = Channel("EEG Fp1", SFREQ, counts((5, 25, 45)))
        path = write_edf(folder / f"x.{suffix}", [spiked, *EEG], PAUSED_NOTES, PAUSED)
        heard = hear(path)
        assert heard.rows == [500, 2500, 4500], heard.rows
        assert heard.gaps == [(2000, 3000)], heard.gaps
        return heard.spikes()

    @case("files", f"channels at two rates in {_suffix.upper()}",
          "a step shows 20 ms before it happens: resampled")  # fmt: skip
    def two_rates(folder: Path, suffix: str = _suffix) -> str:
        step = counts()
        step[3000:] = 5000
        audio = Channel("Audio", 1000, counts(n=10 * N))
        slow = Channel("Temp", 1, counts(n=60))
        path = write_edf(
            folder / f"x.{suffix}", [Channel("EEG Fp1", SFREQ, step), *EEG, audio, slow]
        )
        heard = hear(path)
        assert heard.recording.info.sfreq == SFREQ
        assert heard.recording.info.ch_names == ("EEG Fp1", "EEG Cz", "EEG Pz")
        np.testing.assert_allclose(heard.recording.data[:, 0], 1e-7 * step, atol=1e-6)
        (said,) = heard.said
        assert "left out Audio (1000 Hz), Temp (1 Hz)" in said, said
        return said


@case("files", "events table beside EDF+D", "refused: an event outside the samples")
def pause_table(folder: Path) -> str:
    spiked = Channel("EEG Fp1", SFREQ, counts((5, 25, 45)))
    path = write_edf(folder / "x.edf", [spiked, *EEG], (), PAUSED)
    heard = hear(path, table(folder / "e.tsv", (5, 55, 75), ("cat", "dog", "axe")))
    assert heard.rows == [500, 2500, 4500], heard.rows
    return heard.spikes()


@case("files", "EDF+D converted to FIF and XDF", "the pause was lost on the way")
def pause_converted(folder: Path) -> str:
    spiked = Channel("EEG Fp1", SFREQ, counts((5, 25, 45)))
    path = write_edf(folder / "x.edf", [spiked, *EEG], PAUSED_NOTES, PAUSED)
    for name in ("x_raw.fif", "x.xdf"):
        ran = rt_decoder("convert", path, "-o", folder / name)
        assert ran.code == 0, ran.err
        heard = hear(folder / name, no=("EDGE",))
        assert heard.rows == [500, 2500, 4500], (name, heard.rows)
        assert heard.gaps == [(2000, 3000)], (name, heard.gaps)
    return heard.spikes()


@case("files", "EDF+D whose records have no starts", "read as continuous")
def no_starts(folder: Path) -> str:
    path = write_edf(folder / "x.edf", EEG, (), [0, 1, np.nan, *range(3, 60)])
    return refused(path, "need the start of each record")


@case("files", "EDF+D whose records overlap", "read as continuous")
def overlapping(folder: Path) -> str:
    path = write_edf(folder / "x.edf", EEG, (), [*range(30), *range(20, 50)])
    return refused(path, "need records in order of time")


@case("files", "EDF+D that says so but has no pause", "right")
def no_pause(folder: Path) -> str:
    spiked = Channel("EEG Fp1", SFREQ, counts(AT))
    notes = list(zip(AT, WORDS, strict=True))
    heard = hear(write_edf(folder / "x.edf", [spiked, *EEG], notes, list(range(60))))
    assert heard.rows == ROWS, heard.rows
    assert not heard.gaps
    return heard.spikes()


@case("files", "channels at two rates in GDF", "a step shows before it happens: resampled")
def two_rates_gdf(folder: Path) -> str:
    step = counts()
    step[3000:] = 5000
    channels = [Channel("C3", SFREQ, step), Channel("C4", SFREQ, counts()),
                Channel("Audio", 500, counts(n=5 * N))]  # fmt: skip
    heard = hear(write_gdf(folder / "x.gdf", channels))
    assert heard.recording.info.ch_names == ("C3", "C4"), heard.recording.info.ch_names
    assert heard.recording.info.sfreq == SFREQ
    moved = np.flatnonzero(np.diff(heard.recording.data[:, 0]))
    assert moved.tolist() == [2999], moved
    return next(one for one in heard.said if "left out" in one)


for _aligned in (True, False):

    @case("files", f"acquisition skip in FIF, written as {'a skip' if _aligned else 'zeros'}",
          "its zeros decoded as samples, no gap")  # fmt: skip
    def skip(folder: Path, aligned: bool = _aligned) -> str:
        data = signal(AT)
        begin, stop = (2000, 2500) if aligned else (2013, 2471)
        data[begin:stop] = 0
        raw = mne_raw(data, AT, WORDS)
        raw.annotations.append(begin / SFREQ, (stop - begin) / SFREQ, "BAD_ACQ_SKIP")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MNE: they do not fit into its buffers
            raw.save(folder / "x_raw.fif", buffer_size_sec=1.0, verbose="error")
        heard = hear(folder / "x_raw.fif", no=("BAD",))
        n = stop - begin
        assert heard.rows == [1000, 3000 - n, 4500 - n, 5000 - n], heard.rows
        assert heard.gaps == [(begin, n)], heard.gaps
        tabled = hear(folder / "x_raw.fif", table(folder / "e.tsv", AT))
        assert tabled.rows == heard.rows, tabled.rows
        return heard.spikes()


@case("files", "joined FIF files", "no gap, filtered across; 'BAD boundary' a word")
def joined(folder: Path) -> str:
    heard = hear(write_joined(folder / "x_raw.fif"), no=("BAD", "EDGE"))
    assert heard.rows == [1000, 2000, 4000, 5000], heard.rows
    assert heard.gaps == [(3000, 100)], heard.gaps
    tabled = hear(folder / "x_raw.fif", table(folder / "e.tsv", (10, 20, 40, 50)))
    assert tabled.rows == heard.rows, tabled.rows  # a table counts what the file counts
    return heard.spikes()


@case("files", "words whose window lies over a join", "decoded across it, quality 1")
def over_a_join(folder: Path) -> str:
    """They abstain; words elsewhere do not."""
    import mne

    from rt_decoder.recorded import decode_recording
    from tests.small import random_model, small_recipe

    noise = 1e-5 * np.random.default_rng(3).standard_normal((2, 3000, 4))
    words = ((10, 29.7), (0.1, 10))
    halves = [mne_raw(noise[k] + 2e-5 * k, words[k], "ab") for k in range(2)]
    mne.concatenate_raws(halves, verbose="error").save(folder / "x_raw.fif", verbose="error")
    recording = hear(folder / "x_raw.fif", no=("BAD", "EDGE")).recording
    model = random_model(recording, small_recipe(filter={"h_freq": 30.0}))
    marks = [marker for marker in recording.markers if marker.label in "ab"]
    answers = list(decode_recording(model, recording, marks))
    assert [one.abstained for one in answers] == [False, True, True, False], answers
    return "; ".join(
        f"{one.onset - 1:.1f} s: {', '.join(one.reasons) or 'good'}" for one in answers
    )


for _cut, _what, _n in ((750.0, "7.5 s cut out", 750), (0.0, "nothing cut out", 100),
                        (None, "an unknown length cut out", 100)):  # fmt: skip

    @case("files", f"boundary in EEGLAB, {_what}", "filtered across the cut; the word 'boundary'")
    def boundary(folder: Path, cut: float | None = _cut, n: int = _n) -> str:
        heard = hear(write_set(folder / "x.set", cut), no=("boundary",))
        assert heard.rows == ROWS, heard.rows
        assert heard.gaps == [(2000, n)], heard.gaps
        tabled = hear(folder / "x.set", table(folder / "e.tsv", AT))
        assert tabled.rows == ROWS, tabled.rows
        return heard.spikes()


for _marks, _what, _n in (
    (("New Segment,,1,1,0,20240331100000000000", "New Segment,,2001,1,0,20240331100032000000"),
     "a new segment 12 s later", 1200),
    (("New Segment,,1,1,0", "New Segment,,2001,1,0"), "a new segment without a date", 100),
    (("New Segment,,1,1,0,20240331100000000000", "LostSamples,LostSamples: 25,2001,1,0"),
     "25 lost samples", 25),
):  # fmt: skip

    @case("files", f"{_what} in BrainVision", "no gap; the word 'New Segment/'")
    def segment(folder: Path, marks: tuple[str, ...] = _marks, n: int = _n) -> str:
        heard = hear(write_vhdr(folder / "x.vhdr", marks), no=("Segment", "Lost"))
        assert heard.rows == ROWS, heard.rows
        assert heard.gaps == [(2000, n)], heard.gaps
        tabled = hear(folder / "x.vhdr", table(folder / "e.tsv", AT))
        assert tabled.rows == ROWS, tabled.rows
        return heard.spikes()


# each is replayed as well (tests/test_parity.py).
GAPPED = {
    "pause.edf": lambda path: write_edf(
        path, [Channel("EEG Fp1", SFREQ, counts((5, 25, 45))), *EEG], [(5, "cat"), (30, "dog")],
        [*np.arange(20.0), *(25 + np.arange(40.0))],
    ),
    "joined_raw.fif": write_joined,
    "cut.set": lambda path: write_set(path, 750.0),
    "segments.vhdr": lambda path: write_vhdr(path, ("New Segment,,1,1,0", "New Segment,,2001,1,0")),
}  # fmt: skip
