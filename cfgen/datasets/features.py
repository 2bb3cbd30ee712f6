"""Features: the declared columns of a task's dataset, and pairs as Arrow tables of these."""

from __future__ import annotations

import itertools
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cfgen.counterfactuals import ALL, NONE, Pair
from cfgen.datasets.labelling import PairColumns, SideColumns, columns_of, word_slots
from cfgen.errors import CfgenError, Problem, shown_value
from cfgen.prompts import Spans
from cfgen.tasks import Task

SPANS = pa.list_(
    pa.struct(
        [
            pa.field("name", pa.string()),
            pa.field("mention", pa.int32()),
            pa.field("start", pa.int32()),
            pa.field("end", pa.int32()),
        ]
    )
)
_SCALARS = {int: pa.int64(), bool: pa.bool_(), str: pa.string(), float: pa.float64()}


def schema_of(task: Task) -> pa.Schema:
    """The columns of a task's dataset.

    Per row: ``id``, ``index``, ``task``, ``design``; ``original`` and ``counterfactual``, each
    with ``prompt``, ``answer``, ``completion`` (the answer with its leading space), ``variables``
    and ``spans`` (characters, end exclusive); ``predictions`` and ``kinds`` by hypothesis;
    ``decisive``. A variable's type comes from its domain or return annotation; where these give
    no single type, the value is stored as JSON text.

    Returns:
        An Arrow schema whose metadata carries the same features for Hugging Face ``datasets``.
    """
    variables = [(name, arrow_type(kind)) for name, kind in _types(task).items()]
    return pair_schema(variables, (NONE, ALL, *task.hypotheses))


def pair_schema(
    variables: Sequence[tuple[str, pa.DataType]], predicted: Iterable[str]
) -> pa.Schema:
    """The columns of pairs, see :func:`schema_of`.

    Args:
        variables: Name and type of what is known of a side beyond its prompt and answer; if there
            is nothing, there is no such column.
        predicted: Whatever predicts an answer.
    """
    side = pa.struct(
        [
            ("prompt", pa.string()),
            ("answer", pa.string()),
            ("completion", pa.string()),
            *([("variables", pa.struct(variables))] if variables else []),
            ("spans", SPANS),
        ]
    )
    by_hypothesis = pa.struct([(name, pa.string()) for name in predicted])
    plain = pa.schema(
        [
            ("id", pa.string()),
            ("index", pa.int64()),
            ("task", pa.string()),
            ("design", pa.string()),
            ("original", side),
            ("counterfactual", side),
            ("predictions", by_hypothesis),
            ("kinds", by_hypothesis),
            ("decisive", pa.bool_()),
        ]
    )
    from datasets import Features  # takes a second to load, and only what is written needs it

    return Features.from_arrow_schema(plain).arrow_schema


def arrow_type(annotation: Any) -> pa.DataType:
    """Arrow type for a Python type: scalars, ``X | None``, and uniform tuples or lists of these.

    Returns:
        The type; ``string`` for anything else, whose values are then stored as JSON text.
    """
    return _storable(annotation) or pa.string()


def _storable(annotation: Any) -> pa.DataType | None:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        rest = [argument for argument in arguments if argument is not types.NoneType]
        return _storable(rest[0]) if len(rest) == 1 else None
    if origin in (tuple, list):
        elements = {_storable(argument) for argument in arguments if argument is not Ellipsis}
        element = elements.pop() if len(elements) == 1 else None
        return None if element is None else pa.list_(element)
    return None


def _types(task: Task) -> dict[str, Any]:
    """Variable -> Python type, in causal order."""
    known = task.causal_model.types
    return {name: known[name] for name in task.causal_model.graph().order}


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How pairs of one origin are kept as rows, and what a row needs to become a pair again.

    Attributes:
        schema: The columns, see :func:`schema_of`.
        as_json: Variables whose values are kept as JSON text.
        inputs: Input -> the slots that show its words; none where its values are no words.
        prefixes: Template -> what stands between prompt and answer.
        places: Variable -> where it is declared, for errors.
    """

    schema: pa.Schema
    as_json: frozenset[str]
    inputs: Mapping[str, tuple[str, ...]]
    prefixes: Mapping[str, str]
    places: Mapping[str, str] = field(default_factory=dict)

    def table(self, pairs: Sequence[Pair]) -> pa.Table:
        """Pairs of one task and design as a table."""
        if not pairs:
            return self.schema.empty_table()
        return table_maker(self, pairs[0].task)(columns_of(pairs))


def row_format(task: Task) -> RowFormat:
    """How pairs of a task are kept as rows."""
    as_json = {name for name, kind in _types(task).items() if _storable(kind) is None}
    slots = word_slots(task)
    return RowFormat(
        schema=schema_of(task),
        as_json=frozenset(as_json),
        inputs={name: slots.get(name, ()) for name in task.causal_model.domains},
        prefixes={name: template.answer_prefix for name, template in task.templates.items()},
        places=task.causal_model.places,
    )


def pairs_table(task: Task, pairs: Sequence[Pair]) -> pa.Table:
    """Pairs as an Arrow table of the schema of :func:`schema_of`."""
    return row_format(task).table(pairs)


def table_maker(rows: RowFormat, task: str) -> Callable[[PairColumns], pa.Table]:
    """Prepare the conversion of columns to Arrow tables.

    Args:
        rows: How pairs are kept as rows.
        task: Name of their task.

    Returns:
        The conversion. It raises :class:`CfgenError` for a value that is not of its variable's
        type (``value-not-of-type``).
    """
    schema = rows.schema
    side, by_hypothesis = schema.field("original").type, schema.field("predictions").type

    def make(pairs: PairColumns) -> pa.Table:
        columns = [
            pa.array(pairs.ids, pa.string()),
            pa.array(pairs.indices, pa.int64()),
            pa.repeat(pa.scalar(task, pa.string()), len(pairs.ids)),
            pa.repeat(pa.scalar(pairs.design, pa.string()), len(pairs.ids)),
            _side(pairs.original, side, rows),
            _side(pairs.counterfactual, side, rows),
            _by_hypothesis(pairs.predictions, by_hypothesis),
            _by_hypothesis(pairs.kinds, by_hypothesis),
            pa.array(pairs.decisive, pa.bool_()),
        ]
        return pa.Table.from_arrays(columns, schema=schema)

    return make


def _side(side: SideColumns, kind: pa.StructType, rows: RowFormat) -> pa.StructArray:
    completions = [
        None if answer is None else prefix + answer
        for prefix, answer in zip(side.prefixes, side.answers, strict=True)
    ]
    arrays = [pa.array(each, pa.string()) for each in (side.texts, side.answers, completions)]
    if side.variables:
        arrays.append(_variables(side.variables, kind.field("variables").type, rows))
    arrays.append(_spans(side.spans, SPANS))
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _variables(
    columns: Mapping[str, Sequence[Any]], kind: pa.StructType, rows: RowFormat
) -> pa.StructArray:
    """The values of variables; a CfgenError (``value-not-of-type``) names one that has no place."""
    arrays = []
    for each in kind:
        values = columns[each.name]
        if each.name in rows.as_json:
            values = [json.dumps(value, ensure_ascii=False) for value in values]
        try:
            arrays.append(_array(values, each.type))
        except (TypeError, ValueError, OverflowError) as error:
            where = rows.places.get(each.name, "")
            raise CfgenError(_not_of_type(each.name, values, each.type, where)) from error
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _not_of_type(name: str, values: Iterable[Any], kind: pa.DataType, where: str) -> Problem:
    """Name the first value that is not of the type of its column."""

    def fails(value: Any) -> bool:
        try:
            _array([value], kind)
        except (TypeError, ValueError, OverflowError):
            return True
        return False

    value = next(filter(fails, values), "another value")
    return Problem(
        "value-not-of-type",
        f"variable {name!r} is {shown_value(value)}, which is not of its type, {_type_name(kind)}",
        where,
        "let the annotation (of an input: its domain) say what its values are; whole numbers lie "
        "between -2**63 and 2**63",
    )


def _type_name(kind: pa.DataType) -> str:
    """An Arrow type as an annotation says it."""
    if pa.types.is_list(kind):
        return f"list[{_type_name(kind.value_type)}]"
    return next((one.__name__ for one, arrow in _SCALARS.items() if arrow == kind), str(kind))


def _by_hypothesis(columns: Mapping[str, Sequence[Any]], kind: pa.StructType) -> pa.StructArray:
    arrays = [_array(columns[each.name], each.type) for each in kind]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array; lists are put together from one array of all their elements."""
    if kind == pa.int64() and any(issubclass(each, float) for each in set(map(type, values))):
        raise TypeError("fractions would be cut off")
    if not pa.types.is_list(kind) or None in values:
        return pa.array(values, kind)
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(list(map(len, values)), out=offsets[1:])
    flat = list(itertools.chain.from_iterable(values))
    return pa.ListArray.from_arrays(offsets, _array(flat, kind.value_type), type=kind)


def _spans(spans: Spans, kind: pa.DataType) -> pa.ListArray:
    """The column of spans."""
    names = pa.array(spans.vocabulary, pa.string()).take(pa.array(spans.names))
    numbers = [pa.array(column) for column in (spans.mentions, spans.starts, spans.ends)]
    struct = pa.StructArray.from_arrays([names, *numbers], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(spans.offsets), struct)
