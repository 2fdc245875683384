"""Show what the network predicts of the brain: as text, and as one HTML file."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from calibration.encode import P_SHOWN
from calibration.report.limits import limit_lines
from rt_decoder.files.atomic import write_whole
from rt_decoder.sinks.text import plain

__all__ = ["encoding_lines", "write_encoding"]

_MOST = 40  # channels whose names fit beside an image
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto}img{max-width:100%}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_MEANING = (
    "r: correlation of predicted and measured samples of held-out events. p: share of permutations "
    "whose largest r over all channels and times, averaged over penalties, is as high (outlined: at most "
    ".05); the brain is moved against the words in "
    "units as long as both remember, and every map is refitted. The interval is a bootstrap over "
    "these units, the maps as they are. Share beyond nuisance: R squared of network and nuisance, a "
    "penalty each, less that of nuisance alone. Times are those of the live stages, which lag the brain."
)


def encoding_lines(facts: dict[str, Any]) -> list[str]:
    """Format the findings as a short table.

    Parameters
    ----------
    facts : dict
        As from `calibration.encode.encoding_facts`.

    Returns
    -------
    list of str
    """
    best, split, n_channels = facts["best"], facts["split"], len(facts["ch_names"])
    n_above = facts["n_channels_above_chance"]
    unit = facts["null_unit"]
    moved = "single events" if unit == 1 else f"units of {unit} events or more"
    lines = [
        f"encoding: {split['n_events']} events of {split['n_items']} items, {split['n_folds']} folds, "
        f"purged {split['purge_s']:.3g} s; from {facts.get('network', 'the network')}",
        f"  largest r   {best['r']:.3f} ({best['low']:.3f} to {best['high']:.3f}), p {best['p']:.3g}: "
        f"{best['channel']} at {best['time']:.3f} s",
        f"  chance      {np.mean(facts['null']):.3f} beside {np.max(facts['tested']):.3f}, largest r "
        f"averaged over penalties, in {len(facts['null'])} permutations of "
        f"{moved}; smallest p {facts['p_smallest']:.2g}",
        f"  channels    {n_above} of {n_channels} above chance at some time (p <= {P_SHOWN:g})",
    ]
    share = facts["unique"]
    if share is None:
        return [*lines, "  beyond nuisance: unknown, no nuisance varies"]
    total = share["total"]
    return [
        *lines,
        f"  share       {total['mean']:.4f} ({total['low']:.4f} to {total['high']:.4f}), "
        f"p {total['p']:.3g}: R squared beyond nuisance, mean over channels and times; largest "
        f"{np.max(share['unique']):.3f}, p {np.min(share['p']):.3g}",
        f"  nuisance    {np.mean(share['alone']):.4f} alone ({', '.join(share['nuisance'])})",
    ]


def write_encoding(path: Path, facts: dict[str, Any], *, overwrite: bool = False) -> None:
    """Write the findings as one HTML file, whole or not at all.

    Parameters
    ----------
    path : path
    facts : dict
        As from `calibration.encode.encoding_facts`.
    overwrite : bool
        Whether a file of this name may be replaced.
    """
    lines = [*encoding_lines(facts), *limit_lines(facts)]
    rows = "".join(f"<li>{escape(plain(line.strip()))}</li>" for line in lines)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Encoding</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style>'
        f"<body><h1>What the network predicts of the brain</h1><ul>{rows}</ul>"
        f'<figure><img alt="Held-out correlation" src="data:image/png;base64,{_drawn(facts)}">'
        f"<figcaption>{_MEANING}</figcaption></figure></body></html>\n"
    )
    write_whole(path, page.encode(), overwrite)


def _drawn(facts: dict[str, Any]) -> str:
    """Images of r and of the share, channels by times, as base64 PNG."""
    from matplotlib.figure import Figure

    panels = [("held-out r", facts["r"])]
    if facts["unique"] is not None:
        panels.append(("R squared beyond nuisance", facts["unique"]["unique"]))
    names, times = facts["ch_names"], np.array(facts["times"])
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.01
    figure = Figure(
        figsize=(5.5 * len(panels), min(9.0, 2.2 + 0.16 * len(names))), layout="constrained"
    )
    for axes, (title, table) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        limit = max(float(np.abs(table).max()), 1e-6)
        image = axes.imshow(
            table, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="none",
            extent=(times[0] - half, times[-1] + half, len(names) - 0.5, -0.5),
        )  # fmt: skip
        figure.colorbar(image, ax=axes, label=title)
        step = -(-len(names) // _MOST)
        axes.set_yticks(range(0, len(names), step), names[::step], fontsize=7)
        axes.set_xlabel("s after the onset")
        axes.axvline(0, color="k", lw=0.5)
    shown = np.array(facts["p"]) <= P_SHOWN
    if min(shown.shape) > 1 and shown.any() and not shown.all():
        grid = np.arange(len(names))
        figure.axes[0].contour(times, grid, shown, levels=[0.5], colors="k", linewidths=0.8)
    kept = io.BytesIO()
    figure.savefig(kept, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(kept.getvalue()).decode()
