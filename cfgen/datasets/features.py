"""Columns: the declared schema of a task's dataset, and pairs as Arrow tables of that schema."""

from __future__ import annotations

import itertools
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Features

from cfgen.counterfactuals import ALL, NONE, Pair, Side
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
    variables = pa.struct([(name, arrow_type(kind)) for name, kind in _types(task).items()])
    side = pa.struct(
        [
            ("prompt", pa.string()),
            ("answer", pa.string()),
            ("completion", pa.string()),
            ("variables", variables),
            ("spans", SPANS),
        ]
    )
    by_hypothesis = pa.struct([(name, pa.string()) for name in (NONE, ALL, *task.hypotheses)])
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


def table_maker(task: Task) -> Callable[[Sequence[Pair]], pa.Table]:
    """Prepare the conversion of pairs to Arrow tables of the schema of :func:`schema_of`."""
    schema = schema_of(task)
    as_json = {name for name, kind in _types(task).items() if _storable(kind) is None}

    def make(pairs: Sequence[Pair]) -> pa.Table:
        by_hypothesis = schema.field("predictions").type
        columns = [
            pa.array([pair.id for pair in pairs]),
            pa.array([pair.index for pair in pairs], pa.int64()),
            pa.array([pair.task for pair in pairs]),
            pa.array([pair.design for pair in pairs]),
            _sides([pair.original for pair in pairs], schema.field("original").type, as_json),
            _sides([pair.counterfactual for pair in pairs], schema.field("original").type, as_json),
            _struct([pair.predictions for pair in pairs], by_hypothesis),
            _struct([pair.kinds for pair in pairs], by_hypothesis),
            pa.array([pair.decisive for pair in pairs], pa.bool_()),
        ]
        return pa.Table.from_arrays(columns, schema=schema)

    return make


def _sides(sides: Sequence[Side], kind: pa.StructType, as_json: set[str]) -> pa.StructArray:
    answers = [side.answer for side in sides]
    variables: Sequence[Mapping[str, Any]] = [side.variables for side in sides]
    arrays = [
        pa.array([side.prompt.text for side in sides], pa.string()),
        pa.array(answers, pa.string()),
        pa.array(
            [None if side.answer is None else side.answer_prefix + side.answer for side in sides],
            pa.string(),
        ),
        _struct(variables, kind.field("variables").type, as_json),
        _spans(sides),
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _struct(
    rows: Sequence[Mapping[str, Any]], kind: pa.StructType, as_json: set[str] | None = None
) -> pa.StructArray:
    arrays = []
    for column in kind:
        values = [row[column.name] for row in rows]
        if as_json and column.name in as_json:
            values = [json.dumps(value, ensure_ascii=False, default=repr) for value in values]
        arrays.append(pa.array(values, column.type))
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _spans(sides: Sequence[Side]) -> pa.ListArray:
    counts = [len(side.prompt.spans) for side in sides]
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int32)]).astype(np.int32)
    flat = list(itertools.chain.from_iterable(side.prompt.spans for side in sides))
    arrays = [
        pa.array([span.name for span in flat], pa.string()),
        pa.array([span.mention for span in flat], pa.int32()),
        pa.array([span.start for span in flat], pa.int32()),
        pa.array([span.end for span in flat], pa.int32()),
    ]
    struct = pa.StructArray.from_arrays(arrays, fields=list(SPANS.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets), struct)
