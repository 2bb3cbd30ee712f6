"""Output folders and files appear complete or not at all, and nothing that exists is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.folders import (
    find_result,
    is_leftover,
    new_folder,
    remove_leftovers,
    write_file,
    write_record,
)

RECORD = "manifest.json"
ASKED = {"seed": 0, "n": 3}


def fill(folder: Path, text: str | type[BaseException], asked: object = None) -> None:
    """Write a result; an exception instead of a text is raised halfway."""
    with new_folder(folder) as fresh:
        (fresh / "data").mkdir()
        if not isinstance(text, str):
            raise text
        (fresh / "data" / "rows").write_text(text)
        write_record(fresh, RECORD, {"asked": asked or ASKED})


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_result_appears_and_is_found_again(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert find_result(out, RECORD, ASKED) is None
    fill(out, "one")
    assert tree(tmp_path) == ["deep/out/data/rows", "deep/out/manifest.json"]
    found = find_result(out, RECORD, ASKED)
    assert found is not None
    assert found["files"] == ["data/rows", RECORD]
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", "one")


def test_another_result_is_never_written_over_and_what_differs_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    with pytest.raises(CfgenError, match="it holds another result") as raised:
        find_result(out, RECORD, {"seed": 1, "n": 3, "design": "x"})
    shown = str(raised.value)
    assert "seed: 0 there, 1 asked now" in shown
    assert 'design: null there, "x" asked now' in shown
    assert "3 there" not in shown
    with pytest.raises(CfgenError, match="folder-in-use"):
        fill(out, "two")
    assert (out / "data/rows").read_text() == "one"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda out: (out / "data/rows").write_text("x"), "data/rows was changed"),
        (lambda out: (out / "data/rows").unlink(), "data/rows is missing"),
        (lambda out: (out / "data/notes").write_text("x"), "holds other files: data/notes"),
        (lambda out: (out / "link").symlink_to("nowhere"), "holds other files: link"),
        (lambda out: os.mkfifo(out / "pipe"), "holds other files: pipe"),
        (lambda out: (out / RECORD).write_text("{}"), "holds other files: data/rows"),
        (lambda out: (out / RECORD).unlink(), "holds other files: data/rows"),
    ],
)
def test_what_is_not_as_it_was_written_is_no_result(tmp_path: Path, change, part: str) -> None:
    out = tmp_path / "out"
    fill(out, "one")
    change(out)
    before = sorted(path.name for path in out.rglob("*"))
    with pytest.raises(CfgenError, match="folder-in-use") as raised:
        find_result(out, RECORD, ASKED)
    assert part in str(raised.value)
    assert sorted(path.name for path in out.rglob("*")) == before


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        fill(tmp_path / "out", KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []
    assert "out was not made. Run the same again" in raised.value.__notes__[0]


def test_it_says_what_is_kept_whenever_it_is_interrupted(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfgen.folders.socket.gethostname", interrupted)
        with pytest.raises(KeyboardInterrupt) as early:
            fill(tmp_path / "out", "one")
    assert "out was not made. Run the same again" in early.value.__notes__[0]
    assert list(tmp_path.iterdir()) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfgen.folders.shutil.rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt) as late:
            fill(tmp_path / "out", "one")
    assert "out is complete; the same again shows it" in late.value.__notes__[0]
    assert find_result(tmp_path / "out", RECORD, ASKED)


def test_other_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(CfgenError, match="holds other files"):
        fill(tmp_path / "out", "x")
    with pytest.raises(CfgenError, match="is a file"):
        fill(tmp_path / "out" / "thesis.tex", "x")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_the_folder_has_ordinary_permissions(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        fill(tmp_path / "out", "x")
        write_file(tmp_path / "file", b"x")
    finally:
        os.umask(umask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CfgenError, match="No space left"), new_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["file", "folder", "link", "a folder of files"])
def test_what_takes_the_place_meanwhile_is_never_lost(tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    (tmp_path / "away").mkdir()
    (tmp_path / "out-2").mkdir()

    def taken() -> None:
        with new_folder(out) as fresh:
            (fresh / "rows").write_text("two")
            write_record(fresh, RECORD, {})
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
    with pytest.raises(CfgenError, match="the new result is in"):
        taken()
    assert (tmp_path / "out-3/rows").read_text() == "two"
    mine = {"file": out, "link": tmp_path / "away", "a folder of files": out / "notes.txt"}[what]
    assert mine.is_dir() if what == "link" else mine.read_text() == "mine"
    assert out.is_symlink() == (what == "link")


def test_a_link_leads_to_the_folder_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk/out")
    fill(tmp_path / "out", "one")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/out/data/rows").read_text() == "one"
    assert find_result(tmp_path / "out", RECORD, ASKED) is not None
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CfgenError):
        fill(tmp_path / "loop", "x")


def test_the_folder_that_one_is_in_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out/data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "out/data")
    for named in (Path(), tmp_path / "out", Path("/")):
        with pytest.raises(CfgenError, match="folder that you are in"):
            fill(named, "two")


@pytest.mark.parametrize("name", ["x" * 300, "x\0y"], ids=["long", "nul"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(CfgenError, match="cannot-write"):
        fill(tmp_path / name, "x")
    with pytest.raises(CfgenError, match="cannot-write"):
        write_file(tmp_path / name, b"x")
    fill(tmp_path / ("y" * 255), "x")


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    assert write_file(path, b"one")
    assert not write_file(path, b"one")
    with pytest.raises(CfgenError, match="file-exists"):
        write_file(path, b"two")
    assert path.read_bytes() == b"one"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CfgenError, match="file-exists"):
        write_file(path, b"one")
    assert tree(tmp_path) == []
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


WORK = """
import sys, time
from pathlib import Path
from cfgen.folders import new_folder
with new_folder(Path(sys.argv[1])) as fresh:
    (fresh / "rows").write_text("half")
    print("there", flush=True)
    time.sleep(60)
"""


def begin(out: Path) -> subprocess.Popen[str]:
    """A process that is in the midst of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_makes_stays(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    killed = begin(out)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out-")
    for name in (".out-notes", ".out-abcdefgh"):  # somebody else's, whatever it is called
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    living = begin(out)
    assert not left.exists()
    fill(out, "one")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4  # the result, the living one's, and the two of somebody else
    living.terminate()
    living.communicate()
    assert (tmp_path / ".out-notes/mine").read_text() == "mine"
    assert (tmp_path / ".out-abcdefgh/mine").read_text() == "mine"


WRITE = """
import os, signal, sys
from pathlib import Path
from cfgen.folders import write_once
write_once(Path(sys.argv[1]), lambda part: (part.write_text("half"), os.kill(os.getpid(), 9)))
"""


def test_what_a_killed_process_left_of_a_file_is_removed(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / name)], check=False)
    elsewhere = tmp_path / ".a.json-00000000"
    elsewhere.mkdir()
    (elsewhere / "owner").write_text("cfgen on another machine")
    assert len(list(tmp_path.iterdir())) == 3
    with new_folder(tmp_path / "a.json-not") as fresh:  # whoever writes something else
        fill(fresh, "one")
        assert write_file(tmp_path / "a.json", b"one")
        left = sorted(path.name[:-8] for path in tmp_path.glob(".*"))
        assert left == [".a.json-", ".a.json-not-", ".b.json-"]
    assert elsewhere.exists()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.glob(".*")) == [elsewhere.name]


@pytest.mark.parametrize("name", [".x-12345678", ".x-1234567", "x-12345678"])
def test_what_only_looks_like_a_leftover_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for owner in ("mine", None):
        (tmp_path / name / "owner").unlink(missing_ok=True)
        if owner is None:
            os.mkfifo(tmp_path / name / "owner")
        else:
            (tmp_path / name / "owner").write_text(owner)
        remove_leftovers(tmp_path)
        assert not is_leftover(tmp_path / name)
        assert (tmp_path / name / "owner").exists()
