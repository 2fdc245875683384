"""What every score and colour means."""

from __future__ import annotations

import numpy as np

from calibration.cleaning.reference_search import LAG, LAG_OF
from calibration.report.page import Note, Section, Table
from calibration.report.shown import Shown

__all__ = ["COLOURS", "section"]

_WORDS = (
    ("top-1, top-5, top-10", "share of events whose word is the best, or among the five or ten best, "
     "of the vocabulary; ties are broken at random"),
    ("mean reciprocal rank", "mean of 1 / rank of the true word"),
    ("rank accuracy", "share of the other words that the true one beats, by cosine; 1 is first, 0 "
     "last, chance .5"),
    ("two vs two", "share of pairs of events whose words are matched the right way round; chance .5 "
     "(Mitchell et al. 2008)"),
    ("micro, macro", "mean over events; mean over words of the mean over the events of each. A "
     "decoder that knows word frequencies alone gains in micro only"),
    ("chance", "what guessing gives"),
    ("prior alone", "what the model's prior gives, without looking at the brain"),
    ("unit, unit of permutation", "events in a row that hang together, as words and signal remember what came before; "
     "they are permuted, and drawn, as a whole"),
    ("null", "the same score with labels permuted, each by itself or, where events hang together, in units"),
    ("p", "share of permutations that score as high; smallest p: what so many events allow. Above .05 "
     "nothing can be shown"),
    ("95 % interval", "bootstrap over units of events that hang together (over people for a group's "
     "model): how the score would vary with other events, the map as it is"),
    ("bits a word", "information about the word that an event adds to the prior; 0 is none"),
    ("calibration error", "how far probabilities are from the share that is right, mean over tenths"),
    ("dB", "10 log10 of the power before over the power after: 6 dB leave half the amplitude, 20 dB a tenth; "
     "measured on a part of the recording that the cleaning was not fitted on"),
    ("coverage, precision", "share of events that are answered; share of the answers that are right"),
    ("wanted precision, promised precision", "precision that the threshold is to keep, set on the "
     "held-out groups; none where none could be shown"),
    ("reliability", "the share that is right over the probability that was stated"),
    ("map", "weights that take what the signal does in the window of an event to the vector of a word"),
    ("posterior", "the probability of every word, of the prior and of what the map finds"),
    ("hop", "the step in which live data are cleaned and decoded, a few milliseconds long"),
    ("held out, locked, out of fold", "kept away from what is fitted, to test it: once, at the end of a "
     "recording (locked), or in turn (out of fold)"),
    ("purged", "left out, as an event so near to a tested one that both share signal"),
    ("quality", "share of an event's samples that are good; below `min_quality` it is not "
     "scored, and trains the map only if muscle activity is the reason"),
    ("lag at the bound of the search", f"data and references are shifted by up to {1e3 * LAG:g} ms either "
     f"way (breath {1e3 * LAG_OF['resp']:g} ms); what fits best at that end of the search has no lag "
     "that was found, and is not used"),
    ("idea", "what the events of a run have in common, such as a category or a sentence"),
    ("ceiling", "what any map could reach, from how far repeats of a word agree"),
    ("alpha, whiten, power, kappa", "penalty of the map; shrinkage of the covariance that whitens the "
     "features; power to which the targets' variances are taken; weight of other people's data"),
    ("false alarm", "an answer at a hop while nothing is said"),
    ("locked final block", "the last events of each recording, decoded once, by the finished model"),
    ("held-out groups, out of fold", "training events, each decoded by a map that has not seen its group; penalty "
     "and posterior were chosen on them"),
)  # fmt: skip
_MODEL_ONLY = (
    ("pattern", "what the signal does when a decoded dimension changes (Haufe et al. 2014), unlike "
     "weights, which also cancel noise"),
    ("beyond nuisance", "share of variance that the network explains and length, frequency, place and "
     "pace of the words do not"),
    ("r", "correlation of predicted and measured signal, in held-out events"),
)  # fmt: skip
COLOURS = (
    "Colours: orange is before cleaning, a limit, or the held-out groups; blue is after cleaning, or "
    "the score; grey is chance. Maps of strength go from dark (low) to yellow (high), maps with a sign from blue "
    "(negative) over white to red. All can be told apart without red and green."
)


def section(shown: Shown) -> Section:
    """Define every word that stands in a table."""
    rows = [*_WORDS, *_MODEL_ONLY] if shown.model.has_map else list(_MODEL_ONLY[:1])
    if shown.model.has_map and np.ptp(shown.model.log_prior) == 0:
        rows = [(word, f"{said}; here it is uniform: chance" if word == "prior alone" else said)
                for word, said in rows]  # fmt: skip
    return Section("What the words mean", [Table((), rows, 2), Note(COLOURS)])
