"""Pairs of one's own: two prompts a row, with their answers, without a causal model.

What a row says is told by the *roles* of its columns:

- ``original``, ``counterfactual``: the prompts; ``original_answer``, ``counterfactual_answer``;
- ``original_marked``, ``counterfactual_marked``: the prompts instead, with ``[[name|text]]`` around
  what is to be a position;
- ``original_spans``, ``counterfactual_spans``: such positions by their characters, as a list of
  ``name``, ``start``, ``end``;
- ``original.NAME``, ``counterfactual.NAME``: a word of the prompt, all of whose occurrences are the
  position NAME;
- ``predicts.NAME``: the answer that hypothesis NAME predicts;
- ``answer_prefix``: what stands between prompt and answer; ``id``: a name of the pair.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cfgen.counterfactuals import (
    ALL,
    COUNTERFACTUAL,
    NONE,
    ORIGINAL,
    THIRD,
    Pair,
    Side,
    Site,
)
from cfgen.datasets.features import RowFormat, pair_schema
from cfgen.datasets.sources import PairSource
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display
from cfgen.prompts import Prompt, Span

DESIGN = "own_pairs"
"""What the design is called where pairs come from a file."""
HUB = "hub:"
"""What the name of a dataset of the Hub begins with."""
SIDES = (ORIGINAL, COUNTERFACTUAL)
PLAIN = ("id", "answer_prefix", *SIDES)
"""Roles without a part that is chosen freely, besides those of the sides below."""
OF_A_SIDE = ("answer", "marked", "spans")
FREE = re.compile(rf"(?:{'|'.join(SIDES)}|predicts)\.([^\W\d]\w*)")
"""Roles that name a position or a hypothesis."""
MARK = re.compile(r"\[\[([^\W\d]\w*)\|([^\[\]|]+)\]\]")
LARGEST = 1 << 30
"""Bytes of a file of pairs, at most."""
SHOWN = 8
"""How many problems of rows are told."""

Row = Mapping[str, Any]
Columns = Mapping[str, str]


def own_pairs_source(
    path: str, columns: Columns, *, n: int | None = None, split: str = "train"
) -> PairSource:
    """Read pairs from a file of one's own.

    Args:
        path: A CSV, TSV, JSONL, JSON or Parquet file, or ``hub:OWNER/NAME[@REVISION]``.
        columns: Role -> column, where a column is not called by its role.
        n: How many pairs, from the first on; all if not given, or if there are fewer.
        split: Which split of a dataset on the Hub.

    Raises:
        CfgenError: It can't be read (``pairs-file``), a column is missing (``pairs-column``), or
            rows are not as they should be (``pairs-row``); all that is wrong at once.
    """
    rows = _hub_rows(path, split) if path.startswith(HUB) else _rows(Path(path))
    place = path if path.startswith(HUB) else display(Path(path))
    roles = _roles(rows, columns, place)
    reading = RowReader(roles, place, task=_name(path))
    pairs = [reading.pair(row, number) for number, row in enumerate(rows[:n], start=1)]
    if reading.problems:
        raise CfgenError(_some(reading.problems, place))
    hypotheses = reading.hypotheses
    useless = sum(not pair.decisive for pair in pairs if pair)
    return PairSource(
        pairs=tuple(pair for pair in pairs if pair),
        task=reading.task,
        design=DESIGN,
        hypotheses=dict.fromkeys((*hypotheses, ALL), Site()),
        descriptions={ALL: "everything is copied: the counterfactual's answer is said"},
        tested=hypotheses or (ALL,),
        candidates=reading.candidates,
        total=len(rows),
        rows=lambda: RowFormat(pair_schema((), (NONE, ALL, *hypotheses)), frozenset(), {}, {}),
        description=f"{len(rows):,} pairs of {place}"
        + (f", of which {useless:,} predict the same whatever is true" if useless else ""),
        remark="",
        default_model=None,
        facts={"pairs": place, "sha256": _hash(rows)},
    )


# Files


def _rows(path: Path) -> list[Row]:
    """The rows of a file."""
    readers = {
        ".csv": _table(","),
        ".tsv": _table("\t"),
        ".jsonl": _json_lines,
        ".json": _json,
        ".parquet": lambda file: pq.read_table(file).to_pylist(),
    }
    read = readers.get(path.suffix.lower())
    shown = display(path)
    if read is None:
        hint = f"pairs are read from {', '.join(readers)}, or from hub:OWNER/NAME"
        raise CfgenError(Problem("pairs-file", f"{shown} is of no known kind", hint=hint))
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "is not there"
            raise ValueError(what)
        if path.stat().st_size > LARGEST:
            raise ValueError(f"is larger than {LARGEST >> 30} GiB")
        rows = read(path)
        if not rows:
            raise ValueError("has no rows")
    except (ValueError, OSError, pa.ArrowException, RecursionError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else _first_line(error)
        hint = "docs/pairs.md says what a file of pairs looks like"
        raise CfgenError(Problem("pairs-file", f"{shown}: {why}", hint=hint)) from error
    return list(rows)


def _table(separator: str) -> Any:
    def read(path: Path) -> list[Row]:
        import pandas

        # cells as they are written: 05 stays 05, and NA is a text
        table = pandas.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8"
        )
        rows: list[Row] = table.to_dict("records")
        return rows

    return read


def _json_lines(path: Path) -> list[Row]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from error
    return _objects(found)


def _json(path: Path) -> list[Row]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list):
        raise ValueError("is not a list of objects")
    return _objects(found)


def _objects(found: Sequence[Any]) -> list[Row]:
    for number, one in enumerate(found, start=1):
        if not isinstance(one, dict):
            raise ValueError(f"row {number} is not an object with a value per column")
    return list(found)


def _hub_rows(path: str, split: str) -> list[Row]:
    """The rows of a dataset on the Hub."""
    from datasets import load_dataset

    name, _, revision = path.removeprefix(HUB).partition("@")
    try:
        return list(load_dataset(name, split=split, revision=revision or None))
    except Exception as error:  # the library has no error of its own for what a user can get wrong
        message = f"{path}, split {split!r}, can't be loaded: {_first_line(error)}"
        hint = "check the name, the split (--split), and the network; or save the rows as a file"
        raise CfgenError(Problem("pairs-file", message, hint=hint)) from error


# Roles


def _roles(rows: Sequence[Row], columns: Columns, place: str) -> dict[str, str]:
    """Role -> the column that has it."""
    there = dict.fromkeys(name for row in rows for name in row)
    problems = []
    for role, column in columns.items():
        if not _is_role(role):
            hint = did_you_mean(role, [*PLAIN, *(f"{s}_{x}" for s in SIDES for x in OF_A_SIDE)])
            problems.append(
                Problem("pairs-column", f"columns: there is no role {role!r}", hint=hint)
            )
        elif column not in there:
            problems.append(_no_column(column, there, place))
    found = {name: name for name in there if _is_role(name) and name not in columns}
    found |= dict(columns)
    for side in SIDES:
        given = [name for name in (side, f"{side}_marked") if name in found]
        if len(given) == 2:
            message = f"{place}: the {side} is given twice, by {given[0]!r} and {given[1]!r}"
            problems.append(Problem("pairs-column", message, hint="leave one of them out"))
        for role in ([side] if not given else []) + [f"{side}_answer"]:
            if role not in found:
                problems.append(_no_column(role, there, place))
    if problems:
        raise CfgenError(problems)
    return found


def _is_role(name: str) -> bool:
    of_a_side = name in {f"{side}_{what}" for side in SIDES for what in OF_A_SIDE}
    return name in PLAIN or of_a_side or bool(FREE.fullmatch(name))


def _no_column(name: str, there: Mapping[str, Any], place: str) -> Problem:
    has = f"it has {', '.join(there)}"
    hint = (
        f"{did_you_mean(name, there)}; or say which column it is, as in columns: {{{name}: COLUMN}}"
    )
    return Problem("pairs-column", f"{place} has no column {name!r}; {has}", hint=hint)


# Rows


@dataclass
class RowReader:
    """Turns rows into pairs, and collects what is wrong."""

    roles: Mapping[str, str]
    place: str
    task: str
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """Those that columns have predictions of."""
        named = (role.partition(".")[2] for role in self.roles if role.startswith("predicts."))
        return tuple(named)

    def pair(self, row: Row, number: int) -> Pair | None:
        """A row as a pair; None if something is wrong with it."""
        before = len(self.problems)
        answers = {side: self._answer(row, number, f"{side}_answer") for side in SIDES}
        sides = {side: self._side(row, number, side, answers[side]) for side in SIDES}
        predictions = {NONE: answers[ORIGINAL], ALL: answers[COUNTERFACTUAL]}
        for name in self.hypotheses:
            predictions[name] = self._answer(row, number, f"predicts.{name}")
        name = self._id(row, number)
        if len(self.problems) > before:
            return None
        texts = {key: said[0] for key, said in predictions.items() if said}
        kinds = {key: _kind(text, texts) for key, text in texts.items()}
        tested = self.hypotheses or (ALL,)
        told = [texts[key] for key in (NONE, *tested)]
        return Pair(
            id=name,
            index=number - 1,
            task=self.task,
            design=DESIGN,
            original=sides[ORIGINAL],
            counterfactual=sides[COUNTERFACTUAL],
            predictions=texts,
            kinds=kinds,
            decisive=len(set(told)) == len(told),
            contrast=tested,
        )

    def _wrong(self, number: int, role: str, what: str, hint: str = "") -> None:
        column = self.roles.get(role, role)
        message = f"{self.place}, row {number}, column {column!r}: {what}"
        self.problems.append(Problem("pairs-row", message, hint=hint))

    def _text(self, row: Row, number: int, role: str) -> str:
        value = row.get(self.roles[role])
        if isinstance(value, bool | int | float) and not _is_nan(value):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            self._wrong(number, role, "there is no text", "fill it in, or leave the row out")
            return "?"
        return value

    def _answer(self, row: Row, number: int, role: str) -> tuple[str, str]:
        """The answer, and the space before it; several texts are one answer."""
        given = row.get(self.roles[role])
        texts = given if isinstance(given, list | tuple) and given else None
        if texts is None:
            texts = [self._text(row, number, role)]
        elif not all(isinstance(one, str) and one.strip() for one in texts):
            self._wrong(number, role, "an answer of the list is no text")
            texts = ["?"]
        stripped = tuple(dict.fromkeys(text.strip() for text in texts))
        label = stripped[0]
        if self.candidates.get(label, stripped) != stripped:
            label = "/".join(stripped)  # the same text begins another set of answers
        self.candidates[label] = stripped
        return label, texts[0][: len(texts[0]) - len(texts[0].lstrip())]

    def _side(self, row: Row, number: int, side: str, answer: tuple[str, str]) -> Side:
        marked = f"{side}_marked"
        role = marked if marked in self.roles else side
        text = self._text(row, number, role)
        spans: list[tuple[str, int, int]] = []
        if role == marked:
            text, spans = self._unmarked(text, number, role)
        if f"{side}_spans" in self.roles:
            spans += self._spans(row, number, f"{side}_spans", text)
        slots = {}
        for name in (r.partition(".")[2] for r in self.roles if r.startswith(f"{side}.")):
            word = self._text(row, number, f"{side}.{name}").strip()
            places = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
            if not places and word != "?":
                self._wrong(number, f"{side}.{name}", f"{word!r} does not occur in the {side}")
            spans += [(name, *place) for place in places]
            slots[name] = word
        shown = text.rstrip()
        prefix = text[len(shown) :] + answer[1]
        if "answer_prefix" in self.roles:
            prefix = str(row.get(self.roles["answer_prefix"]) or "")
        ends = [end for _, _, end in spans]
        if ends and max(ends) > len(shown):
            self._wrong(number, role, "a position reaches into the space at the end of the prompt")
        prompt = Prompt(shown, _numbered(spans))
        for name, start, end in spans:
            slots.setdefault(name, shown[start:end])
        return Side({}, prompt, answer[0], prefix or _space(row, self.roles), {}, slots)

    def _unmarked(
        self, text: str, number: int, role: str
    ) -> tuple[str, list[tuple[str, int, int]]]:
        """A text without its marks, and where they were."""
        plain, spans, at = "", [], 0
        for mark in MARK.finditer(text):
            plain += text[at : mark.start()]
            spans.append((mark[1], len(plain), len(plain) + len(mark[2])))
            plain, at = plain + mark[2], mark.end()
        plain += text[at:]
        if "[[" in plain or "]]" in plain:
            hint = "a mark is [[name|text]], and none lies in another"
            self._wrong(number, role, "a mark is not closed, or has no name", hint)
        return plain, spans

    def _spans(self, row: Row, number: int, role: str, text: str) -> list[tuple[str, int, int]]:
        given = row.get(self.roles[role])
        try:
            listed = json.loads(given) if isinstance(given, str) else given
            found = [(str(s["name"]), int(s["start"]), int(s["end"])) for s in listed or []]
        except (ValueError, TypeError, KeyError):
            hint = 'write a list such as [{"name": "who", "start": 0, "end": 4}]'
            self._wrong(number, role, "these are no spans", hint)
            return []
        for name, start, end in found:
            if not 0 <= start < end <= len(text):
                self._wrong(number, role, f"{name!r}, {start} to {end}, is not within the prompt")
            elif not re.fullmatch(r"[^\W\d]\w*", name):
                self._wrong(number, role, f"{name!r} can't name a position")
        return found

    def _id(self, row: Row, number: int) -> str:
        if "id" in self.roles:
            name = self._text(row, number, "id")
            if name in self.ids and name != "?":
                self._wrong(number, "id", f"{name!r} is that of row {self.ids[name]}, too")
        else:
            content = json.dumps(row, sort_keys=True, default=str, ensure_ascii=False)
            name = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            if name in self.ids:  # the same row again
                name = f"{name}-{number}"
        self.ids[name] = number
        return name


def _space(row: Row, roles: Mapping[str, str]) -> str:
    """What stands before an answer where neither it nor the prompt says so."""
    return "" if "answer_prefix" in roles else " "


def _numbered(spans: Sequence[tuple[str, int, int]]) -> tuple[Span, ...]:
    """Spans in the order of the text, with the number of their mention."""
    seen: dict[str, int] = {}
    found = []
    for name, start, end in sorted(dict.fromkeys(spans), key=lambda s: (s[1], -s[2])):
        found.append(Span(name, seen.get(name, 0), start, end))
        seen[name] = seen.get(name, 0) + 1
    return tuple(found)


def _kind(text: str, texts: Mapping[str, str]) -> str:
    if text == texts[NONE]:
        return ORIGINAL
    return COUNTERFACTUAL if text == texts[ALL] else THIRD


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _name(path: str) -> str:
    """What pairs are called: the name of their file, as far as it can be part of another."""
    last = re.split(r"[/\\]", path.partition("@")[0])[-1]
    stem = last if path.startswith(HUB) else Path(last).stem
    return re.sub(r"\W+", "_", stem).strip("_")[:40] or "pairs"


def _hash(rows: Sequence[Row]) -> str:
    text = json.dumps(rows, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _some(problems: Sequence[Problem], place: str) -> Iterator[Problem]:
    """The first problems, and how many there are besides."""
    yield from problems[:SHOWN]
    if len(problems) > SHOWN:
        message = f"{place}: {len(problems) - SHOWN:,} more problems of this kind"
        yield Problem("pairs-row", message, hint="mend these first")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
