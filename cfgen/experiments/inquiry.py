"""What is asked of one LM: an experiment with all that was looked up for it, without torch.

A repeated request is known by its key: what was asked, the pairs that it is asked about, with their
spans and predictions, and the files of the LM. Nothing else has to be loaded to find its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cfgen.counterfactuals import Site
from cfgen.datasets import (
    DatasetRecipe,
    PairSource,
    dataset_source,
    own_pairs_source,
    recipe,
    solve_words,
    split_shares,
    task_source,
)
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.consistency import missing_problem
from cfgen.experiments.definition import EXACT_GUIDES, Experiment, SiteOptions, SweepOptions
from cfgen.experiments.digests import digest_of
from cfgen.experiments.methods import METHODS
from cfgen.experiments.validation import check_experiment
from cfgen.experiments.vectors import SteeringVector, read_vector
from cfgen.lm import COMPONENTS, load_tokenizers
from cfgen.paths import plain_name
from cfgen.progress import Progress, no_progress
from cfgen.tasks import Task, load_task
from cfgen.weights import Checkpoint, UnknownModel, find_checkpoint

KEY = 2
"""Of what a key says; another number makes every request a new one."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked of an LM, with all that was looked up for it.

    Attributes:
        experiment: The question as it was put.
        source: The first pairs, and what is known of them.
        draw: Gives the first so many pairs.
        sites: Hypothesis -> the site where its variables are said to live.
        vector: What the user gave to be added, if anything.
    """

    experiment: Experiment
    source: PairSource
    draw: Callable[[int], PairSource]
    sites: Mapping[str, Site]
    vector: SteeringVector | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An inquiry to one LM, and what it is known by.

    Attributes:
        inquiry: What is asked.
        checkpoint: The files of the LM.
        facts: All that the answer depends on, as JSON has it.
    """

    inquiry: Inquiry
    checkpoint: Checkpoint
    facts: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Hash of the facts."""
        return digest_of(self.facts)

    @property
    def name(self) -> str:
        """Name of a folder for the answer."""
        source, experiment = self.inquiry.source, self.inquiry.experiment
        return folder_name(source.task, experiment.method, self.checkpoint.name, self.key)


def folder_name(task: str, method: str, model: str, key: str) -> str:
    """Name of the folder of a run; of an LM, the last part of its path, without ``gguf``.

    Raises:
        CfgenError: No folder can have this name (``unsafe-name``).
    """
    if model.startswith("gguf:"):
        model = model.removeprefix("gguf:").removesuffix(".gguf")
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2]).strip("-.")
    return plain_name(f"{task}-{method}-{last}-{key[:8]}", "the run")


def look_up(experiment: Experiment, progress: Progress = no_progress) -> Inquiry:
    """Find the pairs and sites of an experiment.

    Raises:
        CfgenError: Something that was named does not exist, or pairs cannot be made.
    """
    check_experiment(experiment)
    vector = None if experiment.vector is None else read_vector(Path(experiment.vector))
    task = None if experiment.task is None else load_task(experiment.task)
    experiment = _completed(experiment, task)
    draw = _drawing(experiment, task, progress)
    source = draw(experiment.n)
    method = METHODS[experiment.method]
    sites = _sites(experiment, source) if method.tests or method.effects else {}
    if experiment.guide:
        check_guided(sites)
    if experiment.guide in EXACT_GUIDES:
        check_neurons(experiment, sites)
    return Inquiry(experiment, source, draw, sites, vector)


def check_guided(sites: Mapping[str, Site]) -> None:
    """Check that what is done at sites can be estimated from gradients.

    Raises:
        CfgenError: States of several layers are changed together (``no-estimate``): the last
            overwrites what became of the others, of which gradients know nothing.
    """
    for name, site in sites.items():
        if site.layers != "each" and COMPONENTS[site.component].role == "stream":
            message = (
                f"{name} changes {site.component} in several layers at once ({site.layers}), which "
                "is not estimated: each layer overwrites what became of the one before"
            )
            hint = "use --sweep each, change attn_out, mlp_out or head_out, or leave --guide out"
            raise CfgenError(Problem("no-estimate", message, hint=hint))


def check_neurons(experiment: Experiment, sites: Mapping[str, Site]) -> None:
    """Check that single neurons are what is swapped.

    Raises:
        CfgenError: It is something else (``exact-without-neurons``).
    """
    alone = experiment.sweep.neurons is not None and experiment.method == "mediation"
    for site in sites.values():
        if not alone or site.component != "mlp_neuron" or site.layers != "each" or site.frozen:
            message = (
                f"`guide: {experiment.guide}` computes what single neurons of the MLPs mediate, "
                f"each by itself; this is {experiment.method} of {site.component}"
            )
            hint = (
                "say --method mediation --component mlp_neuron --neurons all, or use "
                "--guide attribution"
            )
            raise CfgenError(Problem("exact-without-neurons", message, hint=hint))


def make_request(
    inquiry: Inquiry,
    model: str | None,
    *,
    accept_license: bool = False,
    progress: Progress = no_progress,
) -> Request:
    """Find the files of an LM, fetching them if need be, and what the request is known by.

    Args:
        inquiry: What is asked.
        model: The LM; None for the one that pairs come with.
        accept_license: Whether the terms that it has are accepted.
        progress: Called with progress.

    Raises:
        CfgenError: There is no such LM, or it can't be fetched.
    """
    name = model or inquiry.source.default_model
    if name is None:
        message = "no LM is named, and the pairs come with none"
        hint = "name one with --model, or `models:` in the experiment"
        raise CfgenError(Problem("no-model", message, hint=hint))
    checkpoint = _checkpoint(inquiry, name, model is None, accept_license, progress)
    return as_request(inquiry, checkpoint)


def as_request(inquiry: Inquiry, checkpoint: Checkpoint) -> Request:
    """An inquiry to the LM of these files."""
    experiment = inquiry.experiment.model_copy(update={"models": (checkpoint.name,)})
    facts = {
        "format": KEY,
        # where pairs, and vectors, come from makes no difference to what is found with them
        **experiment.model_dump(mode="json", exclude=_SOURCES),
        "vector": inquiry.vector and inquiry.vector.digest,
        "task": inquiry.source.task,
        "pairs": inquiry.source.identity,
        "sites": {hypothesis: asdict(site) for hypothesis, site in inquiry.sites.items()},
        "revision": checkpoint.revision,
    }
    return Request(replace(inquiry, experiment=experiment), checkpoint, facts)


_SOURCES = {"task", "dataset", "pairs", "columns", "vector"}


def _checkpoint(
    inquiry: Inquiry, name: str, unnamed: bool, accept_license: bool, progress: Progress
) -> Checkpoint:
    """Find the LM; where the user did not name it, an error says who did."""
    try:
        return find_checkpoint(name, accept_license=accept_license, progress=progress)
    except UnknownModel as error:
        if not unnamed:
            raise
        message = f"task {inquiry.source.task!r} is run on {name!r} by default, which is not there"
        hint = "name another LM with --model; `cfgen models` lists those known by name"
        raise CfgenError(Problem("no-default-model", message, hint=hint)) from error


def _completed(experiment: Experiment, task: Task | None) -> Experiment:
    """An experiment with what its task says where it says nothing itself.

    Raises:
        CfgenError: Something that its method needs is said by neither (``experiment-value``).
    """
    method, said = METHODS[experiment.method], task.defaults if task else {}
    open_ = {*method.fields, "reuse_prompts"} - experiment.model_fields_set
    meant = {name: value for name, value in said.items() if name in open_}
    if meant:
        experiment = Experiment(**{**experiment.model_dump(exclude_unset=True), **meant})
    missing = [name for name in method.needs if not getattr(experiment, name)]
    if missing:
        raise CfgenError(missing_problem(method, name) for name in missing)
    return experiment


def _drawing(
    experiment: Experiment, task: Task | None, progress: Progress
) -> Callable[[int], PairSource]:
    """What gives pairs, from wherever the experiment says."""
    if experiment.dataset is not None:
        folder = Path(experiment.dataset)
        return lambda n: dataset_source(folder, split=experiment.split, n=n)
    if experiment.pairs is not None:
        pairs, columns = experiment.pairs, experiment.columns
        fewer = experiment.n == Experiment.model_fields["n"].default  # who says no number
        return lambda n: own_pairs_source(pairs, columns, n=n, fewer=fewer, split=experiment.split)
    assert task is not None  # there is one source
    made = recipe(
        task,
        experiment.n,
        design=experiment.design,
        seed=experiment.seed,
        templates=experiment.templates,
        fractions=split_shares(experiment.splits),
        balance=experiment.balance,
        reuse_prompts=experiment.reuse_prompts,
    )
    if experiment.tokenizers:
        made = _aligned(made, experiment, progress)
    return lambda n: task_source(replace(made, n=n), split=experiment.split, progress=progress)


def _aligned(made: DatasetRecipe, experiment: Experiment, progress: Progress) -> DatasetRecipe:
    """The recipe with only such words as align token by token under all tokenizers."""
    solution = solve_words(
        made.task,
        [made.design],
        load_tokenizers(experiment.tokenizers, progress),
        templates=experiment.templates,
        splits=sum(share > 0 for share in split_shares(experiment.splits).values()),
        progress=progress,
    )
    return replace(made, task=solution.task)


def _sites(experiment: Experiment, source: PairSource) -> dict[str, Site]:
    """The hypotheses to test, and where: those named, or else those that the design tells apart.

    Where effects are measured, one site under the name of the method.

    Raises:
        CfgenError: There is no such hypothesis, or nothing says where it lives; or none is named,
            and the design names none either (``nothing-to-test``).
    """
    method = METHODS[experiment.method]
    if method.effects:
        site = Site(component=experiment.sweep.component or method.component)
        return {method.name: _site(site, SiteOptions(), experiment.sweep)}
    named: dict[str, SiteOptions | None] = experiment.hypotheses or dict.fromkeys(source.tested)
    if not named:
        message = f"design {source.design!r} names no hypotheses to tell apart"
        hint = f"name some with --hypothesis: there is {', '.join(source.predicted)}"
        raise CfgenError(Problem("nothing-to-test", message, hint=hint))
    found = {}
    for name, options in named.items():
        site = Site() if options and name not in source.hypotheses else source.site(name)
        found[name] = _site(site, options or SiteOptions(), experiment.sweep)
    return found


def _site(site: Site, own: SiteOptions, sweep: SweepOptions) -> Site:
    """A site as an experiment has it: what it says of a hypothesis, else of all, else the task."""
    general = {"layers": sweep.layers, "component": sweep.component}
    changes = {**{k: v for k, v in general.items() if v}, **own.model_dump(exclude_none=True)}
    return replace(site, **changes)
