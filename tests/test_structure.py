"""Rules of structure: one idea has one name and one place, and a package is used by its face."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def module_of(path: Path) -> str:
    """The dotted name of a file below the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES = {module_of(path): path for path in sorted((ROOT / "cfgen").rglob("*.py"))}
FACES = {name: path for name, path in MODULES.items() if path.name == "__init__.py"}
PACKAGES = [name for name in FACES if name.count(".") == 1]


# Names


def classes() -> Iterator[tuple[str, str]]:
    """Every class, at whatever depth, with the module that it is in."""
    for module, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                yield node.name, module


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for name, module in classes():
        places.setdefault(name, []).append(module)
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


IRREGULAR = re.compile(
    "Bound|Broken|Built|Chosen|Done|Drawn|Found|Given|Held|Hidden|Kept|Known|Left|Lost|Made|Met|"
    "Proven|Said|Seen|Shown|Sought|Spent|Taken|Thrown|Told|Written"
)
REGULAR = re.compile("[A-Z][a-z]+[^e]ed")
UNFINISHED = {"Measured", "Shown", "Exported", "Dropped", "Tried", "Wanted"}
"""To be renamed."""


def is_participle(name: str) -> bool:
    """Whether a name is one word that says what was done to a thing, not what the thing is."""
    word = name.strip("_")
    return bool(IRREGULAR.fullmatch(word) or REGULAR.fullmatch(word))


def test_types_are_named_by_nouns() -> None:
    aliases = [(n, module) for module, path in MODULES.items() for n in names_assigned(path)]
    named = {name: module for name, module in [*classes(), *aliases] if is_participle(name)}
    assert named.keys() <= UNFINISHED, named


def names_assigned(path: Path) -> Iterator[str]:
    for node in tree_of(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else ()
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))


# Faces


def imported_names(tree: ast.Module) -> set[str]:
    """What a face imports from modules of the project, be it for the type checker only."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cfgen")
        for alias in node.names
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_a_face_re_exports_what_it_lists(package: str) -> None:
    face = importlib.import_module(package)
    listed = list(getattr(face, "__all__", []))
    assert sorted(set(listed)) == sorted(listed)
    assert imported_names(tree_of(FACES[package])) <= set(listed)
    for name in listed:
        assert getattr(face, name) is not None


# What works without torch


@cache
def contract() -> configparser.SectionProxy:
    read = configparser.ConfigParser()
    read.read(ROOT / ".importlinter")
    return read["importlinter:contract:no-torch"]


def test_what_is_said_to_need_no_torch_loads_none() -> None:
    """The import contract looks at what is written; this, at what happens."""
    packages = contract()["source_modules"].split()
    assert {"cfgen.causal", "cfgen.datasets", "cfgen.lint"} <= set(packages)
    names = [name for name in MODULES if ".".join(name.split(".")[:2]) in packages]
    names += [name for name in MODULES if name.startswith(("cfgen.report", "cfgen.documents"))]
    names += ["cfgen.lm", "cfgen.lm.components", "cfgen.lm.tokens"]
    assert len(names) > 30
    code = "".join(f"import {name}\n" for name in names) + "import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    forbidden = set(contract()["forbidden_modules"].split())
    assert forbidden == {"torch", "transformers", "peft"}
    assert forbidden & set(done.stdout.split()) == set()
