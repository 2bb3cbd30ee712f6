"""The Jinja environment in which templates run: sandboxed, strict, pure, and keeping spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import DictLoader, StrictUndefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import Template as JinjaTemplate
from jinja2.environment import TemplateModule
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Namespace

from cfgen.prompts.filters import join_with, template_filters, template_tests, text_method
from cfgen.prompts.glue import as_text, empty, enclose, glue, guarded, holds_text, listed
from cfgen.prompts.opaque import Opaque
from cfgen.prompts.text import MAX_LENGTH, Text, too_long

SPAN_FILTER = "span block"
"""Internal filter behind ``{% span %}``; the space keeps templates from naming it."""


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

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: D102
        self.write("environment.tilde((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


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
    """

    code_generator_class = SpanCodeGenerator
    template_class = PromptTemplate
    intercepted_binops = frozenset({"+", "*", "%"})
    concat = staticmethod(glue)  # type: ignore[assignment]

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
        self.filters = {**template_filters(), SPAN_FILTER: _mark_phrase}
        self.tests = template_tests()
        self.globals.clear()
        self.globals.update(range=safe_range, dict=dict, namespace=Namespace, cycler=Cycler)

    def show(self, context: Context, name: str | None, chosen: bool, line: int, value: Any) -> Any:
        """Print one expression; leave a span named after it if it carries none.

        Raises:
            Fault: It is empty, or not text or a number.
        """
        text = as_text(value)
        if isinstance(text, Opaque):
            return text
        if isinstance(text, Text):
            if not text:
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
        return glue(map(as_text, values))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``+``, ``*`` and ``%``, keeping spans and the length in bounds."""
        if operator == "+" and isinstance(left, (str, Opaque)) and isinstance(right, (str, Opaque)):
            return glue((left, right))
        if operator == "%" and isinstance(left, str) and holds_text((left, right)):
            return guarded(lambda one, two: one % two, "'%' formatting")(left, right)
        if operator == "*":
            for sized, times in ((left, right), (right, left)):
                countable = isinstance(sized, (str, tuple, list)) and isinstance(times, int)
                if countable and len(sized) * times > MAX_LENGTH:
                    raise too_long()
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``x.name``: the methods of a text keep its spans."""
        if isinstance(obj, (Text, Opaque)):
            method = text_method(obj, attribute)
            return self.undefined(obj="", name=attribute) if method is None else method
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``x[key]``, where a key of a text that is a word means a method."""
        if isinstance(argument, Opaque):
            argument.observe()
        if isinstance(obj, (Text, Opaque)) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``'...'.format(x)``: refused for values, whose places it would lose."""
        function = super().wrap_str_format(value)
        return None if function is None else guarded(function, "'format'")

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call anything; methods of a plain string refuse to swallow values."""
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            if obj.__name__ == "join" and len(args) == 1:
                return join_with(owner, args[0])
            kwargs = {k: v for k, v in kwargs.items() if k not in ("_loop_vars", "_block_vars")}
            return guarded(obj, f"{obj.__name__!r}")(*map(listed, args), **kwargs)
        return super().call(context, obj, *args, **kwargs)


def _mark_phrase(text: str | Opaque, name: str) -> str | Opaque:
    """What ``{% span %}`` does to its body."""
    return enclose(name, "phrase", text)
