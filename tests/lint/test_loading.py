"""What keeps a task from being loaded comes out as findings, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cfgen import CfgenError
from cfgen.lint import lint_task

if TYPE_CHECKING:
    from tests.lint.conftest import Project

TASK, PLAIN = "causal_models/toy.py", "templates/toy/plain.jinja"


def test_every_problem_at_once_with_its_place(project: Project) -> None:
    project.plant({TASK: ("def pointer(asked:", "def pointer(askd:")})
    project.plant({TASK: ('default_design="other"', 'default_design="othr"')})
    project.plant({PLAIN: ("word_2", "wrd_2")})
    report = lint_task("toy")
    assert not report.loaded
    assert [(item.code, item.where.rpartition(":")[0]) for item in report.findings] == [
        ("unknown-parent", TASK),
        ("template-undeclared", PLAIN),
        ("unknown-name", TASK),
    ]


def test_a_file_that_does_not_run_hides_no_other_file(project: Project) -> None:
    project.plant({TASK: ("designs = [", "designs = [[")})
    project.plant({PLAIN: ("description:", "descripton:")})
    project.plant({"data/lexicons/toys.txt": "ball\nball\n bear\n"})
    project.plant({"templates/toy/short.jinja": "no front matter\n"})
    report = lint_task("toy")
    found = [(item.code, item.where) for item in report.findings]
    assert found[0][0] == "task-file-failed"
    assert ("front-matter", "templates/toy/short.jinja:1") in found
    assert ("front-matter", f"{PLAIN}:3") in found
    assert ("lexicon-duplicate", "data/lexicons/toys.txt:2") in found
    assert ("lexicon-whitespace", "data/lexicons/toys.txt:3") in found


def test_an_unreachable_variable(project: Project) -> None:
    variable = "@model.variable\ndef alone(asked):\n    return asked\n\n\ndesigns = ["
    project.plant({TASK: ("designs = [", variable)})
    (found,) = lint_task("toy").findings
    assert (found.code, "'alone'" in found.message) == ("unreachable-variable", True)


def test_a_prompt_that_ends_in_a_space_and_a_mechanism_that_fails(project: Project) -> None:
    project.plant({PLAIN: ('" other" }}:', '" other" }}: ')})
    assert {item.code for item in lint_task("toy").findings} == {"prompt-edge"}
    project.plant({TASK: ("return words[pointer]", "return words[pointer + 1]")})
    assert {item.code for item in lint_task("toy").findings} >= {"prompt-edge", "mechanism-failed"}


@pytest.mark.parametrize("allow", ['["predicts-as-all"]', '{"shortcut": ""}', '{1: "reason"}'])
def test_an_allowance_is_a_code_with_a_reason(project: Project, allow: str) -> None:
    project.plant({TASK: ('version="1"', f'version="1", allow={allow}')})
    assert {item.code for item in lint_task("toy").findings} == {"bad-definition"}


def test_errors_cannot_be_allowed(project: Project) -> None:
    project.plant({TASK: ('version="1"', 'version="1", allow={"prompt-edge": "so be it"}')})
    project.plant({PLAIN: ('" other" }}:', '" other" }}: ')})
    assert {item.code for item in lint_task("toy").findings} == {"prompt-edge", "allowance-unknown"}


def test_no_such_task(project: Project) -> None:
    with pytest.raises(CfgenError, match="did you mean 'toy'"):
        lint_task("tooy")
    with pytest.raises(CfgenError, match="no-such-task"):
        lint_task("nowhere/toy.py")
