"""Words of which a mechanism may know no more than which others they equal.

A causal model that is run with opaque words computes what it would for any other words of the same
kind, or it is noted. Two things may be done freely: passing words on, and comparing them with each
other. Comparing with a text is noted (that text then stands for itself), and so is a look at one
word (its length, a letter, its row in a table): words for which all looks come out the same are
still interchangeable. Whatever else is done raises :class:`WordInspection`, which is also noted,
should a mechanism swallow the exception.

Words that are put together with other text stay opaque (:class:`OpaqueText`).
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn, cast

from cfgen.search.contents import CONTAINERS, SCALARS, Opaque, freeze, is_text, words_of

_NOTHING: Mapping[str, Any] = MappingProxyType({})
EVERYTHING = ""
"""Stands for all words, where it is not known which were looked into."""


@dataclass(frozen=True, slots=True)
class Look:
    """Something that a mechanism found out about a word.

    Attributes:
        text: What, for people.
        find: Finds it out about any word.
    """

    text: str
    find: Callable[[str], Any]

    def result(self, word: str) -> Hashable:
        """What comes out for a word, as a key; or which exception."""
        try:
            key: Hashable = freeze(self.find(word))
        except Exception as error:
            return (type(error), str(error))
        return key


@dataclass(slots=True)
class WordWatch:
    """What was noticed while opaque words were used.

    Attributes:
        kind_of: Word -> all words that it is interchangeable with.
        inspected: Words that were looked into, and why this is not known to be harmless.
        compared: Plain texts that opaque words were compared with.
        looks: What was found out about single words.
        permits: Whether words may be hashed, since whoever does has seen what they can meet.
    """

    kind_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inspected: dict[str, str] = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)
    looks: dict[Hashable, Look] = field(default_factory=dict)
    permits: bool = False

    def refuse(self, why: str, words: Iterable[str] = (EVERYTHING,)) -> NoReturn:
        """Note that it matters, or may matter, which words these are.

        Raises:
            WordInspection: Always.
        """
        for word in words:
            self.inspected.setdefault(word, why)
        raise WordInspection(why)

    @contextmanager
    def permitted(self) -> Iterator[None]:
        """Words may be hashed meanwhile."""
        before, self.permits = self.permits, True
        try:
            yield
        finally:
            self.permits = before

    def kind(self, word: str) -> tuple[str, ...]:
        """All words that a word is interchangeable with, and itself."""
        return self.kind_of.get(word, (word,))


class WordInspection(BaseException):
    """A mechanism did to a word what may depend on which word it is."""


def _looks(name: str) -> Callable[..., Any]:
    """A method that finds something out about one word, if all else that it is given is plain."""

    def method(self: OpaqueWord, *given: Any) -> Any:
        return self.find(name, given)

    return method


class OpaqueWord(Opaque):
    """Stands for a word. Two of them are equal if they are the same object."""

    __slots__ = ("_watch", "_word")

    def __init__(self, word: str, watch: WordWatch) -> None:
        self._word = word
        self._watch = watch

    @property
    def words(self) -> Sequence[OpaqueWord]:
        """Itself."""
        return (self,)

    @property
    def key(self) -> str:
        """The word that it stands for."""
        return self._word

    def look(self, *_: Any, **__: Any) -> NoReturn:
        """Note that somebody wants to know which word it is.

        Raises:
            WordInspection: Always.
        """
        self._watch.refuse("a mechanism does more with a word than to compare it", [self._word])

    def find(
        self, name: str, given: Sequence[Any] = (), named: Mapping[str, Any] = _NOTHING
    ) -> Any:
        """Find something out by a method of texts, and note it.

        Args:
            name: Name of the method.
            given: What it is given.
            named: What it is given by name.

        Raises:
            WordInspection: If it is given other words.
        """
        method = getattr(str, name)
        try:
            key = ("method", name, *map(freeze, given), *map(freeze, sorted(named.items())))
        except TypeError:
            self.look()
        if words_of([*given, *named.values()]):
            self.look()
        text = f".{name}({', '.join(map(repr, given))})"
        return self.note(key, text, lambda word: method(word, *given, **named))

    def note(self, key: Hashable, text: str, find: Callable[[str], Any]) -> Any:
        """Note a look at the word, and take it.

        Args:
            key: What tells it from other looks.
            text: What it is, for people.
            find: Takes it of any word.

        Raises:
            WordInspection: If what comes out cannot be compared with that of other words.
        """
        self._watch.looks.setdefault(key, Look(text, find))
        found = find(self._word)
        try:
            freeze(found)
        except TypeError:
            self.look()
        return found

    # isinstance() says of an opaque word what it says of any word.
    __class__ = property(lambda self: str)

    def __eq__(self, other: object) -> bool:
        kind = type(other)
        if kind is OpaqueWord or kind in SCALARS or kind in CONTAINERS:
            return self is other
        if kind is str:
            self._watch.compared.add(str(other))
            return self._word == other
        if kind is OpaqueText:
            return other == self
        if issubclass(kind, (enum.Enum, type)) and kind.__eq__ is object.__eq__:
            return False
        self.look()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        if not self._watch.permits:
            self.look()
        return hash(self._word)

    def __bool__(self) -> bool:
        return True  # as of every word

    def __getattr__(self, name: str) -> Any:
        if not hasattr(str, name):
            raise AttributeError(f"'str' object has no attribute {name!r}")
        return OpaqueMethod(self, name)

    def __copy__(self) -> OpaqueWord:
        return self

    def __deepcopy__(self, memo: object) -> OpaqueWord:
        return self

    def __add__(self, other: Any) -> Any:
        return put_together(self, other) if is_text(other) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return put_together(other, self) if is_text(other) else NotImplemented

    def __iter__(self) -> Iterator[str]:
        return iter(self.note("letters", "its letters", tuple))

    def __len__(self) -> int:
        return int(self.note("length", "len()", len))

    __lt__, __le__, __gt__, __ge__ = map(_looks, ("__lt__", "__le__", "__gt__", "__ge__"))
    __contains__, __getitem__ = map(_looks, ("__contains__", "__getitem__"))
    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = __reversed__ = look
    __mul__ = __rmul__ = __mod__ = __rmod__ = __fspath__ = __reduce_ex__ = look


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueMethod:
    """A method of texts, bound to an opaque word.

    Attributes:
        word: The word.
        name: Name of the method.
    """

    word: OpaqueWord | OpaqueText
    name: str

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Find out what the method says, or that it says what it must not."""
        word = self.word
        if (self.name, given) in {("__str__", ()), ("__format__", ("",))}:
            return word
        if type(word) is OpaqueWord and self.name not in {"__eq__", "__ne__", "__hash__"}:
            return word.find(self.name, given, named)
        return word.look()


class OpaqueText(Opaque):
    """A text that opaque words are part of.

    Attributes:
        parts: Texts and words, in their order; no two texts follow each other.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | OpaqueWord, ...]) -> None:
        self.parts = parts

    __class__ = property(lambda self: str)

    @property
    def words(self) -> list[OpaqueWord]:
        """The words in it."""
        return _words(self.parts)

    @property
    def key(self) -> tuple[Any, ...]:
        """What it is made of."""
        return tuple(map(freeze, self.parts))

    def look(self, *_: Any, **__: Any) -> NoReturn:
        """Note that somebody wants to know what the text is.

        Raises:
            WordInspection: Always.
        """
        first, *others = self.words
        for word in others:
            word._watch.inspected.setdefault(word._word, "it is looked into as part of a text")
        first._watch.refuse("it is looked into as part of a text", [first._word])

    def __eq__(self, other: object) -> bool:
        kind = type(other)
        if kind in SCALARS or kind in CONTAINERS:
            return False
        if kind not in (str, OpaqueWord, OpaqueText):
            self.look()
        return may_coincide(self, cast(Text, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __bool__(self) -> bool:
        return True

    def __copy__(self) -> OpaqueText:
        return self

    def __deepcopy__(self, memo: object) -> OpaqueText:
        return self

    def __getattr__(self, name: str) -> Any:
        if not hasattr(str, name):
            raise AttributeError(f"'str' object has no attribute {name!r}")
        return OpaqueMethod(self, name)

    def __add__(self, other: Any) -> Any:
        return put_together(self, other) if is_text(other) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return put_together(other, self) if is_text(other) else NotImplemented

    __lt__ = __le__ = __gt__ = __ge__ = __len__ = __iter__ = __getitem__ = __contains__ = look
    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = __reversed__ = look
    __mul__ = __rmul__ = __mod__ = __rmod__ = __fspath__ = __reduce_ex__ = __hash__ = look


# Texts that words are part of.

Text = str | OpaqueWord | OpaqueText


def put_together(*texts: Text) -> Text:
    """One text after the other; a word alone stays one."""
    parts: list[str | OpaqueWord] = []
    for part in itertools.chain.from_iterable(map(_parts, texts)):
        if type(part) is not str:
            parts.append(part)
        elif part and parts and type(parts[-1]) is str:
            parts[-1] += part
        elif part:
            parts.append(part)
    if not parts:
        return ""
    return parts[0] if len(parts) == 1 else OpaqueText(tuple(parts))


def _parts(text: Text) -> tuple[str | OpaqueWord, ...]:
    return text.parts if type(text) is OpaqueText else (text,)  # type: ignore[return-value]


def plain_text(text: Text) -> str:
    """The text with the words that stand for all others."""
    return "".join(part if type(part) is str else part._word for part in _parts(text))  # type: ignore[union-attr]


def form_of(text: Text) -> tuple[Any, ...]:
    """What a text is made of, but for which words of their kinds these are."""
    return tuple(_skeleton(_parts(text)))


def may_coincide(one: Text, other: Text) -> bool:
    """Whether two texts are equal; noted are words for which that would come out otherwise.

    Raises:
        WordInspection: If this cannot be told for all words.
    """
    first, second = _parts(one), _parts(other)
    if _skeleton(first) == _skeleton(second):
        if all(map(_is_same, first, second)):
            return True
        if not _decomposes(first, second):
            _look_into(one, other)
        return False
    if _starts_or_ends_otherwise(first, second):
        return False
    if len(_words(first)) > 1 or len(_words(second)) > 1:
        _look_into(one, other)
    texts = _every_text(first), _every_text(second)
    for shared in texts[0].keys() & texts[1].keys():
        for parts, found in zip((first, second), texts, strict=True):
            for word in _words(parts):
                word._watch.compared.add(found[shared])
    return plain_text(one) == plain_text(other)


def _is_same(one: str | OpaqueWord, other: str | OpaqueWord) -> bool:
    return one is other or (type(one) is str and type(other) is str and one == other)


def _words(parts: Sequence[str | OpaqueWord]) -> list[OpaqueWord]:
    return [part for part in parts if type(part) is OpaqueWord]


def _starts_or_ends_otherwise(*texts: Sequence[str | OpaqueWord]) -> bool:
    """Whether two texts differ in what they begin or end with for certain."""
    starts = sorted((_literal(parts, 0) for parts in texts), key=len)
    ends = sorted((_literal(parts, -1) for parts in texts), key=len)
    return not (starts[1].startswith(starts[0]) and ends[1].endswith(ends[0]))


def _look_into(*texts: Text) -> NoReturn:
    OpaqueText(tuple(word for text in texts for word in _words(_parts(text)))).look()


def _skeleton(parts: Sequence[str | OpaqueWord]) -> list[Any]:
    """A text but for which words of their kinds are in it."""
    return [p if type(p) is str else (OpaqueWord, p._watch.kind(p._word)[0]) for p in parts]  # type: ignore[union-attr]


def _literal(parts: Sequence[str | OpaqueWord], end: int) -> str:
    """The text that it begins or ends with for certain."""
    return str(parts[end]) if type(parts[end]) is str else ""


def _decomposes(*texts: Sequence[str | OpaqueWord]) -> bool:
    """Whether texts of one skeleton are different for sure if their words are.

    Between any two words there has to be a letter that is in no word.
    """
    words = [word for parts in texts for word in _words(parts)]
    if len(words) == 2:
        return True
    used = {word._watch.kind(word._word) for word in words}
    letters = {letter for kind in used for known in kind for letter in known}
    between = [part for part in texts[0][1:-1] if type(part) is str]
    return 2 * len(between) == len(words) - 2 and all({*part} - letters for part in between)


def _every_text(parts: Sequence[str | OpaqueWord]) -> dict[str, str]:
    """Every text that parts with one word at most can be, with the word that makes it."""
    if not _words(parts):
        return {"".join(map(str, parts)): ""}
    (word,) = _words(parts)
    return {
        "".join([known if type(part) is OpaqueWord else str(part) for part in parts]): known
        for known in word._watch.kind(word._word)
    }
