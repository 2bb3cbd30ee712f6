"""Checks of a task's definition: the names it uses, its designs and its hypotheses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from cfgen.causal import CausalModel
from cfgen.counterfactuals import ALL, NONE, Design, Hypothesis, InputEdit, Site, problems_with
from cfgen.counterfactuals.hypotheses import LAYER_MODES, Align
from cfgen.errors import CfgenError, Problem, did_you_mean, shown_value
from cfgen.prompts import Template, lexicon, parse_position
from cfgen.tasks.answers import accepted_texts
from cfgen.tasks.records import (
    DEFAULTS,
    TEMPLATE_INPUT,
    TaskDefinition,
    default_positions,
    unknown_names,
)
from cfgen.words import half_in

LONGEST_TEXT = 10_000
"""Characters of a name or a description at most."""


def form_problems(definition: TaskDefinition) -> list[Problem]:
    """Say which parts of a definition are not what they have to be."""
    expected: list[tuple[str, Any, type]] = [
        ("causal_model", definition.causal_model, CausalModel),
        ("version", definition.version, str),
        ("default_design", definition.default_design, str),
        ("default_model", definition.default_model, str),
        ("allow", definition.allow, dict),
        ("defaults", definition.defaults, dict),
    ]
    if isinstance(definition.defaults, dict):
        for name, value in definition.defaults.items():
            given = tuple(value) if isinstance(value, list) else value
            kind = DEFAULTS.get(name)
            expected.append((f"defaults[{shown_value(name)}]", given, kind or NoneType))
            if kind is tuple and isinstance(given, tuple):
                expected += [(f"defaults[{name!r}]", each, str) for each in given]
    if isinstance(definition.allow, dict):
        items = definition.allow.items()
        expected += [("allow: a reason in words", reason or None, str) for _, reason in items]
        expected += [("allow: a code", code, str) for code, _ in items]
    if definition.default_template is not None:
        expected.append(("default_template", definition.default_template, str))
    expected += _answer_parts(definition)
    for name, given, kind in (
        ("designs", definition.designs, Design),
        ("hypotheses", definition.hypotheses, Hypothesis),
    ):
        listed = given if isinstance(given, (list, tuple)) else [given]
        expected += [(name, item, kind) for item in listed]
        if listed is not given:
            expected.append((name, given, list))
    for hypothesis in (
        definition.hypotheses if isinstance(definition.hypotheses, (list, tuple)) else ()
    ):
        if isinstance(hypothesis, Hypothesis):
            expected += _named_parts(hypothesis) or _site_parts(hypothesis)
    for design in definition.designs if isinstance(definition.designs, (list, tuple)) else ():
        if isinstance(design, Design):
            name = f"design {shown_value(design.name)}"
            edits = (*design.original, *design.counterfactual)
            expected += [(name, edit, InputEdit) for edit in edits]
            expected += [
                (f"{name}: an input", each, str)
                for edit in edits
                if isinstance(edit, InputEdit)
                for each in (edit.input, *edit.reads)
            ]
            expected.append((f"{name}: its name", design.name, str))
            expected += [(f"{name}: its contrast", other, str) for other in design.contrast]
    return [
        Problem(
            "bad-definition",
            f"{name}: expected {_named(kind)}, not {_short(value)}",
            where=definition.where,
            hint=f"write {name}=[...]" if kind is list else f"put {_made(kind)} here",
        )
        for name, value, kind in expected
        if not isinstance(value, kind)
    ] + [*_odd_texts(definition, expected), *_language_problems(definition)]


def _odd_texts(
    definition: TaskDefinition, expected: Iterable[tuple[str, Any, type]]
) -> list[Problem]:
    """Texts that no file can hold, and those that nobody can be shown."""
    model = definition.causal_model
    names = model.names if isinstance(model, CausalModel) else ()
    texts = [(name, value) for name, value, _ in expected if isinstance(value, str)]
    found = []
    for name, value in [*texts, *(("causal_model", name) for name in names)]:
        if half_in(value):
            message = f"{name}: {value!a} holds half a character"
            found.append((message, "write the character itself, not one half of it"))
        elif len(value) > LONGEST_TEXT:
            message = f"{name}: {value[:40]!a}... has {len(value):,} characters"
            found.append((message, f"write {LONGEST_TEXT:,} or fewer"))
    return [Problem("bad-definition", message, definition.where, hint) for message, hint in found]


def _language_problems(definition: TaskDefinition) -> list[Problem]:
    """Languages that are none: the Hub would refuse a card that names them."""
    given = definition.languages
    listed = given if isinstance(given, (list, tuple)) else (None,)
    return [
        Problem(
            "bad-definition",
            f"languages: {_short(given)} is not a list of language codes",
            where=definition.where,
            hint='write codes of two or three small letters (ISO 639): languages=["hi"]',
        )
        for code in listed
        if not (isinstance(code, str) and re.fullmatch(r"[a-z]{2,3}", code))
    ][:1]


def _named_parts(hypothesis: Hypothesis) -> list[tuple[str, Any, type]]:
    """Names in a hypothesis that are no texts."""
    name = f"hypothesis {shown_value(hypothesis.name)}"
    parts: list[tuple[str, Any, type]] = [(f"{name}: its name", hypothesis.name, str)]
    named = (*(each for pair in hypothesis.interchange for each in pair), *hypothesis.hold)
    parts += [(f"{name}: a variable", each, str) for each in named]
    if hypothesis.design is not None:
        parts.append((f"{name}: its design", hypothesis.design, str))
    return [part for part in parts if not isinstance(part[1], str)]


def _site_parts(hypothesis: Hypothesis) -> list[tuple[str, Any, type]]:
    """What a hypothesis says of its site, and of which type each part has to be."""
    name, site = f"hypothesis {hypothesis.name!r}: ", hypothesis.site
    if not isinstance(site, Site):
        return [(f"{name}site", site, Site)]
    parts: list[tuple[str, Any, type]] = [
        (f"{name}layers", site.layers, str),
        (f"{name}component", site.component, str),
        *((f"{name}a position", each, str) for each in (*site.positions, *site.frozen)),
        *((f"{name}a neuron", each, int) for each in site.neurons),
    ]
    if not site.positions:
        parts.append((f"{name}a position", None, str))
    return parts if site.head is None else [*parts, (f"{name}head", site.head, int)]


def _answer_parts(definition: TaskDefinition) -> list[tuple[str, Any, type]]:
    """What a definition says of answers, and of which type each part has to be."""
    given, accept = definition.candidates, definition.accept
    parts: list[tuple[str, Any, Any]] = [] if accept is None else [("accept", accept, Callable)]
    if isinstance(given, (list, tuple)):
        parts += [("candidates: an answer", text or None, str) for text in given or (None,)]
    elif given is not None:
        parts.append(("candidates", given, list))
    return parts


def _named(kind: type) -> str:
    """A type as who writes a task knows it: edits are only ever made by functions."""
    return "an edit" if kind is InputEdit else kind.__name__


def _made(kind: type) -> str:
    """What to write where something of a type is expected."""
    made = f"something of type {kind.__name__}"
    return "what a function of edits makes, such as edits.flip(...)," if kind is InputEdit else made


def _short(value: Any) -> str:
    text = shown_value(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"


def definition_problems(
    definition: TaskDefinition, path: Path, templates: Mapping[str, Template] | None
) -> list[Problem]:
    """Say what is wrong with a definition, apart from its causal model and its templates.

    Args:
        definition: What the author wrote.
        path: The task file.
        templates: The task's templates; None if they could not be loaded.
    """
    model, place = definition.causal_model, definition.where
    designs = [design.name for design in definition.designs]
    problems = [
        *_repeated("design", [(d.name, d.where) for d in definition.designs]),
        *_repeated("hypothesis", [(h.name, h.where) for h in definition.hypotheses]),
        *unknown_names("design", [(definition.default_design, place)], designs),
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
    problems += _reading_problems(model)
    if templates is not None:
        problems += _template_problems(definition, templates)
        problems += _unused_variables(model, templates.values())
    problems += _accept_problems(definition)
    problems += _position_problems("defaults", default_positions(definition.defaults), place)
    for hypothesis in definition.hypotheses:
        problems += _hypothesis_problems(hypothesis, model, designs)
    contrasts = [h.name for h in definition.hypotheses] + [ALL]
    for design in definition.designs:
        for edit in (*design.original, *design.counterfactual):
            problems += problems_with(edit, model.domains)
        named = [(name, design.where) for name in design.contrast]
        problems += unknown_names("hypothesis", named, contrasts)
    return problems


def _reading_problems(model: CausalModel) -> list[Problem]:
    """Mechanisms that read a lexicon when they run: nobody notes what a pair rests on."""
    try:
        steps = (*model.program.steps, *model.program.requirements)
    except CfgenError:  # which is reported by itself
        return []
    return [
        Problem(
            "lexicon-in-mechanism",
            f"{name!r} reads a lexicon each time that it is computed",
            where=f"{inspect.unwrap(mechanism).__code__.co_filename}:"
            f"{inspect.unwrap(mechanism).__code__.co_firstlineno}",
            hint='read it once, before the function: countries = lexicon("countries")',
        )
        for name, mechanism, _ in steps
        if lexicon in inspect.getclosurevars(mechanism).globals.values()
    ]


def _unused_variables(model: CausalModel, templates: Iterable[Template]) -> list[Problem]:
    """Variables that the output does not depend on, and no template shows.

    Inputs may be there for what is drawn alone.
    """
    graph = model.graph()
    shown = {name for template in templates for name in template.shows if name in graph.order}
    needed = {graph.output, *graph.inputs, *shown}
    needed = needed.union(*map(graph.ancestors, needed))
    return [
        Problem(
            "unreachable-variable",
            f"the output {graph.output!r} does not depend on variable {name!r}, and no template "
            "shows it",
            where=model.places[name],
            hint="make it a parent of something the output depends on, show it, or drop it",
        )
        for name in graph.order
        if name not in needed
    ]


def _accept_problems(definition: TaskDefinition) -> list[Problem]:
    """What ``accept`` gives for the answers that are declared; for others a run looks."""
    try:
        accepted_texts(definition.accept, definition.candidates or (), definition.where)
    except CfgenError as error:
        return list(error.problems)
    return []


def _template_problems(
    definition: TaskDefinition, templates: Mapping[str, Template]
) -> list[Problem]:
    model, place = definition.causal_model, definition.where
    named = [definition.default_template] if definition.default_template else []
    if TEMPLATE_INPUT in model.domains:
        named += [str(value) for value in model.domains[TEMPLATE_INPUT]]
    problems = unknown_names(
        "template", [(name, place) for name in dict.fromkeys(named)], templates
    )
    if TEMPLATE_INPUT not in model.domains and len(templates) > 1:
        problems.append(
            Problem(
                "no-template-input",
                f"there are {len(templates)} templates, but no input says which one is used",
                where=place,
                hint=f'declare model.input("template", templates("{model.name}"))',
            )
        )
    return problems


def _hypothesis_problems(
    hypothesis: Hypothesis, model: CausalModel, designs: Sequence[str]
) -> list[Problem]:
    place, sources = hypothesis.where, hypothesis.sources
    named = [(name, place) for name in dict.fromkeys((*sources, *sources.values()))]
    named += [(name, place) for name in hypothesis.hold]
    problems = unknown_names("variable", named, model.names)
    if hypothesis.design:
        problems += unknown_names("design", [(hypothesis.design, place)], designs)
    problems += _site_problems(hypothesis)
    if not sources:
        problems.append(
            Problem(
                "nothing-interchanged",
                f"hypothesis {hypothesis.name!r} interchanges no variable",
                where=place,
                hint="name at least one in interchange=[...]",
            )
        )
    targets = [pair[0] for pair in hypothesis.interchange]
    for name in dict.fromkeys(targets):
        if name in hypothesis.hold:
            problems.append(
                Problem(
                    "held-and-interchanged",
                    f"hypothesis {hypothesis.name!r} both holds and interchanges {name!r}",
                    where=place,
                    hint="drop the name from one of the two",
                )
            )
        if targets.count(name) > 1:
            problems.append(
                Problem(
                    "interchanged-twice",
                    f"hypothesis {hypothesis.name!r} interchanges {name!r} twice",
                    where=place,
                    hint="a variable takes its value from one place: drop the others",
                )
            )
    return problems


def _site_problems(hypothesis: Hypothesis) -> list[Problem]:
    """Say what is wrong with a site, as far as that can be told without an LM."""
    site, problems = hypothesis.site, []
    for key, value, options in (
        ("align", site.align, get_args(Align)),
        ("layers", site.layers, (site.layers,) if site.has_known_layers else LAYER_MODES),
    ):
        if value not in options:
            problems.append(
                Problem(
                    "bad-site",
                    f"hypothesis {hypothesis.name!r} has a site with {key}={shown_value(value)}",
                    where=hypothesis.where,
                    hint=did_you_mean(str(value), options),
                )
            )
    what, positions = f"hypothesis {hypothesis.name!r}", (*site.positions, *site.frozen)
    return problems + _position_problems(what, positions, hypothesis.where)


def _position_problems(what: str, positions: Iterable[str], where: str) -> list[Problem]:
    """Say which position expressions are none."""
    problems: list[Problem] = []
    for position in positions:
        try:
            parse_position(position)
        except CfgenError as error:
            problems += [
                Problem("bad-site", f"{what}: {problem.message}", where, problem.hint)
                for problem in error.problems
            ]
    return problems


def _repeated(what: str, named: Iterable[tuple[str, str]]) -> list[Problem]:
    reserved = {NONE, ALL} if what == "hypothesis" else set[str]()
    seen: dict[str, str] = {}
    problems = []
    for name, place in named:
        wrong = ""
        if name in reserved:
            wrong = "cannot be declared: the name is reserved"
        elif name in seen:
            wrong = f"is declared twice, first at {seen[name]}"
        if wrong:
            problems.append(
                Problem(
                    "repeated-name",
                    f"{what} {name!r} {wrong}",
                    where=place,
                    hint="give it another name",
                )
            )
        seen.setdefault(name, place)
    return problems
