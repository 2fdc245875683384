"""A BIDS data set in place of recordings; mne-bids writes it, and its reader is the oracle."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mne_bids")

from mne_bids import BIDSPath, read_raw_bids

from calibration.commands.bids import reference_facts
from calibration.demo import save_recording
from rt_decoder.files.bids import BidsChoice, find_runs
from rt_decoder.files.events import read_events
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.read import read_marked, read_recording
from tests.bids_data import BAD, KINDS, LINE_FREQ, raw_of, write_dataset, write_run
from tests.small import VECTORS, WORDS, call, lines, random_model, small_recipe, small_recording

QUICK = (
    "--n-permutations", "19", "--nulls", "false", "--stages", "repair", "--picks", "eeg",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bids") / "study"
    write_dataset(folder)
    return folder


@pytest.fixture
def copy(root, tmp_path) -> Path:
    """A data set that a test may break."""
    return shutil.copytree(root, tmp_path / "study")


@pytest.fixture
def vectors(tmp_path) -> Path:
    path = tmp_path / "vectors.tsv"
    rows = [["item", *(f"d{k}" for k in range(VECTORS.shape[1]))]]
    rows += [[word, *map(str, vector)] for word, vector in zip(WORDS, VECTORS, strict=True)]
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    return path


def oracle(root: Path, run: str):
    path = BIDSPath(
        root=root, subject="01", task="words", run=run, datatype="eeg", suffix="eeg",
        extension=".vhdr",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_raw_bids(path, verbose="error")


def recording_of(folder: Path, run: str = "1") -> Path:
    return folder / "sub-01" / "eeg" / f"sub-01_task-words_run-{run}_eeg.vhdr"


def test_a_recording_reads_as_mne_bids_reads_it(root):
    (run,) = find_runs(root, BidsChoice("01", run="2"))
    read, markers = read_marked(run.recording, run.events)
    raw = oracle(root, "2")
    assert read.info.ch_names == tuple(raw.ch_names)
    assert list(read.info.ch_types) == raw.get_channel_types()
    assert dict(zip(read.info.ch_names, read.info.ch_types, strict=True)).items() >= KINDS.items()
    assert read.bads == tuple(raw.info["bads"]) == (BAD,)
    assert read.line_freq == raw.info["line_freq"] == LINE_FREQ
    np.testing.assert_array_equal(read.data, raw.get_data().T)
    assert [m.label for m in markers] == list(raw.annotations.description)
    assert [m.index for m in markers] == np.rint(raw.annotations.onset * 250).astype(int).tolist()
    places = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    np.testing.assert_allclose(read.info.positions[:8], places[:8], atol=1e-6)
    assert np.isnan(read.info.positions[8:]).all()


@pytest.mark.parametrize(
    ("unit", "scale", "frame", "turn"),
    [
        ("mm", 1e3, "CapTrak", (0, 1, 2, 1, 1, 1)),
        ("cm", 1e2, "EEGLAB", (1, 0, 2, 1, -1, 1)),  # x to the front, y to the left
    ],
)
@pytest.mark.parametrize("has_landmarks", [True, False])
def test_positions_are_in_metres_in_the_frame_of_the_head(
    copy, unit, scale, frame, turn, has_landmarks
):
    before = read_recording(recording_of(copy)).info.positions
    folder = recording_of(copy).parent
    system = folder / "sub-01_space-CapTrak_coordsystem.json"
    told = json.loads(system.read_text())

    def moved(place):
        x, y, z, *signs = turn
        return [place[axis] * scale * sign for axis, sign in zip((x, y, z), signs, strict=True)]

    told |= {"EEGCoordinateSystem": frame, "EEGCoordinateUnits": unit}
    told["AnatomicalLandmarkCoordinateUnits"] = unit
    marks = {name: moved(place) for name, place in told["AnatomicalLandmarkCoordinates"].items()}
    told["AnatomicalLandmarkCoordinates"] = marks if has_landmarks else "n/a"
    system.write_text(json.dumps(told))
    table = folder / "sub-01_space-CapTrak_electrodes.tsv"
    header, *rows = table.read_text().splitlines()
    new = [header]
    for row in rows:
        name, *place = row.split("\t")
        new.append(
            "\t".join([name, *map(str, moved([float(x.replace("n/a", "nan")) for x in place]))])
        )
    table.write_text("\n".join(new).replace("nan", "n/a") + "\n")
    np.testing.assert_allclose(read_recording(recording_of(copy)).info.positions, before, atol=1e-5)


def test_positions_in_no_unit_are_left_out(copy):
    system = recording_of(copy).parent / "sub-01_space-CapTrak_coordsystem.json"
    system.write_text(system.read_text().replace('"m"', '"n/a"'))
    with pytest.warns(RuntimeWarning, match="need CoordinateUnits m, cm or mm"):
        assert read_recording(recording_of(copy)).info.positions is None


def test_runs_come_in_order_and_may_be_named_in_any_way(root, tmp_path):
    for choice in (
        BidsChoice(),
        BidsChoice("sub-01", "", "task-words"),
        BidsChoice("1", run="2,01"),
    ):
        runs = find_runs(root, choice)
        assert [run.entities["run"] for run in runs] == ["1", "2"]
        assert [run.events.name for run in runs] == [
            f"sub-01_task-words_run-{run}_events.tsv" for run in "12"
        ]
    ten = tmp_path / "ten"
    write_dataset(ten, ("10",))
    for run in "29":
        for file in recording_of(ten, "10").parent.glob("*run-10*"):
            shutil.copy(file, file.with_name(file.name.replace("run-10", f"run-{run}")))
    assert [run.entities["run"] for run in find_runs(ten)] == ["2", "9", "10"]


def test_the_reference_of_the_sidecar(copy):
    runs = [recording_of(copy, run) for run in "12"]
    assert reference_facts(runs) == {}  # n/a
    for file, told in zip(runs, ("Cz", "FCz"), strict=True):
        sidecar = file.with_suffix(".json")
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"EEGReference": told}))
    assert reference_facts(runs[:1]) == {"recorded_reference": "Cz"}
    with pytest.warns(RuntimeWarning, match="got Cz and FCz by their sidecars"):
        assert reference_facts(runs) == {}


def broken(kind: str, folder: Path) -> None:
    eeg = recording_of(folder).parent
    if kind == "tasks":
        for file in eeg.glob("*run-2*"):
            file.rename(file.with_name(file.name.replace("words", "rest")))
    elif kind == "sessions":
        for name in ("ses-a", "ses-b"):
            shutil.copytree(eeg, folder / "sub-01" / name / "eeg")
        for file in [*folder.glob("sub-01/ses-*/eeg/*")]:
            name = file.name.replace("sub-01", f"sub-01_{file.parent.parent.name}")
            file.rename(file.with_name(name))
        shutil.rmtree(eeg)
    elif kind == "datatypes":
        shutil.copytree(eeg, folder / "sub-01" / "ieeg")
        for file in folder.glob("sub-01/ieeg/*_eeg.*"):
            file.rename(file.with_name(file.name.replace("_eeg.", "_ieeg.")))
    elif kind == "acquisitions":
        for file in eeg.glob("*run-1*"):
            shutil.copy(file, file.with_name(file.name.replace("run-1", "acq-x_run-1")))
    elif kind == "people":
        shutil.copytree(folder / "sub-01", folder / "sub-02")
    elif kind == "no events":
        next(eeg.glob("*run-2_events.tsv")).unlink()
    elif kind == "no recordings":
        shutil.rmtree(eeg)
    elif kind == "empty":
        shutil.rmtree(folder / "sub-01")


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("", ("--subject", "07"), "study: need --subject among 01, got 07"),
        ("", ("--task", "rest"), "sub-01: need --task (several with commas) among words, got rest"),
        ("", ("--run", "1,3"), "need --run (several with commas) among 1, 2, got 3"),
        ("", ("--session", "x"), "need --session (several with commas) but sub-01 names none, got x"),
        ("", ("--datatype", "meg"), "sub-01: need --datatype among eeg, got meg"),
        ("tasks", (), "need --task (several with commas) among rest, words, got no --task"),
        ("sessions", (), "need --session (several with commas) among a, b, got no --session"),
        ("datatypes", (), "need --datatype among eeg, ieeg, got no --datatype"),
        ("acquisitions", (), "and sub-01_task-words_run-1_eeg.vhdr; name those wanted as REC"),
        ("people", (), "need --subject among 01, 02, got no --subject"),
        ("no events", (), "none beside sub-01_task-words_run-2_eeg.vhdr; --run 1 takes the others"),
        ("no recordings", (), "study: need recordings of sub-01 in its folder eeg, meg, ieeg"),
        ("empty", (), "study: need a BIDS data set, a folder with folders sub-CODE in it, got none"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_with_what_is(copy, tmp_path, capsys, kind, options, told):
    broken(kind, copy)
    ran = call(
        capsys, "fit", "--bids", copy, *options, "-o", tmp_path / "m.rtd.safetensors",
        program="calibration",
    )  # fmt: skip
    assert (ran.code, told in ran.err) == (2, True), ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fit", "{root}"), "got study, a BIDS data set: rt-calibrate fit --bids ROOT"),
        (
            ("fit", "{root}/gone.fif", "--bids", "{root}"),
            "need recordings or --bids ROOT, got both",
        ),
        (
            ("fit", "--bids", "{root}/gone"),
            "need the folder of a BIDS data set, got no folder gone",
        ),
        (("fit", "a.fif", "--task", "x"), "need --bids ROOT with --task, got none"),
        (("cleaning",), "need recordings or --bids ROOT, got none"),
        (("realign", "{model}", "--bids", "{root}"), "need one recording, such as --run 1, got"),
    ],
)
def test_calls_that_are_wrong(root, tmp_path, capsys, arguments, told):
    given = [one.format(root=root, model=tmp_path / "a.rtd.safetensors") for one in arguments]
    ran = call(capsys, *given, "-o", tmp_path / "m.rtd.safetensors", program="calibration")
    assert ran.code
    assert told in ran.err
    assert ran.err.count("\n") == 1


def test_without_a_description_nothing_above_is_read(copy):
    (copy / "dataset_description.json").unlink()
    with pytest.warns(RuntimeWarning, match="need a dataset_description.json"):
        assert len(find_runs(copy)) == 2


@pytest.mark.slow
def test_a_data_set_fits(copy, tmp_path, vectors, capsys):
    root = copy
    model = (
        root / "derivatives" / "rt_decoder" / "sub-01" / "sub-01_task-words_model.rtd.safetensors"
    )
    ran = call(
        capsys, "fit", "--bids", root, "--subject", "01", "--vectors", vectors, *QUICK,
        "--groups", "run", "--final-block", "0", "--json", program="calibration",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    fitted = load_model(model)
    assert BAD not in fitted.info.ch_names
    kinds = dict(zip(fitted.info.ch_names, fitted.info.ch_types, strict=True))
    assert list(kinds.values()).count("eeg") == 7
    assert kinds.items() >= KINDS.items()
    assert fitted.recipe.stream.line_freq == LINE_FREQ
    told = json.loads(ran.out.splitlines()[-1])["certificate"]
    assert told["subject"] == "01"
    assert told["split"]["n_groups"] == 2
    n = sum(len(small_recording(session=k).markers) for k in (1, 2))
    assert told["split"]["n_events"] == n
    described = json.loads((model.parents[1] / "dataset_description.json").read_text())
    assert described["GeneratedBy"][0]["Name"] == "rt_decoder"
    assert described["DatasetType"] == "derivative"
    assert model.with_name("sub-01_task-words_model.sums.safetensors").is_file()
    again = call(capsys, "fit", "--bids", root, "--vectors", vectors, *QUICK, program="calibration")
    assert (again.code, "which exists; --overwrite replaces it" in again.err) == (2, True)
    less = tmp_path / "less.rtd.safetensors"
    for given in (("evaluate", "--model", model), ("refit", model, "--remove", "-o", less)):
        ran = call(capsys, *given, "--bids", root, "--run", "2", program="calibration")
        assert ran.code == 0, ran.err
        assert "reading sub-01_task-words_run-2_eeg.vhdr" in ran.out
    assert load_model(less).certificate["refit"][-1]["n"] == len(small_recording(session=2).markers)


@pytest.mark.slow
def test_people_of_a_data_set(copy, tmp_path, vectors, capsys):
    write_run(copy, raw_of(small_recording(session=3)), subject="02", run="1")
    table, out = tmp_path / "people.tsv", tmp_path / "out"
    table.write_text("person\trun\n01\t2\n02\tn/a\n")
    ran = call(
        capsys, "fit", "--people", table, "--bids", copy, "--vectors", vectors, *QUICK,
        "-o", out, program="calibration",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    made = [one.name for one in (out / "cells").glob("*.json")]
    assert [sum(code in name for name in made) for code in ("01", "02")] == [1, 1], made


# --- convert to BIDS


def session_of(folder: Path) -> Path:
    """A recording as a session leaves it, with a gap, and words in two scripts."""
    recording = small_recording()
    stamps = recording.stamps + np.where(np.arange(len(recording.stamps)) < 12_000, 0.0, 2.0)
    times = {m.index: float(stamps[m.index]) for m in recording.markers}
    markers = [m._replace(time=times[m.index]) for m in recording.markers]
    markers[0] = markers[0]._replace(label="вода")
    markers[1] = markers[1]._replace(label="水")
    save_recording(replace(recording, stamps=stamps, markers=tuple(markers)), folder / "s.xdf")
    return folder / "s.xdf"


def to_bids(capsys, source, root, *more):
    return call(capsys, "convert", source, "-o", root, "--subject", "07", "--task", "words", *more)


def test_what_is_converted_is_read_again(tmp_path, capsys):
    source, root = session_of(tmp_path), tmp_path / "new"
    before = source.read_bytes()
    for run in "12":  # the second joins a data set that exists
        ran = to_bids(capsys, source, root, "--session", "a", "--run", run)
        assert ran.code == 0, ran.err
        assert "time breaks in 1 place, 500 samples lost" in ran.out
    assert source.read_bytes() == before
    was = read_recording(source)
    runs = find_runs(root, BidsChoice("07"))
    assert [run.entities for run in runs] == [
        {"session": "a", "task": "words", "run": run} for run in "12"
    ]
    for run in runs:
        read, markers = read_marked(run.recording, run.events)
        assert read.info.ch_names == was.info.ch_names
        assert read.info.ch_types == was.info.ch_types
        # BrainVision holds single precision
        np.testing.assert_allclose(read.data, was.data, rtol=1.2e-7, atol=0)
        words = [(m.label, m.index) for m in markers if not m.label.startswith("EDGE")]
        assert words == [(m.label, m.index) for m in was.markers]
        assert [m.index for m in markers if m.label.startswith("EDGE")] == [12_000]
        assert run.recording.stat().st_mode & 0o077 == 0


def test_a_label_of_several_lines_is_one_cell(tmp_path, capsys):
    recording = small_recording()
    markers = [
        recording.markers[0]._replace(label=" two\nlines\tin all\r\n"),
        *recording.markers[1:],
    ]
    save_recording(replace(recording, markers=tuple(markers)), tmp_path / "s.xdf")
    assert to_bids(capsys, tmp_path / "s.xdf", tmp_path / "new").code == 0
    (run,) = find_runs(tmp_path / "new", BidsChoice("07"))
    header, *rows = [line.split("\t") for line in run.events.read_text("utf-8").splitlines()]
    assert {len(row) for row in rows} == {len(header)}
    assert len(rows) == len(markers)
    assert rows[0][header.index("trial_type")] == "two lines in all"


def test_bads_mains_positions_and_bad_segments_come_back(copy, tmp_path, capsys):
    table = recording_of(copy).with_name("sub-01_task-words_run-1_events.tsv")
    rows = table.read_text() + "20.0\t1.5\tBAD_move\t99\t5000\n"
    table.write_text(rows)
    was = read_recording(recording_of(copy))
    assert was.bad_segments == ((5000, 5375, "BAD_move"),)
    ran = to_bids(capsys, recording_of(copy), tmp_path / "new")
    assert ran.code == 0, ran.err
    (run,) = find_runs(tmp_path / "new")
    read = read_recording(run.recording)
    assert (read.bads, read.line_freq) == ((BAD,), LINE_FREQ)
    assert read.bad_segments == was.bad_segments
    np.testing.assert_allclose(read.info.positions, was.info.positions, atol=1e-9)


def test_nothing_is_replaced(copy, tmp_path, capsys):
    source = session_of(tmp_path)
    files = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    same = ("--subject", "01", "--task", "words", "--run", "1")
    ran = call(capsys, "convert", source, "-o", copy, *same)
    assert (ran.code, "--run sets another, --overwrite replaces it" in ran.err) == (1, True), (
        ran.err
    )
    ran = call(capsys, "convert", recording_of(copy), "-o", copy, *same, "--overwrite")
    assert (ran.code, "need another place than that of the recording" in ran.err) == (1, True)
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == files
    ran = to_bids(capsys, source, copy)
    assert ran.code == 0, ran.err
    table = {"participants.tsv"}  # a row more
    assert all(file.read_bytes() == was for file, was in files.items() if file.name not in table)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-o", "{out}/a.xdf", "--subject", "1"), "need a folder as --out with --subject"),
        (("-o", "{out}/new", "--subject", "1"), "need --task for a BIDS data set, got none"),
        (("-o", "{root}"), "need --subject and --task for a BIDS data set, got none"),
        (("-o", "{out}", "--subject", "1", "--task", "w"), "or the root of a BIDS data set"),
        (("-o", "{out}/n", "--subject", "a b", "--task", "w"), "need letters and digits as --subject"),
    ],
)  # fmt: skip
def test_places_that_are_none(root, tmp_path, capsys, arguments, told):
    (tmp_path / "s.xdf").touch()
    given = [one.format(root=root, out=tmp_path) for one in arguments]
    ran = call(capsys, "convert", tmp_path / "s.xdf", *given)
    assert (ran.code, told in ran.err) == (2, True), ran.err


# --- derivatives


@pytest.mark.parametrize("has_description", [False, True])
def test_readouts_are_an_events_table(copy, tmp_path, capsys, has_description):
    model, log = tmp_path / "m.rtd.safetensors", tmp_path / "log.jsonl"
    recipe = small_recipe(readout={"precision": 0.9})
    save_model(random_model(small_recording(), recipe), model)
    save_recording(small_recording(), tmp_path / "s.xdf")
    ran = call(capsys, "decode", tmp_path / "s.xdf", "--model", model, "--jsonl", log, "--force")
    assert ran.code == 0, ran.err
    folder = copy / "derivatives" / "rt_decoder"
    if has_description:
        folder.mkdir(parents=True)
        (folder / "dataset_description.json").write_text("{}")
    ran = to_bids(capsys, log, copy, "--run", "3")
    assert ran.code == 0, ran.err
    table = folder / "sub-07" / "eeg" / "sub-07_task-words_run-3_desc-decoded_events.tsv"
    assert str(table.relative_to(copy)) in ran.out
    told = [line for line in lines(log) if line["type"] == "readout"]
    rows = read_events(table)
    assert [row.label for row in rows] == [line["label"] for line in told]
    for row, line in zip(rows, told, strict=True):
        assert row.onset == line["index"] / 250
        assert row.row["decoded"] == ("n/a" if line["abstained"] else line["word"])
        assert float(row.row["probability"]) == line["top"][0][2]
    sidecar = json.loads(table.with_suffix(".json").read_text())
    assert set(row.row) <= set(sidecar)
    assert sidecar["ModelHash"] == lines(log)[0]["model"]
    assert table.stat().st_mode & 0o077 == 0
    described = json.loads((folder / "dataset_description.json").read_text())
    assert (
        described == {} if has_description else described["GeneratedBy"][0]["Name"] == "rt_decoder"
    )
    ran = to_bids(capsys, log, copy, "--run", "3")
    assert (ran.code, "which exists; --overwrite" in ran.err) == (1, True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(find_runs(copy)) == 2  # derivatives are no recordings


def test_what_is_no_log(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"type": "footer"}\n')
    ran = to_bids(capsys, tmp_path / "a.jsonl", tmp_path / "new")
    assert (ran.code, "need a log of rt-decoder decode or run" in ran.err) == (1, True)
    assert not (tmp_path / "new").exists()
    ran = call(capsys, "convert", tmp_path / "a.jsonl", "-o", tmp_path / "a.fif")
    assert (ran.code, "need --subject and --task with a log" in ran.err) == (2, True)
