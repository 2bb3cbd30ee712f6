"""Every kind of value against a forward that is written out: both engines must give its logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from cfgen.interventions import (
    HERE,
    Add,
    Affine,
    Block,
    Constant,
    Copy,
    Edit,
    Mix,
    Question,
    Read,
    Rotate,
    Run,
    choose_engine,
)
from cfgen.lm import COMPONENTS, Place, find_layout
from tests.interventions.plain_loop import FAMILIES, Plain, plain
from tests.interventions.tiny import lm_of
from tests.sampling import one_in

A = (7, 30, 12, 55, 7, 61, 40, 22, 19, 80)
B = (90, 30, 41, 17, 66, 8, 33, 5, 71, 28, 14, 50)
"""Longer than the sliding windows, and not of one length."""
POSITIONS, SOURCES = (6, 2, 9), (3, 11, 9)
LAYERS = 4
ALONE = ("embed", "pos_embed")


def clean(name: str, prompt: Sequence[int]) -> Plain:
    return plain(name, lm_of(name).model, prompt)


def changed(name: str, prompt: Sequence[int], *changes: tuple[Place, Callable[[Tensor], Tensor]]):
    """The prompt with changes to places, of which one head's is a part of the component."""
    table = {}
    for place, change in changes:
        former = table.get((place.component, place.layer), lambda tensor: tensor)

        def both(tensor: Tensor, place=place, change=change, former=former) -> Tensor:
            tensor = former(tensor).clone()
            part = tensor if place.head is None else tensor[:, place.head]
            part = part[:, list(place.neurons)] if place.neurons else part
            new = change(part.clone())
            if place.neurons:
                tensor[:, list(place.neurons)] = new
            elif place.head is not None:
                tensor[:, place.head] = new
            else:
                tensor = new
            return tensor

        table[place.component, place.layer] = both
    return plain(name, lm_of(name).model, prompt, table)


def put(positions: Sequence[int], values: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A change of some positions: what is there (positions, *shape) becomes what is given."""

    def change(tensor: Tensor) -> Tensor:
        tensor[list(positions)] = values(tensor[list(positions)])
        return tensor

    return change


def seen(found: Plain, place: Place, positions: Sequence[int]) -> Tensor:
    tensor = found.seen[place.component, place.layer][list(positions)]
    tensor = tensor if place.head is None else tensor[:, place.head]
    return tensor[:, list(place.neurons)] if place.neurons else tensor


def check(name: str, cases: Sequence[tuple[Run, Plain]], least: float = 0.7) -> None:
    """Both engines give the logits of the plain loop, which the edits have changed."""
    runs, expected = [run for run, _ in cases], torch.stack([found.logits for _, found in cases])
    scale = expected.std(-1).clamp(min=1)
    for engine in ("reference", "packed"):
        found = choose_engine(lm_of(name), engine).outcomes(
            runs, question=Question(vocabulary=True)
        )
        off = (found.vocabulary - expected).abs().amax(-1) / scale
        wrong = [f"{off[i]:.2g}: {runs[i].edits}" for i in (off > 1e-4).nonzero().flatten()]
        assert not wrong, "\n".join([engine, *wrong[:3]])
        assert len(found) == len(runs)
    unchanged = torch.stack([clean(name, run.prompt).logits for run in runs])
    assert float(((expected - unchanged).abs().amax(-1) / scale > 1e-3).float().mean()) >= least


def places(name: str, *, keys: bool = False) -> list[Place]:
    """Every component that is written, in two layers: whole, one head, some neurons."""
    layout = find_layout(lm_of(name).model)
    found = []
    for component in layout.components:
        row = COMPONENTS[component]
        if row.recomputed or component == "head_result" or (row.over_keys and not keys):
            continue
        for layer in (0,) if component in ALONE else (0, 2):
            found.append(Place(component, layer))
            if row.by_head:
                found.append(Place(component, layer, head=layout.heads_of(component) - 1))
            if row.by_neuron:
                found.append(Place(component, layer, neurons=(5, 0, 31)))
    return found


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def shape(name: str, place: Place) -> tuple[int, ...]:
    return find_layout(lm_of(name).model).shape_of(place, len(A))


@pytest.mark.parametrize("name", FAMILIES)
def test_clean(name: str) -> None:
    check(name, [(Run(prompt), clean(name, prompt)) for prompt in (A, B)], least=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_copy(name: str) -> None:
    other, cases = clean(name, B), []
    for place in places(name):
        values = seen(other, place, SOURCES)
        run = Run(A, (Edit(place, POSITIONS, Copy(Run(B), SOURCES)),))
        cases.append((run, changed(name, A, (place, put(POSITIONS, lambda _, v=values: v)))))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_copy_of_an_attention_pattern(name: str) -> None:
    other, cases = clean(name, B[: len(A)]), []
    for place in (Place("attn_pattern", 1), Place("attn_pattern", 0, 2)):
        values = seen(other, place, (5, 9))
        run = Run(A, (Edit(place, (5, 9), Copy(Run(B[: len(A)]))),))
        cases.append((run, changed(name, A, (place, put((5, 9), lambda _, v=values: v)))))
    check(name, cases)


@pytest.mark.parametrize("name", one_in(2, FAMILIES))
def test_constant(name: str) -> None:
    cases = []
    for place in places(name, keys=True):
        values = numbers(len(POSITIONS), *shape(name, place))
        values = values.softmax(-1) if place.row.over_keys else values
        run = Run(A, (Edit(place, POSITIONS, Constant(values)),))
        cases.append((run, changed(name, A, (place, put(POSITIONS, lambda _, v=values: v)))))
    check(name, cases)


@pytest.mark.parametrize("name", one_in(2, FAMILIES))
def test_add(name: str) -> None:
    cases = []
    for place in places(name, keys=True):
        values = numbers(len(POSITIONS), *shape(name, place)) * 0.5
        run = Run(A, (Edit(place, POSITIONS, Add(values)),))
        cases.append((run, changed(name, A, (place, put(POSITIONS, lambda x, v=values: x + v)))))
    check(name, cases)


@pytest.mark.parametrize("name", one_in(2, FAMILIES))
def test_affine(name: str) -> None:
    cases = []
    for place in places(name):
        size = torch.Size(shape(name, place)).numel()
        matrix, offset = numbers(size, size) / size**0.5, numbers(size)
        run = Run(A, (Edit(place, POSITIONS, Affine(matrix, offset)),))

        def values(x: Tensor, m: Tensor = matrix, o: Tensor = offset) -> Tensor:
            return torch.stack([(m.T @ row.flatten() + o).view(row.shape) for row in x])

        cases.append((run, changed(name, A, (place, put(POSITIONS, values)))))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("weighted", one_in(2, [True, False]))
def test_rotate(name: str, weighted: bool) -> None:
    other, cases = clean(name, B), []
    for place in places(name):
        size = torch.Size(shape(name, place)).numel()
        rank = min(2, size)
        basis = torch.linalg.qr(numbers(size, rank)).Q
        weights = torch.tensor([0.3, 0.8])[:rank] if weighted else None
        run = Run(A, (Edit(place, POSITIONS, Rotate(basis, Copy(Run(B), SOURCES), weights)),))
        source = seen(other, place, SOURCES)

        def values(
            x: Tensor, s: Tensor = source, b: Tensor = basis, w: Tensor | None = weights
        ) -> Tensor:
            new = x.clone()
            for i in range(b.shape[1]):  # direction by direction
                for own, theirs, row in zip(x, s, new, strict=True):
                    part = (theirs - own).flatten() @ b[:, i]
                    row += ((1 if w is None else w[i]) * part * b[:, i]).view(row.shape)
            return new

        cases.append((run, changed(name, A, (place, put(POSITIONS, values)))))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_mix(name: str) -> None:
    """Reads of another run, and of earlier places and other positions of the run itself."""
    other, mine, cases = clean(name, B), clean(name, A), []
    for component in ("resid_post", "mlp_out", "attn_out"):
        place, earlier = Place(component, 2), Place("mlp_out", 1)
        terms = (
            (0.5, HERE),
            (-1.0, Read(Run(B), SOURCES)),
            (1.0, Read(Run(B), (4, 4, 5), Place("embed"))),
            (2.0, Read(place=earlier)),
            (-0.5, Read(positions=(0, 1, 2), place=Place("resid_pre", 1))),
        )
        given = -seen(other, place, SOURCES) + seen(other, Place("embed"), (4, 4, 5))
        given = given + 2 * seen(mine, earlier, POSITIONS)
        given = given - 0.5 * seen(mine, Place("resid_pre", 1), (0, 1, 2))
        run = Run(A, (Edit(place, POSITIONS, Mix(terms)),))
        change = place, put(POSITIONS, lambda x, g=given: 0.5 * x + g)
        cases.append((run, changed(name, A, change)))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_mix_reads_what_an_earlier_edit_left(name: str) -> None:
    values = numbers(1, 32)
    first, second = Place("mlp_out", 0), Place("mlp_out", 2)
    edits = (
        Edit(first, (4,), Constant(values)),
        Edit(second, (9,), Mix(((1.0, HERE), (1.0, Read(positions=(4,), place=first))))),
    )
    changes = (first, put((4,), lambda _: values)), (second, put((9,), lambda x: x + values))
    check(name, [(Run(A, edits), changed(name, A, *changes))])


@pytest.mark.parametrize("name", FAMILIES)
def test_block(name: str) -> None:
    """The scores of blocked keys are minus infinity before the softmax."""
    cases = []
    for place in (Place("attn_pattern", 0), Place("attn_pattern", 1, 2)):
        for positions, keys in (((5, 9), (3, 4)), ((9,), (0, 1, 2, 3, 4, 5, 6, 7, 8))):
            run = Run(A, (Edit(place, positions, Block(keys)),))

            def values(x: Tensor, keys: tuple[int, ...] = keys) -> Tensor:
                scores = x.log()
                scores[..., list(keys)] = -torch.inf
                return scores.softmax(-1)

            cases.append((run, changed(name, A, (place, put(positions, values)))))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_three_stages(name: str) -> None:
    """A run reads an edited run, which reads another, upon an edited base."""
    noise = numbers(2, 32)
    embed, state, mlp = Place("embed"), Place("resid_post", 1), Place("mlp_out", 2)
    corrupted = Run(A, (Edit(embed, (1, 2), Add(noise)),))
    second = Run(B, (Edit(state, (3,), Copy(corrupted, (2,))),))
    third = corrupted.with_(
        Edit(mlp, (9, 5), Copy(second, (11, 4))), Edit(Place("attn_out", 3), (9,), Copy(Run(A)))
    )
    add = embed, put((1, 2), lambda x: x + noise)
    found = changed(name, A, add)
    middle = changed(name, B, (state, put((3,), lambda _: seen(found, state, (2,)))))
    taken, frozen = seen(middle, mlp, (11, 4)), seen(clean(name, A), Place("attn_out", 3), (9,))
    last = changed(
        name,
        A,
        add,
        (mlp, put((9, 5), lambda _: taken)),
        (Place("attn_out", 3), put((9,), lambda _: frozen)),
    )
    check(name, [(corrupted, found), (second, middle), (third, last)])
