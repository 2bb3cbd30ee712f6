"""What is asked from Python: a run, and what came out of it, which shows itself in a notebook."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.errors import CfgenError, Problem
from cfgen.experiments import (
    OUTPUTS,
    RUNS,
    Experiment,
    PartialRun,
    Results,
    answer,
    experiment_of,
    look_up,
    make_request,
)
from cfgen.folders import write_file
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.tasks import Task

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


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
        """What the LM said: a row per pair, site and layer."""
        import pandas

        return pandas.read_parquet(self.folder / OUTPUTS)

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
        from cfgen.report import figure_bytes, figure_of, sentences

        picture = figure_bytes(figure_of(self.results), "svg").decode().partition("<svg")
        said = "".join(f"<li>{html.escape(line)}</li>" for line in sentences(self.results))
        return f"<div>{picture[1]}{picture[2]}<ul>{said}</ul></div>"


def run(
    what: str | Path | Task | Experiment | Sequence[Mapping[str, Any]] | pandas.DataFrame,
    *,
    model: str | None = None,
    out: str | Path | None = None,
    again: bool = False,
    accept_license: bool = False,
    progress: Progress = no_progress,
    **fields: Any,
) -> Result:
    """Test hypotheses on an LM, or show what came out when that was done before.

    Args:
        what: A task, or its name; an experiment, or the path of its file (``.yaml``); the folder of
            a dataset; or pairs of one's own as a list of rows, or a table of them (docs/pairs.md).
        model: Name of the LM, as ``cfgen run --model`` takes it; the task's default if not given.
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
    experiment = _experiment(what, {**fields, **({"models": (model,)} if model else {})})
    if len(experiment.models) > 1:
        message = f"{len(experiment.models)} LMs are named, each of which has its own answer"
        hint = "call cfgen.run once for each, with model="
        raise CfgenError(Problem("several-models", message, hint=hint))
    inquiry = look_up(experiment, progress)
    name = experiment.models[0] if experiment.models else None
    request = make_request(inquiry, name, accept_license=accept_license, progress=progress)
    found = answer(request, Path(out) if out else None, again=again, progress=progress)
    assert not isinstance(found, PartialRun)  # nothing was left to others
    return Result(found.results, found.folder)


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
