"""Files that take the place of others."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rt_decoder.files.atomic import replacing, write_whole


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    out.chmod(0o666)
    write_whole(out, b"new")
    assert out.read_text() == "new"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    replace = replacing(out)
    path = replace.__enter__()
    path.write_text("half")
    replace.__exit__(KeyboardInterrupt())
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_every_part_of_a_split_file_is_moved(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.fif") as path:
        path.write_text("first")
        path.with_name("a-1.fif").write_text("second")
    assert (tmp_path / "a.fif").read_text() == "first"
    assert (tmp_path / "a-1.fif").read_text() == "second"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"need a folder none for a\.txt"):
        write_whole(tmp_path / "none" / "a.txt", b"")
