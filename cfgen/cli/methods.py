"""``cfgen methods``: the ways of putting a question to an LM, and what each of them counts."""

from __future__ import annotations

from typing import Annotated

import typer

from cfgen.cli.options import Json
from cfgen.cli.output import present, write_json
from cfgen.errors import CfgenError, Problem, did_you_mean


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Explain this one, with its formulas.")
    ] = None,
    json: Json = False,
) -> None:
    """List the methods that `cfgen run --method` knows, or explain one."""
    from cfgen.experiments import METHODS
    from cfgen.report import method_view, methods_view

    if name is not None and name not in METHODS:
        message, hint = f"there is no method {name!r}", did_you_mean(name, METHODS)
        raise CfgenError(Problem("unknown-name", message, hint=hint))
    chosen = [METHODS[name]] if name else list(METHODS.values())
    if json:
        write_json(
            [
                {
                    "name": method.name,
                    "summary": method.summary,
                    "effects": {key: effect.meaning for key, effect in method.effects.items()},
                    "fields": list(method.fields),
                    "component": method.component,
                    "explained": method.explained,
                }
                for method in chosen
            ]
        )
    else:
        present(method_view(chosen[0]) if name else methods_view(chosen), wrap=False)
