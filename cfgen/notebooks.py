"""What is asked from Python: a run, and what came out of it, which shows itself in a notebook."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from cfgen.causal import CausalModel
from cfgen.circuits import CircuitRun, find_circuits
from cfgen.counterfactuals import Pair
from cfgen.datasets import recipe, task_source
from cfgen.documents import Document, Facts, Listing, Paragraph, faint, html
from cfgen.errors import CfgenError, Problem
from cfgen.experiments import (
    CONTINUATIONS_FILE,
    EFFECTS_FILE,
    METHODS,
    OUTPUTS,
    RUNS,
    Experiment,
    PartialRun,
    Results,
    answer,
    as_request,
    experiment_of,
    look_up,
    make_request,
)
from cfgen.folders import write_file
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.tasks import Task
from cfgen.weights import Checkpoint

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from cfgen.lm import LM


SHOWN = 8
"""How many pairs a notebook shows."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What came out of a run.

    Attributes:
        results: All numbers, with what they depend on.
        folder: Where they are written.
    """

    results: Results
    folder: Path

    def to_pandas(self) -> pandas.DataFrame:
        """The cells: a row per hypothesis, site and layer."""
        import pandas

        return pandas.DataFrame([asdict(cell) for cell in self.results.cells])

    def outputs(self) -> pandas.DataFrame:
        """What the LM said: a row per pair, site and layer.

        Raises:
            CfgenError: Effects were measured instead (``no-outputs``).
        """
        if METHODS[self.results.experiment.method].effects:
            message = "this run measured effects, and what the LM said is no part of them"
            hint = "result.effects() has the effects of every pair"
            raise CfgenError(Problem("no-outputs", message, hint=hint))
        return self._table(OUTPUTS)

    def effects(self) -> pandas.DataFrame:
        """Effects: a row per pair, place, effect and measure.

        Raises:
            CfgenError: Hypotheses were tested instead (``no-outputs``).
        """
        if not METHODS[self.results.experiment.method].effects:
            message = "this run tested hypotheses, and measured no effects"
            hint = "result.outputs() has what the LM said; a method that measures effects is "
            hint += "mediation: method='mediation'"
            raise CfgenError(Problem("no-outputs", message, hint=hint))
        return self._table(EFFECTS_FILE)

    def continuations(self) -> pandas.DataFrame:
        """How the LM goes on: a row per pair and place, unchanged and changed.

        Raises:
            CfgenError: It was not asked to (``no-outputs``).
        """
        if not self.results.experiment.generate:
            message = "in this run, the LM did not go on after changes"
            hint = "ask for some tokens: generate=20"
            raise CfgenError(Problem("no-outputs", message, hint=hint))
        return self._table(CONTINUATIONS_FILE)

    def _table(self, name: str) -> pandas.DataFrame:
        import pandas

        return pandas.read_parquet(self.folder / name)

    def plot(self, measure: str | None = None) -> Figure:
        """The layers as curves, or maps where the sweep goes over heads or tokens.

        Args:
            measure: What is drawn; the first one that was asked for if not given.

        Raises:
            CfgenError: As :func:`cfgen.report.figure_of`.
        """
        from cfgen.report import figure_of

        return figure_of(self.results, measure)

    def __repr__(self) -> str:
        found = self.results
        return (
            f"Result({found.task}, {found.design}, {found.model}, n={found.n}, kept={found.kept}, "
            f"cells={len(found.cells)}, folder='{display(self.folder)}')"
        )

    def _repr_html_(self) -> str:
        """The figure, and in words where each hypothesis did best."""
        from cfgen.report import figure_of, sentences

        said = html(Document((Listing(tuple(sentences(self.results))),)))
        return f"<div>{_svg(figure_of(self.results))}{said}</div>"


@dataclass(frozen=True, slots=True, repr=False)
class Pairs(Sequence[Pair]):
    """Pairs that were drawn.

    Attributes:
        pairs: The pairs.
        tested: The hypotheses that they are meant to tell apart.
    """

    pairs: tuple[Pair, ...]
    tested: tuple[str, ...]

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Pairs: ...
    def __getitem__(self, index: int | slice) -> Pair | Pairs:
        """One of the pairs, or some of them."""
        if isinstance(index, slice):
            return Pairs(self.pairs[index], self.tested)
        return self.pairs[index]

    def __len__(self) -> int:
        return len(self.pairs)

    def to_pandas(self) -> pandas.DataFrame:
        """A row per pair: prompts, answers, what each hypothesis predicts."""
        import pandas

        rows = [
            {
                "id": pair.id,
                "original": pair.original.prompt.text,
                "counterfactual": pair.counterfactual.prompt.text,
                "original_answer": pair.original.answer,
                "counterfactual_answer": pair.counterfactual.answer,
                **{f"predicts.{name}": answer for name, answer in pair.predictions.items()},
                "decisive": pair.decisive,
            }
            for pair in self.pairs
        ]
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        if not self.pairs:
            return "Pairs(none)"
        decisive = sum(pair.decisive for pair in self.pairs)
        first = self.pairs[0]
        return f"Pairs({first.task}, {first.design}, n={len(self.pairs)}, decisive={decisive})"

    def _repr_html_(self) -> str:
        from cfgen.report import pair_view

        shown = [
            block for pair in self.pairs[:SHOWN] for block in pair_view(pair, self.tested).blocks
        ]
        if len(self.pairs) > SHOWN:
            shown.append(Paragraph(faint(f"and {len(self.pairs) - SHOWN} more")))
        return html(Document(tuple(shown)))


def sample(
    task: Task, n: int, *, design: str | None, seed: int, split: str, templates: Sequence[str]
) -> Pairs:
    """Draw pairs of a task; see :meth:`cfgen.tasks.Task.sample`."""
    if type(n) is not int or n < 1:
        message = f"task.sample takes a number of pairs, not {n!r}"
        raise CfgenError(Problem("bad-count", message, hint="ask for one pair or more"))
    made = recipe(task, n, design=design, seed=seed, templates=templates)
    source = task_source(made, split=split)
    return Pairs(source.pairs, source.tested)


def pair_html(pair: Pair) -> str:
    """A pair, with all that is predicted for it."""
    from cfgen.report import pair_view

    return html(pair_view(pair))


def model_html(model: CausalModel) -> str:
    """A causal model as a picture, or in words where it can't be drawn."""
    from cfgen.report import graph_figure

    try:
        return _svg(graph_figure(model))
    except CfgenError:  # there is no matplotlib
        parents = model.graph().parents
        rows = tuple((name, f"<- {', '.join(of)}") for name, of in parents.items() if of)
        return html(Document((Facts(rows),)))


def task_html(task: Task) -> str:
    """Everything about a task, with a picture of its causal model."""
    from cfgen.report import task_view

    return f"<div>{model_html(task.causal_model)}{html(task_view(task))}</div>"


def _svg(figure: Figure) -> str:
    """A figure as the element of a page."""
    from cfgen.report import figure_bytes

    _, tag, rest = figure_bytes(figure, "svg").decode().partition("<svg")
    return f'{tag} style="max-width:100%;height:auto"{rest}'


def run(
    what: str | Path | Task | Experiment | Sequence[Mapping[str, Any]] | pandas.DataFrame,
    *,
    model: str | LM | None = None,
    out: str | Path | None = None,
    again: bool = False,
    accept_license: bool = False,
    progress: Progress = no_progress,
    **fields: Any,
) -> Result | CircuitRun:
    """Test hypotheses on an LM, or show what came out when that was done before.

    Args:
        what: A task, or its name; an experiment, or the path of its file (``.yaml``); the folder of
            a dataset; or pairs of one's own as a list of rows, or a table of them (docs/pairs.md).
        model: Name of the LM, as ``cfgen run --model`` takes it, or what :func:`cfgen.load_lm`
            gave; the task's default if not given.
        out: Folder for the results; one below ``runs`` if not given.
        again: Whether to ask anew, beside an answer that is there.
        accept_license: Whether the terms of the LM are accepted.
        progress: Called with progress.
        fields: Fields of :class:`cfgen.experiments.Experiment`, such as ``n`` or ``design``; those
            within ``sweep`` and ``engine`` as ``sweep={"over": "20-29"}``.

    Raises:
        CfgenError: Something that was asked for is wrong, or a check failed; or several LMs are
            named (``several-models``), each of which has an answer of its own.
    """
    if out is not None and not isinstance(out, str | Path):
        message = f"out= takes the name of a folder, not {type(out).__name__}"
        raise CfgenError(Problem("cannot-run", message, hint="leave it out for one below runs/"))
    lm = None if model is None or isinstance(model, str) else _checked(model)
    if lm is not None:
        own = {"device": str(lm.device), "dtype": lm.dtype_name}
        fields["engine"] = {**fields.get("engine", {}), **own}
    asked = lm.name if lm else model
    experiment = _experiment(what, {**fields, **({"models": (asked,)} if asked else {})})
    if len(experiment.models) > 1:
        message = f"{len(experiment.models)} LMs are named, each of which has its own answer"
        hint = "call cfgen.run once for each, with model="
        raise CfgenError(Problem("several-models", message, hint=hint))
    inquiry = look_up(experiment, progress)
    name = experiment.models[0] if experiment.models else None
    if lm is not None:
        request = as_request(inquiry, Checkpoint(lm.name, Path(lm.name), (), lm.revision))
    else:
        request = make_request(inquiry, name, accept_license=accept_license, progress=progress)
    folder = Path(out) if out else None
    if experiment.method == "circuit":
        made = find_circuits(request, folder, again=again, lm=lm, progress=progress)
        assert not isinstance(made, PartialRun)  # it had all the time that it took
        return made
    found = answer(request, folder, again=again, lm=lm, progress=progress)
    assert not isinstance(found, PartialRun)  # nothing was left to others
    return Result(found.results, found.folder)


def _checked(model: object) -> LM:
    from cfgen.lm import LM

    if isinstance(model, LM):
        return model
    message = f"model= takes the name of an LM, not {type(model).__name__}"
    hint = "give a name (`cfgen models` lists those known), or what cfgen.load_lm(NAME) gives"
    raise CfgenError(Problem("cannot-run", message, hint=hint))


def _experiment(what: object, fields: dict[str, Any]) -> Experiment:
    if isinstance(what, Experiment):
        return experiment_of(None, {**what.model_dump(exclude_unset=True), **fields})
    if isinstance(what, Task):
        return experiment_of(str(what.path), fields)
    if isinstance(what, str | Path):
        if Path(what).is_dir():
            return experiment_of(None, {"dataset": str(what), **fields})
        return experiment_of(str(what), fields)
    if hasattr(what, "to_dict") or isinstance(what, list | tuple):
        return experiment_of(None, {"pairs": str(_as_file(what)), **fields})
    kind = type(what).__name__
    message = f"cfgen.run takes a task, an experiment, a dataset or rows of pairs, not {kind}"
    hint = "give the name of a task, cfgen.load_task(NAME), or the path of a file"
    raise CfgenError(Problem("cannot-run", message, hint=hint))


def _as_file(rows: Any) -> Path:
    """A file of these rows, named after what it says: an experiment has to be able to name it."""
    listed = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
    try:
        text = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in listed)
    except (TypeError, ValueError) as error:
        message = f"these are no rows of pairs: {error}"
        hint = "a row is a dictionary of texts, such as {'original': ..., 'original_answer': ...}"
        raise CfgenError(Problem("cannot-run", message, hint=hint)) from error
    name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    path = RUNS / f"pairs-{name}.jsonl"
    write_file(path, text.encode("utf-8", "surrogatepass"))
    return path
