"""Labels: what a pair carries, against the causal model itself."""

import random

from cfgen import load_task
from cfgen.counterfactuals import draw_inputs
from cfgen.datasets import PairLabeller

TASK = load_task("belief_tracking")


def test_predictions_are_those_of_the_causal_model() -> None:
    rng = random.Random(5)
    model = TASK.causal_model
    for design in TASK.designs.values():
        label = PairLabeller(TASK, design)
        for _ in range(20):
            original, counterfactual = draw_inputs(design, model.domains, rng)
            pair = label(original, counterfactual, 0)
            assert pair.original.answer == model.run(original)["answer"]
            assert dict(pair.original.variables) == dict(model.run(original))
            for hypothesis in TASK.hypotheses.values():
                crossed = {
                    name: (counterfactual, source) for name, source in hypothesis.sources.items()
                }
                setting = model.interchange(original, crossed, hold=hypothesis.hold)
                assert pair.predictions[hypothesis.name] == setting["answer"]
            everything = dict.fromkeys(model.domains, counterfactual)
            assert pair.predictions["all"] == model.interchange(original, everything)["answer"]
            assert pair.predictions["none"] == pair.original.answer


def test_slots_are_the_words_shown() -> None:
    original, counterfactual = draw_inputs(
        TASK.design("restate"), TASK.causal_model.domains, random.Random(0)
    )
    pair = PairLabeller(TASK, TASK.design("restate"))(original, counterfactual, 0)
    assert pair.original.slots["character_1"] == original["characters"][0]
    assert pair.counterfactual.slots["drink_2"] == counterfactual["drinks"][1]
    for span in pair.original.prompt.spans:
        if span.name in pair.original.slots:
            shown = pair.original.prompt.text[span.start : span.end]
            assert shown == pair.original.slots[span.name]


def test_the_id_is_a_hash_of_the_content() -> None:
    rng = random.Random(0)
    domains = TASK.causal_model.domains
    label = PairLabeller(TASK, TASK.design("restate"))
    one, two = (draw_inputs(TASK.design("restate"), domains, rng) for _ in range(2))
    assert label(*one, 0).id == label(*one, 7).id
    assert label(*one, 0).id != label(*two, 0).id
    assert label(*one, 0).id != label(*one[::-1], 0).id
