"""Rules that hold for the whole project: what the library knows, its modules, its error codes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import cfgen
from cfgen import list_tasks, load_task

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "cfgen").rglob("*.py"))
BUILTIN = sorted(path.stem for path in (ROOT / "causal_models").glob("*.py"))
ERROR_DOCS = sorted(path for path in (ROOT / "docs/errors").glob("*.md") if path.stem != "README")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# The library knows no task.

EVERYDAY = {
    # what every task has: wording, words, and an answer
    "template",
    "names",
    "answer",
    # English or Python that a task happens to use as well: a file:line is a place, JSON and Python
    # have objects, texts have characters, and the rest are everyday words
    "place",
    "object",
    "characters",
    "fresh",
    "none",
    "neither",
    "both",
    # algebra, two sides, and a color
    "w",
    "x",
    "y",
    "z",
    "left",
    "right",
    "color",
    # grammar, which messages have as well
    "number",
    "singular",
    "plural",
    "present",
    "past",
    # attributes of words, examples in a text, and languages that prompts are in
    "attributes",
    "examples",
    "language",
    "capital",
    "word",
    "named",
}
EVERYDAY_LEXICONS = {
    *("animals", "colors", "countries", "letters", "objects", "people", "places", "professions")
}
# a mouse, a red one, A, a pool, a reader, an editor, France, a library, a card, a watch, ...


def words_of(name: str) -> Iterator[str]:
    """Every name a task uses, and every word that its texts draw from lexicons."""
    task = load_task(name)
    model = task.causal_model
    yield name
    yield from model.names
    yield from (slot for slots in model.slots.values() for slot in slots)
    for named in (task.templates, task.designs, task.hypotheses):
        yield from named
    for domain in model.domains.values():
        if domain.type is str and not domain.pools:
            yield from domain
        for pool, words in domain.pools.items():
            if pool not in EVERYDAY_LEXICONS:
                yield from (pool, *words)


@pytest.mark.parametrize("task", BUILTIN)
def test_the_library_knows_no_word_of_a_task(task: str) -> None:
    words = sorted(set(words_of(task)) - EVERYDAY, key=len, reverse=True)
    assert len(words) > 10
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)")
    found = [
        f"{name_of(path)}:{text_of(path).count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for path in MODULES
        for match in pattern.finditer(text_of(path))
    ]
    assert found == []


def test_every_builtin_task_was_looked_at() -> None:
    assert set(BUILTIN) <= set(list_tasks())
    assert len(BUILTIN) >= 2


# Modules.


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short_and_says_what_it_is(path: Path) -> None:
    tree = ast.parse(text_of(path))
    docstring = ast.get_docstring(tree) or ""
    assert docstring.partition("\n")[0].endswith((".", ":", "?")), docstring
    assert len(text_of(path).splitlines()) <= 450


def test_every_public_name_resolves() -> None:
    for name in cfgen.__all__:
        assert getattr(cfgen, name) is not None
    assert set(cfgen.__all__) <= set(dir(cfgen))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = cfgen.nonsense


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import cfgen", {"torch", "transformers", "datasets", "jinja2", "numpy", "typer"}),
        ("from cfgen import CausalModel", {"torch", "transformers", "datasets", "jinja2"}),
        ("import cfgen; cfgen.load_task('ioi')", {"torch", "transformers", "datasets"}),
    ],
)
def test_importing_stays_light(statement: str, absent: set[str]) -> None:
    made = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert absent & set(made.stdout.split()) == set()


# Error codes and their documentation.


@cache
def codes() -> dict[str, set[str]]:
    """Error code -> where it is raised. Codes are written out, so that they can be found."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Call):
                for value in code_arguments(node):
                    place = f"{name_of(path)}:{node.lineno}"
                    if isinstance(value, ast.Constant):
                        found.setdefault(str(value.value), set()).add(place)
                    else:  # taken from an error that carries a code of its own
                        assert isinstance(value, ast.Attribute), place
                        assert value.attr == "code", place
    return found


def code_arguments(call: ast.Call) -> Iterator[ast.expr]:
    called = call.func.id if isinstance(call.func, ast.Name) else ""
    if called in ("Problem", "Finding") and call.args:
        yield call.args[0]
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "code")


def sections() -> dict[str, list[Path]]:
    """Documented code -> the files that have a section on it."""
    found: dict[str, list[Path]] = {}
    for path in ERROR_DOCS:
        for code in re.findall(r"^## (\S+)$", text_of(path), re.MULTILINE):
            found.setdefault(code, []).append(path)
    return found


def test_codes_are_slugs() -> None:
    assert len(codes()) > 50
    assert [code for code in codes() if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)] == []


def test_every_code_is_documented_once() -> None:
    missing = {code: sorted(places) for code, places in codes().items() if code not in sections()}
    assert missing == {}
    assert {code: paths for code, paths in sections().items() if len(paths) > 1} == {}


def test_every_documented_code_exists() -> None:
    assert sorted(set(sections()) - set(codes())) == []


def test_a_code_is_on_the_page_of_a_package_that_finds_it() -> None:
    """Codes that only modules without a package find are on the page of those who use these."""
    elsewhere = {}
    for code, (page, *_) in sections().items():
        packages = {place.split("/")[1] for place in codes().get(code, ()) if place.count("/") > 1}
        if packages and page.stem not in packages:
            elsewhere[code] = (page.stem, packages)
    assert set(elsewhere) <= {"cannot-write"}


@pytest.mark.parametrize("path", ERROR_DOCS, ids=name_of)
def test_every_section_gives_symptom_cause_and_fix(path: Path) -> None:
    for section in re.split(r"^## ", text_of(path), flags=re.MULTILINE)[1:]:
        bold = re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE)
        assert bold == ["Symptom", "Cause", "Fix"], section.partition("\n")[0]


def test_the_index_of_errors_names_every_file() -> None:
    index = text_of(ROOT / "docs/errors/README.md")
    linked = re.findall(r"\]\((\w+\.md)\)", index)
    assert sorted(linked) == [path.name for path in ERROR_DOCS]


# Nothing in a file is about the machine it was written on.

FOLDERS = ("cfgen", "causal_models", "templates", "data", "docs", "tests", "benchmarks", "tools")
KINDS = {".py", ".md", ".jinja", ".txt", ".tsv", ".yaml", ".toml", ".json", ".sh"}


def test_no_file_names_a_folder_of_one_machine() -> None:
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    files += [path for path in ROOT.iterdir() if path.name in ("Makefile", "README.md")]
    texts = [path for path in files if path.suffix in KINDS or path.name == "Makefile"]
    assert len(texts) > 100
    pattern = re.compile(r"(?<![\w.~*$}])/(?:work|tmp|root)/\w")
    found = [
        f"{name_of(path)}:{number}"
        for path in texts
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []
