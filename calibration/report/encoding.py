"""Show what the network predicts of the brain: as text, and as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from calibration.encode import P_SHOWN
from calibration.report.cleaned import cleaned
from calibration.report.page import Heading, Note, Section, Table, render
from calibration.report.sections import made_of, recipe
from calibration.report.sections.definitions import COLOURS
from calibration.report.sections.encoded import (
    ceiling_text,
    layer_parts,
    null_parts,
    r_parts,
    share_parts,
)
from calibration.report.sections.time_and_minutes import learning_parts
from calibration.report.shown import Shown, listed, today
from rt_decoder.counted import counted
from rt_decoder.files.atomic import write_whole
from rt_decoder.model import Model

__all__ = ["encoding_lines", "encoding_page", "write_encoding"]


def encoding_lines(facts: dict[str, Any]) -> list[str]:
    """Format the findings as a short table.

    Parameters
    ----------
    facts : dict
        As from `calibration.encode.encoding_facts`.

    Returns
    -------
    list of str
    """
    best, split, n_channels = facts["best"], facts["split"], len(facts["ch_names"])
    n_above = facts["n_channels_above_chance"]
    unit = facts["null_unit"]
    moved = "single events" if unit == 1 else f"units of {counted(unit, 'event')} or more"
    lines = [
        f"encoding: {counted(split['n_events'], 'event')} of {counted(split['n_items'], 'item')}, "
        f"{counted(split['n_folds'], 'fold')}, purged {split['purge_s']:.3g} s; from {facts.get('network', 'the network')}",
        f"  largest r   {best['r']:.3f} (95 % interval {best['low']:.3f} to {best['high']:.3f}), in "
        f"{best['channel']} at {best['time']:.3f} s; p = {best['p']:.2g} ({facts['p_smallest']:.2g} at best)",
        f"  its null    {np.mean(facts['null']):.3f}, mean of the largest r in "
        f"{counted(len(facts['null']), 'permutation')} of {moved}; tested like them, averaged over penalties, the data's is "
        f"{np.max(facts['tested']):.3f}",
        f"  channels    {n_above} of {n_channels} above chance at some time (p <= {P_SHOWN:g})",
    ]
    share = facts["unique"]
    if share is None:
        return [*lines, "  beyond nuisance: unknown, no nuisance varies"]
    total = share["total"]
    return [
        *lines,
        f"  share       {100 * total['mean']:.2f} % of the variance ({100 * total['low']:.2f} to "
        f"{100 * total['high']:.2f} %) beyond nuisance, mean over channels and times; p = "
        f"{total['p']:.2g}; the largest {100 * np.max(share['unique']):.1f} %, p = {np.min(share['p']):.2g}",
        f"  nuisance    {100 * np.mean(share['alone']):.2f} % by {listed(share['nuisance'])} alone",
    ]


def write_encoding(
    path: Path, model: Model, facts: dict[str, Any], *, overwrite: bool = False
) -> None:
    """Write the findings as one HTML file, whole or not at all, readable by its owner only.

    Parameters
    ----------
    path : path
    model : Model
        Whose live stages cleaned the recordings.
    facts : dict
        As from `calibration.encode.encoding_facts`, with those of `calibration.limits.limit_facts`.
    overwrite : bool
        Whether a file of this name may be replaced.
    """
    write_whole(path, encoding_page(model, facts).encode(), overwrite)


def encoding_page(model: Model, facts: dict[str, Any]) -> str:
    """Return the findings as HTML.

    Parameters
    ----------
    model : Model
    facts : dict
        As `write_encoding` takes them.

    Returns
    -------
    str
    """
    shown = Shown(model, written=today())
    layers = layer_parts(facts)
    sections = [
        Section("In short", [Table((), _short(shown, facts), 2)]),
        Section("Where and when", r_parts(model, facts)),
        Section("What chance gives", null_parts(facts)),
        Section("Beyond nuisance", share_parts(model, facts)),
        Section(
            "What limits it",
            [Heading("Ceiling"), ceiling_text(facts.get("ceiling")),
             Heading("Learning curve"), *learning_parts(facts.get("learning"))],
        ),
        Section("Layers", layers or [Note("Not compared (`--all-layers` does it).")]),
        made_of.section(shown),
        recipe.section(shown),
        Section("What the words mean", [Table((), _WORDS, 2), Note(COLOURS)]),
    ]  # fmt: skip
    about = f"{counted(len(facts['ch_names']), 'channel')} · report written {shown.written}"
    return render("What the network predicts of the brain", _verdict(shown, facts), sections, about)


def _verdict(shown: Shown, facts: dict[str, Any]) -> str:
    """Say in one sentence whether the network predicts the brain, where, and how well."""
    best, split = facts["best"], facts["split"]
    done, _ = cleaned(shown)
    above = "Above chance" if best["p"] <= P_SHOWN else "Not shown to be above chance"
    total = (facts.get("unique") or {}).get("total")
    beyond = ""
    if total:
        said = "and" if total["p"] <= P_SHOWN else "but nothing is shown"
        beyond = f", {said} beyond nuisance (p = {total['p']:.2g})"
    return (
        f"{above}: in {counted(split['n_events'], 'event')} of {counted(split['n_items'], 'item')}, "
        f"{f'after {done}' if done else 'without any cleaning'}, the network predicts "
        f"{best['channel']} at {best['time']:.2f} s best, with a held-out r of {best['r']:.3f} (95 % "
        f"interval {best['low']:.3f} to {best['high']:.3f}; p = {best['p']:.2g} against the largest r "
        f"of {counted(len(facts['null']), 'permutation')}){beyond}."
    )


def _short(shown: Shown, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Answer the first questions, a row each."""
    best, split = facts["best"], facts["split"]
    done, left = cleaned(shown)
    above = "yes" if best["p"] <= P_SHOWN else "not shown"
    return [
        ("Above chance?", f"{above}, p = {best['p']:.2g} (the smallest possible {facts['p_smallest']:.2g})"),
        ("By how much?", f"largest r {best['r']:.3f} ({best['low']:.3f} to {best['high']:.3f}); "
         f"{facts['n_channels_above_chance']} of {counted(len(facts['ch_names']), 'channel')} above chance"),
        ("On what?", f"{counted(split['n_events'], 'event')} of {counted(split['n_items'], 'item')}, each predicted by a map "
         f"of the other {split['n_folds'] - 1} of {counted(split['n_folds'], 'fold')}, purged by "
         f"{split['purge_s']:.3g} s; no event is locked"),
        ("From what?", str(facts.get("network", "the network"))),
        ("How was it cleaned?", f"by {done}" if done else "not at all"),
        ("What could not be fitted?", listed(left) or "nothing that was asked for"),
    ]  # fmt: skip


_WORDS = (
    ("r", "correlation of predicted and measured samples of held-out events; what is predicted is the "
     "signal around the event, from the vector of its item"),
    ("p", "share of permutations whose largest r over all channels and times, averaged over penalties, "
     "is as high; the brain is moved against the items in units as long as both remember, and every map "
     "is refitted"),
    ("95 % interval", "bootstrap over these units, the maps as they are"),
    ("encoding pattern", "standard deviation over events of what the network predicts"),
    ("beyond nuisance", "R squared of network and nuisance, a penalty each, less that of nuisance alone; "
     "both held out"),
    ("nuisance", "what could feign it: length, frequency and place of a word, pace, a sound's envelope"),
    ("ceiling", "what any map could reach, from how far repeats of an item agree"),
    ("learning curve", "rank accuracy of decoding these samples over the events that train, with a "
     "power law"),
    ("rank accuracy", "share of the other items that the true one beats, by cosine; chance .5"),
    ("time", "that of the live stages, which lag the brain by the delay of their filters"),
)  # fmt: skip
