"""What the model is made of: channels, recordings, versions, dates, items with counts."""

from __future__ import annotations

from calibration.report.page import Fold, Note, Part, Section, Table, Text
from calibration.report.shown import Shown
from rt_decoder.counted import counted
from rt_decoder.files.model_file import model_hash
from rt_decoder.recipe import Target

__all__ = ["section"]

_KINDS = {
    "eeg": "EEG",
    "mag": "magnetometers",
    "grad": "gradiometers",
    "seeg": "sEEG",
    "ecog": "ECoG",
}
_MOST = 30  # items that are listed openly


def section(shown: Shown) -> Section:
    """List what was fitted, from what, when, and by which packages."""
    model, certificate = shown.model, shown.certificate
    info, names = model.info, model.info.ch_names[: model.n_picks]
    rows = [("model (hash)", model_hash(model)[:12])]
    rows += [(key, str(certificate[key])) for key in ("subject", "session") if certificate.get(key)]
    if shown.minutes:
        told = ", ".join(f"{minutes:.1f}" for minutes in shown.minutes)
        one = "recording" if len(shown.minutes) == 1 else "recordings"
        rows.append((one, f"{told} min"))
    if certificate.get("fitted"):
        rows.append(("model fitted", certificate["fitted"]))
    if shown.written:
        rows.append(("report written", shown.written))
    kinds = {kind: info.ch_types[: model.n_picks].count(kind) for kind in info.ch_types}
    told = ", ".join(f"{n} {_KINDS.get(kind, kind)}" for kind, n in kinds.items() if n)
    if model.has_map:
        rows.append(("items' vectors", _vectors(model.recipe.target)))
    rows += [
        ("channels", told),
        ("references", ", ".join(model.references) or "none"),
        ("rate", f"{info.sfreq:g} Hz, hops of {1e3 * model.n_hop / info.sfreq:.4g} ms"),
        ("versions", ", ".join(f"{name} {one}" for name, one in model.versions.items()) or "n/a"),
    ]
    if hashes := certificate.get("data_hash"):
        rows.append(("data (SHA-256)", ", ".join(one[:12] for one in hashes)))
    parts: list[Part] = [
        Table((), rows, 2),
        Fold("Names of all channels", [Text(", ".join(names))]),
    ]
    return Section("What it was made of", [*parts, *_items(shown)])


def _vectors(target: Target) -> str:
    """Say where the vectors of the items come from."""
    if target.vectors:
        return f"the file {target.vectors}"
    layer = "last layer" if target.layer == -1 else f"layer {target.layer}"
    return f"{target.embedding}, {layer}"


def _items(shown: Shown) -> list[Part]:
    model = shown.model
    if not model.has_map:
        return []
    if not shown.counts:
        said = counted(len(model.items), "item")
        said += "; a model file does not keep how often each came in training"
        scored = (
            f'; "All {shown.noun}s" counts the events that were scored'
            if shown.detail.get("words")
            else ""
        )
        return [Note(f"{said}{scored}.")]
    known = [(item, shown.counts.get(item, 0)) for item in model.items]
    known.sort(key=lambda one: -one[1])
    came = [one for one in known if one[1]]
    outside = sum(n for item, n in shown.counts.items() if item not in set(model.items))
    said = f"{counted(len(model.items), 'item')} in the vocabulary, of which {len(came)} came "
    said += f"{counted(sum(n for _, n in came), 'time')} in all"
    said += f"; {counted(outside, 'event')} had another label." if outside else "."
    listed = ", ".join(f"{item} ({n})" for item, n in came[:_MOST])
    parts: list[Part] = [Text(said), Text(f"Items with their counts: {listed}")]
    if len(came) > _MOST:
        others = ", ".join(f"{item} ({n})" for item, n in came[_MOST:])
        parts.append(Fold(counted(len(came) - _MOST, "more item"), [Text(others)]))
    return parts
