"""What every event and every reason means, and what to do about it, in plain words.

The log holds names; whoever reads them on a terminal or in `Live.events` gets these words beside
them, unless the event brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["EVENTS", "FITS", "REASONS", "STATES", "Advice", "advised"]

NOTHING = ""  # to do: all is well again, or as it was asked for


class Advice(NamedTuple):
    """What a name means, and what an operator can do; no fix where nothing is wrong."""

    explanation: str
    fix: str = NOTHING


_CABLE = "look at amplifier, cable and network"
_OWN = "calibration's electrode, side and polarity"
EVENTS: dict[str, Advice] = {
    # the stream
    "live": Advice("samples can come"),
    "stale": Advice("no samples for too long", _CABLE),
    "live_again": Advice("samples come again"),
    "lost": Advice("the stream is gone", "start it again: it is looked for until it is back"),
    "returned": Advice("the stream is back"),
    "not_back": Advice(
        "a stream of that name is there, and is another",
        "start the one that was lost, or end the session and name this one",
    ),
    "gap": Advice("samples were lost", f"{_CABLE}, where it comes often"),
    "revoked": Advice("samples that looked lost were only late"),
    "reset": Advice("the sender's clock was set", "set no clock during a session"),
    "stamps_of_another_clock": Advice(
        "the stream is stamped by another clock than LSL's",
        "markers must be stamped by the same; else let its sender stamp by LSL's local_clock",
    ),
    "stamps_ahead": Advice(
        "the stream's stamps are ahead of this machine's clock",
        "latencies are not to be trusted: stamp with the time of the newest sample",
    ),
    "behind": Advice(
        "samples come faster than they are decoded",
        "end other programs, or leave out stages or items; rt-decoder certify says what it costs",
    ),
    "caught_up": Advice("every sample that has come is decoded"),
    "overrun": Advice("samples were skipped, since the decoder was behind", "as for behind"),
    "scale": Advice(
        "channels are of another size than in calibration", "look at their electrodes and units"
    ),
    "types_by_name": Advice(
        "channels have no type, which is taken from their names",
        "give them with --channels TSV where they are wrong",
    ),
    # channels and references
    "channel_disagrees": Advice(
        "a channel differs from its neighbours",
        "if its electrode is well, fit again with today's recording, or rt-calibrate realign",
    ),
    "channel_agrees": Advice("the channel agrees with its neighbours again"),
    "channel_replaced": Advice(
        "a channel is replaced by its neighbours", "check the electrode; if it is well, fit again"
    ),
    "channel_returned": Advice("the channel is used again"),
    "reference_left_out": Advice(
        "a reference is not used", "put right what the reason says, or go on without it"
    ),
    "reference_changed": Advice(
        "the reference no longer says what it said in calibration",
        f"is it upside down, swapped, or another's? It needs {_OWN}; the decoder rests it meanwhile",
    ),
    "reference_as_before": Advice("the reference says what it did in calibration"),
    "reference_unusable": Advice(
        "the reference is flat, railed, missing, or too large or fast",
        "check its electrode or belt",
    ),
    "reference_usable": Advice("the reference is used again"),
    "reference_stale": Advice("the reference's stream is silent", _CABLE),
    "reference_live_again": Advice("the reference's stream speaks again"),
    "reference_lost": Advice("the reference's stream is gone", "start it again"),
    "reference_returned": Advice("the reference's stream is back"),
    "reference_refused": Advice(
        "the reference's stream came back as another", "start it as it was, with the same channels"
    ),
    "reference_late": Advice(
        "samples of the reference came too late", "declare its delay: --reference NAME=MS"
    ),
    # markers and items
    "marker_lost": Advice(
        "a marker has no readout, for the reason",
        "none if it came before the first sample, or if this is a recording, which has it all the same; "
        "run --marker-wait keeps markers that come late",
    ),
    "label_unknown": Advice(
        "a marker names no item of the model", "--names TSV of a fit names codes; check spelling"
    ),
    "markers_stream_lost": Advice(
        "the marker stream is gone: its program ended, or the connection broke",
        "nothing, if it was done; else start it again: it is looked for until it is back",
    ),
    "markers_stream_returned": Advice("the marker stream is back"),
    "markers_refused": Advice(
        "the marker stream came back as one that cannot be read", "start it as it was"
    ),
    # another brain, cap, timing or polarity; these bring words of their own
    "unlike_calibration": Advice(
        "the signal is not that of calibration", "look at person, cap, markers and stimuli"
    ),
    "fits_calibration": Advice("the response to events is that of calibration"),
    "channels_differ": Advice(
        "the channels differ from calibration", "look at plugs, cap and channel names"
    ),
    "channels_fit": Advice("the channels are those of calibration"),
    "ranks_differ": Advice(
        "items that markers name rank lower than in calibration", "look at person, cap and stimuli"
    ),
    "above_chance": Advice(
        "what markers name ranks above chance by now; the score has a test of its own"
    ),
    # what an experiment wants
    "swapped": Advice("another model answers from here on, as was asked"),
    "added": Advice("more items can be answered from here on, as was asked"),
    "chosen": Advice("answers are made as the experiment asked"),
    "paused": Advice("no readouts are made, as the experiment asked"),
    "resumed": Advice("readouts are made again"),
    "truth": Advice("the experiment told what an event was"),
    "refused": Advice("what the experiment asked for cannot be", "see the reason"),
    "callback_slow": Advice(
        "the function of on_readout takes longer than its budget",
        "let it do less, or raise budget_ms; readouts wait meanwhile",
    ),
    # the map and the language
    "aligned": Advice("the map has moved towards this person"),
    "alignment_ended": Advice(
        "the map cannot be moved any more, and stays as it is",
        "see the reason; --no-align keeps it",
    ),
    "language_prior_late": Advice(
        "the language's prior came after its event",
        "a smaller model, or --language-text, is faster",
    ),
    "language_ended": Advice(
        "the language has died, and the usual prior is used", "see the reason, and start again"
    ),
    # what is written, and the machine
    "log_ended": Advice("the log is not whole", "make room on its disk; decoding goes on"),
    "record_ended": Advice("the record is not whole", "make room on its disk; decoding goes on"),
    "texts_ended": Advice("readouts are not sent as text any more", "see the reason"),
    "descriptors": Advice(
        "most of the files and streams that a process may open are open",
        "end the session and raise the limit (ulimit -n)",
    ),
    "tuned": Advice("what this machine allowed for even timing"),
}

REASONS: dict[str, Advice] = {
    # of samples in the window
    "nonfinite": Advice("a value is no number", "look at the amplifier and its driver"),
    "flat": Advice("a channel stands still", "look at its electrode"),
    "rail": Advice("a channel is at its limit", "look at its electrode and the amplifier's range"),
    "jump": Advice("a channel jumped", "look at its electrode and cable"),
    "gap": Advice("samples were lost", _CABLE),
    "held": Advice("the last value was held over lost samples", _CABLE),
    "settling": Advice("filters settle after a gap", "wait a few seconds"),
    "muscle": Advice("muscle activity", "ask the person to relax jaw and neck"),
    "movement": Advice("movement", "ask the person to sit still; fasten cables"),
    "bad_channel": Advice("a channel is bad beyond repair", "look at its electrode"),
    "reference_lost": Advice("a reference is missing", "look at its electrode, belt or stream"),
    "amplitude": Advice("a value is impossibly large", "look at electrodes, units and gain"),
    "annotated": Advice("the recording marks the segment as bad"),
    # corrections: the sample is good
    "repaired": Advice("a bad channel was replaced by its neighbours"),
    "eye": Advice("blinks or gaze were taken out"),
    "heartbeat": Advice("a heartbeat was taken out"),
    "regressed": Advice("what a reference tells was taken out"),
    # of the answer
    "uncertain": Advice(
        "no item is probable enough", "repeat the item, or choose fewer candidates or --threshold"
    ),
    "quality": Advice("too much of the window is bad", "see the other reasons"),
    "nothing": Advice("nothing was there to name, as between events"),
    "not fitted": Advice(
        "the model was not fitted for readouts at every hop", "fit again, or read out at events"
    ),
    "unlike_calibration": Advice(
        "the signal is not that of calibration",
        "see the event; --when-unlike warn answers all the same",
    ),
}

STATES: dict[str, Advice] = {  # of the stream that is decoded
    "live": Advice("samples come"),
    "stale": EVENTS["stale"],
    "lost": EVENTS["lost"],
    "returned": Advice("the stream is connected; no sample has come yet"),
    "ended": Advice("the decoder has ended, or cannot be reached", "start it again: it is found"),
}

FITS: dict[str, Advice] = {  # is the signal that of calibration?
    "unchecked": Advice("too few events so far, or the model cannot tell"),
    "fits": Advice("the response to events is that of calibration"),
    "doubtful": Advice(
        "the response to events is weaker than in calibration", "look at person, cap and markers"
    ),
    "unlike": EVENTS["unlike_calibration"],
}


def advised(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event, a line of the log, with its explanation and fix.

    Parameters
    ----------
    line : mapping
        With its ``event``; what it explains by itself stays.

    Returns
    -------
    dict
        With ``explanation`` and, where something can be done, ``fix``.

    Examples
    --------
    >>> advised({"event": "stale", "silent_s": 0.4})["explanation"]
    'no samples for too long'
    """
    told = EVENTS.get(line["event"])
    if told is None:
        return dict(line)
    more = {"explanation": told.explanation} | ({"fix": told.fix} if told.fix else {})
    return {**line, **{name: text for name, text in more.items() if name not in line}}
