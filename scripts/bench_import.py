"""Time importing the package and printing its help, beside importing numpy and numba.

python scripts/bench_import.py [--json]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from time import perf_counter

CASES = {
    "import numpy, numba": ["-c", "import numpy, numba"],
    "import rt_decoder": ["-c", "import rt_decoder"],
    "rt-decoder --help": ["-m", "rt_decoder", "--help"],
}
HEAVY = ("torch", "transformers", "sklearn", "mne", "scipy.signal")


def seconds(arguments: list[str]) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def main() -> None:
    # in turn, so that slow moments of the machine affect all cases alike; the first round warms up
    rounds = [{name: seconds(arguments) for name, arguments in CASES.items()} for _ in range(6)][1:]
    medians = {name: statistics.median(r[name] for r in rounds) for name in CASES}
    base = medians["import numpy, numba"]
    for name, value in medians.items():
        print(f"{name:<22}{1e3 * value:7.0f} ms   {value / base:.2f}x")
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, rt_decoder; print(*sys.modules)"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    heavy = [name for name in HEAVY if name in loaded]
    print(f"heavy modules loaded by import rt_decoder: {', '.join(heavy) or 'none'}")
    if "--json" in sys.argv:
        print(json.dumps({"median_s": medians, "heavy": heavy}))


if __name__ == "__main__":
    main()
