#!/usr/bin/env python3
"""Copy words, one after the other: each is repeated until the decoder is sure of it.

    rt-decoder simulate --words 20 --seconds 300 --save person.xdf
    rt-calibrate fit person.xdf --events person.tsv -o person.rtd.safetensors
    rt-decoder simulate --words 20 --seconds 120 --session 2 --hear Cues &
    python scripts/examples/copy_speller.py person.rtd.safetensors --words the,and,that

The marker stream ``Cues`` tells the person which word to think of. The decoder is told only that
something came (`live.ask`), and finds out what.
"""

from __future__ import annotations

import argparse
import time

import rt_decoder
from rt_decoder.sinks.loopback import stay_local
from rt_decoder.sinks.outlets import marker_outlet


def spell(live: rt_decoder.Live, words: list[str], error_rate: float, most: int, name: str) -> dict:
    cues = marker_outlet(name, f"{name}-1")
    cues.wait_for_consumers(10.0)
    evidence = rt_decoder.Evidence(
        live.items, error_rate=error_rate, most=most, correlation=live.correlation
    )
    for word in words:
        while not evidence.is_done:
            cues.push_sample([word])  # the person hears it ...
            readout = live.ask(timeout=5.0)  # ... and the decoder that there was something
            if readout is None:
                raise TimeoutError("need a readout within 5 s of a cue, got none")
            evidence.add(readout)
            live.truth(readout.seq, word)  # for the score; never before the readout
            print("  ", readout.words[0] if readout.words else "-", f"{evidence.best[1]:.2f}")
        decision = evidence.decide(truth=word)
        print(f"{word} -> {decision.item} ({decision.probability:.2f}, {decision.n} cues)")
        time.sleep(0.2)  # feedback
    return evidence.summary()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--name", default="simulated", help="of the stream")
    parser.add_argument("--words", default="the,and,that", help="to copy, with commas between")
    parser.add_argument("--error-rate", type=float, default=0.05)
    parser.add_argument("--most", type=int, default=10, help="cues a word")
    parser.add_argument("--cues", default="Cues", help="name of the marker stream to send")
    args = parser.parse_args()
    stay_local()  # other machines cannot read what is sent
    with rt_decoder.open_live(
        args.model, args.name, continuous=False, posterior=True, outlet="", force=True
    ) as live:
        told = spell(live, args.words.split(","), args.error_rate, args.most, args.cues)
        print({name: value if value is None else round(value, 3) for name, value in told.items()})
        print(live.score["verdict"])


if __name__ == "__main__":
    main()
