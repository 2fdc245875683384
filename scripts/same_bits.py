"""Prove that two checkouts compute the same bits, by their command lines alone.

Nothing of the project is imported here. Simulated and real recordings go through ``rt-decoder`` and
``rt-calibrate`` of one checkout, each step in a separate process with one thread. The results are
kept as digests: tensors and numbers of model files, every line of every log (in pushes of 7 and of
64 samples), cleaned samples, converted files. Ignored is what may change although results do not:
recipe, versions, format and hash of a model, and durations of stages. Both runs have to use the
same machine and packages: others round differently.

    python scripts/same_bits.py --data DIR --write OUT.json [--checkout PATH] [--only CASE,CASE]
    python scripts/same_bits.py --compare BEFORE.json AFTER.json [--only CASE,CASE] [--json]

`--data` holds ``muse``, ``eeglab_sample``, ``eegmat``, ``xdf`` and ``mne_lsl_samples``; the case
``simulated`` needs none of them. A comparison ends with exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from same_bits_cases import CASES, FILES

REPO = Path(__file__).resolve().parents[1]
CHUNKS = ("7", "64")
IN_MODEL = ("info", "items", "references", "posterior", "certificate", "cleaning")
PACKAGES = ("numpy", "scipy", "numba", "mne", "torch", "transformers")
MOST_TOLD = 40  # differences printed
# names of stages in the first version, and today's
RENAMED = {"line": "mains", "reference": "rereference"}
PROBE = """\
import json, rt_decoder, calibration
try:
    from calibration.cli import main
except ImportError:
    main = None
print(json.dumps([rt_decoder.__file__, calibration.__file__, main is not None]))
"""
CLI = "import sys; from calibration.cli import main; sys.exit(main())"

Facts = dict[str, Any]


class Failure(Exception):
    """Ends the program with one sentence."""


def prepare(case: str, data: Path, folder: Path) -> None:
    """Write recipes, tables, and a recording with losses and faults."""
    files = {name: [text] for name, text in FILES.items()}
    if case == "muse":
        (path,) = (data / "muse" / "SSVEP").glob("*21.25.*.csv")
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        for k in range(7000, 7800):  # TP9 on a rail, AF7 flat
            stamp, _, _, *others = rows[k].split(",")
            rows[k] = ",".join([stamp, "999.512", "33.203", *others])
        files["damaged.csv"] = [header, *rows[:4000], *rows[4009:12000], *rows[12200:]]
    if case == "eeglab":
        import mne

        places = (data / "eeglab_sample" / "test_chans.locs").read_text(encoding="utf-8")
        names = [line.split()[3] for line in places.splitlines() if line]
        types = ["eog" if name.startswith("EOG") else "eeg" for name in names]
        rows = [f"EEG {k:03d}\t{names[k]}\t{types[k]}" for k in range(len(names))]
        files["names.tsv"] = ["stream_name\tmodel_name\ttype", *rows]
        raw = mne.io.read_raw_eeglab(data / "eeglab_sample" / "test_raw.set", verbose="error")
        found = enumerate(zip(raw.annotations.onset, raw.annotations.description, strict=True))
        rows = [f"{float(onset)!r}\t0\t{label}\t{k // 16}" for k, (onset, label) in found]
        files["events.tsv"] = ["onset\tduration\tword\tpart", *rows]
    for name, lines in files.items():
        (folder / name).write_text("\n".join([*lines, ""]), encoding="utf-8")


def steps_of(case: str, data: Path, folder: Path) -> list[tuple[str, str, list[str]]]:
    """Return program, output and arguments of each step, with real paths."""
    steps = []
    shared, *lines = CASES[case].splitlines()
    for line in lines:
        program, out, *texts = shlex.split(f"{line} {shared}")
        arguments: list[str] = []
        for text in texts:
            if text.startswith("data/"):
                found = sorted(map(str, data.glob(text.removeprefix("data/"))))
                if not found:
                    raise Failure(f"need {text.removeprefix('data/')} below {data.name}")
                arguments += found
            else:
                arguments.append(str(folder / text[1:]) if text.startswith("@") else text)
        steps.append((program, out, arguments))
    return steps


def programs(checkout: Path, cache: Path) -> Callable[..., str]:
    """Return a function that runs a program of the checkout and returns its last line of output."""
    settings = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    settings |= {"HF_HUB_OFFLINE": "1", "RT_DECODER_CACHE": str(cache)}
    settings |= {"PYTHONPATH": str(checkout)}

    def run(name: str, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        ran = subprocess.run(
            command, capture_output=True, text=True, cwd=checkout, env=os.environ | settings
        )
        if ran.returncode:
            why = (ran.stderr.strip() or "no error message").splitlines()[-1]
            raise Failure(f"{name}: exit {ran.returncode}: {why}")
        return (ran.stdout.splitlines() or [""])[-1]

    *files, has_cli = json.loads(run("imports", "-c", PROBE))
    for file in files:
        if file is None or not Path(file).resolve().is_relative_to(checkout):
            raise Failure(f"need modules of {checkout}, got {file}")
        print(f"  imports {file}", file=sys.stderr)
    calibrate = ("-c", CLI) if has_cli else ("-m", "calibration")

    def program(name: str, which: str, *arguments: str) -> str:
        ours = which in ("fit", "cleaning", "evaluate")
        return run(name, *(calibrate if ours else ("-m", "rt_decoder")), which, *arguments)

    return program


def run_case(case: str, checkout: Path, data: Path, folder: Path) -> dict[str, Any]:
    """Run a case; returns the facts of each part, and the first readouts of each log."""
    run = programs(checkout, folder / "cache")
    parts: dict[str, Facts] = {}
    shown: dict[str, list[str]] = {}
    prepare(case, data, folder)
    for program, out, arguments in steps_of(case, data, folder):
        path = folder / out
        to = {"simulate": "--save", "decode": "--jsonl"}.get(program, "-o")
        if program != "evaluate":
            arguments += [to, str(path)]
        if program == "decode" and (checkout / "rt_decoder/files/proof.py").exists():
            arguments.append("--force")  # some cases lock no block away
        if program in ("clean", "convert", "evaluate"):
            arguments.append("--json")
        for chunk in CHUNKS if program == "decode" else ("",):
            part = f"{program} {out}, pushes of {chunk}" if chunk else f"{program} {out}"
            cut = ("--chunk", chunk) if chunk else ()
            path.unlink(missing_ok=True)  # of the last pushes
            last = run(f"{case}, {part}", program, *arguments, *cut)
            facts = FACTS[path.suffix](path) if path.suffix else {}
            if "--json" in arguments:
                facts |= flat("told", json.loads(last))
            if program == "simulate":
                facts["table"] = sha(path.with_suffix(".tsv").read_bytes())
            if chunk:
                shown[part] = [canonical(line) for line in read_log(path, "readout")[:3]]
            if case == "simulated":  # the clock may add a chunk boundary to the hashed file
                facts.pop("certificate.data_hash", None)
            parts[part] = facts
            print(f"  {part}: {len(facts)} facts", file=sys.stderr, flush=True)
    return {"parts": parts, "shown": shown}


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def sha(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def array_fact(array: np.ndarray) -> list[Any]:
    return [array.dtype.str, list(array.shape), sha(np.ascontiguousarray(array).tobytes())]


def flat(name: str, value: Any) -> Facts:
    """Flatten nested mappings to {path: leaf}; a long leaf becomes its hash and its beginning."""
    if isinstance(value, dict) and value:
        return {k: v for key in value for k, v in flat(f"{name}.{key}", value[key]).items()}
    text = canonical(value)
    return {name: value if len(text) <= 400 else [sha(text), text[:60]]}


def model_facts(path: Path) -> Facts:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        head = json.loads(file.metadata()["rt_decoder"])
        facts = {f"tensor {name}": array_fact(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    for key in IN_MODEL:
        facts |= flat(key, head[key])
    return facts


def read_log(path: Path, kind: str = "") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if kind in ("", line["type"])]


def log_facts(path: Path) -> Facts:
    """Hash every line between header and footer, by kind, and their order."""
    header, *body, footer = read_log(path)
    facts: Facts = {"all lines in order": sha("\n".join(map(canonical, body)))}
    for line in body:
        facts.setdefault(line["type"], []).append(sha(canonical(line))[:16])
    facts |= flat("contract", header["contract"])
    return facts | flat("footer", {k: v for k, v in footer.items() if k != "stages_us"})


def fif_facts(path: Path) -> Facts:
    import mne

    raw = mne.io.read_raw_fif(path, verbose="error")
    notes = raw.annotations
    spans = [notes.onset.tolist(), notes.duration.tolist(), notes.description.tolist()]
    facts = flat("channels", [raw.ch_names, raw.get_channel_types(), raw.info["sfreq"]])
    facts |= {"data": array_fact(raw.get_data()), "n annotations": len(notes)}
    return facts | flat("annotations", spans)


def xdf_facts(path: Path) -> Facts:
    import pyxdf

    how = {"synchronize_clocks": False, "dejitter_timestamps": False, "verbose": False}
    facts: Facts = {}
    for stream in pyxdf.load_xdf(path, **how)[0]:
        info, series = stream["info"], stream["time_series"]
        name = f"stream {info['stream_id']}"
        for key in ("name", "type", "channel_count", "nominal_srate", "channel_format", "desc"):
            facts |= flat(f"{name} {key}", info[key])
        texts = isinstance(series, list)
        facts[f"{name} series"] = sha(canonical(series)) if texts else array_fact(series)
        facts[f"{name} stamps"] = array_fact(stream["time_stamps"])
    return facts


FACTS = dict(zip((".safetensors", ".jsonl"), (model_facts, log_facts), strict=True))
FACTS |= {".fif": fif_facts, ".xdf": xdf_facts}


def write(checkout: Path, data: Path, out: Path, cases: list[str]) -> None:
    """Compute the digests and write them atomically."""
    if not (checkout / "rt_decoder").is_dir():
        raise Failure(f"need a checkout with rt_decoder, got {checkout}")
    if not out.absolute().parent.is_dir():
        raise Failure(f"there is no folder {out.parent} to write to")
    for case in cases:
        steps_of(case, data, Path())  # fails at once if a recording is missing
    found: dict[str, Any] = {"packages": {name: version(name) for name in PACKAGES}, "cases": {}}
    for case in cases:
        start = monotonic()
        print(f"{case}:", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="same_bits-") as folder:
            found["cases"][case] = run_case(case, checkout, data, Path(folder))
        print(f"  took {monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(out)


def read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failure(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict) or not {"packages", "cases"} <= set(found):
        raise Failure(f"{path} was not written by this program")
    for case in found["cases"].values():
        case["parts"] = {part: renamed(facts) for part, facts in case["parts"].items()}
    return found


def renamed(facts: Facts) -> Facts:
    """Replace old names of stages in facts by today's."""
    names = "|".join(RENAMED)
    keys = {key: re.sub(rf"(cleaning)\.({names})\b", _today, key) for key in facts}
    return {
        keys[key]: [RENAMED.get(name, name) for name in value] if key == "told.stages" else value
        for key, value in facts.items()
    }


def _today(match: re.Match[str]) -> str:
    return f"{match[1]}.{RENAMED[match[2]]}"


def told(one: Any, two: Any) -> str:
    """Describe a difference briefly; for long lists, the first place at which they differ."""
    if isinstance(one, list) and isinstance(two, list) and max(len(one), len(two)) > 3:
        places = [k for k, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1]]
        where = f", the first at {places[0]}" if places else ""
        return f"{len(one)} and {len(two)} entries, {len(places)} differ{where}"
    return " -> ".join(canonical(value)[:120] for value in (one, two))


def compare(before: dict[str, Any], after: dict[str, Any], cases: list[str]) -> dict[str, Any]:
    """Print a table of all parts, then the differences; returns both as a dict."""
    rows: list[dict[str, Any]] = []
    different: dict[str, str] = {}
    print(f"{'part':<50} {'facts':>6} {'different':>9}")
    for case in cases:
        sides = [side["cases"].get(case, {"parts": {}, "shown": {}}) for side in (before, after)]
        for part in dict.fromkeys([*sides[0]["parts"], *sides[1]["parts"]]):
            one, two = (side["parts"].get(part, {}) for side in sides)
            pairs = {key: (one.get(key, "-"), two.get(key, "-")) for key in one | two}
            wrong = {k: v for k, v in pairs.items() if canonical(v[0]) != canonical(v[1])}
            different |= {f"{case}, {part}: {key}": told(*pair) for key, pair in wrong.items()}
            rows.append({"part": f"{case}, {part}", "facts": len(pairs), "different": len(wrong)})
            print("{part:<50} {facts:>6} {different:>9}".format(**rows[-1]), "*" * bool(wrong))
            first = zip(*(side["shown"].get(part, []) for side in sides), strict=False)
            for texts in [pair for pair in first if pair[0] != pair[1]][:1]:
                print(f"  before {texts[0]}\n  after  {texts[1]}")
    for key in list(different)[:MOST_TOLD]:
        print(f"* {key}: {different[key]}")
    if before["packages"] != after["packages"]:
        print(f"note: packages {before['packages']} before, {after['packages']} after")
    n = sum(row["facts"] for row in rows)
    if not n:
        raise Failure("need facts to compare, got none in these cases")
    print(f"{n} facts compared, {len(different)} different")
    return {"same": not different, "n": n, "parts": rows, "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of recordings")
    parser.add_argument("--write", type=Path, metavar="OUT", help="compute digests, write them")
    parser.add_argument("--checkout", type=Path, default=REPO, help="checkout to run")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    parser.add_argument("--only", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    cases = [name.strip() for name in args.only.split(",")]
    if not set(cases) <= set(CASES):
        parser.error(f"need cases among {', '.join(CASES)}, got {args.only}")
    if (args.write is None) == (args.compare is None) or (args.write and not args.data):
        parser.error("need --data DIR --write OUT, or --compare BEFORE AFTER")
    try:
        if args.write is not None:
            write(args.checkout.resolve(), args.data.resolve(), args.write, cases)
            return
        result = compare(*map(read, args.compare), cases)
    except (Failure, OSError) as error:
        sys.exit(f"same_bits: {error}")
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    sys.exit(0 if result["same"] else 1)


if __name__ == "__main__":
    main()
