"""A circuit: edges that were chosen, with what they were chosen by; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cfgen.bounded import read_json
from cfgen.circuits.graph import CircuitGraph, Edge, EdgeMask, EdgeScores, layer_of
from cfgen.circuits.selection import Ranking, Selection, nodes_of
from cfgen.errors import CfgenError, Problem
from cfgen.faces import found_later
from cfgen.folders import write_file
from cfgen.paths import display

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cfgen.interventions import Edit, Run

MOST = 512
"""Layers, and heads of each, that an LM may have; what a file says is not followed beyond."""


class Circuit(BaseModel):
    """Some edges of an LM. There may be others that do as well: it is one circuit of several.

    Attributes:
        format: Of the file.
        model: Name of the LM.
        revision: Which weights exactly.
        task: What it was looked for on.
        design: How the pairs were made.
        layers: How many blocks the LM has.
        heads: Query heads of each.
        parallel: Whether the MLP of a block is not given what the block's own attention adds.
        factor: What the outputs of heads and MLPs are multiplied by before they are added.
        measure: What edges are worth something for.
        steps: Of the integrated gradients that estimated it.
        ranking: By what the best were chosen.
        selection: From where.
        percent: How many percent of all edges were chosen; those on no way from the input to the
            logits are left out.
        pairs: Ids of the pairs that were seen when edges were chosen; it must not be judged by
            them.
        edges: Senders and receivers.
        scores: What corrupting each edge was estimated to take away from the measure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["cfgen-circuit-1"] = "cfgen-circuit-1"
    model: str
    revision: str
    task: str
    design: str
    layers: int = Field(ge=1, le=MOST)
    heads: int = Field(ge=1, le=MOST)
    parallel: bool
    factor: float
    measure: str
    steps: int
    ranking: Ranking
    selection: Selection
    percent: float
    pairs: tuple[str, ...]
    edges: tuple[Edge, ...]
    scores: tuple[float, ...]

    @model_validator(mode="after")
    def _as_written(self) -> Self:
        if len(self.scores) != len(self.edges) or len({*self.edges}) != len(self.edges):
            raise ValueError("an edge twice, or scores of others")
        return self

    @property
    def graph(self) -> CircuitGraph:
        """All edges of the LM."""
        return CircuitGraph(self.layers, self.heads, self.parallel, self.factor)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that its edges connect, in the order in which they come by."""
        order = {name: number for number, name in enumerate(self.graph.nodes)}
        return tuple(sorted(nodes_of(self.edges), key=order.__getitem__))

    def mask(self) -> EdgeMask:
        """Its edges, as a mask over all of the LM."""
        return self.graph.mask(self.edges)

    def check_unseen(self, pairs: Iterable[str]) -> None:
        """Check that a circuit is not judged by pairs that it was chosen by.

        Args:
            pairs: Ids of the pairs.

        Raises:
            CfgenError: It was chosen by one of them (``circuit-saw-pair``).
        """
        seen = sorted({*pairs} & {*self.pairs})
        if seen:
            message = f"{len(seen)} of these pairs were used to choose the edges, such as {seen[0]}"
            hint = "measure it on other pairs, such as those of another --seed or --split"
            raise CfgenError(Problem("circuit-saw-pair", message, hint=hint))

    def keep(self, corrupted: Run, positions: Sequence[int]) -> tuple[Edit, ...]:
        """Edits of a clean run that leave only this circuit: every other edge is corrupted.

        There are as many reads as edges outside: good for small LMs; for large ones, `cfgen run`
        makes all at once.

        Args:
            corrupted: The corrupted run, of as many tokens.
            positions: The tokens at which edges are corrupted.
        """
        return self._edits(~self.mask(), corrupted, positions)

    def ablate(self, corrupted: Run, positions: Sequence[int]) -> tuple[Edit, ...]:
        """Edits of a clean run that corrupt this circuit, and leave every other edge.

        Args:
            corrupted: The corrupted run, of as many tokens.
            positions: The tokens at which edges are corrupted.
        """
        return self._edits(self.mask(), corrupted, positions)

    def _edits(self, mask: EdgeMask, corrupted: Run, positions: Sequence[int]) -> tuple[Edit, ...]:
        from cfgen.circuits.edits import corrupting_edits

        edges = self.graph.chosen(np.flatnonzero(mask))
        return corrupting_edits(self.graph, edges, corrupted, positions)

    def dot(self) -> str:
        """It as Graphviz text, from the input at the bottom to the logits at the top."""
        lines = ["digraph circuit {", "  rankdir=BT;", "  node [shape=box, fontsize=10];"]
        levels: dict[float, list[str]] = {}
        for node in self.nodes:
            levels.setdefault(layer_of(node, self.layers), []).append(node)
        for level in sorted(levels):
            named = " ".join(f'"{node}";' for node in levels[level])
            lines.append(f"  {{ rank=same; {named} }}")
        for edge, score in zip(self.edges, self.scores, strict=True):
            part = edge.receiver.removeprefix(edge.node).lstrip(".")
            label = f'label="{part}", ' if part else ""
            about = f'{label}color="{colour_of(score)}", tooltip="{score:.4g}"'
            lines.append(f'  "{edge.sender}" -> "{edge.node}" [{about}];')
        return "\n".join([*lines, "}"]) + "\n"

    def plot(self) -> Figure:
        """It as a picture.

        Raises:
            CfgenError: matplotlib is not installed (``no-matplotlib``).
        """
        figure: Figure = found_later("cfgen.report", "circuit_figure")(self)
        return figure

    def save(self, path: Path) -> None:
        """Write it to a file that there is not, or that holds the same.

        Raises:
            CfgenError: The file holds something else, or can't be written.
        """
        write_file(path, self.text().encode())

    def text(self) -> str:
        """It as JSON."""
        return self.model_dump_json(indent=1) + "\n"

    def __repr__(self) -> str:
        return (
            f"Circuit({self.task}, {self.model}, {len(self.edges)} edges, {len(self.nodes)} nodes)"
        )

    def _repr_html_(self) -> str:
        """The picture, in a notebook."""
        figure: Any = self.plot()
        shown: str = figure._repr_svg_()
        return shown


def colour_of(score: float) -> str:
    """The colour of an edge: blue if it speaks for the answer, orange if against it."""
    return "#0072B2" if score >= 0 else "#D55E00"


def read_circuit(path: Path) -> Circuit:
    """The circuit in a file, or in the folder of a run.

    Raises:
        CfgenError: There is none, or it is not as cfgen writes it (``no-circuit``).
    """
    file = path / CIRCUIT_FILE if path.is_dir() else path
    try:
        found = Circuit.model_validate(read_json(file))
        found.mask()
    except (OSError, ValueError, CfgenError) as error:
        message = f"{display(file)} holds no circuit"
        hint = "name the circuit.json of a run: cfgen run TASK --method circuit"
        raise CfgenError(Problem("no-circuit", message, hint=hint)) from error
    return found


CIRCUIT_FILE, DOT_FILE = "circuit.json", "circuit.dot"


def chosen_circuit(
    graph: CircuitGraph, mask: EdgeMask, scores: EdgeScores, **about: Any
) -> Circuit:
    """A circuit of some edges.

    Args:
        graph: All edges of the LM.
        mask: Those that are in it.
        scores: Of all edges.
        **about: What else is to be said of it.
    """
    numbers = np.flatnonzero(mask)
    ordered = numbers[np.argsort(-np.abs(scores[numbers]), kind="stable")]
    return Circuit(
        layers=graph.layers,
        heads=graph.heads,
        parallel=graph.parallel,
        factor=graph.factor,
        edges=tuple(graph.chosen(ordered)),
        scores=tuple(float(scores[number]) for number in ordered),
        **about,
    )
