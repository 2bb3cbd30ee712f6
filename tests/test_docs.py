"""Pages of reference say what the code does: formats and dependencies."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from cfgen.datasets import Coverage, Leak, Manifest, Shortcut, SplitSummary, schema_of
from cfgen.experiments import SCHEMA, Results
from cfgen.prompts import FrontMatter
from cfgen.search import Certificate, Witness
from cfgen.tasks import load_task
from cfgen.weights import AdapterEntry, BaseEntry, Part, Terms

DOCS = Path(__file__).parents[1] / "docs"
PYPROJECT = DOCS.parent / "pyproject.toml"
DATASET = schema_of(load_task("belief_tracking"))
GIVEN = {"name", "file"}
"""Fields that a record gets from where its file lies."""


def tables() -> list[list[str]]:
    """The first column of every table of docs/formats.md, without its title."""
    found: list[list[str]] = []
    for line in (DOCS / "formats.md").read_text(encoding="utf-8").splitlines():
        cell = re.match(r"\| `([^`]+)` \|", line)
        if re.match(r"\|[-|]+$", line):
            found.append([])
        elif cell:
            found[-1].append(cell[1])
    return found


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("a template's front matter", list(FrontMatter.model_fields)),
        ("a base", [name for name in BaseEntry.model_fields if name not in GIVEN]),
        ("a part", list(Part.model_fields)),
        ("terms", list(Terms.model_fields)),
        ("an adapter", [name for name in AdapterEntry.model_fields if name not in GIVEN]),
        ("a dataset", DATASET.names),
        ("one side of a pair", [field.name for field in DATASET.field("original").type]),
        ("manifest.json", list(Manifest.model_fields)),
        ("a split in manifest.json", list(SplitSummary.model_fields)),
        ("coverage in manifest.json", list(Coverage.model_fields)),
        ("a shortcut in manifest.json", list(Shortcut.model_fields)),
        ("a leak in manifest.json", list(Leak.model_fields)),
        ("a certificate", list(Certificate.model_fields)),
        ("a witness", list(Witness.model_fields)),
        ("outputs.parquet", SCHEMA.names),
        ("results.json", list(Results.model_fields)),
    ],
)
def test_formats_lists_every_key_in_order(what: str, names: list[str]) -> None:
    assert names in tables(), what


def test_dependencies_lists_every_dependency() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    declared = {
        "Core": project["dependencies"],
        "Development": project["optional-dependencies"]["dev"],
        "Benchmarks": project["optional-dependencies"]["bench"],
    }
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    for title, requirements in declared.items():
        section = re.split(rf"^## {title}\n", page, flags=re.MULTILINE)[1].split("\n## ")[0]
        listed = re.findall(r"^- \*\*([\w.-]+)\*\*: \S", section, re.MULTILINE)
        assert listed == [re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in requirements]


ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def exists(name: str) -> bool:
    """Whether ``cfgen.a.b`` is a module or something in one."""
    module, *rest = name.split(".")
    found = importlib.import_module(module)
    for part in rest:
        try:
            found = getattr(found, part)
        except AttributeError:
            module = f"{found.__name__}.{part}"
            if importlib.util.find_spec(module) is None:
                return False
            found = importlib.import_module(module)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_and_names_of_cfgen_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:cfgen|benchmarks|tools)/[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    names = set(re.findall(r"`(cfgen(?:\.\w+)+)", text))
    assert sorted(name for name in names if not exists(name)) == []


def test_names_of_cfgen_in_docstrings_and_comments_are_there() -> None:
    named = {
        (str(path.relative_to(ROOT)), name)
        for folder in ("cfgen", "benchmarks", "tools", "causal_models")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"`~?(cfgen(?:\.\w+)+)[`(]", path.read_text(encoding="utf-8"))
    }
    assert named
    assert sorted((path, name) for path, name in named if not exists(name)) == []
