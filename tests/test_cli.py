"""Both programs as they are called: what they write, say and return."""

from __future__ import annotations

import getpass
import json
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from calibration.demo import save_recording
from rt_decoder.files.model_file import load_model
from rt_decoder.files.read import read_recording
from rt_decoder.files.sums_file import load_sums
from rt_decoder.signal import SignalInfo
from rt_decoder.sinks.outlets import data_outlet
from tests.language import tiny_bert
from tests.lsl_loopback import wait_for
from tests.small import (
    WORDS,
    Ran,
    call,
    finish,
    lines,
    save_small,
    small_recording,
    start,
)


def told(ran: Ran) -> dict[str, Any]:
    """The JSON object that ends what a command said."""
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out.splitlines()[-1])


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers that has never learned anything."""
    return tiny_bert(tmp_path_factory.mktemp("language") / "tiny-bert")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of one participant, and a model."""
    folder = tmp_path_factory.mktemp("cli")
    for session in (1, 2):
        save_recording(small_recording(session=session), folder / f"rec{session}.xdf")
    save_small(folder / "model.rtd.safetensors")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RT_DECODER_CACHE", str(tmp_path / "cache"))


def assert_private(path: Path, *secrets: str) -> None:
    """Readable by its owner only, and nothing in it tells whose machine it was."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    home = str(Path.home())
    for secret in (home, "/tmp", getpass.getuser() + "@", *secrets):
        assert secret.encode() not in content, secret


# --- rt-calibrate


def test_fit_evaluate_inspect_decode(folder: Path, language_model: Path, tmp_path, capsys) -> None:
    model, words = tmp_path / "m.rtd.safetensors", tmp_path / "words.txt"
    words.write_text("\n".join((*WORDS, "word99")))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[stream]\npicks = ["eeg"]\n[fit]\nn_blocks = 9\nn_permutations = 19\n')
    ran = call(
        capsys, "fit", folder / "rec1.xdf", "--events", folder / "rec1.tsv", "-o", model,
        "--recipe", recipe, "--n-blocks", "4", "--embedding", language_model, "--layer", "1",
        "--vocabulary", words, "--subject", "S01", "--json", program="calibration",
    )  # fmt: skip
    fitted = told(ran)
    certificate = fitted["certificate"]
    assert fitted["model"] == model.name
    assert certificate["subject"] == "S01"
    assert certificate["split"]["n_groups"] == 3  # of 4 blocks the last is locked
    for name in ("out_of_fold", "final"):
        assert 0 <= certificate[name]["rank_accuracy"] <= 1
        assert {"chance_rank_accuracy", "prior_top10", "bits_per_word"} <= certificate[name].keys()
    assert "chance" in ran.out
    recipe_kept = load_model(model).recipe
    assert recipe_kept.fit.n_blocks == 4  # an option comes before the file
    assert recipe_kept.target.embedding == "tiny-bert"
    assert len(load_model(model).items) == len(WORDS) + 1
    assert_private(model, str(folder), str(tmp_path))

    companion = tmp_path / "m.sums.safetensors"
    assert_private(companion, str(folder), str(tmp_path), "S01")
    assert (
        load_sums(companion, fitted["hash"]).people[0].counts.sum()
        == certificate["split"]["n_train"]
    )
    shared = call(
        capsys, "fit", folder / "rec2.xdf", "--events", folder / "rec2.tsv", "-o",
        tmp_path / "other.rtd.safetensors", "--recipe", recipe, "--n-blocks", "4", "--embedding",
        language_model, "--layer", "1", "--vocabulary", words, "--prior-from", model, "--no-sums",
        "--json", program="calibration",
    )  # fmt: skip
    made = told(shared)["certificate"]["map"]
    assert made["prior"]["n_people"] == 1
    assert made["prior"]["kappa"] == made["kappa"]
    did = "of the other people's sums" if made["kappa"] else "they are not used (kappa 0)"
    assert did in shared.out
    assert "prior of 1 other person" in shared.out
    assert not (tmp_path / "other.sums.safetensors").exists()

    own = call(
        capsys, "fit", folder / "rec1.xdf", "--events", folder / "rec1.tsv", "-o",
        tmp_path / "own.rtd.safetensors", "--embedding", language_model, "--prior-from", model,
        program="calibration",
    )  # fmt: skip
    assert own.code == 1
    assert "got rec1.xdf, which is in m.rtd.safetensors already" in own.err
    assert not own.out  # before any work

    shown = told(call(capsys, "inspect", model, "--json"))
    assert shown["hash"] == fitted["hash"]
    assert shown["contract"]["sfreq"] == 250.0
    assert shown["n_items"] == 13

    scores = told(
        call(
            capsys, "evaluate", "--model", model, folder / "rec2.xdf", "--events",
            folder / "rec2.tsv", "--json", program="calibration",
        )
    )["scores"]  # fmt: skip
    assert scores["n"] > 50
    assert scores["chance_rank_accuracy"] == 0.5

    log = tmp_path / "log.jsonl"
    footer = told(
        call(
            capsys, "decode", folder / "rec2.xdf", "--events", folder / "rec2.tsv", "--model",
            model, "--jsonl", log, "--json", "--force",  # few events prove nothing
        )
    )  # fmt: skip
    written = lines(log)
    assert written[0]["type"] == "header"
    assert written[0]["model"] == fitted["hash"]
    assert written[-1] == footer
    readouts = [line for line in written if line["type"] == "readout"]
    assert footer["n_readouts"] == len(readouts) == scores["n"] + scores["n_dropped"]
    right = [line["label"] == line["word"] for line in readouts if "quality" not in line["reasons"]]
    assert len(right) == scores["n"]
    assert np.mean(right) == pytest.approx(scores["posterior_top1"])
    assert_private(log, str(folder), "rec2")


@pytest.mark.slow
def test_the_same_fit_writes_the_same_model(folder: Path, language_model, tmp_path, capsys) -> None:
    hashes = set()
    for name in ("a", "b"):
        ran = call(
            capsys, "fit", folder / "rec1.xdf", "-o", tmp_path / f"{name}.safetensors", "--picks", "eeg",
            "--n-permutations", "19", "--embedding", language_model, "--json",
            program="calibration",
        )  # fmt: skip
        hashes.add(told(ran)["hash"])
    assert len(hashes) == 1


def test_embed(language_model: Path, tmp_path: Path, capsys) -> None:
    from safetensors.numpy import load_file

    words, out = tmp_path / "words.txt", tmp_path / "v.safetensors"
    words.write_text("word1\n\nword2\nword1\n")
    ran = call(
        capsys, "embed", words, "-o", out, "--embedding", language_model, program="calibration"
    )
    assert (ran.code, ran.err) == (0, "")
    assert load_file(out)["vectors"].shape == (2, 16)
    assert str(language_model.parent).encode() not in out.read_bytes()


# --- rt-decoder


def test_help_names_every_command(capsys) -> None:
    ran = call(capsys, "--help")
    assert ran.code == 0
    for command in ("demo", "streams", "simulate", "replay", "run", "decode", "inspect", "info"):
        assert f"\n  {command} " in ran.out
    assert call(capsys, "--help", program="calibration").code == 0


def test_info(capsys) -> None:
    ran = call(capsys, "info", "--json")
    summary = told(ran)
    assert summary["numba"]
    assert summary["liblsl"] > 1.1
    assert socket.gethostname() not in ran.out


def test_simulate_saves_a_recording_and_its_events(tmp_path: Path, capsys) -> None:
    out = tmp_path / "sim.xdf"
    ran = call(
        capsys, "simulate", "--seconds", "6", "--words", "20", "--channels", "4", "--sfreq", "100",
        "--save", out,
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    recording = read_recording(out)
    assert recording.data.shape == (600, 8)  # EEG, VEOG, HEOG, ECG, RESP
    table = [line.split("\t") for line in out.with_suffix(".tsv").read_text().splitlines()[1:]]
    assert [row[3] for row in table] == [marker.label for marker in recording.markers]
    assert [float(row[0]) for row in table] == [marker.time for marker in recording.markers]


def test_a_trigger_channel_comes_in_place_of_the_marker_stream(folder: Path, tmp_path, capsys):
    """As live: every word once, though the file holds its markers as well."""
    log = tmp_path / "log.jsonl"
    ran = call(
        capsys, "decode", folder / "rec2.xdf", "--model", folder / "model.rtd.safetensors",
        "--jsonl", log, "--markers", "channel:TRIG",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    asked = [(r["label"], r["index"]) for r in lines(log) if r["type"] == "readout"]
    assert asked == [(m.label, m.index) for m in read_recording(folder / "rec2.xdf").markers]


@pytest.mark.lsl
def test_streams(source_id: str, capsys) -> None:
    info = SignalInfo(100.0, ("Cz",), ("eeg",), ("microvolts",))
    outlet = data_outlet("shown", info, source_id)
    ran = call(capsys, "streams", "--wait", "1", "--json")
    found = [s for s in told(ran)["streams"] if s["source_id"] == source_id]
    assert [(s["name"], s["n_channels"], s["sfreq"], s["unit"]) for s in found] == [
        ("shown", 1, 100.0, "microvolts")
    ]
    assert source_id in "".join(ran.out.splitlines()[:-1])
    del outlet


@pytest.mark.lsl
def test_a_signal_ends_a_session_well(folder: Path, source_id: str, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM: exit code 0, footer written, files private, no half line."""
    recording = small_recording(seconds=8.0)
    outlet = data_outlet("signals", recording.info, source_id)
    running = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        log, record = tmp_path / f"{number}.jsonl", tmp_path / f"{number}.xdf"
        running[number] = start(
            "run", "--model", folder / "model.rtd.safetensors", "--source-id", source_id, "--log",
            log, "--record", record, "--timeout", "60", "--json", "--outlet", "",
        )  # fmt: skip
    wait_for(outlet.have_consumers, 60.0)
    begin, row = local_clock(), 0
    logs = [tmp_path / f"{number}.jsonl" for number in running]

    def decoding() -> bool:
        nonlocal row
        row += 10
        stamps = [begin + i / recording.info.sfreq for i in range(row - 10, row)]
        rows = np.arange(row - 10, row) % len(recording.data)
        outlet.push_chunk(np.ascontiguousarray(recording.data[rows]), stamps)
        return all(log.exists() and b'"readout"' in log.read_bytes() for log in logs)

    wait_for(decoding, 60.0)
    for number, process in running.items():
        process.send_signal(number)
    for number, process in running.items():
        footer = told(finish(process))
        written = lines(tmp_path / f"{number}.jsonl")
        assert written[0]["type"] == "header"
        assert written[-1] == footer
        assert footer["n_readouts"] > 0
        assert_private(tmp_path / f"{number}.jsonl", str(folder))
        assert_private(tmp_path / f"{number}.xdf", str(folder))
        assert len(read_recording(tmp_path / f"{number}.xdf").data) == footer["n_samples"]


@pytest.mark.lsl
def test_a_replay_that_nobody_reads_can_be_ended(folder: Path, source_id: str) -> None:
    process = start("replay", folder / "rec1.xdf", "--name", source_id)
    assert process.stdout is not None
    assert "waiting for consumers" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    ran = finish(process)
    assert (ran.code, ran.err) == (130, "error: interrupted; nothing was sent\n")
