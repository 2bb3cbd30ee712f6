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
    _cells: Mapping[str, Mapping[str, str]] = field(init=False, repr=False, compare=False)
    _words: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns) + 1:
                raise ValueError(f"a row has {len(row)} cells for {len(self.columns)} columns")
        cells = {
            column: {row[0]: row[place] for row in self.rows}
            for place, column in enumerate(self.columns, 1)
        }
        object.__setattr__(self, "_cells", cells)
        object.__setattr__(self, "_words", frozenset(row[0] for row in self.rows))

    def __contains__(self, word: object) -> bool:
        return word in self._words

    def __reduce__(self) -> tuple[type[WordTable], tuple[object, ...]]:
        return (WordTable, (self.lexicon, self.columns, self.rows))

    def row(self, word: str) -> WordRow:
        """The row of a word.

        Raises:
            CfgenError: It is not a word of the lexicon; the place is that of the caller's caller.
        """
        # Asked so that it makes no difference which word of the lexicon it is: only the cell that
        # is read does, and a proof tells words apart by that.
        if isinstance(word, str) and word in self._words:
            return WordRow(self, word)
        self._refuse(word)

    def cell(self, column: str, word: str) -> str | None:
        """A word's attribute; None if there is no such column."""
        return self._cells[column][word] if column in self._cells else None

    def _refuse(self, word: object) -> NoReturn:
        message = f"{word!r} is not a word of lexicon {self.lexicon!r}"
        hint = did_you_mean(str(word), [row[0] for row in self.rows])
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

    __slots__ = ("_table", "_word")

    def __init__(self, table: WordTable, word: str) -> None:
        self._table = table
        self._word = word

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)  # copy and pickle ask for such names
        cell = self._table.cell(name, self._word)
        if cell is not None:
            return cell
        table = self._table
        message = f"lexicon {table.lexicon!r} has no column {name!r}"
        hint = did_you_mean(name, table.columns)
        if not table.columns:
            message = f"lexicon {table.lexicon!r} is a plain list of words, without attributes"
            hint = f"make it a table {table.lexicon}.tsv, whose first line names the columns"
        raise CfgenError(Problem("lexicon-attribute", message, caller_place(1), hint))

    def __repr__(self) -> str:
        table = self._table
        cells = "".join(f", {name}={table.cell(name, self._word)!r}" for name in table.columns)
        return f"WordRow({self._word!r}{cells})"
