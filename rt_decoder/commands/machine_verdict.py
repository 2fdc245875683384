"""What a computer's measurements say: problems, each with its fix; lines; a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from rt_decoder.counted import counted

__all__ = ["found_problems", "picture", "verdict_lines"]

_WAKE_MS = 2.0  # by which a wake may be late, p99
_HELD = 3.0  # times as late here as in a process of its own: something holds the interpreter
_STOLEN = 0.01  # share of the time
_CLOCK_US = 0.5
_DISK_MS = 200.0  # a log is synced once a second
_MARKERS_MS = 100.0
_MADE = 0.98  # share of the readouts that were due
_TITLES = {
    "wake": "wake after 1 ms of sleep, late by",
    "wake_here": "the same in this process",
    "disk": "64 KiB to the disk",
    "loopback": "stamp to arrival (LSL)",
    "markers": "marker's stamp to arrival",
    "end_to_end": "newest sample to scores",
}


def found_problems(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is wrong, what breaks the budget first.

    Parameters
    ----------
    told : mapping
        As `certify.certify` measures it.

    Returns
    -------
    list of dict
        ``name``, ``what``, ``fix``, and ``breaks``: whether it breaks the budget by itself.
    """
    rows = [*_of_session(told), *_of_machine(told)]
    found = [
        {"name": name, "what": what, "fix": fix, "breaks": breaks}
        for name, is_so, breaks, what, fix in rows
        if is_so
    ]
    return sorted(found, key=lambda one: not one["breaks"])


def _of_session(told: Mapping[str, Any]) -> list[tuple[str, bool, bool, str, str]]:
    parts, stages, hop = told["parts"], told["stages_us"], told["hop_ms"]
    total = 1e-3 * sum(row["p50"] or 0.0 for row in stages.values())
    scan = 1e-3 * sum(
        (stages.get(name) or {}).get("p50") or 0.0 for name in ("vocabulary", "readout")
    )
    end, budget = parts["end_to_end"]["p99"], told["budget_ms"]
    most = int(told["n_items"] * max(0.0, hop / 2 - (total - scan)) / scan) if scan else 0
    markers = (parts.get("markers") or {}).get("p50")
    late = math.inf if end is None else end
    return [
        ("budget", late > budget, True,
         f"1 % of readouts come {late:.1f} ms after their newest sample, the budget is {budget:g}",
         "put right what is named below; a longer budget: [readout] budget_ms"),
        ("readouts", told["made"] < _MADE * told["asked"], True,
         f"made {told['made']} of {counted(told['asked'], 'readout')}", "put right what is named below"),
        ("vocabulary", scan > hop / 2, total > hop,
         f"the scan of {counted(told['n_items'], 'word')} takes {scan:.2f} ms of each hop of {hop:g} ms",
         f"decode among fewer words (about {most} here), or at events alone"),
        ("stages", total - scan > hop / 2, total > hop,
         f"the other stages take {total - scan:.2f} ms of each hop of {hop:g} ms",
         "leave out stages or channels, lower the rate, or take longer hops ([stream] hop_ms)"),
        ("markers", markers is not None and markers > _MARKERS_MS, False,
         f"markers come {markers or 0.0:.0f} ms after their stamps: so late are readouts, too",
         "send each marker at its event (synchronous, no batching), from this network"),
        ("no_markers", "markers" in parts and markers is None, False,
         "no marker came while it was measured", "send some while certify runs"),
    ]  # fmt: skip


def _of_machine(told: Mapping[str, Any]) -> list[tuple[str, bool, bool, str, str]]:
    parts, machine = told["parts"], told["machine"]
    load, clock = machine["processors"], machine["clock"]
    wake, here, disk = (parts[name]["p99"] for name in ("wake", "wake_here", "disk"))
    free = load["n"] - (load["others"] or 0.0)
    return [
        ("busy", free < min(1.5, load["n"] - 0.25), False,
         f"other programs keep {load['others'] or 0.0:.1f} of {counted(load['n'], 'processor')} busy",
         "end them, or give this one processors of its own"),
        ("scheduler", wake > _WAKE_MS, False,
         f"1 % of wakes are late by {wake:.1f} ms or more in a process of its own",
         "end other programs; switch off power saving (governor performance)"),
        ("interpreter", here > _WAKE_MS and here > _HELD * wake, False,
         f"wakes are late by {here:.1f} ms in this process, {wake:.1f} in another: a thread holds the "
         "interpreter", "let sessions run in a process of their own (open_live does)"),
        ("stolen", (load["stolen"] or 0.0) > _STOLEN, False,
         f"this virtual machine did not get {100 * (load['stolen'] or 0.0):.1f} % of its time",
         "use a machine of your own, or one with processors set apart"),
        ("blas", machine["blas_threads"] > 1, False,
         f"matrix products have {machine['blas_threads']} threads, which take turns with the decoder's",
         "set OMP_NUM_THREADS=1, OPENBLAS_NUM_THREADS=1 and MKL_NUM_THREADS=1"),
        ("clock", clock["read_us"] > _CLOCK_US, False,
         f"reading the clock ({clock['source'] or 'of the system'}) takes {clock['read_us']:.2f} us",
         "choose the processor's own: clocksource=tsc"),
        ("disk", disk > _DISK_MS, False,
         f"1 % of 64 KiB take {disk:.0f} ms or more to the disk: log and record drop lines",
         "write them to another disk (--folder tries it)"),
    ]  # fmt: skip


def verdict_lines(told: Mapping[str, Any]) -> list[str]:
    """Return the measurements and the verdict as text."""
    lines = [f"{'ms':<36}{'p50':>9}{'p95':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"]
    for name, row in told["parts"].items():
        cells = (row.get(q) for q in ("p50", "p95", "p99", "p99.9", "max"))
        lines.append(f"{_TITLES[name]:<36}" + "".join(f"{_cell(one):>9}" for one in cells))
    for name, row in told["stages_us"].items():
        cells = (None if row.get(q) is None else 1e-3 * row[q] for q in ("p50", "p95", "p99"))
        lines.append(
            f"  {name:<34}" + "".join(f"{_cell(one):>9}" for one in cells)
            + f"{'':>9}{_cell(None if row['max'] is None else 1e-3 * row['max']):>9}"
        )  # fmt: skip
    machine, load = told["machine"], told["machine"]["processors"]
    known = load["others"] is not None
    others = f"{load['others']:.1f} busy with others" if known else "load unknown"
    stolen = f", {100 * load['stolen']:.1f} % stolen" if known else ""
    n_threads = machine["blas_threads"]
    threads = counted(n_threads, "thread") if n_threads else "an unknown number of threads"
    lines += [
        f"memory {machine['memory_gb_s']:.1f} GB/s; {counted(load['n'], 'processor')}, {others}{stolen}; clock "
        f"{machine['clock']['source'] or 'unknown'}, {machine['clock']['read_us']:.2f} us; matrix "
        f"products have {threads}",
        f"budget {told['budget_ms']:g} ms, hop {told['hop_ms']:g} ms; memory and network alone take "
        f"{told['limit_ms']:.2f} ms; {told['made']} of {counted(told['asked'], 'readout')} made",
    ]
    for one in told["problems"]:
        lines.append(f"{'PROBLEM' if one['breaks'] else 'note'}: {one['what']}; {one['fix']}")
    keeps = "keeps" if told["keeps"] else "does NOT keep"
    lines.append(
        f"this computer {keeps} the budget for {counted(told['n_channels'], 'channel')} at {told['sfreq']:g} Hz "
        f"and {counted(told['n_items'], 'word')}"
    )
    return lines


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def picture(told: Mapping[str, Any]) -> str:
    """Draw the measurements as SVG: a row a part, p50 to maximum on a log axis, budget and limit."""
    stages = {
        name: {q: None if value is None else 1e-3 * value for q, value in row.items()}
        for name, row in told["stages_us"].items()
    }
    rows = [(_TITLES[name], row) for name, row in told["parts"].items()] + [*stages.items()]
    low, high, left, width, step = 1e-3, 1e3, 250, 560, 22

    def x(ms: float) -> float:
        share = math.log(min(max(ms, low), high) / low) / math.log(high / low)
        return left + width * share

    height = 60 + step * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height + 30}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(verdict_lines(told)[-1])}</text>',
    ]
    for power in range(-3, 4):
        at = x(10.0**power)
        out.append(f'<path d="M{at:.1f} 35V{height}" stroke="#ddd"/>')
        out.append(
            f'<text x="{at:.1f}" y="{height + 16}" text-anchor="middle">{10.0**power:g} ms</text>'
        )
    for name, ms, colour in (
        ("budget", told["budget_ms"], "#c00"),
        ("limit", told["limit_ms"], "#080"),
    ):
        out.append(f'<path d="M{x(ms):.1f} 30V{height}" stroke="{colour}" stroke-dasharray="4"/>')
        out.append(f'<text x="{x(ms) + 3:.1f}" y="40" fill="{colour}">{name}</text>')
    for k, (name, row) in enumerate(rows):
        y = 58 + step * k
        out.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        if row.get("p50") is None:
            continue
        p50, p99, most = (x(row[q]) for q in ("p50", "p99", "max"))
        out.append(f'<path d="M{p50:.1f} {y}H{most:.1f}" stroke="#69c" stroke-width="2"/>')
        out.append(f'<path d="M{p50:.1f} {y}H{p99:.1f}" stroke="#369" stroke-width="8"/>')
        out.append(f'<circle cx="{p50:.1f}" cy="{y}" r="5" fill="#036"/>')
    return "\n".join([*out, "</svg>"]) + "\n"
