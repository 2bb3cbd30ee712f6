"""docs/internals: a page for every package, on which each of its modules is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs/internals").glob("*.md"))
PACKAGES = sorted(path.parent.name for path in (ROOT / "cfgen").glob("*/__init__.py"))
FILE = re.compile(r"`((?:[\w-]+/)*\w+\.py)`")
LISTED = re.compile(r"^- (`\w+\.py`.*)$", re.MULTILINE)


def package_pages() -> list[Path]:
    return [page for page in PAGES if page.stem in PACKAGES]


@pytest.mark.parametrize("page", package_pages(), ids=lambda page: page.stem)
def test_a_page_names_every_module_and_lists_none_that_is_gone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    modules = {path.name for path in (ROOT / "cfgen" / page.stem).glob("*.py")} - {"__init__.py"}
    assert modules <= {name.rpartition("/")[2] for name in FILE.findall(text)}
    listed = {name for line in LISTED.findall(text) for name in FILE.findall(line)}
    assert {name for name in listed if "/" not in name} <= modules


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = [name for name in FILE.findall(page.read_text(encoding="utf-8")) if "/" in name]
    places = (ROOT, ROOT / "cfgen", page.parent)
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
