"""Output folders appear complete or not at all, and nobody's files are lost."""

import json
import os
from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.folders import files_in, new_folder


def fill(folder: Path, text: str | type[BaseException]) -> None:
    """Write a result; an exception instead of a text is raised halfway."""
    with new_folder(folder, record="manifest.json") as fresh:
        (fresh / "data").mkdir()
        if not isinstance(text, str):
            raise text
        (fresh / "data" / "rows").write_text(text)
        listed = files_in(fresh, "manifest.json")
        (fresh / "manifest.json").write_text(json.dumps({"files": listed}))


def test_an_earlier_result_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    fill(out, "one")
    fill(out, "two")
    assert (out / "data/rows").read_text() == "two"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_failure_leaves_the_earlier_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    with pytest.raises(KeyboardInterrupt):
        fill(out, KeyboardInterrupt)
    assert (out / "data/rows").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(CfgenError, match="holds other files"):
        fill(tmp_path / "out", "x")
    with pytest.raises(CfgenError, match="is a file"):
        fill(tmp_path / "out" / "thesis.tex", "x")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_a_file_added_to_an_earlier_result_is_never_lost(tmp_path: Path) -> None:
    fill(tmp_path / "out", "one")
    (tmp_path / "out/data/notes.txt").write_text("mine")
    with pytest.raises(CfgenError, match=r"holds other files: data/notes\.txt"):
        fill(tmp_path / "out", "two")
    assert (tmp_path / "out/data/rows").read_text() == "one"


def test_the_folder_has_ordinary_permissions(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        fill(tmp_path / "out", "x")
    finally:
        os.umask(umask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(CfgenError, match="No space left"),
        new_folder(tmp_path / "out", record="manifest.json"),
    ):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
