"""Tasks: a causal model, its wording, its designs and its hypotheses, loaded from a project."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from cfgen.causal import CausalModel, Choice, Domain
from cfgen.counterfactuals import ALL, NONE, Design, Hypothesis
from cfgen.counterfactuals.edits import problems_with
from cfgen.errors import CfgenError, Problem, caller_place, did_you_mean
from cfgen.paths import display, find_all, project_roots
from cfgen.prompts import Template, load_templates

TEMPLATE_INPUT = "template"
"""The input that says which template a prompt is rendered with."""

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What the author of a task writes. A task file ends with ``task = TaskDefinition(...)``.

    Attributes:
        causal_model: The symbolic model. Its name is the name of the task and of the file. It has
            an input ``template`` if there are several templates.
        designs: Ways to make pairs.
        hypotheses: What to predict for.
        version: Changed by the author whenever the task's meaning changes; part of every seed.
        default_design: Design used when none is named.
        default_model: LM used when none is named.
        default_template: Template used when none is named; None for all of them.
        where: ``file:line`` of the declaration.
    """

    causal_model: CausalModel
    designs: Sequence[Design]
    hypotheses: Sequence[Hypothesis]
    version: str
    default_design: str
    default_model: str
    default_template: str | None = None
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", self.where or caller_place(2))


@dataclass(frozen=True, slots=True)
class Task:
    """A loaded, checked task.

    Attributes:
        name: Its name.
        description: First line of the task file's docstring.
        causal_model: The symbolic model.
        designs: Name -> design.
        hypotheses: Name -> hypothesis.
        templates: Id -> template.
        version: Version given by the author.
        default_design: Design used when none is named.
        default_model: LM used when none is named.
        default_template: Template used when none is named; None for all of them.
        path: The task file.
        content_hash: SHA-256 over task file, templates and lexicons.
    """

    name: str
    description: str
    causal_model: CausalModel
    designs: Mapping[str, Design]
    hypotheses: Mapping[str, Hypothesis]
    templates: Mapping[str, Template]
    version: str
    default_design: str
    default_model: str
    default_template: str | None
    path: Path
    content_hash: str

    def design(self, name: str | None = None) -> Design:
        """The design of that name, or the default one.

        Raises:
            CfgenError: If there is no such design.
        """
        return _get("design", self.designs, name or self.default_design, self.name)

    def hypothesis(self, name: str) -> Hypothesis:
        """The hypothesis of that name.

        Raises:
            CfgenError: If there is no such hypothesis.
        """
        return _get("hypothesis", self.hypotheses, name, self.name)

    def template_domain(self, names: Sequence[str] = ()) -> dict[str, Domain]:
        """Restriction of the input ``template`` to some templates.

        Args:
            names: Template ids; ``all`` for every one; none for the task's default.

        Returns:
            ``{"template": domain}``, or nothing where every template may be drawn.

        Raises:
            CfgenError: If there is no such template.
        """
        if not names and self.default_template:
            names = (self.default_template,)
        if not names or "all" in names:
            return {}
        for name in names:
            _get("template", self.templates, name, self.name)
        return {TEMPLATE_INPUT: Choice(tuple(names))}


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


def load_task(name: str, *roots: Path) -> Task:
    """Load a task by name, or by the path of its file.

    Args:
        name: ``my_task``, or a path that ends in ``.py``.
        *roots: Project folders to search before the current one and the built-ins.

    Returns:
        The task, with its templates.

    Raises:
        CfgenError: If there is no such task, or for every problem found in it.
    """
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise CfgenError(Problem("no-such-task", f"there is no file {name}"))
    else:
        tasks = list_tasks(*roots)
        if name not in tasks:
            searched = ", ".join(display(root) for root in project_roots(*roots))
            raise CfgenError(
                Problem(
                    "no-such-task",
                    f"there is no task {name!r} (looked in {searched})",
                    hint=did_you_mean(name, tasks),
                )
            )
        path = tasks[name]
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
    return _assemble(definition, module, path)


def _assemble(definition: TaskDefinition, module: ModuleType, path: Path) -> Task:
    model = definition.causal_model
    _ = model.program  # reports every problem of the causal model
    templates = load_templates(path.stem, model.slots, path.parent.parent)
    problems = _problems(definition, path, templates)
    if problems:
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
        path=path,
        content_hash=_content_hash(model, path, templates),
    )


def _import_file(path: Path) -> ModuleType:
    """Run a task file as a module of its own; the same path is run anew each time."""
    name = f"cfgen_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py file always has a spec and a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except CfgenError:
        raise
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(path, error)
        shown = "".join(traceback.format_exception(error))
        raise CfgenError(
            Problem(
                "task-file-failed",
                f"the task file does not run: {type(error).__name__}: {error}",
                where=f"{display(path)}:{line}",
                hint="mend the file; its own error follows",
                detail=shown,
            )
        ) from error
    return module


def _line_in(path: Path, error: Exception) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if Path(f.filename) == path), 0)


def _problems(
    definition: TaskDefinition, path: Path, templates: Mapping[str, Template]
) -> list[Problem]:
    model, place = definition.causal_model, definition.where
    designs = [design.name for design in definition.designs]
    problems = [
        *_repeated("design", [(d.name, d.where) for d in definition.designs]),
        *_repeated("hypothesis", [(h.name, h.where) for h in definition.hypotheses]),
        *_unknown("design", [(definition.default_design, place)], designs),
    ]
    if model.name != path.stem:
        problems.append(
            Problem(
                "task-name",
                f"the causal model is called {model.name!r}, but the file {path.name!r}",
                where=place,
                hint="give both the same name",
            )
        )
    if definition.default_template:
        problems += _unknown("template", [(definition.default_template, place)], templates)
    if TEMPLATE_INPUT not in model.domains and len(templates) > 1:
        problems.append(
            Problem(
                "no-template-input",
                f"there are {len(templates)} templates, but no input says which one is used",
                where=place,
                hint=f'declare model.input("template", templates("{model.name}"))',
            )
        )
    for hypothesis in definition.hypotheses:
        problems += _hypothesis_problems(hypothesis, model, designs)
    contrasts = [h.name for h in definition.hypotheses] + [ALL]
    for design in definition.designs:
        for edit in (*design.original, *design.counterfactual):
            problems += problems_with(edit, model.domains)
        named = [(name, design.where) for name in design.contrast]
        problems += _unknown("hypothesis", named, contrasts)
    return problems


def _hypothesis_problems(
    hypothesis: Hypothesis, model: CausalModel, designs: Sequence[str]
) -> list[Problem]:
    place, sources = hypothesis.where, hypothesis.sources
    named = [(name, place) for name in dict.fromkeys((*sources, *sources.values()))]
    named += [(name, place) for name in hypothesis.hold]
    problems = _unknown("variable", named, model.graph().order)
    if hypothesis.design:
        problems += _unknown("design", [(hypothesis.design, place)], designs)
    if not sources:
        problems.append(
            Problem(
                "nothing-interchanged",
                f"hypothesis {hypothesis.name!r} interchanges no variable",
                where=place,
                hint="name at least one in interchange=[...]",
            )
        )
    for name in hypothesis.hold:
        if name in sources:
            problems.append(
                Problem(
                    "held-and-interchanged",
                    f"hypothesis {hypothesis.name!r} both holds and interchanges {name!r}",
                    where=place,
                    hint="drop the name from one of the two",
                )
            )
    return problems


def _repeated(what: str, named: Iterable[tuple[str, str]]) -> list[Problem]:
    seen = {NONE, ALL} if what == "hypothesis" else set[str]()
    problems = []
    for name, place in named:
        if name in seen:
            problems.append(
                Problem(
                    "repeated-name",
                    f"{what} {name!r} is declared twice, or reserved",
                    where=place,
                    hint="give it another name",
                )
            )
        seen.add(name)
    return problems


def _unknown(what: str, named: Iterable[tuple[str, str]], known: Iterable[str]) -> list[Problem]:
    options = list(known)
    return [
        Problem(
            "unknown-name",
            f"there is no {what} {name!r}",
            where=place,
            hint=did_you_mean(name, options),
        )
        for name, place in named
        if name not in options
    ]


def _get(what: str, options: Mapping[str, Record], name: str, task: str) -> Record:
    if name not in options:
        raise CfgenError(
            Problem(
                "unknown-name",
                f"task {task!r} has no {what} {name!r}",
                hint=did_you_mean(name, options),
            )
        )
    return options[name]


def _content_hash(model: CausalModel, path: Path, templates: Mapping[str, Template]) -> str:
    """SHA-256 of what a pair depends on: the task file, the wording, and the words."""
    files = {path}
    for template in templates.values():
        files |= {template.path, *template.path.parent.glob("_*.jinja")}
    texts = {
        f"{file.parent.name}/{file.name}": hashlib.sha256(
            file.read_bytes().replace(b"\r\n", b"\n")
        ).hexdigest()
        for file in files
    }
    pools = {name: list(domain.pools.values()) for name, domain in model.domains.items()}
    content = json.dumps([texts, pools], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
