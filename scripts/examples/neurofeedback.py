#!/usr/bin/env python3
"""Feedback at every hop: how probable one item is, smoothed, as a number for a bar and over LSL.

    python scripts/examples/neurofeedback.py me.rtd.safetensors --name MyAmp --item yes

The stream ``Feedback`` carries the number, 0 to 1, ten times a second. An artifact holds the bar.
"""

from __future__ import annotations

import argparse

import rt_decoder
from rt_decoder.sinks.loopback import stay_local
from rt_decoder.sinks.outlets import data_outlet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--name", default="simulated", help="of the stream")
    parser.add_argument("--item", required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    stay_local()  # other machines cannot read what is sent
    info = rt_decoder.SignalInfo(10.0, ("bar",), ("misc",), ("n/a",))
    out = data_outlet("Feedback", info, "bar", "float32")
    with rt_decoder.open_live(
        args.model, args.name, posterior=True, outlet="", force=True, seconds=args.seconds
    ) as live:
        number, bar, sent_at = live.items.index(args.item), 0.0, 0.0
        for readout in live:
            good = readout.posterior and "quality" not in readout.reasons
            now = readout.posterior[number] if good else bar
            bar += 0.05 * (now - bar)  # 20 hops of 10 ms
            if readout.onset - sent_at >= 0.095:  # hops are 10 ms apart
                out.push_sample([bar], readout.time)
                sent_at = readout.onset
                print(f"{bar:5.2f} {'#' * round(40 * bar)}")


if __name__ == "__main__":
    main()
