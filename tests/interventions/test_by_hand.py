"""Both engines against raw hooks on modules by their names: one prompt, no batch, no padding."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random

import pytest
import torch

from cfgen.interventions import Copy, Edit, Run
from cfgen.lm import Place
from tests.interventions.tiny import lm_of, logits_of, off, text

LAYERS, HEADS = 4, 4
BLOCKS = {"llama": "model.layers", "gemma3": "model.layers", "gpt2": "transformer.h"}
ATTENTION = {"llama": "self_attn", "gemma3": "post_attention_layernorm", "gpt2": "attn"}
OUT = {"llama": "self_attn.o_proj", "gemma3": "self_attn.o_proj", "gpt2": "attn.c_proj"}
DOWN = {"llama": "mlp.down_proj", "gemma3": "mlp.down_proj", "gpt2": "mlp.c_proj"}
WIDTH = {"llama": 12, "gemma3": 12, "gpt2": 8}
KV_HEADS = {"llama": 2, "gemma3": 2, "gpt2": 4}
FAMILIES = list(BLOCKS)


def prompts():
    """Longer than the windows, of two lengths, so that rows of a batch are padded."""
    rng = Random(2)
    return [text(rng, n) for n in (13, 13, 20, 4)]


class Plain:
    """A model and its modules by name."""

    def __init__(self, name):
        self.name, self.model = name, lm_of(name).model

    def block(self, layer):
        return self.model.get_submodule(f"{BLOCKS[self.name]}.{layer}")

    def part(self, layer, path):
        return self.block(layer).get_submodule(path)

    def logits(self, ids, *hooks):
        with ExitStack() as stack:
            for module, kind, function in hooks:
                put = module.register_forward_hook
                if kind == "input":
                    put = module.register_forward_pre_hook
                stack.callback(put(function).remove)
            return self.model(torch.tensor([ids])).logits[0, -1]

    def seen(self, ids, module, kind):
        """What goes into a module or comes out of it (columns, width)."""
        found = []

        def look(_module, given, output=None):
            found.append(first(given if output is None else output)[0].clone())

        self.logits(ids, (module, kind, look))
        (tensor,) = found
        return tensor

    # where components are

    def read(self, component, layer, head, ids):
        """Component of a prompt (columns, width)."""
        width = WIDTH[self.name]
        if component == "resid_pre":
            return self.seen(ids, self.block(layer), "input")
        if component == "resid_post":
            return self.seen(ids, self.block(layer), "output")
        if component == "resid_mid":
            before = self.seen(ids, self.block(layer), "input")
            return before + self.seen(ids, self.part(layer, ATTENTION[self.name]), "output")
        if component == "head_out":
            found = self.seen(ids, self.part(layer, OUT[self.name]), "input")
            return found[:, head * width : (head + 1) * width]
        if component == "mlp_neuron":
            return self.seen(ids, self.part(layer, DOWN[self.name]), "input")
        assert component == "v"
        if self.name == "gpt2":
            found = self.seen(ids, self.part(layer, "attn.c_attn"), "output")[:, 2 * 32 :]
        else:
            found = self.seen(ids, self.part(layer, "self_attn.v_proj"), "output")
        return found[:, head * width : (head + 1) * width]

    def hook(self, component, layer, head, to, values, ids):
        """A hook that writes values (tokens, width) at tokens."""
        width = WIDTH[self.name]
        columns = slice(None) if head is None else slice(head * width, (head + 1) * width)
        if component == "resid_pre":
            return self.block(layer), "input", put_in(to, columns, values)
        if component == "resid_post":
            return self.block(layer), "output", put_out(to, columns, values)
        if component == "resid_mid":  # what the attention adds has to make it so
            values = values - self.seen(ids, self.block(layer), "input")[to]
            return self.part(layer, ATTENTION[self.name]), "output", put_out(to, columns, values)
        if component == "head_out":
            return self.part(layer, OUT[self.name]), "input", put_in(to, columns, values)
        if component == "mlp_neuron":
            return self.part(layer, DOWN[self.name]), "input", put_in(to, columns, values)
        assert component == "v"
        if self.name == "gpt2":
            columns = slice(2 * 32 + head * width, 2 * 32 + (head + 1) * width)
            return self.part(layer, "attn.c_attn"), "output", put_out(to, columns, values)
        return self.part(layer, "self_attn.v_proj"), "output", put_out(to, columns, values)

    def pattern(self, layer, head, ids):
        """Attention weights (queries, keys), as the model with eager attention gives them."""
        model = lm_of(self.name, attn_implementation="eager").model
        return model(torch.tensor([ids]), output_attentions=True).attentions[layer][0, head]


def first(output):
    return output[0] if isinstance(output, tuple) else output


def put_in(to, columns, values):
    def write(_module, given):
        tensor = given[0].clone()
        for token, value in zip(to, values, strict=True):
            tensor[0, token, columns] = value
        return (tensor, *given[1:])

    return write


def put_out(to, columns, values):
    def write(_module, _given, output):
        tensor = first(output).clone()
        for token, value in zip(to, values, strict=True):
            tensor[0, token, columns] = value
        return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

    return write


def check(name, cases):
    """Cases are (run, logits by hand)."""
    runs = [run for run, _ in cases]
    expected = torch.stack([logits for _, logits in cases])
    for engine, padding in (("reference", 0), ("reference", 3), ("packed", 0)):
        got = logits_of(lm_of(name), runs, engine, padding=padding)
        assert float(off(expected, got).max()) < 1e-4, (engine, padding)
    clean = logits_of(lm_of(name), [Run(run.prompt) for run in runs])
    assert int((off(expected, clean) > 1e-3).sum()) > 0.8 * len(cases)


def swap(place, prompt, to, source, of):
    """A prompt with what another has."""
    a, b = Run(prompts()[prompt]), Run(prompts()[source])
    return a.with_(Edit(place, tuple(to), Copy(b, tuple(of))))


CASES = [(0, [4], 1, [4]), (2, [19], 3, [3]), (2, [3, 11, 0], 0, [12, 2, 5]), (3, [2], 3, [0])]
UNITS = {"head_out": (0, 3), "v": (1,)}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "component", ["resid_pre", "resid_mid", "resid_post", "head_out", "v", "mlp_neuron"]
)
def test_a_swap_by_hand(name, component):
    plain, texts, cases = Plain(name), prompts(), []
    for layer in range(LAYERS):
        for head in UNITS.get(component, (None,)):
            for prompt, to, source, of in CASES:
                if layer == LAYERS - 1 and len(texts[prompt]) - 1 not in to:
                    continue  # changes nothing, for most components
                values = plain.read(component, layer, head, texts[source])[of]
                hook = plain.hook(component, layer, head, to, values, texts[prompt])
                run = swap(Place(component, layer, head), prompt, to, source, of)
                cases.append((run, plain.logits(texts[prompt], hook)))
    assert len(cases) >= 13
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_some_neurons_by_hand(name):
    plain, texts, cases, some = Plain(name), prompts(), [], (5, 0, 31)
    for layer in range(LAYERS - 1):
        for prompt, to, source, of in CASES:
            values = plain.read("mlp_neuron", layer, None, texts[prompt])[to].clone()
            values[:, list(some)] = plain.read("mlp_neuron", layer, None, texts[source])[of][
                :, list(some)
            ]
            hook = plain.hook("mlp_neuron", layer, None, to, values, texts[prompt])
            run = swap(Place("mlp_neuron", layer, neurons=some), prompt, to, source, of)
            cases.append((run, plain.logits(texts[prompt], hook)))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_attention_pattern_by_hand(name):
    """The pattern of another prompt times the prompt's own values is the head's output."""
    plain, texts, cases = Plain(name), prompts(), []
    shared = HEADS // KV_HEADS[name]
    for layer in range(LAYERS - 1):
        for head in range(HEADS):
            for prompt, to, source, of in ((0, [4], 1, [4]), (1, [12, 9], 0, [11, 9])):
                weights = plain.pattern(layer, head, texts[source])[of]
                values = plain.read("v", layer, head // shared, texts[prompt])
                hook = plain.hook("head_out", layer, head, to, weights @ values, texts[prompt])
                run = swap(Place("attn_pattern", layer, head), prompt, to, source, of)
                cases.append((run, plain.logits(texts[prompt], hook)))
    check(name, cases)


@pytest.mark.parametrize("name", FAMILIES)
def test_several_edits_by_hand(name):
    """Up to a layer, from two prompts, with tokens that are held."""
    plain, texts, cases = Plain(name), prompts(), []
    held = [7, 10]
    for last in range(LAYERS):
        edits, hooks = [], []
        for layer in range(last + 1):
            values = plain.read("resid_post", layer, None, texts[1])[[2, 5]]
            hooks.append(plain.hook("resid_post", layer, None, [2, 5], values, texts[0]))
            edits.append(Edit(Place("resid_post", layer), (2, 5), Copy(Run(texts[1]), (2, 5))))
        for layer in range(LAYERS):
            values = plain.read("resid_post", layer, None, texts[0])[held]
            hooks.append(plain.hook("resid_post", layer, None, held, values, texts[0]))
            own = Copy(Run(texts[0]))
            edits.append(Edit(Place("resid_post", layer), tuple(held), own))
        values = plain.read("v", 1, 1, texts[3])[[1]]
        hooks.append(plain.hook("v", 1, 1, [12], values, texts[0]))
        edits.append(Edit(Place("v", 1, 1), (12,), Copy(Run(texts[3]), (1,))))
        cases.append((Run(texts[0], tuple(edits)), plain.logits(texts[0], *hooks)))
    check(name, cases)
