"""What is known while a template is looked through, and the checks of single names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jinja2 import nodes

from cfgen.errors import Problem, did_you_mean
from cfgen.prompts.environment import SPAN_FILTER, PromptEnvironment
from cfgen.prompts.filters import LEFT_OUT


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


def bind_all(targets: Iterable[nodes.Node], scope: Scope) -> None:
    """Names that an assignment, a loop or a macro's parameters bind."""
    for target in targets:
        if isinstance(target, nodes.NSRef):
            check_name(target, scope)
        for name in [target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name):
            bind(name.name, name, scope)


def bind(name: str, node: nodes.Node, scope: Scope) -> None:
    """One name that is bound; inputs and functions keep their meaning."""
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
    scope.modules.pop(name, None)


def check_name(node: nodes.Name | nodes.NSRef, scope: Scope) -> None:
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
    else:
        problem = Problem(
            "template-undeclared",
            f"there is no {node.name!r}",
            scope.where(node),
            did_you_mean(node.name, scope.names),
        )
    scope.report(problem)


def check_member(node: nodes.Getattr, scope: Scope) -> None:
    """``file.name``: does the imported file define it?"""
    if not isinstance(node.node, nodes.Name):
        return
    exported = scope.modules.get(node.node.name)
    if exported is not None and node.attr not in exported:
        message = f"the file imported as {node.node.name!r} defines no {node.attr!r}"
        hint = did_you_mean(node.attr, exported)
        scope.report(Problem("template-undeclared", message, scope.where(node), hint))


def check_phrase(node: nodes.FilterBlock, scope: Scope) -> None:
    """``{% span name %}``: is the name free? The name of an input that is only shown so is."""
    if node.filter.name != SPAN_FILTER:
        return
    name = node.filter.args[0].as_const()
    if name == "last" or scope.survey.inputs.get(name, name) != name:
        taken = "the last token" if name == "last" else "a value"
        message = f"a phrase cannot be named {name!r}, which is the name of {taken}"
        scope.report(Problem("span-name", message, scope.where(node), "choose another name"))


def check_function(node: nodes.Filter | nodes.Test, scope: Scope) -> None:
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
