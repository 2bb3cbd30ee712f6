"""Attention weights: what they are, what writing them does, and that nothing stays behind."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.lm import Place, check_places, find_layout, hook
from cfgen.lm.attention import open_attention
from tests.families import ALL
from tests.lm.families.by_hand import (
    COLUMNS,
    LAYERS,
    SLIDING,
    WINDOW,
    attention_of,
    block_of,
    heads_of,
    masks,
    model_of,
    text,
)


def forward(model, **given):
    with torch.inference_mode():
        return model(**{"input_ids": text(), "use_cache": False, **given})


def patterns(model, **given):
    """The weights of every layer, each (rows, queries, heads, keys)."""
    layout, seen = find_layout(model), {}
    hooks = [
        hook(
            layout,
            Place("attn_pattern", layer),
            lambda t, i=layer: seen.update({i: t}),
            write=False,
        )
        for layer in range(LAYERS)
    ]
    forward(model, **given)
    for handle in hooks:
        handle.remove()
    return [seen[layer] for layer in range(LAYERS)]


@pytest.mark.parametrize("name", ALL)
def test_rows_of_weights_sum_to_one_and_look_back_only(name):
    place = torch.arange(COLUMNS)
    distance = place[:, None] - place[None]  # (queries, keys)
    for layer, weights in enumerate(patterns(model_of(name))):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        seen = distance >= 0
        if layer in SLIDING.get(name, ()):
            seen &= distance < WINDOW
        by_query = weights.permute(0, 2, 1, 3)  # (rows, heads, queries, keys)
        assert by_query[:, :, ~seen].abs().max() == 0
        assert by_query[:, :, seen].min() > 0


@pytest.mark.parametrize("name", ALL)
def test_weights_are_those_that_transformers_shows(name):
    model = model_of(name)
    eager = copy.deepcopy(model)
    if name != "gptj":
        eager.set_attn_implementation("eager")
    shown = forward(eager, output_attentions=True).attentions
    for weights, expected in zip(patterns(model), shown, strict=True):
        torch.testing.assert_close(weights, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_looking_at_one_key_gives_its_value(name):
    model, layout = model_of(name), find_layout(model_of(name))
    heads, kv_heads, _ = heads_of(name)
    for layer, head in itertools.product((0, LAYERS - 1), range(heads)):
        seen = {}

        def write(tensor):
            tensor[:, 7] = torch.eye(COLUMNS)[5]

        def keep(name, seen=seen):
            return lambda tensor: seen.update({name: tensor.clone()})

        hooks = [
            hook(layout, Place("attn_pattern", layer, head), write, write=True),
            hook(layout, Place("v", layer, head // (heads // kv_heads)), keep("v"), write=False),
            hook(layout, Place("head_out", layer, head), keep("head"), write=False),
        ]
        written = forward(model).logits
        for handle in hooks:
            handle.remove()
        torch.testing.assert_close(seen["head"][:, 7], seen["v"][:, 5])
        base = forward(model).logits
        torch.testing.assert_close(written[:, :7], base[:, :7], rtol=1e-4, atol=1e-4)
        assert (written[:, 7] - base[:, 7]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ALL)
def test_padding_is_not_looked_at(name):
    """A padded row gives the weights of the row without padding."""
    model = model_of(name)
    seen = torch.ones(2, COLUMNS, dtype=torch.long)
    seen[0, :3] = 0
    positions = (seen.cumsum(-1) - 1).clamp(min=0)
    padded = patterns(model, attention_mask=seen, position_ids=positions)
    alone = patterns(model, input_ids=text()[:1, 3:])
    for weights, expected in zip(padded, alone, strict=True):
        assert weights[0, 3:, :, :3].abs().max() == 0
        torch.testing.assert_close(weights[:1, 3:, :, 3:], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_masks_made_by_hand_are_taken_as_they_are(name):
    model = model_of(name)
    given = {"attention_mask": masks(name, COLUMNS, COLUMNS)}
    if name.startswith("opt"):  # it would make positions of the mask
        given["position_ids"] = torch.arange(COLUMNS)[None]
    for weights, expected in zip(patterns(model, **given), patterns(model), strict=True):
        torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_only_hooked_layers_change_and_only_while_they_are_hooked(name):
    model, layout = model_of(name), find_layout(model_of(name))
    modules = [attention_of(block_of(model, name, layer), name) for layer in range(LAYERS)]
    used, settings = model.config._attn_implementation, [module.config for module in modules]
    seen = []
    handles = [
        hook(layout, Place("attn_pattern", layer, head), lambda t: seen.append(1), write=False)
        for layer, head in ((0, 1), (2, None), (2, 0))
    ]
    assert model.config._attn_implementation == used
    assert modules[1].config is settings[1]
    for left in (2, 1, 0):
        seen.clear()
        forward(model)
        assert len(seen) == left + 1
        handles[left].remove()
        handles[left].remove()  # once more does no harm
    assert all(module.config is former for module, former in zip(modules, settings, strict=True))
    seen.clear()
    forward(model)
    assert seen == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_shown_as_the_softmax_makes_them(dtype):
    weights = patterns(copy.deepcopy(model_of("llama")).to(dtype))
    for shown in weights:
        assert shown.dtype == torch.float32
        torch.testing.assert_close(shown.sum(-1), torch.ones(shown.shape[:-1]))


def test_a_kernel_without_weights_is_refused():
    model = copy.deepcopy(model_of("llama"))
    layout = find_layout(model)
    model.config._attn_implementation = "flash_attention_2"
    check_places(layout, [Place("head_out", 1, 1)])
    with pytest.raises(CfgenError, match=r'load it with attn_implementation="sdpa"') as caught:
        check_places(layout, [Place("attn_pattern", 1)])
    assert [problem.code for problem in caught.value.problems] == ["attention-not-open"]


class Module:
    """What the attention function reads of a module."""

    class config:
        open_uses = ()


@pytest.mark.parametrize(("queries", "keys", "kv_heads"), [(5, 5, 2), (3, 7, 1), (1, 4, 4)])
@pytest.mark.parametrize("kind", ["additive", "boolean", "none"])
def test_the_attention_is_that_of_the_equation(queries, keys, kv_heads, kind):
    heads, width = 4, 6
    query, key, value = (
        torch.randn(2, count, length, width, dtype=torch.float64)
        for count, length in ((heads, queries), (kv_heads, keys), (kv_heads, keys))
    )
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    lowest = torch.finfo(torch.float64).min
    additive = torch.zeros(1, 1, queries, keys, dtype=torch.float64).masked_fill(~seen, lowest)
    mask = {"additive": additive, "boolean": seen[None, None], "none": None}[kind]
    outputs, weights = open_attention(Module, query, key, value, mask, scaling=0.3, softcap=1.5)
    for row, head, position in itertools.product(range(2), range(heads), range(queries)):
        shared = head // (heads // kv_heads)
        scores = [
            1.5 * torch.tanh(query[row, head, position] @ key[row, shared, at] * 0.3 / 1.5)
            for at in range(keys - queries + position + 1)
        ]
        expected = torch.stack(scores).exp()
        expected = expected / expected.sum()
        known = weights[row, head, position, : len(expected)]
        torch.testing.assert_close(known, expected, rtol=1e-5, atol=1e-6)
        known = outputs[row, position, head]
        by_hand = expected @ value[row, shared, : len(expected)]
        torch.testing.assert_close(known, by_hand, rtol=1e-5, atol=1e-6)
