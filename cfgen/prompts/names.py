"""Which names a template refers to, and which of them do not exist, found without running it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from jinja2 import nodes

from cfgen.causal import WordTable
from cfgen.errors import Problem, did_you_mean
from cfgen.prompts.environment import INTERNAL, SPAN_FILTER, PromptEnvironment
from cfgen.prompts.filters import LEFT_OUT, TEXT_METHODS
from cfgen.prompts.spans import EVERY, LAST, WHOLE_PROMPT

_REFUSED: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Extends: ("{% extends %}", "use {% include %} or a macro"),
    nodes.Block: ("{% block %}", "use {% include %} or a macro"),
    nodes.ScopedEvalContextModifier: ("{% autoescape %}", "prompts are not HTML: leave it out"),
}

_LOCAL = frozenset({"loop", "caller", "varargs", "kwargs"})
"""Names that Jinja makes only where the same file refers to them."""


@dataclass(slots=True)
class Survey:
    """What is known while the files of one template are looked through.

    Attributes:
        environment: Knows the filters, tests and global functions.
        trees: Syntax tree of every file.
        places: How to write every file in a message.
        inputs: For every name that stands for an input of the model, that input; for variables
            that the template says it shows, themselves.
        shown: Inputs and variables that the template says it shows.
        variables: All variables of the model.
        tables: For inputs that draw from one, what a lexicon says of their words.
        used: Inputs and variables it refers to.
        files: Files it consists of.
        problems: What is wrong.
    """

    environment: PromptEnvironment
    trees: Mapping[str, nodes.Template]
    places: Mapping[str, str]
    inputs: Mapping[str, str]
    shown: frozenset[str]
    variables: Collection[str] = ()
    tables: Mapping[str, WordTable] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def table(self, name: str) -> WordTable | None:
        """What the lexicon says of the word that a name stands for; None if it is no such word."""
        source = self.inputs.get(name, "")
        elements = [one for one, other in self.inputs.items() if other == source != one]
        return None if elements and name == source else self.tables.get(source)

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
        modules: For every name of an imported file, what the file defines.
        later: Macros, which are looked through last.
    """

    survey: Survey
    file: str
    names: set[str]
    within: tuple[str, ...]
    modules: dict[str, set[str]] = field(default_factory=dict)
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
        names = {*self.names, *extra}
        return Scope(self.survey, self.file, names, self.within, dict(self.modules))


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
        _bind_all(macro.args, inner)
        _body([*macro.defaults, *macro.body], inner)
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
        if node.ctx == "load":
            _check_name(node, scope)
    elif isinstance(node, nodes.Getattr):
        _check_member(node, scope)
        _children(node, scope)
    elif isinstance(node, (nodes.Filter, nodes.Test)):
        _check_function(node, scope)
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
        _check_phrase(node, scope)
        _visit(node.filter, scope)
        _block(node.body, scope)
    elif isinstance(node, nodes.CallBlock):
        _visit(node.call, scope)
        inner = scope.inner()
        _bind_all(node.args, inner)
        _body([*node.defaults, *node.body], inner)
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


def _other_file(node: nodes.Include | nodes.Import | nodes.FromImport, scope: Scope) -> None:
    """Look through an included or imported file."""
    file = _file_name(node, scope)
    if file is not None and file in scope.within:
        route = " -> ".join((*scope.within, file))
        message, hint = f"files include each other: {route}", "leave one of them out"
        scope.report(Problem("template-include", message, scope.where(node), hint))
    elif file is not None:
        names = scope.names - _LOCAL if node.with_context else scope.survey.environment.globals
        survey_file(scope.survey, file, names, scope.within)
    if isinstance(node, nodes.Include):
        return
    exported = None if file is None else _exports(scope.survey.trees[file].body)
    if isinstance(node, nodes.Import):
        _bind(node.target, node, scope)
        if exported is not None:
            scope.modules[node.target] = exported
    else:
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
    partials = [name for name in scope.survey.places if name.startswith("_")]
    if isinstance(node, nodes.Include) and node.ignore_missing:
        message, hint = "`ignore missing` would leave out text in silence", "leave it out"
    elif not isinstance(target, str):
        message, hint = "the name of an included file has to be written out", "put it in quotes"
    elif target in partials:
        return target if target in trees else None  # a file that does not parse is reported
    elif target in scope.survey.places:
        message = f"{target!r} is a template of its own"
        hint = "only files whose name starts with _ can be included or imported"
    else:
        message, hint = f"there is no file {target!r}", did_you_mean(target, partials)
    scope.report(Problem("template-include", message, scope.where(node), hint))
    return None


def _bind_all(targets: Iterable[nodes.Node], scope: Scope) -> None:
    """Names that an assignment, a loop or a macro's parameters bind."""
    for target in targets:
        if isinstance(target, nodes.NSRef):
            _check_name(target, scope)
        for name in [target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name):
            _bind(name.name, name, scope)


def _bind(name: str, node: nodes.Node, scope: Scope) -> None:
    """One name that is bound; inputs and functions keep their meaning."""
    if name in scope.survey.inputs or name in scope.survey.environment.globals:
        kind = (
            "an input, slot or variable" if name in scope.survey.inputs else "a function of Jinja"
        )
        scope.report(
            Problem(
                "template-shadow",
                f"{name!r} is {kind} and gets another meaning here",
                scope.where(node),
                "choose another name",
            )
        )
    scope.names.add(name)
    scope.modules.pop(name, None)


def _check_name(node: nodes.Name | nodes.NSRef, scope: Scope) -> None:
    """A name that is read: is there such a thing?"""
    survey = scope.survey
    source = survey.inputs.get(node.name)
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
    elif node.name in survey.variables:
        problem = Problem(
            "template-shows",
            f"the template refers to variable {node.name!r}, but does not say that it shows it",
            scope.where(node),
            f"add {node.name} to `shows` in the front matter",
        )
    else:
        known = {*scope.names, *survey.variables}
        hint = did_you_mean(node.name, known)
        message = f"there is no {node.name!r}"
        problem = Problem("template-undeclared", message, scope.where(node), hint)
    scope.report(problem)


def _check_member(node: nodes.Getattr, scope: Scope) -> None:
    """``file.name``, ``country.capital``: does the imported file, or the lexicon, define it?"""
    if not isinstance(node.node, nodes.Name):
        return
    table = scope.survey.table(node.node.name)
    if table and node.attr not in {*table.columns, *TEXT_METHODS}:
        message = f"lexicon {table.lexicon!r} has no column {node.attr!r}"
        hint = did_you_mean(node.attr, table.columns)
        scope.report(Problem("template-undeclared", message, scope.where(node), hint))
    exported = scope.modules.get(node.node.name)
    if exported is not None and node.attr not in exported:
        message = f"the file imported as {node.node.name!r} defines no {node.attr!r}"
        hint = did_you_mean(node.attr, exported)
        scope.report(Problem("template-undeclared", message, scope.where(node), hint))


def _check_phrase(node: nodes.FilterBlock, scope: Scope) -> None:
    """``{% span name %}``: is the name free? The name of an input that is only shown so is."""
    if node.filter.name != SPAN_FILTER:
        return
    name = node.filter.args[0].as_const()
    if name in WHOLE_PROMPT or scope.survey.inputs.get(name, name) != name:
        taken = {LAST: "the last token", EVERY: "all tokens"}.get(name, "a value")
        message = f"a phrase cannot be named {name!r}, which is the name of {taken}"
        scope.report(Problem("span-name", message, scope.where(node), "choose another name"))


def _check_function(node: nodes.Filter | nodes.Test, scope: Scope) -> None:
    """A filter or test that is used: is there such a thing?"""
    environment = scope.survey.environment
    kind, known = (
        ("filter", set(environment.filters) - INTERNAL)
        if isinstance(node, nodes.Filter)
        else ("test", set(environment.tests))
    )
    if node.name in known or node.name in INTERNAL:
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


def _exports(body: Iterable[nodes.Node]) -> set[str]:
    """Names that importing a file gives access to."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, nodes.Macro):
            found.add(node.name)
        elif isinstance(node, (nodes.Assign, nodes.AssignBlock)):
            found |= {name.name for name in node.find_all(nodes.Name) if name.ctx == "store"}
        elif isinstance(node, nodes.If):
            branches = [node.body, node.else_, *(branch.body for branch in node.elif_)]
            found |= _exports(item for branch in branches for item in branch)
    return {name for name in found if not name.startswith("_")}
