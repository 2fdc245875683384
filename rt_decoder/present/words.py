"""Read the words to show, from a table or a plain list."""

from __future__ import annotations

from pathlib import Path

from rt_decoder.files.tables import read_tsv

__all__ = ["read_words"]


def read_words(path: str | Path) -> tuple[str, ...]:
    """Read words: the column ``word`` of a table, or a file with a word a line.

    Parameters
    ----------
    path : path-like
        A word that is there again is shown once: repeats are the plan's.

    Returns
    -------
    tuple of str
        In the order of the file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is a table without a column ``word`` or with other separators than tabs, or holds no word.
    """
    path = Path(path)
    table = read_tsv(path)
    if len(table.columns) > 1:
        if "word" not in table.columns:
            raise ValueError(f"{path.name}: need a column word, got {', '.join(table.columns)}")
        column = table.columns.index("word")
        words = [row[column] for _, row in table.rows if len(row) > column]
    elif (mark := next((one for one in ",;" if one in table.columns[0]), "")) and "word" in (
        cell.strip(' "') for cell in table.columns[0].split(mark)
    ):
        raise ValueError(f"{path.name}: need columns separated by tabs, got {table.columns[0]!r}")
    else:
        first = [one for one in table.columns if one != "word"]  # a list may have a header
        words = first + [row[0] for _, row in table.rows]
    found = tuple(dict.fromkeys(word for word in words if word and word != "n/a"))
    if not found:
        raise ValueError(f"{path.name}: need words (a word a line, or a column word), got none")
    return found
