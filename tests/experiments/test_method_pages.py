"""docs/methods: every method has a page, whose examples run and show what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen.experiments import METHODS
from tests.pages import ROOT, blocks_of, run_here

PAGES = sorted((ROOT / "docs/methods").glob("*.md"))


def test_every_method_that_measures_effects_or_scores_edges_has_a_page() -> None:
    assert [page.stem for page in PAGES] == sorted(
        name
        for name, method in METHODS.items()
        if method.effects or (method.fields and not method.tests)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_all_effects_and_says_when_it_misleads(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in METHODS[page.stem].effects)
    for part in ("**The question.**", "**The numbers.**", "**When it misleads.**", "**Compare"):
        assert part in text


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_example_runs(page: Path, tmp_path: Path) -> None:
    (block,) = (block for block in blocks_of(page) if block.runs)
    (command,) = block.commands
    assert block.shown is not None
    printed = " ".join(run_here(tmp_path, command).split())
    for line in block.shown.text.splitlines():
        assert line == "..." or line in printed
