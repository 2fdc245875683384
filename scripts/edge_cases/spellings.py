"""The same item written twice, labels that a model does not know, and what a fit accounts for."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

from edge_cases.case import case, rt_calibrate
from edge_cases.marked_files import (
    HEARD,
    KIND,
    ONSETS,
    decoded,
    fit,
    fitted,
    refused,
    words_of,
    write_fif,
    write_table,
    write_xdf,
)

# --- the same item twice


@case(KIND, "case and accents of an events table", "4 items, pairs with the same vector")
def case_and_accents(folder: Path) -> str:
    ways = ("Cat", "cat", "\xe9t\xe9", unicodedata.normalize("NFD", "\xe9t\xe9"))
    notes = [(onset, 0.0, ways[k % 4]) for k, onset in enumerate(ONSETS)]
    table = write_table(folder / "events.tsv", notes)
    path = write_xdf(folder, HEARD)
    ran, items = fitted(path, "--events", table)
    assert items == ("Cat", "\xe9t\xe9"), items
    assert "written differently: Cat 6/cat 6" in ran.out, ran.out
    return f"items {', '.join(items)}, said"


@case(KIND, "apostrophes and quotes of markers", "5 items where 2 are right")
def apostrophes(folder: Path) -> str:
    ways = ("don't", "don\u2019t", '"don\'t"', "axe", " axe ")
    notes = [(onset, 0.0, ways[k % 5]) for k, onset in enumerate(ONSETS)]
    _, items = fitted(write_xdf(folder, notes))
    assert items == ("axe", "don't"), items
    return f"items {', '.join(items)}"


@case(KIND, "decode of markers written differently", "24 labels that no item has, unsaid")
def decode_folds(folder: Path) -> str:
    fitted(write_xdf(folder, HEARD))
    loud = [(onset, 0.0, f'"{word.upper()}"') for onset, _, word in HEARD]
    ran, log = decoded(write_xdf(folder, loud), folder / "m.rtd.safetensors")
    labels = [readout["label"] for readout in words_of(log)]
    assert labels == [word for _, _, word in HEARD], labels
    assert "does not know" not in ran.err
    return f"{len(labels)} labels as the model writes them"


@case(KIND, "kept apart on request", "no such option")
def kept_apart(folder: Path) -> str:
    notes = [(onset, 0.0, ("Cat", "cat", "dog")[k % 3]) for k, onset in enumerate(ONSETS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ran, items = fitted(write_xdf(folder, notes), "--fold", "false")
    assert items == ("Cat", "cat", "dog"), items
    assert "Cat = cat" in ran.out  # an uncased language model: in the certificate, too
    return "3 items; said: Cat = cat share a vector"


@case(KIND, "accents that the language model drops", "two items with one vector, unsaid")
def same_vector(folder: Path) -> str:
    notes = [(onset, 0.0, ("\xe9t\xe9", "ete", "dog")[k % 3]) for k, onset in enumerate(ONSETS)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ran, _items = fitted(write_xdf(folder, notes))
    said = " ".join([ran.err, *(str(one.message) for one in told)])
    assert "2 items share a vector" in said, said
    assert "ete = \xe9t\xe9" in said, said
    return "said: " + said[said.index("2 items share") :][:110]


@case(KIND, "glyphs that the language model does not know", "two items with one vector, unsaid")
def unknown_glyphs(folder: Path) -> str:
    notes = [(onset, 0.0, ("\u1200", "\u1201", "dog")[k % 3]) for k, onset in enumerate(ONSETS)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ran, _ = fitted(write_xdf(folder, notes))
    said = " ".join([ran.err, *(str(one.message) for one in told)])
    assert "2 items share a vector" in said, said
    assert "items with the same vector, which tie" in ran.out
    return "said, and in the certificate"


# --- labels that the model does not know


def _two_models(folder: Path, labels: Sequence[str]) -> Path:
    fitted(write_xdf(folder, HEARD))
    notes = [(onset, 0.0, labels[k % len(labels)]) for k, onset in enumerate(ONSETS)]
    return write_xdf(folder, notes)


@case(
    KIND, "evaluate where no label is known", "refused only after all was decoded, no label named"
)
def evaluate_unknown(folder: Path) -> str:
    path = _two_models(folder, ("owl", "bee"))
    ran = rt_calibrate("evaluate", path, "--model", folder / "m.rtd.safetensors")
    return refused(ran, "know: owl 12, bee 12; it knows axe, cat, dog")


@case(KIND, "evaluate where some labels are known", "a count, no label named")
def evaluate_partly(folder: Path) -> str:
    path = _two_models(folder, ("cat", "owl", "Dog"))
    ran = rt_calibrate("evaluate", path, "--model", folder / "m.rtd.safetensors")
    assert ran.code == 0, ran.err
    line = next(line for line in ran.out.splitlines() if "does not know" in line)
    assert line.startswith("8 of 24 events"), line
    return line


@case(KIND, "decode where no label is known", "24 labels that no item has, unsaid")
def decode_unknown(folder: Path) -> str:
    path = _two_models(folder, ("owl", "bee"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ran, log = decoded(path, folder / "m.rtd.safetensors")
    said = " ".join([ran.err, *(str(one.message) for one in told)])
    assert "24 of 24 events with items that the model does not know" in said, said
    assert len(words_of(log)) == 24  # a marker may only say when a word came
    return "said once; 24 readouts at the markers"


# --- channels, and the account


@case(KIND, "channels that a FIF file marks as bad", "Pz in the map and in the average reference")
def bad_channel(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model

    path = write_fif(folder, HEARD, bads=["Pz"])
    ran, model = fit(path)
    assert ran.code == 0, ran.err
    assert "Pz (--bads keep uses them)" in ran.out, ran.out
    assert "Pz" not in load_model(model).info.ch_names
    ran, model = fit(path, "--bads", "keep")
    assert "Pz" in load_model(model).info.ch_names
    assert "marked as bad" not in ran.out
    return "Pz left out, said; kept with --bads keep"


@case(KIND, "a bad channel of the second recording", "Pz in the map")
def bad_channel_of_another(folder: Path) -> str:
    from rt_decoder.files.model_file import load_model

    other = folder / "other"
    other.mkdir()
    first = write_fif(folder, HEARD)
    ran, model = fit(first, write_fif(other, HEARD, bads=["Pz"], seed=4))
    assert ran.code == 0, ran.err
    assert "Pz" not in load_model(model).info.ch_names
    return "Pz left out of both"


@case(KIND, "every event of a fit is accounted for", "25 events, 18 train, 6 locked, 0 dropped")
def account(folder: Path) -> str:
    path = write_fif(folder, [*HEARD, (10.6, 4.0, "BAD_muscle")])
    ran, _ = fitted(path, "--purge", "3")
    assert ran.out.startswith("3 items in 24 events, from its own markers: cat 8"), ran.out
    line = next(line for line in ran.out.splitlines() if line.startswith("split: "))
    total, *parts = [int(word) for word in line.replace(",", " ").split() if word.isdigit()]
    assert total == sum(parts) == 24, line
    return line
