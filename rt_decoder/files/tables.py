"""Read tab-separated tables, among them the ``--channels`` table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rt_decoder.channels import TYPE_NAMES, ChannelRow
from rt_decoder.signal import CH_TYPES

__all__ = ["Table", "read_channel_table", "read_tsv"]

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
    """Read a ``--channels`` table.

    The file is tab-separated with a header line. An empty or missing cell keeps what the stream
    declares.

    ===========  ============================================
    column       meaning
    ===========  ============================================
    stream_name  name of the channel in the stream, required
    model_name   name of the channel in the model
    type         one of `CH_TYPES`
    unit         unit of the values
    ===========  ============================================

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
    if "stream_name" not in columns or not set(columns) <= set(_COLUMNS):
        raise ValueError(
            f"{name}: need tab-separated columns among {', '.join(_COLUMNS)} "
            f"(stream_name is required), got {', '.join(columns)}"
        )
    table: dict[str, ChannelRow] = {}
    for number, cells in rows:
        place = f"{name}, line {number}"
        row = dict(zip(columns, cells, strict=False))
        stream_name = row.pop("stream_name", "")
        if len(cells) > len(columns) or not stream_name:
            raise ValueError(f"{place}: need a stream_name and at most {len(columns)} cells")
        if stream_name in table:
            raise ValueError(f"{place}: need each stream_name once, got {stream_name} twice")
        if row.get("type", "") and row["type"].lower() not in TYPE_NAMES:
            raise ValueError(
                f"{place}: need a type among {', '.join(CH_TYPES)}, got {row['type']!r}"
            )
        table[stream_name] = ChannelRow(**row)
    return table
