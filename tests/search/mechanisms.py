"""Mechanisms that depend on rare words in some hidden way, and honest ones that do not.

Each is the body of ``flag(words, asked)`` with what stands before it in the task file. Two
hypotheses differ exactly if the flag ever does, so that a certificate of *same* is right for the
honest ones alone. ``RARE`` and ``OTHER`` are the last words of the lexicon.
"""

from __future__ import annotations

HIDING = {
    "a class attribute": ("""
class Tables:
    plural = {RARE: "yes"}
""", "return Tables.plural.get(words[asked], 'no')"),
    "a static method": ("""
class Tables:
    @staticmethod
    def look(word):
        return {RARE: "yes"}.get(word, "no")
""", "return Tables.look(words[asked])"),
    "a class method": ("""
class Tables:
    rows = {RARE: "yes"}

    @classmethod
    def look(cls, word):
        return cls.rows.get(word, "no")
""", "return Tables.look(words[asked])"),
    "an attribute of a class's object": ("""
class Table:
    def __init__(self):
        self.rows = {RARE: "yes"}


TABLE = Table()
""", "return TABLE.rows.get(words[asked], 'no')"),
    "a method of a class's object": ("""
class Table:
    def __init__(self, word):
        self.word = word

    def has(self, word):
        return self.word == word


TABLE = Table(RARE)
""", "return TABLE.has(words[asked])"),
    "a bound method": ("LOOK = {RARE: 'yes'}.get", "return LOOK(words[asked], 'no')"),
    "a partial": ("""
from functools import partial

LOOK = partial(dict.get, {RARE: "yes"})
""", "return LOOK(words[asked], 'no')"),
    "a partial of a method": ("""
from functools import partial

LOOK = partial({RARE}.__contains__)
""", "return LOOK(words[asked])"),
    "an enumeration by value": ("""
from enum import Enum


class Known(Enum):
    RARE_ONE = RARE
""", """
    try:
        return Known(words[asked]) is None
    except ValueError:
        return True
"""),
    "an enumeration of texts": ("""
from enum import Enum


class Known(str, Enum):
    RARE_ONE = RARE
""", "return words[asked] == Known.RARE_ONE"),
    "an enumeration's members": ("""
from enum import Enum


class Known(Enum):
    RARE_ONE = RARE
""", "return any(known.value == words[asked] for known in Known)"),
    "a module's attribute": ("""
import types

tables = types.ModuleType("tables")
tables.plural = {RARE: "yes"}
""", "return tables.plural.get(words[asked], 'no')"),
    "a closure": ("""
def make():
    rows = {RARE: "yes"}

    def look(word):
        return rows.get(word, "no")

    return look


LOOK = make()
""", "return LOOK(words[asked])"),
    "a closure over a word": ("""
def make(known):
    return lambda word: word == known


LOOK = make(RARE)
""", "return LOOK(words[asked])"),
    "a default": ("", "return (lambda word, rows=frozenset([RARE]): word in rows)(words[asked])"),
    "a text made at run time": ("", "return words[asked] == RARE[:1] + RARE[1:]"),
    "a key made at run time": ("", "return {RARE[:1] + RARE[1:]: 1}.get(words[asked], 0)"),
    "a joined text": ("", "return words[asked] in {''.join(['w', RARE[1:]])}"),
    "a formatted text": ("", "return {f'w{RARE[1:]}': 1}.get(words[asked], 0)"),
    "a key of two words": ("TABLE = {(RARE, OTHER): 'yes'}", "return TABLE.get(words, 'no')"),
    "a key of two words, made of a list": (
        "TABLE = {(RARE, OTHER): 'yes'}", "return TABLE.get(tuple(reversed(words)), 'no')"),
    "a set of pairs": ("PAIRS = {frozenset([RARE, OTHER])}", "return frozenset(words) in PAIRS"),
    "a text of two words": (
        "TABLE = {RARE + ' ' + OTHER: 1}", "return TABLE.get(' '.join(words), 0)"),
    "a formatted key of two words": (
        "TABLE = {RARE + ' ' + OTHER: 1}", "return TABLE.get(f'{words[0]} {words[1]}', 0)"),
    "nested tables": (
        "TABLE = {RARE: {OTHER: 1}}", "return TABLE.get(words[0], {}).get(words[1], 0)"),
    "a regular expression": ("import re", "return re.fullmatch(RARE, words[asked]) is None"),
    "a compiled regular expression": (
        "import re\n\nLOOK = re.compile(RARE[:-1] + '.$')",
        "return bool(LOOK.match(words[asked]))"),
    "a cache": ("""
from functools import lru_cache


@lru_cache(maxsize=None)
def look(word):
    return {RARE: "yes"}.get(word, "no")
""", "return look(words[asked])"),
    "a cache of its own": ("""
KNOWN = {}


def look(word):
    if word not in KNOWN:
        KNOWN[word] = word in (RARE,)
    return KNOWN[word]
""", "return look(words[asked])"),
    "a cache that is filled at first": ("""
KNOWN = {}


def look(word):
    if not KNOWN:
        KNOWN.update({RARE: "yes"})
    return KNOWN.get(word, "no")
""", "return look(words[asked])"),
    "a hash": ("", "return hash(words[asked]) == hash(RARE)"),
    "an identity": ("import sys", "return sys.intern(words[asked]) is sys.intern(RARE)"),
    "str's own methods": ("", "return str.endswith(words[asked], RARE[1:])"),
    "an error that is swallowed": ("""
def look(word):
    try:
        return str.__eq__(word, RARE)
    except TypeError:
        return False
""", "return look(words[asked])"),
    "a class that is asked for its type": ("", """
    return type(words[asked]) is str and {RARE: 1}.get(words[asked], 0)
"""),
    "a comparison of its own": ("""
class Pattern:
    def __eq__(self, other):
        return type(other) is str and other.encode() == RARE.encode()

    def __hash__(self):
        return 0


PATTERN = Pattern()
""", "return words[asked] == PATTERN"),
    "a comparison of its own, in a tuple": ("""
class Pattern:
    def __eq__(self, other):
        return type(other) is str and other.encode() == RARE.encode()


PATTERN = Pattern()
""", "return (PATTERN, 1) == (words[asked], 1)"),
    "a missing key": ("""
class Table(dict):
    def __missing__(self, word):
        return "yes" if word.encode() == RARE.encode() else "no"


TABLE = Table()
""", "return TABLE[words[asked]]"),
    "an attribute by name": ("""
class Table:
    pass


setattr(Table, RARE, "yes")
""", "return getattr(Table, words[asked], 'no')"),
    "an attribute that is not there": ("""
class Table:
    def __getattr__(self, name):
        return {RARE: "yes"}.get(name, "no")


TABLE = Table()
""", "return getattr(TABLE, words[asked])"),
    "code in a text": ("", "return eval('word == RARE', {'word': words[asked], 'RARE': RARE})"),
    "code that has no source": ("""
names = {}
exec("def look(word, rare):\\n    return word in {rare}", names)
LOOK = names["look"]
""", "return LOOK(words[asked], RARE)"),
    "a namespace": ("SPACE = {RARE: 1, **{}}", "return words[asked] in SPACE.keys()"),
    "a chain of maps": (
        "from collections import ChainMap\n\nMAPS = ChainMap({}, {RARE: 1})",
        "return MAPS.get(words[asked], 0)"),
    "a counter": (
        "from collections import Counter\n\nCOUNTS = Counter([RARE])",
        "return COUNTS[words[asked]]"),
    "a table with a default": (
        "from collections import defaultdict\n\nTABLE = defaultdict(int, {RARE: 1})",
        "return TABLE[words[asked]]"),
    "a mapping that cannot be changed": (
        "from types import MappingProxyType\n\nTABLE = MappingProxyType({RARE: 1})",
        "return TABLE.get(words[asked], 0)"),
    "a match": ("", """
    match words[asked]:
        case Words.RARE:
            return 1
        case _:
            return 0
"""),
    "a place in a list": ("ALL = [*('x' * 3), RARE]", """
    try:
        return ALL.index(words[asked])
    except ValueError:
        return -1
"""),
    "bisection": (
        "from bisect import bisect_left\n\nALL = [RARE]", "return bisect_left(ALL, words[asked])"),
    "a translation": (
        "", "return words[asked].translate(str.maketrans('', '', 'w')) == RARE[1:]"),
    "a sum of letters": ("", "return sum(map(ord, words[asked])) * 31 + int(words[asked][1:]) == "
                             "sum(map(ord, RARE)) * 31 + int(RARE[1:])"),
    "the order of two words": ("", "return sorted(words)[1] == RARE"),
    "an order by a table": ("RANK = {RARE: -1}", """
    return sorted(words, key=lambda word: RANK.get(word, 0))[0] == words[0] or asked < 0
"""),
    "the rest of a word": ("", "return words[asked].removeprefix('w') == RARE[1:]"),
    "a property": ("""
class Story:
    def __init__(self, words):
        self.words = words

    @property
    def odd(self):
        return RARE in self.words
""", "return Story(words).odd"),
    "a record": ("""
from typing import NamedTuple


class Story(NamedTuple):
    one: str
    two: str

    def odd(self):
        return {RARE: 1}.get(self.one, 0)
""", "return Story(*words).odd()"),
    "a generator": ("""
def known():
    yield RARE
""", "return words[asked] in known()"),
    "an iterator of its own": ("""
class Known:
    def __iter__(self):
        return iter([RARE])
""", "return words[asked] in Known()"),
    "a set operation": ("", "return bool({*words} & {RARE})"),
    "a set difference": ("KNOWN = frozenset([RARE])", "return len(KNOWN.difference(words))"),
    "a merged dictionary": ("", "return len({**dict.fromkeys(words), RARE: 1}) == 3"),
    "what a caller left": ("import sys", """
    return {RARE: 1}.get(sys._getframe().f_locals["words"][asked], 0)
"""),
    "json": (
        "import json\n\nTABLE = json.loads(json.dumps({RARE: 1}))",
        "return json.dumps(words[asked]).strip('\"') in TABLE"),
    "reduce": (
        "from functools import reduce", "return reduce(lambda a, b: a or b == RARE, words, 0)"),
}  # fmt: skip

HONEST = {
    "an index": ("", "return words.index(words[asked]) == asked"),
    "a comparison": ("", "return words[asked] == words[1 - asked]"),
    "a dictionary of the words": ("", "return dict(zip(words, range(2)))[words[asked]] == asked"),
    "a comprehension": ("", "return {w: i for i, w in enumerate(words)}[words[asked]] == asked"),
    "a set of the words": ("", "return len(set(words))"),
    "the one that is left": ("", "return ({*words} - {words[asked]}).pop() == words[1 - asked]"),
    "a search": ("", "return next(w for w in words if w != words[asked]) == words[1 - asked]"),
    "a filter": ("", "return len([w for w in words if w == words[asked]])"),
    "an order by place": ("", "return sorted(words, key=words.index) == list(words)"),
    "a helper": ("""
def other(words, asked):
    for number, word in enumerate(words):
        if number != asked:
            return word
""", "return other(words, asked) in words"),
    "recursion": ("""
def place(words, word):
    return 0 if words[0] == word else 1 + place(words[1:], word)
""", "return place(words, words[asked]) == asked"),
    "a record": ("""
from typing import NamedTuple


class Story(NamedTuple):
    one: str
    two: str
""", "return Story(*words).one == words[0]"),
    "a dataclass": ("""
from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    words: tuple
    asked: int

    @property
    def word(self):
        return self.words[self.asked]
""", "return Story(words, asked).word in words"),
    "an object": ("""
class Box:
    def __init__(self, words):
        self.first, self.second = words

    def swapped(self):
        return (self.second, self.first)
""", "return Box(words).swapped()[1 - asked] == words[asked]"),
    "a cache": ("""
from functools import cache


@cache
def swapped(words):
    return words[::-1]
""", "return swapped(words)[1 - asked] == words[asked]"),
    "a partial": ("""
from functools import partial


def at(place, words):
    return words[place]


FIRST = partial(at, 0)
""", "return FIRST(words) == words[0]"),
    "permutations": (
        "from itertools import permutations",
        "return sum(p == words for p in permutations(words))"),
    "a product": (
        "from itertools import product",
        "return sum(a == b for a, b in product(words, words))"),
    "a match": ("", """
    match words:
        case (first, second) if first != second:
            return 2
        case _:
            return 1
"""),
    "an error that is caught": ("", """
    try:
        return words[1:].index(words[0])
    except ValueError:
        return -1
"""),
    "a loop with a list of its own": ("", """
    found = []
    for word in words:
        if word not in found:
            found.append(word)
    return len(found)
"""),
    "counting": (
        "from collections import Counter", "return Counter(words)[words[asked]]"),
    "groups": ("""
from collections import defaultdict
""", """
    groups = defaultdict(list)
    for place, word in enumerate(words):
        groups[word].append(place)
    return groups[words[asked]] == [asked]
"""),
    "reduce": (
        "from functools import reduce",
        "return reduce(lambda a, b: a + (b == words[0]), words, 0)"),
    "an item getter": (
        "from operator import itemgetter",
        "return itemgetter(1, 0)(words)[1 - asked] == words[asked]"),
    "a phrase": ("", "return f'the {words[asked]} here' == 'the ' + words[asked] + ' here'"),
    "a phrase of two": ("", "return ' and '.join(words) == f'{words[0]} and {words[1]}'"),
    "an enumeration of places": ("""
from enum import Enum


class Place(Enum):
    FIRST = 0
    SECOND = 1
""", "return words[Place(asked).value] == words[asked]"),
    "a table of numbers": (
        "OTHER_PLACE = {0: 1, 1: 0}", "return words[OTHER_PLACE[asked]] != words[asked]"),
    "whether it is a text": ("", "return isinstance(words[asked], str) and type(words[0]) is str"),
    "a constant that is no word": ("", "return words[asked] == 'nobody'"),
}  # fmt: skip
