"""``cfgen models``: which LMs are known by name, under what terms, and fetching them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cfgen.cli.options import AcceptLicense, Json, example
from cfgen.cli.output import present, progress_shown, remark, write_json
from cfgen.errors import CfgenError, Problem, did_you_mean

models = typer.Typer(
    help="List the LMs that are known by name, or fetch one.", invoke_without_command=True
)


@models.callback()
def list_known(ctx: typer.Context, json: Json = False) -> None:
    """List the LMs that are known by name, or fetch one with 'pull'."""
    if ctx.invoked_subcommand is not None:
        return
    from cfgen.report import model_list
    from cfgen.weights import list_models

    listed = list_models()
    if json:
        write_json(
            [
                {**asdict(listing), "path": str(listing.path) if listing.path else None}
                for listing in listed
            ]
        )
        return
    present(model_list(listed))


@models.command(epilog=example("cfgen models pull NAME"))
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A known name, gguf:FILE, or owner/name of an LM on the Hub."
        ),
    ],
    accept_license: AcceptLicense = False,
    json: Json = False,
) -> None:
    """Fetch an LM, check it, and keep it in the cache folder ($CFGEN_CACHE)."""
    from cfgen.documents import faint
    from cfgen.paths import display
    from cfgen.weights import find_checkpoint

    with progress_shown(quiet=json) as report:
        found = find_checkpoint(name, accept_license=accept_license, progress=report)
    if json:
        record = {"name": name, "folder": str(found.folder), "revision": found.revision}
        write_json({**record, "adapter": str(found.adapter) if found.adapter else None})
        return
    present(f"{name} is in {display(found.folder)}", wrap=False)
    remark(faint(f"use it with --model {name}"))


@models.command(epilog=example("cfgen models licence NAME"))
def licence(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A known name.")], json: Json = False
) -> None:
    """Show the licence of a known LM, with its terms in full where they come with the LM."""
    from cfgen.documents import CodeBlock, Document
    from cfgen.weights import AdapterEntry, load_entries, terms_text

    entries = load_entries()
    if name not in entries:
        message = f"there is no known LM {name!r}"
        raise CfgenError(Problem("lm-unknown", message, hint=did_you_mean(name, entries)))
    entry = entries[name]
    if isinstance(entry, AdapterEntry):
        text, accepted = f"{entry.licence}, on top of {entry.base}\n", None
    else:
        with progress_shown(quiet=json) as report:
            text, accepted = terms_text(entry, progress=report), entry.accepted
    if json:
        write_json({"name": name, "licence": entry.licence, "accepted": accepted, "text": text})
        return
    present(Document((CodeBlock(text),)), wrap=False)
