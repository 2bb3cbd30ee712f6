"""Shortcuts: how often rules that know nothing of the task are right, beside chance.

Rules see no more of a row than its surface: its texts, and which slots they show where. All rows of
a split are looked at together, as arrays. In them every text is a number, its place in the
alphabet, and -1 stands for none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cfgen.counterfactuals import NONE
from cfgen.stats import at_least, rate
from cfgen.tasks import TEMPLATE_INPUT, Task

ANSWER = "answer"
"""The label that is the original's answer; other labels are named after hypotheses."""
LEVEL = 0.01
"""Chance of flagging anything in an audit of a dataset without shortcuts."""
MARGIN = 0.02
"""A rule that beats chance by less than this is never flagged."""
WORDS = 6
"""How many of the words that could be the answer the linear model is told of."""
PENALTY = 1.0
"""Weight of its penalty on the squared coefficients, of standardised features."""

Ints = NDArray[np.int64]
Matrix = NDArray[np.float64]
SIDES = ("original", "counterfactual")
_NUMBER = re.compile(r"_\d+$")


class Shortcut(BaseModel):
    """How well one rule does in one split.

    Attributes:
        label: What the rule has to say: ``answer``, or what a hypothesis predicts.
        rule: The rule, see :func:`audit_shortcuts`.
        split: The split.
        hits: In how many rows it is right.
        n: Number of rows.
        accuracy: Share of rows in which it is right.
        low: Lower end of the 95 % Wilson interval of that share.
        high: Upper end.
        chance: What guessing reaches.
        flagged: Whether the rule beats chance, beyond doubt and by more than :data:`MARGIN`.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    rule: str
    split: str
    hits: int
    n: int
    accuracy: float
    low: float
    high: float
    chance: float
    flagged: bool


def audit_shortcuts(
    rows: Mapping[str, pa.Table], labels: Sequence[str] = ()
) -> tuple[Shortcut, ...]:
    """Try rules that read no story on every split.

    ``majority``: the commonest answer. ``position``: always the same of the words that could be
    the answer (the first one named, the second, ...), the commonest. ``first mentioned`` and
    ``last mentioned``: of those words of the original. ``copy``: the counterfactual's answer.
    ``template``: the commonest position for the template. ``frequency``: of those words the one
    that most often is the answer. ``linear``: the position that a linear model predicts from
    template, lengths, places and alphabetical order. Rules that learn do so from one half of a
    split and are tried on the other, both ways.

    Chance is, for ``first mentioned``, ``last mentioned`` and ``frequency``, picking one of those
    words at random; for the others, picking one of the answers (or positions) that occur. A rule
    is flagged if the exact one-sided binomial test against chance is significant at
    :data:`LEVEL`, corrected (Bonferroni) for the number of rules tried.

    Args:
        rows: Split -> rows of a dataset; a random part of a split will do.
        labels: Hypotheses whose predictions are to be said, besides the original's answer. Words
            of the counterfactual count as well, then.

    Returns:
        For every label, split and rule that can be applied, how it does.
    """
    surfaces = {split: _surface(table, labels) for split, table in rows.items() if table.num_rows}
    tried = []
    for label in (ANSWER, *labels):
        for split, surface in surfaces.items():
            riddle = _riddle(surface, label)
            if riddle is not None:
                tried += [(label, split, *result) for result in _try_rules(riddle, surface, label)]
    return tuple(
        _judged(label, split, rule, hits, n, chance, len(tried))
        for label, split, rule, hits, n, chance in tried
    )


def shortcut_columns(task: Task, labels: Sequence[str]) -> list[str]:
    """The columns of a dataset that rules look at."""
    named = [f"{side}.{name}" for side in SIDES for name in ("prompt", "answer", "spans")]
    if TEMPLATE_INPUT in task.causal_model.domains:
        named.append(f"original.variables.{TEMPLATE_INPUT}")
    return [*named, *(f"predictions.{label}" for label in labels or (NONE,))]


def _judged(
    label: str, split: str, rule: str, hits: int, n: int, chance: float, trials: int
) -> Shortcut:
    found = rate(hits, n)
    beats = found.value >= chance + MARGIN and at_least(hits, n, min(chance, 1)) <= LEVEL / trials
    return Shortcut(
        label=label,
        rule=rule,
        split=split,
        hits=hits,
        n=n,
        accuracy=found.value,
        low=found.low,
        high=found.high,
        chance=chance,
        flagged=beats,
    )


# What rules see.


@dataclass(frozen=True, slots=True)
class Mentions:
    """The values that one side of every row shows, row by row in the order of the text.

    Attributes:
        rows: The row of each.
        slots: Its slot without its number, which is the same for all elements of one input.
        words: Its text.
        starts: Its first character.
    """

    rows: Ints
    slots: Ints
    words: Ints
    starts: Ints


@dataclass(frozen=True, slots=True)
class Surface:
    """The surface of some rows.

    Attributes:
        texts: All words, answers and predictions, in alphabetical order.
        mentions: What the original and the counterfactual show.
        labels: What is to be said -> the text of each row: the answer, or a prediction.
        copied: The counterfactual's answer, by row.
        templates: The original's template, numbered in alphabetical order, by row.
        lengths: Characters of the original, by row.
        folds: 0 or 1 by row: rules that learn do so from the rows of the other fold.
    """

    texts: Sequence[str]
    mentions: tuple[Mentions, Mentions]
    labels: Mapping[str, Ints]
    copied: Ints
    templates: Ints
    lengths: Ints
    folds: Ints


def _surface(table: pa.Table, labels: Sequence[str]) -> Surface:
    original, other = (pa.concat_arrays(table[name].chunks) for name in SIDES)
    predictions = pa.concat_arrays(table["predictions"].chunks)
    prompts = original.field("prompt").to_pylist()
    slots: dict[str, int] = {}
    shown = [_shown(side, slots) for side in (original, other)]
    columns = [words for _, words in shown] + [side.field("answer") for side in (original, other)]
    columns += [predictions.field(label) for label in labels]
    texts, numbers = _numbered(pa.concat_arrays(columns))
    cuts = np.cumsum(list(map(len, columns)))
    words, others, answers, copied, *predicted = np.split(numbers, cuts[:-1])
    template: pa.Array = pa.nulls(len(table))
    if original.type.get_field_index("variables") >= 0:
        variables = original.field("variables")
        if variables.type.get_field_index(TEMPLATE_INPUT) >= 0:
            template = variables.field(TEMPLATE_INPUT)
    return Surface(
        texts=texts,
        mentions=(Mentions(words=words, **shown[0][0]), Mentions(words=others, **shown[1][0])),
        labels={**dict(zip(labels, predicted, strict=True)), ANSWER: answers},
        copied=copied,
        templates=_numbered(template.cast(pa.string()))[1],
        lengths=np.array(list(map(len, prompts))),
        folds=np.array(
            [hashlib.blake2b(p.encode(), digest_size=1).digest()[0] & 1 for p in prompts]
        ),
    )


def _shown(side: pa.StructArray, numbers: dict[str, int]) -> tuple[dict[str, Ints], pa.StringArray]:
    """What the prompts of a side show: rows, slots and starts, and the words themselves.

    Args:
        side: The original or the counterfactual.
        numbers: Slot -> its number; new slots are added.
    """
    spans = side.field("spans")
    rows = pc.list_parent_indices(spans).to_numpy()
    flat = pc.list_flatten(spans)
    starts, ends = (flat.field(name).to_numpy().astype(np.int64) for name in ("start", "end"))
    # A span may hold others, which come right behind it. Only the innermost count.
    holds = np.zeros(len(rows), bool)
    holds[:-1] = (rows[1:] == rows[:-1]) & (starts[1:] >= starts[:-1]) & (ends[1:] <= ends[:-1])
    names = flat.field("name").dictionary_encode()
    number_of = [
        numbers.setdefault(_NUMBER.sub("", name), len(numbers))
        for name in names.dictionary.to_pylist()
    ]
    slots = np.array(number_of, np.int64)[names.indices.to_numpy()]
    rows, slots, starts, ends = (each[~holds] for each in (rows, slots, starts, ends))
    texts = side.field("prompt").to_pylist()
    places = zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)
    words = pa.array([texts[row][start:end] for row, start, end in places], pa.string())
    return {"rows": rows, "slots": slots, "starts": starts}, words


def _numbered(texts: pa.StringArray) -> tuple[list[str], Ints]:
    """All different texts in alphabetical order, and the number of each; -1 for null."""
    encoded = texts.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    numbers = encoded.indices.fill_null(len(order)).to_numpy()
    return encoded.dictionary.take(pa.array(order)).to_pylist(), np.append(place, -1)[numbers]


@dataclass(frozen=True, slots=True)
class Riddle:
    """What has to be guessed in the rows that have it, and what can be named as a guess.

    Attributes:
        rows: These rows.
        said: What has to be guessed: (rows,).
        named: Words of the slots that it is ever found in, each once, in order of first mention:
            (rows, words), filled up with -1.
        own: Those of the original, as often as they are mentioned: (rows, mentions), likewise.
        codes: What has to be guessed as the position of its word among those named, or else
            its text; as a number: (rows,).
        meanings: What each of these numbers means: a position, or a text (the other is -1).
        folds: 0 or 1: (rows,).
    """

    rows: Ints
    said: Ints
    named: Ints
    own: Ints
    codes: Ints
    meanings: Ints
    folds: Ints


def _riddle(surface: Surface, label: str) -> Riddle | None:
    """The riddle of a label; None if no row has it."""
    labels = surface.labels[label]
    rows = np.flatnonzero(labels >= 0)
    if not rows.size:
        return None
    said, place = labels[rows], np.cumsum(labels >= 0) - 1
    sides = surface.mentions[: 1 if label == ANSWER else 2]
    slots = np.unique(np.concatenate([m.slots[m.words == labels[m.rows]] for m in sides]))
    found = []
    for m in sides:
        counts = np.isin(m.slots, slots) & (labels[m.rows] >= 0)
        found.append((place[m.rows[counts]], m.words[counts]))
    own = _padded(*found[0], len(rows))
    where, words = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(where, kind="stable")  # the original's first, in the order of the text
    where, words = where[order], words[order]
    first = np.sort(np.unique(where * len(surface.texts) + words, return_index=True)[1])
    named = _padded(where[first], words[first], len(rows))
    codes, meanings = _coded(said, named, surface.texts)
    return Riddle(rows, said, named, own, codes, meanings, surface.folds[rows])


def _padded(rows: Ints, values: Ints, n: int) -> Ints:
    """Values by row, as a matrix with at least one column, filled up with -1; rows ascend."""
    counts = np.bincount(rows, minlength=n)
    made = np.full((n, max(1, counts.max())), -1)
    made[rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]] = values
    return made


def _coded(said: Ints, named: Ints, texts: Sequence[str]) -> tuple[Ints, Ints]:
    """See :class:`Riddle`; codes are numbered in the alphabetical order of ``#1`` and texts."""
    same = named == said[:, None]
    pairs = np.stack([np.where(same.any(1), same.argmax(1), -1), said], axis=1)
    pairs[pairs[:, 0] >= 0, 1] = -1
    meanings, codes = np.unique(pairs, axis=0, return_inverse=True)
    written = [f"#{at + 1}" if at >= 0 else texts[text] for at, text in meanings.tolist()]
    order = np.array(sorted(range(len(written)), key=written.__getitem__))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place[codes.reshape(-1)], meanings[order]


# The rules. Each gives a text for every row of a riddle, or -1.


def _try_rules(riddle: Riddle, surface: Surface, label: str) -> list[tuple[str, int, int, float]]:
    """Rule, hits, rows and chance."""
    n, said = len(riddle.rows), riddle.said
    any_answer = 1 / max(2, len(np.unique(said)))
    any_code = 1 / max(2, len(riddle.meanings))
    templates = surface.templates[riddle.rows]
    guesses = [("majority", _majority(riddle, len(surface.texts)), any_answer)]
    if (riddle.named >= 0).any():
        mentions = (riddle.own >= 0).sum(1)
        picked, picked_own = _picked(said, riddle.named), _picked(said, riddle.own)
        last = riddle.own[np.arange(n), np.maximum(mentions, 1) - 1]
        guesses += [
            ("position", _commonest(riddle, np.zeros(n, np.int64)), any_code),
            ("first mentioned", riddle.own[:, 0], picked_own),
            ("last mentioned", last, picked_own),
            ("frequency", _most_frequent(riddle, len(surface.texts)), picked),
        ]
    if label == ANSWER:
        guesses.append(("copy", surface.copied[riddle.rows], any_answer))
    if len(np.unique(templates)) > 1:
        guesses.append(("template", _commonest(riddle, templates), any_code))
    guesses.append(("linear", _linear(riddle, surface), any_code))
    return [(rule, int((guess == said).sum()), n, chance) for rule, guess, chance in guesses]


def _picked(said: Ints, words: Ints) -> float:
    """How often a word picked at random is right."""
    ordered = np.sort(words, axis=1)
    fresh = np.diff(ordered, axis=1, prepend=-1) != 0  # -1, which stands for none, is in front
    chances = (words == said[:, None]).any(1) / np.maximum(1, fresh.sum(1))
    return float(sum(chances.tolist()) / len(said))


def _majority(riddle: Riddle, texts: int) -> Ints:
    guesses = np.full(len(riddle.said), -1)
    for fold in (0, 1):
        counts = np.bincount(riddle.said[riddle.folds != fold], minlength=texts)
        # among equals, here and below, the first in the alphabet: nothing hangs on order
        guesses[riddle.folds == fold] = counts.argmax() if counts.any() else -1
    return guesses


def _commonest(riddle: Riddle, keys: Ints) -> Ints:
    """The commonest code among the other fold's rows with the same key."""
    codes, shape = np.full(len(keys), -1), (keys.max() + 1, len(riddle.meanings))
    for fold in (0, 1):
        others = riddle.folds != fold
        flat = keys[others] * shape[1] + riddle.codes[others]
        counts = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        best = np.where(counts.any(1), counts.argmax(1), -1)
        codes[~others] = best[keys[~others]]
    return _decoded(riddle, codes)


def _most_frequent(riddle: Riddle, texts: int) -> Ints:
    guesses = np.full(len(riddle.said), -1)
    for fold in (0, 1):
        here = riddle.folds == fold
        counts = np.bincount(riddle.said[~here], minlength=texts)
        named = riddle.named[here]
        best = np.where(named >= 0, counts[named], -1).argmax(1)
        guesses[here] = np.take_along_axis(named, best[:, None], 1)[:, 0]
    return guesses


def _decoded(riddle: Riddle, codes: Ints) -> Ints:
    """Codes as texts; -1 for no code, and for a position where so many words are not named."""
    at, text = riddle.meanings[codes].T
    there = (at >= 0) & (at < riddle.named.shape[1])
    named = riddle.named[np.arange(len(codes)), np.where(there, at, 0)]
    return np.where(codes < 0, -1, np.where(at >= 0, np.where(there, named, -1), text))


def _linear(riddle: Riddle, surface: Surface) -> Ints:
    """Guess codes with a linear model that was fitted to the other fold.

    Ridge regression of one indicator per code (the ridge classifier) on: the template, the length
    of the prompt, and of each of the words that could be the answer its length, its place in the
    alphabet among them, and where it is first mentioned. How often a word is mentioned is left
    out: that is what questions are made of.
    """
    features = _features(riddle, surface)  # (rows, features)
    wanted = (riddle.codes[:, None] == np.arange(len(riddle.meanings))).astype(float)
    codes = np.full(len(riddle.codes), -1)
    for fold in (0, 1):
        others = riddle.folds != fold
        if others.any() and not others.all():
            scores = _fitted(features[others], wanted[others], features[~others])
            codes[~others] = scores.argmax(1)
    return _decoded(riddle, codes)


def _fitted(known: Matrix, wanted: Matrix, new: Matrix) -> Matrix:
    """Scores of new rows: (rows, codes)."""
    centre, scale = known.mean(axis=0), known.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x, y = (known - centre) / scale, wanted - wanted.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ y)
    return np.asarray((new - centre) / scale @ weights + wanted.mean(axis=0))


def _features(riddle: Riddle, surface: Surface) -> Matrix:
    """See :func:`_linear`: (rows, templates + 1 + 3 * WORDS)."""
    n, texts = len(riddle.rows), len(surface.texts)
    templates = surface.templates[riddle.rows]
    words = np.full((n, WORDS), -1)
    width = min(WORDS, riddle.named.shape[1])
    words[:, :width] = riddle.named[:, :width]
    there = words >= 0
    lengths = np.array(list(map(len, surface.texts)))[words]
    ranked = np.where(riddle.named >= 0, riddle.named, texts).argsort(1).argsort(1)
    ranks = np.zeros((n, WORDS))
    ranks[:, :width] = ranked[:, :width]
    own = surface.mentions[0]
    keys, first = np.unique(own.rows * texts + own.words, return_index=True)
    wanted = riddle.rows[:, None] * texts + words
    at = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    starts = np.where(keys[at] == wanted, own.starts[first[at]], -1) if len(keys) else -1
    per_word = np.stack([lengths, ranks, np.broadcast_to(starts, there.shape)], axis=2)
    return np.column_stack(
        [
            templates[:, None] == np.unique(templates),
            surface.lengths[riddle.rows],
            np.where(there[:, :, None], per_word, 0.0).reshape(n, 3 * WORDS),
        ]
    ).astype(float)
