"""Output folders appear complete or not at all, and nobody's files are lost."""

import contextlib
import json
import os
from pathlib import Path

import pytest

from cfgen import folders
from cfgen.errors import CfgenError
from cfgen.folders import new_folder, write_record
from cfgen.paths import display


def fill(folder: Path, text: str | type[BaseException]) -> None:
    """Write a result; an exception instead of a text is raised halfway."""
    with new_folder(folder, record="manifest.json") as fresh:
        (fresh / "data").mkdir()
        if not isinstance(text, str):
            raise text
        (fresh / "data" / "rows").write_text(text)
        write_record(fresh, "manifest.json", {"made": True})


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


def test_what_appears_meanwhile_is_never_lost(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")

    def disturbed() -> None:
        with new_folder(out, record="manifest.json") as fresh:
            (fresh / "rows").write_text("two")
            write_record(fresh, "manifest.json", {})
            (out / "notes.txt").write_text("mine")

    with pytest.raises(CfgenError, match=r"holds other files: notes\.txt; the new result is in"):
        disturbed()
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "data/rows").read_text() == "one"
    assert (tmp_path / "out-2/rows").read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-2"]


@pytest.mark.parametrize("what", ["file", "folder", "link", "a folder of files"])
def test_what_takes_the_place_meanwhile_is_never_lost(tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    (tmp_path / "away").mkdir()
    (tmp_path / "out-2").mkdir()

    def taken() -> None:
        with new_folder(out, record="manifest.json") as fresh:
            (fresh / "rows").write_text("two")
            write_record(fresh, "manifest.json", {})
            if what == "file":
                out.write_text("mine")
            elif what == "link":
                out.symlink_to(tmp_path / "away")
            else:
                out.mkdir()
                (out / "notes.txt").write_text("mine") if "files" in what else None

    if what == "folder":  # an empty one loses nothing
        taken()
        assert (out / "rows").read_text() == "two"
        return
    with pytest.raises(CfgenError, match="folder-in-use"):
        taken()
    assert (tmp_path / "out-3/rows").read_text() == "two"
    mine = {"file": out, "link": tmp_path / "away", "a folder of files": out / "notes.txt"}[what]
    assert mine.is_dir() if what == "link" else mine.read_text() == "mine"
    assert out.is_symlink() == (what == "link")


@pytest.mark.parametrize("looks", [1, 2])
def test_what_appears_after_the_last_look_is_never_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Into the folder just before it is moved away, and into what was moved away."""
    out = tmp_path / "out"
    fill(out, "one")
    really, seen = folders._in_the_way, []

    def look(folder: Path, record: str) -> str:
        found = really(folder, record)
        seen.append(folder)
        if len(seen) == 1 + looks:  # the first is before the work
            (folder / "data/notes.txt").write_text("mine")
        return found

    monkeypatch.setattr(folders, "_in_the_way", look)
    with pytest.raises(CfgenError, match="folder-in-use") as caught:
        fill(out, "two")
    kept = [path for path in tmp_path.rglob("notes.txt") if path.read_text() == "mine"]
    assert len(kept) == 1
    assert display(kept[0].parents[1]) in str(caught.value) or kept[0].parents[1] == out
    results = {path.read_text() for path in tmp_path.rglob("rows")}
    assert "two" in results
    assert ("one" in results) == (looks == 1)


@pytest.mark.parametrize("name", ["data/rows", "manifest.json"])
def test_what_changed_since_it_was_written_is_never_lost(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    text = (out / name).read_text()
    (out / name).write_text(text.replace("{", '{"note": "mine",', 1) if "{" in text else "mine")
    before = (out / name).read_text()
    with pytest.raises(CfgenError, match=rf"{name} \(changed since it was written\)"):
        fill(out, "two")
    assert (out / name).read_text() == before


def test_links_pipes_and_folders_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/rows").write_text("one")
    makes = {
        "a link to a folder": lambda path: path.symlink_to(tmp_path / "precious"),
        "a link to nowhere": lambda path: path.symlink_to(tmp_path / "nowhere"),
        "a pipe": os.mkfifo,
        "an empty folder": Path.mkdir,
    }
    for number, (what, make) in enumerate(makes.items()):
        out = tmp_path / f"out{number}"
        fill(out, "one")
        make(out / what)
        with pytest.raises(CfgenError, match=f"holds other files: {what}"):
            fill(out, "two")
        assert os.path.lexists(out / what)


def test_a_file_of_ours_that_became_a_link_is_not_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    (out / "data/rows").rename(tmp_path / "rows")
    (out / "data/rows").symlink_to(tmp_path / "rows")
    with pytest.raises(CfgenError, match="holds other files: data/rows"):
        fill(out, "two")
    (out / "manifest.json").rename(tmp_path / "manifest.json")
    os.mkfifo(out / "manifest.json")  # nobody waits for somebody to write into it
    with pytest.raises(CfgenError, match=r"data/rows, manifest\.json"):
        fill(out, "two")


def test_a_record_without_hashes_still_counts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    content = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({"files": content["files"]}))
    fill(out, "two")
    assert (out / "data/rows").read_text() == "two"


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[]",
        "{}",
        '{"files": 3}',
        '{"files": {"x": 1}}',
        '{"files": [], "sha256": 3}',
        "[" * 10**5,
        '{"files": ["../../precious", "/etc/passwd", "manifest.json"]}',
    ],
    ids=range(8),
)
def test_a_record_that_is_none_lists_nothing(tmp_path: Path, record: str) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text(record)
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(CfgenError, match=r"holds other files: .*notes"):
        fill(tmp_path / "out", "x")
    (tmp_path / "out/notes.txt").unlink()
    with contextlib.suppress(CfgenError):
        fill(tmp_path / "out", "x")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_link_leads_to_the_folder_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk/out")
    for text in ("one", "two"):
        fill(tmp_path / "out", text)
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk/out/data/rows").read_text() == text
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CfgenError):
        fill(tmp_path / "loop", "x")


@pytest.mark.parametrize("inside", ["", "data"])
def test_the_folder_that_one_is_in_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    fill(tmp_path / "out", "one")
    monkeypatch.chdir(tmp_path / "out" / inside)
    for named in (Path(), tmp_path / "out", Path("/")):
        with pytest.raises(CfgenError, match="folder that you are in"):
            fill(named if inside == "" or named != Path() else tmp_path / "out", "two")


@pytest.mark.parametrize("name", ["x" * 300, "x\0y"], ids=["long", "nul"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(CfgenError, match="cannot-write"):
        fill(tmp_path / name, "x")
    fill(tmp_path / ("y" * 255), "x")
