"""Which LMs the packed engine takes, and what happens with others."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from cfgen.errors import CfgenError
from cfgen.interventions import Run, choose_engine
from cfgen.lm import Place, find_facts
from tests.families import ALL
from tests.interventions.tiny import codes, lm_of, swap, text


@pytest.mark.parametrize("name", ALL)
def test_every_architecture_is_packed(name):
    engine = choose_engine(lm_of(name))
    assert (engine.name, engine.note) == ("packed", "")


IMPOSSIBLE = {
    "attention": ({"kernel": "flash_attention_2"}, "flash_attention_2"),
    "masks of its own": ({"odd": (1, 3)}, "1"),
    "experts": ({"experts": (0,)}, "mixture of experts"),
    "quantised": ({"quantised": "EightBits"}, "EightBits"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_cannot_be_packed_is_run_on_the_reference(monkeypatch, kind):
    entries, shown = IMPOSSIBLE[kind]
    monkeypatch.setattr(
        "cfgen.interventions.choice.find_facts",
        lambda layout: replace(find_facts(layout), **entries),
    )
    lm = lm_of("llama")
    engine = choose_engine(lm)
    assert engine.name == "reference"
    assert engine.note.startswith("not packed: ")
    assert shown in engine.note
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm, "packed")
    assert codes(caught) == ["cannot-pack"]
    assert shown in str(caught.value)
    assert "reference" in caught.value.problems[0].hint
    wanted = choose_engine(lm, "reference")
    assert (wanted.name, wanted.note) == ("reference", "")
    rng = Random(0)
    run = swap(Place("resid_pre", 2), Run(text(rng, 5)), [3], Run(text(rng, 5)))
    assert engine.outcomes([run], verified=1).work.verified == 0


@pytest.mark.parametrize("amount", ["batch_size", "token_budget"])
def test_amounts_that_are_none(amount):
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm_of("llama"), **{amount: 0})
    assert codes(caught) == ["bad-amount"]


def test_an_engine_that_there_is_not():
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm_of("llama"), "pakced")
    assert codes(caught) == ["unknown-engine"]
    assert "packed" in caught.value.problems[0].hint
