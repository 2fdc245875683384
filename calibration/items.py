"""Say which items a fit will learn, and refuse what is none, before minutes of cleaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.contract import bad_channels
from calibration.language.pieces import in_pieces
from calibration.targets import spelled_labels
from rt_decoder.counted import counted
from rt_decoder.timing.items import is_code, shorten, some

if TYPE_CHECKING:
    from calibration.events import LabelledRecording
    from rt_decoder.recipe import Recipe, Target

__all__ = ["bad_lines", "check_items", "item_lines", "piece_lines", "same_vector_line"]

_SHORT = 40  # items that are listed one by one


def item_lines(sessions: Sequence[LabelledRecording], recipe: Recipe) -> list[str]:
    """List the items of the recordings with their counts, and what is left out.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
        As they will be learned from.
    recipe : Recipe
        Its vocabulary decides how an item is spelled.

    Returns
    -------
    list of str
        Lines to print.
    """
    written: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for session in sessions:
        written += session.labels()
        left_out.update(session.left_out)
        item = session.rules.item_rule().item
        left_out.update(label for label in session.written() if item(label) is None)
    source = ", ".join(dict.fromkeys(session.source for session in sessions))
    fold = recipe.target.fold
    spelled = dict(zip(written, written, strict=True))
    if fold:
        labels = [label for label, _ in written.most_common()]
        target = recipe.target
        items = spelled_labels(target.vocabulary, labels, target.spoken)
        spelled = dict(zip(labels, items, strict=True))
    counts: Counter[str] = Counter()
    for label, n in written.items():
        counts[spelled[label]] += n
    lines = [
        f"{counted(len(counts), 'item')} in {counted(sum(counts.values()), 'event')}, from {source}: {_told(counts)}"
    ]
    alike = {item: [label for label in written if spelled[label] == item] for item in counts}
    several = [
        "/".join(f"{shorten(label)} {written[label]}" for label in ways)
        for ways in alike.values()
        if len(ways) > 1
    ]
    if several:
        lines.append(f"  one item each, written differently: {some(several)} (--fold false parts)")
    if left_out:
        lines.append(
            f"  no stimuli, left out: {some(dict(left_out.most_common()))} "
            "(--names TSV makes an item of one)"
        )
    return lines + bad_lines(sessions, recipe)


def _told(counts: Counter[str]) -> str:
    common = dict(counts.most_common())
    if len(common) <= _SHORT:
        return some(common, _SHORT)
    most, least = list(common.items())[:4], list(common.items())[-4:]
    return f"most often {some(dict(most))}; least {some(dict(least))}"


def bad_lines(sessions: Sequence[LabelledRecording], recipe: Recipe) -> list[str]:
    """Say which segments and channels the recordings mark as bad.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
        As they will be learned from.
    recipe : Recipe
        Says whether bad channels are kept.

    Returns
    -------
    list of str
        Lines to print; none if nothing is marked as bad.
    """
    lines = []
    bad = [
        (segment.label, (segment.stop - segment.start) / session.recording.info.sfreq)
        for session in sessions
        for segment in session.recording.bad_segments
    ]
    if bad:
        labels = some(dict(Counter(label for label, _ in bad).most_common()))
        lines.append(f"  {sum(s for _, s in bad):.1f} s are marked as bad and flagged: {labels}")
    if channels := bad_channels([session.recording for session in sessions], recipe):
        listed = some(channels)
        lines.append(f"  channels marked as bad, left out: {listed} (--bads keep uses them)")
    return lines


def piece_lines(sessions: Sequence[LabelledRecording], target: Target) -> list[str]:
    """Say which items are no words of the language model; no line if all are.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
        As they will be learned from.
    target : Target
        Names the model; where its items are files or have vectors by hand, none is asked.

    Returns
    -------
    list of str
        Lines to print.

    Raises
    ------
    ValueError, OSError, ImportError
        If the model or its tokenizer cannot be loaded.
    """
    if target.vectors or target.stimuli:
        return []
    items = sorted({label for session in sessions for label in session.labels()})
    found = in_pieces(items, target.embedding)
    if not found:
        return []
    told = [f"{item} ({' '.join(pieces)})" for item, pieces in found.items()]
    return [
        f"  no words of {Path(target.embedding).name}, which reads them in pieces: "
        f"{some(told, 20)}; their vectors tell little of what they mean: name items by words that "
        "it knows (--names TSV), or give vectors (--vectors FILE)"
    ]


def check_items(sessions: Sequence[LabelledRecording], target: Target | None = None) -> None:
    """Refuse numbers without names: a language model would take them for words.

    Numbers among the words of an events table's column ``word`` are words.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
        As they will be learned from.
    target : Target or None
        Where its items are files or have vectors by hand, a number is a name.

    Raises
    ------
    ValueError
        With the codes that need names.
    """
    if target is not None and (target.vectors or target.stimuli):
        return
    codes: Counter[str] = Counter()
    for session in sessions:
        rule = session.rules.item_rule()
        words = Counter(session.written())
        unnamed = {
            label: n
            for label, n in words.items()
            if rule.name(label) is None and is_code(label) and rule.item(label) is not None
        }
        bare = all(label.strip().isdigit() for label in unnamed)
        if not (session.source == "column word" and bare and 2 * len(unnamed) < len(words)):
            codes.update(unnamed)
    if codes:
        raise ValueError(
            f"need names for the codes {some(dict(codes.most_common()))}: a language model knows "
            "no meaning of a code; give --names TSV (columns code, name), or leave codes out with "
            "--exclude PATTERN"
        )


def same_vector_line(items: Sequence[str], groups: Sequence[Sequence[int]]) -> str:
    """Say which items share a vector, and cannot be told apart.

    Parameters
    ----------
    items : sequence of str
        The vocabulary.
    groups : sequence of sequence of int
        As `targets.share_vectors` returns them.

    Returns
    -------
    str
    """
    pairs = [" = ".join(shorten(items[i]) for i in group) for group in groups]
    return (
        f"{counted(sum(map(len, groups)), 'item')} share a vector with another and cannot be told apart: "
        f"{some(pairs)}; name them differently, or choose another language model"
    )
