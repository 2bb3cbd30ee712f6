"""Hashes of files, remembered for as long as the files stay as they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cfgen.weights.cache import cache_root, is_complete, sha256_of, write_provenance


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has not changed for long, in a world where every file is a large one."""
    monkeypatch.setenv("CFGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cfgen.weights.cache.LARGE", 0)
    file = tmp_path / "file"
    write(file, b"one")
    return file


def write(file: Path, content: bytes, age: float = 1e9) -> None:
    """Write a file anew, under another inode."""
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    os.utime(beside, (age, age))
    beside.rename(file)


def hashed(file: Path) -> tuple[str, int]:
    """The hash, and how often the file was read for it."""
    steps: list[str] = []
    found = sha256_of(file, lambda step, done, total: steps.append(step))
    return found, len(steps)


def test_a_file_is_read_once(file: Path) -> None:
    expected = hashlib.sha256(b"one").hexdigest()
    assert hashed(file) == (expected, 1)
    assert hashed(file) == (expected, 0)
    link = file.with_name("link")
    link.symlink_to(file)
    assert hashed(link) == (expected, 0)


def test_a_file_that_changed_is_read_again(file: Path) -> None:
    hashed(file)
    write(file, b"two")  # as long, and as old
    assert hashed(file) == (hashlib.sha256(b"two").hexdigest(), 1)
    with file.open("r+b") as stream:
        stream.write(b"six")
    assert hashed(file)[0] == hashlib.sha256(b"six").hexdigest()


def test_a_file_that_may_still_change_is_read_again(file: Path) -> None:
    file.write_bytes(b"new")
    assert [hashed(file)[1] for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("note", ["", "null", '{"file": 3}', "[]"])
def test_notes_that_are_damaged_are_of_no_account(file: Path, note: str) -> None:
    hashed(file)
    (kept,) = (cache_root() / "hashes").iterdir()
    kept.write_text(note)
    assert hashed(file) == (hashlib.sha256(b"one").hexdigest(), 1)
    assert hashed(file)[1] == 0


def test_without_a_place_for_notes(file: Path) -> None:
    cache_root().write_text("no folder")
    assert hashed(file)[1] == hashed(file)[1] == 1


def test_a_copy_is_complete_with_all_its_files_unchanged(file: Path) -> None:
    folder = file.parent
    assert not is_complete(folder)
    write_provenance(folder, {"from": "somewhere"})
    assert is_complete(folder)
    write(file, b"two")
    assert not is_complete(folder)
    write(file, b"one")
    assert is_complete(folder)
    file.unlink()
    assert not is_complete(folder)


def test_a_copy_that_notes_no_hashes_is_not_complete(file: Path) -> None:
    (file.parent / "cfgen.json").write_text('{"files": {"file": 3}}')
    assert not is_complete(file.parent)
