"""Options that make an experiment, or change one that a file says.

None has a default: what is not given is left to the file, or else to the record of an experiment,
which alone says what then holds. A verb that takes them is marked with :func:`asks`, and is given
the experiment.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_type_hints

import typer

from cfgen.cli.options import Design, Templates
from cfgen.experiments import FIELDS, FLAGS

What = Annotated[
    str | None,
    typer.Argument(
        metavar="[TASK|FILE.yaml]",
        help="Name of a task (cfgen tasks lists them) or the path of its file; or an experiment's "
        "file (docs/experiments.md). Neither with --dataset or --pairs.",
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


def _option(kind: Any, field: str, text: str, **more: Any) -> Any:
    return Annotated[kind | None, typer.Option(FLAGS[field], help=text, **more)]


OPTIONS = {
    "method": _option(
        str, "method", "How the question is put; `cfgen methods` lists them. interchange if none."
    ),
    "dataset": _option(str, "dataset", "Folder that cfgen generate wrote, to run on."),
    "pairs": _option(str, "pairs", "Pairs of your own, to run on.", metavar="FILE"),
    "n": _option(int, "n", "Number of pairs; 64 if not given.", min=1),
    "kept": _option(bool, "kept", "Go on until so many pairs are answered correctly."),
    "design": Design,
    "seed": _option(int, "seed", "Of the drawing of pairs; 0 if not given.", min=0),
    "split": _option(str, "split", "Whose words the pairs use, or which split of a dataset."),
    "splits": _option(
        str, "splits", "Shares of train, validation and test; 80/10/10 if not given."
    ),
    "templates": Templates,
    "balance": _option(bool, "balance", "Use every value of every input equally often."),
    "reuse_prompts": _option(
        bool, "reuse_prompts", "Let a prompt be in several pairs, which are all different."
    ),
    "tokenizers": _option(
        list[str],
        "tokenizers",
        "Make all pairs align token by token under this LM's tokenizer; repeat it for several.",
        metavar="MODEL",
    ),
    "models": _option(
        list[str],
        "models",
        "LM: a known name (cfgen models), ./folder, gguf:FILE, or owner/name or "
        "owner/name@revision on the Hub; the task's default one if not given. Repeat it to ask "
        "several.",
    ),
    "chat": _option(bool, "chat", "Make each prompt the user's message in the LM's chat template."),
    "hypotheses": _option(
        list[str],
        "hypotheses",
        "Repeat it for several; those that the design tells apart if none.",
    ),
    "sweep.over": _option(str, "sweep.over", "Such as 20-29 or 0,5,10-12; all if not given."),
    "sweep.layers": _option(
        str, "sweep.layers", "How layers are swept: each, up_to, or window(k)."
    ),
    "sweep.component": _option(str, "sweep.component", "What is swapped, such as resid_post."),
    "sweep.heads": _option(str, "sweep.heads", "One by one: all, or those named, such as 0,3-5."),
    "sweep.neurons": _option(
        str, "sweep.neurons", "Neurons or dimensions one by one: all, or such as 0-31."
    ),
    "sweep.positions": _option(
        list[str],
        "sweep.positions",
        "Each by itself; repeat it for several, 'every' for every token.",
    ),
    "ablation": _option(
        str,
        "ablation",
        "With --method ablation: zero, mean, pooled, resample, clamp or add.",
    ),
    "value": _option(
        list[float], "value", "With --ablation clamp: a number; repeat it for one per dimension."
    ),
    "strength": _option(
        list[float],
        "strength",
        "With --ablation add: how many times the vector; repeat it for several. 1 if not given.",
    ),
    "vector": _option(
        str,
        "vector",
        "With --ablation add: a vector of your own (.npy, .safetensors).",
        metavar="FILE",
    ),
    "together": _option(
        list[str],
        "together",
        "With --method ablation: a set such as 9.6,10.0 (heads), changed at once; repeat it.",
        metavar="SET",
    ),
    "keys": _option(
        list[str], "keys", "With --method knockout: tokens that are not looked at; repeat it."
    ),
    "receivers": _option(
        list[str],
        "receivers",
        "With --method paths: logits, or such as 9.6.q or 9.mlp; repeat it for several.",
    ),
    "mlps": _option(str, "mlps", "With --method paths: recomputed or frozen."),
    "corrupt": _option(str, "corrupt", "With --method tracing: tokens that get noise."),
    "noise": _option(
        str,
        "noise",
        "With --method tracing: 3 times the standard deviation there, or such as '0.1 absolute'.",
    ),
    "draws": _option(
        int, "draws", "With --method tracing: how often noise is drawn; 10 if not given.", min=1
    ),
    "steps": _option(int, "steps", "With --method circuit: of integrated gradients; 5.", min=1),
    "selection": _option(str, "selection", "With --method circuit: top or greedy."),
    "edges": _option(float, "edges", "With --method circuit: percent of edges written down; 1."),
    "exact": _option(
        int, "exact", "With --method circuit: edges that are run as well as estimated; 64.", min=0
    ),
    "nodes": _option(
        int,
        "nodes",
        "With --method circuit: nodes without which it is run again; 0.",
        min=0,
        max=20,
    ),
    "guide": _option(
        str,
        "guide",
        "attribution: estimate all places by gradients, and run the most promising only; exact: of "
        "single neurons, swap each, for NIE; exact-both: for TIE as well.",
    ),
    "guided": _option(
        int, "guided", "With --guide: how many places are run, and as many others; 32.", min=1
    ),
    "mediators": _option(
        int,
        "mediators",
        "With --method mediation: places that are swapped together, at most; 0.",
        min=0,
        max=64,
    ),
    "generate": _option(
        int, "generate", "How many tokens the LM goes on for after each change.", min=0, max=1000
    ),
    "during": _option(
        str, "during", "With --generate: change the prompt only (prompt), or every token (always)."
    ),
    "measures": _option(list[str], "measures", "iia if none is given; repeat it for several."),
    "engine.device": _option(str, "engine.device", "auto, cpu, cuda, cuda:1, mps or spread."),
    "engine.dtype": _option(str, "engine.dtype", "float32, bfloat16 or float16."),
    "engine.batch_size": _option(
        int, "engine.batch_size", "Prompts that go through the LM at once.", min=1
    ),
    "engine.name": _option(
        str, "engine.name", "packed, reference (slow and plain), or auto: packed if possible."
    ),
    "engine.verify": _option(
        int,
        "engine.verify",
        "Swaps of each unit to run again on the reference engine; an error if any differs.",
        min=0,
    ),
}
"""Field of an experiment -> its option, in the order of the help."""
OF_SWAPS = frozenset(
    field
    for field in OPTIONS
    if field.startswith("sweep.")
    or field in ("method", "generate", "during", "hypotheses", "measures", "engine.verify")
    or field in FIELDS
)
"""Those that say something of swaps."""


def asks(*, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a verb that asks an experiment: it has these options, and then its own.

    Typer reads options off a signature, so that is put together here.

    Args:
        without: Fields that the verb has no options for.

    Returns:
        What makes of a verb, whose first parameter is an experiment, the one that typer is given.
    """
    names = {field: _name(field) for field in OPTIONS if field not in without}

    def mark(verb: Callable[..., None]) -> Callable[..., None]:
        first, *own = inspect.signature(verb).parameters.values()
        written = {name: kind for name, kind in verb.__annotations__.items() if name != first.name}
        hints = get_type_hints(
            SimpleNamespace(__annotations__=written), verb.__globals__, include_extras=True
        )
        asked = {"what": What, **{names[field]: OPTIONS[field] for field in names}}
        asked["settings"] = Settings

        @wraps(verb)
        def marked(what: str | None, settings: list[str] | None, **given: Any) -> None:
            from cfgen.experiments import experiment_of

            fields = {field: given.pop(name) for field, name in names.items()}
            verb(experiment_of(what, fields, settings or ()), **given)

        added = [_parameter(name, kind) for name, kind in asked.items()]
        kept = [each.replace(annotation=hints[each.name]) for each in own]
        marked.__signature__ = inspect.Signature([*added, *kept])  # type: ignore[attr-defined]
        marked.__annotations__ = {**asked, **hints}
        return marked

    return mark


def _name(field: str) -> str:
    return FLAGS[field].strip("-").replace("-", "_")


def _parameter(name: str, kind: Any) -> inspect.Parameter:
    place = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, place, default=None, annotation=kind)
