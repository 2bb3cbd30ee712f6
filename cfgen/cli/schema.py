"""``cfgen schema``: what may stand in an experiment's file, for editors."""

from __future__ import annotations

from cfgen.cli.options import Json
from cfgen.cli.output import write_json


def schema(json: Json = False) -> None:
    """Print the JSON Schema of an experiment's file: editors complete and check with it.

    Keep it beside the files, and begin each with: # yaml-language-server: $schema=experiment.json
    """
    from cfgen.experiments import schema as make

    write_json(make())
