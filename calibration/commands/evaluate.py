"""``rt-calibrate evaluate``: a model on recordings that it has never seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibration.commands.inputs import ReadOptions, Recordings, need_drawing
from rt_decoder.commands.bundles import bundled
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.language import LanguageModel, LanguageText, LanguageWeight
from rt_decoder.commands.options import AsJson, ModelFile
from rt_decoder.commands.outputs import HTML, Overwrite, claim_outputs

if TYPE_CHECKING:
    from calibration.confidence import Evidence
    from calibration.design import Design
    from calibration.events import LabelledRecording
    from rt_decoder.model import Model

__all__ = ["COMMANDS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions(ReadOptions):
    """How recordings are read, and where the report goes; each field is an option."""

    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="HTML", help="Report with figures to write; private; default none."
        ),
    ] = None
    language_text: LanguageText = None
    language_model: LanguageModel = ""
    language_weight: LanguageWeight = None
    overwrite: Overwrite = False


@bundled
def evaluate(
    recordings: Recordings, model: ModelFile, options: EvaluateOptions, as_json: AsJson = False
) -> None:
    """Test a model on recordings that it has never seen; a group's is aligned with their person.

    Example: rt-calibrate evaluate run3.fif --events run3.tsv --model me.rtd.safetensors
    """
    inputs = ReadOptions.of(options, *recordings)
    read = [*inputs.files, model, options.language_text]
    claim_outputs([("--report", options.report, HTML)], read, options.overwrite)
    from calibration.design import build_design
    from calibration.evaluate import aligned_evidence
    from calibration.evaluate import evaluate as score
    from calibration.events import load_labelled
    from calibration.report.text import score_lines
    from rt_decoder.files.model_file import load_model

    need_drawing(options.report)
    fitted = load_model(model)
    if not fitted.has_map:
        raise ValueError(f"{model.name} has no map: it cleans, it does not name words")
    target = fitted.recipe.target
    rules = inputs.rules(target)
    labelled = load_labelled(recordings, inputs.tables, fitted.recipe, rules, **inputs.reading)
    inputs.tell_columns(target.label)
    if told := _unknown(fitted, labelled):
        show_lines(told)
    with progress_bar("decoding") as progress:
        adapts = fitted.alignment is not None
        design = build_design(fitted, labelled, progress, scaled=not adapts).answered_only()
    found = aligned_evidence(fitted, design.X, design.run) if adapts else None
    memory = fitted.certificate.get("null_memory", 0)
    scores = score(
        fitted, design.X, design.labels, memory=memory, groups=design.run, found=found,
        in_detail=True,
    )  # fmt: skip
    trained = _is_known(recordings, fitted, design)
    scores |= {"aligned": adapts, "n_dropped": design.n_dropped, "trained_on": trained}
    scores |= _more(options, fitted, design, found)
    show_lines(*score_lines(scores, "these recordings"), *_more_lines(scores))
    scores["like_calibration"] = _watch(fitted, labelled)
    if trained:
        show_lines("  WARNING: the model was trained on this data; the figures prove nothing")
    _write(options, fitted, labelled, scores)
    if as_json:
        show_json({"model": model.name, "scores": scores})


def _is_known(recordings: Sequence[Path], model: Model, design: Design) -> bool:
    """Tell whether the model was trained on one of the recordings."""
    from calibration.identity import hash_files, is_same, recording_ids, were_told

    ids = recording_ids(hash_files(recordings), design.fingerprints)
    known = were_told(model.certificate)
    return any(is_same(one, other) for one in ids for other in known)


def _more(
    options: EvaluateOptions, model: Model, design: Design, found: Evidence | None
) -> dict[str, Any]:
    """Score ideas, shorter windows and a language, where there are such."""
    from calibration.frontier import frontier

    memory, windows = model.certificate.get("null_memory", 0), {}
    if found is None:  # a map as stored: the shorter windows' have no other
        windows = frontier(model, design.X, design.labels, memory=memory, groups=design.run)
    return _ideas(model, design, found) | windows | _language(options, model, design, found)


def _more_lines(scores: dict[str, Any]) -> list[str]:
    from calibration.ideas import idea_lines
    from calibration.next_word import language_lines
    from rt_decoder.files.proof import anytime_lines

    spoken = language_lines(scores.get("language", {}), "these recordings")
    windows = anytime_lines(scores["anytime"]) if "anytime" in scores else []
    return [*idea_lines(scores.get("ideas", {})), *windows, *spoken]


def _watch(model: Model, labelled: Sequence[LabelledRecording]) -> list[dict[str, Any]]:
    """Say of each recording whether it is like calibration."""
    from calibration.watching import watch_recordings, watching_lines

    found = watch_recordings(model, labelled)
    show_lines(*watching_lines(found))
    return found


def _ideas(model: Model, design: Design, found: Evidence | None) -> dict[str, Any]:
    """Score what runs of events have in common; empty where events name no ideas."""
    from numpy import arange

    from calibration.certificate import idea_column, score_ideas
    from calibration.evaluate import evidence

    if design.ideas is None:
        return {}
    cosines = (evidence(model, design.X) if found is None else found).cosines
    scores = score_ideas(model, design, arange(len(cosines)), cosines)
    return {"ideas": {"column": idea_column(model.recipe.fit), "new": scores}}


def _language(
    options: EvaluateOptions, model: Model, design: Design, found: Evidence | None
) -> dict[str, Any]:
    """Score brain, language and both; empty where no language is named."""
    from calibration.evaluate import evidence
    from calibration.next_word import language_scores, text_of
    from rt_decoder.decoding.language.next_word import rules_of
    from rt_decoder.decoding.language.opening import words_of

    open_words = words_of(options.language_text, options.language_model)
    if open_words is None:
        return {}
    words = open_words(model.items)
    rules = rules_of(model, words.identity, options.language_weight)
    found = evidence(model, design.X) if found is None else found
    return {"language": language_scores(model, found, text_of(design), words, rules)}


def _write(
    options: EvaluateOptions,
    model: Model,
    labelled: Sequence[LabelledRecording],
    scores: dict[str, Any],
) -> None:
    """Write the report, if one is wanted."""
    if options.report is None:
        return
    from calibration.report.html import write_report

    share = 1.0 if scores["trained_on"] else 0.0
    write_report(
        options.report, model, labelled, share=share, scores=scores, overwrite=options.overwrite
    )
    show_lines(f"wrote {options.report.name}")


def _unknown(model: Model, labelled: Sequence[LabelledRecording]) -> str:
    """Say which labels the model does not know; refuse if it knows none."""
    from rt_decoder.timing.items import unknown_labels

    counts: Counter[str] = Counter()
    for one in labelled:
        counts += one.labels(model.items)
    told = unknown_labels(dict(counts.most_common()), model.items)
    if counts and not set(counts) & set(model.items):
        raise ValueError(f"{told}; calibrate with --vocabulary FILE or wordfreq:N")
    return told


COMMANDS = (evaluate,)
