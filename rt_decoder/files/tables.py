"""Read tab-separated tables, among them the ``--channels`` table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rt_decoder.channels import TYPE_NAMES, ChannelRow, Declared, types_by_name, types_sentence
from rt_decoder.signal import CH_TYPES

__all__ = ["Table", "read_channel_table", "read_tsv", "say_types"]

_COLUMNS = ("stream_name", "model_name", "type", "unit")


class Table(NamedTuple):
    """Cells of a table, without the spaces around them."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]  # number of the line in the file, cells


def read_tsv(path: str | Path) -> Table:
    """Read a tab-separated file with a header line; empty lines are left out.

    Parameters
    ----------
    path : path
        The file, in UTF-8.

    Returns
    -------
    Table

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it is no text in UTF-8.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name}: need a text file in UTF-8") from None
    cells = [[cell.strip() for cell in line.split("\t")] for line in lines]
    rows = [(k, row) for k, row in enumerate(cells[1:], 2) if any(row)]
    return Table(cells[0], rows)


def read_channel_table(path: str | Path | None) -> dict[str, ChannelRow]:
    """Read a ``--channels`` table, in our columns or in those of BIDS.

    The file is tab-separated with a header line. An empty or missing cell keeps what the stream
    declares, as does ``n/a`` in a BIDS table.

    ===========  ======  ====================================================================
    column       BIDS    meaning
    ===========  ======  ====================================================================
    stream_name  name    name of the channel in the stream, required
    model_name           name of the channel in the model
    type         type    one of `CH_TYPES`; types that only BIDS knows count as misc
    unit         units   unit of the values; in BIDS of those in the file, before MNE converts
                         them to SI
    -            status  "bad" leaves the channel out
    ===========  ======  ====================================================================

    Parameters
    ----------
    path : path or None
        With None the table is empty.

    Returns
    -------
    dict of str to ChannelRow
        One row for each channel, by its name in the stream.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If the header or a row is wrong.
    """
    if path is None:
        return {}
    name = Path(path).name
    columns, rows = read_tsv(path)
    columns = [column.lower().replace(" ", "_") for column in columns]
    is_bids = "name" in columns and "stream_name" not in columns
    if not is_bids and not ("stream_name" in columns and set(columns) <= set(_COLUMNS)):
        raise ValueError(
            f"{name}: need tab-separated columns among {', '.join(_COLUMNS)} (stream_name is "
            f"required), or those of BIDS (name, type, units, status), got {', '.join(columns)}"
        )
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise ValueError(f"{name}: need each column once, got {', '.join(twice)} twice")
    key = "name" if is_bids else "stream_name"
    table: dict[str, ChannelRow] = {}
    for number, cells in rows:
        place = f"{name}, line {number}"
        row = dict(zip(columns, cells, strict=False))
        stream_name = row.pop(key, "")
        if len(cells) > len(columns) or not stream_name:
            raise ValueError(f"{place}: need a {key} and at most {len(columns)} cells")
        if stream_name in table:
            raise ValueError(f"{place}: need each {key} once, got {stream_name} twice")
        table[stream_name] = _bids_row(row) if is_bids else _own_row(row, place)
    return table


def say_types(
    name: str, declared: Sequence[Declared], stream_type: str, table: Mapping[str, ChannelRow]
) -> None:
    """Warn (RuntimeWarning) which channels get a type from their names alone.

    Parameters
    ----------
    name : str
        Of the file.
    declared : sequence of Declared
        Its channels.
    stream_type : str
        The stream's content type, "" if it has none.
    table : mapping of str to ChannelRow
        What the user sets.
    """
    if told := types_sentence(types_by_name(declared, stream_type, table)):
        warnings.warn(f"{name}: {told}", RuntimeWarning, stacklevel=4)


def _own_row(row: dict[str, str], place: str) -> ChannelRow:
    if row.get("type", "") and row["type"].lower() not in TYPE_NAMES:
        raise ValueError(f"{place}: need a type among {', '.join(CH_TYPES)}, got {row['type']!r}")
    return ChannelRow(row.get("model_name", ""), row.get("type", ""), row.get("unit", ""))


def _bids_row(row: dict[str, str]) -> ChannelRow:
    """Take what we know of a BIDS row; ``n/a`` says nothing."""
    told = {column: "" if cell.lower() == "n/a" else cell for column, cell in row.items()}
    ch_type, unit = told.get("type", ""), told.get("units", "")
    if ch_type and ch_type.lower() not in (*TYPE_NAMES, "meg"):
        ch_type = "misc"
    return ChannelRow(
        "", ch_type, unit, is_bad=told.get("status", "").lower() == "bad", is_bids=True
    )
