"""Write what every event and reason means, from `sinks/advice.py`, as a page of the examples.

python scripts/advice_table.py           says whether the page is that of the code
python scripts/advice_table.py --write   writes it
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from rt_decoder.sinks.advice import EVENTS, REASONS, Advice  # noqa: E402

TABLE = REPO / "scripts" / "examples" / "EVENTS.md"
HEAD = """\
# What events and reasons mean

Written by `python scripts/advice_table.py --write` from `rt_decoder/sinks/advice.py`; a test compares them.

**Events** stand in the log, on the terminal and in `live.events`. Without a fix, nothing is wrong.

"""
BETWEEN = """
**Reasons** stand in a readout (`readout.reasons`), in the log and with a cleaned signal: why its quality is
lower, or why it abstained.

"""


def _rows(what: str, told: Mapping[str, Advice]) -> str:
    lines = [f"| {what} | meaning | what to do |", "|---|---|---|"]
    lines += [f"| `{name}` | {one.explanation} | {one.fix} |" for name, one in told.items()]
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the page."""
    return HEAD + _rows("event", EVENTS) + BETWEEN + _rows("reason", REASONS)


def main() -> int:
    """Write the page, or say whether it is stale."""
    if "--write" in sys.argv:
        TABLE.write_text(table(), encoding="utf-8")
    stale = not TABLE.is_file() or TABLE.read_text("utf-8") != table()
    print(f"{TABLE.name} is {'stale: --write' if stale else 'that of the code'}")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
