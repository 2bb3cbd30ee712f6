"""What mechanisms do with opaque words, followed step by step.

Functions are rewritten (:mod:`.rewriting`) so that every use of a value comes here. What is known
to do no more with words than to pass them on or to compare them is done. What finds something out
about a single word is done and noted. For everything else, be it a function of C, of a file that
cannot be read, or an object with a comparison of its own, words are told apart: nothing is assumed
about code that cannot be followed.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from cfgen.search.contents import (
    SCALARS,
    freeze,
    has_words,
    is_generated,
    is_opaque,
    is_plain,
    is_text,
    orders_words,
)
from cfgen.search.natives import (
    C_FUNCTIONS,
    CACHES,
    CHANGING,
    COMPARING,
    DISPATCHED,
    HASHED,
    HASHING,
    ITERATORS,
    KEEPING,
    ORDERING,
    PASSING,
    SEQUENCES,
    VIEWS,
    WRAPPING,
    found_in_class,
    has_method,
    is_pure,
)
from cfgen.search.opaque import OpaqueMethod, OpaqueWord, WordWatch
from cfgen.search.operations import ORDER, Operations
from cfgen.search.rewriting import FOLLOWER, CannotFollow, rewritten

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class Follower(Operations):
    """Runs functions with opaque words, and watches what becomes of these.

    Args:
        watch: Where it is noted.
    """

    def __init__(self, watch: WordWatch) -> None:
        super().__init__(watch)
        self._followed: dict[int, tuple[Any, Any]] = {}  # id -> the function, and as followed
        self._codes: dict[int, types.CodeType] = {}

    def mechanism(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, followed whenever it is called."""

        def run(*values: Any) -> Any:
            self.begin()
            return self.call(function, *values)

        return run

    def call(self, function: Any, /, *given: Any, **named: Any) -> Any:
        """Call whatever can be called."""
        kind = type(function)
        if kind is types.FunctionType:
            return self._call_python(function, given, named)
        if kind is types.MethodType:
            return self.call(function.__func__, function.__self__, *given, **named)
        if kind is functools.partial:
            return self.call(function.func, *function.args, *given, **function.keywords | named)
        if kind is CACHES:
            return self.call(function.__wrapped__, *given, **named)
        if kind is OpaqueMethod:
            return self._call_of_text(function, given, named)
        if isinstance(function, type):
            return self._make(function, given, named)
        if isinstance(function, C_FUNCTIONS):
            return self._call_c(function, given, named)
        if kind in (operator.itemgetter, operator.attrgetter) and len(given) == 1:
            return self._get(function, given[0])
        if has_method(kind, "__call__"):
            return self.call(found_in_class(kind, "__call__"), function, *given, **named)
        return self.refuse(function, given, named)

    # Functions written in Python.

    def _call_python(self, function: Any, given: Arguments, named: Keywords) -> Any:
        if function in WRAPPING:
            return function(*given, **named)
        if id(function) not in self._followed:
            self._followed[id(function)] = function, self._follow(function)
        followed = self._followed[id(function)][1]
        return self.refuse(given, named) if followed is None else followed(*given, **named)

    def _follow(self, function: types.FunctionType) -> Any:
        """A function as it is followed; None if it cannot be."""
        if id(function.__code__) in self._codes:
            return function
        try:
            code = rewritten(function.__code__)
        except CannotFollow:
            return None
        self._note_codes(code)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        cells[FOLLOWER] = types.CellType(self)
        closure = tuple(cells[name] for name in code.co_freevars)
        defaults = function.__defaults__
        made = types.FunctionType(code, function.__globals__, function.__name__, defaults, closure)
        made.__kwdefaults__ = function.__kwdefaults__
        return made

    def _note_codes(self, code: types.CodeType) -> None:
        self._codes[id(code)] = code
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._note_codes(constant)

    # Functions of C.

    def _call_c(self, function: Any, given: Arguments, named: Keywords) -> Any:
        """A function of C, or a method of a type of C."""
        name = function.__name__
        if isinstance(function, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            of = function.__objclass__
            if given and of is not object and isinstance(given[0], of):
                return self._call_method(given[0], function, given[1:], named)
        owner = getattr(function, "__self__", None)
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            return self._call_method(owner, getattr(type(owner), name, None), given, named)
        if owner is dict and name == "fromkeys":
            value = given[1] if len(given) > 1 else None
            return self.mapping([(key, value) for key in self.iterate(given[0])])
        if function in _SPECIAL:
            return _SPECIAL[function](self, *given, **named)
        if function in PASSING:
            return self._pass(function, given, named)
        if function in ORDERING:
            return self._order(function, given, named)
        return self._find_out(function, given, named)

    def _pass(self, function: Any, given: Arguments, named: Keywords) -> Any:
        """Something that passes on what it gets."""
        if function is iter and len(given) == 2:
            self.refuse(given)
        passed = {name: self._passed(value) for name, value in named.items()}
        return function(*map(self._passed, given), **passed)

    def _passed(self, value: Any) -> Any:
        """A value as a function of C may have it: it calls nothing but what is followed."""
        kind = type(value)
        if kind is str or kind in SCALARS or is_opaque(value):
            return value
        if not (kind in SEQUENCES or kind in HASHED or kind in ITERATORS) and callable(value):
            return functools.partial(self.call, value)
        return self.iterate(value)

    def _order(self, function: Any, given: Arguments, named: Keywords) -> Any:
        """``min``, ``max`` and ``sorted``, which compare."""
        values = list(self.iterate(given[0])) if len(given) == 1 else list(given)
        named = dict(named)
        if named.get("key") is not None:
            named["key"] = functools.partial(self._plain_key, named["key"])
        elif not is_plain(*values):
            self.refuse(values)
        return self.made(function(values, **named))

    def _plain_key(self, key: Any, value: Any) -> Any:
        found = self.call(key, value)
        return found if is_plain(found) else self.refuse(found)

    def _find_out(self, function: Any, given: Arguments, named: Keywords) -> Any:
        """Anything else may have what has no words in it, or a single word, which is noted."""
        if not is_pure(function):
            self.refuse(given, named)
        if has_words([*given, *named.values()]) is False:
            return function(*given, **named)
        places = [place for place, value in enumerate(given) if type(value) is OpaqueWord]
        others = [value for value in given if type(value) is not OpaqueWord]
        if len(places) != 1 or named or has_words(others) is not False:
            self.refuse(given, named)
        before, (word, *after) = given[: places[0]], given[places[0] :]
        try:
            key = (function, places[0], *map(freeze, others))
        except TypeError:
            self.refuse(given)
        text = f"{getattr(function, '__qualname__', '?')}()"
        return word.note(key, text, lambda plain: function(*before, plain, *after))

    # Methods of types of C.

    def _call_method(self, owner: Any, method: Any, given: Arguments, named: Keywords) -> Any:
        """A method that a type of C has."""
        kind, name = type(owner), getattr(method, "__name__", "")
        if is_opaque(owner):
            return self._call_of_text(OpaqueMethod(owner, name), given, named)
        if name in _OPERATORS and len(given) == 1:
            return _OPERATORS[name](self, owner, given[0])
        if kind is str and name == "join":
            return self.join(owner, list(self.iterate(*given)))
        if name in CHANGING and (kind in SEQUENCES or kind in HASHED):
            self.check_made(owner)
        if kind in SEQUENCES or issubclass(kind, tuple):
            return self._call_of_sequence(owner, method, given, named)
        if kind in HASHED or kind in VIEWS:
            return self._call_of_hashed(owner, method, given, named)
        if kind in ITERATORS and name in ("__next__", "__iter__", "send", "close"):
            return method(owner, *given)
        return self._find_out(method, (owner, *given), named)

    def _call_of_text(self, method: OpaqueMethod, given: Arguments, named: Keywords) -> Any:
        if method.name in _OPERATORS and len(given) == 1:
            return _OPERATORS[method.name](self, method.word, given[0])
        return method(*given, **named)

    def _call_of_sequence(self, owner: Any, method: Any, given: Arguments, named: Keywords) -> Any:
        name = method.__name__
        if name in KEEPING or name == "pop":
            found = method(owner, *(self.iterate(v) if "extend" in name else v for v in given))
            return self.made(found) if name == "copy" else found
        if name == "sort" and named.get("key") is not None:
            key = functools.partial(self._plain_key, named["key"])
            return method(owner, **named | {"key": key})
        if name in COMPARING and is_plain(owner, *given):
            return method(owner, *given, **named)
        return self.refuse(owner, given)

    def _call_of_hashed(self, owner: Any, method: Any, given: Arguments, named: Keywords) -> Any:
        name = method.__name__
        if name in KEEPING and not given:
            found = method(owner)
            return self.made(found) if name == "copy" else found
        if name == "get":
            return self.look_up(owner, given[0], lambda: method(owner, *given))
        if name == "pop" and isinstance(owner, set):
            return owner.pop() if not orders_words(owner) else self.refuse(owner, why=ORDER)
        if name not in HASHING:
            self.refuse(owner, given)
        if name in ("pop", "setdefault", "add", "discard", "remove"):
            self.meet(owner, given[:1])
        else:
            given = tuple(v if type(v) in HASHED else list(self.iterate(v)) for v in given)
            self.meet(owner, *(_keys(owner, value) for value in given))
        with self.watch.permitted():
            found = method(owner, *given, **named)
        return found if name in ("pop", "setdefault") else self.made(found)

    def _get(self, getter: Any, value: Any) -> Any:
        """``itemgetter`` and ``attrgetter``."""
        names = getter.__reduce__()[1]
        if type(getter) is operator.itemgetter:
            found = tuple(self.item(value, name) for name in names)
        else:
            found = tuple(functools.reduce(self.attribute, n.split("."), value) for n in names)
        return found[0] if len(found) == 1 else found

    # Objects.

    def _make(self, kind: Any, given: Arguments, named: Keywords) -> Any:
        """Call a class."""
        if kind is type:
            return str if given and is_opaque(given[0]) else type(*given)
        if kind is str and len(given) == 1 and is_text(given[0]):
            return given[0]
        if kind is bool:
            return self._truth(*given)
        if kind in (list, tuple, deque):
            return self.made(kind(*map(self._passed, given), **named))
        if kind in HASHED:
            return self._make_hashed(kind, given, named)
        if kind in PASSING:
            return self._pass(kind, given, named)
        if kind is functools.partial or (
            kind.__module__ == "builtins" and issubclass(kind, BaseException)
        ):
            return kind(*given, **named)
        if has_words([*given, *named.values()]) is False and kind.__module__ != "builtins":
            return self.made(kind(*given, **named))
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return self._make_namedtuple(kind, given, named)
        if kind.__module__ == "builtins" or type(kind) is not type:
            return self._find_out(kind, given, named)
        return self._make_object(kind, given, named)

    def _make_hashed(self, kind: Any, given: Arguments, named: Keywords) -> Any:
        """A set or a dictionary of something."""
        if kind is defaultdict:
            factory = given[0] if given else None
            made: Any = defaultdict(factory and functools.partial(self.call, factory))
            with self.watch.permitted():
                made.update(self._make_hashed(dict, given[1:], named))
            return self.made(made)
        if given and isinstance(given[0], dict):
            return self._copied(kind, given[0], named)
        parts = list(self.iterate(*given)) if given else []
        if kind in (dict, OrderedDict):
            parts = [tuple(self.iterate(pair)) for pair in parts]
            self.meet([part[0] for part in parts], named)
        else:
            self.meet(parts, named)
        with self.watch.permitted():
            return self.made(kind(parts, **named))

    def _copied(self, kind: Any, table: Mapping[Any, Any], named: Keywords) -> Any:
        self.meet(table, named)
        if kind in (set, frozenset):
            self.iterate(table)
        with self.watch.permitted():
            return self.made(kind(table, **named))

    def _make_namedtuple(self, kind: Any, given: Arguments, named: Keywords) -> Any:
        """A record whose parts are in a tuple, made as such a class makes it."""
        fields, defaults = kind._fields, kind._field_defaults
        if type(kind) is not type or not is_generated(kind.__new__):
            self.refuse(given, named)
        values = defaults | dict(zip(fields, given, strict=False)) | named
        if len(given) > len(fields) or {*values} != {*fields}:
            return kind(*given, **named)  # which says what is wrong
        return tuple.__new__(kind, (values[name] for name in fields))

    def _make_object(self, kind: Any, given: Arguments, named: Keywords) -> Any:
        """An object of a class that somebody wrote, which words are put into."""
        own = [(name, value) for cls in kind.__mro__[:-1] for name, value in vars(cls).items()]
        special = [v for n, v in own if n.startswith("__") and n not in DISPATCHED and callable(v)]
        known = all(is_generated(value) or isinstance(value, type) for value in special)
        if not known or kind.__new__ is not object.__new__:
            self.refuse(given, named)
        begin = found_in_class(kind, "__init__")
        if hasattr(kind, "__dataclass_fields__") and is_generated(begin):
            fields = dataclasses.fields(kind)
            factories = any(each.default_factory is not dataclasses.MISSING for each in fields)
            if factories or hasattr(kind, "__post_init__"):
                self.refuse(given, named)
            return self.made(kind(*given, **named))
        if not has_method(kind, "__init__"):
            self.refuse(given, named)
        made = self.made(kind.__new__(kind))
        self.call(begin, made, *given, **named)
        return made

    def _truth(self, value: Any = False) -> bool:
        if has_method(type(value), "__bool__") and not is_opaque(value):
            self.refuse(value)
        return bool(value)

    def _length(self, value: Any) -> Any:
        if is_opaque(value) or not has_method(type(value), "__len__"):
            return len(value)
        return self.call(found_in_class(type(value), "__len__"), value)

    def _format(self, value: Any, spec: Any = "") -> Any:
        return self.formatted(value, -1, spec)


def _keys(owner: Any, value: Any) -> list[Any]:
    """What is hashed of something that is put into a set or a dictionary."""
    if isinstance(owner, dict) and not isinstance(value, dict):
        return [pair[0] for pair in value]
    return list(value)


def _operation(method: str, name: str) -> Callable[[Follower, Any, Any], Any]:
    return lambda follower, one, other: getattr(follower, method)(name, one, other)


_NAMES = {"eq": "Eq", "ne": "NotEq", "lt": "Lt", "le": "LtE", "gt": "Gt", "ge": "GtE"}
_MORE = {"add": "Add", "sub": "Sub", "mul": "Mult", "mod": "Mod", "or": "BitOr", "and": "BitAnd"}
_OPERATORS: Mapping[str, Callable[[Follower, Any, Any], Any]] = {
    **{f"__{name}__": _operation("compare", operator) for name, operator in _NAMES.items()},
    **{f"__{name}__": _operation("binary", operator) for name, operator in _MORE.items()},
    "__contains__": lambda follower, owner, item: follower.compare("In", item, owner),
    "__getitem__": Follower.item,
}
_SPECIAL: Mapping[Any, Callable[..., Any]] = {
    **{getattr(operator, name): _operation("compare", n) for name, n in _NAMES.items()},
    operator.add: _operation("binary", "Add"),
    operator.concat: _operation("binary", "Add"),
    operator.is_: _operation("compare", "Is"),
    operator.contains: lambda follower, owner, item: follower.compare("In", item, owner),
    operator.getitem: Follower.item,
    len: Follower._length,
    format: Follower._format,
    getattr: Follower.attribute_or,
    hasattr: Follower.has_attribute,
    isinstance: Follower.is_instance,
}
