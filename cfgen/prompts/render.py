"""Rendering: a template and the values that it shows make a prompt with spans; many rows, few runs.

A template is run once for all inputs that differ only in letters that it does not look at. That run
says where the values stand (a *stencil*); each further row only puts its own values there, and its
spans are sums over the lengths of the values. One row takes the same path as a million.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.errors import CfgenError
from cfgen.prompts.run import Rendering, run_template
from cfgen.prompts.spans import Prompt, Span
from cfgen.prompts.template import Template
from cfgen.prompts.text import MAX_LENGTH, Change

Columns = Mapping[str, Sequence[Any]]
"""Input -> its value in every row."""
Ints = NDArray[np.int32]
Key = tuple[Any, ...]

MAX_STENCILS = 4096
"""Stencils kept per template; with more of them, rows are run one by one."""


def render(template: Template, inputs: Mapping[str, Any]) -> Prompt:
    """Render a template.

    Args:
        template: A loaded template.
        inputs: The values of at least what the template shows or restricts, variables among it;
            more are ignored.

    Returns:
        The text and its spans.

    Raises:
        CfgenError: An input is missing, has the wrong number of elements or an unsupported value,
            or the template fails on these values.
    """
    stencil = _stencil_for(template, inputs)
    batch = stencil.fill({name: (inputs[name],) for name in template.needs}, (0,))
    if batch is None:  # something is wrong with these values, and running it says what
        return run_template(template, inputs).prompt
    starts, ends = batch.starts[:, 0].tolist(), batch.ends[:, 0].tolist()
    return Prompt(batch.texts[0], tuple(map(Span, stencil.names, stencil.mentions, starts, ends)))


def render_columns(
    templates: Mapping[str, Template], chosen: Sequence[str], inputs: Columns
) -> tuple[list[str], Spans]:
    """Render a prompt per row.

    Args:
        templates: Templates by id.
        chosen: Id of each row's template.
        inputs: The values of at least what the templates show or restrict, variables among it.

    Returns:
        The texts and their spans.

    Raises:
        CfgenError: As for :func:`render`, about the first row with which anything is wrong.
    """
    texts = [""] * len(chosen)
    batches: list[_PromptBatch] = []
    try:
        for rows, stencil in _groups(templates, chosen, inputs):
            batch = stencil.fill(inputs, rows)
            if batch is None:
                raise _first_error(templates, chosen, inputs)
            batches.append(batch)
            for row, text in zip(rows, batch.texts, strict=True):
                texts[row] = text
    except CfgenError as error:
        raise _first_error(templates, chosen, inputs) from error
    return texts, Spans.of_batches(batches, len(chosen))


def _first_error(
    templates: Mapping[str, Template], chosen: Sequence[str], inputs: Columns
) -> CfgenError:
    """What is wrong with the first row with which anything is."""
    for row, name in enumerate(chosen):
        try:
            render(templates[name], {name: column[row] for name, column in inputs.items()})
        except CfgenError as error:
            return error
    raise AssertionError("rows fail together, but not one by one")


def _groups(
    templates: Mapping[str, Template], chosen: Sequence[str], inputs: Columns
) -> list[tuple[list[int], Stencil]]:
    """Rows that have the same stencil, with it."""
    used = [templates[name] for name in dict.fromkeys(chosen)]
    exact = {name for name, column in inputs.items() if not _is_text(column)}
    looked: set[str] | None = None
    groups: list[tuple[list[int], Stencil]] = []
    # Making a stencil may show that more letters are looked at: rows are told apart by them, too.
    while (now := _looked_at(used, exact)) != looked:
        looked, groups = now, []
        keys = [chosen]
        for name in sorted(looked):
            keys.append(inputs[name])
            kinds = [value.__class__ for value in inputs[name]]
            if kinds.count(kinds[0]) < len(kinds):  # 1 is True, but shown in another way
                keys.append(kinds)
        alike: defaultdict[Key, list[int]] = defaultdict(list)
        for row, key in enumerate(zip(*keys, strict=True)):
            alike[key].append(row)
        for rows in alike.values():
            values = {name: column[rows[0]] for name, column in inputs.items()}
            groups.append((rows, _stencil_for(templates[chosen[rows[0]]], values)))
    return groups


def _looked_at(templates: Sequence[Template], exact: set[str]) -> set[str]:
    """Inputs by whose values rows are told apart."""
    return {
        name
        for template in templates
        for name in template.needs
        if name in exact or name in _plan(template).looked
    }


def _is_text(column: Sequence[Any]) -> bool:
    """Whether all values are text, or all tuples of the same number of texts."""
    kinds = {value.__class__ for value in column}
    if kinds == {tuple}:
        kinds = {item.__class__ for item in itertools.chain.from_iterable(column)}
        return kinds == {str} and len(set(map(len, column))) == 1
    return kinds == {str}


@dataclass(slots=True)
class _Plan:
    """What is known so far about one template.

    Attributes:
        looked: Text inputs whose letters some run looked at, and those that it restricts.
        stencils: By all that a stencil depends on.
    """

    looked: set[str]
    stencils: dict[Key, Stencil] = field(default_factory=dict)

    def key(self, names: Sequence[str], inputs: Mapping[str, Any]) -> Key | None:
        """Everything that a stencil depends on: types of all inputs, values of those looked at.

        Returns:
            ``None`` if a value is of a type that is not compared exactly, or missing.
        """
        key: list[Any] = []
        for name in names:
            value = inputs.get(name, _MISSING)
            kind = value.__class__
            if kind is str:
                key.append(value if name in self.looked else str)
            elif kind is int or kind is bool or value is None:
                key += (kind, value)
            elif kind is tuple:
                kinds = tuple([item.__class__ for item in value])
                key.append(kinds)
                if name in self.looked or kinds.count(str) < len(kinds):
                    if not _EXACT.issuperset(kinds):
                        return None
                    key.append(value)
            else:
                return None
        return tuple(key)


_MISSING = object()
_EXACT = frozenset({str, int, bool, type(None)})


def _plan(template: Template) -> _Plan:
    plan: _Plan | None = template.cache.get("plan")
    if plan is None:
        plan = template.cache["plan"] = _Plan(set(template.supports))
    return plan


def _stencil_for(template: Template, inputs: Mapping[str, Any]) -> Stencil:
    """The stencil for these values; the template is run if it is not known.

    Raises:
        CfgenError: As for :func:`render`.
    """
    plan = _plan(template)
    key = plan.key(template.needs, inputs)
    stencil = None if key is None else plan.stencils.get(key)
    if stencil is not None:
        return stencil
    rendering = run_template(template, inputs)
    stencil = Stencil.of(rendering)
    if not rendering.looked <= plan.looked:
        plan.looked |= rendering.looked
        plan.stencils.clear()  # their keys lack the values of what is looked at
        key = plan.key(template.needs, inputs)
    if key is not None and len(plan.stencils) < MAX_STENCILS:
        plan.stencils[key] = stencil
    return stencil


@dataclass(frozen=True, slots=True)
class Stencil:
    """What a template yields for given values of the inputs it looks at.

    A span starts or ends some literal characters and some whole values after the prompt's start.

    Attributes:
        pieces: Literal text before, between and after the values: one more than there are holes.
        holes: For every value, its input and its element.
        changes: Numbers of the holes whose values are changed, and how.
        names: Name of every span.
        mentions: Mention of every span.
        letters: Literal characters before every span's start, and before its end: (2, spans, 1).
        values: Values before every span's start, and before its end: (2, spans).
    """

    pieces: tuple[str, ...]
    holes: tuple[tuple[str, int | None], ...]
    changes: tuple[tuple[int, tuple[Change, ...]], ...]
    names: tuple[str, ...]
    mentions: tuple[int, ...]
    letters: Ints
    values: Ints

    @staticmethod
    def of(rendering: Rendering) -> Stencil:
        """The stencil that a run of a template shows; its own values stand in the holes."""
        text, spans = rendering.prompt.text, rendering.prompt.spans
        values = [
            (span, hole) for span, hole in zip(spans, rendering.holes, strict=True) if hole
        ]  # none of them inside another, in text order
        edges = [0, *(edge for span, _ in values for edge in (span.start, span.end)), len(text)]
        pieces = tuple(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
        ends = np.array([span.end for span, _ in values], np.int32)
        # length of all values up to each: what has to be taken off a place to count literals only
        lengths = np.cumsum([0, *(span.end - span.start for span, _ in values)], dtype=np.int32)
        places = np.array([[s.start for s in spans], [s.end for s in spans]], np.int32)
        before = np.searchsorted(ends, places, side="right").astype(np.int32)  # (2, spans)
        return Stencil(
            pieces=pieces,
            holes=tuple((hole.input, hole.index) for _, hole in values),
            changes=tuple((n, h.changes) for n, (_, h) in enumerate(values) if h.changes),
            names=tuple(span.name for span in spans),
            mentions=tuple(span.mention for span in spans),
            letters=(places - lengths[before])[:, :, None],
            values=before,
        )

    def fill(self, inputs: Columns, rows: Sequence[int]) -> _PromptBatch | None:
        """Put the values of some rows in.

        Returns:
            The prompts; ``None`` if anything is wrong with one of them.
        """
        words = []
        for name, index in self.holes:
            values = inputs[name]
            words.append(
                [values[row] for row in rows] if index is None else [values[r][index] for r in rows]
            )
        try:
            for number, changes in self.changes:
                for change in changes:
                    words[number] = list(map(change, words[number]))
        except Exception:
            return None  # a filter fails on a value; running the template on it says which and why
        if not all(map(all, words)):
            return None
        texts = self._texts(words, len(rows))
        if max(map(len, texts)) > MAX_LENGTH or any(
            t[0].isspace() or t[-1].isspace() for t in texts
        ):
            return None
        before = np.zeros((len(words) + 1, len(rows)), np.int32)  # length of the values so far
        if words:
            np.cumsum([list(map(len, hole)) for hole in words], axis=0, out=before[1:])
        starts, ends = self.letters + before[self.values]  # (spans, rows) each
        return _PromptBatch(rows, texts, self, starts, ends)

    def _texts(self, words: list[list[str]], rows: int) -> list[str]:
        """Literal pieces with words between them, by one format string."""
        if not words:
            return [self.pieces[0]] * rows
        form = "%s".join(piece.replace("%", "%%") for piece in self.pieces)
        return list(map(form.__mod__, zip(*words, strict=True)))


@dataclass(frozen=True, slots=True)
class _PromptBatch:
    """Prompts of one stencil.

    Attributes:
        rows: Their numbers.
        texts: Their texts.
        stencil: Their stencil.
        starts: First character of every span: (spans, rows).
        ends: Character after its last one.
    """

    rows: Sequence[int]
    texts: list[str]
    stencil: Stencil
    starts: Ints
    ends: Ints


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of many prompts, one after the other.

    Attributes:
        offsets: Where the spans of each prompt start, and where those of the last one end.
        vocabulary: All names of spans.
        names: Name of every span, as an index into the vocabulary.
        mentions: Mention of every span.
        starts: First character of every span.
        ends: Character after its last one.
    """

    offsets: Ints
    vocabulary: tuple[str, ...]
    names: Ints
    mentions: Ints
    starts: Ints
    ends: Ints

    @staticmethod
    def of(prompts: Sequence[Prompt]) -> Spans:
        """The spans of prompts."""
        spans = [span for prompt in prompts for span in prompt.spans]
        offsets = np.cumsum([0, *(len(prompt.spans) for prompt in prompts)], dtype=np.int32)
        codes = {name: code for code, name in enumerate(dict.fromkeys(s.name for s in spans))}
        columns = [(codes[s.name], s.mention, s.start, s.end) for s in spans]
        table = np.array(columns, np.int32).reshape(-1, 4).T
        return Spans(offsets, tuple(codes), *table)

    @staticmethod
    def of_batches(batches: Sequence[_PromptBatch], count: int) -> Spans:
        """The spans of all batches in the order of the rows, of which there are so many."""
        offsets = np.zeros(count + 1, np.int32)
        for batch in batches:
            offsets[np.asarray(batch.rows) + 1] = len(batch.stencil.names)
        np.cumsum(offsets, out=offsets)
        codes: dict[str, int] = {}
        names, mentions, starts, ends = np.empty((4, offsets[-1]), np.int32)
        for batch in batches:
            stencil = batch.stencil
            places = np.arange(len(stencil.names), dtype=np.int32)[:, None]
            at = offsets[np.asarray(batch.rows)] + places  # (spans, rows)
            known = [codes.setdefault(name, len(codes)) for name in stencil.names]
            names[at] = np.array(known, np.int32)[:, None]
            mentions[at] = np.array(stencil.mentions, np.int32)[:, None]
            starts[at], ends[at] = batch.starts, batch.ends
        return Spans(offsets, tuple(codes), names, mentions, starts, ends)

    def at(self, row: int) -> tuple[Span, ...]:
        """The spans of one prompt as records."""
        here = slice(*self.offsets[row : row + 2].tolist())
        names = [self.vocabulary[code] for code in self.names[here].tolist()]
        columns = [column[here].tolist() for column in (self.mentions, self.starts, self.ends)]
        return tuple(map(Span, names, *columns))
