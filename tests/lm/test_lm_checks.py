"""An LM and its prompts before anything is computed; logits before they count."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import Constant, Edit, Run, choose_engine
from cfgen.lm import (
    Place,
    check_finite,
    check_known,
    check_lm,
    check_prompts,
    count_problems,
    find_facts,
    find_layout,
    load_lm,
    wrap_lm,
)
from tests.families import tiny_model
from tests.interventions.tiny import lm_of, outcomes, swap

RUNS = [swap(Place("resid_post", 1), Run((5, 6)), [1], Run((6, 7)))]


def problems(caught):
    return [(problem.code, problem.message) for problem in caught.value.problems]


def with_model(model, name="llama"):
    return replace(lm_of(name), model=model)


def test_an_lm_in_training_mode():
    model = tiny_model("llama")
    model.train()
    with pytest.raises(CfgenError, match=r"it is in training mode.*lm-in-training"):
        check_lm(with_model(model))
    model.eval()
    check_lm(with_model(model))
    model.model.layers[2].mlp.train()
    with pytest.raises(CfgenError, match=r"'model.layers.2.mlp' is in training"):
        outcomes(with_model(model), RUNS)


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_weights_that_are_no_numbers_are_named(engine):
    model = tiny_model("llama")
    model.model.layers[2].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(CfgenError) as caught:
        outcomes(with_model(model), RUNS, engine)
    assert problems(caught) == [
        (
            "logits-not-finite",
            "the logits of LlamaForCausalLM are not finite, because its weights are not: "
            "'model.layers.2.mlp.up_proj.weight'",
        )
    ]


def overflowing():
    """In float16 the MLP of layer 1 gives numbers that float16 does not hold."""
    model = tiny_model("llama").to(torch.float16)
    model.model.layers[1].mlp.down_proj.weight.mul_(30000)
    return model


def test_an_overflow_names_where_it_begins_and_what_to_do():
    lm = replace(with_model(overflowing()), dtype=torch.float16)
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm)
    (problem,) = caught.value.problems
    assert problem.code == "logits-not-finite"
    assert "'model.layers.1.mlp.down_proj' is the first to exceed float16" in problem.message
    assert "bfloat16" in problem.hint
    assert not any(module._forward_hooks for module in lm.model.model.modules())
    choose_engine(replace(lm, model=overflowing().to(torch.float32)))


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_a_value_that_is_too_large_is_to_blame_itself(engine):
    lm = lm_of("llama")
    huge = Constant(torch.full((1, 32), float("inf")))
    run = Run((5, 6, 7), (Edit(Place("resid_post", 1), (1,), huge),))
    with pytest.raises(CfgenError, match="are where nothing is edited") as caught:
        outcomes(lm, [run], engine)
    assert problems(caught)[0][0] == "logits-not-finite"


def test_finite_logits_pass_however_large():
    check_finite(torch.full((2, 3), 3e38), tiny_model("llama"))


def checked(prompts, name="llama", **more):
    lm = lm_of(name, max_position_embeddings=8) if name == "llama" else lm_of(name)
    facts = find_facts(find_layout(lm.model))
    check_prompts(lm, facts, dict(enumerate(prompts)), **more)


@pytest.mark.parametrize("engine", ["reference", "packed"])
@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ((), "prompt-without-token"),
        ((5, 96), "token-beyond-vocabulary"),
        ((5, -1), "token-beyond-vocabulary"),
        ((5, "6"), "token-beyond-vocabulary"),
        ((5, 6.0), "token-beyond-vocabulary"),
        ((5, True), "token-beyond-vocabulary"),
        (tuple(range(9)), "prompt-beyond-context"),
    ],
)
def test_prompts_that_an_lm_cannot_read(build_tiny_lm, prompt, code, engine):
    lm = replace(
        build_tiny_lm(layers=2, vocab_size=96, max_position_embeddings=8), name="the tiny one"
    )
    run = swap(Place("resid_post", 1), Run((5, 6)), [1], Run(prompt))
    with pytest.raises(CfgenError) as caught:
        outcomes(lm, [run], engine)
    assert problems(caught)[0][0] == code


def test_what_is_said_of_prompts():
    with pytest.raises(CfgenError) as caught:
        checked([(1, 2), (), tuple(range(7))], answer_tokens=3)
    assert problems(caught) == [
        ("prompt-without-token", "prompt 1 has no token"),
        (
            "prompt-beyond-context",
            "a prompt has 7 tokens and an answer of 3, but the LM takes at most 8",
        ),
    ]
    checked([tuple(range(8)), (95,)])
    checked([tuple(range(7))], answer_tokens=2)


def test_a_tokenizer_that_is_larger_than_the_embedding(build_tiny_lm):
    """As of LMs that also see pictures: fine, as long as nobody uses the token."""
    lm = build_tiny_lm(layers=2)
    lm.tokenizer.add_tokens(["<picture>"])
    beyond = len(lm.tokenizer) - 1
    facts = find_facts(find_layout(lm.model))
    assert facts.vocabulary == beyond
    check_lm(lm)
    check_prompts(lm, facts, {0: (5, beyond - 1)})
    for check in (
        lambda: check_prompts(lm, facts, {0: (5, beyond)}),
        lambda: check_known(lm, facts, [4, beyond]),
    ):
        with pytest.raises(CfgenError, match=r"'<picture>'.*is none of the") as caught:
            check()
        assert problems(caught)[0][0] == "token-beyond-vocabulary"


def test_amounts():
    assert count_problems(batch_size=1, token_budget=None, answer_tokens=3) == []
    for value in (0, -1, 1.0, "2", True):
        (problem,) = count_problems(batch_size=value)
        assert problem.code == "bad-amount"
        assert problem.message.startswith(f"batch_size is {value!r}")
    with pytest.raises(CfgenError) as caught:
        choose_engine(lm_of("llama"), batch_size=0, token_budget=0)
    assert [code for code, _ in problems(caught)] == ["bad-amount", "bad-amount"]


# Loading


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "mxfp4"])
def test_quantised_weights_are_refused_by_name(tiny_folder, method):
    file = tiny_folder / "config.json"
    entries = {**json.loads(file.read_text()), "quantization_config": {"quant_method": method}}
    file.write_text(json.dumps(entries))
    with pytest.raises(CfgenError, match=rf"quantised \({method}\).*lm-quantised"):
        load_lm(str(tiny_folder), device="cpu")


def test_an_lm_that_is_spread_needs_accelerators(tiny_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CfgenError, match=r"no device 'spread'.*lm-device"):
        load_lm(str(tiny_folder), device="spread")


def test_an_lm_that_was_loaded_by_hand(build_tiny_lm):
    made = build_tiny_lm()
    model = tiny_model("llama", vocabulary=len(made.tokenizer)).train().requires_grad_(True)
    made.tokenizer.padding_side = "right"
    lm = wrap_lm(model, made.tokenizer, name="mine", revision="of today")
    assert (lm.name, lm.revision, lm.device.type, lm.dtype) == (
        "mine",
        "of today",
        "cpu",
        torch.float32,
    )
    assert lm.tokenizer.padding_side == "left"
    assert not any(weight.requires_grad for weight in lm.model.parameters())
    check_lm(lm)
    with pytest.raises(CfgenError, match="lm-tokenizer"):
        wrap_lm(model, object(), name="mine", revision="of today")
