"""In short: what a reader wants to know first, a row each."""

from __future__ import annotations

from collections.abc import Mapping

from calibration.cleaning.stages import FITS
from calibration.report.above import P_SHOWN, doubts, is_above, people_interval
from calibration.report.cleaned import why_left
from calibration.report.page import Section, Table
from calibration.report.shown import Shown, in_flow_order, interval_text, listed, score_text
from calibration.report.verdict import limits
from rt_decoder.cleaning.stages import FLOW
from rt_decoder.counted import counted

__all__ = ["section"]

_CHANCE = {"rank_accuracy": 0.5, "bits_per_word": 0.0}
_TITLES = {
    "mains": "mains", "projector": "projections of the file", "muscle": "muscle activity",
    "repair": "bad channels", "eye": "blinks and gaze", "regressors": "reference channels",
    "heartbeat": "heartbeat",
}  # fmt: skip
_HOW = {"muscle": " (flagged, not removed)", "repair": " (replaced)"}
_FEW = 8  # items that are named
_OFF = 0.02  # of permuted labels from chance, that is told
_FINAL = "the last events of each recording, which no choice has seen, decoded once"


def section(shown: Shown) -> Section | None:
    """Answer five questions; None for a model without a map."""
    scores, _ = shown.best
    if not shown.model.has_map or not scores:
        return None
    out, left = _cleaning(shown)
    rows = [
        ("Above chance?", _above(shown)),
        ("By how much?", _amount(shown)),
        ("On what?", _tested(shown)),
        ("Trained on what?", _trained(shown)),
        ("What was removed?", f"{out or 'nothing'}{_measured(shown)}"),
        ("What could not be?", left or "nothing that was asked for"),
        ("What limits it?", "; ".join(limits(shown)) or "nothing that these figures show"),
    ]
    return Section("In short", [Table((), rows, 2)])


def _measured(shown: Shown) -> str:
    """Say where the figures of the cleaning come from, if not from what the report is of."""
    cleaning = shown.certificate.get("cleaning")
    return (
        " (figures of the recordings of the fit)" if shown.scores is not None and cleaning else ""
    )


def _above(shown: Shown) -> str:
    scores = shown.claim
    above = {True: "yes", False: "not shown", None: "not tested"}[is_above(shown)]
    if doubts(shown):
        above = "weakly"
    if scores.get("p") is None:
        return above
    told = f"{above}, p = {scores['p']:.2g} against permuted labels"
    smallest = scores.get("p_smallest")
    if smallest is not None and (smallest > P_SHOWN or scores["p"] <= smallest):
        told += " (the smallest that so many events and permutations can give)"
    return told


def _amount(shown: Shown) -> str:
    scores = shown.claim
    intervals = (scores.get("detail") or {}).get("intervals", {})
    people = shown.certificate.get("people") if shown.scores is None else None
    parts = []
    for name, title in (
        ("rank_accuracy", "rank accuracy"), ("top1", "top-1"), ("bits_per_word", "bits a word"),
    ):  # fmt: skip
        if scores.get(name) is None:
            continue
        found = intervals.get(name)
        if people and name in people["each"][0]:
            found = people_interval([one[name] for one in people["each"]])
        chance = _CHANCE.get(name, scores.get(f"chance_{name}"))
        within = f" ({interval_text(found)})" if found else ""
        beside = "" if chance is None else f", chance {score_text(chance) if chance else 0}"
        permuted = scores.get("null_rank_accuracy") if name == "rank_accuracy" else None
        if permuted is not None and abs(permuted - 0.5) > _OFF:
            beside += (
                f" (permuted labels {score_text(permuted)}, as these events differ from all items)"
            )
        parts.append(f"{title} {score_text(scores[name])}{within}{beside}")
    among = "" if shown.claim is shown.best[0] else f"among {shown.noun}s that are heard: "
    return f"{among}{'; '.join(parts)}" if parts else "n/a"


def _tested(shown: Shown) -> str:
    scores, where = shown.best
    told = f"{counted(scores['n'], 'event') if 'n' in scores else 'n/a events'} {where}"
    if shown.scores is None and "final" in shown.certificate and "people" not in shown.certificate:
        told += f": {_FINAL}"
    words = (scores.get("detail") or {}).get("words")
    n_items = scores.get("n_items", len(shown.model.items))
    if words:
        named = f" ({', '.join(words)})" if len(words) <= _FEW else ""
        part = f"all {n_items}" if len(words) == n_items else f"{len(words)} of the {n_items}"
        told += f"; {part} items came in them{named}"
    else:
        told += f"; {counted(n_items, 'item')} to choose among"
    return f"{told}{_unscored(shown)}"


def _unscored(shown: Shown) -> str:
    """Say how many more events there were, and why they are not scored."""
    scores, split = shown.best[0], shown.certificate.get("split") or {}
    locked = shown.scores is None and "final" in shown.certificate
    why = [
        (scores.get("n_outside"), f"with {shown.noun}s that the model does not know"),
        (scores.get("n_unseen"), f"with {shown.noun}s that never came in training"),
        (scores.get("n_dropped"), "with muscle activity, incomplete or of low quality"),
        (split.get("n_final_muscle") if locked else None, "with muscle activity"),
    ]
    parts = [f"{n:g} {what}" for n, what in why if n]
    return f"; not scored: {listed(parts)}" if parts else ""


def _trained(shown: Shown) -> str:
    split, people = shown.certificate.get("split"), shown.certificate.get("people")
    if people:
        return f"{counted(people['n'], 'person', 'people')}, each tested by the map of the others"
    if not split:
        return "not told by this model"
    told = counted(split["n_train"], "event")
    if shown.scores is not None:
        same = "these" if shown.scores.get("trained_on") else "other"
        return f"{told} of {same} recordings"
    told = f"{counted(split['n_train'], 'earlier event')} of the same recordings"
    if shown.minutes:
        events = counted(split["n_train"], "earlier event")
        told = f"{events}, in {sum(shown.minutes):.1f} min of recording in all"
    return told


def _cleaning(shown: Shown) -> tuple[str, str]:
    """Say what was taken out, stage by stage, and what could not be, with the reason."""
    out, left = [], []
    for stage, found in in_flow_order(shown.certificate.get("cleaning", {})).items():
        title = _TITLES.get(stage, FLOW[stage].title if stage in FLOW else stage)
        if "left_out" in found:
            left.append(f"{title} ({why_left(shown, found)})")
        elif stage in FITS:
            left += [
                f"{name} ({one.get('reason', 'it explains nothing')})"
                for name, one in found.get("references", {}).items()
                if isinstance(one, Mapping) and not one.get("kept", True)
            ]
            said, taken, _ = FITS[stage].summary(found)
            said = said.replace("; bad: none", ", none of them bad")
            taken = taken.removeprefix("nothing, flagged: ")
            how = "" if stage == "repair" and not found.get("bad") else _HOW.get(stage, "")
            out.append(f"{title}{how}: {said if stage == 'repair' else taken}")
    return "; ".join(out), "; ".join(left)
