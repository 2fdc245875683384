"""Law 3: one recording, the same readouts to the bit, whichever way it is decoded.

The command lines run as a user runs them, each in a process of its own: `decode` with several
cuts, `replay` over LSL into `run`, and `decode` of the session record that `run` wrote. The record gives the same log, line by line. The
file gives each kind of readout in its own order: on a busy machine a marker may come after its
window, and its readout after those of later hops (see the laws in `rt_decoder/README.md`).
"""

from __future__ import annotations

import json
import signal
import struct
import sys
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import numpy as np
import pytest

from calibration.demo import save_recording
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.model import Pooling
from rt_decoder.sinks.record import Recorder
from tests.lsl_loopback import wait_for
from tests.small import (
    finish,
    fit_small,
    lines,
    random_model,
    readouts,
    save_small,
    small_recipe,
    small_recording,
    start,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from edge_cases.gapped_files import GAPPED

SAMPLES = struct.pack("<HI", 3, Recorder.DATA)  # how a chunk of them begins in XDF
# Deadlines are for what hangs: three sessions and their decoders share two cores with who knows what.
DEADLINE = 900.0
pytestmark = [pytest.mark.lsl, pytest.mark.timeout(4 * DEADLINE)]

SECONDS = 24.0
MARKERS = ("--markers", "{name}-markers")
BOTH = (*MARKERS, "--continuous")
TRIGGER = ("--markers", "channel:TRIG")
MUSE = ("--markers", "channel:Marker0")
MICROVOLTS = ("--units", "microvolts")
SSVEP = {
    "stream": {"picks": ["eeg"], "line_freq": 60.0},
    "filter": {"l_freq": 1.0, "h_freq": 0.0, "notch": False},
    "features": {"kind": "bandpower", "tmin": 0.5, "tmax": 2.0, "bands": [[19, 21], [29, 31]]},
    "target": {"names": {"1": "thirty", "2": "twenty"}},
}


class Case(NamedTuple):
    """How a recording is decoded, live and from its file."""

    recording: str
    model: str
    live: tuple[str, ...]  # options of `run`; {name} is the stream
    offline: tuple[str, ...]  # options of `decode`
    n_least: int  # readouts, so that nothing never equals nothing
    speed: str = "2"  # markers and samples race: the faster, the later a marker in samples
    reading: tuple[str, ...] = ()  # options of `replay` and `decode`


QUICK = Case("simulated.xdf", "small", MARKERS, (), 25)
POOLED = Case("simulated.xdf", "pooled", MARKERS, (), 40)  # three repeats make a trial
LOST = Case("holes.xdf", "pooled", MARKERS, (), 30, "1")
CASES = {
    "trigger": Case("unmarked.xdf", "small", TRIGGER, TRIGGER, 25),
    "continuous": Case("unmarked.xdf", "small", (), (), 2000),
    "both kinds": Case("simulated.xdf", "small", BOTH, ("--continuous",), 2000),
    "twice the rate": Case("simulated.xdf", "slow", MARKERS, (), 25),
    "twice the rate, continuous": Case("unmarked.xdf", "slow", (), (), 2000),
    # at its own speed: faster, a loss arrives too early and is taken for a clock that was set
    "lost samples": Case("holes.xdf", "small", BOTH, ("--continuous",), 2000, "1"),
    "real": Case("real.csv", "real", MARKERS, (), 10, reading=MICROVOLTS),
    "real, trigger": Case("real_unmarked.xdf", "real", MUSE, MUSE, 10),
    "real, both kinds": Case("real.csv", "real", BOTH, ("--continuous",), 2000, reading=MICROVOLTS),
}
# files as a recorder wrote them, with bursts and clock offsets; the others hold too little
CONTINUOUS = ("--continuous",)
RECORDED = {
    "magicblink/handTwo": (CONTINUOUS, MICROVOLTS),
    "magicblink/markersPlusEKG": (MARKERS, MICROVOLTS),
    "magicblink/test1": (MARKERS, MICROVOLTS),
    "magicblink/three_motion_five": (MARKERS, MICROVOLTS),
    "muselsl2/sub-P001_ses-S001_task-Default_run-001_eeg": (CONTINUOUS, ("--stream", "EEG")),
    "muselsl2/sub-P023_ses-S001_task-Default_run-001_eeg": (CONTINUOUS, ()),
    "muselsl2/sub-P031_ses-S001_task-Default_run-001_eeg": (CONTINUOUS, ("--stream", "EEG")),
}


class Session:
    """A replay into `run` with log and record: two processes.

    Who runs several in threads gives their number of samples: readers of files catch warnings, and
    two threads that do would leave each other's filters behind.
    """

    def __init__(self, case: Case, folder: Path, n_samples: int | None = None) -> None:
        name = f"parity-{uuid.uuid4().hex[:12]}"
        self.case, self.model = case, folder / f"{case.model}.rtd.safetensors"
        self.recording = folder / case.recording
        self._n_samples = count(case, folder) if n_samples is None else n_samples
        self.log, self.record = folder / f"{name}.jsonl", folder / f"{name}.xdf"
        self._sender = start(
            "replay", self.recording, "--name", name, "--speed", case.speed, *case.reading,
            "--wait", "300", "--linger", f"{DEADLINE:g}",
        )  # fmt: skip
        self._receiver = start(
            "run", "--force", "--model", self.model, "--name", name,
            *(option.format(name=name) for option in case.live),
            "--log", self.log, "--record", self.record, "--outlet", name,
            "--until-lost", "--timeout", "300", "--marker-wait", "60000", "--quiet", "--json",
        )  # fmt: skip

    def finish(self) -> None:
        """Close the stream once all of it has been read: of a closed one LSL gives nothing more."""
        n_samples = self._n_samples
        wait_for(
            lambda: self._receiver.poll() is not None or self._n_recorded() == n_samples, DEADLINE
        )
        sleep(
            5.0
        )  # markers come over a connection of their own, and nothing tells that all have come
        self._sender.send_signal(signal.SIGINT)
        receiver, sender = finish(self._receiver, DEADLINE), finish(self._sender, DEADLINE)
        assert (receiver.code, errors(receiver.err)) == (0, ""), receiver.err
        assert (sender.code, errors(sender.err)) == (0, ""), sender.err
        footer = json.loads(receiver.out.splitlines()[-1])
        assert footer["n_dropped"] == 0
        assert footer["n_samples"] == n_samples

    def _n_recorded(self) -> int:
        """Samples in the record so far, from its whole chunks: no reader, so no warning in a thread."""
        sleep(0.5)
        content = self.record.read_bytes() if self.record.exists() else b""
        at, n_samples = 4, 0
        while at < len(content):
            start = at + 1 + content[at]
            at = start + int.from_bytes(content[at + 1 : start], "little")
            if content[start : start + 6] == SAMPLES and at <= len(content):
                count = start + 7
                n_samples += int.from_bytes(content[count : count + content[count - 1]], "little")
        return n_samples


def read_file(path: Path, case: Case):
    options = zip(case.reading[::2], case.reading[1::2], strict=True)
    return read_recording(path, **{option.lstrip("-"): value for option, value in options})


def count(case: Case, folder: Path) -> int:
    """Samples of a case."""
    return len(read_file(folder / case.recording, case).data)


def errors(told: str) -> str:
    """What was said but warnings: of labels that the random model does not know, of odd stamps."""
    lines = told.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("warning: "))


class Decode:
    """`decode` in a process of its own."""

    def __init__(self, session: Session, path: Path, *options: str) -> None:
        self._log = session.log.with_name(f"{uuid.uuid4().hex}.jsonl")
        self._process = start(
            "decode", "--force", path, "--model", session.model, "--jsonl", self._log, *options
        )

    def finish(self) -> Path:
        ran = finish(self._process, DEADLINE)
        assert (ran.code, errors(ran.err)) == (0, ""), ran.err
        return self._log


def check(session: Session) -> None:
    """Same answers, and the same markers on the same samples, five ways."""
    ways = {
        f"--chunk {n}": Decode(
            session,
            session.recording,
            "--chunk",
            str(n),
            *session.case.offline,
            *session.case.reading,
        )
        for n in (1, 7, 64)
    }
    session.finish()
    live = readouts(session.log)
    assert len(live) >= session.case.n_least
    assert any(line["kind"] == "pooled" for line in live) == (session.case.model == "pooled")
    ways["the session record"] = Decode(session, session.record)
    for way, decode in ways.items():
        log = decode.finish()
        if way == "the session record":
            assert readouts(log) == live, f"{way} differs from live"
        assert by_kind(readouts(log)) == by_kind(live), f"{way} differs from live"
        assert placed_markers(log) == placed_markers(session.log), way
        assert gaps(log) == gaps(session.log), way
    if session.case.recording == "holes.xdf":
        assert [n for _, _, n in gaps(session.log)] == pytest.approx([50, 300], abs=1)


def check_counted(case: Case, folder: Path, n_samples: int) -> None:
    """The same in a thread."""
    check(Session(case, folder, n_samples))


def by_kind(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Readouts of every hop, and of events, each in their order and without their place in both."""
    placeless = [{key: value for key, value in one.items() if key != "seq"} for one in found]
    return (
        [one for one in placeless if one["kind"] == "continuous"],
        [one for one in placeless if one["kind"] != "continuous"],
    )


def gaps(log: Path) -> list[tuple[int, int, int]]:
    found = [line for line in lines(log) if line.get("event") == "gap"]
    return [(line["sample"], line["index"], line["n_lost"]) for line in found]


def placed_markers(log: Path) -> list[tuple[str, int]]:
    return [(line["label"], line["index"]) for line in lines(log) if line["type"] == "marker"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording and the model fitted on another one of the same participant."""
    folder = tmp_path_factory.mktemp("parity")
    recording = small_recording(session=2, seconds=SECONDS)
    save_recording(recording, folder / "simulated.xdf")
    save_recording(replace(recording, markers=()), folder / "unmarked.xdf")
    save_small(folder / "small.rtd.safetensors")
    small = load_model(folder / "small.rtd.safetensors")
    recipe = replace(small.recipe, readout=replace(small.recipe.readout, repeats=3))
    pooling = Pooling(correlation=0.1, threshold=0.2)
    save_model(replace(small, recipe=recipe, pooling=pooling), folder / "pooled.rtd.safetensors")
    save_recording(with_holes(recording), folder / "holes.xdf")
    return folder


def with_holes(recording: Recording) -> Recording:
    """0.2 s and 1.2 s lost, stamps as they were."""
    kept = np.delete(np.arange(len(recording.data)), [*range(1500, 1550), *range(3500, 3800)])
    markers = tuple(marker for marker in recording.markers if marker.index in kept)
    data, stamps = recording.data[kept], recording.stamps[kept]
    return replace(recording, data=data, stamps=stamps, markers=markers)


@pytest.fixture(scope="module")
def checks(folder: Path, data_dir: Path) -> Iterator[dict[str, Future[None]]]:
    """The cases, three at a time: each waits for its stream most of the time."""
    slow = fit_small(small_recording(sfreq=125.0), small_recipe())
    save_model(slow, folder / "slow.rtd.safetensors")
    csv = data_dir / "muse" / "SSVEP" / "data_2017-09-14-21.20.04.csv"
    with csv.open() as file:
        (folder / "real.csv").write_text("".join(next(file) for _ in range(40 * 256)))
    real = read_file(folder / "real.csv", CASES["real"])
    save_recording(replace(real, markers=()), folder / "real_unmarked.xdf")
    model = random_model(real, small_recipe(**SSVEP), items=("thirty", "twenty"))
    save_model(model, folder / "real.rtd.safetensors")
    counted = {name: (case, count(case, folder)) for name, case in CASES.items()}
    with ThreadPoolExecutor(3) as pool:
        yield {
            name: pool.submit(check_counted, case, folder, n) for name, (case, n) in counted.items()
        }


@pytest.mark.slow
@pytest.mark.parametrize("case", [QUICK, POOLED, LOST], ids=["single", "pooled", "lost"])
def test_every_way_gives_the_same_readouts(folder: Path, case: Case) -> None:
    check(Session(case, folder))


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("name", CASES)
def test_every_way_in_every_mode(checks: dict[str, Future[None]], name: str) -> None:
    checks[name].result()


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("name", RECORDED)
def test_files_of_recorders(tmp_path: Path, data_dir: Path, name: str) -> None:
    check_any(tmp_path, data_dir / "xdf" / f"{name}.xdf", *RECORDED[name])


def check_any(
    folder: Path, path: Path, live: tuple[str, ...], reading: tuple[str, ...], speed: str = "8"
) -> None:
    """With a model of random numbers for the file's channels."""
    case, n_samples = prepare(folder, path, live, reading, speed)
    check(Session(case, folder, n_samples))


def prepare(
    folder: Path, path: Path, live: tuple[str, ...], reading: tuple[str, ...], speed: str
) -> tuple[Case, int]:
    """The model for a file, and how many samples that has."""
    name = f"model-{path.stem}-{path.suffix[1:]}"
    offline = tuple(option for option in live if option in CONTINUOUS)
    case = Case(str(path), name, live, offline, 25, speed, reading)
    recording = read_file(Path(case.recording), case)
    n = round(10 * recording.info.sfreq)  # what `run` compares the scale with
    alive = np.flatnonzero(np.ptp(recording.data[:n], axis=0))  # of some files, one channel
    begin = Recording(recording.data[:n, alive], recording.times[:n], recording.info.pick(alive))
    reference = "average" if len(alive) > 1 else "none"
    recipe = small_recipe(
        filter={"h_freq": 30.0}, stream={"picks": ["eeg"], "reference": reference}
    )
    model = random_model(begin, recipe)
    save_model(model, folder / f"{name}.rtd.safetensors")
    return case, len(recording.data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*stamps that are no times")
def test_a_file_with_odd_stamps(tmp_path: Path) -> None:
    recording = small_recording(seconds=30.0)
    stamps = recording.stamps + 1e3
    stamps[[2007, 3000, 4444]] = np.nan, 5e8, 1e300
    markers = tuple(one._replace(time=one.time + 1e3) for one in recording.markers)
    save_recording(replace(recording, stamps=stamps, markers=markers), tmp_path / "odd.xdf")
    check_any(tmp_path, tmp_path / "odd.xdf", MARKERS, (), "4")


@pytest.fixture(scope="module")
def gapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """Files with a gap that the format tells of, as their own programs write them."""
    folder = tmp_path_factory.mktemp("gapped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SWIG's, in h5py
        paths = {name: write(folder / name) for name, write in GAPPED.items()}
    prepared = {name: prepare(folder, path, BOTH, (), "1") for name, path in paths.items()}
    with ThreadPoolExecutor(4) as pool:
        yield {
            name: pool.submit(check_counted, case, folder, n)
            for name, (case, n) in prepared.items()
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", GAPPED)
def test_files_with_gaps(gapped: dict[str, Future[None]], name: str) -> None:
    gapped[name].result()
