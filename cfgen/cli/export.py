"""``cfgen export``: a dataset in the layout that another tool reads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import AcceptLicense, Json, Out
from cfgen.cli.output import present, progress_shown, write_json


def export(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A folder that cfgen generate has written.")
    ],
    to: Annotated[
        str,
        typer.Option("--to", help="pyvene, nnsight, transformer_lens, causalab, mib or jsonl."),
    ],
    out: Out,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="Hypothesis whose predictions are the labels; the first of the design's contrast "
            "if not given.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="LM whose tokens positions are counted in; for pyvene, nnsight and "
            "transformer_lens.",
        ),
    ] = None,
    accept_license: AcceptLicense = False,
    json: Json = False,
) -> None:
    """Write a dataset for another tool: one JSON lines file per split."""
    from cfgen.datasets import export as write
    from cfgen.lm import load_tokenizer
    from cfgen.paths import display

    with progress_shown(quiet=json) as report:
        encode = (
            (tokenizer, load_tokenizer(tokenizer, accept_license=accept_license, progress=report))
            if tokenizer
            else None
        )
        made = write(dataset, to, out, label=label, tokenizer=encode)
    if json:
        write_json({**asdict(made), "folder": str(out.absolute())})
        return
    rows = ", ".join(f"{split} {count:,}" for split, count in made.rows.items())
    present(
        f"{display(out)} has the pairs for {made.tool} ({rows}); "
        f"labels: what {made.label} predicts",
        wrap=False,
    )
