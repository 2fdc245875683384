#!/usr/bin/env python3
"""Show words with PsychoPy, mark each flip, and show what the decoder says. Runs without PsychoPy, too.

    python scripts/examples/psychopy_words.py me.rtd.safetensors --name MyAmp --words yes,no

The marker stream ``Stimuli`` holds the words as text. It is stamped with the flip, by the LSL clock,
and read by the session itself, which runs in a process of its own: drawing delays nothing there.
Markers name the words, so that `live.score` says whether answers are above chance.
"""

from __future__ import annotations

import argparse
import itertools
import time

import pylsl

import rt_decoder
from rt_decoder.sinks.loopback import stay_local
from rt_decoder.sinks.outlets import marker_outlet


class Stub:
    """Stands in for a window of PsychoPy where there is none: it flips at 60 Hz."""

    def text(self, text: str) -> None:
        print(text)

    def flip(self) -> float:
        time.sleep(1 / 60)
        return pylsl.local_clock()


class Window(Stub):
    def __init__(self, visual) -> None:
        self._window = visual.Window(fullscr=False)
        self._shown = visual.TextStim(self._window)

    def text(self, text: str) -> None:
        self._shown.text = text
        self._shown.draw()

    def flip(self) -> float:
        self._window.flip()
        return pylsl.local_clock()


def window() -> Stub:
    try:
        from psychopy import visual
    except ImportError:
        return Stub()
    return Window(visual)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--name", default="simulated", help="of the stream")
    parser.add_argument("--words", required=True, help="with commas between")
    parser.add_argument("--n", type=int, default=20, help="words to show")
    args = parser.parse_args()
    stay_local()  # other machines cannot read what is sent
    stimuli = marker_outlet("Stimuli", "psychopy-words")
    shown = window()
    with rt_decoder.open_live(
        args.model, args.name, markers="Stimuli", outlet="", force=True
    ) as live:
        live.restrict(args.words.split(","))
        for word in itertools.islice(itertools.cycle(args.words.split(",")), args.n):
            shown.text(word)
            stimuli.push_sample([word], shown.flip())
            readout = live.next(timeout=5.0)
            if readout is not None:
                shown.text("-" if readout.abstained else readout.words[0])
                shown.flip()
        print(live.score.get("verdict"), live.state, live.stop()["latency_ms"])


if __name__ == "__main__":
    main()
