"""The Jinja environment in which templates run: sandboxed, strict, pure, and keeping spans.

It also notes which branches of a template are taken, so that lint can say which never are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from jinja2 import DictLoader, StrictUndefined, nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.environment import Template as JinjaTemplate
from jinja2.environment import TemplateModule
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Namespace

from cfgen.errors import did_you_mean
from cfgen.prompts.filters import (
    PLAIN_METHODS,
    join_with,
    template_filters,
    template_tests,
    text_method,
)
from cfgen.prompts.text import (
    MAX_LENGTH,
    Haystack,
    Text,
    as_text,
    empty,
    enclose,
    glue,
    guarded,
    holds_text,
    listed,
    too_long,
)
from cfgen.prompts.work import (
    MAX_FORESEEN,
    Count,
    check_outcome,
    check_power,
    check_product,
    formatted_length,
)

SPAN_FILTER = "span block"
"""Internal filter behind ``{% span %}``; the space keeps templates from naming it."""


BRANCH_FILTER = "note branch"
"""Internal filter that notes that a branch is taken."""

INTERNAL = frozenset({SPAN_FILTER, BRANCH_FILTER})
_OWN_ARGUMENTS = ("_loop_vars", "_block_vars")
NO_BRANCH = -1
"""The number under which a step is counted that is no branch."""


@dataclass(frozen=True, slots=True)
class TemplateBranch:
    """One branch of a template.

    Attributes:
        file: Name of the file it is in.
        line: Its line there.
        what: How it begins, in words.
    """

    file: str
    line: int
    what: str


class SpanTag(Extension):
    """``{% span name %}...{% endspan %}``: marks a phrase."""

    tags = {"span"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """Turn the block into an internal filter block that knows the name."""
        line = next(parser.stream).lineno
        name = parser.stream.expect("name").value
        body = parser.parse_statements(("name:endspan",), drop_needle=True)
        marking = nodes.Filter(None, SPAN_FILTER, [nodes.Const(name)], [], None, None, lineno=line)
        return nodes.FilterBlock(body, marking, lineno=line)


class SpanCodeGenerator(CodeGenerator):
    """Compiles printed expressions and ``~`` to calls that keep spans."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        """Fold template text only: a printed constant leaves a span as well."""
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        name, chosen = shown_name(node)
        self.write(f"environment.show(context, {name!r}, {chosen!r}, {node.lineno}, ")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: D102
        # numbers without end are written as Python shows them, which are names that it has not
        self.writeline("inf, nan = float('inf'), float('nan')")
        super().visit_Template(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: D102
        self.write("environment.tilde((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Operand(self, node: nodes.Operand, frame: Frame) -> None:  # noqa: D102
        way = "haystack" if node.op in ("in", "notin") else "count.weigh"
        self.write(f" {operators[node.op]} environment.{way}(")
        self.visit(node.expr, frame)
        self.write(")")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: D102
        self._weighed(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: D102
        self._weighed(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: D102
        if node.ctx == "load":
            self._weighed(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: D102
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.cut(")
        for part in (node.node, node.arg.start, node.arg.stop, node.arg.step):
            if part is None:
                self.write("None")
            else:
                self.visit(part, frame)
            self.write(", ")
        self.write(")")

    def _weighed(self, visit: Callable[[Any, Frame], None], node: nodes.Node, frame: Frame) -> None:
        self.write("environment.count.weigh(")
        visit(node, frame)
        self.write(")")


def shown_name(node: nodes.Expr) -> tuple[str | None, bool]:
    """What to call a printed expression that carries no name.

    Returns:
        The one name it refers to, if it is one; and whether that name only chooses between the
        branches of an inline ``if``.
    """
    names = {item.name for item in _names(node)}
    if len(names) != 1:
        return None, False
    chosen = isinstance(node, nodes.CondExpr) and not any(
        True for branch in (node.expr1, node.expr2) if branch for _ in _names(branch)
    )
    return names.pop(), chosen


def _names(node: nodes.Node) -> list[nodes.Name]:
    """Every name in an expression, itself included."""
    inner = list(node.find_all(nodes.Name))
    return [node, *inner] if isinstance(node, nodes.Name) else inner


class PromptTemplate(JinjaTemplate):
    """A compiled template whose imports start afresh on every render."""

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        """Run the imported file again, so that no counter survives a render."""
        return self.make_module()


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja, strict and pure, in which every printed value leaves a span.

    Attributes:
        elements: Slots that are elements of an input, such as ``item_1``.
        branches: Branches of the files parsed so far.
        taken: Numbers of those that some run has taken.
        count: What the run has done that is under way.
    """

    code_generator_class = SpanCodeGenerator
    template_class = PromptTemplate
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, sources: Mapping[str, str], elements: frozenset[str] = frozenset()) -> None:
        super().__init__(
            extensions=[SpanTag],
            loader=DictLoader(dict(sources)),
            undefined=StrictUndefined,
            autoescape=False,
            optimized=False,
            auto_reload=False,
            cache_size=-1,
        )
        self.elements = elements
        self.branches: list[TemplateBranch] = []
        self.taken: set[int] = set()
        self.count = Count()
        filters, tests = template_filters(), template_tests()
        self.filters = {
            **{name: self._counted(name, function) for name, function in filters.items()},
            SPAN_FILTER: _mark_phrase,
            BRANCH_FILTER: self._note_branch,
        }
        self.tests = {name: self._counted(name, function) for name, function in tests.items()}
        self.globals.clear()
        self.globals.update(range=safe_range, dict=dict, namespace=Namespace, cycler=Cycler)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse a file, and put a call that notes it into every branch."""
        tree = super()._parse(source, name, filename)
        for node in list(tree.find_all((nodes.If, nodes.For, nodes.CondExpr))):
            if isinstance(node, nodes.CondExpr):
                first = "the first of an inline if"
                node.expr1 = self._noted(node.expr1, name, node.lineno, first)
                if node.expr2 is not None:
                    other = "the else of an inline if"
                    node.expr2 = self._noted(node.expr2, name, node.lineno, other)
            elif isinstance(node, nodes.If | nodes.For):
                if isinstance(node, nodes.For) and node.test is not None:
                    node.test = self._filtered(node.test, NO_BRANCH, node.lineno)
                tag = "{% if %}" if isinstance(node, nodes.If) else "{% for %}"
                self._note_body(node.body, name, node.lineno, tag)
                if node.else_:
                    line = node.else_[0].lineno
                    self._note_body(node.else_, name, line, f"{{% else %}} of {tag}")
        return tree

    def _note_body(self, body: list[nodes.Node], name: str | None, line: int, what: str) -> None:
        noted = self._noted(nodes.Const(None, lineno=line), name, line, what)
        body.insert(0, nodes.ExprStmt(noted, lineno=line))

    def _noted(self, node: nodes.Expr, name: str | None, line: int, what: str) -> nodes.Expr:
        self.branches.append(TemplateBranch(name or "", line, what))
        return self._filtered(node, len(self.branches) - 1, line)

    def _filtered(self, node: nodes.Node, branch: int, line: int) -> nodes.Expr:
        number = nodes.Const(branch, lineno=line)
        return nodes.Filter(node, BRANCH_FILTER, [number], [], None, None, lineno=line)

    def _note_branch(self, value: Any, number: int) -> Any:
        self.taken.add(number)
        self.count.add(1)
        return value

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test whose work counts; what comes one by one comes as a list."""
        skip = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count.weigh((*args[skip:], kwargs))
            check_outcome(name, args[skip] if len(args) > skip else "", args[skip + 1 :], kwargs)
            return self.count.weigh(listed(function(*args, **kwargs)))

        return call

    def concat(self, pieces: Iterable[Any]) -> Any:
        """Put pieces of text together."""
        return self.count.weigh(glue(pieces))

    def show(self, context: Context, name: str | None, chosen: bool, line: int, value: Any) -> Any:
        """Print one expression; leave a span named after it if it carries none.

        Raises:
            Fault: It is empty, or not text or a number.
        """
        text = as_text(value)
        if isinstance(text, Text):
            if not text.letters:
                raise empty(text.marks[0].name)
            return text
        if name is None or self._is_text(context, name, chosen):
            name = f"value_{line}"
        return enclose(name, "shown", text)

    def _is_text(self, context: Context, name: str, chosen: bool) -> bool:
        """Whether a name belongs to the text of a value, and not to what is made of it."""
        if chosen and name not in self.elements:
            return False
        return holds_text(context.resolve_or_missing(name))

    def tilde(self, values: tuple[Any, ...]) -> Any:
        """The ``~`` operator."""
        return self.concat(map(as_text, values))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, keeping spans, and what it makes in bounds."""
        return self.count.weigh(self._binop(context, operator, left, right))

    def _binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return glue((left, right))
        if operator == "%" and isinstance(left, str):
            if formatted_length(left, (right,)) > MAX_FORESEEN:
                raise too_long()
            if holds_text((left, right)):
                return guarded(lambda one, two: one % two, "'%' formatting")(left, right)
        if operator == "**":
            check_power(left, right)
        if operator == "*":
            check_product(left, right)
            for sized, times in ((left, right), (right, left)):
                if isinstance(sized, Text) and isinstance(times, int):
                    return glue(sized for _ in range(times))
                countable = isinstance(sized, (str, tuple, list)) and isinstance(times, int)
                if countable and len(sized) * times > MAX_LENGTH:
                    raise too_long()
        return super().call_binop(context, operator, left, right)

    def haystack(self, value: Any) -> Any:
        """What stands to the right of ``in``; a plain string would read a text unnoticed."""
        self.count.weigh(value)
        return Haystack(value) if type(value) is str else value

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``x.name``: the attributes of a word, and the methods of a text, which keep its spans."""
        if isinstance(obj, Text):
            if attribute in obj.attributes:
                return obj.attribute(attribute)
            method = text_method(obj, attribute)
            if method is None and obj.attributes:
                known = did_you_mean(attribute, obj.attributes)
                hint = f"its lexicon has no column {attribute!r}; {known}"
                return self.undefined(hint, obj="", name=attribute)
            return self.undefined(obj="", name=attribute) if method is None else method
        allowed = PLAIN_METHODS.get(type(obj))
        if allowed is not None and attribute not in allowed and hasattr(type(obj), attribute):
            return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``x[key]``, where a key of a text that is a word means a method."""
        argument = argument.look() if isinstance(argument, Text) else argument
        if isinstance(obj, Text) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def cut(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """``x[start:stop:step]``."""
        return self.count.weigh(value[start:stop:step])

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``'...'.format(x)``: refused for values, whose places it would lose."""
        function = super().wrap_str_format(value)
        if function is None:
            return None
        form = value.__self__

        def call(*args: Any, **kwargs: Any) -> str:
            check_outcome("format", form, args, kwargs)
            return str(function(*args, **kwargs))

        return guarded(call, "'format'")

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call anything; methods of a plain string refuse to swallow values."""
        self.count.weigh((args, {k: v for k, v in kwargs.items() if k not in _OWN_ARGUMENTS}))
        return self.count.weigh(self._call(context, obj, *args, **kwargs))

    def _call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            if obj.__name__ == "join" and len(args) == 1:
                return join_with(owner, args[0])
            kwargs = {k: v for k, v in kwargs.items() if k not in _OWN_ARGUMENTS}
            check_outcome(obj.__name__, owner, args, kwargs)
            return guarded(obj, f"{obj.__name__!r}")(*map(listed, args), **kwargs)
        return super().call(context, obj, *args, **kwargs)


def _mark_phrase(text: str | Text, name: str) -> Text:
    """What ``{% span %}`` does to its body."""
    return enclose(name, "phrase", text)
