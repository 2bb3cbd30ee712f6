"""Functions rewritten so that whatever they do with a value is asked of a follower first.

A call, a look into a container, a comparison, an operator: each becomes a call of a method of the
follower (:mod:`.following`), and all else stays as it is. ``words[0] in table`` becomes
``follower.member("In", follower.item(words, 0), table)``.
"""

from __future__ import annotations
import __future__

import ast
import copy
import linecache
import types
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

FOLLOWER = "__follower__"
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_UNFOLLOWED = (
    *(ast.AsyncFor, ast.AsyncFunctionDef, ast.AsyncWith, ast.Await, ast.ClassDef, ast.Global),
    *(ast.ImportFrom, ast.Import, ast.MatchMapping, ast.TryStar, ast.With),
)


class CannotFollow(Exception):
    """A function does something that is not followed, or its source is not what runs."""


@lru_cache(maxsize=10_000)
def rewritten(code: types.CodeType) -> types.CodeType:
    """The code of a function, rewritten; it has one free variable more, the follower.

    Args:
        code: The code of the function.

    Raises:
        CannotFollow: If there is no source for just this code, or it has something in it that is
            not followed.
    """
    node = copy.deepcopy(_source_of(code))  # what was parsed serves other functions as well
    body: list[ast.stmt] = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
    function = _function("function", node.args, body)
    _Rewriter(code.co_freevars).rewrite(function)
    given = [ast.arg(name) for name in (FOLLOWER, *code.co_freevars)]
    arguments = ast.arguments([], given, None, [], [], None, [])
    outer = _function("outer", arguments, [function])
    module = ast.Module([ast.fix_missing_locations(ast.copy_location(outer, node))], [])
    try:
        flags = code.co_flags & _FUTURE
        found = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotFollow(f"rewritten, it is no Python: {error}") from error
    return next(_codes(next(_codes(found))))


# The source that a function was compiled from.


def _source_of(code: types.CodeType) -> ast.FunctionDef | ast.Lambda:
    """The function of a file that compiles to the very same code."""
    source = "".join(linecache.getlines(code.co_filename))
    if not source:
        raise CannotFollow("it has no source")
    tree, compiled = _parsed(source, code.co_filename, code.co_flags & _FUTURE)
    if code not in _codes(compiled):
        raise CannotFollow("its source is not what runs")
    found = [node for node in ast.walk(tree) if _may_be(node, code)]
    if len(found) > 1:  # lambdas of one line, perhaps one in the other
        found = [node for node in found if _encloses(node, code)]
        found.sort(key=lambda node: len(list(ast.walk(node))))
    if not found:
        raise CannotFollow("it cannot be told which function of its file it is")
    return cast(ast.FunctionDef | ast.Lambda, found[0])


@lru_cache(maxsize=100)
def _parsed(source: str, path: str, flags: int) -> tuple[ast.Module, types.CodeType]:
    try:
        return ast.parse(source, path), compile(source, path, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotFollow("its source cannot be read") from error


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _may_be(node: ast.AST, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return node.lineno == code.co_firstlineno and code.co_name == "<lambda>"
    if not isinstance(node, ast.FunctionDef) or node.name != code.co_name:
        return False
    return min([node.lineno, *(d.lineno for d in node.decorator_list)]) == code.co_firstlineno


def _encloses(node: Any, code: types.CodeType) -> bool:
    """Whether all that some code does is written between the ends of a lambda's expression."""
    body = node.body
    start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    places = [place for place in code.co_positions() if None not in place and place[2:] != (0, 0)]
    return all(start <= (a, c) and (b, d) <= end for a, b, c, d in places)


# What it becomes.


class _Rewriter(ast.NodeTransformer):
    """Puts the follower's methods where a value is used.

    Args:
        outside: Variables of the function that belong to functions around it.
    """

    def __init__(self, outside: Sequence[str]) -> None:
        self._outside = frozenset(outside)
        self._temporaries = 0

    def rewrite(self, function: ast.FunctionDef) -> None:
        """Rewrite a function in place; the values that are there by default are not its own."""
        arguments = function.args
        arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
        arguments.kw_defaults = [each and ast.Constant(None) for each in arguments.kw_defaults]
        self._strip(arguments)
        function.body = self._statements(function.body)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, _UNFOLLOWED):
            raise CannotFollow(f"it has a {type(node).__name__} in it")
        return super().generic_visit(node)

    def _statements(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in body:
            done = self.visit(statement)
            made += done if isinstance(done, list) else [done]
        return made

    def _strip(self, arguments: ast.arguments) -> None:
        """Take away annotations, which are not run with the function."""
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for argument in (*every, arguments.vararg, arguments.kwarg):
            if argument is not None:
                argument.annotation = None

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"__value_{self._temporaries}__"

    # Expressions.

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in {"super", "locals"}:
            raise CannotFollow(f"it uses {node.func.id}()")
        self.generic_visit(node)
        for keyword in node.keywords:
            if keyword.arg is None:
                keyword.value = _ask("keywords", keyword.value)
        call = _ask("call", node.func, *node.args)
        call.keywords = node.keywords
        return call

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = _ask("iterate", node.value)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr.startswith("__") and not node.attr.endswith("__"):
            raise CannotFollow(f"it uses the private name {node.attr}")
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            return _ask("attribute", node.value, ast.Constant(node.attr))
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        return _ask("item", node.value, node.slice) if isinstance(node.ctx, ast.Load) else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        left, made = node.left, []
        for number, (operator, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
            after: ast.expr = right
            if number + 1 < len(node.ops):  # it is needed twice, and is run once
                name = self._temporary()
                right = ast.NamedExpr(ast.Name(name, ast.Store()), right)
                after = ast.Name(name, ast.Load())
            made.append(_ask("compare", ast.Constant(type(operator).__name__), left, right))
            left = after
        return made[0] if len(made) == 1 else ast.BoolOp(ast.And(), list[ast.expr](made))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _ask("binary", ast.Constant(type(node.op).__name__), node.left, node.right)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = part.format_spec and self.visit(part.format_spec)
                given = [self.visit(part.value), ast.Constant(part.conversion)]
                parts.append(_ask("formatted", *given, spec or ast.Constant("")))
            else:
                parts.append(part)
        return _ask("joined", *parts)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        self.generic_visit(node)
        pairs: list[ast.expr] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                pairs.append(ast.Starred(_ask("pairs", value), ast.Load()))
            else:
                pairs.append(ast.Tuple([key, value], ast.Load()))
        return _ask("mapping", ast.List(pairs, ast.Load()))

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        self.generic_visit(node)
        pair = ast.Tuple([node.key, node.value], ast.Load())
        return _ask("mapping", ast.ListComp(pair, node.generators))

    def visit_Set(self, node: ast.Set) -> ast.AST:
        self.generic_visit(node)
        return _ask("collection", ast.List(node.elts, ast.Load()))

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        self.generic_visit(node)
        return _ask("collection", ast.ListComp(node.elt, node.generators))

    def visit_List(self, node: ast.List) -> ast.AST:
        self.generic_visit(node)
        return _ask("made", node) if isinstance(node.ctx, ast.Load) else node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        return _ask("made", node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.iter = _ask(_unpacking(node.target), node.iter)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.generic_visit(node)
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        self.generic_visit(node)
        node.value = _ask("iterate", node.value)
        return node

    # Statements.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self._strip(node.args)
        self.visit(node.args)
        node.body, node.returns = self._statements(node.body), None
        decorators, node.decorator_list = node.decorator_list, []
        made: list[ast.stmt] = [node]
        for decorator in reversed(decorators):
            call = _ask("call", self.visit(decorator), ast.Name(node.name, ast.Load()))
            made.append(ast.Assign([ast.Name(node.name, ast.Store())], call))
        return made

    def visit_For(self, node: ast.For) -> ast.AST:
        node.iter = _ask(_unpacking(node.target), self.visit(node.iter))
        _check_target(node.target)
        node.body, node.orelse = self._statements(node.body), self._statements(node.orelse)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.visit(node.value)
        if len(node.targets) == 1:
            return self._assigned(node.targets[0], value)
        name = self._temporary()
        made: list[ast.stmt] = [ast.Assign([ast.Name(name, ast.Store())], value)]
        for target in node.targets:
            made += self._assigned(target, ast.Name(name, ast.Load()))
        return made

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.Pass()
        return self._assigned(node.target, self.visit(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if not isinstance(node.target, (ast.Name, ast.Subscript)):
            raise CannotFollow("it changes an attribute")
        operator, value = ast.Constant(type(node.op).__name__), self.visit(node.value)
        if isinstance(node.target, ast.Subscript):
            owner, key = self.visit(node.target.value), self.visit(node.target.slice)
            return ast.Expr(_ask("change_item", operator, owner, key, value))
        now = ast.Name(node.target.id, ast.Load())
        return ast.Assign([node.target], _ask("inplace", operator, now, value))

    def visit_Delete(self, node: ast.Delete) -> ast.AST:
        if not all(isinstance(target, ast.Name) for target in node.targets):
            raise CannotFollow("it deletes more than a name")
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        if self._outside.intersection(node.names):
            raise CannotFollow("it changes a variable of a function around it")
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        if node.patterns or node.kwd_patterns:
            raise CannotFollow("it matches the parts of an object")
        return node

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node  # a constant or a dotted name, compared by ==

    def _assigned(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        if isinstance(target, ast.Subscript):
            owner, key = self.visit(target.value), self.visit(target.slice)
            return [ast.Expr(_ask("put_item", owner, key, value))]
        if isinstance(target, ast.Attribute):
            attribute = ast.Constant(target.attr)
            return [ast.Expr(_ask("put_attribute", self.visit(target.value), attribute, value))]
        if isinstance(target, ast.Name):
            return [ast.Assign([target], value)]
        assert isinstance(target, (ast.Tuple, ast.List))
        made: list[ast.stmt] = []
        names: list[ast.expr] = []
        for part in target.elts:
            if isinstance(part, (ast.Name, ast.Starred)):
                _check_target(part)
                names.append(part)
            else:
                name = self._temporary()
                names.append(ast.Name(name, ast.Store()))
                made += self._assigned(part, ast.Name(name, ast.Load()))
        whole = ast.Assign([ast.Tuple(names, ast.Store())], _ask("iterate", value))
        return [whole, *made]


def _function(name: str, arguments: ast.arguments, body: list[Any]) -> ast.FunctionDef:
    made = ast.FunctionDef(name, arguments, body, [], None)
    made.type_params = []  # type: ignore[attr-defined, unused-ignore]  # from Python 3.12 on
    return made


def _ask(method: str, *arguments: ast.expr) -> ast.Call:
    """A call of a method of the follower."""
    function = ast.Attribute(ast.Name(FOLLOWER, ast.Load()), method, ast.Load())
    return ast.Call(function, list(arguments), [])


def _unpacking(target: ast.expr) -> str:
    """How what is iterated over is asked for: its elements may be unpacked, once or deeper."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        return "iterate"
    nested = any(isinstance(part, (ast.Tuple, ast.List)) for part in target.elts)
    return "unpack_deeply" if nested else "unpack"


def _check_target(target: ast.expr) -> None:
    for part in ast.walk(target):
        if isinstance(part, (ast.Subscript, ast.Attribute)):
            raise CannotFollow("it assigns to a part of something in a loop")
