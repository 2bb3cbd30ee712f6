"""``cfgen preview``: a few pairs, as people read them."""

from __future__ import annotations

from typing import Annotated

import typer

from cfgen.cli.options import Design, Json, Seed, TaskName, Templates
from cfgen.cli.output import present, write_json


def preview(
    task: TaskName,
    n: Annotated[int, typer.Option("-n", help="Number of pairs.", min=1)] = 3,
    design: Design = None,
    seed: Seed = 0,
    template: Templates = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Show the tokens of both prompts, and where slots are.")
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Tokens as this LM has them; as the task's default LM has them if not given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show a few pairs, with what every hypothesis predicts; the first that generate makes.

    Words that differ between the two prompts are underlined.
    """
    from cfgen.cli.lint import load_tokenizers
    from cfgen.datasets import first_pairs, recipe
    from cfgen.report import pair_record, pair_view

    made = recipe(task, n, design=design, seed=seed, templates=template or ())
    pairs = first_pairs(made)
    encode = None
    if tokens or tokenizer:
        name = tokenizer or made.task.default_model
        encode = load_tokenizers([name], quiet=json)[name]
    if json:
        write_json([pair_record(pair, encode) for pair in pairs])
        return
    for pair in pairs:
        present(pair_view(pair, changes=True, encode=encode))
