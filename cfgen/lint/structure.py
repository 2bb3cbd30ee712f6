"""Checks of what a task consists of: files, inputs, variables, lexicons, sites; nothing is run."""

from __future__ import annotations

import ast
import dis
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cfgen.bounded import read_file
from cfgen.errors import CfgenError
from cfgen.lint.findings import Finding, from_error, key_line
from cfgen.lm.components import COMPONENTS, Place, place_problems
from cfgen.paths import display, project_of
from cfgen.prompts import Template, load_lexicon, read_source, read_text
from cfgen.tasks import TEMPLATE_INPUT, Task
from cfgen.weights.lookup import check_name


def check_files(path: Path) -> Iterator[Finding]:
    """Problems of the files around a task file, read one by one and without the task.

    A task file that does not run hides what is wrong elsewhere; this looks there all the same.

    Args:
        path: The task file.
    """
    for root in project_of(path):
        for file in sorted((root / "templates" / path.stem).glob("*.jinja")):
            read = read_text if file.name.startswith("_") else read_source
            try:
                read(file)
            except CfgenError as error:
                yield from from_error(error)
        lexicons = (root / "data/lexicons").glob("*")
        for name in sorted({file.stem for file in lexicons if file.suffix in (".txt", ".tsv")}):
            try:
                load_lexicon(name, root)
            except CfgenError as error:
                yield from from_error(error)


def check_inputs(task: Task) -> Iterable[Finding]:
    """Inputs that nothing depends on, and those that a prompt has to show but does not."""
    graph = task.causal_model.graph()
    needed = graph.ancestors(graph.output)
    shown = {name for template in task.templates.values() for name in shown_by(task, template)}
    for name in graph.inputs:
        if name not in needed | shown | {TEMPLATE_INPUT}:
            yield Finding(
                "input-unused",
                f"input {name!r} is shown by no template, and the output does not depend on it",
                task.causal_model.places[name],
                "show it, let a variable depend on it, or drop it",
                name,
            )


def check_shown(task: Task) -> Iterable[Finding]:
    """Templates that leave out an input on which the right answer depends."""
    model = task.causal_model
    needed = model.graph().ancestors(model.output)
    for template in task.templates.values():
        for name in model.graph().inputs:
            settled = len(template.supports.get(name, ())) == 1 or model.domains[name].count() == 1
            if name in needed and name not in shown_by(task, template) and not settled:
                yield Finding(
                    "input-not-shown",
                    f"template {template.id!r} does not show input {name!r}, but the answer "
                    "depends on it, so no reader can know the answer",
                    key_line(template.path, "shows"),
                    f"show {name}, or say under `supports` which one value of it is meant",
                    template.id,
                )


def shown_by(task: Task, template: Template) -> set[str]:
    """What a prompt depends on: what the template shows, and what is above its variables."""
    graph = task.causal_model.graph()
    return {*template.shows}.union(*map(graph.ancestors, template.variables))


def check_parents(task: Task) -> Iterable[Finding]:
    """Mechanisms that name a parent and never look at it."""
    for name, mechanism, parents in task.causal_model.program.steps:
        read = _names_read(inspect.unwrap(mechanism))
        for parent in parents:
            if parent not in read:
                yield Finding(
                    "parent-unused",
                    f"variable {name!r} names {parent!r} as a parent, but never uses it",
                    task.causal_model.places[name],
                    f"drop the parameter {parent}, or use it",
                    name,
                )


def _names_read(function: Callable[..., Any]) -> set[str]:
    """Local names that a function reads, itself or in a function inside of it."""
    read = set(function.__code__.co_cellvars)
    for step in dis.get_instructions(function):
        if "LOAD" in step.opname:
            named = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            read.update(name for name in named if isinstance(name, str))
    return read


def check_sites(task: Task) -> Iterable[Finding]:
    """Sites at a component, head or neuron that no LM has."""
    for hypothesis in task.hypotheses.values():
        site = hypothesis.site
        for problem in place_problems(Place(site.component, 0, site.head, site.neurons)):
            yield Finding(
                "site-impossible",
                f"hypothesis {hypothesis.name!r} is at a site that no LM has: {problem.message}",
                hypothesis.where,
                problem.hint or f"components are: {', '.join(COMPONENTS)}",
                hypothesis.name,
            )


def check_model(task: Task) -> Iterable[Finding]:
    """A default LM whose name stands for none; nothing is fetched, and no hub is asked."""
    try:
        check_name(task.default_model)
    except CfgenError as error:
        for problem in error.problems:
            yield Finding(
                "model-unknown",
                f"the default LM cannot be used: {problem.message}",
                task.where,
                problem.hint,
                task.default_model,
            )


def check_lexicons(task: Task) -> Iterable[Finding]:
    """Lexicons of the task's own project that no task of the project names."""
    for root in project_of(task.path):
        named = _words_named(root / "causal_models")
        for path in sorted((root / "data/lexicons").glob("*")):
            if path.suffix in (".txt", ".tsv") and path.stem not in named:
                yield Finding(
                    "lexicon-unused",
                    f"no task in {display(root / 'causal_models')} uses the lexicon {path.stem!r}",
                    f"{display(path)}:1",
                    f'use it as lexicon("{path.stem}"), or remove the file',
                    path.stem,
                )


def _words_named(folder: Path) -> set[str]:
    """Every text that is written out in the task files of a folder, which are not run."""
    found: set[str] = set()
    for path in folder.glob("*.py"):
        try:
            tree = ast.parse(read_file(path))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        nodes = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found.update(value for value in nodes if isinstance(value, str))
    return found
