"""What is done with values that may have opaque words in them, but for calls.

Lists, dictionaries, comparisons, operators, texts: each method stands for something written in
Python, and does the same, once it is certain that no word is treated otherwise than another.
"""

from __future__ import annotations

import functools
import itertools
import types
from abc import ABCMeta
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, NoReturn

from cfgen.search.contents import (
    SCALARS,
    freeze,
    has_words,
    is_opaque,
    is_plain,
    is_text,
    leaves,
    orders_words,
    words_of,
)
from cfgen.search.natives import (
    COMPARISONS,
    HASHED,
    ITERATORS,
    OPERATORS,
    REVEALING,
    SEQUENCES,
    VIEWS,
    found_in_class,
    has_method,
)
from cfgen.search.opaque import Look, OpaqueMethod, OpaqueText, OpaqueWord, WordWatch, put_together

UNFOLLOWED = "a word reaches code that cannot be followed"
LASTING = "a mechanism changes what is there for longer than it runs"
ORDER = "a mechanism depends on the order of a set of words"
FORMATTED = "a word is formatted in a way that is not followed"
_SMALL = 8
_ABSENT = object()
_CONVERSIONS: dict[int, Callable[[Any], str]] = {ord("s"): str, ord("r"): repr, ord("a"): ascii}


class Operations:
    """What is done with values while a mechanism runs.

    Args:
        watch: Where it is noted.
    """

    def __init__(self, watch: WordWatch) -> None:
        self.watch = watch
        self._made: dict[int, Any] = {}  # what the running mechanism made, which it may change
        self._tables: dict[int, tuple[Any, Any]] = {}

    def call(self, function: Any, /, *given: Any, **named: Any) -> Any:
        """Call whatever can be called."""
        raise NotImplementedError

    def refuse(self, *values: Any, why: str = UNFOLLOWED) -> NoReturn:
        """Tell the words in some values apart; all words where it is not known which these are.

        Raises:
            WordInspection: Always.
        """
        known = all(has_words(value) is not None for value in values)
        words = [word.key for word in words_of(values)]
        if known and words:
            self.watch.refuse(why, words)
        self.watch.refuse(why)

    def begin(self) -> None:
        """Another mechanism runs now, which has made nothing yet."""
        self._made.clear()

    def made(self, value: Any) -> Any:
        """Note that a container was made by the mechanism that runs."""
        self._made[id(value)] = value
        return value

    def is_made(self, value: Any) -> bool:
        """Whether the mechanism that runs made it, so that nobody else sees how it changes."""
        return id(value) in self._made

    def check_made(self, value: Any) -> None:
        """See to it that what is changed is the mechanism's own.

        Raises:
            WordInspection: If it is there for longer.
        """
        if not self.is_made(value):
            self.refuse(why=LASTING)

    # Dictionaries and sets: what has the same hash is compared, and nobody sees it.

    def meet(self, *keys: Iterable[Any]) -> None:
        """Note all that keys of dictionaries, or elements of sets, can be compared with."""
        met = list(itertools.chain(*keys))
        if all(has_words(key) is False for key in met):
            return
        if not is_plain(*met):
            self.refuse(met)
        texts = [leaf for leaf in leaves(met) if is_text(leaf)]
        if any(type(text) is OpaqueText for text in texts):
            self.refuse(met)
        self.watch.compared.update(text for text in texts if type(text) is str)

    def look_up(self, table: Any, key: Any, find: Callable[[], Any]) -> Any:
        """What a dictionary or a set has for a key.

        Where a table has no words in it, what it has for every word is known: words for which that
        is the same remain interchangeable.

        Args:
            table: The dictionary, set or view.
            key: What is looked up.
            find: Looks it up.
        """
        frozen = self._frozen(table)
        if frozen is not None and has_words(key) is False:
            return find()
        if frozen is None or type(key) is not OpaqueWord:
            self.meet(table, [key])
            with self.watch.permitted():
                return find()
        name = ("table", frozen)
        if name not in self.watch.looks:
            rows = dict(table) if isinstance(table, dict) else dict.fromkeys(table)
            look = functools.partial(_row, rows)
            self.watch.looks[name] = Look(f"a table of {len(rows):,}", look)
        compared = set(self.watch.compared)
        with self.watch.permitted():
            try:
                return find()
            finally:  # a word is compared with its own row alone, and that is what the look says
                self.watch.compared.intersection_update(compared)

    def _frozen(self, table: Any) -> Any:
        """A key for a table without words in it; None of others."""
        if type(table) not in (dict, OrderedDict, set, frozenset):
            return None
        known = self._tables.get(id(table))
        if known is not None and not self.is_made(table):
            return known[1]
        found = None
        if has_words(table) is False:
            try:
                found = freeze(dict(table) if isinstance(table, dict) else frozenset(table))
            except TypeError:
                found = None
        if len(table) > _SMALL and not self.is_made(table):
            self._tables[id(table)] = table, found
        return found

    def mapping(self, pairs: list[tuple[Any, Any]]) -> Any:
        """A dictionary."""
        self.meet(key for key, _ in pairs)
        with self.watch.permitted():
            return self.made(dict(pairs))

    def pairs(self, value: Any) -> Any:
        """Keys and values of ``**value`` in a dictionary."""
        return value.items() if isinstance(value, dict) and type(value) in HASHED else self.refuse()

    def keywords(self, value: Any) -> Any:
        """``**value`` of a call."""
        return value if type(value) is dict and not words_of(list(value)) else self.refuse()

    def collection(self, items: list[Any]) -> Any:
        """A set."""
        self.meet(items)
        with self.watch.permitted():
            return self.made(set(items))

    # Parts of what holds values.

    def item(self, owner: Any, key: Any) -> Any:
        """``owner[key]``."""
        kind = type(owner)
        if kind in SEQUENCES or kind is str or is_opaque(owner):
            return owner[key]
        if kind in HASHED:
            return self.look_up(owner, key, lambda: owner[key])
        if has_method(kind, "__getitem__"):
            return self.call(found_in_class(kind, "__getitem__"), owner, key)
        get = found_in_class(kind, "__getitem__")
        if get is tuple.__getitem__ or has_words(key) is False:
            return owner[key]
        return self.refuse(key)

    def put_item(self, owner: Any, key: Any, value: Any) -> None:
        """``owner[key] = value``, of a container that the mechanism made."""
        self.check_made(owner)
        if isinstance(owner, dict):
            self.meet(owner, [key])
        elif type(owner) not in (list, deque):
            self.refuse(owner, key, value)
        with self.watch.permitted():
            owner[key] = value

    def change_item(self, name: str, owner: Any, key: Any, value: Any) -> None:
        """``owner[key] += value`` and the like."""
        self.put_item(owner, key, self.inplace(name, self.item(owner, key), value))

    def iterate(self, value: Any) -> Any:
        """What is iterated over."""
        kind = type(value)
        if orders_words(value):
            self.refuse(value, why=ORDER)
        known = kind in SEQUENCES or kind in HASHED or kind in ITERATORS or kind is str
        if known or is_opaque(value) or kind in SCALARS:
            return value
        if issubclass(kind, tuple) and kind.__iter__ is tuple.__iter__:
            return value
        if has_method(kind, "__iter__"):
            walk = self.call(found_in_class(kind, "__iter__"), value)
            return walk if walk is value else self.iterate(walk)
        if has_method(kind, "__next__"):
            return self._steps(found_in_class(kind, "__next__"), value)
        return value if has_words(value) is False else self.refuse(value)

    def _steps(self, following: Any, value: Any) -> Iterator[Any]:
        while True:
            try:
                item = self.call(following, value)
            except StopIteration:
                return
            yield item

    def unpack(self, value: Any) -> Any:
        """What is iterated over, if its elements are unpacked."""
        return map(self.iterate, self.iterate(value))

    def unpack_deeply(self, value: Any) -> Any:
        """What is iterated over, if parts of its elements are unpacked as well."""
        for item in self.iterate(value):
            for part in self.iterate(item):
                self.iterate(part)
            yield item

    # Objects.

    def attribute(self, value: Any, name: str) -> Any:
        """An attribute of a value."""
        kind = type(value)
        if is_opaque(value):
            if name != "__class__" and not hasattr(str, name):
                raise AttributeError(f"'str' object has no attribute {name!r}")
            return str if name == "__class__" else OpaqueMethod(value, name)
        if kind is OpaqueMethod or value is self or name in REVEALING:
            self.refuse(value)
        simple = kind.__module__ in ("builtins", "collections", "itertools", "functools")
        simple = simple or (issubclass(kind, Enum) and name in ("value", "name"))
        if simple or isinstance(value, (type, types.ModuleType)):
            return getattr(value, name)
        found = found_in_class(kind, name)
        if isinstance(found, property) and found.fget:
            return self.call(found.fget, value)
        if isinstance(found, functools.cached_property):
            return self.call(found.func, value)
        if has_method(kind, "__getattribute__") or has_method(type(found), "__get__"):
            self.refuse(value)
        try:
            return object.__getattribute__(value, name)
        except AttributeError:
            if not has_method(kind, "__getattr__"):
                raise
        return self.call(found_in_class(kind, "__getattr__"), value, name)

    def put_attribute(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute of an object that the mechanism made."""
        kind = type(owner)
        self.check_made(owner)
        found = found_in_class(kind, name)
        setter = hasattr(type(found), "__set__") and type(found) is not types.MemberDescriptorType
        if setter or found_in_class(kind, "__setattr__") is not vars(object)["__setattr__"]:
            self.refuse(owner, value)
        object.__setattr__(owner, name, value)

    def has_attribute(self, value: Any, name: str) -> bool:
        """``hasattr(value, name)``."""
        return self.attribute_or(value, name, _ABSENT) is not _ABSENT

    def attribute_or(self, value: Any, name: Any, *otherwise: Any) -> Any:
        """``getattr(value, name, otherwise)``."""
        if type(name) is not str:
            self.refuse(value, name)
        try:
            return self.attribute(value, name)
        except AttributeError:
            if not otherwise:
                raise
            return otherwise[0]

    def is_instance(self, value: Any, kinds: Any) -> bool:
        """``isinstance(value, kinds)``."""
        for kind in kinds if type(kinds) is tuple else (kinds,):
            if has_method(type(kind), "__instancecheck__") and type(kind) is not ABCMeta:
                self.refuse(value)
        return isinstance("word" if is_opaque(value) else value, kinds)

    # Comparisons and operators.

    def compare(self, name: str, one: Any, other: Any) -> Any:
        """A comparison, by the name that ``ast`` has for its operator."""
        if name in ("In", "NotIn"):
            return self._has(other, one) is (name == "In")
        if name in ("Is", "IsNot"):
            known = any(value is None or type(value) is bool for value in (one, other))
            if not known and (is_opaque(one) or is_opaque(other)):
                self.refuse(one, other, why="it matters which of two equal words it is")
            return OPERATORS[name](one, other)
        return self.binary(name, one, other)

    def _has(self, owner: Any, item: Any) -> bool:
        kind = type(owner)
        if kind in HASHED or kind in VIEWS:
            return bool(self.look_up(owner, item, lambda: item in owner))
        if kind is str and type(item) is OpaqueWord:
            text = f"in {owner!r}"
            return bool(item.note(("within", owner), text, lambda word: word in owner))
        if kind is str or kind is range or is_opaque(owner):
            return item in owner
        if has_method(kind, "__contains__"):
            return bool(self.call(found_in_class(kind, "__contains__"), owner, item))
        each = self.iterate(owner)
        return any(item is other or self.compare("Eq", other, item) for other in each)

    def binary(self, name: str, one: Any, other: Any) -> Any:
        """An operator, by the name that ``ast`` has for it."""
        kinds = {type(one), type(other)}
        if kinds <= SCALARS:
            return OPERATORS[name](one, other)
        if name == "Mod" and type(one) is str and has_words(other) is not False:
            return self._percent(one, other)
        if any(kind in HASHED or kind in VIEWS for kind in kinds):
            keys = [list(v) if type(v) in HASHED or type(v) in VIEWS else [v] for v in (one, other)]
            self.meet(*keys)
            if not is_plain(*keys, *_values(one), *_values(other)):
                self.refuse(one, other)
            with self.watch.permitted():
                return self.made(OPERATORS[name](one, other))
        if is_plain(one, other):
            found = OPERATORS[name](one, other)
            return found if name in COMPARISONS else self.made(found)
        if name not in COMPARISONS and kinds <= {tuple, list, deque, int}:
            return self.made(OPERATORS[name](one, other))  # parts are passed on
        if has_words(one) is False and has_words(other) is False:
            return OPERATORS[name](one, other)
        return self.refuse(one, other)

    def inplace(self, name: str, one: Any, other: Any) -> Any:
        """An operator that changes its left side, if that can be changed."""
        if type(one) not in (list, set, dict, deque, OrderedDict, defaultdict, Counter):
            return self.binary(name, one, other)
        self.check_made(one)
        if isinstance(one, (list, deque)):
            if name != "Add":
                return self.binary(name, one, other)
            one.extend(self.iterate(other))
            return one
        found = self.binary(name, one, other)
        one.clear()
        with self.watch.permitted():
            one.update(found)
        return one

    # Texts.

    def formatted(self, value: Any, conversion: int, spec: Any) -> Any:
        """A value as a part of a text."""
        if is_text(value) and conversion in (-1, ord("s")) and spec == "":
            return value
        if type(spec) is not str or has_words(value) is not False:
            self.refuse(value, spec, why=FORMATTED)
        if conversion != -1:
            value = _CONVERSIONS[conversion](value)
        return format(value, spec)

    def joined(self, *parts: Any) -> Any:
        """Texts put together."""
        return put_together(*parts)

    def join(self, between: str, parts: Sequence[Any]) -> Any:
        """``between.join(parts)``."""
        if not all(map(is_text, parts)):
            return between.join(parts)
        spaced = itertools.chain(*((between, part) for part in parts))
        return put_together(*itertools.islice(spaced, 1, None))

    def _percent(self, text: str, values: Any) -> Any:
        """``text % values``, if all that it asks for is texts as they are."""
        given = values if type(values) is tuple else (values,)
        pieces = text.split("%s")
        if len(pieces) != len(given) + 1 or "%" in "".join(pieces) or not all(map(is_text, given)):
            self.refuse(values, why=FORMATTED)
        return put_together(*itertools.chain(*itertools.zip_longest(pieces, given, fillvalue="")))


def _values(table: Any) -> list[Any]:
    return list(table.values()) if isinstance(table, dict) else []


def _row(rows: dict[Any, Any], word: str) -> Any:
    return (rows[word],) if word in rows else ()
