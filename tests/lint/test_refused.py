"""Whatever making pairs or running would refuse, lint says before: one table of bad tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cfgen import CfgenError, generate, load_task
from cfgen.lint import lint_task
from cfgen.lm import Place, place_problems
from tests.sampling import one_in

if TYPE_CHECKING:
    from tests.lint.conftest import Project

TASK = "causal_models/toy.py"
POINTER = "def pointer(asked: int) -> int:\n    return asked"
MODEL = 'default_model="smollm2-135m"'
WORDS = "\n".join(f"toy{number:02}" for number in range(60)) + "\n"


def returning(annotation: str, value: str) -> tuple[str, str]:
    """Another annotation of a variable, and another value; it serves as an index all the same."""
    return POINTER, f"def pointer(asked: int) -> {annotation}:\n    return {value}"


def at(site: str) -> tuple[str, str]:
    return 'Site("last")', site


BAD: dict[str, tuple[tuple[str, str], str]] = {
    "text as int": (returning("int", "str(asked)"), "value-not-of-type"),
    "large": (returning("int", "asked + 2 * 10**20"), "value-not-of-type"),
    "too large to show": (returning("int", "asked + 2 * 10**5000"), "mechanism-failed"),
    "truth as int": (returning("int", "asked > 0"), "value-not-of-type"),
    "int as text": (returning("str", "asked"), "value-not-of-type"),
    "one as many": (returning("list[int]", "asked"), "value-not-of-type"),
    "fraction": (returning("int", "asked + .5"), "value-not-of-type"),
    "half a pair": (returning("str", "'\\ud800' * asked"), "unstable-value"),
    "component": (at('Site("last", component="residual")'), "site-impossible"),
    "read only": (at('Site("last", component="head_result", head=0)'), "site-impossible"),
    "head below 0": (at('Site("last", component="head_out", head=-1)'), "site-impossible"),
    "no neurons": (at('Site("last", component="q", neurons=(1,))'), "site-impossible"),
    "site is text": (at('"last"'), "bad-definition"),
    "position is a number": (at("Site(3)"), "bad-definition"),
    "no position": (at("Site(())"), "bad-definition"),
    "held number": (at('Site("last", frozen=(3,))'), "bad-definition"),
    "head is text": (at('Site("last", head="0")'), "bad-definition"),
    "neuron is text": (at('Site("last", component="mlp_neuron", neurons="12")'), "bad-definition"),
    "component is none": (at('Site("last", component=None)'), "bad-definition"),
    "layers is a number": (at('Site("last", layers=3)'), "bad-definition"),
    "layers": (at('Site("last", layers="all")'), "bad-site"),
    "align": (at('Site("last", align=None)'), "bad-site"),
    "position": (at('Site("last[")'), "bad-site"),
    "model is none": ((MODEL, "default_model=None"), "bad-definition"),
}
"""What is replaced by what in a task without flaws -> what lint finds."""


def attempt() -> None:
    """Do with the task what a run does of its own before it has an LM."""
    task = load_task("toy")
    generate(task, 20)
    for hypothesis in task.hypotheses.values():
        site = hypothesis.site
        if problems := place_problems(Place(site.component, 0, site.head, site.neurons)):
            raise CfgenError(problems)


@pytest.mark.parametrize("flaw", one_in(2, BAD))
def test_lint_says_what_would_be_refused(project: Project, flaw: str) -> None:
    change, code = BAD[flaw]
    project.plant({TASK: ("words[pointer]", "words[0 if str(pointer).startswith('0') else 1]")})
    project.plant({TASK: change, "data/lexicons/toys.txt": WORDS})
    codes = {finding.code for finding in lint_task("toy").findings}
    assert code in codes
    with pytest.raises(CfgenError) as caught:
        attempt()
    assert all(problem.message and problem.hint for problem in caught.value.problems)


def test_without_a_flaw_nothing_is_refused(project: Project) -> None:
    project.plant({TASK: ("words[pointer]", "words[0 if str(pointer).startswith('0') else 1]")})
    project.plant({"data/lexicons/toys.txt": WORDS})
    assert lint_task("toy").findings == ()
    attempt()


def test_a_value_that_is_not_of_its_type_is_named_with_its_place(project: Project) -> None:
    project.plant({TASK: returning("int", "10**20 + asked")})
    (found,) = lint_task("toy").findings
    assert found.code == "mechanism-failed"  # it is no index
    project.plant({TASK: ("words[pointer]", "words[pointer % 2]")})
    (found,) = lint_task("toy").findings
    assert "variable 'pointer' is 10000000000000000000" in found.message
    assert found.where == project.line(TASK, "@model.variable")
