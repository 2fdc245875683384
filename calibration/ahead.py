"""Refuse at once what a fit would refuse after minutes of cleaning."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.design import RUN_GAP
from calibration.language.scripts import language_note
from calibration.language.words import check_language
from calibration.senses import check_items_known, check_target
from calibration.splits import check_enough, leave_group_out, split_events
from calibration.targets import vocabulary_items
from rt_decoder.files.packages import has_package, need_packages
from rt_decoder.recipe import Recipe
from rt_decoder.timing.items import fold_key

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["check_events", "check_settings"]


def check_settings(recipe: Recipe, report: Path | None = None) -> None:
    """Check what needs no recording: packages, vocabulary, language model and its layer.

    Parameters
    ----------
    recipe : Recipe
        Settings of the fit.
    report : Path or None
        Report that will be drawn.

    Raises
    ------
    ImportError
        If a package is missing.
    OSError
        If vocabulary or language model cannot be read.
    ValueError
        If the vocabulary is empty or no text, the language is unknown, or the model has no such
        layer; if the file of vectors is none.
    """
    if report is not None:
        need_packages("matplotlib", "jinja2", what="for --report")
    if recipe.target.vocabulary.startswith("wordfreq:"):
        need_packages("wordfreq", what="for the vocabulary")
    if recipe.readout.prior == "wordfreq":
        need_packages("wordfreq", what="for the prior")
    if recipe.target.language and has_package("wordfreq"):
        check_language(recipe.target.language)
    vocabulary_items(recipe.target.vocabulary, (), language=recipe.target.spoken)
    check_target(recipe.target)


def check_events(sessions: Sequence[LabelledRecording], recipe: Recipe) -> None:
    """Check that the events allow a split and a fit.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
        Recordings with their events.
    recipe : Recipe
        Settings of the fit.

    Raises
    ------
    ValueError
        If there are too few events or items, or none of an item for a trial of so many `repeats`, no
        window is inside its recording, the groups leave
        nothing to train on, or an item has no vector or no file.
    OSError
        If the file of vectors or the folder of stimuli cannot be read.
    """
    labels: list[str] = []
    items = set[str]()
    groups: list[str] = []
    runs: list[int] = []
    onsets: list[float] = []
    base, n_outside = 0.0, 0
    for run, session in enumerate(sessions):
        times, rule = session.recording.times, session.rules.item_rule()
        for marker, event in session.stimuli():
            onset = marker.time + session.rules.offset - times[0]
            if onset + recipe.features.tmax > times[-1] - times[0]:
                n_outside += 1
                continue
            item = rule.item(marker.label) or marker.label
            items.add(item)
            labels.append(fold_key(item) if recipe.target.fold else item)
            groups.append(f"{run}/{event.group}" if event.group else "")
            runs.append(run)
            onsets.append(base + onset)
        base += times[-1] - times[0] + RUN_GAP
    if not labels:
        raise ValueError(
            f"need events with a complete window, got none among {n_outside} of "
            f"{', '.join(dict.fromkeys(session.source for session in sessions))}"
        )
    _check_groups(groups, sessions, recipe.fit.groups)
    check_enough(labels)
    _check_repeats(labels, recipe.readout.repeats)
    check_items_known(items, recipe.target)
    target = recipe.target
    are_words = not target.vectors and not target.stimuli
    if are_words and (note := language_note(items, target.embedding, target.language)):
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    at = np.array(onsets)
    window = recipe.features.tmax - recipe.features.tmin
    purge = window if recipe.fit.purge < 0 else recipe.fit.purge  # the memory is not known yet
    names_of, train, _ = split_events(groups, np.array(runs), at, recipe.fit, purge=purge)
    if (left := len(set(names_of[train]))) < 2 <= (n := len(set(names_of))):
        raise ValueError(
            f"need 2 groups or more to train on, got {left} of {n}: final_block = "
            f"{recipe.fit.final_block:g} locks the others away; lower it"
        )
    leave_group_out(names_of[train], at[train], purge)


def _check_groups(
    groups: Sequence[str], sessions: Sequence[LabelledRecording], column: str
) -> None:
    """Refuse groups that no event has, as those of a trigger channel."""
    if column and not any(groups):
        sources = ", ".join(dict.fromkeys(session.source for session in sessions))
        raise ValueError(
            f"need events tables (--events TSV) with a column {column!r} for --groups {column}, got "
            f"events from {sources}; without --groups, blocks of each recording are held out"
        )


def _check_repeats(labels: Sequence[str], repeats: int) -> None:
    """Refuse a trial of more events than any item has: what it is worth could not be measured."""
    label, most = Counter(labels).most_common(1)[0]
    if repeats > most:
        raise ValueError(
            f"need repeats up to {most}, the events of the most frequent item ({label}), "
            f"got repeats = {repeats}"
        )
