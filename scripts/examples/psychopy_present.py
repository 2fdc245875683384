#!/usr/bin/env python3
"""Show the words of `rt-decoder present` with PsychoPy, for a calibration. Runs without PsychoPy, too.

    python scripts/examples/psychopy_present.py words.txt --markers MyStimuli --save run.tsv
    rt-decoder record --name MyAmp --markers MyStimuli -o run.xdf     # beside it

Schedule, cues, pauses, markers and the events table are those of rt-decoder; the window is yours, so
draw what you like in `show`. A marker is stamped with the flip, by the LSL clock.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pylsl

from rt_decoder.present.schedule import Plan, Step, make_schedule
from rt_decoder.present.show import show
from rt_decoder.present.table import events_table, lines, summary
from rt_decoder.present.words import read_words
from rt_decoder.sinks.loopback import stay_local
from rt_decoder.sinks.outlets import marker_outlet

NAMES = {"space": " ", "escape": "\x1b"}  # keys that PsychoPy names


class Stub:
    """Stands in for a window of PsychoPy where there is none: flips at 60 Hz, and answers yes."""

    def prepare(self, ahead: list[tuple[Step, float]]) -> None:
        """Nothing: a step is drawn when it is due."""

    def show(self, step: Step) -> float:
        self.step = step
        time.sleep(1 / 60)
        print(step.text)
        return pylsl.local_clock()

    def key(self, wait: float) -> str:
        time.sleep(wait if self.step.seconds else 0.0)
        return "" if self.step.seconds else "y"


class Window(Stub):
    def __init__(self, visual, event) -> None:
        self._window, self._event = visual.Window(fullscr=True, color="black"), event
        self._text = visual.TextStim(self._window, wrapWidth=1.8)
        self._square = visual.Rect(
            self._window, width=0.15, height=0.15, pos=(-0.93, 0.93), fillColor="white"
        )

    def show(self, step: Step) -> float:
        self._text.text = step.text
        self._text.draw()
        if step.kind == "word":
            self._square.draw()  # for a photodiode
        self._window.flip()
        return pylsl.local_clock()

    def key(self, wait: float) -> str:
        pressed = self._event.waitKeys(maxWait=wait) or [""]
        return NAMES.get(pressed[0], pressed[0])


def window() -> Stub:
    try:
        from psychopy import event, visual
    except ImportError:
        return Stub()
    return Window(visual, event)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", help="table with a column word, or a word a line")
    parser.add_argument("--markers", default="Stimuli", help="name of the marker stream")
    parser.add_argument("--save", type=Path, help="events table")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--no-cues", action="store_true", help="no blinks, gaze shifts and rest")
    args = parser.parse_args()
    steps = make_schedule(read_words(args.words), Plan(seed=args.seed, cues=not args.no_cues))
    stay_local()  # other machines cannot read what is sent
    markers = marker_outlet(args.markers, f"psychopy-{args.markers}")
    seen = []
    try:
        for one in show(
            steps, window(), lambda label, at: markers.push_sample([label], at), pylsl.local_clock
        ):
            seen.append(one)
    finally:  # whatever ended it, what was shown is kept
        if args.save:
            args.save.write_text(events_table(seen), encoding="utf-8")
    print(*lines(summary(seen)), sep="\n")


if __name__ == "__main__":
    main()
