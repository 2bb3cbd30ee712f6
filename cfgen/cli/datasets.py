"""``cfgen generate``, ``power``, ``export``: datasets, how many pairs they need, other layouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cfgen.cli.behaves_with import BehavesWith, behaves_with
from cfgen.cli.options import (
    AcceptLicense,
    DecisiveOnly,
    Json,
    Out,
    ReusePrompts,
    Seed,
    TaskName,
    Templates,
)
from cfgen.cli.output import present, progress_shown, remark, write_json
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.datasets import AuditPlan, DatasetRecipe, PowerPlan
    from cfgen.documents import Document
    from cfgen.progress import Progress

DEFAULT_N = 1000

Iia = Annotated[
    float, typer.Option("--iia", help="Share of pairs as predicted, if the hypothesis holds.")
]
Against = Annotated[
    float, typer.Option("--against", help="Share to tell it from: chance, or a rival's.")
]
Cells = Annotated[
    int, typer.Option("--cells", help="Cells to be tested: layers times positions.", min=1)
]
Alpha = Annotated[
    float, typer.Option("--alpha", help="Accepted chance of a false finding in any cell.")
]
Correction = Annotated[
    str, typer.Option("--correction", help="For the number of cells: holm, bonferroni, sidak, none")
]
Keep = Annotated[
    float,
    typer.Option("--keep", help="Share of pairs expected to be answered correctly, and so kept."),
]


def generate(
    task: TaskName,
    out: Out,
    n: Annotated[
        int | None,
        typer.Option("-n", help="Number of pairs over all splits; 1000 if not given.", min=1),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(
            "--design",
            help="How pairs are made; the task's default design if not given. Several with commas "
            "between: -n pairs of each, in one folder.",
        ),
    ] = None,
    seed: Seed = 0,
    template: Templates = None,
    splits: Annotated[
        str, typer.Option("--splits", help="Shares of train, validation and test.")
    ] = "80/10/10",
    balance: Annotated[
        bool,
        typer.Option(
            "--balance",
            help="Use every value of every input equally often, and every word of a lexicon.",
            show_default=False,
        ),
    ] = False,
    reuse_prompts: ReusePrompts = False,
    coverage: Annotated[
        int,
        typer.Option("--coverage", help="Factors combined to count coverage.", min=1, max=4),
    ] = 2,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Make all pairs align token by token under this LM's tokenizer, with answers of "
            "one token; a name as --model takes it, or a tokenizer.json; repeat it for several.",
        ),
    ] = None,
    power: Annotated[
        float | None,
        typer.Option(
            "--power",
            help="Make so many pairs that the test split tells --iia from --against in --cells "
            "with this power (cfgen power).",
        ),
    ] = None,
    iia: Iia = 0.8,
    against: Against = 0.5,
    cells: Cells = 1,
    decisive_only: DecisiveOnly = False,
    behaves: BehavesWith = None,
    accept_license: AcceptLicense = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Also write JSON lines.")] = False,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            help="Processes to make it with; the files are the same for any number.",
            min=1,
        ),
    ] = 1,
    push_to_hub: Annotated[
        str | None,
        typer.Option("--push-to-hub", metavar="OWNER/NAME", help="Also upload it to the Hub."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository on the Hub a private one.")
    ] = False,
    json: Json = False,
) -> None:
    """Generate a Hugging Face dataset of pairs, and say what is in it.

    The splits share no word: an entity of one occurs in no other.
    """
    from cfgen.datasets import (
        AuditPlan,
        WordExclusion,
        check_repo,
        recipe,
        solve_words,
        split_shares,
        suite_recipes,
    )
    from cfgen.datasets import push_to_hub as upload
    from cfgen.lm import load_tokenizers
    from cfgen.tasks import candidates_of, load_task

    if push_to_hub:
        check_repo(push_to_hub)
    fractions = split_shares(splits)
    plan = None
    if power is not None:
        plan, n = planned(n, fractions, iia, against, cells, power)
    loaded = load_task(task)
    asked = [name.strip() for name in design.split(",")] if design is not None else [None]
    names = [loaded.design(name).name for name in asked]
    with progress_shown(quiet=json) as report:
        tokenizers = load_tokenizers(tokenizer or (), report, accept_license=accept_license)
        dropped: tuple[WordExclusion, ...] = ()
        if tokenizers:
            solution = solve_words(
                loaded,
                [loaded.design(name) for name in names],
                tokenizers,
                templates=template or (),
                splits=sum(share > 0 for share in fractions.values()),
                progress=report,
            )
            loaded, dropped = solution.task, solution.dropped
        made = recipe(
            loaded,
            n or DEFAULT_N,
            design=names[0],
            seed=seed,
            templates=template or (),
            fractions=fractions,
            balance=balance,
            decisive_only=decisive_only,
            reuse_prompts=reuse_prompts or None,
        )
        answered = (
            behaves_with(
                behaves,
                lambda pairs: candidates_of(loaded, pairs),
                accept_license=accept_license,
                progress=report,
            )
            if behaves
            else None
        )
        audits = AuditPlan(coverage, tokenizers, dropped, plan, answered)
        recipes = suite_recipes(made, names) if len(names) > 1 else [made]
        written = _written(recipes, out, audits, jsonl=jsonl, workers=workers, progress=report)
        url = None
        if push_to_hub:
            report("upload", 0, None)
            url = upload(out, push_to_hub, private=private)
    if json:
        write_json({**written.record, "folder": str(out.absolute()), "url": url})
        return
    present(written.summary(out, url))
    if written.found:
        remark(f"made before: {display(out)} holds this very dataset; nothing was written")


class WrittenPairs(NamedTuple):
    """What ``generate`` has to show.

    Attributes:
        record: What the manifest says; with several designs, that of each as well.
        summary: From the folder, and an address on the Hub, to what is printed.
        found: Whether it was there already.
    """

    record: dict[str, Any]
    summary: Callable[[Path, str | None], Document]
    found: bool


def _written(
    recipes: Sequence[DatasetRecipe],
    out: Path,
    plan: AuditPlan,
    *,
    jsonl: bool,
    workers: int,
    progress: Progress,
) -> WrittenPairs:
    """The dataset, or the datasets of several designs; written unless they are there."""
    from cfgen.datasets import (
        dataset_summary,
        find_dataset,
        find_suite,
        suite_summary,
        write_dataset,
        write_suite,
    )

    if len(recipes) == 1:
        there = find_dataset(recipes[0], out, jsonl=jsonl, plan=plan)
        manifest = there or write_dataset(
            recipes[0], out, jsonl=jsonl, workers=workers, progress=progress, plan=plan
        )
        record = manifest.model_dump(mode="json")
        return WrittenPairs(record, partial(dataset_summary, manifest), there is not None)
    known = find_suite(recipes, out, jsonl=jsonl, plan=plan)
    suite = known or write_suite(
        recipes, out, jsonl=jsonl, workers=workers, progress=progress, plan=plan
    )
    each = [manifest.model_dump(mode="json") for manifest in suite.datasets]
    record = {**suite.manifest.model_dump(mode="json"), "datasets": each}
    return WrittenPairs(record, partial(suite_summary, suite), known is not None)


def planned(
    n: int | None, fractions: dict[str, float], iia: float, against: float, cells: int, power: float
) -> tuple[PowerPlan, int]:
    """The plan, and so many pairs over all splits that the last one has what it needs.

    Raises:
        CfgenError: If ``-n`` is given as well (``bad-plan``), or nothing can be planned.
    """
    from cfgen.datasets import plan_power

    if n is not None:
        message, hint = "-n and --power both say how many pairs", "give one of them"
        raise CfgenError(Problem("bad-plan", message, hint=hint))
    plan = plan_power(iia, against, cells=cells, power=power)
    last = [share for share in fractions.values() if share][-1] / sum(fractions.values())
    return plan, math.ceil(round(plan.draw / last, 6))


def power(
    iia: Iia = 0.8,
    against: Against = 0.5,
    cells: Cells = 1,
    power: Annotated[
        float, typer.Option("--power", help="Wanted chance of finding what is there.")
    ] = 0.9,
    alpha: Alpha = 0.05,
    correction: Correction = "holm",
    keep: Keep = 1.0,
    json: Json = False,
) -> None:
    """Say how many pairs tell one IIA from another, corrected for the number of cells tested.

    For the exact one-sided binomial test in every cell; nothing is approximated.
    """
    from cfgen.datasets import plan_power, power_text

    plan = plan_power(
        iia, against, cells=cells, power=power, alpha=alpha, correction=correction, keep=keep
    )
    if json:
        write_json(asdict(plan))
        return
    present(power_text(plan), wrap=False)


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
    decisive_only: DecisiveOnly = False,
    behaves: BehavesWith = None,
    accept_license: AcceptLicense = False,
    json: Json = False,
) -> None:
    """Write a dataset for another tool: one JSON lines file per split."""
    from cfgen.datasets import candidates_in
    from cfgen.datasets import export as write
    from cfgen.lm import checked_encoder, load_tokenizer

    with progress_shown(quiet=json) as report:
        encode = None
        if tokenizer:
            loaded = load_tokenizer(tokenizer, accept_license=accept_license, progress=report)
            encode = (tokenizer, checked_encoder(loaded))
        answered = (
            behaves_with(
                behaves, candidates_in(dataset), accept_license=accept_license, progress=report
            )
            if behaves
            else None
        )
        made = write(
            dataset,
            to,
            out,
            label=label,
            tokenizer=encode,
            answered=answered,
            decisive_only=decisive_only,
            progress=report,
        )
    if json:
        record = asdict(made)
        del record["found"]  # the same is printed, whoever made it
        write_json({**record, "folder": str(out.absolute())})
        return
    rows = ", ".join(f"{split} {count:,}" for split, count in made.rows.items())
    present(
        f"{display(out)} has the pairs for {made.tool} ({rows}); "
        f"labels: what {made.label} predicts"
        + ("; decisive ones alone" if decisive_only else "")
        + (f"; only those that {behaves} answers rightly on both sides" if behaves else ""),
        wrap=False,
    )
    if made.found:
        remark(f"made before: {display(out)} holds this very export; nothing was written")
