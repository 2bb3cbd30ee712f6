"""Names that are read from files never lead out of the folder that they are meant for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cfgen.datasets import export, recipe, write_dataset
from cfgen.errors import CfgenError
from cfgen.folders import write_record
from cfgen.paths import NAME_BYTES, plain_name
from cfgen.prompts import Showable, lexicon, load_lexicon, load_templates, templates

UNSAFE = [
    "",
    " ",
    ".",
    "..",
    "../x",
    "../../../victim/notes",
    "a/../../x",
    "/etc/passwd",
    "/",
    "a/b",
    "a\\b",
    "..\\x",
    "\\\\server\\share",
    "C:",
    "C:x",
    "C:\\x",
    "x\0",
    "\0",
    "x\n",
    "x\x1b[2J",
    "x\u202etxt",
    "x\u200b",
    "x\ud800",
    ".hidden",
    "~",
    "~root",
    "-rf",
    "x.",
    "x ",
    " x",
    "CON",
    "nul",
    "com1.txt",
    "a*",
    "a?",
    "a|b",
    'a"b',
    "x" * (NAME_BYTES + 1),
    "é" * (NAME_BYTES // 2 + 1),
]


@pytest.mark.parametrize("name", [*UNSAFE, None, 3, ["x"], b"x"], ids=ascii)
def test_unsafe_names_are_refused_with_a_remedy(name: object) -> None:
    with pytest.raises(CfgenError) as caught:
        plain_name(name, "a split", "manifest.json")
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("unsafe-name", "manifest.json")
    assert "a split" in problem.message
    assert len(problem.message) < 200
    assert problem.message.isprintable()
    assert "rename it" in problem.hint


@pytest.mark.parametrize(
    "name",
    ["train", "a-b_c.d", "two words", "x..y", "Prénoms", "名字", "console", "x" * NAME_BYTES],
)
def test_plain_names_pass(name: str) -> None:
    assert plain_name(name, "a split") == name


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(recipe("ioi", 20), folder)
    return folder


def renamed(dataset: Path, project: Path, name: str) -> Path:
    """A copy whose manifest calls the training split otherwise, with a file under that name."""
    made = project / "made"
    (made / "data").mkdir(parents=True)
    manifest = json.loads((dataset / "manifest.json").read_text())
    split = manifest["splits"]["train"]
    manifest["splits"] = {name: split}
    source = dataset / "data/train-00000-of-00001.parquet"
    (made / "data/other.parquet").write_bytes(source.read_bytes())
    if len(name) < 100 and "\0" not in name and "\ud800" not in name:
        target = made / "data" / f"{name}-00000-of-00001.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    for empty in made.rglob("*"):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
    # its hashes are those of whoever renamed it
    content = {**write_record(made, "manifest.json", {**manifest, "splits": {}})}
    content["splits"] = {name: split}
    own = content["sha256"].pop("manifest.json")
    hashed = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert hashed != own
    content["sha256"]["manifest.json"] = hashed
    (made / "manifest.json").write_text(json.dumps(content))
    return made


@pytest.mark.parametrize("name", [n for n in UNSAFE if not n.startswith(("/", "~"))], ids=ascii)
def test_a_split_of_a_manifest(dataset: Path, tmp_path: Path, name: str) -> None:
    made = renamed(dataset, tmp_path / "deep/er/project", name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CfgenError, match="unsafe-name"):
        export(made, "jsonl", tmp_path / "deep/er/out")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "x\0", "x" * 300], ids=ascii)
def test_lexicons_and_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "data/lexicons").mkdir(parents=True)
    (tmp_path / "data/secret.txt").write_text("one\ntwo\n")
    (tmp_path / "templates").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/x.jinja").write_text("---\nid: x\n---\nX")
    monkeypatch.chdir(tmp_path)
    for read in (load_lexicon, lexicon, templates, lambda name: load_templates(name, Showable({}))):
        with pytest.raises(CfgenError, match="unsafe-name"):
            read(name)
