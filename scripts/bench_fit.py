"""Measure a fit, a section at a time: ``speed`` against its peers, ``memory`` of a long recording.

``speed``: ridge with purged sentences against scikit-learn and himalaya, all layers against one, and
refitted permutations, each in turns with its peer on as many threads. Ratios are of medians.
`bound` is what Gram matrix and eigendecomposition alone would allow.

``memory``: a simulated person's recording is written as FIF and as XDF, then fitted, decoded, cleaned
and evaluated, each in a process of its own under a limit of memory (as ``ulimit -v``). Goals: each
ends under the limit, and at ``--same-minutes`` the model fitted on blocks is that of the recording
read whole, to the bit. Exit code 1 if one is missed; with ``--json`` the last line is one JSON object.

    scripts/bench_fit.py speed [--runs 5 --threads 1] [--json]
    scripts/bench_fit.py memory [--minutes 120 --channels 306 --sfreq 1000 --limit-gib 8] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys

from fitting import memory, speed

SECTIONS = {"speed": speed, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    for section in SECTIONS.values():
        section.add_options(parser)
    args = parser.parse_args()
    found = {name: SECTIONS[name].measure(args) for name in args.sections or SECTIONS}
    missed = [
        f"{name}: {goal}" for name, one in found.items() for goal, met in one["goals"].items()
        if not met
    ]  # fmt: skip
    for goal in missed:
        print(f"missed: {goal}", file=sys.stderr)
    if args.json:
        print(json.dumps(found))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
