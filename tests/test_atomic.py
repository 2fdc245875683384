"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rt_decoder.files.atomic import replacing, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    out.chmod(0o666)
    write_whole(out, b"new", overwrite=True)
    assert out.read_text() == "new"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert names(tmp_path) == ["a.txt"]


def test_a_file_that_nobody_gave_up_stays_and_the_new_one_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "a.rtd.safetensors"
    for number in range(3):
        if number:
            with pytest.raises(FileExistsError, match=rf"kept as a-00{number + 1}\.rtd\.safet"):
                write_whole(out, str(number).encode())
        else:
            write_whole(out, b"0")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.rtd.safetensors": "0",
        "a-002.rtd.safetensors": "1",
        "a-003.rtd.safetensors": "2",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_link_of_that_name_is_not_followed(tmp_path: Path, overwrite, is_there) -> None:
    out, target = tmp_path / "a.txt", tmp_path / "precious.txt"
    if is_there:
        target.write_text("precious")
    out.symlink_to(target)
    if overwrite:
        write_whole(out, b"new", overwrite=True)
        assert not out.is_symlink()
    else:
        with pytest.raises(FileExistsError, match=r"a-002\.txt"):
            write_whole(out, b"new")
        assert out.is_symlink()
    assert target.exists() == is_there
    assert not is_there or target.read_text() == "precious"


PLANTED = {
    "link": lambda path, victim: path.symlink_to(victim),
    "hard link": lambda path, victim: path.hardlink_to(victim),
    "open file": lambda path, victim: (path.write_text("planted"), path.chmod(0o666)),
    "folder": lambda path, victim: path.mkdir(),
}


@pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX")
@pytest.mark.parametrize("what", PLANTED)
def test_what_was_planted_at_the_temporary_name_is_refused(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another program guessed the name, nothing is written through it, and no mode is kept."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    victim, out = tmp_path / "victim", tmp_path / "here" / "a.txt"
    victim.write_text("precious")
    enter = replacing.__enter__

    def planted(self: replacing) -> Path:
        path = enter(self)
        if path.parent.parent == out.parent:
            PLANTED[what](path, victim)
        return path

    monkeypatch.setattr(replacing, "__enter__", planted)
    with pytest.raises(OSError, match=r"cannot write a\.txt in .*here: .*kept as .*elsewhere"):
        write_whole(out, b"new")
    assert victim.read_text() == "precious"
    assert names(out.parent) == []
    kept = tmp_path / "elsewhere" / "a.txt"
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == ("new", 0o600)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    replace = replacing(out, overwrite=True)
    path = replace.__enter__()
    path.write_text("half")
    replace.__exit__(KeyboardInterrupt, KeyboardInterrupt())
    assert out.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_every_part_of_a_split_file_is_moved(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.fif") as path:
        path.write_text("first")
        path.with_name("a-1.fif").write_text("second")
    assert (tmp_path / "a.fif").read_text() == "first"
    assert (tmp_path / "a-1.fif").read_text() == "second"


def test_a_part_of_another_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a-1.fif").write_text("another's")
    replace = replacing(tmp_path / "a.fif")
    path = replace.__enter__()
    path.write_text("first")
    path.with_name("a-1.fif").write_text("second")
    with pytest.raises(FileExistsError, match=r"a-1\.fif"):
        replace.__exit__(None)
    assert (tmp_path / "a-1.fif").read_text() == "another's"
    assert {path.read_text() for path in tmp_path.iterdir()} == {"another's", "first", "second"}


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_a_full_disk_is_named_and_what_was_computed_is_kept(tmp_path: Path, monkeypatch) -> None:
    """The system refuses in one folder only, as a full disk does."""
    for name in ("full", "free"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "free")
    (tmp_path / "free" / "a.txt").write_text("yesterday's")
    sync = os.fsync

    def fsync(handle: int) -> None:
        if "/full/" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"write a\.txt in .*full: No space .*kept as .*a-002\.txt"):
        write_whole(tmp_path / "full" / "a.txt", b"new")
    assert names(tmp_path / "full") == []
    assert (tmp_path / "free" / "a-002.txt").read_text() == "new"


def test_a_folder_that_has_gone_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"need a folder none for a\.txt.*kept as .*a\.txt"):
        write_whole(tmp_path / "none" / "a.txt", b"computed")
    assert (tmp_path / "a.txt").read_bytes() == b"computed"
