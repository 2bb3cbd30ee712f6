"""Causal tracing (Meng et al., 2022) said in the language: a corrupted base, restored in places."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from torch import Tensor

from cfgen.interventions import (
    OUT_OF_REACH,
    SAME_VALUES,
    Add,
    Copy,
    Edit,
    Question,
    Run,
    choose_engine,
)
from cfgen.lm import Place
from tests.interventions.plain_loop import plain
from tests.interventions.tiny import assert_equal, lm_of, logits_of

FAMILIES = ("llama", "gpt2", "gemma2", "gpt_neox")
ENGINES = ("packed", "reference")
PROMPT = (7, 30, 12, 55, 71, 61, 40, 22, 19, 80)
SUBJECT, LAST, LAYERS = (2, 3, 4), 9, 4
EVERY = tuple(range(len(PROMPT)))
CLEAN = Run(PROMPT)


def noise(level: float = 1.0, draw: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(draw)
    return level * torch.randn(len(SUBJECT), 32, generator=generator)


def corrupt(numbers: Tensor) -> Run:
    return CLEAN.with_(Edit(Place("embed"), SUBJECT, Add(numbers)))


def restore(corrupted: Run, positions: tuple[int, ...], *places: Place) -> Run:
    return corrupted.with_(*(Edit(place, positions, Copy(CLEAN)) for place in places))


def window(component: str, centre: int, width: int) -> list[Place]:
    first, end = max(0, centre - width // 2), min(LAYERS, centre + ceil(width / 2))
    return [Place(component, layer) for layer in range(first, end)]


def states(corrupted: Run) -> dict[tuple[int, int], Run]:
    """Layer and position -> the run that has the state restored there."""
    return {
        (layer, position): restore(corrupted, (position,), Place("resid_post", layer))
        for layer in range(LAYERS)
        for position in EVERY
    }


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_map(name: str, engine: str) -> None:
    """What must be so on any LM."""
    lm, corrupted = lm_of(name), corrupt(noise())
    cells = states(corrupted)
    layers = [restore(corrupted, EVERY, Place("resid_post", layer)) for layer in range(LAYERS)]
    clean, bad, *rest = logits_of(lm, [CLEAN, corrupted, *cells.values(), *layers], engine)
    found = dict(zip(cells, rest, strict=False))
    assert float((clean - bad).abs().max()) > 0.1
    assert_equal(["the last token"], clean[None], found[LAYERS - 1, LAST][None])
    for position in EVERY[:-1]:
        assert_equal([position], bad[None], found[LAYERS - 1, position][None])
    for logits in rest[len(cells) :]:
        assert_equal(["a whole layer"], clean[None], logits[None])
    effects = [float((found[0, p] - bad).abs().max()) for p in SUBJECT]
    assert min(effects) > 1e-2


@pytest.mark.parametrize("name", FAMILIES)
def test_cells_by_hand(name: str) -> None:
    """Each cell of the map, and windows of what MLPs and attention add, in the plain loop."""
    lm, numbers = lm_of(name), noise()
    corrupted, good = corrupt(numbers), plain(name, lm.model, PROMPT).seen
    runs = [(run, p, [("resid_post", layer)]) for (layer, p), run in states(corrupted).items()]
    for component in ("mlp_out", "attn_out"):
        for centre in range(LAYERS):
            places = window(component, centre, 3)
            for p in EVERY:
                where = [(place.component, place.layer) for place in places]
                runs.append((restore(corrupted, (p,), *places), p, where))
    expected = []
    for _, position, places in runs:

        def spoil(tensor: Tensor) -> Tensor:
            tensor[list(SUBJECT)] += numbers
            return tensor

        changes = {("embed", 0): spoil}
        for where in places:

            def mend(tensor: Tensor, where: tuple[str, int] = where, p: int = position) -> Tensor:
                tensor[p] = good[where][p]
                return tensor

            changes[where] = mend
        expected.append(plain(name, lm.model, PROMPT, changes).logits)
    for engine in ENGINES:
        got = logits_of(lm, [run for run, *_ in runs], engine)
        assert_equal([run.edits for run, *_ in runs], torch.stack(expected), got)


def test_windows_are_those_of_the_paper() -> None:
    assert [place.layer for place in window("mlp_out", 2, 2)] == [1, 2]
    assert [place.layer for place in window("mlp_out", 0, 3)] == [0, 1]
    assert [place.layer for place in window("mlp_out", 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_no_noise_has_no_effect(name: str, engine: str) -> None:
    corrupted = corrupt(noise(0.0))
    runs = [CLEAN, corrupted, *states(corrupted).values()]
    found = logits_of(lm_of(name), runs, engine)
    assert_equal(runs, found[:1].expand_as(found), found)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_restoration_does_not_reach_is_not_run(name: str) -> None:
    """Before the subject nothing is other than clean; in the last layer only the last token is."""
    corrupted = corrupt(noise())
    cells = states(corrupted)
    found = choose_engine(lm_of(name), "packed").outcomes(list(cells.values()))
    same = LAYERS * SUBJECT[0]
    unreached = LAST - SUBJECT[0]
    assert found.work.filled == {SAME_VALUES: same, OUT_OF_REACH: unreached}
    assert found.work.self_tested == 4
    # the others, and the corrupted run itself, that all are computed upon, once
    assert found.work.run == len(cells) - same - unreached + found.work.self_tested
    changed = dict(zip(cells, found.changed.tolist(), strict=True))
    assert not any(changed[layer, p] for layer, p in cells if p < SUBJECT[0])


def test_effects_are_differences_of_probabilities() -> None:
    """TE = P - P*, and IE of what restores everything is TE."""
    corrupted, token = corrupt(noise()), (11,)
    full = restore(corrupted, EVERY, Place("resid_post", 1))
    runs = [CLEAN, corrupted, full]
    engine = choose_engine(lm_of("llama"))
    found = engine.outcomes(runs, [token] * 3, Question(said=False), verified=1)
    p, spoiled, restored = found.log_probabilities.exp()[:, 0].tolist()
    assert restored - spoiled == pytest.approx(p - spoiled, abs=1e-6)
    assert found.work.verified == 1
