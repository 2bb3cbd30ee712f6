"""Loading tasks: the built-in ones, a user's own, and everything that can be wrong with one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cfgen import CfgenError, list_tasks, load_task
from cfgen.errors import Problem
from cfgen.paths import builtin_root, project_roots, searching
from cfgen.tasks import Task

TASK = '''\
"""Fruit: which of two is meant.

More about it.
"""
from cfgen import CausalModel, Design, Hypothesis, Site, TaskDefinition
from cfgen import distinct, edits, integers, lexicon, templates

model = CausalModel("fruit", output="meant")
model.input("template", templates("fruit"))
model.input("fruits", distinct(lexicon("fruits"), 2))
model.input("index", integers(0, 1))


@model.variable
def pointer(index: int) -> int:
    return index


@model.variable
def meant(pointer: int, fruits: tuple[str, ...]) -> str:
    return fruits[pointer]


task = TaskDefinition(
    causal_model=model,
    designs=[
        Design(
            "fresh",
            counterfactual=[edits.resample("fruits", disjoint=True), edits.flip("index")],
            contrast=["pointer"],
        ),
    ],
    hypotheses=[Hypothesis("pointer", interchange=["pointer"], site=Site("fruit_1[0]"))],
    version="1",
    default_design="fresh",
    default_model="some-lm",
    default_template="plain",
)
'''
PLAIN = """\
---
id: plain
description: Two fruits.
shows: [fruits, index]
---
{{ fruit_1 }} and {{ fruit_2 }}. I mean the {% include "_which.jinja" %}:
"""
OTHER = """\
---
id: other
description: The other way to say it.
shows: [fruits, index]
---
{{ fruit_1 }}, {{ fruit_2 }}: the {{ fruits[index] | length }}:
"""
WHICH = "{% if index == 0 %}first{% else %}second{% endif %}"
FRUITS = "# sweet\napple\npear\nplum\nfig\ncherry\nmelon\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, in which the user stands."""
    root = tmp_path / "project"
    write(root / "causal_models/fruit.py", TASK)
    write(root / "templates/fruit/plain.jinja", PLAIN)
    write(root / "templates/fruit/other.jinja", OTHER.replace(" | length", ""))
    write(root / "templates/fruit/_which.jinja", WHICH)
    write(root / "data/lexicons/fruits.txt", FRUITS)
    monkeypatch.chdir(root)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (old, text)
    write(path, text.replace(old, new))


def line_of(path: Path, part: str) -> int:
    [line] = [n for n, text in enumerate(path.read_text().splitlines(), start=1) if part in text]
    return line


def problems_of(call: Callable[[], object]) -> list[Problem]:
    with pytest.raises(CfgenError) as caught:
        call()
    return list(caught.value.problems)


# Finding tasks.


def test_a_task_by_name(project: Path) -> None:
    task = load_task("fruit")
    assert task.name == "fruit"
    assert task.description == "Fruit: which of two is meant."
    assert task.path == project / "causal_models/fruit.py"
    assert list(task.templates) == ["other", "plain"]
    assert list(task.designs) == ["fresh"]
    assert list(task.hypotheses) == ["pointer"]
    assert (task.version, task.default_design, task.default_model, task.default_template) == (
        "1",
        "fresh",
        "some-lm",
        "plain",
    )
    inputs = {"template": "plain", "fruits": ["kiwi", "fig"], "index": 0}
    assert task.causal_model.run(inputs)["meant"] == "kiwi"


def test_a_task_by_path_from_anywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    by_path = load_task(project / "causal_models/fruit.py")
    by_text = load_task("../project/causal_models/fruit.py")
    by_root = load_task("fruit", project)
    assert by_path.content_hash == by_text.content_hash == by_root.content_hash
    assert by_path.templates["plain"].path == project / "templates/fruit/plain.jinja"
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.code == "no-such-task"


def test_list_tasks(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "causal_models/_helpers.py", "")
    builtin = {path.stem for path in (builtin_root() / "causal_models").glob("*.py")}
    found = list_tasks()
    assert set(found) == builtin | {"fruit"}
    assert list(found) == sorted(found)
    assert found["fruit"] == project / "causal_models/fruit.py"
    monkeypatch.chdir(tmp_path)
    assert set(list_tasks()) == builtin
    assert set(list_tasks(project)) == builtin | {"fruit"}


def test_a_task_of_ones_own_comes_before_the_built_in_one(project: Path) -> None:
    builtin = next(iter(list_tasks()))
    assert builtin != "fruit"
    write(project / f"causal_models/{builtin}.py", TASK.replace('"fruit"', f'"{builtin}"'))
    assert list_tasks()[builtin] == project / f"causal_models/{builtin}.py"


def test_no_such_task(project: Path) -> None:
    [problem] = problems_of(lambda: load_task("fruits"))
    assert problem.code == "no-such-task"
    assert problem.message.startswith("there is no task 'fruits' (looked in ")
    assert problem.hint == "did you mean 'fruit'?"
    [problem] = problems_of(lambda: load_task("causal_models/friut.py"))
    assert problem.message == "there is no file causal_models/friut.py"
    assert problem.hint == "check the path, or name a task (did you mean 'fruit'?)"


# What is searched first.


def test_roots_are_searched_in_order(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builtin, named, first = builtin_root(), tmp_path / "named", tmp_path / "first"
    assert project_roots() == (project, builtin)
    assert project_roots(first) == (first, project, builtin)
    with searching(named):
        assert project_roots(first) == (first, named, project, builtin)
        with searching(first):
            assert project_roots() == (first, named, project, builtin)
    assert project_roots(builtin) == (project, builtin)
    assert project_roots(project) == (project, builtin)
    monkeypatch.chdir(tmp_path)
    assert project_roots() == (builtin,)


@pytest.mark.parametrize("standing_in_it", [True, False])
def test_ones_own_wording_and_words_for_a_built_in_task(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, standing_in_it: bool
) -> None:
    roots = ()
    if not standing_in_it:
        monkeypatch.chdir(tmp_path)
        roots = (project,)
    name = "ioi"
    before = load_task(name)
    assert before.path.is_relative_to(builtin_root())
    template = next(iter(before.templates.values()))
    text = template.path.read_text(encoding="utf-8")
    write(project / f"templates/{name}/mine.jinja", text.replace(f"id: {template.id}", "id: mine"))
    write(project / f"templates/{name}/{template.id}.jinja", f"{text.rstrip()} dear\n")
    names = tuple(f"Name{k}" for k in range(30))
    write(project / "data/lexicons/names.txt", "\n".join(names))
    task = load_task(name, *roots)
    assert set(task.templates) == {*before.templates, "mine"}
    assert task.templates["mine"].path == project / f"templates/{name}/mine.jinja"
    assert task.templates[template.id].path == project / f"templates/{name}/{template.id}.jinja"
    assert task.causal_model.domains["names"].pools == {"names": names}
    assert "mine" in set(task.causal_model.domains["template"])
    assert task.content_hash != before.content_hash
    if not standing_in_it:
        assert load_task(name).content_hash == before.content_hash


def test_each_task_is_loaded_as_it_is_now(project: Path) -> None:
    """Also if it was changed within the same second, to a text of the same length."""
    assert load_task("fruit").causal_model.domains["index"].count() == 2
    edit(project / "causal_models/fruit.py", "integers(0, 1)", "integers(0, 5)")
    edit(project / "causal_models/fruit.py", 'edits.flip("index")', 'edits.keep("index")')
    assert load_task("fruit").causal_model.domains["index"].count() == 6
    assert not (project / "causal_models/__pycache__").exists()


# The content hash.


def hashes(task: Task) -> str:
    assert len(task.content_hash) == 64
    return task.content_hash


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("causal_models/fruit.py", "More about it.", "More about it!"),
        ("templates/fruit/plain.jinja", "I mean", "I want"),
        ("templates/fruit/_which.jinja", "second", "other"),
        ("templates/fruit/plain.jinja", "shows:", "answer_prefix: ''\nshows:"),
        ("templates/fruit/other.jinja", "shows:", "supports: {index: [0]}\nshows:"),
        ("data/lexicons/fruits.txt", "plum", "lime"),
        ("data/lexicons/fruits.txt", "melon\n", "melon\nlemon\n"),
        ("data/lexicons/fruits.txt", "apple\npear", "pear\napple"),
    ],
)
def test_hash_changes_with_what_a_pair_depends_on(
    project: Path, file: str, old: str, new: str
) -> None:
    before = hashes(load_task("fruit"))
    edit(project / file, old, new)
    assert hashes(load_task("fruit")) != before


def test_hash_changes_with_a_new_template(project: Path) -> None:
    before = hashes(load_task("fruit"))
    write(project / "templates/fruit/third.jinja", PLAIN.replace("id: plain", "id: third"))
    assert hashes(load_task("fruit")) != before


def test_hash_changes_with_nothing_else(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashes(load_task("fruit"))
    assert hashes(load_task("fruit")) == before
    write(project / "data/lexicons/others.txt", "a\n")
    write(project / "templates/fruit/_unused.jinja", "unused")
    edit(project / "data/lexicons/fruits.txt", "# sweet", "# very sweet")
    edit(project / "templates/fruit/plain.jinja", "Two fruits.", "A pair of fruits.")
    for path in project.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert hashes(load_task("fruit")) == before
    moved = shutil.copytree(project, tmp_path / "moved")
    monkeypatch.chdir(moved)
    assert hashes(load_task("fruit")) == before


# What is wrong with a task file.


def test_syntax_error(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, "def pointer(index: int) -> int:", "def pointer(index: int) -> int")
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.code == "task-file-failed"
    assert problem.where == f"causal_models/fruit.py:{line_of(path, 'def pointer')}"
    assert problem.message.startswith("the task file does not run: SyntaxError: expected ':'")
    assert problem.hint == "mend the file; its own error follows"
    assert "def pointer(index: int) -> int" in problem.detail


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("index = 1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_task_file_that_does_not_run(project: Path, new: str, message: str) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, "task = TaskDefinition(", f"{new}\ntask = TaskDefinition(")
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.message == f"the task file does not run: {message}"
    assert problem.where == f"causal_models/fruit.py:{line_of(path, new)}"


def test_a_task_file_that_is_not_text(project: Path) -> None:
    (project / "causal_models/fruit.py").write_bytes(b"\xff\xfe\0")
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.code == "task-file-failed"
    assert problem.where.startswith("causal_models/fruit.py")


def test_a_missing_lexicon_is_reported_at_its_line(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, 'lexicon("fruits")', 'lexicon("friuts")')
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.message == "there is no lexicon 'friuts'"
    assert problem.hint == "did you mean 'fruits'?"
    assert problem.where == f"causal_models/fruit.py:{line_of(path, 'friuts')}"


@pytest.mark.parametrize("text", ["", "task = 3\n", "tasks = []\n"])
def test_no_definition(project: Path, text: str) -> None:
    write(project / "causal_models/fruit.py", text)
    [problem] = problems_of(lambda: load_task("fruit"))
    assert str(problem) == (
        "causal_models/fruit.py: the file does not define a task [no-task-definition]\n"
        "    -> end it with: task = TaskDefinition(causal_model=..., ...)"
    )


def test_a_definition_of_the_wrong_form(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, "causal_model=model,", 'causal_model="fruit",')
    edit(path, 'version="1",', "version=1,")
    edit(path, 'edits.flip("index")]', '"index"]')
    edit(
        path,
        'hypotheses=[Hypothesis("pointer", interchange=["pointer"], site=Site("fruit_1[0]"))],',
        'hypotheses=["pointer"],',
    )
    found = problems_of(lambda: load_task("fruit"))
    assert [problem.message for problem in found] == [
        "causal_model: expected CausalModel, not 'fruit'",
        "version: expected str, not 1",
        "hypotheses: expected Hypothesis, not 'pointer'",
        "design 'fresh': expected an edit, not 'index'",
    ]
    assert {problem.code for problem in found} == {"bad-definition"}
    assert {problem.where for problem in found} == {f"{path}:{line_of(path, 'task = Task')}"}


def test_one_design_that_is_not_in_a_list(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, "    designs=[\n        Design(", "    designs=(\n        Design(")
    edit(path, "        ),\n    ],\n    hyp", "        )\n    ),\n    hyp")
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.message == "designs: expected list, not a Design"
    assert problem.hint == "write designs=[...]"


def test_every_problem_of_a_task_is_in_one_error(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, 'CausalModel("fruit"', 'CausalModel("fruits"')
    edit(path, "def pointer(index: int)", "def pointer(indx: int)")
    edit(path, 'edits.flip("index")', 'edits.flip("fruits"), edits.keep("x")')
    edit(path, 'contrast=["pointer"]', 'contrast=["poynter", "all"]')
    edit(path, 'default_design="fresh"', 'default_design="frsh"')
    edit(path, 'default_template="plain"', 'default_template="plane"')
    edit(
        path,
        'hypotheses=[Hypothesis("pointer", interchange=["pointer"], site=Site("fruit_1[0]"))],',
        """hypotheses=[
        Hypothesis("all", interchange=["pointer"]),
        Hypothesis("pointer", interchange=[("pointer", "meant"), "pointer"], hold=["pointer"]),
        Hypothesis("pointer", interchange=[], hold=["points"], design="old"),
        Hypothesis("site", interchange=["meant"], site=Site("fruit 1", align="wrod", layers="al")),
    ],""",
    )
    edit(project / "templates/fruit/plain.jinja", "{{ fruit_2 }}", "{{ friut_2 }}")
    found = problems_of(lambda: load_task("fruit"))
    codes = [problem.code for problem in found]
    assert sorted(codes) == sorted(
        [
            "unknown-parent",
            "template-undeclared",
            "repeated-name",
            "repeated-name",
            "unknown-name",  # default design
            "task-name",
            "held-and-interchanged",
            "interchanged-twice",
            "unknown-name",  # held variable
            "unknown-name",  # design of a hypothesis
            "nothing-interchanged",
            "bad-site",  # align
            "bad-site",  # layers
            "bad-site",  # position
            "impossible-edit",
            "unknown-input",
            "unknown-name",  # contrast
        ]
    )
    assert all(":" in problem.where for problem in found)
    by_message = {problem.message: problem for problem in found}
    assert by_message["there is no hypothesis 'poynter'"].hint == "did you mean 'pointer'?"
    assert by_message["hypothesis 'all' cannot be declared: the name is reserved"]
    assert by_message["there is no design 'frsh'"].hint == "did you mean 'fresh'?"
    assert by_message["there is no variable 'points'"].hint == "did you mean 'pointer'?"
    twice = line_of(path, "interchange=[]")
    first = line_of(path, '("pointer", "meant")')
    message = f"hypothesis 'pointer' is declared twice, first at {path}:{first}"
    assert by_message[message].where == f"{path}:{twice}"
    site = line_of(path, "fruit 1")
    assert by_message["hypothesis 'site': 'fruit 1' is not a position"].where == f"{path}:{site}"
    hint = by_message["hypothesis 'site' has a site with align='wrod'"].hint
    assert hint == "did you mean 'word'?"


def test_templates_that_are_named_but_not_there(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, 'default_template="plain"', 'default_template="plane"')
    edit(path, 'templates("fruit")', 'choice(["plain", "ohter"])')
    edit(path, "import distinct", "import choice, distinct")
    found = problems_of(lambda: load_task("fruit"))
    assert [(problem.message, problem.hint) for problem in found] == [
        ("there is no template 'plane'", "did you mean 'plain'?"),
        ("there is no template 'ohter'", "did you mean 'other'?"),
    ]


def test_several_templates_need_an_input_that_says_which(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    edit(path, 'model.input("template", templates("fruit"))\n', "")
    [problem] = problems_of(lambda: load_task("fruit"))
    assert problem.code == "no-template-input"
    assert problem.hint == 'declare model.input("template", templates("fruit"))'
    (project / "templates/fruit/other.jinja").unlink()
    task = load_task("fruit")
    assert list(task.templates) == ["plain"]
    assert "template" not in task.causal_model.domains


# Asking a task for its parts.


def test_parts_by_name(project: Path) -> None:
    task = load_task("fruit")
    assert task.design().name == task.design("fresh").name == "fresh"
    assert task.hypothesis("pointer").interchange == (("pointer", "pointer"),)
    [problem] = problems_of(lambda: task.design("frsh"))
    assert problem.message == "task 'fruit' has no design 'frsh'"
    assert problem.hint == "did you mean 'fresh'?"
    [problem] = problems_of(lambda: task.hypothesis("pointr"))
    assert problem.message == "task 'fruit' has no hypothesis 'pointr'"


def test_template_domain(project: Path) -> None:
    task = load_task("fruit")

    def ids(*names: str) -> list[str]:
        return list(task.template_domain(names)["template"])

    assert ids() == ["plain"]
    assert ids("other") == ["other"]
    assert ids("other", "plain", "other") == ["other", "plain"]
    assert task.template_domain(["all"]) == {}
    assert task.template_domain(["all", "plain"]) == {}
    found = problems_of(lambda: task.template_domain(["plane", "all", "ohter"]))
    assert [(problem.message, problem.hint) for problem in found] == [
        ("there is no template 'plane'", "did you mean 'plain'?"),
        ("there is no template 'ohter'", "did you mean 'other'?"),
    ]
    edit(project / "causal_models/fruit.py", '    default_template="plain",\n', "")
    assert load_task("fruit").template_domain() == {}


def test_what_a_task_says_of_answers(project: Path) -> None:
    path = project / "causal_models/fruit.py"
    assert (load_task("fruit").candidates, load_task("fruit").accept) == ((), None)
    said = 'version="1", candidates=["apple", "pear"], accept=lambda fruit: [fruit, fruit + "s"],'
    edit(path, 'version="1",', said)
    task = load_task("fruit")
    assert task.candidates == ("apple", "pear")
    assert task.accept is not None
    assert task.accept("fig") == ["fig", "figs"]
    edit(path, '[fruit, fruit + "s"]', "fruit")
    found = problems_of(lambda: load_task("fruit"))
    assert [problem.code for problem in found] == ["bad-accept", "bad-accept"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('candidates="apple"', "candidates: expected list, not 'apple'"),
        ("candidates=[]", "candidates: an answer: expected str, not None"),
        ('candidates=["apple", 3]', "candidates: an answer: expected str, not 3"),
        ('accept=["apple"]', "accept: expected Callable, not ['apple']"),
    ],
)
def test_what_a_task_may_not_say_of_answers(project: Path, said: str, message: str) -> None:
    edit(project / "causal_models/fruit.py", 'version="1",', f'version="1", {said},')
    [problem] = problems_of(lambda: load_task("fruit"))
    assert (problem.code, problem.message) == ("bad-definition", message)
