"""Edges of a circuit said in the language: what a part is given, without what another added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from cfgen.interventions import HERE, Copy, Edit, Mix, Read, Run
from cfgen.lm import Place
from tests.interventions.plain_loop import plain
from tests.interventions.tiny import assert_equal, lm_of, logits_of, off

FAMILIES = ("llama", "gpt2")
ENGINES = ("packed", "reference")
CLEAN = Run((7, 30, 12, 55, 71, 61, 40, 22, 19, 80))
CORRUPTED = Run((7, 30, 12, 18, 71, 61, 33, 22, 19, 80))
EVERY, LAYERS, HEADS = tuple(range(10)), 4, 4
LOGITS = Place("resid_post", LAYERS - 1)
"""What the logits are given, in front of the final norm."""


def edge(receiver: Place, *senders: Place, at: tuple[int, ...] = EVERY) -> Edit:
    """The receiver's input, with what senders add in the corrupted run for what they add here."""
    terms = [(1.0, HERE)]
    for place in senders:
        terms += [(-1.0, Read(place=place)), (1.0, Read(run=CORRUPTED, place=place))]
    return Edit(receiver, at, Mix(tuple(terms)))


def head(layer: int, number: int) -> Place:
    return Place("head_result", layer, number)


def senders(before: Place) -> Iterator[Place]:
    """All that adds to the residual stream in front of a receiver, and is not the same anyway."""
    yield Place("embed")
    for layer in range(before.layer + (before.component in ("mlp_in", "resid_post"))):
        yield from (head(layer, number) for number in range(HEADS))
        if layer < before.layer or before == LOGITS:
            yield Place("mlp_out", layer)


def receivers() -> Iterator[Place]:
    for layer in range(LAYERS):
        for part in ("q_in", "k_in", "v_in"):
            yield from (Place(part, layer, number) for number in range(HEADS))
        yield Place("mlp_in", layer)
    yield LOGITS


CIRCUIT = (
    (head(0, 0), Place("q_in", 2, 1)),
    (head(0, 3), Place("k_in", 2, 1)),
    (head(1, 2), Place("v_in", 3, 0)),
    (head(1, 2), Place("mlp_in", 2)),
    (head(3, 0), LOGITS),
    (Place("embed"), Place("q_in", 1, 2)),
)
"""Sender and receiver of each edge."""


def by_hand(name: str, edges: Sequence[tuple[Place, Place]]) -> Tensor:
    """Logits with edges from the corrupted run, in the plain loop (vocabulary,)."""
    model = lm_of(name).model
    theirs, own = plain(name, model, CORRUPTED.prompt).seen, {}
    changes: dict[tuple[str, int], Callable[[Tensor], Tensor]] = {}

    def part(seen: dict[tuple[str, int], Tensor], place: Place) -> Tensor:
        tensor = seen[place.component, place.layer]
        return tensor if place.head is None else tensor[:, place.head]

    for sender, receiver in edges:
        where = receiver.component, receiver.layer
        former = changes.get(where, lambda tensor: tensor)

        def change(tensor, former=former, sender=sender, receiver=receiver):
            tensor = former(tensor).clone()
            into = tensor if receiver.head is None else tensor[:, receiver.head]
            into += part(theirs, sender) - part(own, sender)
            return tensor

        changes[where] = change
    return plain(name, model, CLEAN.prompt, changes, own).logits


@pytest.mark.parametrize("name", FAMILIES)
def test_edges_by_hand(name: str) -> None:
    """Each edge alone, and all together, where senders are themselves changed by edges."""
    lm = lm_of(name)
    sets = [[one] for one in CIRCUIT] + [list(CIRCUIT)]
    runs = [CLEAN.with_(*(edge(to, of) for of, to in some)) for some in sets]
    expected = torch.stack([by_hand(name, some) for some in sets])
    for engine in ENGINES:
        assert_equal(sets, expected, logits_of(lm, runs, engine))
    clean = logits_of(lm, [CLEAN])
    assert float(off(clean.expand_as(expected), expected).min()) > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_edge_into_a_receiver_is_its_interchange(name: str, engine: str) -> None:
    lm = lm_of(name)
    places = [Place(part, 2, 1) for part in ("q_in", "k_in", "v_in")] + [Place("mlp_in", 1), LOGITS]
    runs = [CLEAN.with_(edge(place, *senders(place))) for place in places]
    plainly = [CLEAN.with_(Edit(place, EVERY, Copy(CORRUPTED))) for place in places]
    expected = logits_of(lm, plainly, engine)
    assert_equal(places, expected, logits_of(lm, runs, engine))
    clean = logits_of(lm, [CLEAN], engine)
    assert float(off(clean.expand_as(expected), expected).min()) > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_sender_that_does_not_differ_has_no_effect(name: str, engine: str) -> None:
    """Nothing differs at the first tokens, nor what is embedded where words are the same."""
    lm = lm_of(name)
    runs = [CLEAN.with_(edge(to, of, at=(0, 1, 2))) for of, to in CIRCUIT]
    runs.append(CLEAN.with_(edge(Place("q_in", 3, 2), Place("embed"), at=(5, 8, 9))))
    clean, *found = logits_of(lm, [CLEAN, *runs], engine)
    assert_equal(runs, clean.expand(len(runs), -1), torch.stack(found))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_all_edges_are_the_corrupted_run(name: str, engine: str) -> None:
    run = CLEAN.with_(*(edge(place, *senders(place)) for place in receivers()))
    corrupted, found = logits_of(lm_of(name), [CORRUPTED, run], engine)
    assert_equal(["all edges"], corrupted[None], found[None])
