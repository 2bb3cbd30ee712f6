"""Lexicons: lists of words with attributes, one entry per line, and names made by Faker.

:func:`lexicon` and :func:`faker` are what a task file calls: domains of its causal model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path

from cfgen.causal import Words, WordTable
from cfgen.errors import CfgenError, Problem, authored, caller_place, did_you_mean
from cfgen.paths import display, find_all, plain_name, project_of
from cfgen.prompts.frontmatter import read_text
from cfgen.prompts.spans import PARTS
from cfgen.words import disguise_in, word_key

PATIENCE = 20_000
"""Names in a row that Faker may repeat before it counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A list of words.

    Attributes:
        name: What it is called.
        entries: The words, in the order of the file, all different.
        attributes: For every further column, one value for each entry.
        path: File it was read from, ``None`` if it was made.
    """

    name: str
    entries: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    path: Path | None = None

    def words(self) -> Words:
        """The domain that draws from this lexicon and knows the attributes of its words."""
        columns = tuple(self.attributes)
        rows = zip(self.entries, *self.attributes.values(), strict=True)
        return Words(self.name, self.entries, WordTable(self.name, columns, tuple(rows)))


_noted: ContextVar[list[Words] | None] = ContextVar("noted", default=None)


@contextmanager
def noting_lexicons() -> Iterator[list[Words]]:
    """While this lasts, note which lexicons are read by :func:`lexicon`, also those not drawn from.

    Yields:
        A list that they are added to.
    """
    noted: list[Words] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


@authored
def lexicon(name: str) -> Words:
    """One word of ``data/lexicons/<name>.txt`` (or ``.tsv``, a table with a row for each word).

    A mechanism finds what a table says of a word under the name of the column, as text:
    ``countries[word].capital``, where ``countries = lexicon("countries")``.

    Looked for in the project of the calling task file, then in the current one, and last among
    the built-ins.

    Raises:
        CfgenError: If there is no such lexicon, or for every problem in its file.
    """
    project = project_of(Path(caller_place(1).rpartition(":")[0]))
    words = load_lexicon(name, *project).words()
    if (noted := _noted.get()) is not None:
        noted.append(words)
    return words


@authored
def faker(count: int, *, locale: str = "en_US", seed: int = 0) -> Words:
    """One of ``count`` different first names from Faker, the same ones for the same seed.

    Args:
        count: How many names to draw from.
        locale: Which names: a locale that Faker knows.
        seed: Seed of Faker.

    Raises:
        CfgenError: If the locale is unknown or has too few names.
    """
    return faker_names(count, locale=locale, seed=seed).words()


def load_lexicon(name: str, *first: Path) -> Lexicon:
    """Read a lexicon.

    ``data/lexicons/<name>.txt`` has one entry per line. ``<name>.tsv`` has columns separated by
    tabs and a line of column names; the first column is the entry. In both, blank lines and lines
    that start with ``#`` are comments, and everything stays text: ``yes``, ``no`` and ``010`` are
    words.

    Args:
        name: Name of the lexicon.
        *first: Folders to search before the project's and the built-in one; the first that has
            the lexicon counts.

    Returns:
        The lexicon.

    Raises:
        CfgenError: There is no such file or there are two, or everything that is wrong in it.
    """
    plain_name(name, "a lexicon")
    folders = list(find_all("data/lexicons", *first))
    for folder in folders:
        paths = [path for kind in ("txt", "tsv") if (path := folder / f"{name}.{kind}").is_file()]
        if len(paths) == 2:
            message = f"the lexicon {name!r} is there twice, as .txt and as .tsv"
            raise CfgenError(
                Problem("lexicon-twice", message, display(folder), "remove one of them")
            )
        if paths:
            return _read(name, paths[0])
    known = {
        path.stem
        for folder in folders
        for kind in ("txt", "tsv")
        for path in folder.glob(f"*.{kind}")
    }
    raise CfgenError(
        Problem("lexicon-missing", f"there is no lexicon {name!r}", hint=did_you_mean(name, known))
    )


def _read(name: str, path: Path) -> Lexicon:
    """Read and check one file."""
    text = read_text(path)
    rows = [
        (number, line.split("\t") if path.suffix == ".tsv" else [line])
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ]
    columns = [name]
    problems: list[Problem] = []
    if path.suffix == ".tsv" and rows:
        number, columns = rows.pop(0)
        problems += _check_header(columns, f"{display(path)}:{number}")
    seen: dict[str, tuple[int, str]] = {}
    for number, cells in rows:
        where = f"{display(path)}:{number}"
        problems += _check_row(cells, columns, where)
        if cells[0] != cells[0].strip():
            continue  # which is said already
        before, word = seen.setdefault(word_key(cells[0]), (number, cells[0]))
        if before != number:
            message = f"{cells[0]!r} is already in line {before}"
            if word != cells[0]:
                message += f", where it is {word!r}: what differs is not seen, or means the same"
            problems.append(Problem("lexicon-duplicate", message, where, "remove one of them"))
    if not rows:
        message = f"the lexicon {name!r} has no entries"
        problems.append(Problem("lexicon-empty", message, display(path), "add one a line"))
    if problems:
        raise CfgenError(problems)
    entries, *others = zip(*(cells for _, cells in rows), strict=True)
    return Lexicon(name, entries, dict(zip(columns[1:], others, strict=True)), path)


def _check_header(columns: list[str], where: str) -> list[Problem]:
    """Column names are there, differ, and can be written behind a dot; the first is never."""
    problems = _check_row(columns, columns, where)
    for column in dict.fromkeys(columns[1:]):
        plain = column.isidentifier() and unicodedata.normalize("NFKC", column) == column
        if column.strip() and (not plain or iskeyword(column) or column.startswith("_")):
            message = f"{column!r} cannot be the name of a column: it is no plain name"
            hint = "write letters, digits and _, such as capital_city; no word of Python's own"
            problems.append(Problem("lexicon-columns", message, where, hint))
        elif column in PARTS:
            message = f"a column cannot be called {column!r}, which means a token in positions"
            problems.append(Problem("lexicon-columns", message, where, "rename it"))
    for column in dict.fromkeys(columns):
        if columns.count(column) > 1:
            message = f"two columns are called {column!r}"
            problems.append(Problem("lexicon-columns", message, where, "rename one of them"))
    return problems


def _check_row(cells: list[str], columns: list[str], where: str) -> list[Problem]:
    """As many cells as columns, none empty, no whitespace around them."""
    problems = []
    if len(cells) != len(columns):
        message = f"the line has {len(cells)} columns, but there are {len(columns)} column names"
        problems.append(Problem("lexicon-columns", message, where, "separate columns with one tab"))
    for number, cell in enumerate(cells, start=1):
        if not cell.strip():
            message = f"column {number} is empty"
            problems.append(Problem("lexicon-cell", message, where, "fill it in, such as with -"))
        elif cell != cell.strip() or re.search(r"\t", cell):
            message = f"{cell!r} has whitespace around it"
            problems.append(Problem("lexicon-whitespace", message, where, "remove it"))
        elif disguise_in(cell):
            message = f"{cell!r} has a character in it that steers the screen it is shown on"
            hint = "leave it out; texts that are read from right to left need none"
            problems.append(Problem("lexicon-control", message, where, hint))
    return problems


def faker_names(count: int, locale: str = "en_US", seed: int = 0) -> Lexicon:
    """Make a lexicon of first names with Faker.

    Args:
        count: How many names.
        locale: Locale of the names; never replaced by another.
        seed: The same seed gives the same names, for one version of Faker.

    Returns:
        ``count`` different names, in the order they were drawn.

    Raises:
        CfgenError: Faker has no names for the locale, or not enough.
    """
    from faker import Factory
    from faker.config import AVAILABLE_LOCALES

    if locale not in AVAILABLE_LOCALES:
        hint = did_you_mean(locale, AVAILABLE_LOCALES)
        raise CfgenError(Problem("faker-locale", f"Faker has no locale {locale!r}", hint=hint))
    generator = Factory.create(locale, use_weighting=False)
    source = generator.provider("faker.providers.person").__lang__
    if source != locale and not source.startswith(f"{locale}_"):
        message = f"Faker has no names of its own for the locale {locale!r}"
        raise CfgenError(
            Problem("faker-locale", message, hint=f"it would take those of {source!r}")
        )
    generator.seed_instance(seed)
    names: dict[str, None] = {}
    repeats = 0
    while len(names) < count and repeats < PATIENCE:
        name = generator.first_name()
        repeats = repeats + 1 if name in names else 0
        names[name] = None
    if len(names) < count:
        message = f"Faker has {len(names)} different first names for {locale!r}, not {count}"
        raise CfgenError(Problem("faker-exhausted", message, hint="ask for fewer names"))
    return Lexicon(f"faker:{locale}", tuple(names))
