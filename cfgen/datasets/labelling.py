"""Labelling: from the inputs of pairs to prompts, answers, spans, variables and predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cfgen.causal import Columns
from cfgen.counterfactuals import (
    ALL,
    NONE,
    Design,
    Pair,
    Predictor,
    Side,
    is_decisive,
    kind_of,
    output_text,
)
from cfgen.errors import CfgenError, Problem
from cfgen.prompts import Prompt, Spans, render_columns
from cfgen.tasks import TEMPLATE_INPUT, Task, accepted_texts
from cfgen.words import MAX_BITS, half_in

Inputs = Mapping[str, Any]
Texts = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class SideColumns:
    """One side of many pairs.

    Attributes:
        texts: The prompts.
        spans: Their spans.
        answers: What the causal model answers, None where it gives no answer.
        prefixes: What stands between prompt and answer.
        variables: Variable -> its values, inputs included.
    """

    texts: Sequence[str]
    spans: Spans
    answers: Texts
    prefixes: Sequence[str]
    variables: Columns


@dataclass(frozen=True, slots=True)
class PairColumns:
    """Many pairs of one design, a sequence for each field of :class:`Pair`."""

    design: str
    ids: Sequence[str]
    indices: Sequence[int]
    original: SideColumns
    counterfactual: SideColumns
    predictions: Mapping[str, Texts]
    kinds: Mapping[str, Sequence[str]]
    decisive: Sequence[bool]
    contrast: tuple[str, ...]


def _accepted_by(task: Task) -> Callable[[str], tuple[str, ...]] | None:
    """From an answer to the texts that count as it; None where it is the only one."""
    if task.accept is None:
        return None

    @lru_cache(maxsize=100_000)
    def accepted(answer: str) -> tuple[str, ...]:
        return accepted_texts(task.accept, [answer], task.where)[answer]

    return accepted


STABLE = frozenset({str, int, float, bool, type(None)})
"""Types whose values have one text, whoever writes it down, and whenever."""


def check_values(variables: Columns, task: Task) -> None:
    """See to it that all values are compared and stored by what they are.

    Raises:
        CfgenError: With every variable that has a value of another kind, or one that no file can
            hold (``unstable-value``).
    """
    problems = []
    for name, column in variables.items():
        if {*map(type, column)} <= STABLE:
            problems += _unwritten(name, column, task)
            continue
        odd = next((found for value in column if (found := _unstable(value)) is not None), None)
        if odd is not None:
            problems.append(
                Problem(
                    "unstable-value",
                    f"variable {name!r} has a {type(odd).__name__} in a value, which has no text "
                    "that is always the same",
                    task.causal_model.places.get(name, ""),
                    "return text, a number, True, False, None, or a tuple of these; of a set, "
                    "tuple(sorted(...))",
                )
            )
    if problems:
        raise CfgenError(problems)


def _unwritten(name: str, column: Sequence[Any], task: Task) -> list[Problem]:
    """Texts and numbers that cannot be written down."""
    if half_in("\n".join(value for value in column if type(value) is str)):
        what, hint = "half a character in a value", "write the character itself"
    elif any(value.bit_length() > MAX_BITS for value in column if type(value) is int):
        what, hint = "a number of more than 4,000 digits", "return a smaller one, or text"
    else:
        return []
    message = f"variable {name!r} has {what}, which no file can hold"
    return [Problem("unstable-value", message, task.causal_model.places.get(name, ""), hint)]


def _unstable(value: Any) -> Any:
    """What in a value has no stable text; None if all has."""
    if type(value) in STABLE:
        return None
    if isinstance(value, (tuple, list)):
        return next((odd for item in value if (odd := _unstable(item)) is not None), None)
    return value


def check_answers(outputs: Sequence[Any], task: Task) -> None:
    """See to it that all answers are texts, or numbers that can be written as such.

    Raises:
        CfgenError: If one is something else (``answer-not-text``).
    """
    if not {*map(type, outputs)} <= STABLE:
        odd = next(value for value in outputs if type(value) not in STABLE)
        output = task.causal_model.output
        raise CfgenError(
            Problem(
                "answer-not-text",
                f"the answer {output!r} is a {type(odd).__name__}, which no LM can say",
                task.causal_model.places.get(output, ""),
                "return text; where several texts are right, give the answer a name of its own and "
                "say in accept= of the task which texts these are",
            )
        )


class PairLabeller:
    """Says all there is about pairs of inputs, of one pair or of many at once."""

    def __init__(self, task: Task, design: Design) -> None:
        """Prepare the labelling.

        Args:
            task: The task.
            design: The design whose contrast says whether a pair is decisive.
        """
        self._task = task
        self._design = design
        self._predictor = Predictor(task.causal_model.program, task.hypotheses.values())
        self._accepted = _accepted_by(task)
        self._head = "\0".join([task.name, *self._predictor.names]) + "\0"

    def __call__(self, original: Inputs, counterfactual: Inputs, index: int = 0) -> Pair:
        """Label one pair; see :meth:`columns`."""
        one, other = (
            {name: (value,) for name, value in side.items()} for side in (original, counterfactual)
        )
        [pair] = pairs_of(self._task, self.columns(one, other, (index,)))
        return pair

    def columns(
        self, original: Columns, counterfactual: Columns, indices: Sequence[int]
    ) -> PairColumns:
        """Label many pairs.

        Args:
            original: Complete inputs of the originals, trusted to be in their domains (see
                :meth:`CausalModel.complete`).
            counterfactual: Those of the counterfactuals.
            indices: Which candidates these are.

        Raises:
            CfgenError: A mechanism fails, or a template cannot show the inputs.
        """
        program = self._task.causal_model.program
        before, after = (
            program.run_columns(side, len(indices)) for side in (original, counterfactual)
        )
        said = self._predictor.columns(before, after)
        for side in (before, after):
            check_values(side, self._task)
        for outputs in said.values():
            check_answers(outputs, self._task)
        predictions = {name: _texts(outputs) for name, outputs in said.items()}
        one, other = self._side(before), self._side(after)
        ours, theirs = predictions[NONE], predictions[ALL]
        rivals = zip(ours, *(predictions[name] for name in self._design.contrast), strict=True)
        return PairColumns(
            design=self._design.name,
            ids=self._ids(one.texts, other.texts, predictions),
            indices=indices,
            original=one,
            counterfactual=other,
            predictions=predictions,
            kinds={
                name: list(map(kind_of, texts, ours, theirs)) for name, texts in predictions.items()
            },
            decisive=[is_decisive(each, self._accepted) for each in rivals],
            contrast=self._design.contrast,
        )

    def _side(self, variables: Columns) -> SideColumns:
        templates, output = self._task.templates, variables[self._task.causal_model.output]
        if TEMPLATE_INPUT in self._task.causal_model.domains:
            chosen = variables[TEMPLATE_INPUT]
        else:
            chosen = [next(iter(templates))] * len(output)
        needed = dict.fromkeys(name for t in templates.values() for name in t.needs)
        texts, spans = render_columns(templates, chosen, {name: variables[name] for name in needed})
        prefixes = {name: template.answer_prefix for name, template in templates.items()}
        return SideColumns(
            texts=texts,
            spans=spans,
            answers=_texts(output),
            prefixes=[prefixes[name] for name in chosen],
            variables=variables,
        )

    def _ids(
        self, originals: Sequence[str], others: Sequence[str], predictions: Mapping[str, Texts]
    ) -> list[str]:
        """Hashes of what pairs say: task, prompts and predictions (80 bits, hexadecimal)."""
        said = [list(map(str, texts)) for texts in predictions.values()]
        rows = map("\0".join, zip(originals, others, *said, strict=True))
        hashed, head = hashlib.blake2b, self._head
        return [hashed((head + row).encode(), digest_size=10).hexdigest() for row in rows]


def _texts(outputs: Sequence[Any]) -> Texts:
    """Outputs as texts."""
    if {output.__class__ for output in outputs} == {str}:
        return outputs
    return list(map(output_text, outputs))


def pairs_of(task: Task, columns: PairColumns, rows: Iterable[int] | None = None) -> list[Pair]:
    """Pairs as records.

    Args:
        task: The task.
        columns: Many pairs.
        rows: Which of them; all, if not given.
    """
    inputs, slots = tuple(task.causal_model.domains), word_slots(task)
    return [
        Pair(
            id=columns.ids[row],
            index=columns.indices[row],
            task=task.name,
            design=columns.design,
            original=_record(columns.original, row, inputs, slots),
            counterfactual=_record(columns.counterfactual, row, inputs, slots),
            predictions={name: texts[row] for name, texts in columns.predictions.items()},
            kinds={name: kinds[row] for name, kinds in columns.kinds.items()},
            decisive=columns.decisive[row],
            contrast=columns.contrast,
        )
        for row in (range(len(columns.ids)) if rows is None else rows)
    ]


def word_slots(task: Task) -> dict[str, tuple[str, ...]]:
    """Input -> its slots, of inputs whose values are words, or tuples of them."""
    model = task.causal_model
    domains = {name: domain for name, domain in model.domains.items() if name != TEMPLATE_INPUT}
    return {
        name: slots
        for name, slots in model.slots.items()
        if name in domains and domains[name].type not in (int, bool)
    }


def _record(
    side: SideColumns, row: int, inputs: Sequence[str], slots: Mapping[str, tuple[str, ...]]
) -> Side:
    variables = {name: values[row] for name, values in side.variables.items()}
    return Side(
        inputs={name: variables[name] for name in inputs},
        prompt=Prompt(side.texts[row], side.spans.at(row)),
        answer=side.answers[row],
        answer_prefix=side.prefixes[row],
        variables=variables,
        slots=words_shown(slots, variables),
    )


def words_shown(
    slots: Mapping[str, tuple[str, ...]], variables: Mapping[str, Any]
) -> dict[str, str]:
    """Slot -> the word that it shows.

    Args:
        slots: Input -> its slots, of inputs whose values are words (:func:`word_slots`).
        variables: Values of at least these inputs.
    """
    words: dict[str, str] = {}
    for name, names in slots.items():
        value = variables[name]
        if isinstance(value, tuple):
            words.update(zip(names, map(str, value), strict=True))
        elif isinstance(value, str):
            words[name] = value
    return words


def columns_of(pairs: Sequence[Pair]) -> PairColumns:
    """The columns of at least one pair."""
    names = list(pairs[0].predictions)
    return PairColumns(
        design=pairs[0].design,
        ids=[pair.id for pair in pairs],
        indices=[pair.index for pair in pairs],
        original=_side_columns([pair.original for pair in pairs]),
        counterfactual=_side_columns([pair.counterfactual for pair in pairs]),
        predictions={name: [pair.predictions[name] for pair in pairs] for name in names},
        kinds={name: [pair.kinds[name] for pair in pairs] for name in names},
        decisive=[pair.decisive for pair in pairs],
        contrast=pairs[0].contrast,
    )


def _side_columns(sides: Sequence[Side]) -> SideColumns:
    return SideColumns(
        texts=[side.prompt.text for side in sides],
        spans=Spans.of([side.prompt for side in sides]),
        answers=[side.answer for side in sides],
        prefixes=[side.answer_prefix for side in sides],
        variables={name: [side.variables[name] for side in sides] for name in sides[0].variables},
    )
