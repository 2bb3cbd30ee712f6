from __future__ import annotations

import json
from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.weights import AdapterEntry, BaseEntry, list_models, load_entries
from cfgen.weights.cache import write_provenance

BASE = f"""\
description: A small Llama
licence: MIT
parameters: 1_000
size: 4000
source:
  gguf:
    sha256: {"b" * 64}
    size: 600
  parts:
    - package: small-llama
      version: 1.0.2
      wheel: {{sha256: {"a" * 64}, size: 700}}
      member: small/model.gguf
"""
ADAPTER = """\
description: It can do more
licence: MIT
base: small
adapter: more
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ``data/models`` of a project that the user stands in, with one base."""
    folder = tmp_path / "data" / "models"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(BASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CFGEN_CACHE", str(tmp_path / "cache"))
    return folder


def add_adapter(models: Path, text: str = ADAPTER, name: str = "small-more") -> None:
    (models / f"{name}.yaml").write_text(text)
    (models / "more").mkdir(exist_ok=True)
    (models / "more" / "adapter_config.json").write_text("{}")
    (models / "more" / "adapter_model.safetensors").write_bytes(b"123")


def problems() -> list[str]:
    with pytest.raises(CfgenError) as caught:
        load_entries()
    return [str(problem) for problem in caught.value.problems]


def test_builtin_entries_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries = load_entries()
    assert "smollm2-135m" in entries
    assert all(entry.licence and entry.description for entry in entries.values())


def test_project_adds_to_the_builtins(models):
    add_adapter(models)
    entries = load_entries()
    assert {"small", "small-more", "smollm2-135m"} <= entries.keys()
    small, more = entries["small"], entries["small-more"]
    assert isinstance(small, BaseEntry)
    assert isinstance(more, AdapterEntry)
    assert [part.requirement for part in small.source.parts] == ["small-llama==1.0.2"]
    assert small.parameters == 1000
    assert more.folder == models / "more"


def test_the_nearest_project_wins(models, tmp_path):
    nearer = tmp_path / "nearer"
    (nearer / "data" / "models").mkdir(parents=True)
    (nearer / "data" / "models" / "small.yaml").write_text(BASE.replace("A small", "Another small"))
    assert load_entries()["small"].description == "A small Llama"
    assert load_entries(nearer)["small"].description == "Another small Llama"


def test_entries_cannot_be_changed(models):
    with pytest.raises(ValueError, match="frozen"):
        load_entries()["small"].licence = "GPL"


def test_listing_says_what_is_cached_and_where(models, tmp_path):
    add_adapter(models)
    listed = {one.name: one for one in list_models()}
    small, more = listed["small"], listed["small-more"]
    assert (small.cached, small.path, small.base, small.size) == (False, None, None, 4000)
    assert (more.cached, more.path, more.base, more.size) == (False, models / "more", "small", 5)

    folder = load_entries()["small"].folder
    assert folder.is_relative_to(tmp_path / "cache")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 10)
    assert not {one.name: one for one in list_models()}["small"].cached
    write_provenance(folder, {})
    listed = {one.name: one for one in list_models()}
    assert (listed["small"].cached, listed["small"].path) == (True, folder)
    assert listed["small-more"].cached


@pytest.mark.parametrize("harm", ["shorter", "gone", "garbled", "no list"])
def test_a_damaged_copy_does_not_count_as_cached(models, harm):
    folder = load_entries()["small"].folder
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(b"x" * 10)
    write_provenance(folder, {})
    note = folder / "cfgen.json"
    if harm == "shorter":
        weights.write_bytes(b"x" * 9)
    elif harm == "gone":
        weights.unlink()
    else:
        note.write_text("{" if harm == "garbled" else json.dumps({"files": ["model.safetensors"]}))
    assert not {one.name: one for one in list_models()}["small"].cached


def test_every_problem_of_every_file_has_its_line(models):
    (models / "small.yaml").write_text(
        "descripton: typo\n"
        "licence: MIT\n"
        "parameters: -3\n"
        "size: 10\n"
        "source:\n"
        "  gguf: {sha256: ABC, size: 1}\n"
        "  parts:\n"
        "    - package: --index-url=evil\n"
        "      version: 1.0\n"
        "      wheel:\n"
        "        sha256: " + "b" * 64 + "\n"
        "        size: 0\n"
        "      member: ''\n"
        "    - package: fine\n"
        "terms: {url: example.org, notice: x}\n"
    )
    (models / "broken.yaml").write_text("description: x\n  licence: [\n")
    (models / "flat.yaml").write_text("just text\n")
    found = problems()
    places = {line.split(": ")[0] for line in found if not line.startswith("    ")}
    assert places == {
        "data/models/broken.yaml:2",
        "data/models/flat.yaml:1",
        "data/models/small.yaml:1",
        "data/models/small.yaml:3",
        "data/models/small.yaml:6",
        "data/models/small.yaml:7",
        "data/models/small.yaml:8",
        "data/models/small.yaml:9",
        "data/models/small.yaml:12",
        "data/models/small.yaml:13",
        "data/models/small.yaml:14",
        "data/models/small.yaml:15",
    }
    text = "\n".join(found)
    assert "did you mean 'description'?" in text
    assert "put it in quotes" in text  # version: 1.0 is a number in YAML
    assert all("[lm-entry]" in line for line in found)


def test_what_an_adapter_needs(models):
    (models / "lost.yaml").write_text(ADAPTER.replace("small", "smal"))
    add_adapter(models)
    (models / "twice.yaml").write_text(ADAPTER.replace("base: small", "base: small-more"))
    found = problems()
    assert found == [
        "data/models/lost.yaml:3: there is no known LM 'smal' to apply this adapter to "
        "[lm-entry-base]\n    -> did you mean 'small'?",
        "data/models/twice.yaml:3: the base 'small-more' is itself an adapter "
        "[lm-entry-base]\n    -> name a base, not an adapter",
    ]


def test_an_adapter_that_is_not_trained_yet_keeps_nobody_from_the_others(models):
    add_adapter(models)
    (models / "more" / "adapter_model.safetensors").unlink()
    listed = {one.name: one for one in list_models()}
    assert "small" in listed
    more = listed["small-more"]
    assert (more.cached, more.path, more.size) == (False, None, 0)


def test_an_adapter_on_a_base_from_elsewhere(models):
    add_adapter(models, ADAPTER.replace("base: small", "base: owner/name@v1"))
    listed = {one.name: one for one in list_models()}
    assert listed["small-more"].base == "owner/name@v1"


def test_a_broken_base_is_not_reported_as_missing_too(models):
    add_adapter(models)
    (models / "small.yaml").write_text(BASE.replace("licence: MIT\n", ""))
    found = problems()
    assert len(found) == 1
    assert "'licence': field required" in found[0]


def test_the_list_needs_no_torch(run_python):
    out = run_python(
        "import sys\nfrom cfgen.weights import list_models\n"
        "list_models()\nprint([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    assert out.strip() == "[]"
