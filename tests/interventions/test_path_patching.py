"""Path patching (Wang et al., 2023; Goldowsky-Dill et al., 2023) said in the language."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from cfgen.interventions import SAME_VALUES, Copy, Edit, Read, Run, choose_engine
from cfgen.lm import Place
from tests.interventions.plain_loop import plain
from tests.interventions.tiny import assert_equal, lm_of, logits_of, off

FAMILIES = ("llama", "gpt2", "gemma2", "gpt_neox")
ENGINES = ("packed", "reference")
ORIGINAL = Run((7, 30, 12, 55, 71, 61, 40, 22, 19, 80))
OTHER = Run((7, 30, 12, 18, 71, 61, 33, 22, 19, 80))
EVERY, LAST, LAYERS, HEADS = tuple(range(10)), (9,), 4, 4


def patch(place: Place, source: Run) -> Edit:
    """Everywhere what another run has at a place."""
    return Edit(place, EVERY, Copy(source))


def sender(layer: int, head: int) -> Run:
    """One head from the counterfactual; what attention adds elsewhere as in the original.

    MLPs are recomputed.
    """
    frozen = [Place("attn_out", later) for later in range(LAYERS) if later > layer]
    edits = [patch(Place("head_out", layer, head), OTHER)]
    return ORIGINAL.with_(*edits, *(patch(place, ORIGINAL) for place in frozen))


def receiver(place: Place, of: Run) -> Run:
    """The original with a receiver's input from another run."""
    return ORIGINAL.with_(patch(place, of))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_everything_as_sender_is_the_interchange_of_the_receiver(name: str, engine: str) -> None:
    embedded = patch(Place("resid_pre", 0), OTHER)
    frozen = [patch(Place("attn_out", layer), OTHER) for layer in range(LAYERS)]
    senders = ORIGINAL.with_(embedded, *frozen)
    places = [Place(part, layer, 0) for part in "qkv" for layer in (1, 3)] + [Place("mlp_out", 2)]
    runs = [receiver(place, senders) for place in places]
    plainly = [receiver(place, OTHER) for place in places]
    lm = lm_of(name)
    expected = logits_of(lm, plainly, engine)
    assert_equal(runs, expected, logits_of(lm, runs, engine))
    clean = logits_of(lm, [ORIGINAL], engine)
    assert float(off(clean.expand_as(expected), expected).min()) > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sender_behind_its_receiver_has_no_effect(name: str) -> None:
    runs = [
        receiver(Place(part, to, 1), sender(layer, head))
        for part in "qkv"
        for to, layer, head in ((0, 0, 2), (1, 1, 0), (1, 3, 3))
    ]
    lm = lm_of(name)
    clean = logits_of(lm, [ORIGINAL])
    for engine in ENGINES:
        assert_equal(runs, clean.expand(len(runs), -1), logits_of(lm, runs, engine))
    found = choose_engine(lm, "packed").outcomes(runs)
    assert found.work.filled == {SAME_VALUES: len(runs)}
    assert not found.changed.any()


def hand(name: str, layer: int, head: int):
    """The sender's run in the plain loop."""
    lm = lm_of(name)
    u, v = (plain(name, lm.model, run.prompt).seen for run in (ORIGINAL, OTHER))

    def send(tensor):
        tensor = tensor.clone()
        tensor[:, head] = v["head_out", layer][:, head]
        return tensor

    changes = {("head_out", layer): send}
    for later in range(layer + 1, LAYERS):
        changes["attn_out", later] = lambda _, later=later: u["attn_out", later]
    return plain(name, lm.model, ORIGINAL.prompt, changes)


@pytest.mark.parametrize("name", FAMILIES)
def test_paths_by_hand(name: str) -> None:
    """From a head to queries, keys or values of a later head: a run of a run of a run."""
    lm, runs, expected = lm_of(name), [], []
    for layer, head, to, other in ((0, 1, 2, 0), (1, 3, 3, 1), (0, 0, 1, 1)):
        found = hand(name, layer, head).seen
        for part in "qkv":

            def take(tensor, part=part, to=to, other=other, found=found):
                tensor = tensor.clone()
                tensor[:, other] = found[part, to][:, other]
                return tensor

            runs.append(receiver(Place(part, to, other), sender(layer, head)))
            expected.append(plain(name, lm.model, ORIGINAL.prompt, {(part, to): take}).logits)
    for engine in ENGINES:
        assert_equal(runs, torch.stack(expected), logits_of(lm, runs, engine))


@pytest.mark.parametrize("name", FAMILIES)
def test_direct_effects_of_all_heads(name: str) -> None:
    """They need one token in each block from the head's on, as attention is frozen everywhere."""
    lm = lm_of(name)
    heads = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    runs = [sender(layer, head) for layer, head in heads]
    expected = torch.stack([hand(name, layer, head).logits for layer, head in heads])
    for engine in ENGINES:
        assert_equal(heads, expected, logits_of(lm, runs, engine))
    effects = off(logits_of(lm, [ORIGINAL]).expand_as(expected), expected)
    assert int((effects > 1e-3).sum()) >= len(heads) - 1
    work = choose_engine(lm, "packed").outcomes(runs).work
    assert work.edited.required == HEADS * sum(LAYERS - layer for layer in range(LAYERS))
    assert work.run == len(runs)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_direct_parts_add_up(name: str, engine: str) -> None:
    """To the last state, in front of the final norm, all direct effects add up to the total."""
    parts = [Place(part, layer) for layer in range(LAYERS) for part in ("attn_out", "mlp_out")]
    embedded = Place("resid_pre", 0)

    def only(place: Place) -> Run:
        others: Iterable[Place] = (one for one in parts if one != place)
        return ORIGINAL.with_(patch(place, OTHER), *(patch(one, ORIGINAL) for one in others))

    end = Place("resid_post", LAYERS - 1)
    # at a token in which the prompts differ
    runs = [ORIGINAL, OTHER, *(only(place) for place in (embedded, *parts))]
    reads = [Read(run, (6, *LAST), end) for run in runs]
    u, v, *found = choose_engine(lm_of(name), engine).values(reads)
    total = torch.stack([state - u for state in found]).sum(dim=0)
    assert float((total - (v - u)).abs().max()) < 1e-4 * float((v - u).abs().max().clamp(min=1))
    assert len({float((state - u).abs().max()) for state in found}) == len(found)
