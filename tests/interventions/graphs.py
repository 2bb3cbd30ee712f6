"""Random graphs of runs: runs that read runs that read runs, with every kind of value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cfgen.errors import CfgenError
from cfgen.interventions import (
    HERE,
    Add,
    Affine,
    Block,
    Constant,
    Copy,
    Edit,
    Engine,
    Mix,
    Outcomes,
    Question,
    Read,
    Rotate,
    Run,
    Value,
    agree,
    check_runs,
    choose_engine,
    in_order,
)
from cfgen.lm import COMPONENTS, Layout, Place
from tests.interventions.tiny import lm_of

FAMILIES = (
    "llama",
    "gpt2",
    "gemma2",
    "gpt_neox",
    "mistral",
    "cohere",
    "opt-post-norm",
    "stablelm-parallel",
    "olmo3",
    "qwen3",
)
"""Grouped heads, learned positions, sliding windows, parallel blocks, norms behind, soft caps."""
LONGEST = 13
"""Longer than the sliding windows, which are 8."""
DEPTH = 3
EVERYTHING = Question(ranks=True, kl=True, vocabulary=True)

Choose = Callable[[Sequence[Any]], Any]
"""Chooses one of several things."""


@dataclass(slots=True)
class Maker:
    """Makes runs of one LM at random.

    Attributes:
        layout: Of the LM.
        choose: Where chance comes from.
        pool: The runs so far, which others may read.
        depth: How many runs lie behind each other at most.
    """

    layout: Layout
    choose: Choose
    pool: list[Run] = field(default_factory=list)
    depths: dict[Run, int] = field(default_factory=dict)

    def prompts(self) -> None:
        """Begin with clean runs: of equal and other lengths, of common and other beginnings."""
        first = self.tokens(self.choose((5, LONGEST, 9)))
        common = self.choose(range(len(first)))
        same = (*first[:common], *self.tokens(len(first) - common))
        other = (*first[: self.choose((0, 3))], *self.tokens(self.choose((1, 4, 8))))
        for prompt in (first, same, other):
            self.keep(Run(prompt))

    def tokens(self, count: int) -> tuple[int, ...]:
        return tuple(self.choose(range(4, 12)) for _ in range(count))

    def keep(self, run: Run) -> Run:
        behind = [self.depths[one] for one in run.sources]
        behind += [self.depths[run.base]] if run.base is not None else []
        self.depths.setdefault(run, 1 + max(behind, default=-1) if run.edits else 0)
        self.pool.append(run)
        return run

    def readable(self, length: int | None = None) -> list[Run]:
        """Runs that may be read: of a length, if that matters."""
        return [
            run
            for run in self.pool
            if self.depths[run] < DEPTH and (length is None or len(run.prompt) == length)
        ]

    def run(self) -> Run:
        """A further run: of a prompt, or of an earlier run's edits and others."""
        start = self.choose(self.readable())
        edits = [edit for _ in range(self.choose((1, 1, 2, 3))) for edit in self.edits(start)]
        match self.choose(("with", "with", "prompt", "mixed", "subset")):
            case "prompt":
                run = Run(start.prompt, tuple(edits))
            case "mixed":  # the base's edits, if it is one, need not come first
                run = Run(start.prompt, (*edits, *start.edits), start.base or start)
            case "subset":
                run = Run(start.prompt, (*start.edits[:-1], *edits), start.base or start)
            case _:
                run = start.with_(*edits)
        return self.keep(run)

    def edits(self, of: Run) -> list[Edit]:
        """An edit, or several that belong together."""
        prompt, every = of.prompt, tuple(range(len(of.prompt)))
        match self.choose(("edit",) * 6 + ("frozen", "knockout", "twice")):
            case "frozen":
                component = self.choose(("attn_out", "head_out", "mlp_out", "v", "attn_pattern"))
                source = self.choose([Run(prompt), *self.same_prompt(prompt)])
                first = self.choose(range(self.layout.layers))
                return [
                    Edit(Place(component, layer), every, Copy(source))
                    for layer in range(first, self.layout.layers)
                ]
            case "knockout":
                position = self.choose(every[1:] or every)
                keys = tuple(k for k in range(position) if self.choose((0, 0, 1)))
                if not keys:
                    return []
                first = self.choose(range(self.layout.layers))
                head = self.choose((None, None, 0, self.layout.heads - 1))
                return [
                    Edit(Place("attn_pattern", layer, head), (position,), Block(keys))
                    for layer in range(first, self.layout.layers)
                ]
            case "twice":
                place, positions = self.place(), self.positions(len(prompt))
                return [Edit(place, positions, self.value(place, positions, of)) for _ in range(2)]
        place, positions = self.place(), self.positions(len(prompt))
        return [Edit(place, positions, self.value(place, positions, of))]

    def same_prompt(self, prompt: tuple[int, ...]) -> list[Run]:
        return [run for run in self.readable() if run.prompt == prompt]

    def place(self) -> Place:
        name = self.choose(
            tuple(n for n in self.layout.components if not row(n).recomputed and n != "head_result")
        )
        layer = 0 if row(name).before_blocks else self.choose(range(self.layout.layers))
        if row(name).by_head and self.choose((0, 1)):
            return Place(name, layer, self.choose(range(self.layout.heads_of(name))))
        if row(name).by_neuron and self.choose((0, 1)):
            last = self.layout.size(row(name).axes[0]) - 1
            return Place(name, layer, neurons=self.choose(((0,), (7, 2, last), tuple(range(12)))))
        return Place(name, layer)

    def positions(self, length: int) -> tuple[int, ...]:
        if self.choose((0, 0, 0, 1)):
            return tuple(range(length))
        found = [self.choose(range(length)) for _ in range(self.choose((1, 1, 2, 4)))]
        return tuple(dict.fromkeys([*found, *([length - 1] if self.choose((0, 0, 1)) else [])]))

    def value(self, place: Place, positions: tuple[int, ...], of: Run) -> Value:
        length = len(of.prompt)
        size = self.layout.shape_of(place, length)
        count = torch.Size(size).numel()
        if place.row.over_keys:
            kind = self.choose(("copy", "copy", "constant", "mix", "block", "add"))
        else:
            kind = self.choose(("copy",) * 5 + ("constant", "add", "affine", "rotate", "mix"))
        match kind:
            case "constant":
                numbers = self.numbers(len(positions), *size)
                return Constant(numbers.softmax(-1) if place.row.over_keys else numbers)
            case "add":
                return Add(self.numbers(len(positions), *size) * 0.3)
            case "affine":
                unit = torch.eye(count)
                return Affine(unit * 0.5 + 0.1 * self.numbers(count, count), self.numbers(count))
            case "rotate":
                rank = self.choose((1, count))
                basis = torch.linalg.qr(self.numbers(count, rank)).Q
                weights = self.choose((None, self.numbers(rank).sigmoid()))
                return Rotate(basis, self.copy(place, positions, length), weights)
            case "mix":
                return self.mix(place, positions, of)
            case "block":
                first = min(positions)
                keys = tuple(k for k in range(length) if k != first and self.choose((0, 1)))
                return Block(keys) if keys else self.copy(place, positions, length)
        return self.copy(place, positions, length)

    def copy(self, place: Place, positions: tuple[int, ...], length: int) -> Copy:
        source = self.choose(self.readable(length if place.row.over_keys else None))
        return Copy(source, self.taken(positions, len(source.prompt)))

    def taken(self, positions: tuple[int, ...], length: int) -> tuple[int, ...] | None:
        if max(positions) < length and self.choose((0, 1, 1)):
            return None
        return tuple(self.choose(range(length)) for _ in positions)

    def mix(self, place: Place, positions: tuple[int, ...], of: Run) -> Mix:
        length = len(of.prompt)
        terms: list[tuple[float, Read]] = []
        for _ in range(self.choose((1, 2, 3))):
            weight = self.choose((1.0, -0.7, 0.4))  # which never add up to nothing
            other = self.choose([None, *self.readable(length if place.row.over_keys else None)])
            where = self.choose(list(self.alike(place, length)))
            if other is None:
                before = moment(where) < moment(place)
                read = HERE
                if before and not place.row.over_keys:
                    read = Read(None, self.taken(positions, length), where)
            else:
                read = Read(other, self.taken(positions, len(other.prompt)), where)
            terms.append((weight, read))
        return Mix(tuple(terms))

    def alike(self, place: Place, length: int) -> Iterator[Place]:
        """Places with the same shape."""
        yield place
        shape = self.layout.shape_of(place, length)
        for name in self.layout.components:
            if row(name).over_keys != place.row.over_keys or row(name).recomputed:
                continue
            for layer in range(1 if row(name).before_blocks else self.layout.layers):
                for head in (None, 0, 1) if row(name).by_head else (None,):
                    other = Place(name, layer, head)
                    if self.layout.shape_of(other, length) == shape:
                        yield other

    def numbers(self, *shape: int) -> Tensor:
        seed = self.choose(range(1000))
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(name: str) -> Any:
    return COMPONENTS[name]


def moment(place: Place) -> tuple[int, int]:
    if place.row.boundary == 0 and place.layer:
        return place.layer - 1, COMPONENTS["resid_post"].stage
    return place.layer, place.row.stage


def make_graph(name: str, choose: Choose, count: int) -> tuple[list[Run], list[Read]]:
    """Runs that are possible, and reads of some of them.

    Args:
        name: Family of the LM.
        choose: Where chance comes from.
        count: How many runs.
    """
    engine = choose_engine(lm_of(name), "reference")
    maker = Maker(engine.layout, choose)
    maker.prompts()
    made: list[Run] = []
    while len(made) < count:
        made.append(maker.run())
        try:
            check_runs(engine.layout, engine.facts, in_order(made[-1:]))
        except CfgenError as error:  # several blocks may leave nothing to look at
            if "blocked" not in str(error):
                raise
            maker.pool.remove(made[-1])
            made[-1] = maker.pool[0]
    reads = []
    for run in made[-2:]:
        for _ in range(2):
            reads.append(Read(run, maker.positions(len(run.prompt)), maker.place()))
    return made, reads


def agree_on(
    reference: Engine, packed: Engine, runs: Sequence[Run], reads: Sequence[Read]
) -> tuple[Outcomes, Outcomes]:
    """Execute runs and reads with two engines, which must come to the same."""
    tracked = [(5, 60, 17)] * len(runs)
    expected = reference.outcomes(runs, tracked, EVERYTHING)
    got = packed.outcomes(runs, tracked, EVERYTHING)
    assert expected.vocabulary is not None
    assert got.vocabulary is not None
    wrong = ~agree(expected.vocabulary, got.vocabulary, torch.float32)
    assert not wrong.any(), (wrong.tolist(), [runs[i] for i in wrong.nonzero()[:, 0]])
    assert expected.kl is not None
    assert torch.allclose(expected.kl, got.kl, rtol=1e-3, atol=1e-3), "divergence"
    for logits, tokens, ranks in zip(expected.vocabulary, tracked, got.ranks, strict=True):
        near = 2e-3 * logits.std()
        for token, rank in zip(tokens, ranks.tolist(), strict=True):
            fewest, most = (int((logits > logits[token] + d).sum()) for d in (near, -near))
            assert fewest <= rank <= most, "rank"
    for read, one, other in zip(reads, reference.values(reads), packed.values(reads), strict=True):
        size = max(1.0, float(one.abs().max()))
        assert float((one - other).abs().max()) <= 1e-3 * size, ("values", read)
    return expected, got
