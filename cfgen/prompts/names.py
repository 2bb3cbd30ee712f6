"""Which names a template refers to, and which of them do not exist, found without running it."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import nodes

from cfgen.errors import Problem, did_you_mean
from cfgen.prompts.survey import (
    Scope,
    Survey,
    bind,
    bind_all,
    check_function,
    check_member,
    check_name,
    check_phrase,
    exports,
)

_REFUSED: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Extends: ("{% extends %}", "use {% include %} or a macro"),
    nodes.Block: ("{% block %}", "use {% include %} or a macro"),
    nodes.ScopedEvalContextModifier: ("{% autoescape %}", "prompts are not HTML: leave it out"),
}

_LOCAL = frozenset({"loop", "caller", "varargs", "kwargs"})
"""Names that Jinja makes only where the same file refers to them."""


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
        bind_all(macro.args, inner)
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
            check_name(node, scope)
    elif isinstance(node, nodes.Getattr):
        check_member(node, scope)
        _children(node, scope)
    elif isinstance(node, (nodes.Filter, nodes.Test)):
        check_function(node, scope)
        _children(node, scope)
    elif isinstance(node, nodes.Macro):
        bind(node.name, node, scope)
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
        bind_all([node.target], scope)
    elif isinstance(node, nodes.With):
        _body(node.values, scope)
        inner = scope.inner()
        bind_all(node.targets, inner)
        _body(node.body, inner)
        _macros(inner)
    elif isinstance(node, nodes.FilterBlock):
        check_phrase(node, scope)
        _visit(node.filter, scope)
        _block(node.body, scope)
    elif isinstance(node, nodes.CallBlock):
        _visit(node.call, scope)
        inner = scope.inner()
        bind_all(node.args, inner)
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
    bind_all([node.target], inner)
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
        scope.report(
            Problem("template-include", f"files include each other: {route}", scope.where(node))
        )
    elif file is not None:
        names = scope.names - _LOCAL if node.with_context else scope.survey.environment.globals
        survey_file(scope.survey, file, names, scope.within)
    if isinstance(node, nodes.Include):
        return
    exported = None if file is None else exports(scope.survey.trees[file].body)
    if isinstance(node, nodes.Import):
        bind(node.target, node, scope)
        if exported is not None:
            scope.modules[node.target] = exported
    else:
        for item in node.names:
            name, alias = item if isinstance(item, tuple) else (item, item)
            if exported is not None and name not in exported:
                hint = did_you_mean(name, exported)
                message = f"{file!r} defines no {name!r}"
                scope.report(Problem("template-undeclared", message, scope.where(node), hint))
            bind(alias, node, scope)


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
