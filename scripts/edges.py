#!/usr/bin/env python3
"""Build every situation at the edges, and compare what the programs do with known truth.

A case is a file, a stream, a clock, a marker or an output that is not what it says. Each fails if
the answer is wrong, if something is decoded, dropped or destroyed without a word, or if the reason
given is another one. `before` tells what an earlier version did, `after` what was seen now.

    python scripts/edges.py [--json] [--only outputs,clocks] [--list]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))


def main() -> None:
    from rt_decoder.sinks.loopback import configure_loopback

    configure_loopback()  # before liblsl is loaded
    from edge_cases.case import KINDS, cases

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, joined by commas")
    parser.add_argument("--list", action="store_true", help="name the cases, and run none")
    args = parser.parse_args()
    kinds = args.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"need kinds among {', '.join(KINDS)}, got {', '.join(sorted(unknown))}")
    chosen = [case for case in cases() if case.kind in kinds]
    if args.list:
        print("\n".join(f"{case.kind:<10} {case.name}" for case in chosen))
        return
    rows = [row for case in chosen if (row := show(case.tried()))]
    failed = sum(not row["pass"] for row in rows)
    print(f"{failed} of {len(rows)} cases failed")
    if args.json:
        print(json.dumps({"cases": rows, "failed": failed}, ensure_ascii=False, allow_nan=False))
    sys.exit(1 if failed else 0)


def show(row: dict[str, Any]) -> dict[str, Any]:
    """Print one case, and give it back."""
    mark = "" if row["pass"] else "  FAILED"
    print(f"{row['kind']:<10} {row['name']}: {row['after']}{mark}", flush=True)
    return row


if __name__ == "__main__":
    main()
