"""What may stand in an experiment's file, as JSON Schema: editors complete and check with it."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel

from cfgen.datasets import FRACTIONS
from cfgen.experiments.definition import (
    DRAWING,
    SOURCES,
    EngineOptions,
    Experiment,
    SiteOptions,
    SweepOptions,
)
from cfgen.experiments.measures import MEASURES
from cfgen.lm import COMPONENTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: tuple[type[BaseModel], ...] = (Experiment, SiteOptions, SweepOptions, EngineOptions)
"""All that has fields in a file."""
_LIST = {"type": "array", "items": {"type": "string"}}
_TEXT = {"type": "string"}


def schema() -> dict[str, Any]:
    """The schema of an experiment's file, every field with its description.

    It is a help for editors: what it lets through may still be wrong in ways that only
    :func:`cfgen.experiments.read_experiment` finds.
    """
    made = Experiment.model_json_schema()
    for record in RECORDS:
        part = made if record is Experiment else made["$defs"][record.__name__]
        described = descriptions(record)
        part["description"] = _summary(record)
        for name, field in part["properties"].items():
            field.pop("title", None)
            field["description"] = described[name]
            _accept_one_text(field)
    fields, sweep = made["properties"], made["$defs"]["SweepOptions"]["properties"]
    site = made["$defs"]["SiteOptions"]["properties"]
    sweep["over"]["anyOf"].insert(1, {"type": "integer", "minimum": 0})
    fields["noise"]["anyOf"] = [_TEXT, {"type": "integer", "minimum": 1}]
    fields["noise"].pop("type")
    names = {"enum": list(MEASURES)}
    fields["measures"]["anyOf"] = [names, {"type": "array", "items": names, "minItems": 1}]
    fields["split"]["enum"] = list(FRACTIONS)
    for component in (sweep["component"], site["component"]):
        writable = [name for name, row in COMPONENTS.items() if not row.read_only]
        component["anyOf"] = [{"enum": writable}, {"type": "null"}]
    by_name = fields["hypotheses"].pop("additionalProperties")
    fields["hypotheses"]["anyOf"] = [
        _TEXT,
        {**_LIST, "uniqueItems": True},
        {"type": "object", "additionalProperties": by_name},
    ]
    fields["hypotheses"].pop("type")
    made["oneOf"] = [{"required": [source]} for source in SOURCES]
    made["dependentRequired"] = {"columns": ["pairs"]} | {name: ["task"] for name in DRAWING}
    return {"$schema": DIALECT, **made, "title": "An experiment of cfgen"}


def descriptions(record: type[BaseModel]) -> dict[str, str]:
    """Field -> what its record's docstring says of it."""
    lines = inspect.cleandoc(record.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", lines, re.MULTILINE)
    return {name: _plain(text) for name, text in found}


def _summary(record: type[BaseModel]) -> str:
    return _plain(inspect.cleandoc(record.__doc__ or "").partition("Attributes:\n")[0])


def _plain(text: str) -> str:
    """A text of a docstring as editors show it."""
    return " ".join(text.replace("``", "`").split())


def _accept_one_text(field: dict[str, Any]) -> None:
    """Where several texts can be named, one may stand for itself alone."""
    listed = field if field.get("type") == "array" else None
    if listed and listed["items"] == {"type": "string"}:
        field["anyOf"] = [_TEXT, _LIST]
        field.pop("type"), field.pop("items")
    elif _LIST in field.get("anyOf", ()) and _TEXT not in field["anyOf"]:
        field["anyOf"].insert(0, _TEXT)
