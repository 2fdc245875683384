"""Look whether a stream is what a model needs: channels, units, rate, size, labels, montage."""

from __future__ import annotations

import warnings

import numpy as np

from rt_decoder.checks.finding import Finding, Verdict, named
from rt_decoder.counted import counted
from rt_decoder.decoder import Decoder
from rt_decoder.files.proof import why_unproven
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import ONSET, ModelMismatch
from rt_decoder.timing.markers import MarkerRules

__all__ = ["check_model_fits"]


def check_model_fits(recording: Recording, model: Model) -> list[Finding]:
    """Run a recording through a model's stages, and say what does not fit.

    Parameters
    ----------
    recording : Recording
        Of a minute or so.
    model : Model

    Returns
    -------
    list of Finding
        Of ``contract``, ``scale``, ``montage``, ``labels`` and ``model``.
    """
    options = PipelineOptions(MarkerRules()).for_target(model.recipe.target)
    try:
        decoder = Decoder(model, recording.info, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the findings say it
            for _ in decode_recording(
                model, recording, recording.markers, options, decoder=decoder
            ):
                pass
    except ModelMismatch as error:
        fix = "rename or declare channels with --channels TSV, set --units, or calibrate again"
        return [Finding("contract", Verdict.BAD, str(error), fix)]
    c, left_out = model.info.n_channels, decoder.align.left_out
    text = (
        f"nothing is missing of the model's {counted(c - len(left_out), 'channel')}, units and rate"
    )
    findings = [Finding("contract", Verdict.GOOD, text)]
    if left_out:
        told = named([f"{name}: {why}" for name, why in left_out.items()])
        findings = [Finding("contract", Verdict.LOOK, f"references left out: {told}")]
    if decoder.off_scale:
        fix = "look at these electrodes, or at the unit of these channels"
        text = f"far from calibration: {named(decoder.off_scale)}"
        findings.append(Finding("scale", Verdict.LOOK, text, fix))
    else:
        findings.append(Finding("scale", Verdict.GOOD, "of the size that calibration had"))
    findings += [_montage(decoder), _labels(recording, model, decoder)]
    if model.has_map and (why := why_unproven(model)):
        fix = "run refuses it without --force: record more, and calibrate again"
        findings.append(Finding("model", Verdict.BAD, why, fix))
    return findings


def _montage(decoder: Decoder) -> Finding:
    told = [
        details
        for event, details in decoder.take_events()
        if event in ("channels_differ", "unlike_calibration")
    ]
    if told:
        fix = str(told[0].get("fix", ""))
        text = "; ".join(str(one["explanation"]) for one in told)
        return Finding("montage", Verdict.LOOK, text, fix)
    if "channels" not in decoder.pipeline.model.monitor:
        text = "order and polarity of channels need 16 channels and a model that holds them"
        return Finding("montage", Verdict.UNKNOWN, text)
    return Finding("montage", Verdict.GOOD, "channels differ from each other as in calibration")


def _labels(recording: Recording, model: Model, decoder: Decoder) -> Finding:
    if not recording.markers or not model.items:
        return Finding("labels", Verdict.UNKNOWN, "no markers, or a model that only cleans")
    rule = decoder.align.rules.item_rule(model.items)
    items = [item for one in recording.markers if (item := rule.item(one.label)) is not None]
    known = set(model.items)
    strange = [item for item in dict.fromkeys(items) if item not in known and item != ONSET]
    share = float(np.mean([item in known for item in items])) if items else 0.0
    text = f"{share:.0%} of markers name an item of the model".replace("%", " %")
    figures = {"known": share}
    if not strange:
        return Finding("labels", Verdict.GOOD, text, figures=figures)
    fix = "such events are read out, and count for no score (rt-calibrate fit --names TSV)"
    return Finding("labels", Verdict.LOOK, f"{text}, not {named(strange)}", fix, figures)
