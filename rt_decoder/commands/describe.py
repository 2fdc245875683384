"""Describe models, for `inspect`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.files.history import changed_since, history, history_lines
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.model_format import FORMAT_VERSION
from rt_decoder.files.monitor_text import monitor_lines
from rt_decoder.files.proof import answers_line, anytime_lines, proof, why_unproven
from rt_decoder.model import Alignment, Model
from rt_decoder.sinks.header import contract
from rt_decoder.timing.items import some

__all__ = [
    "continuous_text",
    "model_lines",
    "model_summary",
]

_ITEMS = 40  # that are named; --json has them all


def model_summary(model: Model) -> dict[str, Any]:
    """Describe a model in plain values."""
    from rt_decoder.pipeline import Pipeline

    pipeline = Pipeline(model)
    window = pipeline.window
    sizes = {
        name: int(np.asarray(getattr(model, name)).nbytes)
        for name in ("weights", "basis", "vectors", "sos")
        if getattr(model, name).size
    }
    summary: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "hash": model_hash(model),
        "contract": contract(model),
        "recipe": model.recipe.to_dict(),
        "delays_ms": {name: 1e3 * stage.delay for name, stage in pipeline.stages.items()},
        "hop_ms": 1e3 * model.n_hop / model.info.sfreq,
        "window_s": [window.first / model.info.sfreq, window.last / model.info.sfreq],
        "n_features": window.n_features,
        "n_items": len(model.items),
        "items": list(model.items),
        "rank": model.weights.shape[1],
        "posterior": asdict(model.posterior) if model.has_map else {},
        "continuous": asdict(model.continuous) if model.continuous else {},
        "unproven": why_unproven(model) if model.has_map else "",
        "alignment": None if model.alignment is None else asdict(model.alignment),
        "history": history(model),
        "memory_bytes": sizes,
        "certificate": dict(model.certificate),
        "versions": dict(model.versions),
    }
    return summary


def model_lines(model: Model) -> list[str]:
    """Describe a model in lines of text."""
    summary = model_summary(model)
    contract = summary["contract"]
    names = contract["ch_names"]
    units = sorted(set(contract["units"]))
    start, stop = summary["window_s"]
    delays = ", ".join(f"{name} {ms:.1f}" for name, ms in summary["delays_ms"].items() if ms)
    lines = [
        f"model       {summary['hash'][:12]}, format {summary['format_version']}",
        f"channels    {len(names)}: {', '.join(names)} ({', '.join(units)})",
        f"rate        {contract['sfreq']:g} Hz, hops of {summary['hop_ms']:g} ms, "
        f"reference {contract['reference']}, line {contract['line_freq']:g} Hz",
        f"window      {start:g} to {stop:g} s after the onset, {summary['n_features']} "
        f"{model.recipe.features.kind} features",
        f"delays      {delays or 'none'} (ms)",
        f"map         rank {summary['rank']} to {counted(summary['n_items'], 'item')} of "
        f"{model.recipe.target.vectors or model.recipe.target.embedding}",
        f"items       {some(model.items, _ITEMS) or 'none'}",
        f"adapts      {_alignment_text(model.alignment)}",
        f"learns      {'from true labels, with --learn' if model.learns else 'no labels'}",
        f"memory      {sum(summary['memory_bytes'].values()) / 1e6:.1f} MB",
        *history_lines(model),
    ]
    if model.has_map:
        lines += [
            f"certificate {_certificate_text(model)}",
            f"proven      {_proven_text(model)}",
            f"every hop   {continuous_text(model)}",
            f"at events   {_answers_text(model)}",
            *monitor_lines(model),
            f"language    {_language_text(model)}",
            f"sets        {_sets_text(model)}",
            *_more_lines(model),
            *_anytime_lines(model),
        ]
    return lines


def _anytime_lines(model: Model) -> list[str]:
    anytime = model.certificate.get("anytime")
    try:
        return anytime_lines(anytime) if anytime else []
    except (TypeError, KeyError, ValueError):
        return ["windows     cannot be read: the certificate holds no table of them"]


def _language_text(model: Model) -> str:
    rules = model.language
    if rules is None:
        return "none weighed (rt-calibrate fit --language-text, --language-model)"
    context = "words that are shown" if rules.shown else "words as they are decoded"
    return f"weight {rules.weight:g} for {rules.identity}; context: {context}"


def _sets_text(model: Model) -> str:
    known = int((model.set_cutoffs < 1).sum())
    if not model.set_cutoffs.size:
        return "none: fitted by an older version"
    return (
        f"up to {known} % of events; for more, calibration was too short and sets hold every item"
    )


def _alignment_text(alignment: Alignment | None) -> str:
    if alignment is None:
        return "no: the map stays as it was fitted"
    return (
        f"to each person, by events without labels: every {alignment.every}, by the newest "
        f"{alignment.most}; the group counts as {alignment.weight:g} (--no-align keeps the map)"
    )


def _certificate_text(model: Model) -> str:
    final, people = (model.certificate.get(name) for name in ("final", "people"))
    if not final:
        return "no final block was locked"
    try:
        tested = counted(final["n"], "locked event")
        if people is not None:
            above = f"{people['above']} of {people['n']} above their null"
            tested = f"{counted(people['n'], 'person', 'people')} left out, {above}, {counted(final['n'], 'trial')}"
        return (
            f"{tested}: top-1 {final['top1']:.3f} "
            f"(chance {final['chance_top1']:.3f}), top-10 {final['top10']:.3f} "
            f"(chance {final['chance_top10']:.3f}, prior {final['prior_top10']:.3f}), "
            f"rank accuracy {final['rank_accuracy']:.3f}, p = {final['p']:.2g}{_heard_text(final)}"
        )
    except (LookupError, TypeError, ValueError):
        return "cannot be read: its final block holds no table of scores"


def _heard_text(final: dict[str, Any]) -> str:
    """Say what the locked block scores among the items that are heard, where others are listed."""
    heard = final.get("heard")
    if not heard:
        return ""
    return (
        f"; among the {counted(heard['n_items'], 'item')} that are heard: top-1 {heard['top1']:.3f} (chance "
        f"{heard['chance_top1']:.3f}), rank accuracy {heard['rank_accuracy']:.3f} (permuted "
        f"{heard['null_rank_accuracy']:.3f})"
    )


def _proven_text(model: Model) -> str:
    why = why_unproven(model)
    if why:
        return f"no: {why}"
    final, changed = proof(model), changed_since(model)
    told = f"yes: p = {final['p']:.2g}, {final['bits_per_word']:.3f} bits a word beyond the prior"
    return f"{told}, of the model before it was {changed}" if changed else told


def continuous_text(model: Model) -> str:
    """Say what readouts at every hop are worth.

    Parameters
    ----------
    model : Model
        With a map.

    Returns
    -------
    str
    """
    fitted, found = model.continuous, model.certificate.get("continuous")
    if fitted is None:
        return "abstains: the posterior is fitted on events alone (--force answers all the same)"
    told = found if isinstance(found, dict) else {}
    if fitted.threshold > 1:
        return f"never answers: {told.get('never') or 'no threshold is safe'}"
    asked = told.get("asked")
    few = f", at most {asked:g} false alarms an hour" if isinstance(asked, float | int) else ""
    answers = f"answers when the probability is at least {fitted.threshold:.3g}{few}"
    final = told.get("final")
    error = final.get("likely_error") if isinstance(final, dict) else None
    off = (
        f"; probabilities were off by {error:.2f} where likely" if isinstance(error, float) else ""
    )
    try:
        return f"{answers} ({told['n_alarms']} in {told['hours']:.2f} h without events){off}"
    except (LookupError, TypeError, ValueError):
        return answers + off


def _more_lines(model: Model) -> list[str]:
    """Say what the certificate tells of repeats and of unseen words, if anything."""
    pooled, unseen = (model.certificate.get(name) or {} for name in ("pooled", "unseen"))
    lines = []
    try:
        of_repeats = pooled.get("final") or pooled.get("out_of_fold") or {}
        if of_repeats.keys() - {"1"}:
            where = "locked block" if pooled.get("final") else "held-out groups"
            told = (
                f"{n}: top-1 {of_n['top1']:.3f} (chance {of_n['chance_top1']:.3f}), "
                f"{of_n['bits_per_word']:.3f} bits"
                for n, of_n in of_repeats.items()
            )
            lines.append(f"repeats     {'; '.join(told)} ({where})")
        if unseen:
            lines.append(
                f"new words   rank accuracy {unseen['rank_accuracy']:.3f} among items left out of "
                f"training (chance {unseen['null_rank_accuracy']:.3f}), p = {unseen['p']:.2g}"
            )
    except (AttributeError, LookupError, TypeError, ValueError):
        lines.append("repeats     cannot be read: the certificate holds no table of them")
    return lines


def _answers_text(model: Model) -> str:
    try:
        return answers_line(model.posterior.threshold, model.certificate.get("out_of_fold", {}))
    except (AttributeError, TypeError, ValueError):
        return "cannot be read: the certificate holds no table of out-of-fold scores"
