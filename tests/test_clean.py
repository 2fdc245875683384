"""Cleaning without words: `rt-calibrate cleaning`, `rt-decoder clean` and `run --clean-outlet`."""

from __future__ import annotations

import json
import stat
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from calibration.demo import save_recording
from calibration.design import draft_model
from rt_decoder.cleaning.stages import CLEANING
from rt_decoder.commands.clean import clean_file
from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import Restart
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.live.opening import open_session
from rt_decoder.live.run_options import RunOptions
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import STAGES
from rt_decoder.recorded import decode_recording, hops_of_recording
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import replay
from rt_decoder.signal import CORRECTED, FLAGS, Chunk, Reason, SignalInfo
from rt_decoder.sinks.clean_outlet import CleanOutlet
from rt_decoder.sources.lsl.find import resolve
from rt_decoder.sources.lsl.markers import LslMarkers
from rt_decoder.sources.lsl.source import LslSource
from tests.cleaned import N_CHANNELS, fitted, scene, without_channels
from tests.contract import allocated
from tests.lsl_loopback import wait_for
from tests.small import call, small_recipe

SECONDS = 12.0


def cleaning_only() -> Model:
    """The chain of `fitted`, without a map."""
    model, _ = fitted()
    recipe = small_recipe(clean={"stages": list(STAGES)})
    return replace(draft_model([scene()], recipe), cleaning=model.cleaning)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """With a channel that no model knows, among the others."""
    read = scene(session=2, seconds=SECONDS, cued=False)
    info = read.info
    odd = np.arange(len(read.data), dtype=float)
    at = 3
    names, types, units = (
        (*have[:at], new, *have[at:])
        for have, new in ((info.ch_names, "count"), (info.ch_types, "misc"), (info.units, "n/a"))
    )
    info = SignalInfo(info.sfreq, names, types, units)
    return replace(read, data=np.insert(read.data, at, odd, axis=1), info=info)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, recording: Recording) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    save_recording(recording, folder / "rec.xdf")
    save_model(cleaning_only(), folder / "m.rtd.safetensors")
    return folder


def through(model: Model, recording: Recording, without: tuple[str, ...] = ()) -> np.ndarray:
    """What leaves the last stage, (n, c) of the contract, by a way of its own."""
    decoder = Decoder(model, recording.info, PipelineOptions(without=without))
    hops = hops_of_recording(decoder, recording, (), list(decoder.pipeline.stages)[-1])
    return np.concatenate([hop.data.copy() for hop in hops])


def contract_columns(info: SignalInfo, model: Model) -> list[int]:
    return [info.ch_names.index(name) for name in model.info.ch_names]


def read_fif(path: Path) -> Any:
    return mne.io.read_raw_fif(path, preload=True, verbose="error")


# --- rt-decoder clean


def test_all_channels_stay_in_their_order_and_the_others_as_they_were(
    folder: Path, recording: Recording, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "cleaned.fif"
    ran = call(
        capsys, "clean", folder / "rec.xdf", "--model", folder / "m.rtd.safetensors", "-o", out,
        "--json",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out.splitlines()[-1])
    raw, model = read_fif(out), cleaning_only()
    assert tuple(raw.ch_names) == recording.info.ch_names
    assert raw.get_channel_types() == list(recording.info.ch_types)
    assert raw.info["sfreq"] == 250.0
    data = raw.get_data().T
    assert told["n_samples"] == len(data) == len(recording.data)
    assert told["n_channels"] == N_CHANNELS + 5
    np.testing.assert_array_equal(data[:, 3], recording.data[:, 3])
    columns = contract_columns(recording.info, model)
    np.testing.assert_array_equal(data[:, columns], through(model, recording))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    labels = [label for label in raw.annotations.description if not label.startswith("BAD_")]
    assert labels == [marker.label for marker in recording.markers]
    onsets = [a["onset"] for a in raw.annotations if not a["description"].startswith("BAD_")]
    np.testing.assert_allclose(onsets, [m.index / 250.0 for m in recording.markers], atol=1e-3)
    assert {name for name, share in told["corrected"].items() if share} >= {"eye", "regressed"}
    assert "corrected: " in ran.out
    assert told["stages"] == ["guard", "muscle", "filter", "repair", "rereference", *STAGES[2:]]


def test_without_all_is_filters_and_reference_alone(
    folder: Path, recording: Recording, tmp_path: Path, capsys
) -> None:
    model = cleaning_only()
    bare = replace(model, cleaning={})
    columns = contract_columns(recording.info, model)
    cleaned = {}
    for without in ("all", "eye,heartbeat"):
        out = tmp_path / f"{without.partition(',')[0]}.fif"
        ran = call(
            capsys, "clean", folder / "rec.xdf", "--model", folder / "m.rtd.safetensors",
            "-o", out, "--without", without,
        )  # fmt: skip
        assert (ran.code, ran.err) == (0, "")
        cleaned[without] = read_fif(out).get_data().T[:, columns]
    np.testing.assert_array_equal(cleaned["all"], through(bare, recording))
    some = through(model, recording, ("eye", "heartbeat"))
    np.testing.assert_array_equal(cleaned["eye,heartbeat"], some)
    assert np.abs(some - through(model, recording)).max() > 1e-5  # a blink


def test_a_model_with_a_map_cleans_just_the_same(recording: Recording, tmp_path: Path) -> None:
    with_map, _ = fitted()
    for name, model in (("with", with_map), ("alone", cleaning_only())):
        clean_file(model, recording, tmp_path / f"{name}.fif")
    mapped, alone = (read_fif(tmp_path / f"{name}.fif") for name in ("with", "alone"))
    np.testing.assert_array_equal(mapped.get_data(), alone.get_data())


def test_lost_samples_leave_zeros_and_annotations(recording: Recording, tmp_path: Path) -> None:
    lost = [*range(1000, 1005), *range(1600, 1900)]
    kept = np.delete(np.arange(len(recording.data)), lost)
    markers = tuple(
        marker._replace(index=int(np.searchsorted(kept, marker.index)))
        for marker in recording.markers
        if marker.index not in lost
    )
    holed = replace(
        recording, data=recording.data[kept], stamps=recording.stamps[kept], markers=markers
    )
    model = cleaning_only()
    told = clean_file(model, holed, tmp_path / "cleaned.fif")
    raw = read_fif(tmp_path / "cleaned.fif")
    data = raw.get_data().T
    assert len(data) == pytest.approx(len(recording.data), abs=2)
    # Channels that nobody cleans lie with the others: number k at k, but for the half second in
    # which it was not certain that samples were lost, which is annotated.
    number = data[:, 3]
    there = np.flatnonzero(number)
    off = there[number[there] != there]
    assert len(there) == len(kept) - 1  # number 0 itself
    assert 0 < len(off) < 270
    spans = [(a["description"], a["onset"], a["duration"]) for a in raw.annotations]
    gaps = [s for s in spans if s[0].startswith("BAD_") and "gap" in s[0]]
    assert sum(gap[2] for gap in gaps) == pytest.approx(len(lost) / 250, abs=0.05)
    settling = [s for s in spans if s[0] == "BAD_settling" and s[1] > 1600 / 250]
    assert sum(s[2] for s in settling) > 1.0  # filters primed anew are told of, as live
    bad = np.zeros(len(data), bool)
    for _, onset, duration in (s for s in spans if s[0].startswith("BAD_")):
        bad[round(onset * 250) : round((onset + duration) * 250)] = True
    assert np.mean(bad) == pytest.approx(told["bad"], abs=1e-3)
    assert bad[off].all()
    placed = [(s[0], round(s[1] * 250)) for s in spans if not s[0].startswith("BAD_")]
    known = [(m.label, int(kept[m.index])) for m in markers if int(kept[m.index]) not in off + 300]
    assert len(known) >= 10
    assert set(known) <= set(placed)


def test_flags_in_the_file_are_those_of_the_live_pipeline(recording: Recording, tmp_path) -> None:
    broken = recording.data.copy()
    broken[1000:1100, 0] = np.nan
    broken[2000:2020] = np.nan
    told = clean_file(cleaning_only(), replace(recording, data=broken), tmp_path / "c.fif")
    raw = read_fif(tmp_path / "c.fif")
    assert np.isfinite(raw.get_data()[list(range(3)) + list(range(4, 17))]).all()
    at_2000 = [
        a["description"]
        for a in raw.annotations
        if a["onset"] <= 2005 / 250 < a["onset"] + a["duration"]
    ]
    assert len(at_2000) == 1
    assert "bad_channel" in at_2000[0]  # more than can be repaired
    assert told["corrected"]["repaired"] > 0.02  # of one channel, from its neighbours


@pytest.mark.parametrize("factor", [2, 4])
def test_a_faster_recording_is_decimated(factor: int, tmp_path: Path) -> None:
    read = scene(session=2, seconds=SECONDS, cued=False)
    fast = replace(
        read,
        data=np.repeat(read.data, factor, axis=0),
        stamps=np.arange(factor * len(read.data)) / (250.0 * factor),
        info=replace(read.info, sfreq=250.0 * factor),
        markers=tuple(m._replace(index=factor * m.index) for m in read.markers),
    )
    told = clean_file(cleaning_only(), fast, tmp_path / "c.fif")
    raw = read_fif(tmp_path / "c.fif")
    assert raw.info["sfreq"] == 250.0
    assert told["n_samples"] == len(read.data)
    assert tuple(raw.ch_names) == cleaning_only().info.ch_names
    late = Decoder(cleaning_only(), fast.info).pipeline.stages["decimate"].delay
    shift = round(250 * late)
    plain = through(cleaning_only(), read)[1000:-10, :N_CHANNELS]
    again = raw.get_data().T[1000 + shift : len(read.data) - 10 + shift, :N_CHANNELS]
    assert shift > 0
    assert np.corrcoef(plain.ravel(), again.ravel())[0, 1] > 0.97
    onsets = [a["onset"] for a in raw.annotations if not a["description"].startswith("BAD_")]
    expected = [m.index / 250 + late for m in read.markers]
    np.testing.assert_allclose(onsets, expected, atol=2.1e-3)


def test_what_was_lost_and_came_back_goes_on_after_it(recording: Recording, tmp_path) -> None:
    returned = replace(recording, decisions=(Restart(1001),))
    clean_file(cleaning_only(), returned, tmp_path / "c.fif")
    number = read_fif(tmp_path / "c.fif").get_data()[3]
    assert np.all(np.diff(number[number > 0]) >= 1)
    assert len(number) == pytest.approx(len(recording.data), abs=4)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--without", "eyes"), 2, "'--without': need all or stages among"),
        (("-o", "cleaned.edf"), 2, "need a file named .fif for --out, got cleaned.edf"),
        (("--model", "none.rtd.safetensors"), 1, "no model file none.rtd.safetensors"),
        (("-o", "nowhere/cleaned.fif"), 2, "need a folder nowhere"),
        (("--units", "parsecs"), 1, "parsecs"),
    ],
    ids=["stage", "format", "model", "folder", "unit"],
)
def test_what_is_wrong_is_one_sentence(
    folder: Path, tmp_path: Path, capsys, monkeypatch, arguments, code, said
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"--model": folder / "m.rtd.safetensors", "-o": "cleaned.fif"}
    options |= {arguments[0]: arguments[1]}
    ran = call(
        capsys, "clean", folder / "rec.xdf", *(part for pair in options.items() for part in pair)
    )
    assert ran.code == code
    assert said in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_does_not_fit_is_refused(folder, tmp_path, capsys) -> None:
    lacking = without_channels(scene(session=2, seconds=SECONDS, cued=False), "Cz", "ECG")
    save_recording(lacking, tmp_path / "rec.xdf")
    ran = call(
        capsys, "clean", tmp_path / "rec.xdf", "--model", folder / "m.rtd.safetensors",
        "-o", tmp_path / "c.fif",
    )  # fmt: skip
    assert ran.code == 1
    assert "Cz" in ran.err
    assert "ECG" in ran.err
    assert not (tmp_path / "c.fif").exists()


def test_decode_refuses_a_model_without_a_map(folder, tmp_path, capsys) -> None:
    model = folder / "m.rtd.safetensors"
    ran = call(
        capsys, "decode", folder / "rec.xdf", "--model", model, "--jsonl", tmp_path / "l.jsonl"
    )
    assert (ran.code, ran.out) == (1, "")
    assert "has no map" in ran.err
    ran = call(capsys, "run", "--model", model, "--name", "nobody")
    assert ran.code == 1
    assert "--clean-outlet" in ran.err


# --- rt-calibrate cleaning


def test_the_command_fits_a_model_that_only_cleans(tmp_path: Path, capsys) -> None:
    read = scene()
    save_recording(read, tmp_path / "rec.xdf")
    out = tmp_path / "cleaning.rtd.safetensors"
    ran = call(
        capsys, "cleaning", tmp_path / "rec.xdf", "-o", out, "--stages", '["eye", "repair"]',
        "--subject", "S01", "--json", program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out.splitlines()[-1])
    model = load_model(out)
    assert not model.has_map
    assert set(model.cleaning) == set(told["cleaning"]) == {"repair", "eye"}
    assert told["cleaning"]["eye"]["way"] == "cued"
    assert told["cleaning"] == model.certificate["cleaning"]
    assert model.certificate["subject"] == "S01"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert str(tmp_path).encode() not in out.read_bytes()
    assert "eye         " in ran.out
    assert "gaze shifts, found by cues" in ran.out
    shown = call(capsys, "inspect", out)
    assert (shown.code, shown.err) == (0, "")
    told = clean_file(model, read, tmp_path / "c.fif")
    assert told["corrected"]["eye"] > 0.05


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys) -> None:
    save_recording(scene(session=3, seconds=6.0, cued=False), tmp_path / "rec.xdf")
    out = tmp_path / "m.rtd.safetensors"
    for option, text, said in (
        ("--stages", "[eyes]", "stages"),
        ("--stages", "eyes", "need stages in [clean] to be among"),
        ("--events", tmp_path / "none.tsv", "none.tsv"),
    ):
        ran = call(
            capsys, "cleaning", tmp_path / "rec.xdf", "-o", out, option, text, program="calibration"
        )
        assert ran.code in (1, 2)
        assert said in " ".join(ran.err.split())
    assert not out.exists()


# --- run --clean-outlet


class Consumer:
    """Reads the cleaned stream and its reasons until told to stop."""

    def __init__(self, name: str) -> None:
        self.source = LslSource(resolve(name=name))
        self.reasons = LslMarkers(resolve(name=f"{name}-reasons"))
        self.source.open()
        self.reasons.open()
        self.data: list[np.ndarray] = []
        self.stamps: list[np.ndarray] = []
        self.markers: list[Any] = []

    @property
    def n(self) -> int:
        return sum(map(len, self.stamps))

    def read(self) -> None:
        data, stamps, _ = self.source.pull(0.02)
        self.data.append(data.copy())
        self.stamps.append(stamps.copy())
        self.markers += self.reasons.pull()

    def close(self) -> None:
        self.source.close()
        self.reasons.close()


@pytest.mark.lsl
@pytest.mark.slow
def test_the_cleaned_stream_is_what_clean_writes(
    source_id: str, recording: Recording, tmp_path: Path
) -> None:
    """Values, units, stamps, quality and reasons, of a model that only cleans."""
    model = cleaning_only()
    broken = recording.data.copy()
    broken[1500:1520] = np.nan  # more channels than can be repaired
    sent = replace(recording, data=broken)
    names = [f"{source_id}-{what}" for what in ("raw", "cleaned")]
    options = RunOptions(
        selection={"name": names[0]}, clean_outlet=names[1], until_lost=True, continuous=False
    )
    replayed: list[Any] = []

    def send() -> None:
        replayed.append(
            replay(
                sent, (), ReplayOptions(speed=20.0, linger=5.0), name=names[0], source_id=source_id
            )
        )

    sender = threading.Thread(target=send)
    sender.start()
    with ExitStack() as stack:
        session = open_session(model, options, stack)
        consumer = Consumer(names[1])  # before the session warms up
        stack.callback(consumer.close)
        live = threading.Thread(target=session.run, args=(lambda: False,))
        live.start()
        n = len(sent.data) // model.n_hop * model.n_hop
        wait_for(lambda: consumer.read() or consumer.n >= n)
        wait_for(lambda: not (sender.is_alive() or live.is_alive()))
        wait_for(lambda: consumer.read() or consumer.n == n)
    info = consumer.source.info
    picked = model.info.ch_names[: model.n_picks]
    assert info.ch_names == (*picked, "quality")
    assert set(info.units[:-1]) == {"microvolts"}
    assert info.sfreq == 250.0
    stamps, data = np.concatenate(consumer.stamps), np.concatenate(consumer.data)
    expected = sent.stamps[:n] - sent.stamps[0] + replayed[0].start
    np.testing.assert_allclose(stamps, expected, atol=1e-4)
    clean_file(model, sent, tmp_path / "c.fif")
    raw = read_fif(tmp_path / "c.fif")
    file = raw.get_data(picks=list(picked)).T[:n]
    np.testing.assert_allclose(data[:, :-1] * 1e-6, file, rtol=2e-7, atol=1e-14)
    bad = np.zeros(n, bool)
    for a in (a for a in raw.annotations if a["description"].startswith("BAD_")):
        bad[round(a["onset"] * 250) : round((a["onset"] + a["duration"]) * 250)] = True
    np.testing.assert_array_equal(data[:, -1] == 0.0, bad)
    assert 0.0 < bad.mean() < 0.7
    reasons = {label for marker in consumer.markers for label in marker.label.split(",")}
    assert {"bad_channel", "eye", "regressed"} <= reasons
    times = [marker.time for marker in consumer.markers]
    assert times == sorted(times)
    np.testing.assert_allclose(min(abs(t - expected[1500]) for t in times), 0.0, atol=1e-4)


def hop(data: np.ndarray, flags: np.ndarray, index: int = 0) -> Chunk:
    times = 100.0 + (index + np.arange(len(data))) / 250.0
    return Chunk(data, times, index, flags, np.zeros(data.shape, FLAGS))


@pytest.mark.lsl
@pytest.mark.slow
def test_units_and_one_marker_a_change(source_id: str) -> None:
    info = SignalInfo(250.0, ("M1", "G1", "X"), ("mag", "grad", "misc"), ("T", "T/m", "n/a"))
    outlet = CleanOutlet(source_id, info, 0.0123)
    consumer = Consumer(source_id)
    flags = np.array([0, 0, Reason.EYE, Reason.EYE, Reason.GAP | Reason.EYE, 0], FLAGS)
    data = np.tile([2e-13, 3e-12, 4.0], (6, 1))
    outlet.push(hop(data, flags))
    outlet.push(hop(data, np.zeros(6, FLAGS), 6))
    wait_for(lambda: consumer.read() or consumer.n == 12)
    wait_for(lambda: consumer.read() or len(consumer.markers) == 4)
    got = np.concatenate(consumer.data)
    np.testing.assert_allclose(got[:, :3], np.tile([200.0, 30.0, 4.0], (12, 1)), rtol=1e-6)
    np.testing.assert_array_equal(got[:, 3], [1, 1, 1, 1, 0, 1, *[1] * 6])
    assert [m.label for m in consumer.markers] == ["good", "eye", "gap,eye", "good"]
    stamps = [m.time for m in consumer.markers]
    np.testing.assert_allclose(np.diff(stamps), np.array([2, 2, 1]) / 250.0, atol=1e-9)
    assert consumer.source.info.units == ("femtotesla", "fT/cm", "n/a", "n/a")
    consumer.close()
    outlet.close()


@pytest.mark.lsl
def test_publishing_allocates_no_array(source_id: str) -> None:
    info = SignalInfo(250.0, ("Fz", "Cz"), ("eeg", "eeg"), ("V", "V"))
    outlet = CleanOutlet(source_id, info, 0.0)
    quiet, closed = hop(np.ones((4, 2)), np.zeros(4, FLAGS)), np.full(4, Reason.EYE, FLAGS)
    outlet.push(quiet._replace(flags=closed))
    stays, _ = allocated(lambda: outlet.push(quiet), 2000)
    assert stays < 1024  # half a byte a call
    outlet.close()


def test_corrections_are_no_reason_to_leave_samples_out(recording: Recording, tmp_path) -> None:
    clean_file(cleaning_only(), recording, tmp_path / "c.fif")
    names = {reason.name.lower() for reason in CORRECTED if reason.name}
    for annotation in read_fif(tmp_path / "c.fif").annotations:
        if annotation["description"].startswith("BAD_"):
            reasons = annotation["description"].removeprefix("BAD_")
            assert not names & set(reasons.split("_"))
            assert reasons


def test_the_stages_are_those_of_the_pipeline() -> None:
    assert set(cleaning_only().cleaning) <= set(CLEANING)
    model, _ = fitted()
    answers = list(decode_recording(model, scene(), scene().markers[:3]))
    assert len(answers) == 3


def test_a_channel_that_disagrees_with_its_neighbours_is_told(tmp_path) -> None:
    read = scene(session=2)
    data = read.data.copy()
    pz, oz = (read.info.ch_names.index(name) for name in ("Pz", "Oz"))
    data[:, pz] = -2.2 * read.data[:, oz] * read.data[:, pz].std() / read.data[:, oz].std()
    told = clean_file(cleaning_only(), replace(read, data=data), tmp_path / "c.fif")
    (event,) = told["events"]
    assert event["event"] == "channel_disagrees"
    assert event["channel"] == "Pz"
    assert "rt-calibrate realign" in event["fix"]
