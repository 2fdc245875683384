"""Plan what a participant sees: cues, words in blocks, rests, questions about the word just seen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rt_decoder.counted import counted
from rt_decoder.settings import TRUTH, check_keys, key, number, whole

__all__ = ["CATCH", "CUES", "Plan", "Step", "make_schedule"]

CATCH = "cue/question"  # its label: what begins so is no word of a vocabulary
CUES = {  # what the cleaning learns eyes and rest from
    "cue/blink": "Blink a few times",
    "cue/saccade": "Look left and right, up and down",
    "cue/rest": "Look here, and rest",
}
_CROSS = "+"
_ROUNDS = 3  # of all cues: cleaning is fitted on some and judged on others


class Step(NamedTuple):
    """One thing on the screen."""

    kind: str  # "cue", "word", "gap", "catch", "rest" or "end"
    text: str  # what is shown
    label: str  # the marker; "" for none
    seconds: float  # for how long; 0 until a key is pressed
    block: int  # 0 before the first one
    answer: str = ""  # of a question: "y" or "n"


@dataclass(frozen=True, slots=True)
class Plan:
    """How words are shown; times in s.

    Raises
    ------
    ValueError
        If a value is out of its range, or the jitter is more than twice the gap.
    """

    shown: float = key(0.5, number(0.05, 60.0), "time a word stays, in s")
    gap: float = key(0.7, number(0.0, 60.0), "time between words, in s")
    jitter: float = key(0.2, number(0.0, 60.0), "range of the gap around its value, in s")
    repeats: int = key(1, whole(1, 1000), "times each word is shown")
    block: int = key(40, whole(1, 100_000), "words in a block; a rest follows")
    catch: float = key(0.05, number(0.0, 1.0), "share of words after which a question is asked")
    cue: float = key(5.0, number(0.5, 60.0), "time of each cue, in s")
    cues: bool = key(True, TRUTH, "begin with cued blinks, gaze shifts and rest")
    seed: int = key(0, whole(0, 2**32 - 1), "random seed of the order")

    def __post_init__(self) -> None:
        check_keys(self, "the plan")
        if self.jitter > 2 * self.gap:
            raise ValueError(
                f"need a jitter of at most twice the gap ({self.gap:g} s), got {self.jitter:g} s"
            )


def make_schedule(words: Sequence[str], plan: Plan = Plan()) -> tuple[Step, ...]:
    """Plan a session.

    All words are shown once before any is shown again, each time in a new order, and none twice in
    a row.

    Parameters
    ----------
    words : sequence of str
        At least one; each once.
    plan : Plan

    Returns
    -------
    tuple of Step

    Raises
    ------
    ValueError
        If there is no word, or one is there twice.

    Examples
    --------
    >>> steps = make_schedule(["yes", "no"], Plan(cues=False, catch=0.0))
    >>> sorted(step.label for step in steps if step.kind == "word")
    ['no', 'yes']
    """
    if not words:
        raise ValueError("need words to show, got none")
    if len(set(words)) < len(words):
        twice = sorted({word for word in words if words.count(word) > 1})
        raise ValueError(f"need each word once (--times shows it again), got {twice[0]!r} twice")
    rng = random.Random(plan.seed)  # noqa: S311  (an order, no secret)
    steps = [Step("rest", "Press a key to begin", "", 0.0, 0)]
    if plan.cues:
        for _ in range(_ROUNDS):
            steps += [Step("cue", text, label, plan.cue, 0) for label, text in CUES.items()]
    order = _order(words, plan.repeats, rng)
    for n, word in enumerate(order):
        block = n // plan.block + 1
        if n % plan.block == 0 and n:
            done = f"{n} of {counted(len(order), 'word')}. Rest; press a key to go on"
            steps.append(Step("rest", done, "", 0.0, block))
        gap = plan.gap + plan.jitter * (rng.random() - 0.5)
        if gap > 0:  # no time would be until a key is pressed
            steps.append(Step("gap", _CROSS, "", gap, block))
        steps.append(Step("word", word, word, plan.shown, block))
        if rng.random() < plan.catch and len(words) > 1:
            asked = word if rng.random() < 0.5 else rng.choice([w for w in words if w != word])
            text = f"Was it {asked}? (y/n)"
            steps.append(Step("catch", text, CATCH, 0.0, block, "y" if asked == word else "n"))
    if plan.gap > 0:
        steps.append(Step("gap", _CROSS, "", plan.gap, steps[-1].block))
    return (*steps, Step("end", "Thank you", "", 1.0, steps[-1].block))


def _order(words: Sequence[str], repeats: int, rng: random.Random) -> list[str]:
    order: list[str] = []
    for _ in range(repeats):
        mixed = list(words)
        rng.shuffle(mixed)
        if order and len(mixed) > 1 and mixed[0] == order[-1]:
            mixed.append(mixed.pop(0))
        order += mixed
    return order
