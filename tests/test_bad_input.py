"""Bad input gets one sentence and exit code 1 or 2: no traceback, no half file.

Every command line runs in this process; `small.call` is what the console programs do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from calibration.demo import save_recording
from calibration.design import draft_model
from rt_decoder.files.model_file import save_model
from rt_decoder.files.recording import Recording
from rt_decoder.signal import SignalInfo
from rt_decoder.sinks.outlets import data_outlet
from tests.small import Ran, call, finish, random_model, small_recipe, small_recording, start

SFREQ = 250.0
FIT = ("fit", "{sim}", "--events", "{events}", "-o", "{out}/m.safetensors")
DECODE = ("decode", "{sim}", "--model", "{model}", "--force", "--jsonl", "{out}/log.jsonl")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good files to begin with, and of bad ones."""
    folder = tmp_path_factory.mktemp("inputs")
    recording = small_recording(seconds=20.0)
    save_recording(recording, folder / "sim.xdf")  # and sim.tsv
    save_recording(replace(recording, markers=()), folder / "unmarked.xdf")
    other = replace(recording, data=np.ascontiguousarray(recording.data[::-1]))
    save_recording(_picked(other, ("Fz", "Cz", "Oz", "ECG")), folder / "few.xdf")
    save_recording(_at_rate(other, 333.0), folder / "odd_rate.xdf")
    model = random_model(recording, small_recipe())
    save_model(model, folder / "model.safetensors")
    save_model(draft_model([recording], small_recipe()), folder / "mapless.safetensors")
    _bad_models(folder)
    _bad_tables(folder)
    _bad_recordings(folder, recording)
    return folder


def _picked(recording: Recording, names: tuple[str, ...]) -> Recording:
    picks = [recording.info.ch_names.index(name) for name in names]
    return replace(recording, data=recording.data[:, picks], info=recording.info.pick(picks))


def _at_rate(recording: Recording, sfreq: float) -> Recording:
    info = replace(recording.info, sfreq=sfreq)
    stamps = np.arange(len(recording.data)) / sfreq
    markers = tuple(m._replace(time=float(stamps[m.index])) for m in recording.markers)
    return replace(recording, info=info, stamps=stamps, markers=markers)


def _bad_models(folder: Path) -> None:
    good = (folder / "model.safetensors").read_bytes()
    for share in (0, 0.001, 0.1, 0.5, 0.999):
        (folder / f"cut_{share}.safetensors").write_bytes(good[: int(share * len(good))])
    n_header = int.from_bytes(good[:8], "little")
    for name, at in (("header", 8 + n_header // 2), ("first", 8 + n_header), ("last", -1)):
        altered = bytearray(good)
        altered[at] ^= 1
        (folder / f"altered_{name}.safetensors").write_bytes(altered)
    (folder / "text.safetensors").write_text("this is no model\n" * 10)
    save_file({"x": np.zeros(3)}, folder / "foreign.safetensors")
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    for name, key in (("newer", "format_version"), ("newer_flags", "flags_version")):
        head = json.loads(metadata["rt_decoder"]) | {key: 99}
        newer = {"rt_decoder": json.dumps(head), "sha256": metadata["sha256"]}
        save_file(tensors, folder / f"{name}.safetensors", newer)


def _bad_tables(folder: Path) -> None:
    header = "onset\tduration\ttrial_type\tword\n"
    good = "".join(f"{2 + i}\t0\tword\tword{i % 3}\n" for i in range(12))
    tables = {
        "outside": header + good + "999\t0\tword\taxe\n",
        "before": header + "-3.0\t0\tword\taxe\n" + good,
        "empty_label": header + good + "15.5\t0\tword\t\n",
        "no_onset": header + good + "soon\t0\tword\taxe\n",
        "no_column": "onset\tduration\n2.0\t0\n",
        "no_rows": header,
        "one_item": header + "".join(f"{2 + i}\t0\tword\taxe\n" for i in range(12)),
        "few": header + "2\t0\tword\taxe\n4\t0\tword\tbee\n",
        "ragged": header + "2\t0\n",
        "good": header + good,
    }
    for name, text in tables.items():
        (folder / f"{name}.tsv").write_text(text)
    (folder / "binary.tsv").write_bytes(bytes(range(256)))
    recipes = {
        "key": "[filter]\nl_frq = 1.0\n",
        "section": "[filtr]\nl_freq = 1.0\n",
        "type": '[filter]\norder = "two"\n',
        "value": "[filter]\nl_freq = 40.0\nh_freq = 30.0\n",
        "flat": "filter = 3\n",
        "torn": "[filter\n",
        "edge": "[filter]\nh_freq = 200.0\n",
    }
    for name, text in recipes.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "empty.txt").write_text("\n \n")


def _bad_recordings(folder: Path, recording: Recording) -> None:
    xdf = (folder / "sim.xdf").read_bytes()
    (folder / "empty.xdf").write_bytes(b"")
    (folder / "garbage.xdf").write_bytes(b"no XDF at all" * 100)
    damaged = bytearray(xdf)
    damaged[len(xdf) // 2 : len(xdf) // 2 + 1024] = bytes(1024)
    (folder / "damaged.xdf").write_bytes(damaged)
    for suffix in ("fif", "edf", "vhdr", "set", "unknown"):
        (folder / f"garbage.{suffix}").write_bytes(b"no recording" * 100)
    names = ",".join(("timestamps", *recording.info.ch_names))
    table = np.column_stack((recording.stamps, recording.data))
    (folder / "header.csv").write_text(names + "\n")
    (folder / "words.csv").write_text(names + "\n" + "hello\n" * 9)
    table[:, 1:] = np.nan
    np.savetxt(folder / "nan.csv", table, delimiter=",", header=names, comments="")
    save_recording(replace(recording, data=table[:, 1:]), folder / "nan.xdf")


@pytest.fixture
def refused(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that has to be refused; gives its sentence."""

    def run(*arguments: str, program: str = "rt_decoder") -> str:
        out = tmp_path / "out"
        out.mkdir()
        places = {path.stem: path for path in inputs.glob("*.xdf")}
        places |= {"sim": inputs / "sim.xdf", "model": inputs / "model.safetensors"}
        places |= {"events": inputs / "sim.tsv", "in": inputs, "out": out}
        before = sorted(inputs.rglob("*"))
        ran = call(capsys, *(a.format(**places) for a in arguments), program=program)
        assert list(out.rglob("*")) == [], "a file was left"
        assert sorted(inputs.rglob("*")) == before
        return sentence(ran)

    return run


def sentence(ran: Ran) -> str:
    """What was said; one line and one of the two codes."""
    assert ran.code in (1, 2), ran
    assert "Traceback" not in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1, ran.err
    return ran.err


FITS = {
    "no events": (("fit", "{unmarked}", "-o", "{out}/m.safetensors"), "no events"),
    "events outside": ((*FIT, "--events", "{in}/outside.tsv"), "999.000 s (axe)"),
    "events before": ((*FIT, "--events", "{in}/before.tsv"), "-3.000 s"),
    "empty label": ((*FIT, "--events", "{in}/empty_label.tsv"), "line 14: need a word"),
    "no onset": ((*FIT, "--events", "{in}/no_onset.tsv"), "'soon'"),
    "no column": ((*FIT, "--events", "{in}/no_column.tsv"), "trial_type"),
    "no rows": ((*FIT, "--events", "{in}/no_rows.tsv"), "need events"),
    "ragged": ((*FIT, "--events", "{in}/ragged.tsv"), "need 4 cells, got 2"),
    "binary table": ((*FIT, "--events", "{in}/binary.tsv"), "UTF-8"),
    "no table": ((*FIT, "--events", "{in}/absent.tsv"), "absent.tsv"),
    "label column": ((*FIT, "--label", "wrd"), "wrd"),
    "groups column": ((*FIT, "--groups", "sentence"), "need a column sentence"),
    "context column": ((*FIT, "--context", "sentence"), "need a column sentence"),
    "one item": ((*FIT, "--events", "{in}/one_item.tsv"), "2 items"),
    "few events": ((*FIT, "--events", "{in}/few.tsv"), "at least 10 events"),
    "one table for two": (("fit", "{sim}", *FIT[1:]), "one --events for each of 2"),
    "unknown key": ((*FIT, "--recipe", "{in}/key.toml"), "did you mean l_freq?"),
    "unknown section": ((*FIT, "--recipe", "{in}/section.toml"), "did you mean filter?"),
    "wrong type": ((*FIT, "--recipe", "{in}/type.toml"), "need order in [filter] to be a whole number"),
    "wrong value": ((*FIT, "--recipe", "{in}/value.toml"), "h_freq above l_freq"),
    "no section": ((*FIT, "--recipe", "{in}/flat.toml"), "need a section [filter]"),
    "no TOML": ((*FIT, "--recipe", "{in}/torn.toml"), "torn.toml is not TOML"),
    "beyond Nyquist": ((*FIT, "--recipe", "{in}/edge.toml"), "200"),
    "absent recipe": ((*FIT, "--recipe", "{in}/absent.toml"), "absent.toml"),
    "wrong option": ((*FIT, "--l-freq", "slow"), "need l_freq in [filter] to be a number"),
    "unknown option": ((*FIT, "--lfreq", "1"), "--lfreq"),
    "missing output": (("fit", "{sim}"), "output"),
    "output folder": (("fit", "{sim}", "-o", "{out}/absent/m.safetensors"), "absent"),
    "channel": ((*FIT, "--picks", "Fz,XX7"), "XX7"),
    "channel type": ((*FIT, "--picks", "mag"), "need channels of type mag"),
    "reference": ((*FIT, "--reference", '["M1"]'), "M1"),
    "unit": ((*FIT, "--units", "parsecs"), "'parsecs'"),
    "trigger": (("fit", "{sim}", "-o", "{out}/m.safetensors", "--markers", "channel:NO"), "NO"),
    "both": ((*FIT, "--markers", "channel:TRIG"), "got both"),
    "too long a window": ((*FIT, "--tmax", "100"), "complete window"),
    "vocabulary": ((*FIT, "--vocabulary", "{in}/absent.txt"), "absent.txt"),
    "empty vocabulary": ((*FIT, "--vocabulary", "{in}/empty.txt"), "empty.txt is empty"),
    "wordfreq": ((*FIT, "--vocabulary", "wordfreq:many"), "wordfreq:many"),
    "channels differ": (("fit", "{sim}", "{few}", "-o", "{out}/m.safetensors"), "C3, C4"),
    "rates differ": (("fit", "{sim}", "{odd_rate}", "-o", "{out}/m.safetensors"), "333"),
    "NaN": (("fit", "{in}/nan.csv", "--units", "V", "-o", "{out}/m.safetensors"), "got only NaN"),
    "empty": (("fit", "{in}/header.csv", "--units", "V", "-o", "{out}/m.safetensors"), "need samples"),
    "evaluate, no map": (
        ("evaluate", "{sim}", "--model", "{in}/mapless.safetensors"), "has no map",
    ),
    "evaluate, other words": (
        ("evaluate", "{sim}", "--events", "{in}/one_item.tsv", "--model", "{model}"),
        "vocabulary",
    ),
    "embed nothing": (("embed", "{in}/empty.txt", "-o", "{out}/v.safetensors"), "empty.txt is empty"),
    "embed absent": (("embed", "{in}/absent.txt", "-o", "{out}/v.safetensors"), "absent.txt"),
    "embed nowhere": (("embed", "{in}/sim.tsv", "-o", "{out}/absent/v.safetensors"), "absent"),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_calibration_refuses(name: str, refused: Callable[..., str]) -> None:
    arguments, why = FITS[name]
    if arguments.count("--events") == 2:  # the later one counts
        arguments = arguments[:2] + arguments[4:]
    assert why in refused(*arguments, program="calibration")


DECODES = {
    "channels": (("decode", "{few}", *DECODE[2:]), "channels Pz, C3, C4, P7, P8, got"),
    "rate": (("decode", "{odd_rate}", *DECODE[2:]), "need a sampling rate of 250 Hz"),
    "NaN": (("decode", "{in}/nan.xdf", *DECODE[2:]), "got only NaN"),
    "empty": (("decode", "{in}/empty.xdf", *DECODE[2:]), "empty.xdf"),
    "garbage": (("decode", "{in}/garbage.xdf", *DECODE[2:]), "no XDF"),
    "damaged": (("decode", "{in}/damaged.xdf", *DECODE[2:]), "damaged"),
    "words": (("decode", "{in}/words.csv", *DECODE[2:]), "need numbers"),
    "absent": (("decode", "{in}/absent.xdf", *DECODE[2:]), "no such file: absent.xdf"),
    "folder": (("decode", "{in}", *DECODE[2:]), "cannot read"),
    "unit": (("decode", "{in}/nan.csv", *DECODE[2:]), "--units"),
    "events outside": ((*DECODE, "--events", "{in}/outside.tsv"), "999"),
    "trigger": ((*DECODE, "--markers", "channel:NO"), "trigger channel NO"),
    "marker stream": ((*DECODE, "--markers", "NO"), "need a marker stream 'NO'"),
    "stream": ((*DECODE, "--stream", "NO"), "'NO'"),
    "both": ((*DECODE, "--events", "{events}", "--markers", "channel:TRIG"), "got both"),
    "chunk": ((*DECODE, "--chunk", "0"), "--chunk"),
    "no map": ((*DECODE[:3], "{in}/mapless.safetensors", *DECODE[4:]), "has no map"),
    "a folder as model": (("inspect", "."), "need a model file, got the folder"),
    "no model": ((*DECODE[:3], "{in}/absent", *DECODE[4:]), "no model file absent"),
    "output folder": ((*DECODE[:6], "{out}/absent/log.jsonl"), "absent"),
    "channel table": ((*DECODE, "--channels", "{in}/good.tsv"), "stream_name"),
    "option": ((*DECODE, "--fast"), "--fast"),
    "command": (("decipher",), "decipher"),
    "replay nothing": (("replay", "{in}/absent.xdf"), "absent.xdf"),
    "replay backwards": (("replay", "{sim}", "--speed", "-1"), "--speed"),
    "simulate nothing": (("simulate", "--seconds", "0", "--save", "{out}/s.xdf"), "--seconds"),
    "simulate too short": (("simulate", "--seconds", "1", "--save", "{out}/s.xdf"), "one word"),
    "simulate nowhere": (
        ("simulate", "--seconds", "5", "--words", "20", "--save", "{out}/absent/s.xdf"), "absent",
    ),
}  # fmt: skip
for _suffix in ("fif", "edf", "vhdr", "set", "unknown"):
    DECODES[_suffix] = (("decode", "{in}/garbage." + _suffix, *DECODE[2:]), f"garbage.{_suffix}")


@pytest.mark.parametrize("name", DECODES)
def test_decoding_refuses(name: str, refused: Callable[..., str]) -> None:
    arguments, why = DECODES[name]
    assert why in refused(*arguments)


MODELS = {
    **{f"cut_{share}": "no whole model" for share in (0, 0.001, 0.1, 0.5, 0.999)},
    "altered_header": "altered_header",
    "altered_first": "altered after it was written",
    "altered_last": "altered after it was written",
    "text": "no whole model",
    "foreign": "no rt_decoder model",
    "newer": "format 99, newer than the 5",
    "newer_flags": "reason flags of version 99, newer than the 2",
}


@pytest.mark.parametrize("name", MODELS)
def test_damaged_models_are_refused(name: str, refused: Callable[..., str]) -> None:
    said = refused(*DECODE[:3], f"{{in}}/{name}.safetensors", *DECODE[4:])
    assert MODELS[name] in said
    assert f"{name}.safetensors" in said


@pytest.mark.slow
def test_the_sentence_is_the_same_in_a_process_of_its_own(inputs: Path, tmp_path: Path) -> None:
    log, model = tmp_path / "log.jsonl", inputs / "model.safetensors"
    running = [
        start("decode", inputs / name, "--model", model, "--force", "--jsonl", log)
        for name in ("few.xdf", "nan.xdf", "odd_rate.xdf")
    ]
    for process, why in zip(running, ("Pz", "NaN", "333"), strict=True):
        assert why in sentence(finish(process))
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays(inputs: Path, tmp_path: Path, capsys) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("yesterday's\n")
    ran = call(
        capsys, "decode", "--force", inputs / "few.xdf", "--model", inputs / "model.safetensors",
        "--jsonl", log,
    )  # fmt: skip
    sentence(ran)
    assert log.read_text() == "yesterday's\n"
    assert list(tmp_path.iterdir()) == [log]


# --- live


RUN = ("run", "--model", "{model}", "--force", "--log", "{out}/log.jsonl", "--record", "{out}/r.xdf")  # fmt: skip


@pytest.mark.lsl
def test_no_stream_says_what_there_is(refused: Callable[..., str], source_id: str) -> None:
    outlet = data_outlet("another", SignalInfo(250.0, ("Fz",), ("eeg",), ("V",)), source_id)
    said = refused(*RUN, "--name", "absent", "--timeout", "0.2")
    assert "name='absent'" in said
    assert f"'another' (type EEG, source_id {source_id}, 1 channel, 250 Hz)" in said
    del outlet


LIVE = {
    "channels": (SignalInfo(250.0, ("Fz", "Oz"), ("eeg",) * 2, ("V",) * 2), (), "Cz, Pz"),
    "rate": (None, (), "333"),
    "unit": (None, ("--units", "parsecs"), "parsecs"),
    "markers": (None, ("--markers", "no-such", "--timeout", "0.2"), "no-such"),
    "trigger": (None, ("--markers", "channel:NO"), "trigger channel NO"),
    "log folder": (None, ("--log", "{out}/absent/log.jsonl"), "absent"),
    "record folder": (None, ("--record", "{out}/absent/r.xdf"), "absent"),
    "no map": (None, ("--model", "{in}/mapless.safetensors"), "no map"),
}


@pytest.mark.lsl
@pytest.mark.parametrize("name", LIVE)
def test_live_refuses(name: str, refused: Callable[..., str], source_id: str) -> None:
    info, options, why = LIVE[name]
    good = small_recording(seconds=3.0).info
    info = info or (replace(good, sfreq=333.0) if name == "rate" else good)
    outlet = data_outlet(source_id, info, source_id)
    arguments = [*RUN, "--source-id", source_id]
    for flag, value in zip(options[::2], options[1::2], strict=True):
        if flag in arguments:
            arguments[arguments.index(flag) + 1] = value
        else:
            arguments += [flag, value]
    assert why in refused(*arguments)
    del outlet


@pytest.mark.lsl
@pytest.mark.parametrize("wrong", ["stream", "model"])
def test_what_a_session_would_replace_stays(
    inputs: Path, tmp_path: Path, source_id: str, capsys, wrong: str
) -> None:
    """A stream or a model that is refused leaves yesterday's log and record as they were."""
    info = small_recording(seconds=3.0).info
    outlet = data_outlet(source_id, info.pick([0, 1]) if wrong == "stream" else info, source_id)
    log, record = tmp_path / "log.jsonl", tmp_path / "r.xdf"
    for path in (log, record):
        path.write_text("yesterday's\n")
    model = "model" if wrong == "stream" else "mapless"
    ran = call(
        capsys, "run", "--force", "--model", inputs / f"{model}.safetensors", "--source-id", source_id,
        "--log", log, "--record", record,
    )  # fmt: skip
    sentence(ran)
    assert [path.read_text() for path in (log, record)] == ["yesterday's\n"] * 2
    assert sorted(tmp_path.iterdir()) == [log, record]
    del outlet
