"""Options that make an experiment, or change one that a file says.

None has a default: what is not given is left to the file, or else to the record of an experiment,
which alone says what then holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

What = Annotated[
    str | None,
    typer.Argument(
        metavar="[TASK|FILE.yaml]",
        help="Name of a task (cfgen tasks lists them) or the path of its file; or an experiment's "
        "file (docs/experiments.md). Neither with --dataset or --pairs.",
    ),
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="Folder that cfgen generate wrote, to run on.")
]
PairsFile = Annotated[
    str | None, typer.Option("--pairs", metavar="FILE", help="Pairs of your own, to run on.")
]
Number = Annotated[int | None, typer.Option("-n", help="Number of pairs; 64 if not given.", min=1)]
KeptPairs = Annotated[
    bool | None,
    typer.Option("--kept", help="Go on until so many pairs are answered correctly."),
]
DrawingSeed = Annotated[
    int | None, typer.Option("--seed", help="Of the drawing of pairs; 0 if not given.", min=0)
]
SplitName = Annotated[
    str | None,
    typer.Option("--split", help="Whose words the pairs use, or which split of a dataset."),
]
Splits = Annotated[
    str | None,
    typer.Option("--splits", help="Shares of train, validation and test; 80/10/10 if not given."),
]
Balance = Annotated[
    bool | None, typer.Option("--balance", help="Use every value of every input equally often.")
]
Tokenizers = Annotated[
    list[str] | None,
    typer.Option(
        "--tokenizer",
        metavar="MODEL",
        help="Make all pairs align token by token under this LM's tokenizer; repeat it for "
        "several.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="LM: a known name (cfgen models), ./folder, gguf:FILE, or owner/name or "
        "owner/name@revision on the Hub; the task's default one if not given. Repeat it to ask "
        "several.",
    ),
]
Chat = Annotated[
    bool | None,
    typer.Option("--chat", help="Make each prompt the user's message in the LM's chat template."),
]
HypothesisNames = Annotated[
    list[str] | None,
    typer.Option(
        "--hypothesis", help="Repeat it for several; those that the design tells apart if none."
    ),
]
SweepLayers = Annotated[
    str | None,
    typer.Option("--sweep", help="How layers are swept: each, up_to, or window(k)."),
]
Layers = Annotated[
    str | None, typer.Option("--layers", help="Such as 20-29 or 0,5,10-12; all if not given.")
]
Heads = Annotated[
    str | None, typer.Option("--heads", help="One by one: all, or those named, such as 0,3-5.")
]
Positions = Annotated[
    list[str] | None,
    typer.Option(
        "--position", help="Each by itself; repeat it for several, 'every' for every token."
    ),
]
ComponentName = Annotated[
    str | None, typer.Option("--component", help="What is swapped, such as resid_post.")
]
MeasureNames = Annotated[
    list[str] | None,
    typer.Option("--measure", help="iia if none is given; repeat it for several."),
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine", help="packed, reference (slow and plain), or auto: packed if possible."
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps or spread.")
]
Dtype = Annotated[str | None, typer.Option("--dtype", help="float32, bfloat16 or float16.")]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", help="Prompts that go through the LM at once.", min=1),
]
Verify = Annotated[
    int | None,
    typer.Option(
        "--verify",
        help="Swaps of each unit to run again on the reference engine; an error if any differs.",
        min=0,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any field, such as sweep.over=20-29."),
]
AnswerFolder = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the results; one below runs/ if not given."),
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Ask anew, beside an answer that is there.", show_default=False),
]


def given_fields(ctx: typer.Context) -> dict[str, Any]:
    """Field of an experiment -> what its option was given; None or an empty list if it was not.

    Options stand among the parameters of a verb, since typer reads them there; which field each
    sets is said by :data:`cfgen.experiments.FLAGS` alone.
    """
    from cfgen.experiments import FLAGS

    fields = {option: field for field, option in FLAGS.items()}
    return {
        fields[option]: ctx.params[str(parameter.name)]
        for parameter in ctx.command.params
        for option in parameter.opts
        if option in fields
    }
