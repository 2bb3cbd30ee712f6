"""Finding and loading tasks; all that is wrong with one is reported together."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from cfgen.bounded import read_file
from cfgen.causal import CausalModel, Words
from cfgen.errors import STOPPING, CfgenError, Problem, did_you_mean, own_traceback, shown_error
from cfgen.paths import display, find_all, project_of, project_roots, real_path, searching
from cfgen.prompts import Showable, Template, load_templates, noting_lexicons
from cfgen.tasks.checks import definition_problems, form_problems
from cfgen.tasks.records import Task, TaskDefinition


def list_tasks(*roots: Path) -> dict[str, Path]:
    """Find every task.

    Args:
        *roots: Project folders to search before the current one and the built-ins.

    Returns:
        Task name -> its file, in alphabetical order.
    """
    found: dict[str, Path] = {}
    for folder in find_all("causal_models", *roots):
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def load_task(name: str | os.PathLike[str], *roots: Path) -> Task:
    """Load a task by name, or by the path of its file.

    Its templates and lexicons are looked for in its own project (the folder that holds the
    ``causal_models/`` it lies in), then where tasks are looked for; the built-ins come last.

    Args:
        name: ``my_task``, or a path that ends in ``.py``.
        *roots: Project folders to search before the current one and the built-ins.

    Returns:
        The task, with its templates.

    Raises:
        CfgenError: If there is no such task, or for every problem found in it.
    """
    path = find_task(name, *roots)
    with searching(*roots):
        with noting_lexicons() as lexicons:
            module = _import_file(path)
        definition = getattr(module, "task", None)
        if not isinstance(definition, TaskDefinition):
            raise CfgenError(
                Problem(
                    "no-task-definition",
                    "the file does not define a task",
                    where=display(path),
                    hint="end it with: task = TaskDefinition(causal_model=..., ...)",
                )
            )
        return _assemble(definition, module, path, lexicons)


def find_task(task: str | os.PathLike[str], *roots: Path) -> Path:
    """The file of a task, which need not be sound: it is not run.

    Args:
        task: ``my_task``, or a path that ends in ``.py``.
        *roots: Project folders to search before the current one and the built-ins.

    Raises:
        CfgenError: There is no such task.
    """
    if not isinstance(task, str | os.PathLike):
        message = f"a task is asked for by its name or its file, not by {type(task).__name__}"
        hint = "give a name (`cfgen tasks` lists them), or the path of a file that ends in .py"
        raise CfgenError(Problem("no-such-task", message, hint=hint))
    name, tasks = os.fspath(task), list_tasks(*roots)
    if name.endswith(".py"):
        path = real_path(Path(name))
        if path.is_file():
            return path
        message = f"there is no file {name}"
        hint = f"check the path, or name a task ({did_you_mean(path.stem, tasks)})"
        raise CfgenError(Problem("no-such-task", message, hint=hint))
    if name not in tasks:
        searched = ", ".join(display(root) for root in project_roots(*roots))
        message = f"there is no task {name!r} (looked in {searched})"
        raise CfgenError(Problem("no-such-task", message, hint=did_you_mean(name, tasks)))
    return tasks[name]


def _assemble(
    definition: TaskDefinition, module: ModuleType, path: Path, lexicons: Sequence[Words]
) -> Task:
    problems = form_problems(definition)
    if problems:  # nothing else can be looked at
        raise CfgenError(problems)
    model = definition.causal_model
    templates: Mapping[str, Template] | None = None
    try:
        _ = model.program
    except CfgenError as error:
        problems += error.problems
    try:
        templates = load_templates(path.stem, Showable.of(model), *project_of(path))
    except CfgenError as error:
        problems += error.problems
    problems += definition_problems(definition, path, templates)
    if problems or templates is None:
        raise CfgenError(problems)
    return Task(
        name=model.name,
        description=(module.__doc__ or "").strip().partition("\n")[0],
        causal_model=model,
        designs={design.name: design for design in definition.designs},
        hypotheses={hypothesis.name: hypothesis for hypothesis in definition.hypotheses},
        templates=templates,
        version=definition.version,
        default_design=definition.default_design,
        default_model=definition.default_model,
        default_template=definition.default_template,
        allow=dict(definition.allow),
        candidates=tuple(definition.candidates or ()),
        accept=definition.accept,
        languages=tuple(definition.languages),
        defaults={
            name: tuple(value) if isinstance(value, list) else value
            for name, value in definition.defaults.items()
        },
        path=path,
        where=definition.where,
        content_hash=_content_hash(model, path, templates, lexicons),
    )


def _import_file(path: Path) -> ModuleType:
    """Run a task file as a module of its own, as it is now: no stored bytecode is used."""
    try:
        source = read_file(path)
    except (OSError, ValueError) as error:
        why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else error
        message, hint = f"the task file {why}", "name a Python file that ends with a task"
        raise CfgenError(Problem("task-file-failed", message, display(path), hint)) from error
    module = ModuleType(f"cfgen_task_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except CfgenError as error:
        place = _place_in(path, error)
        problems = [replace(p, where=p.where or place) for p in error.problems]
        raise CfgenError(problems) from error
    except STOPPING:
        raise
    except BaseException as error:
        meant = _missing_name(error)
        raise CfgenError(
            Problem(
                "task-file-failed",
                f"the task file does not run: {shown_error(error)}",
                where=_place_in(path, error),
                hint=meant or "mend the file; its own error follows",
                detail="" if meant else own_traceback(error),
            )
        ) from error
    return module


def _missing_name(error: BaseException) -> str:
    """What may have been meant by a name that is ours, but is not there."""
    if isinstance(error, AttributeError) and error.name:
        kind = error.obj if isinstance(error.obj, type | ModuleType) else type(error.obj)
        owner = kind.__name__ if isinstance(kind, ModuleType) else kind.__module__
        ours = owner.partition(".")[0] == "cfgen"
        names = (name for name in dir(error.obj) if not name.startswith("_"))
        return did_you_mean(error.name, names) if ours else ""
    found = re.match(r"cannot import name '(\w+)' from 'cfgen'", str(error))
    if not isinstance(error, ImportError) or found is None:
        return ""
    return did_you_mean(found[1], sys.modules["cfgen"].__all__)


def _place_in(path: Path, error: BaseException) -> str:
    """``file:line`` of a task file at which an error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), None)
    return f"{display(path)}:{line}" if line else display(path)


def _content_hash(
    model: CausalModel, path: Path, templates: Mapping[str, Template], lexicons: Sequence[Words]
) -> str:
    """SHA-256 of what a pair depends on: the task file, the wording, words, attributes.

    A lexicon that no input draws from counts as well: mechanisms may look words up in it.
    """
    source = hashlib.sha256(read_file(path).replace(b"\r\n", b"\n")).hexdigest()
    wording = {name: template.digest for name, template in templates.items()}
    words = {name: list(domain.pools.values()) for name, domain in model.domains.items()}
    parts: list[Any] = [source, wording, words]
    drawn = {pool for domain in model.domains.values() for pool in domain.pools}
    tables = {item.pool: item.table for item in lexicons}
    looked_up = {
        name: [table.columns, table.rows]
        for name, table in tables.items()
        if table.columns or name not in drawn
    }
    if looked_up:
        parts.append(looked_up)
    content = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
