"""Whatever a file that others wrote is or holds: reading it ends soon, in a clear error."""

from __future__ import annotations

import ast
import os
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cfgen.bounded import (
    HOLLOW_BYTES,
    YAML_VALUES,
    check_file,
    compose_yaml,
    parse_json,
    read_file,
    read_json,
    read_stream,
    repeated,
)
from cfgen.datasets import opened_table, table_batches

ROOT = Path(__file__).parents[1]
NO_FILES = ("pipe", "link to a pipe", "folder", "socket", "endless", "link to the endless")
ALLOWED = {
    "cfgen/bounded.py": "does it",
    "cfgen/report/demo.py": "a file of the package",
    "cfgen/cli/new.py": "files of the package",
    "cfgen/weights/wheels.py": "the log of pip, which was started here",
    "cfgen/weights/cache.py": "hashes a file that was checked, by chunks",
    "cfgen/weights/gguf.py": "maps a file that was checked",
    "cfgen/folders.py": "hashes files that were checked, by chunks; reads what it wrote itself",
    "cfgen/experiments/store.py": "hashes files that were checked; copies units that were read",
    "cfgen/datasets/exports.py": "writes",
    "cfgen/datasets/writing.py": "writes",
    "cfgen/datasets/audit.py": "files that were just written",
    "cfgen/datasets/tables.py": "does it",
    "cfgen/cli/main.py": "opens what swallows output",
}
READERS = {"read_text", "read_bytes", "open", "safe_load", "compose", "ParquetFile", "read_table"}


def put(path: Path, what: str) -> Path:
    """Make something that is no file; gives where it lies."""
    aside = path.with_name(f"{path.name}.aside")
    if "pipe" in what:
        os.mkfifo(aside)
    elif "endless" in what:
        aside = Path("/dev/zero")
    if what.startswith("link") or what == "endless":
        path.symlink_to(aside)
    elif what == "pipe":
        aside.rename(path)
    elif what == "folder":
        path.mkdir()
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(path))
    return path


@pytest.mark.parametrize("what", NO_FILES)
def test_only_files_are_read(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = put(tmp_path / "x", what)
    for read in (check_file, read_file, read_json):
        with pytest.raises(ValueError, match="is not a file"):
            read(path)
    with pytest.raises(ValueError, match="is not a file"), opened_table(path):
        pass


def test_no_more_is_read_than_there_may_be(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_file(path, 4)
    for endless in (lambda most: b"x" * most, lambda most: b"x"):
        with pytest.raises(ValueError, match="larger than 5,000 bytes"):
            read_stream(endless, 5000)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_file(link) == b"12345"


def test_what_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")
    fstat = os.fstat

    def grown(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        path.write_bytes(b"1" * 100)
        return found

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(ValueError, match="larger than 50 bytes"):
        read_file(path, 50)


def test_what_took_the_place_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")
    found = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_: found)
    with pytest.raises(ValueError, match="is not a file"):
        read_file(path)


@pytest.mark.parametrize("begin", [b"", b"PAR1"])
def test_a_hole_is_no_content(tmp_path: Path, begin: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(begin)
    with path.open("r+b") as stream:
        try:
            stream.truncate(1000 * HOLLOW_BYTES)
        except OSError:
            pytest.skip("no file of that size can be made here")
    with pytest.raises(ValueError, match="a hole"):
        check_file(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 10**6, '{"a":' * 10**5 + "1" + "}" * 10**5, f"[{'9' * 10**6}]", "{", "", "\x00"],
)
def test_json_that_nobody_writes(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    path = tmp_path / "x"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not JSON"):
        read_json(path)


def test_names_that_stand_twice() -> None:
    assert repeated(["a", "b", "a", "c", "b", "a"]) == ["a", "b"]
    assert repeated(map(str, range(300_000))) == []


ALIASES = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)),
    ]
)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (ALIASES, f"more than {YAML_VALUES:,} values"),
        ("a: &a [*a]", "nested too deep"),
        ("[" * 50 + "]" * 50, "nested too deep"),
        ("[" * 200_000, "nested too deep"),
        ("x" * 300_000, "longer than"),
        ("a: [", "expected"),
    ],
)
def test_yaml_that_nobody_writes(text: str, part: str) -> None:
    with pytest.raises(yaml.YAMLError, match=part):
        compose_yaml(text, yaml.SafeLoader)


def test_rows_that_take_no_room_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": pa.array(["x" * 10**5] * 2000)}), path, compression="zstd")
    assert path.stat().st_size < 10**5
    with opened_table(path) as table:
        assert sum(map(len, table_batches(table, 1 << 30))) == 2000
    with opened_table(path) as table, pytest.raises(ValueError, match="unpacks to more than"):
        list(table_batches(table, 1 << 26))


def test_files_are_read_in_one_way() -> None:
    """A name that leads to a file is opened where it is known to be one, and how large it is."""
    found = {}
    for path in sorted((ROOT / "cfgen").rglob("*.py")):
        if "builtin" in path.parts:
            continue
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
        calls = [node.func for node in nodes if isinstance(node, ast.Call)]
        names = {call.attr for call in calls if isinstance(call, ast.Attribute)}
        names |= {call.id for call in calls if isinstance(call, ast.Name) and call.id == "open"}
        if names & READERS:
            found[path.relative_to(ROOT).as_posix()] = names & READERS
    assert sorted(found) == sorted(ALLOWED), found
