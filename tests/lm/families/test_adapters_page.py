"""docs/adapters.md: its worked example works, and its tables are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from cfgen.lm import COMPONENTS, FAMILIES, families
from tests.families import EXPERTS, TINY

PAGE = (Path(__file__).parents[3] / "docs/adapters.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {(language, label): text for language, label, text in FENCE.findall(PAGE)}


def test_the_example_runs_and_prints_what_is_shown(capsys):
    names: dict[str, object] = {}
    for label in ("record", ""):
        exec(compile(BLOCKS["python", label], "docs/adapters.md", "exec"), names)
    assert capsys.readouterr().out == BLOCKS["text", "output"]


def test_an_adapter_takes_less_than_60_lines():
    assert len(BLOCKS["python", "record"].splitlines()) < 60
    tree = ast.parse(Path(families.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = [call for call in calls if ast.unparse(call.func) in ("Family", "llama_like", "replace")]
    assert len(made) >= len(FAMILIES)
    assert all(call.end_lineno - call.lineno + 1 < 60 for call in made)


def test_the_page_lists_every_family_and_every_component():
    listed = re.search(r"`cfgen/lm/families\.py`: (.*?)\.", PAGE)
    assert listed
    assert listed[1].split(", ") == list(dict.fromkeys(family.name for family in FAMILIES))
    assert set(listed[1].split(", ")) == {*TINY, *EXPERTS}
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(COMPONENTS)
