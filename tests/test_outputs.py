"""Every command and every option that writes: no input, no other output, no old file is destroyed.

What is wrong with an output is found before an input is read, so the inputs here are garbage.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from calibration.cli import app as calibrate
from rt_decoder.commands.cli import app as decode
from rt_decoder.files.append_file import AppendFile
from rt_decoder.files.outputs import Output, claim, reserve
from tests.small import Ran, call

# command: what it reads, in the order of the call; its outputs with an ending of each
READ = {
    "decode": ("rec.vhdr", "--model m.safetensors", "--events e.tsv", "--channels c.tsv"),
    "clean": ("rec_raw.fif", "--model m.safetensors", "--channels c.tsv"),
    "convert": ("rec.set", "--channels c.tsv"),
    "run": ("--model m.safetensors", "--channels c.tsv", "--config s.toml"),
    "certify": ("--model m.safetensors",),
    "replay": ("rec_raw.fif", "--events e.tsv", "--channels c.tsv", "--faults loss=1s@1"),
    "record": ("--channels c.tsv", "--timeout 0", "--config s.toml"),
    "present": ("words.txt", "--wait 0", "--config s.toml"),
    "simulate": ("--seconds 5",),
    "fit": (
        "rec_raw.fif", "other.xdf", "--events e.tsv", "--events f.tsv", "--channels c.tsv",
        "--recipe r.toml", "--vocabulary v.txt", "--embedding llm", "--prior-from p.safetensors",
    ),
    "cleaning": ("rec_raw.fif", "--events e.tsv", "--channels c.tsv", "--recipe r.toml"),
    "embed": ("words.txt", "--embedding llm"),
    "pool": ("m.safetensors", "p.safetensors"),
    "refit": ("m.safetensors", "rec_raw.fif", "--events e.tsv", "--channels c.tsv"),
    "realign": ("m.safetensors", "rec_raw.fif", "--channels c.tsv"),
    "evaluate": ("rec_raw.fif", "--model m.safetensors", "--events e.tsv", "--channels c.tsv"),
    "encode": ("rec_raw.fif", "--model m.safetensors", "--events e.tsv", "--channels c.tsv"),
}  # fmt: skip
WRITTEN = {
    ("decode", "--jsonl"): ".jsonl",
    ("clean", "--out"): ".fif",
    ("convert", "--out"): ".xdf",
    ("present", "--save"): ".tsv",
    ("record", "--output"): ".xdf",
    ("run", "--log"): ".jsonl",
    ("run", "--record"): ".xdf",
    ("replay", "--faults-log"): ".json",
    ("simulate", "--save"): ".xdf",
    ("fit", "--output"): ".rtd.safetensors",
    ("fit", "--report"): ".html",
    ("cleaning", "--output"): ".safetensors",
    ("cleaning", "--report"): ".html",
    ("embed", "--output"): ".safetensors",
    ("pool", "--output"): ".safetensors",
    ("refit", "--output"): ".safetensors",
    ("realign", "--output"): ".safetensors",
    ("evaluate", "--report"): ".html",
    ("encode", "--report"): ".html",
    ("certify", "--picture"): ".svg",
}
LIVE = {
    ("present", "--save"), ("record", "--output"), ("run", "--log"), ("run", "--record"), ("replay", "--faults-log"),
}  # fmt: skip
INPUT_OPTIONS = {
    "--model", "--events", "--channels", "--recipe", "--prior-from", "--people", "--language-text",
    "--folder", "--bids", "--then",
}  # fmt: skip
# read with rec.vhdr, rec.set, rec_raw.fif and llm, though no call names them
BESIDE = {
    "rec.vhdr": ("data.bin", "rec.vmrk", "rec.eeg"),
    "rec.set": ("rec.fdt",),
    "rec_raw.fif": ("rec_raw-1.fif", "rec_split-02_raw.fif"),
    "llm": ("llm/model.safetensors",),
}
IDS = [" ".join(one) for one in WRITTEN]
CALIBRATE = ("fit", "cleaning", "embed", "pool", "refit", "realign", "evaluate", "encode")


def files_of(command: str) -> list[str]:
    """Names of all files that a call reads."""
    named = [text.rpartition(" ")[2] for text in READ[command]]
    named = [name for name in named if "." in name and "=" not in name] + ["llm"] * (
        "--embedding llm" in READ[command]
    )
    return [name for name in named if name != "llm"] + [
        beside for name in named for beside in BESIDE.get(name, ())
    ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that any call reads."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llm").mkdir()
    for command in READ:
        for name in files_of(command):
            (tmp_path / name).write_text(f"# {name}\n" * 99)
    (tmp_path / "rec.vhdr").write_text("[Common Infos]\nDataFile=data.bin\nMarkerFile=rec.vmrk\n")
    return tmp_path


@pytest.fixture
def write(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Call a command with an output; whatever it says, what was there stays."""

    def run(command: str, option: str, out: str | Path, *more: str) -> Ran:
        before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
        arguments = [part for text in READ[command] for part in text.split()]
        if option == "--report" and command in ("fit", "cleaning"):
            more = (*more, "--output", "new.safetensors")
        ran = call(
            capsys, command, *arguments, option, out, *more,
            program="calibration" if command in CALIBRATE else "rt_decoder",
        )  # fmt: skip
        assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before
        assert "Traceback" not in ran.err
        return ran

    return run


def assert_refused(ran: Ran, *why: str) -> None:
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.count("\n") == 1
    for text in why:
        assert text in ran.err


def test_the_table_names_every_option_that_writes() -> None:
    """A new option with a path is an input or an output; one that writes belongs to `WRITTEN`."""
    found = set()
    for app in (decode, calibrate):
        commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        for one in app.registered_commands:
            taken = inspect.signature(one.callback, eval_str=True).parameters  # type: ignore[arg-type]
            for param in commands[one.name].params:
                is_path = param.name in taken and "pathlib." in str(taken[param.name].annotation)
                option = next((o for o in param.opts if o.startswith("--")), "")
                if is_path and option and option not in INPUT_OPTIONS:
                    found.add((one.name, option))
    assert found == set(WRITTEN)


@pytest.mark.parametrize(("command", "option"), WRITTEN, ids=IDS)
def test_an_output_that_is_an_input(command: str, option: str, place: Path, write) -> None:
    """Through any link, with the ending of the format, with --overwrite or without."""
    for number, name in enumerate(files_of(command)):
        why = "than one that is read"
        soft, hard = (place / f"{kind}{number}{WRITTEN[command, option]}" for kind in "sh")
        soft.symlink_to(place / name)
        hard.hardlink_to(place / name)
        more = () if (command, option) in LIVE else ("--overwrite",)
        assert_refused(write(command, option, soft, *more), option, why)
        assert_refused(write(command, option, hard), option, why)
        assert_refused(write(command, option, f"llm/../{name}", *more), option, why)


@pytest.mark.parametrize(("command", "option"), WRITTEN, ids=IDS)
def test_an_output_that_exists(command: str, option: str, place: Path, write) -> None:
    old = place / f"old{WRITTEN[command, option]}"
    old.write_text("yesterday's")
    link = place / f"link{WRITTEN[command, option]}"
    link.symlink_to(place / "nowhere")
    for out in (old, link):
        ran = write(command, option, out)
        if (command, option) in LIVE:  # takes another name; here it fails for its garbage
            assert ran.code == 1
        else:
            assert_refused(ran, option, out.name, "exists; --overwrite replaces it")
    if (command, option) not in LIVE and command not in ("simulate", "embed"):
        assert write(command, option, old, "--overwrite").code == 1


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["ending", "none", "bare", "folder", "nowhere", "closed", "null"])
@pytest.mark.parametrize(("command", "option"), WRITTEN, ids=IDS)
def test_an_output_that_cannot_be(
    command: str, option: str, wrong: str, place: Path, write
) -> None:
    ending = WRITTEN[command, option]
    (place / f"folder{ending}").mkdir()
    out, why = {
        "ending": (f"out{ending}.txt", "need a file named"),
        "none": ("out", "need a file named"),
        "bare": (ending, "need a file named"),
        "folder": (f"folder{ending}", "got the folder"),
        "nowhere": (f"absent/out{ending}", "need a folder absent"),
        "closed": (f"/proc/out{ending}", "cannot write out"),
        "null": ("/dev/null", "which is none"),
    }[wrong]
    streamed = option in ("--jsonl", "--log", "--record")
    if wrong == "closed" and not Path("/proc/self").exists():
        pytest.skip("need a folder that even root cannot write to")
    ran = write(command, option, out)
    if wrong == "null" and streamed:
        assert ran.code == 1  # only for the garbage
        assert Path(os.devnull).is_char_device()
    else:
        assert_refused(ran, why)


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        ("run", "--log", "--record"),
        ("fit", "--output", "--report"),
        ("cleaning", "--output", "--report"),
    ],
)
def test_two_outputs_that_are_one(command, first, second, place: Path, capsys) -> None:
    program = "calibration" if command in CALIBRATE else "rt_decoder"
    arguments = [part for text in READ[command] for part in text.split()]
    (place / "linked").symlink_to(place)
    one, other = (f"a{WRITTEN[command, option]}" for option in (first, second))
    (place / other).symlink_to(place / one)
    for name in (other, f"linked/{other}"):
        ran = call(capsys, command, *arguments, first, one, second, name, program=program)
        assert_refused(ran, "need two files for", first, second)
    assert not (place / one).exists()


def test_a_later_part_of_a_log_is_a_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / "session.1.jsonl").write_text("yesterday's")
    log = Output("--jsonl", tmp_path / "session.jsonl", (".jsonl",))
    with pytest.raises(FileExistsError, match=r"session\.1\.jsonl"):
        claim([log], [])
    claim([log], [], overwrite=True)
    assert reserve(log.path) == [tmp_path / "session-002.jsonl"]


# --- names of a session


def test_log_and_record_share_the_next_number(tmp_path: Path) -> None:
    log, record = tmp_path / "s.jsonl", tmp_path / "s.xdf"
    assert reserve(log, record) == [log, record]
    record.write_text("yesterday's")
    log.unlink()
    assert reserve(log, record) == [tmp_path / "s-002.jsonl", tmp_path / "s-002.xdf"]
    assert reserve(None, record) == [None, tmp_path / "s-003.xdf"]
    assert reserve(log, None) == [log, None]
    assert reserve(None, None) == [None, None]
    assert record.read_text() == "yesterday's"


def test_a_link_to_another_disk_is_followed_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "s.jsonl", tmp_path / "disk" / "t.jsonl"
    link.symlink_to(target)
    assert reserve(link) == [target]
    assert reserve(link) == [tmp_path / "disk" / "t-002.jsonl"]


def test_sessions_that_start_at_once_get_names_of_their_own(tmp_path: Path) -> None:
    n, got = 16, []
    gate = threading.Barrier(n)

    def start() -> None:
        gate.wait()
        log, record = reserve(tmp_path / "s.jsonl", tmp_path / "s.xdf")
        for path in (log, record):
            file = AppendFile(path)
            file.append(b"x")
            file.close()
        got.append((log.stem, record.stem))

    threads = [threading.Thread(target=start) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == n
    assert all(log == record for log, record in got)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"x"}
    assert len(list(tmp_path.iterdir())) == 2 * n
