"""Attributes of words: what the further columns of a lexicon say of each of its words.

Mechanisms look them up as ``countries[word].capital``, where ``countries = lexicon("countries")``;
templates show them as ``{{ country.capital }}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from cfgen.errors import CfgenError, Problem, caller_place, did_you_mean


@dataclass(frozen=True, slots=True)
class WordTable:
    """A row of attributes for each word of a lexicon.

    Attributes:
        lexicon: Name of the lexicon.
        columns: Names of the attributes; none for a plain list of words.
        rows: A word, then its attributes in the order of the columns, for every word.
    """

    lexicon: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    _by_word: Mapping[str, WordRow] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_word = {
            word: WordRow(self.lexicon, word, dict(zip(self.columns, cells, strict=True)))
            for word, *cells in self.rows
        }
        object.__setattr__(self, "_by_word", by_word)

    def __contains__(self, word: object) -> bool:
        return word in self._by_word

    def __reduce__(self) -> tuple[type[WordTable], tuple[object, ...]]:
        return (WordTable, (self.lexicon, self.columns, self.rows))

    def row(self, word: str) -> WordRow:
        """The row of a word.

        Raises:
            CfgenError: It is not a word of the lexicon; the place is that of the caller's caller.
        """
        if isinstance(word, str):
            # str() changes no text; a word that must not be looked into notices, and refuses
            row = self._by_word.get(str(word))
            if row is not None:
                return row
        self._refuse(word)

    def _refuse(self, word: object) -> NoReturn:
        message = f"{word!r} is not a word of lexicon {self.lexicon!r}"
        hint = did_you_mean(str(word), self._by_word)
        if not isinstance(word, str):
            message = f"lexicon {self.lexicon!r} is looked up by a word, not by {word!r}"
            hint = "write the variable that has the word, such as countries[country].capital"
        elif len(self.rows) > 12 and hint.startswith("there is"):
            hint = f"add a line for it, or look up one of the {len(self.rows)} words there are"
        raise CfgenError(Problem("lexicon-word", message, caller_place(3), hint))


class WordRow:
    """The row of one word: its attributes, as texts.

    A row is only there to be asked: ``countries[word].capital``. It is no value of a variable.
    """

    __slots__ = ("_cells", "_lexicon", "_word")

    def __init__(self, lexicon: str, word: str, cells: Mapping[str, str]) -> None:
        self._lexicon, self._word, self._cells = lexicon, word, cells

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)  # copy and pickle ask for such names
        if name in self._cells:
            return self._cells[name]
        message = f"lexicon {self._lexicon!r} has no column {name!r}"
        hint = did_you_mean(name, self._cells)
        if not self._cells:
            message = f"lexicon {self._lexicon!r} is a plain list of words, without attributes"
            hint = f"make it a table {self._lexicon}.tsv, whose first line names the columns"
        raise CfgenError(Problem("lexicon-attribute", message, caller_place(1), hint))

    def __repr__(self) -> str:
        cells = "".join(f", {name}={cell!r}" for name, cell in self._cells.items())
        return f"WordRow({self._word!r}{cells})"
