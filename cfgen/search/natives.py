"""What functions of C, and methods of types of C, are known to do with words that they get.

Python's own functions have no source that could be followed. Those that are named here do nothing
with a word but what is said; all others either find something out about a single word, if they are
known to depend on nothing but what they get, or are not followed.
"""

from __future__ import annotations

import functools
import itertools
import operator
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

HASHED = (dict, OrderedDict, defaultdict, Counter, set, frozenset)
_NO_ROWS: dict[Any, Any] = {}
_NO_ROWS_IN_ORDER: OrderedDict[Any, Any] = OrderedDict()
_EMPTY: tuple[Any, ...] = ((), [], _NO_ROWS, set(), "", range(0), b"", deque())
VIEWS = tuple(type(v) for d in (_NO_ROWS, _NO_ROWS_IN_ORDER) for v in (d.keys(), d.items()))
SEQUENCES = (tuple, list, deque)
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    **{"Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le},
    **{"Gt": operator.gt, "GtE": operator.ge, "Is": operator.is_, "IsNot": operator.is_not},
    **{"Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Mod": operator.mod},
    **{"Div": operator.truediv, "FloorDiv": operator.floordiv, "Pow": operator.pow},
    **{"BitOr": operator.or_, "BitAnd": operator.and_, "BitXor": operator.xor},
    **{"LShift": operator.lshift, "RShift": operator.rshift, "MatMult": operator.matmul},
}
"""Operators, by the names that ``ast`` has for them."""
COMPARISONS = frozenset({"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE", "Is", "IsNot"})
PASSING = frozenset(
    {iter, next, any, all, sum, callable, enumerate, zip, map, filter, reversed, range, slice}
    | {itertools.chain, itertools.product, itertools.permutations, itertools.combinations}
    | {itertools.cycle, itertools.islice, itertools.repeat, itertools.count, itertools.compress}
    | {itertools.starmap, itertools.takewhile, itertools.dropwhile, itertools.filterfalse}
    | {itertools.accumulate, itertools.zip_longest, itertools.pairwise, itertools.tee}
    | {itertools.combinations_with_replacement, functools.reduce}
)
"""These do nothing but pass on what they get; some call functions that they get."""
ORDERING = frozenset({min, max, sorted})
WRAPPING = frozenset({functools.cache, functools.lru_cache})
UNSAFE = frozenset(
    {hash, id, eval, exec, compile, globals, locals, vars, dir, open, input, print, __import__}
    | {setattr, delattr, breakpoint, memoryview}
)
"""These find out which object a value is, or what runs, or run what is in a text."""
REVEALING = frozenset(
    {"__globals__", "__closure__", "__code__", "__dict__", "__subclasses__", "__builtins__"}
    | {"gi_frame", "f_locals", "f_back", "tb_frame", "cr_frame", "__reduce__", "__reduce_ex__"}
)
"""Attributes by which a mechanism could find out that it is watched, or reach around it."""
KEEPING = frozenset(
    {"append", "appendleft", "extend", "extendleft", "insert", "reverse", "copy", "clear", "rotate"}
    | {"values", "keys", "items", "popleft", "move_to_end", "__len__", "__iter__", "__reversed__"}
)
"""Methods of lists, dictionaries and sets that neither compare nor hash anything."""
COMPARING = frozenset({"index", "count", "remove", "sort"})
HASHING = frozenset(
    {"pop", "setdefault", "update", "add", "discard", "remove", "union", "intersection"}
    | {"difference", "symmetric_difference", "issubset", "issuperset", "isdisjoint"}
    | {"intersection_update", "difference_update", "symmetric_difference_update"}
)
CHANGING = frozenset(
    {"append", "appendleft", "extend", "extendleft", "insert", "reverse", "clear", "rotate"}
    | {"popleft", "move_to_end", "remove", "sort", "pop", "setdefault", "update"}
    | {"add", "discard", "intersection_update", "difference_update", "symmetric_difference_update"}
)
ITERATORS = frozenset(
    {type(iter(made)) for made in (*_EMPTY, _NO_ROWS.values(), _NO_ROWS.items())}
    | {type(reversed([])), type(reversed(_NO_ROWS)), type(_NO_ROWS.values()), *VIEWS}
    | {enumerate, zip, map, filter, reversed, types.GeneratorType, type(_NO_ROWS_IN_ORDER.values())}
    | {each for each in vars(itertools).values() if isinstance(each, type)}
)
DISPATCHED = frozenset(
    {"__init__", "__getitem__", "__contains__", "__call__", "__iter__", "__next__", "__len__"}
    | {"__getattr__", "__class_getitem__", "__init_subclass__", "__replace__"}
    | {"__repr__", "__str__"}
)
"""Special methods that are called as they are followed, or not at all while words are in it."""
C_FUNCTIONS = (
    *(types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(types.MethodWrapperType, types.ClassMethodDescriptorType),
)
CACHES = type(functools.lru_cache(lambda: None))
_PURE_MODULES = frozenset({"builtins", "math", "cmath", "operator", "_operator", "itertools"})
_PURE_TYPES = frozenset({str, bytes, int, float, complex, bool, tuple, list, dict, set, frozenset})


def is_pure(function: Any) -> bool:
    """Whether a function of C depends on nothing but what it gets."""
    try:
        if function in UNSAFE:
            return False
    except TypeError:
        return False
    owner = getattr(function, "__objclass__", None) or getattr(function, "__self__", None)
    if isinstance(function, type) or isinstance(owner, type):
        return (function if isinstance(function, type) else owner) in _PURE_TYPES | {range}
    return getattr(function, "__module__", None) in _PURE_MODULES


def found_in_class(kind: type, name: str) -> Any:
    """What a class has by a name, as it stands there."""
    for each in kind.__mro__:
        if name in vars(each):
            return vars(each)[name]
    return None


def has_method(kind: type, name: str) -> bool:
    """Whether a class has a method of that name that is written in Python."""
    return type(found_in_class(kind, name)) is types.FunctionType
