"""``cfgen models``: which LMs are known by name, and fetching them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cfgen.cli.console import messages, results, write_json
from cfgen.cli.options import Json, example
from cfgen.cli.progress import progress_shown

models = typer.Typer(
    help="List the LMs that are known by name, or fetch one.", invoke_without_command=True
)


@models.callback()
def list_known(ctx: typer.Context, json: Json = False) -> None:
    """List the LMs that are known by name, or fetch one with 'pull'."""
    if ctx.invoked_subcommand is not None:
        return
    from cfgen.lm.registry import list_models
    from cfgen.report.models import model_list

    listed = list_models()
    if json:
        write_json(
            [
                {**asdict(listing), "path": str(listing.path) if listing.path else None}
                for listing in listed
            ]
        )
        return
    results().print(model_list(listed))


@models.command(epilog=example("cfgen models pull NAME"))
def pull(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A known name, or owner/name of an LM on the Hub."),
    ],
    json: Json = False,
) -> None:
    """Fetch an LM, check it, and keep it in the cache folder ($CFGEN_CACHE)."""
    from cfgen.lm.find import find_weights
    from cfgen.paths import display

    with progress_shown(quiet=json) as report:
        found = find_weights(name, progress=report)
    if json:
        record = {"name": name, "folder": str(found.folder), "revision": found.revision}
        write_json({**record, "adapter": str(found.adapter) if found.adapter else None})
        return
    results().print(f"{name} is in {display(found.folder)}", soft_wrap=True, markup=False)
    messages().print(f"use it with --model {name}", style="dim", markup=False)
