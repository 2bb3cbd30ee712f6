"""Natural direct and indirect effects (Pearl, 2001; Vig et al., 2020) said in the language."""

from __future__ import annotations

import pytest
import torch

from cfgen.interventions import SAME_VALUES, Copy, Edit, Question, Run, choose_engine
from cfgen.lm import Place
from tests.interventions.plain_loop import plain
from tests.interventions.tiny import assert_equal, lm_of, logits_of

FAMILIES = ("llama", "gpt2", "gemma2", "gpt_neox")
ENGINES = ("packed", "reference")
ORIGINAL = Run((7, 30, 12, 55, 71, 61, 40, 22, 19, 80))
OTHER = Run((7, 30, 12, 18, 71, 61, 33, 22, 19, 80))
EVERY, AGREE = tuple(range(10)), (0, 1, 2)
LAYERS = 4


def indirect(place: Place, positions: tuple[int, ...]) -> Run:
    """The original with the mediator as it is in the counterfactual."""
    return ORIGINAL.with_(Edit(place, positions, Copy(OTHER)))


def direct(place: Place, positions: tuple[int, ...]) -> Run:
    """The counterfactual with the mediator held at what it is in the original."""
    return OTHER.with_(Edit(place, positions, Copy(ORIGINAL)))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_mediator_that_is_everything(name: str, engine: str) -> None:
    """It carries the whole effect, and what it does not carry is nothing."""
    places = [Place("resid_post", layer) for layer in range(LAYERS)]
    through = [indirect(place, EVERY) for place in places]
    past = [direct(place, EVERY) for place in places]
    u, v, *found = logits_of(lm_of(name), [ORIGINAL, OTHER, *through, *past], engine)
    assert float((u - v).abs().max()) > 0.1
    for logits in found[:LAYERS]:
        assert_equal(["NIE is TE"], v[None], logits[None])
    for logits in found[LAYERS:]:
        assert_equal(["NDE is 0"], u[None], logits[None])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mediator_in_which_prompts_agree(name: str) -> None:
    """Nothing goes through it: neither run is executed."""
    places = [Place("mlp_out", 1), Place("attn_pattern", 2), Place("head_out", 0, 3)]
    runs = [make(place, AGREE) for place in places for make in (indirect, direct)]
    lm = lm_of(name)
    for engine in ENGINES:
        u, v, *found = logits_of(lm, [ORIGINAL, OTHER, *runs], engine)
        expected = torch.stack([u, v] * len(places))
        assert_equal(runs, expected, torch.stack(found))
    work = choose_engine(lm, "packed").outcomes(runs).work
    assert work.filled == {SAME_VALUES: len(runs)}
    assert work.run == work.self_tested == 2


@pytest.mark.parametrize("name", FAMILIES)
def test_effects_by_hand(name: str) -> None:
    """Single neurons' layers at one token, and whole attention patterns."""
    lm, runs, expected = lm_of(name), [], []
    seen = {run: plain(name, lm.model, run.prompt).seen for run in (ORIGINAL, OTHER)}
    for component, positions in (("mlp_neuron", (6,)), ("attn_pattern", EVERY), ("mlp_out", (3,))):
        for layer in range(LAYERS - 1):
            where = component, layer
            for make, run, other in ((indirect, ORIGINAL, OTHER), (direct, OTHER, ORIGINAL)):

                def hold(tensor, positions=positions, values=seen[other][where]):
                    tensor[list(positions)] = values[list(positions)]
                    return tensor

                runs.append(make(Place(*where), positions))
                expected.append(plain(name, lm.model, run.prompt, {where: hold}).logits)
    for engine in ENGINES:
        assert_equal(runs, torch.stack(expected), logits_of(lm, runs, engine))


def test_the_total_effect_is_the_direct_and_the_total_indirect_one() -> None:
    """With ratios of probabilities: TE = NDE + TIE for every mediator."""
    place, positions, answers = Place("mlp_out", 1), (3, 6), (11, 23)
    runs = [ORIGINAL, OTHER, indirect(place, positions), direct(place, positions)]
    question = Question(said=False, normaliser=False)
    engine = choose_engine(lm_of("llama"))
    found = engine.outcomes(runs, [answers] * 4, question).logits.double()
    odds = (found[:, 1] - found[:, 0]).exp()  # p(second) / p(first) needs no normaliser
    u, v, through, past = odds.tolist()
    total, nie, nde, tie = v / u - 1, through / u - 1, past / u - 1, (v - past) / u
    assert total == pytest.approx(nde + tie, rel=1e-9)
    assert abs(nie - tie) > 1e-6  # the model is not linear
