"""Labelled pairs as columns, and columns as Arrow arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cfgen.counterfactuals import Pair, Side
from cfgen.prompts import Spans


@dataclass(frozen=True, slots=True)
class SideColumns:
    """One side of many pairs.

    Attributes:
        texts: The prompts.
        spans: Their spans.
        answers: What the causal model answers, None where it gives no answer.
        prefixes: What stands between prompt and answer.
        variables: Variable -> its values.
    """

    texts: Sequence[str]
    spans: Spans
    answers: Sequence[str | None]
    prefixes: Sequence[str]
    variables: dict[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class PairColumns:
    """Many pairs of one design, a sequence for each field of a pair."""

    design: str
    ids: Sequence[str]
    indices: Sequence[int]
    original: SideColumns
    counterfactual: SideColumns
    predictions: dict[str, Sequence[str | None]]
    kinds: dict[str, Sequence[str]]
    decisive: Sequence[bool]


def columns_of(pairs: Sequence[Pair]) -> PairColumns:
    """The columns of at least one pair."""
    names = list(pairs[0].predictions)
    return PairColumns(
        design=pairs[0].design,
        ids=[pair.id for pair in pairs],
        indices=[pair.index for pair in pairs],
        original=_side([pair.original for pair in pairs]),
        counterfactual=_side([pair.counterfactual for pair in pairs]),
        predictions={name: [pair.predictions[name] for pair in pairs] for name in names},
        kinds={name: [pair.kinds[name] for pair in pairs] for name in names},
        decisive=[pair.decisive for pair in pairs],
    )


def _side(sides: Sequence[Side]) -> SideColumns:
    return SideColumns(
        texts=[side.prompt.text for side in sides],
        spans=Spans.of([side.prompt for side in sides]),
        answers=[side.answer for side in sides],
        prefixes=[side.answer_prefix for side in sides],
        variables={name: [side.variables[name] for side in sides] for name in sides[0].variables},
    )


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array; lists are put together from one array of all their elements."""
    if not pa.types.is_list(kind) or None in values:
        return pa.array(values, kind)
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(list(map(len, values)), out=offsets[1:])
    flat = list(itertools.chain.from_iterable(values))
    return pa.ListArray.from_arrays(offsets, arrow_array(flat, kind.value_type), type=kind)


def repeated(value: str, times: int) -> pa.Array:
    """The same text many times."""
    return pa.repeat(pa.scalar(value, pa.string()), times)


def spans_array(spans: Spans, kind: pa.DataType) -> pa.ListArray:
    """The column of spans."""
    names = pa.array(spans.vocabulary, pa.string()).take(pa.array(spans.names))
    numbers = [pa.array(column) for column in (spans.mentions, spans.starts, spans.ends)]
    struct = pa.StructArray.from_arrays([names, *numbers], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(spans.offsets), struct)
