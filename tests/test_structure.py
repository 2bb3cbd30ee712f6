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


def test_every_problem_says_what_to_do() -> None:
    bare = []
    for module, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
                given = [*node.args[3:4], *(k.value for k in node.keywords if k.arg == "hint")]
                if not given or (isinstance(given[0], ast.Constant) and not given[0].value):
                    bare.append(f"{module}:{node.lineno}")
    assert bare == []


IRREGULAR = re.compile(
    "Bound|Broken|Built|Chosen|Done|Drawn|Found|Given|Held|Hidden|Kept|Known|Left|Lost|Made|Met|"
    "Proven|Said|Seen|Shown|Sought|Spent|Taken|Thrown|Told|Written"
)
REGULAR = re.compile("[A-Z][a-z]+[^e]ed")


def is_participle(name: str) -> bool:
    """Whether a name is one word that says what was done to a thing, not what the thing is."""
    word = name.strip("_")
    return bool(IRREGULAR.fullmatch(word) or REGULAR.fullmatch(word))


def test_types_are_named_by_nouns() -> None:
    aliases = [(n, module) for module, path in MODULES.items() for n in names_assigned(path)]
    named = {name: module for name, module in [*classes(), *aliases] if is_participle(name)}
    assert named == {}


def names_assigned(path: Path) -> Iterator[str]:
    for node in tree_of(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else ()
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))


# Faces


def imported_names(package: str) -> set[str]:
    """What a face imports from the modules of its package, be it for the type checker only."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree_of(FACES[package]))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package)
        for alias in node.names
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_a_face_re_exports_what_it_lists(package: str) -> None:
    face = importlib.import_module(package)
    listed = list(getattr(face, "__all__", []))
    assert sorted(set(listed)) == sorted(listed)
    assert imported_names(package) <= set(listed)
    for name in listed:
        assert getattr(face, name) is not None


# What works without torch


TORCH_FREE = ("definition", "files", "json_schema", "layers", "measures")
"""Modules of experiments that say what is asked, not how it is computed."""


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
    names += [f"cfgen.experiments.{name}" for name in TORCH_FREE]
    assert len(names) > 30
    code = "".join(f"import {name}\n" for name in names) + "import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    forbidden = set(contract()["forbidden_modules"].split())
    assert forbidden == {"torch", "transformers", "peft"}
    assert forbidden & set(done.stdout.split()) == set()


# What tests may import

INSIDE = {
    "circuits": "attribution wiring",  # gradients, against copies of their own
    # helpers of verbs, without the program
    "cli": "datasets new options output run search steps watch",
    "datasets": "alignment audit coverage drawing leakage power repetition rows shortcuts "
    "tokenizers workers",  # each against a plain version of itself, or with limits of its own
    # checks of an LM, to be made once for several runs; how pairs are divided, to be otherwise
    "experiments": "checking interchange",
    "documents": "markdown terminal",  # the face has what documents are, not how they are shown
    "interventions": "batches checks engine execution forward language masks packed packing "
    "reach readout schedule stepping store traffic validity verification whole",  # faults are
    # planted in them, which must be found
    "lint": "determinism run",  # their steps are replaced, and must be told to have failed
    "lm": "attention described families hooks",  # replaced, or compared with transformers' own
    "prompts": "environment run text",  # a template's values and its single run, by themselves
    "report": "pairs",  # parts of a report, by themselves
    "search": "atoms cases contents exact opaque",  # symmetry and cover, against enumeration
    "weights": "cache conversion copies",  # steps of a download, by themselves
}
"""Package -> its modules that its own tests look into, because they are the point there."""

ELSEWHERE = {
    "cfgen.cli.main": "the program",
    "cfgen.counterfactuals.edits": "the operations that a search is compared with",
    "cfgen.documents.terminal": "rich, which the face does not load",
    "cfgen.interventions.traffic": "a fault is planted there",
    "cfgen.lint.determinism": "asked once for all tests",
    "cfgen.lm.tokens": "a fault is planted there",
}
"""What tests of other packages import besides faces."""


def inner_imports(path: Path) -> Iterator[str]:
    """Modules inside packages that a test imports, or names from."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cfgen."):
            assert node.module
            if node.module not in FACES and node.module.count(".") > 1:
                yield node.module
            elif node.module in FACES:
                listed = getattr(importlib.import_module(node.module), "__all__", [])
                inner = {alias.name for alias in node.names} - set(listed)
                yield from (f"{node.module}.{name}" for name in inner)


def test_tests_use_packages_by_their_faces() -> None:
    allowed = {f"cfgen.{package}.{name}" for package in INSIDE for name in INSIDE[package].split()}
    assert sorted(name for name in {*allowed, *ELSEWHERE} if name not in MODULES) == []
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        package = path.relative_to(ROOT / "tests").parts[0]
        for module in inner_imports(path):
            own = module.split(".")[1] == package and module in allowed
            if not own and module not in ELSEWHERE:
                found.append(f"{path.relative_to(ROOT)}: {module}")
    assert found == []
