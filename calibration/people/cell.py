"""Fit the cells of one person: a model for each layer at one window, kept as it is finished.

A cell has three files in the folder of cells: model, companion, and last a JSON with its scores and
the hash of all that it was made of. A cell without its JSON is not finished. `NAME.begun` counts how
often a cell was begun: whatever kills its process leaves that behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from calibration.ahead import check_events
from calibration.cleaning.chain import fit_cleaning
from calibration.cleaning.seen import unlocked_share
from calibration.design import Design, build_design, draft_model
from calibration.evaluate import rank_scores
from calibration.events import LabelledRecording, load_labelled
from calibration.fit import fit_model
from calibration.hold_out import split_again
from calibration.identity import hash_files
from calibration.interval import mean_interval
from calibration.items import check_items
from calibration.people.person import Person
from rt_decoder.counted import counted
from rt_decoder.decoding.features import scale_features
from rt_decoder.files.atomic import write_whole
from rt_decoder.files.damage import in_one_sentence
from rt_decoder.files.model_file import save_model
from rt_decoder.files.outputs import companion_path
from rt_decoder.files.sums import Companion, PersonSums
from rt_decoder.files.sums_file import save_sums
from rt_decoder.model import Model, versions
from rt_decoder.recipe import Recipe
from rt_decoder.timing.markers import MarkerRules

__all__ = ["MOST_TRIES", "Outcome", "Reading", "Task", "cell_name", "fit_cells", "model_path"]

MOST_TRIES = 3  # of a cell whose process dies
# what a recording, a recipe or a disk can do wrong; other people's fits go on
_FAILURES = (ValueError, LookupError, OSError, ImportError, MemoryError, ArithmeticError,
             RuntimeError)  # fmt: skip
_BESIDE = (".fdt", ".eeg", ".dat", ".vmrk")  # samples or markers of a header of the same name


class Reading(NamedTuple):
    """How recordings are read, and their markers."""

    channels: Path | None = None
    units: str | None = None
    stream: str | None = None
    markers: str | None = None  # name of a marker stream
    trigger: str = ""  # or a trigger channel
    marker_offset: float = 0.0  # ms


class Task(NamedTuple):
    """Cells of one person that share a window, and so the cleaning and the features."""

    person: Person
    recipes: tuple[Mapping[str, Any], ...]  # one a layer, as `Recipe.to_dict` has them
    reading: Reading
    folder: Path  # of cells
    threads: int = 1  # of linear algebra

    @property
    def names(self) -> list[str]:
        """Names of the cells."""
        places = [(one["target"]["layer"], one["features"]["tmax"]) for one in self.recipes]
        return [cell_name(self.person.code, *place) for place in places]

    @property
    def was_begun(self) -> bool:
        """Whether a process has begun a cell and not ended it."""
        return any((self.folder / f"{name}.begun").exists() for name in self.names)


class Outcome(NamedTuple):
    """What became of a cell."""

    name: str
    how: str  # "fitted", "kept" from before, or "failed"
    why: str = ""  # of a failure, in one sentence


class _Ready(NamedTuple):
    """A person's recordings, cleaned and turned into features."""

    draft: Model
    design: Design
    found: dict[str, Any]
    hashes: list[str]


def cell_name(code: str, layer: int, window: float) -> str:
    """Name the files of a cell by the person's code, the layer, and the end of the window in s.

    Parameters
    ----------
    code : str
    layer : int
    window : float

    Returns
    -------
    str
    """
    return f"{code}_layer{layer}_window{window:g}"


def model_path(folder: Path, name: str) -> Path:
    """Return where the model of a cell is kept."""
    return folder / f"{name}.rtd.safetensors"


def fit_cells(task: Task) -> list[Outcome]:
    """Fit what is not finished of a task; nothing that a person's data do wrong is raised.

    Parameters
    ----------
    task : Task

    Returns
    -------
    list of Outcome
        One a cell.
    """
    from threadpoolctl import threadpool_limits

    outcomes: list[Outcome] = []
    ready: _Ready | None = None
    contents: list[str] = []
    with threadpool_limits(task.threads):
        for name, sections in zip(task.names, task.recipes, strict=True):
            begun, recipe = task.folder / f"{name}.begun", Recipe.from_dict(sections)
            try:
                tries = _tries(begun)
                if tries >= MOST_TRIES:
                    why = f"its process died {counted(tries, 'time')}, as where memory is short"
                    outcomes.append(Outcome(name, "failed", why))
                    continue
                write_whole(begun, b"%d" % (tries + 1), overwrite=True)
                contents = contents or _contents(task, recipe)
                inputs = _hash_of(contents, task, recipe)
                kept = _kept(task.folder, name, inputs)
                if not kept:
                    ready = ready or _prepare(task, recipe)
                    _fit_cell(task, recipe, ready, name, inputs)
                outcomes.append(Outcome(name, "kept" if kept else "fitted"))
            except _FAILURES as error:
                outcomes.append(Outcome(name, "failed", in_one_sentence(error)))
            begun.unlink(missing_ok=True)
    return outcomes


def _tries(begun: Path) -> int:
    text = begun.read_text() if begun.exists() else ""
    return int(text) if text.isdigit() else 0


def _contents(task: Task, recipe: Recipe) -> list[str]:
    """Hash the files that all layers are made of: what is in them, not names or dates."""
    files = list(task.person.recordings)
    for path in task.person.recordings:
        files += sorted(one for ending in _BESIDE if (one := path.with_suffix(ending)).exists())
    files += [*task.person.tables, *([task.reading.channels] if task.reading.channels else [])]
    named = recipe.to_dict()["target"].values()  # vocabulary, language model, vectors
    texts = [one for one in named if isinstance(one, str) and one]
    files += [path for one in texts if (path := Path(one).expanduser()).exists()]
    return hash_files(files)


def _hash_of(contents: Sequence[str], task: Task, recipe: Recipe) -> str:
    """Hash all that a cell is made of."""
    made_of = {
        "files": list(contents),
        "n": [len(task.person.recordings), len(task.person.tables)],
        "recipe": recipe.to_dict(),
        "reading": [str(one) for one in task.reading[1:]],
        "version": versions().get("rt-decoder", ""),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _kept(folder: Path, name: str, inputs: str) -> bool:
    """Whether a finished cell is made of the same."""
    path = folder / f"{name}.json"
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("inputs") == inputs


def _prepare(task: Task, recipe: Recipe) -> _Ready:
    """Do what `rt-calibrate fit` does before the map; layers share it."""
    person, reading = task.person, task.reading
    rules = MarkerRules(reading.trigger, offset=reading.marker_offset * 1e-3)
    labelled: list[LabelledRecording] = load_labelled(
        person.recordings, person.tables, recipe, rules.for_target(recipe.target),
        channels=reading.channels, units=reading.units, stream=reading.stream,
        markers=reading.markers,
    )  # fmt: skip
    check_items(labelled)
    draft = draft_model([one.recording for one in labelled], recipe)
    check_events(labelled, recipe)
    fif = next((path for path in person.recordings if path.suffix == ".fif"), None)
    share = unlocked_share(labelled, recipe.fit)
    draft, found = fit_cleaning(draft, labelled, share=share, mne_info=fif)
    design = build_design(draft, labelled)
    return _Ready(draft, design, found, hash_files(person.recordings))


def _fit_cell(task: Task, recipe: Recipe, ready: _Ready, name: str, inputs: str) -> None:
    """Fit a cell and write its files, the JSON last."""
    sums: list[PersonSums] = []
    draft = replace(ready.draft, recipe=replace(ready.draft.recipe, target=recipe.target))
    model = fit_model(draft, ready.design, data_hash=ready.hashes, keep=sums.append)
    more = {"cleaning": ready.found, "subject": task.person.code, "session": "",
            "marker_offset_ms": task.reading.marker_offset}  # fmt: skip
    model = replace(model, certificate={**model.certificate, **more})
    path, told = model_path(task.folder, name), task.folder / f"{name}.json"
    told.unlink(missing_ok=True)
    digest = save_model(model, path, overwrite=True)
    save_sums(Companion(tuple(sums), digest), companion_path(path), overwrite=True)
    row = {"person": task.person.code, "layer": recipe.target.layer,
           "window": recipe.features.tmax, **_scores(model, ready.design),
           "model": digest, "inputs": inputs}  # fmt: skip
    write_whole(told, json.dumps(row, sort_keys=True).encode(), overwrite=True)


def _scores(model: Model, design: Design) -> dict[str, Any]:
    """Score the locked block: one row of the table."""
    certificate = model.certificate
    final, inner = certificate["final"], certificate["out_of_fold"]
    rules = model.recipe.fit
    _, _, locked = split_again(design, rules, certificate["split"]["purge_s"])
    locked = locked[design.answered[locked]]
    X = scale_features(design.X[locked], model.center, model.scale, model.recipe.features.clamp)
    labels: Sequence[str] = [_spelled(design.labels[i], model) for i in locked]
    ranks = rank_scores(model, X, list(labels))
    low, high = mean_interval(ranks, final["null_unit"], rules.seed)
    return {
        "n": final["n"],
        "chance": final["chance_rank_accuracy"],
        "rank": final["rank_accuracy"],
        "bits": final.get("heard", final)["bits_per_word"],
        "p": final["p"],
        "low": low,
        "high": high,
        "null_rank": final["null_rank_accuracy"],
        "bits_out_of_fold": inner.get("heard", inner)["bits_per_word"],
    }


def _spelled(label: str, model: Model) -> str:
    """Find a label as the vocabulary spells it."""
    from rt_decoder.timing.items import fold_key

    if label in model.items or not model.recipe.target.fold:
        return label
    by_key = {fold_key(item): item for item in model.items}
    return by_key.get(fold_key(label), label)
