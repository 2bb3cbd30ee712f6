"""The JSON Schema of experiments, read by a plain validator of the parts of it that are used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from cfgen.experiments import Experiment, schema, write_experiment
from tests.experiments.strategies import EXPERIMENTS

SCHEMA = schema()
EXAMPLES = sorted((Path(__file__).parents[2] / "docs/examples").glob("*.yaml"))
KINDS = {
    **{"object": dict, "array": list, "string": str, "integer": int, "boolean": bool},
    "number": (int, float),
}
TOLD = {"$schema", "$defs", "description", "title", "default"}


def of_kind(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    return isinstance(value, KINDS[kind]) and (kind != "integer" or not isinstance(value, bool))


def fits(value: Any, rule: dict[str, Any]) -> bool:
    """Whether a value is what a schema describes; KeyError for a word of it that is not known."""
    return all(holds(word, said, value, rule) for word, said in rule.items() if word not in TOLD)


def holds(word: str, said: Any, value: Any, rule: dict[str, Any]) -> bool:
    inside = value if isinstance(value, dict) else {}
    items = value if isinstance(value, list) else []
    return bool(
        {
            "$ref": lambda: fits(value, SCHEMA["$defs"][said.rpartition("/")[2]]),
            "type": lambda: of_kind(value, said),
            "enum": lambda: value in said,
            "const": lambda: value == said,
            "pattern": lambda: not isinstance(value, str) or re.search(said, value),
            "minimum": lambda: not of_kind(value, "integer") or value >= said,
            "maximum": lambda: not of_kind(value, "integer") or value <= said,
            "minItems": lambda: not isinstance(value, list) or len(items) >= said,
            "uniqueItems": lambda: len({json.dumps(item) for item in items}) == len(items),
            "items": lambda: all(fits(item, said) for item in items),
            "properties": lambda: all(fits(inside[n], r) for n, r in said.items() if n in inside),
            "additionalProperties": lambda: all(
                said and fits(inner, said)
                for name, inner in inside.items()
                if name not in rule.get("properties", ())
            ),
            "required": lambda: set(said) <= inside.keys(),
            "dependentRequired": lambda: all(
                set(others) <= inside.keys() for name, others in said.items() if name in inside
            ),
            "anyOf": lambda: any(fits(value, one) for one in said),
            "oneOf": lambda: sum(fits(value, one) for one in said) == 1,
        }[word]()
    )


def test_every_field_has_a_description() -> None:
    parts = [SCHEMA, *SCHEMA["$defs"].values()]
    assert len(parts) == 4
    for part in parts:
        assert part["description"].endswith(".")
        for name, field in part["properties"].items():
            assert field["description"].endswith("."), name
            assert "``" not in field["description"]
    assert list(SCHEMA["properties"]) == list(Experiment.model_fields)
    json.dumps(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_fit(path: Path) -> None:
    assert fits(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMA)


@settings(deadline=None)
@given(EXPERIMENTS)
def test_what_is_written_fits(experiment: Experiment) -> None:
    assert fits(yaml.safe_load(write_experiment(experiment)), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "task: ioi",
        "task: ioi\nmodels: a",
        "task: ioi\nhypotheses: a",
        "task: ioi\nhypotheses: [a]",
        "task: ioi\nhypotheses: {a: , b: {positions: last}}",
        "task: ioi\nmeasures: kl",
        "task: ioi\nsweep: {over: 5, heads: [0], positions: every}",
        "pairs: p\ncolumns: {a: b}",
        "task: ioi\nsweep: {positions: [last, item]}",
    ],
)
def test_right_ones_fit(text: str) -> None:
    assert fits(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "task: ioi\ndataset: d",
        "dataset: d\nseed: 3",
        "task: ioi\ncolumns: {a: b}",
        "task: ioi\nmodel: a",
        "task: ioi\nn: 0",
        "task: ioi\nn: true",
        "task: ioi\nn: '3'",
        "task: ioi\nmodels: [3]",
        "task: ioi\nmeasures: [ia]",
        "task: ioi\nmeasures: []",
        "task: ioi\nsplit: tests",
        "task: ioi\nhypotheses: [a, a]",
        "task: ioi\nhypotheses: {a: last}",
        "task: ioi\nhypotheses: {a: {align: wrd}}",
        "task: ioi\nsweep: {layers: upto}",
        "task: ioi\nsweep: {heads: al}",
        "task: ioi\nsweep: {component: attn_scores}",
        "task: ioi\nengine: {name: pack}",
        "task: ioi\nengine: {verify: -1}",
    ],
)
def test_wrong_ones_do_not(text: str) -> None:
    assert not fits(yaml.safe_load(text), SCHEMA)
