"""Fits of many people: the table of people, cells that are kept, and what a bad person changes."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calibration.people.cell as cell
import calibration.senses
from calibration.demo import save_recording
from calibration.fit import fit_model
from calibration.people.cell import MOST_TRIES, Reading, Task, fit_cells
from calibration.people.person import read_people
from calibration.people.table import best_cells, group_rows
from rt_decoder.files.model_file import load_model, model_hash
from tests.small import call, fake_embedder, small_recipe, small_recording

QUICK = ("--picks", "eeg", "--stages", "[]", "--n-blocks", "4", "--n-permutations", "19",
         "--precision", "0")  # fmt: skip


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people's recordings with their events."""
    folder = tmp_path_factory.mktemp("people")
    for session in (1, 2):
        save_recording(small_recording(session=session), folder / f"rec{session}.xdf")
    return folder


@pytest.fixture
def data(recordings: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may spoil."""
    return Path(shutil.copytree(recordings, tmp_path / "data"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No language model: every word has its vector."""
    monkeypatch.setattr(cell, "fit_model", partial(fit_model, embedder=fake_embedder))
    monkeypatch.setattr(calibration.senses, "check_embedding", lambda *_: None)


def people_table(data: Path, *rows: str, columns: str = "person\trecordings\tevents") -> Path:
    path = data / "people.tsv"
    path.write_text("\n".join((columns, *rows)) + "\n")
    return path


def two(data: Path, *more: str) -> Path:
    return people_table(data, "S1\trec1.xdf\trec1.tsv", "S2\trec2.xdf\trec2.tsv", *more)


def fit(capsys, table: Path, out: Path, *more: str) -> Any:
    return call(
        capsys, "fit", "--people", table, "-o", out, *QUICK, *more, program="calibration"
    )  # fmt: skip


# --- the table of people


def test_a_person_has_one_row_or_one_for_each_recording(tmp_path: Path) -> None:
    rows = ("a\tx/1.fif;2.fif\t1.tsv; 2.tsv\t3", "b\t3.fif\tn/a\t", "b\t4.fif\t\t")
    path = people_table(tmp_path, *rows, columns="person\trecordings\tevents\tlayer")
    first, second = read_people(path, ["layer"])
    assert first.recordings == (tmp_path / "x/1.fif", tmp_path / "2.fif")
    assert first.tables == (tmp_path / "1.tsv", tmp_path / "2.tsv")
    assert (dict(first.keys), dict(second.keys)) == ({"layer": "3"}, {})
    assert (len(second.recordings), second.tables) == (2, ())


@pytest.mark.parametrize(
    ("columns", "rows", "why"),
    [
        ("person\tfiles", ["a\t1.fif"], "got no recordings"),
        ("subject\tfile", ["a\t1.fif"], "got no person and no recordings"),
        ("person\trecordings\tlyer", ["a\t1.fif\t2"], "got 'lyer'"),
        ("person\trecordings\trecordings", ["a\t1.fif\t2.fif"], "each column once"),
        ("person\trecordings", [], "need a row for each person"),
        ("person\trecordings", ["a\t"], "need a recording of a"),
        ("person\trecordings", ["Anna B\t1.fif"], "need a code"),
        ("person\trecordings", ["group\t1.fif"], "not 'group'"),
        ("person\trecordings", ["a\t1.fif", "b\t2.fif", "a\t3.fif"], "got a again"),
        ("person\trecordings", ["a\t1.fif", "A\t2.fif"], "more than case"),
        ("person\trecordings", ["a\t1.fif", "b\t1.fif"], "got one of a again"),
        ("person\trecordings", ["a\t1.fif", "a\t1.fif"], "got one of a again"),
        ("person\trecordings\tlayer", ["a\t1.fif\t1", "a\t2.fif\t2"], "got a again"),
        ("person\trecordings\tevents", ["a\t1.fif;2.fif\t1.tsv"], "for each of 2 recordings"),
        ("person\trecordings\tevents", ["a\t1.fif\t1.tsv", "a\t2.fif\t"], "or for none"),
    ],
)
def test_a_wrong_table_is_refused(columns, rows, why, tmp_path: Path, capsys) -> None:
    path = people_table(tmp_path, *rows, columns=columns)
    ran = call(
        capsys, "fit", "--people", path, "-o", tmp_path / "out", program="calibration"
    )  # fmt: skip
    assert ran.code == 2
    assert why in ran.err
    assert "people.tsv" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("rec1.xdf",), "--people alone or recordings"),
        (("--subject", "a"), "--people alone or --subject"),
        (("--dask", "tcp://x:1", "--jobs", "2"), "--dask or --jobs"),
        (("--layers", "1,x"), "numbers with commas"),
        (("--layers", "1.5"), "numbers with commas"),
        (("--layers", "1,1"), "each layer and window once"),
        (("--windows", "0.5,0.50"), "each layer and window once"),
        (("--final-block", "0"), "final_block above 0"),
    ],
)
def test_a_wrong_call_is_refused(more, why, tmp_path: Path, capsys) -> None:
    path = people_table(tmp_path, "a\t1.fif", columns="person\trecordings")
    ran = fit(capsys, path, tmp_path / "out", *more)
    assert (ran.code, why in ran.err) == (2, True), ran.err


@pytest.mark.parametrize("more", [("--layers", "1"), ("--jobs", "2"), ("--restart",)])
def test_options_of_many_people_need_a_table(more, tmp_path: Path, capsys) -> None:
    ran = call(
        capsys, "fit", "x.fif", "-o", tmp_path / "m.rtd.safetensors", *more, program="calibration"
    )
    assert (ran.code, "need --people" in ran.err) == (2, True)
    nothing = call(capsys, "fit", "-o", tmp_path / "m.rtd.safetensors", program="calibration")
    assert (
        nothing.code,
        "need recordings, --bids ROOT or --people TSV, got none" in nothing.err,
    ) == (2, True)


def test_a_missing_package_is_named(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("rt_decoder.files.packages.find_spec", lambda _: None)
    path = people_table(tmp_path, "a\t1.fif", columns="person\trecordings")
    ran = fit(capsys, path, tmp_path / "out", "--dask", "tcp://127.0.0.1:1")
    assert ran.code == 1
    assert "for --dask: pip install 'rt-decoder[c" in ran.err


# --- cells


def test_finished_cells_are_kept_and_changed_ones_fitted(data, tmp_path, capsys, quick) -> None:
    out, table = tmp_path / "out", two(data, "S3\tnone.xdf\tnone.tsv", "S4\trec4.xdf\trec4.tsv")
    (data / "rec4.xdf").write_bytes(b"XDF:" + bytes(100))
    shutil.copy(data / "rec1.tsv", data / "rec4.tsv")
    ran = fit(capsys, table, out, "--windows", "0.5")
    assert ran.code == 1  # two people failed, two did not
    for name in ("S3_layer-1_window0.5", "S4_layer-1_window0.5"):
        assert name in ran.err
    assert "2 could not be fitted" in ran.err
    told = json.loads((out / "people.json").read_text())
    assert [row["person"] for row in told["cells"]] == ["S1", "S2"]
    assert [row["window"] for row in told["group"]] == [0.5]
    assert len(told["failed"]) == 2
    assert told["group_model"]["n"] == 2
    assert told["group_model"]["ceiling"] is None
    assert "needs three people" in ran.out
    lines = (out / "people.tsv").read_text().splitlines()
    assert len(lines) == 1 + 2 + 1
    group = load_model(out / "group.rtd.safetensors")
    assert model_hash(group) == told["group_model"]["model"]
    for row in told["cells"]:
        path = out / "cells" / f"{row['person']}_layer-1_window{row['window']:g}.rtd.safetensors"
        assert model_hash(load_model(path)) == row["model"]
        assert str(data).encode() not in path.read_bytes()
        assert row["low"] is None or row["low"] <= row["rank"] <= row["high"]
    assert not list((out / "cells").glob("*.begun"))

    events = (data / "rec2.tsv").read_text().splitlines()
    (data / "rec2.tsv").write_text("\n".join(events[:-3]) + "\n")
    again = fit(capsys, two(data), out, "--windows", "0.5")
    assert again.code == 0
    assert "S1_layer-1_window0.5: kept" in again.out
    assert "S2_layer-1_window0.5: fitted" in again.out


@pytest.mark.slow
def test_a_restart_keeps_nothing(data, tmp_path, capsys, quick) -> None:
    for more, how in (((), "fitted"), ((), "kept"), (("--restart",), "fitted")):
        ran = fit(capsys, two(data), tmp_path / "out", *more)
        assert ran.out.count(f": {how}") == 2


@pytest.mark.slow
def test_a_cell_is_what_a_fit_of_the_person_gives(
    data, tmp_path, capsys, quick, monkeypatch
) -> None:
    assert fit(capsys, two(data), tmp_path / "out").code == 0
    monkeypatch.setattr("calibration.fit.fit_model", partial(fit_model, embedder=fake_embedder))
    one = tmp_path / "one.rtd.safetensors"
    alone = call(
        capsys, "fit", data / "rec1.xdf", "--events", data / "rec1.tsv", "-o", one, "--subject",
        "S1", *QUICK, program="calibration",
    )  # fmt: skip
    assert alone.code == 0, alone.err
    fitted = load_model(one)
    kept = load_model(tmp_path / "out" / "cells" / "S1_layer-1_window0.8.rtd.safetensors")
    np.testing.assert_array_equal(kept.weights, fitted.weights)
    assert kept.posterior == fitted.posterior
    assert kept.certificate["final"] == fitted.certificate["final"]


@pytest.mark.slow
def test_a_key_of_one_person_comes_first(data: Path, tmp_path: Path, capsys, quick) -> None:
    columns = "person\trecordings\tevents\ttmax"
    rows = ("S1\trec1.xdf\trec1.tsv\t0.4", "S2\trec2.xdf\trec2.tsv\t")
    table = people_table(data, *rows, columns=columns)
    both = fit(capsys, table, tmp_path / "out", "--windows", "0.5")
    assert (both.code, "need tmax as a column or an option" in both.err) == (2, True)
    ran = fit(capsys, table, tmp_path / "out", "--tmax", "0.6")
    assert "S1_layer-1_window0.4: fitted" in ran.out
    assert "S2_layer-1_window0.6: fitted" in ran.out
    assert "no group model" in ran.out  # at no window there are two


def test_a_cell_whose_process_dies_is_given_up(data: Path, tmp_path: Path, quick) -> None:
    person = read_people(two(data), [])[0]
    task = Task(person, (small_recipe().to_dict(),), Reading(), tmp_path)
    begun = tmp_path / f"{task.names[0]}.begun"
    begun.write_text(str(MOST_TRIES))
    (outcome,) = fit_cells(task)
    assert (outcome.how, f"died {MOST_TRIES} times" in outcome.why) == ("failed", True)


# --- the table of results


def row(person: str, rank: float, bits: float = 0.0, layer: int = 0) -> dict[str, Any]:
    return {"person": person, "layer": layer, "window": 0.8, "n": 9, "chance": 0.5, "rank": rank,
            "bits": bits, "p": 0.5, "low": None, "high": None, "null_rank": 0.5,
            "bits_out_of_fold": bits}  # fmt: skip


def test_people_are_the_units_of_the_group() -> None:
    ranks = [0.6, 0.55, 0.62, 0.58, 0.52]
    (mean,) = group_rows([row(f"S{i}", rank) for i, rank in enumerate(ranks)])
    assert mean["n"] == 5
    assert mean["rank"] == pytest.approx(np.mean(ranks))
    assert min(ranks) <= mean["low"] < mean["rank"] < mean["high"] <= max(ranks)
    assert mean["p"] == 2**-5


def test_the_group_is_chosen_out_of_fold() -> None:
    rows = [row(f"S{i}", 0.9, 0.1, layer=0) for i in range(3)]
    rows += [row(f"S{i}", 0.5, 0.2, layer=1) for i in range(3)]
    rows += [row("S0", 0.5, 0.9, layer=2)]  # of one person alone
    assert {one["layer"] for one in best_cells(rows)} == {1}
    assert best_cells([]) == []
