"""Write the readouts of a log as a BIDS events table, under the derivatives of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from rt_decoder.files.atomic import write_whole
from rt_decoder.files.bids_writer import BidsName
from rt_decoder.files.derivatives import derivative_path, describe_derivatives
from rt_decoder.sinks.log_file import read_log

__all__ = ["COLUMNS", "decoded_rows", "write_decoded"]

# column -> what it holds; the sidecar says the same
COLUMNS: dict[str, dict[str, Any]] = {
    "onset": {"Description": "Onset of what was read out, from the first sample.", "Units": "s"},
    "duration": {
        "Description": "Always 0: a readout is of a window after the onset.",
        "Units": "s",
    },
    "trial_type": {"Description": "Label of the marker that asked for the readout."},
    "decoded": {"Description": "The answer; n/a where the decoder abstained."},
    "best": {"Description": "The likeliest item, abstained or not."},
    "probability": {"Description": "Posterior probability of the likeliest item."},
    "score": {"Description": "Cosine of the prediction and the likeliest item's vector."},
    "bits": {"Description": "log2 of the vocabulary's size less the posterior's entropy."},
    "quality": {"Description": "Share of good samples in the window."},
    "kind": {"Description": "event, anytime, continuous, or pooled over repeats of one item."},
    "reasons": {"Description": "Why samples were not good or the decoder abstained."},
    "sample": {"Description": "Number of the sample at the onset, from 0."},
}
_KINDS = (("meg", {"mag", "grad"}), ("ieeg", {"seeg", "ecog"}))


def decoded_rows(lines: Iterable[Mapping[str, Any]], sfreq: float) -> Iterator[list[str]]:
    """Make a row of each readout of a log.

    Parameters
    ----------
    lines : iterable of mapping
        Of the log; other lines than readouts are left out.
    sfreq : float
        Rate in Hz.

    Yields
    ------
    list of str
        A cell for each of `COLUMNS`.
    """
    for line in lines:
        if line.get("type") != "readout":
            continue
        index, top = int(line["index"]), line.get("top") or [["n/a", None, None]]
        best, score, probability = top[0]
        cells = {
            "onset": repr(index / sfreq), "duration": "0", "trial_type": line.get("label"),
            "decoded": None if line["abstained"] else line["word"], "best": best,
            "probability": probability, "score": score, "bits": line.get("bits"),
            "quality": line.get("quality"), "kind": line["kind"],
            "reasons": ", ".join(line.get("reasons", ())), "sample": index,
        }  # fmt: skip
        yield [_cell(cells[name]) for name in COLUMNS]


def _cell(value: Any) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text or "n/a"


def write_decoded(log: Path, root: Path, name: BidsName | None, *, overwrite: bool = False) -> str:
    """Write ``desc-decoded_events.tsv`` and its sidecar under ``derivatives/rt_decoder``.

    Parameters
    ----------
    log : path
        Of `decode` or of a live session.
    root : path
        Of the data set.
    name : BidsName or None
        None is refused: a log goes nowhere else.
    overwrite : bool
        Whether a table of this name may be replaced.

    Returns
    -------
    str
        The table's path within the data set.

    Raises
    ------
    typer.BadParameter
        If `name` is None.
    FileExistsError
        If there is such a table, and it may not be replaced.
    OSError
        If the log cannot be read or the table not be written.
    ValueError
        If it is no log, or without a readout.
    """
    if name is None:
        raise typer.BadParameter("need --subject and --task with a log: it goes to a BIDS data set")
    lines = read_log(log).lines
    header = next(lines, {})
    contract = header.get("contract")
    if header.get("type") != "header" or not isinstance(contract, dict):
        raise ValueError(f"need a log of rt-decoder decode or run, got {log.name}")
    types = set(contract["ch_types"])
    kind = next((kind for kind, brain in _KINDS if types & brain), "eeg")
    path = derivative_path(root, name._asdict(), "desc-decoded_events.tsv", kind)
    if path.exists() and not overwrite:
        raise FileExistsError(f"need a new table, got {path.name}, which exists; --overwrite")
    rows = list(decoded_rows(lines, float(contract["sfreq"])))
    if not rows:
        raise ValueError(f"need readouts in {log.name}, got none")
    describe_derivatives(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = "\n".join("\t".join(row) for row in [list(COLUMNS), *rows]) + "\n"
    sidecar = COLUMNS | {"ModelHash": header["model"]}
    write_whole(path, table.encode(), overwrite)
    write_whole(path.with_suffix(".json"), (json.dumps(sidecar, indent=2) + "\n").encode(), True)
    return path.relative_to(root).as_posix()
