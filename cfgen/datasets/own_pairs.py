"""Pairs of one's own: two prompts a row, with their answers, without a causal model.

What a row says is told by the roles of its columns (:mod:`cfgen.datasets.own_roles`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from cfgen.bounded import parse_json
from cfgen.counterfactuals import (
    ALL,
    COUNTERFACTUAL,
    NONE,
    ORIGINAL,
    Pair,
    Side,
    Site,
    is_decisive,
    kind_of,
)
from cfgen.datasets.features import RowFormat, pair_schema
from cfgen.datasets.own_roles import NAME, PREDICTS, named_by, roles_of
from cfgen.datasets.own_rows import HUB, Row, place_of, read_rows
from cfgen.datasets.sources import PairSource
from cfgen.errors import CfgenError, Problem
from cfgen.prompts import WHOLE_PROMPT, Prompt, Span
from cfgen.tasks import TEMPLATE_INPUT
from cfgen.words import half_in

DESIGN = "own_pairs"
"""What the design is called where pairs come from a file."""
MARK = re.compile(rf"\[\[({NAME})\|([^\[\]|]+)\]\]")
SHOWN = 8
"""How many problems of rows are told."""


def own_pairs_source(
    path: str,
    columns: Mapping[str, str],
    *,
    n: int | None = None,
    fewer: bool = False,
    split: str = "test",
) -> PairSource:
    """Read pairs from a file of one's own.

    Args:
        path: A file, a folder or a dataset on the Hub: see
            :func:`~cfgen.datasets.own_rows.read_rows`.
        columns: Role -> column, where a column is not called by its role.
        n: How many pairs, from the first on; all if not given.
        fewer: Whether fewer will do, if there are not so many.
        split: Which split, of what has some.

    Raises:
        CfgenError: It can't be read (``pairs-file``), a column is missing (``pairs-column``), rows
            are not as they should be (``pairs-row``), or there are too few (``too-few-pairs``).
    """
    rows, place = read_rows(path, split), place_of(path)
    there = dict.fromkeys(name for row in rows for name in row)
    roles = roles_of(there, columns, place)
    if n is not None and n > len(rows) and not fewer:
        message = f"{place} has {len(rows):,} pairs, but {n:,} were asked for"
        hint = f"ask for {len(rows):,} or fewer"
        raise CfgenError(Problem("too-few-pairs", message, hint=hint))
    reader = RowReader(_name(path), named_by(roles, PREDICTS))
    pairs = [
        reader.pair(Cells(row, number, roles, place, reader.problems))
        for number, row in enumerate(rows[:n], start=1)
    ]
    if reader.problems:
        raise CfgenError(_some(reader.problems, place))
    found = tuple(pair for pair in pairs if pair)
    variables = [(TEMPLATE_INPUT, pa.string())] if "template" in roles else []
    predicted = (NONE, ALL, *reader.hypotheses)
    return PairSource(
        pairs=found,
        task=reader.task,
        design=DESIGN,
        hypotheses=dict.fromkeys((*reader.hypotheses, ALL), Site()),
        descriptions={ALL: "everything is copied: the counterfactual's answer is said"},
        tested=reader.tested,
        candidates=dict(reader.candidates),
        total=len(rows),
        rows=lambda: RowFormat(pair_schema(variables, predicted), frozenset(), {}, {}),
        description=_description(found, len(rows), place),
        remark="",
        default_model=None,
        facts={"pairs": place, "sha256": _hash(rows)},
    )


def _description(pairs: Sequence[Pair], total: int, place: str) -> str:
    first = f"the first {len(pairs):,} of " if len(pairs) < total else ""
    useless = sum(map(_tells_nothing, pairs))
    remark = f"; {useless:,} tell nothing: both prompts or all answers are the same"
    return f"{first}{total:,} pairs of {place}" + (remark if useless else "")


def _tells_nothing(pair: Pair) -> bool:
    same = pair.original.prompt.text == pair.counterfactual.prompt.text
    return same or len({*pair.predictions.values()}) == 1


# Rows


class GivenAnswer(NamedTuple):
    """An answer of a row: what it is called, and the space in front of it."""

    label: str
    lead: str


@dataclass(frozen=True, slots=True)
class Cells:
    """A row, and where to say what is wrong with it."""

    row: Row
    number: int
    roles: Mapping[str, str]
    place: str
    problems: list[Problem]

    def wrong(self, role: str, what: str, hint: str) -> None:
        """Say what is wrong with a cell."""
        message = f"{self.place}, row {self.number}, column {self.roles.get(role, role)!r}: {what}"
        self.problems.append(Problem("pairs-row", message, hint=hint))

    def value(self, role: str) -> Any:
        """What the cell of a role has; None if nothing, or if there is no such column."""
        value = self.row.get(self.roles.get(role, ""))
        return None if isinstance(value, float) and math.isnan(value) else value

    def text(self, role: str) -> str | None:
        """The text of a cell that has to have one; None, and a problem, if it has none."""
        return self._checked(role, self.value(role))

    def texts(self, role: str) -> list[str] | None:
        """The texts of a cell that may list several."""
        value = self.value(role)
        listed = (value or [None]) if isinstance(value, list | tuple) else [value]
        found = [self._checked(role, one) for one in listed]
        return None if None in found else [text for text in found if text is not None]

    def _checked(self, role: str, value: Any) -> str | None:
        text = str(value) if type(value) is int else value
        if text is None or (isinstance(text, str) and not text.strip()):
            self.wrong(role, "there is no text", "fill it in, or leave the row out")
        elif not isinstance(text, str):
            hint = f'such as "{text}"' if isinstance(text, bool | float) else "in quotes"
            self.wrong(role, f"this is a {type(text).__name__}, not a text", f"write it {hint}")
        elif half_in(text):
            self.wrong(role, "has half a character (a lone surrogate)", "write it in UTF-8")
        else:
            return text
        return None


@dataclass(slots=True)
class RowReader:
    """Makes pairs of rows, and keeps what has to be known of all of them.

    Attributes:
        task: What the pairs are called.
        hypotheses: Those that columns have predictions of.
        candidates: Answer -> the texts any of which it is.
        problems: What is wrong.
    """

    task: str
    hypotheses: tuple[str, ...]
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _labels: dict[frozenset[str], str] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)

    @property
    def tested(self) -> tuple[str, ...]:
        """The hypotheses to test where none is named."""
        return self.hypotheses or (ALL,)

    def pair(self, cells: Cells) -> Pair | None:
        """A row as a pair; None if something is wrong with it."""
        before = len(self.problems)
        answers = {NONE: self._answer(cells, f"{ORIGINAL}_answer")}
        answers[ALL] = self._answer(cells, f"{COUNTERFACTUAL}_answer")
        for name in self.hypotheses:
            answers[name] = self._answer(cells, f"{PREDICTS}.{name}")
        original = _side(cells, ORIGINAL, answers[NONE])
        counterfactual = _side(cells, COUNTERFACTUAL, answers[ALL])
        name = self._id(cells)
        if len(self.problems) > before:
            return None
        said = {key: answer.label for key, answer in answers.items() if answer}
        return Pair(
            id=name,
            index=cells.number - 1,
            task=self.task,
            design=DESIGN,
            original=original,
            counterfactual=counterfactual,
            predictions=said,
            kinds={key: kind_of(text, said[NONE], said[ALL]) for key, text in said.items()},
            decisive=is_decisive([said[key] for key in (NONE, *self.tested)]),
            contrast=self.tested,
        )

    def _answer(self, cells: Cells, role: str) -> GivenAnswer | None:
        """What is right, by its name; several texts are one answer, whatever their order."""
        given = cells.texts(role)
        if given is None:
            return None
        leads = {text[: len(text) - len(text.lstrip())] for text in given}
        if len(leads) > 1:
            cells.wrong(role, "its texts begin with different space", "let all begin alike")
            return None
        texts = tuple(dict.fromkeys(text.strip() for text in given))
        label = self._labels.get(frozenset(texts))
        if label is None:
            # the same text may be right for other answers, too
            numbered = (f"{texts[0]} ({number})" for number in range(2, len(self._labels) + 3))
            names = (texts[0], "/".join(texts), *numbered)
            label = next(name for name in names if name not in self.candidates)
            self._labels[frozenset(texts)], self.candidates[label] = label, texts
        return GivenAnswer(label, *leads)

    def _id(self, cells: Cells) -> str:
        if "id" in cells.roles:
            name = cells.text("id") or ""
            if name and name in self._ids:
                cells.wrong(
                    "id",
                    f"{name!r} is that of row {self._ids[name]}, too",
                    "give every pair its own",
                )
        else:
            name = _hash(cells.row)[:16]
            if name in self._ids:  # the same row again
                name = f"{name}-{cells.number}"
        self._ids.setdefault(name, cells.number)
        return name


Positions: TypeAlias = list[tuple[str, int, int]]
"""Name, first character, character after the last."""


def _side(cells: Cells, side: str, answer: GivenAnswer | None) -> Side:
    """One side of a row; what it gives where something is wrong has no meaning."""
    marked = f"{side}_marked"
    role = marked if marked in cells.roles else side
    text = cells.text(role) or ""
    text, found = _unmarked(cells, role, text) if role == marked else (text, [])
    found += _by_characters(cells, f"{side}_spans", text)
    words = _words(cells, side, text)
    found += [(name, *place) for name, (_, places) in words.items() for place in places]
    shown = text.rstrip()
    if any(end > len(shown) for _, _, end in found):
        cells.wrong(
            role, "a position reaches into the space at the end of the prompt", "let it end before"
        )
    slots = {name: word for name, (word, _) in words.items()}
    for name, start, end in found:
        slots.setdefault(name, shown[start:end])
    variables = {}
    if "template" in cells.roles:
        variables = {TEMPLATE_INPUT: cells.text("template")}
    return Side(
        inputs={},
        prompt=Prompt(shown, _numbered(found)),
        answer=answer.label if answer else None,
        answer_prefix=_prefix(cells, text[len(shown) :], answer.lead if answer else ""),
        variables=variables,
        slots=slots,
    )


def _prefix(cells: Cells, trail: str, lead: str) -> str:
    """What stands between prompt and answer: all of it that a row has, or else a space."""
    given = cells.value("answer_prefix")
    if given is not None and not isinstance(given, str):
        cells.wrong(
            "answer_prefix", f"this is a {type(given).__name__}, not a text", "write a text"
        )
    elif given is not None:
        return trail + given + lead
    return trail + lead or " "


def _unmarked(cells: Cells, role: str, text: str) -> tuple[str, Positions]:
    """A text without its marks, and where they were."""
    found: Positions = []
    plain, at = "", 0
    for mark in MARK.finditer(text):
        plain += text[at : mark.start()]
        found.append((mark[1], len(plain), len(plain) + len(mark[2])))
        plain, at = plain + mark[2], mark.end()
        _check_name(cells, role, mark[1])
    rest = text[at:]
    if "[[" in plain + rest or "]]" in plain + rest:
        hint = "a mark is [[name|text]], and none lies in another; or give spans by characters"
        cells.wrong(role, "a mark is not closed, or has no name", hint)
    return plain + rest, found


def _by_characters(cells: Cells, role: str, text: str) -> Positions:
    """Positions that are given by their characters."""
    given = cells.value(role)
    hint = 'write a list such as [{"name": "who", "start": 0, "end": 4}]'
    try:
        listed = parse_json(given) if isinstance(given, str) and given else given
        found = [(s["name"], s["start"], s["end"]) for s in listed or []]
        if not all(type(at) is int for _, *place in found for at in place):
            raise ValueError("characters have numbers")
    except (ValueError, TypeError, KeyError):
        cells.wrong(role, "these are no spans", hint)
        return []
    for name, start, end in found:
        if not 0 <= start < end <= len(text):
            cells.wrong(role, f"{name!r}, {start} to {end}, is not within the prompt", hint)
        _check_name(cells, role, name)
    return found


def _words(cells: Cells, side: str, text: str) -> dict[str, tuple[str, list[tuple[int, int]]]]:
    """Position -> its word, and where the prompt has that."""
    found = {}
    for name in named_by(cells.roles, side):
        role = f"{side}.{name}"
        word = (cells.text(role) or "").strip()
        places = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
        if word and not places:
            hint = f"mark it as [[{name}|...]] in {side}_marked, or give its characters"
            cells.wrong(role, f"{word!r} is no word of the {side}", hint)
        found[name] = word, places if word else []
    return found


def _check_name(cells: Cells, role: str, name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or name in WHOLE_PROMPT:
        cells.wrong(role, f"{name!r} can't name a position", "use letters, digits and _")


def _numbered(found: Positions) -> tuple[Span, ...]:
    """Spans in the order of the text, with the number of their mention."""
    seen: dict[str, int] = {}
    spans = []
    for name, start, end in sorted(dict.fromkeys(found), key=lambda one: (one[1], -one[2])):
        spans.append(Span(name, seen.get(name, 0), start, end))
        seen[name] = seen.get(name, 0) + 1
    return tuple(spans)


def _name(path: str) -> str:
    """What pairs are called: the name of their file, as far as it can be part of another."""
    last = re.split(r"[/\\]", path.partition("@")[0].rstrip("/\\"))[-1]
    stem = last if path.startswith(HUB) else Path(last).stem
    return re.sub(r"\W+", "_", stem).strip("_")[:40] or "pairs"


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _some(problems: Sequence[Problem], place: str) -> Iterator[Problem]:
    """The first problems, and how many there are besides."""
    yield from problems[:SHOWN]
    if len(problems) > SHOWN:
        message = f"{place}: {len(problems) - SHOWN:,} more problems of this kind"
        yield Problem("pairs-row", message, hint="mend these first")
