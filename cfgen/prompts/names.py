"""Which names a template refers to, and which of them do not exist, found without running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jinja2 import nodes

from cfgen.errors import Problem, did_you_mean
from cfgen.prompts.environment import SPAN_FILTER, PromptEnvironment
from cfgen.prompts.filters import LEFT_OUT

_REFUSED: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Extends: ("{% extends %}", "use {% include %} or a macro"),
    nodes.Block: ("{% block %}", "use {% include %} or a macro"),
    nodes.ScopedEvalContextModifier: ("{% autoescape %}", "prompts are not HTML: leave it out"),
}


@dataclass(slots=True)
class Survey:
    """What is known while the files of one template are looked through.

    Attributes:
        environment: Knows the filters, tests and global functions.
        trees: Syntax tree of every file.
        places: How to write every file in a message.
        inputs: For every name that stands for an input of the model, that input.
        shown: Inputs that the template says it shows.
        used: Inputs it refers to.
        files: Files it consists of.
        problems: What is wrong.
    """

    environment: PromptEnvironment
    trees: Mapping[str, nodes.Template]
    places: Mapping[str, str]
    inputs: Mapping[str, str]
    shown: frozenset[str]
    used: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def visible(self) -> frozenset[str]:
        """Names that mean something before a template defines any."""
        inputs = {name for name, source in self.inputs.items() if source in self.shown}
        return frozenset(inputs | set(self.environment.globals))


@dataclass(slots=True)
class Scope:
    """Names bound at one place of one file.

    Attributes:
        survey: The whole.
        file: File the place is in.
        names: What may be referred to.
        within: Files being looked through, from the template to this one.
    """

    survey: Survey
    file: str
    names: set[str]
    within: tuple[str, ...]
    later: list[nodes.Macro] = field(default_factory=list)

    def report(self, problem: Problem) -> None:
        """Note a problem once, even if a file is included twice."""
        if problem not in self.survey.problems:
            self.survey.problems.append(problem)

    def where(self, node: nodes.Node) -> str:
        """``file:line`` of a node."""
        return f"{self.survey.places[self.file]}:{node.lineno}"

    def inner(self, *extra: str) -> Scope:
        """A scope whose own names are not seen outside."""
        return Scope(self.survey, self.file, {*self.names, *extra}, self.within)


def survey_file(survey: Survey, file: str, names: Iterable[str], within: tuple[str, ...]) -> None:
    """Look through a file and everything it includes.

    Args:
        survey: Where findings go.
        file: Name of the file.
        names: Names that may be referred to in it.
        within: Files that led here.
    """
    survey.files.add(file)
    scope = Scope(survey, file, set(names), (*within, file))
    _body(survey.trees[file].body, scope)
    _macros(scope)


def _macros(scope: Scope) -> None:
    """Look through macros last: they run after everything around them is defined."""
    for macro in scope.later:
        inner = scope.inner("caller", "varargs", "kwargs")
        for default in macro.defaults:
            _visit(default, inner)
        _bind_all(macro.args, inner)
        _body(macro.body, inner)
        _macros(inner)


def _body(statements: Iterable[nodes.Node], scope: Scope) -> None:
    for statement in statements:
        _visit(statement, scope)


def _block(statements: Iterable[nodes.Node], scope: Scope, *extra: str) -> None:
    """Statements whose assignments are not seen outside."""
    inner = scope.inner(*extra)
    _body(statements, inner)
    _macros(inner)


def _visit(node: nodes.Node, scope: Scope) -> None:
    """Look through one node; the order of its parts is the order in which they run."""
    refused = _REFUSED.get(type(node))
    if refused is not None:
        message = f"a template cannot use {refused[0]}"
        scope.report(Problem("template-tag", message, scope.where(node), refused[1]))
    elif isinstance(node, nodes.Name):
        _name(node, scope)
    elif isinstance(node, (nodes.Filter, nodes.Test)):
        _function(node, scope)
        _children(node, scope)
    elif isinstance(node, nodes.Macro):
        _bind(node.name, node, scope)
        scope.later.append(node)
    elif isinstance(node, (nodes.Include, nodes.Import, nodes.FromImport)):
        _other_file(node, scope)
    elif isinstance(node, nodes.If):
        _if(node, scope)
    elif isinstance(node, nodes.For):
        _for(node, scope)
    else:
        _nested(node, scope)


def _children(node: nodes.Node, scope: Scope) -> None:
    _body(node.iter_child_nodes(), scope)


def _nested(node: nodes.Node, scope: Scope) -> None:
    """Nodes with a scope of their own, and all others."""
    if isinstance(node, (nodes.Assign, nodes.AssignBlock)):
        if isinstance(node, nodes.Assign):
            _visit(node.node, scope)
        else:
            _block([*node.body, *([node.filter] if node.filter else [])], scope)
        _bind_all([node.target], scope)
    elif isinstance(node, nodes.With):
        _body(node.values, scope)
        inner = scope.inner()
        _bind_all(node.targets, inner)
        _body(node.body, inner)
        _macros(inner)
    elif isinstance(node, nodes.FilterBlock):
        _visit(node.filter, scope)
        _block(node.body, scope)
    elif isinstance(node, nodes.CallBlock):
        _visit(node.call, scope)
        _body(node.defaults, scope)
        inner = scope.inner()
        _bind_all(node.args, inner)
        _body(node.body, inner)
        _macros(inner)
    else:
        _children(node, scope)


def _if(node: nodes.If, scope: Scope) -> None:
    """Every branch starts from what was known before; afterwards all of it may be."""
    before = set(scope.names)
    after = set(before)
    for branch in (node, *node.elif_):
        scope.names = set(before)
        _visit(branch.test, scope)
        _body(branch.body, scope)
        after |= scope.names
    scope.names = set(before)
    _body(node.else_, scope)
    scope.names |= after


def _for(node: nodes.For, scope: Scope) -> None:
    _visit(node.iter, scope)
    inner = scope.inner()
    _bind_all([node.target], inner)
    if node.test is not None:
        _visit(node.test, inner)
    inner.names.add("loop")
    _body(node.body, inner)
    _macros(inner)
    _block(node.else_, scope)


def _bind_all(targets: Iterable[nodes.Node], scope: Scope) -> None:
    """Names that an assignment, a loop or a macro's parameters bind."""
    for target in targets:
        names = [target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name)
        for name in names:
            _bind(name.name, name, scope)


def _bind(name: str, node: nodes.Node, scope: Scope) -> None:
    if name in scope.survey.inputs or name in scope.survey.environment.globals:
        kind = "an input or slot" if name in scope.survey.inputs else "a function of Jinja"
        scope.report(
            Problem(
                "template-shadow",
                f"{name!r} is {kind} and gets another meaning here",
                scope.where(node),
                "choose another name",
            )
        )
    scope.names.add(name)


def _name(node: nodes.Name, scope: Scope) -> None:
    """A name that is read: is there such a thing?"""
    survey = scope.survey
    source = survey.inputs.get(node.name)
    if node.ctx != "load":
        return
    if source is not None:
        survey.used.add(source)
    if node.name in scope.names:
        return
    if source is not None and source not in survey.shown:
        problem = Problem(
            "template-shows",
            f"the template refers to {node.name!r}, but does not say that it shows {source!r}",
            scope.where(node),
            f"add {source} to `shows` in the front matter",
        )
    elif source is not None:
        problem = Problem(
            "template-undeclared",
            f"{node.name!r} is not known in an imported file",
            scope.where(node),
            "pass it to the macro, or import `with context`",
        )
    else:
        problem = Problem(
            "template-undeclared",
            f"there is no {node.name!r}",
            scope.where(node),
            did_you_mean(node.name, scope.names),
        )
    scope.report(problem)


def _function(node: nodes.Filter | nodes.Test, scope: Scope) -> None:
    """A filter or test that is used: is there such a thing?"""
    environment = scope.survey.environment
    kind, known = (
        ("filter", set(environment.filters) - {SPAN_FILTER})
        if isinstance(node, nodes.Filter)
        else ("test", set(environment.tests))
    )
    if node.name in known or node.name == SPAN_FILTER:
        return
    reason = LEFT_OUT.get(node.name) if kind == "filter" else None
    scope.report(
        Problem(
            "template-function",
            f"templates have no {kind} {node.name!r}",
            scope.where(node),
            reason or did_you_mean(node.name, known),
        )
    )


def _other_file(node: nodes.Include | nodes.Import | nodes.FromImport, scope: Scope) -> None:
    """Look through an included or imported file."""
    file = _file_name(node, scope)
    if file is not None and file in scope.within:
        route = " -> ".join((*scope.within, file))
        scope.report(
            Problem("template-include", f"files include each other: {route}", scope.where(node))
        )
    elif file is not None:
        names = scope.names if node.with_context else scope.survey.environment.globals
        survey_file(scope.survey, file, names, scope.within)
    if isinstance(node, nodes.Import):
        _bind(node.target, node, scope)
    elif isinstance(node, nodes.FromImport):
        exported = None if file is None else exports(scope.survey.trees[file].body)
        for item in node.names:
            name, alias = item if isinstance(item, tuple) else (item, item)
            if exported is not None and name not in exported:
                hint = did_you_mean(name, exported)
                message = f"{file!r} defines no {name!r}"
                scope.report(Problem("template-undeclared", message, scope.where(node), hint))
            _bind(alias, node, scope)


def _file_name(node: nodes.Include | nodes.Import | nodes.FromImport, scope: Scope) -> str | None:
    """The file that is meant, ``None`` (and a problem) if that cannot be told."""
    trees = scope.survey.trees
    target = node.template.value if isinstance(node.template, nodes.Const) else None
    partials = [name for name in trees if name.startswith("_")]
    if isinstance(node, nodes.Include) and node.ignore_missing:
        message, hint = "`ignore missing` would leave out text in silence", "leave it out"
    elif not isinstance(target, str):
        message, hint = "the name of an included file has to be written out", "put it in quotes"
    elif target in trees and target.startswith("_"):
        return target
    elif target in trees:
        message = f"{target!r} is a template of its own"
        hint = "only files whose name starts with _ can be included or imported"
    else:
        message, hint = f"there is no file {target!r}", did_you_mean(target, partials)
    scope.report(Problem("template-include", message, scope.where(node), hint))
    return None


def exports(body: Iterable[nodes.Node]) -> set[str]:
    """Names that importing a file gives access to."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, nodes.Macro):
            found.add(node.name)
        elif isinstance(node, (nodes.Assign, nodes.AssignBlock)):
            found |= {name.name for name in node.find_all(nodes.Name) if name.ctx == "store"}
        elif isinstance(node, nodes.If):
            branches = [node.body, node.else_, *(branch.body for branch in node.elif_)]
            found |= exports(item for branch in branches for item in branch)
    return {name for name in found if not name.startswith("_")}
