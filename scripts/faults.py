#!/usr/bin/env python3
"""Inject every fault into a live stream, and report what the session noticed and got wrong.

Each fault happens at two sampling rates and in two chunkings, to a stream that another process
sends over real LSL; a session cleans it with every stage and decodes it at markers. Faults of
references happen to ECG and belt on an auxiliary stream with another rate and clock; decoding must
go on undisturbed. A case fails if

- the fault went unnoticed, or a fault to be tolerated was taken for another one;
- from 2 s after it on, the time of an unflagged sample is off by more than one sample;
- a word was named over bad data that were not flagged;
- the session record decodes to other readouts;
- a process is still running afterwards.

A case that fails while the machine itself kept samples from coming (its stream went stale, or did not
answer, without such a fault) was another case: it is run again, alone, and that counts.

    python scripts/faults.py [--json] [--only loss,kill] [--jobs 4]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

SFREQS = (250.0, 1000.0)
CHUNKS = (1, 32)
DEADLINE_S = 180
SLOP_S = 0.1  # the death of a process can be noticed before its measured time
MAX_STAMP_ERROR = 1.0  # samples
BELT = "RESP"  # the reference that is in use in all cases
# events about the stream itself
TROUBLE = {"gap", "revoked", "reset", "stale", "lost", "scale"}
# events that a tolerated fault must not cause; stale is left out, as it happens on a busy machine
FALSE = TROUBLE - {"stale"}


class Case(NamedTuple):
    """A fault, the length of the session, and the expected outcome."""

    spec: str
    seconds: float
    events: frozenset[str] = frozenset()  # all of them must be in the log
    reasons: frozenset[str] = frozenset()  # one of them must be in a readout
    refused: bool = False  # the session must end with ModelMismatch
    tolerated: bool = False  # no event of `FALSE` may be in the log
    of: str = "stream"  # or "references"


def of_references(spec: str, seconds: float, *events: str) -> Case:
    """Make a case of a fault of the references, which must not affect the stream."""
    return Case(spec, seconds, frozenset(events), tolerated=True, of="references")


CASES: dict[str, Case] = {
    "loss": Case("loss=0.1s@5", 11, events=frozenset({"gap"})),
    "stall": Case("stall=2s@5", 13, events=frozenset({"stale", "live_again"})),
    "step": Case("step=+0.5s@5", 11, events=frozenset({"reset"})),
    "nan": Case("nan=50ms@5", 10, reasons=frozenset({"nonfinite"})),
    "rail": Case("rail=1s@5", 11, reasons=frozenset({"rail", "flat"})),
    "kill": Case("kill=3s@5", 14, events=frozenset({"lost", "returned"})),
    "permute": Case("permute@5", 12, events=frozenset({"lost", "returned"})),
    "hang": Case("hang=2s@5", 13, events=frozenset({"stale", "live_again"})),
    "silent": Case("silent=2s@5", 13, events=frozenset({"stale", "live_again", "gap"})),
    "rate": Case("rate@5", 12, refused=True),
    "unit": Case("unit@5", 18, refused=True),  # the scale is judged after up to 10 s
    "jitter": Case("jitter=4ms", 10, tolerated=True),
    "burst": Case("burst=16", 10, tolerated=True),
    "drift": Case("drift=200ppm", 12, tolerated=True),
    "reference-silent": of_references(
        "silent=60s@5", 74, "reference_stale", "reference_live_again"
    ),
    "reference-kill": of_references("kill=3s@5", 16, "reference_lost", "reference_returned"),
    "reference-nan": of_references("nan=2s@5", 14, "reference_unusable", "reference_usable"),
    "reference-rail": of_references("rail=5s@5", 17, "reference_unusable", "reference_usable"),
    "reference-invert": of_references("invert=60s@5", 69, "reference_changed"),
    "reference-gain": of_references("gain=20s@5", 32, "reference_unusable", "reference_usable"),
    "reference-swap": of_references("swap=20s@5", 32, "reference_unusable"),
}


def verdict(case: Case, seen: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Judge a case: what was noticed, and why it fails. Nothing else judges."""
    events = [
        line
        for line in seen["events"]
        if line["after_s"] >= -SLOP_S and line.get("channel", BELT) == BELT
    ]
    names = {line["event"] for line in events}
    noticed = [
        f"{line['event']} {line['after_s']:.2f} s" for line in events
        if line["event"] in TROUBLE | case.events
    ]  # fmt: skip
    noticed += sorted(case.reasons & set(seen["reasons"]))
    if seen["error"]:
        noticed.append(f"{seen['error'].split(':')[0]} {seen['error_after_s']:.2f} s")
    why = [f"no {name}" for name in sorted(case.events - names)]
    if case.reasons and not case.reasons & set(seen["reasons"]):
        why.append(f"no {' or '.join(sorted(case.reasons))}")
    if case.tolerated and names & FALSE:
        why.append(f"false {', '.join(sorted(names & FALSE))}")
    if case.refused != seen["error"].startswith("ModelMismatch"):
        why.append("not refused" if case.refused else seen["error"][:100])
    error = seen["max_stamp_error_samples"]
    if error is not None and error > MAX_STAMP_ERROR:
        why.append("stamp error")
    if error is None and not case.refused:
        why.append("never recovered")
    if seen["bad_readouts"]:
        why.append("bad readouts")
    if not seen["same_from_record"]:
        why.append("the record decodes to other readouts")
    if seen["left_behind"]:
        why.append("process left behind")
    return noticed, why


def run(name: str, sfreq: float, chunk: int, model: str) -> dict[str, Any]:
    """Run a case in a separate process, and judge it."""
    command = [
        sys.executable, __file__, "--case", json.dumps([name, sfreq, chunk, model])
    ]  # fmt: skip
    row: dict[str, Any] = {"fault": name, "sfreq": sfreq, "chunk": chunk}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return failed(row, f"did not end within {DEADLINE_S} s")
    if ran.returncode:
        return failed(row, f"code {ran.returncode}: {ran.stderr.strip()[-300:]}")
    seen = json.loads(ran.stdout.splitlines()[-1])
    noticed, why = verdict(CASES[name], seen)
    keys = ("max_stamp_error_samples", "recovery_s", "bad_readouts", "n_readouts")
    return (
        row
        | {"injected": seen["injected"], "noticed": noticed}
        | {key: seen[key] for key in keys}
        | {"same_from_record": seen["same_from_record"], "failed": why}
    )


def held_up(row: dict[str, Any]) -> bool:
    """Whether a busy machine, and not the fault, kept samples from coming: the case was another one."""
    if "stale" in CASES[row["fault"]].events:
        return False
    return any(one.startswith("stale ") for one in row["noticed"]) or any(
        "does not answer" in why for why in row["failed"]
    )


def failed(row: dict[str, Any], why: str) -> dict[str, Any]:
    nothing = {"max_stamp_error_samples": None, "recovery_s": None, "bad_readouts": None}
    return row | {"injected": [], "noticed": []} | nothing | {"failed": [why]}


def line(row: dict[str, Any]) -> str:
    def number(key: str) -> str:
        value = row.get(key)
        return "-" if value is None else f"{value:g}"

    return (
        f"{row['fault']:<18}{CASES[row['fault']].spec:<14}{row['sfreq']:>6g}{row['chunk']:>6}"
        f"{number('max_stamp_error_samples'):>9}{number('recovery_s'):>10}"
        f"{number('bad_readouts'):>5}{number('n_readouts'):>5}  "
        f"{'; '.join(row['noticed']) or '-'}"
        + (f"  FAILED: {'; '.join(row['failed'])}" if row["failed"] else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", default=",".join(CASES), help="faults, joined by commas")
    parser.add_argument("--jobs", type=int, default=4, help="cases in parallel")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from rt_decoder.sinks.loopback import configure_loopback

    configure_loopback()  # before liblsl is loaded, here and in the processes started below
    if args.case:
        one_case(*json.loads(args.case))
        return
    names = args.only.split(",")
    if unknown := set(names) - set(CASES):
        parser.error(f"need faults among {', '.join(CASES)}, got {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="rt_decoder-faults-") as folder:
        rows = run_all(names, args.jobs, Path(folder))
    n_failed = sum(bool(row["failed"]) for row in rows)
    print(f"{n_failed} of {len(rows)} cases failed")
    if args.json:
        print(json.dumps({"cases": rows, "failed": n_failed}, allow_nan=False))
    sys.exit(1 if n_failed else 0)


def run_all(names: list[str], n_jobs: int, folder: Path) -> list[dict[str, Any]]:
    """Run the cases of the given faults, and print a line for each."""
    from faults_case import save_fitted

    models = {}
    for of, sfreq in sorted({(CASES[name].of, sfreq) for name in names for sfreq in SFREQS}):
        print(f"fitting every cleaning stage, faults of {of}, {sfreq:g} Hz", flush=True)
        models[of, sfreq] = folder / f"{of}-{sfreq:g}.rtd.safetensors"
        save_fitted(of, sfreq, models[of, sfreq])
    matrix = [
        (name, sfreq, chunk, str(models[CASES[name].of, sfreq]))
        for name in names for sfreq in SFREQS for chunk in CHUNKS
    ]  # fmt: skip
    print(f"{len(matrix)} cases, {n_jobs} in parallel; stamp error in samples, from 2 s after it")
    print(
        f"{'fault':<18}{'injected':<14}{'Hz':>6}{'chunk':>6}{'error':>9}{'recovery':>10}{'bad':>5}"
        f"{'of':>5}  noticed, s after the fault"
    )
    rows = []
    with ThreadPoolExecutor(n_jobs) as pool:
        for row in pool.map(lambda case: run(*case), matrix):
            rows.append(row)
            print(line(row), flush=True)
    for i, row in enumerate(rows):
        if row["failed"] and held_up(row):
            rows[i] = run(*matrix[i]) | {"first": row["failed"]}
            print(
                f"{line(rows[i])}  again, alone: the machine had kept samples from coming",
                flush=True,
            )
    return rows


def one_case(name: str, sfreq: float, chunk: int, model: str) -> None:
    from faults_case import run_case

    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="rt_decoder-faults-") as folder:
        seen = run_case(
            case.spec, case.of, sfreq, None if chunk == 1 else chunk, case.seconds,
            Path(model), Path(folder),
        )  # fmt: skip
    print(json.dumps(seen, allow_nan=False))


if __name__ == "__main__":
    main()
