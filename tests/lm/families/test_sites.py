"""Every component of every architecture, against slices of weights and plain hooks."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from functools import cache

import pytest
import torch

from cfgen.lm import Place, find_layout, hook
from tests.families import ALL
from tests.lm.families.by_hand import (
    BEFORE_BLOCKS,
    COLUMNS,
    HEADWISE,
    JOINT_NORM,
    LAYERS,
    LEARNED_POSITIONS,
    NORM_BEHIND,
    OWN,
    PARALLEL,
    ROWS,
    block_of,
    columns_of,
    down_projection,
    heads_of,
    mlp,
    model_of,
    output_projection,
    projection,
    rows_of,
    text,
)

ORDER = (
    ("resid_pre",),
    ("q_in", "k_in", "v_in"),
    ("q", "k", "v"),
    ("attn_pattern",),
    ("head_out",),
    ("head_result",),
    ("attn_out",),
    ("resid_mid",),
    ("mlp_in",),
    ("mlp_neuron",),
    ("mlp_out",),
    ("resid_post",),
)
"""What a block computes after what; what is in one step depends on none of the same step."""


@cache
def as_made(name):
    """The weights and the logits of a model before anything was done to it."""
    model = model_of(name)
    return copy.deepcopy(model.state_dict()), run(model)


@pytest.fixture(params=ALL)
def name(request):
    """An architecture; the model must be the same, bit by bit, after the test."""
    model = model_of(request.param)
    weights, logits = as_made(request.param)
    yield request.param
    assert torch.equal(run(model), logits)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def run(model, *uses, **given):
    """Logits with ``(place, use)`` as writing hooks."""
    layout = find_layout(model)
    with ExitStack() as hooks, torch.inference_mode():
        for place, use in uses:
            hooks.callback(hook(layout, place, use, write=True).remove)
        given = given or {"input_ids": text()}
        return model(**given, use_cache=False).logits


def read(model, places, *uses):
    """What is at places, copied at once, and as it is after the forward."""
    layout = find_layout(model)
    copies, views = {}, {}
    with ExitStack() as hooks:
        for place in places:
            assert place not in copies

            def keep(tensor, place=place):
                assert place not in copies
                copies[place], views[place] = tensor.clone(), tensor

            hooks.callback(hook(layout, place, keep, write=False).remove)
        run(model, *uses)
    assert set(copies) == set(places)
    return copies, views


def places_of(model, layers=range(LAYERS)):
    layout = find_layout(model)
    for component in layout.components:
        for layer in [0] if component in BEFORE_BLOCKS else layers:
            yield Place(component, layer)


def written_places_of(model, layers=range(LAYERS)):
    """Those that can be written."""
    return [place for place in places_of(model, layers) if place.component != "head_result"]


def nothing(tensor):
    tensor.copy_(tensor.clone())


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=2e-4, atol=2e-5)


def test_the_components_are_those_of_the_architecture(name):
    components = find_layout(model_of(name)).components
    assert ("resid_mid" in components) == (name not in PARALLEL)
    assert ("pos_embed" in components) == (name in LEARNED_POSITIONS)
    assert {*OWN} & {*components} == (set() if name in JOINT_NORM else {*OWN})
    assert ("head_result" in components) == (name not in NORM_BEHIND)
    lacking = [name in PARALLEL, name not in LEARNED_POSITIONS, name in NORM_BEHIND]
    assert len(components) == 18 - sum(lacking) - 3 * (name in JOINT_NORM)


def test_the_shapes(name):
    model = model_of(name)
    layout = find_layout(model)
    heads, kv_heads, width = heads_of(name)
    assert (layout.heads, layout.kv_heads, layout.head_width) == (heads, kv_heads, width)
    assert (layout.layers, layout.width) == (LAYERS, 32)
    copies, _ = read(model, list(places_of(model)))
    for place, tensor in copies.items():
        vector = 16 if (name, place.component) == ("opt-post-norm", "embed") else 32
        shape = {
            "attn_pattern": (heads, COLUMNS),
            "head_out": (heads, width),
            "q": (heads, width),
            "k": (kv_heads, width),
            "v": (kv_heads, width),
            "mlp_neuron": (layout.neurons,),
            **dict.fromkeys((*OWN, "head_result"), (heads, 32)),
        }.get(place.component, (vector,))
        assert tensor.shape == (ROWS, COLUMNS, *shape), place


def test_reading_a_place_and_writing_it_back_changes_nothing(name):
    model = model_of(name)
    layout = find_layout(model)
    base = run(model)
    for component in dict.fromkeys(place.component for place in written_places_of(model)):
        wholes = [place for place in places_of(model) if place.component == component]
        written = run(model, *((place, nothing) for place in wholes))
        if component == "attn_pattern":  # another kernel than the LM's own: other roundings
            close(written, base)
        else:
            assert torch.equal(written, base), component
        heads = range(layout.heads_of(component))
        of_heads = [Place(component, place.layer, head) for place in wholes for head in heads]
        close(run(model, *((place, nothing) for place in of_heads)), base)


def test_a_heads_part_is_its_slice_of_the_whole(name):
    model = model_of(name)
    layout = find_layout(model)
    for component in HEADWISE:
        whole = Place(component, 1)
        parts = [Place(component, 1, head) for head in range(layout.heads_of(component))]
        copies, _ = read(model, [whole, *parts])
        stacked = torch.stack([copies[part] for part in parts], dim=2)
        assert torch.equal(stacked, copies[whole])


@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_projections_are_the_products_with_their_slice_of_the_weights(name, part):
    model = model_of(name)
    for layer in range(LAYERS):
        block, seen = block_of(model, name, layer), []
        taken = projection(block, name, part).register_forward_pre_hook(
            lambda module, given, seen=seen: seen.append(given[0])
        )
        copies, _ = read(model, [Place(part, layer)])
        taken.remove()
        weight, bias = rows_of(block, name, part)
        by_hand = torch.einsum("rci,hwi->rchw", seen[0], weight)
        close(copies[Place(part, layer)], by_hand if bias is None else by_hand + bias)


@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_zeros_at_a_heads_projection_are_zero_weights(name, part):
    model = model_of(name)
    base, by_hand = run(model), copy.deepcopy(model)
    for layer in (0, LAYERS - 1):
        rows = [
            row for row in rows_of(block_of(by_hand, name, layer), name, part) if row is not None
        ]
        for head in range(find_layout(model).heads_of(part)):
            before = [row[head].clone() for row in rows]
            for row in rows:
                row[head] = 0
            zeroed = run(model, (Place(part, layer, head), torch.Tensor.zero_))
            close(zeroed, run(by_hand))
            for row, value in zip(rows, before, strict=True):
                row[head] = value
            assert (zeroed - base).abs().max() > 1e-3


def test_zeros_at_a_heads_output_are_zero_columns_of_the_output_projection(name):
    model = model_of(name)
    base = run(model)
    heads, _, width = heads_of(name)
    for layer in (0, LAYERS - 1):
        for head in range(heads):
            by_hand = copy.deepcopy(model)
            projection = output_projection(block_of(by_hand, name, layer), name)
            columns_of(projection, name)[:, head * width : (head + 1) * width] = 0
            zeroed = run(model, (Place("head_out", layer, head), torch.Tensor.zero_))
            close(zeroed, run(by_hand))
            assert (zeroed - base).abs().max() > 1e-3


def test_zeros_at_a_neuron_are_a_zero_column_of_the_down_projection(name):
    model = model_of(name)

    def zero(tensor):
        tensor[..., 7] = 0

    by_hand = copy.deepcopy(model)
    columns_of(down_projection(block_of(by_hand, name, 1), name), name)[:, 7] = 0
    zeroed = run(model, (Place("mlp_neuron", 1), zero))
    close(zeroed, run(by_hand))
    assert (zeroed - run(model)).abs().max() > 1e-3


@pytest.mark.parametrize("component", ["attn_out", "mlp_out"])
def test_zeros_at_a_part_are_a_part_with_zero_weights(name, component):
    """Norms behind a part keep zeros as they are: none of those has a bias."""
    model = model_of(name)
    by_hand = copy.deepcopy(model)
    block = block_of(by_hand, name, 2)
    last = (output_projection if component == "attn_out" else down_projection)(block, name)
    for parameter in last.parameters():
        parameter.zero_()
    zeroed = run(model, (Place(component, 2), torch.Tensor.zero_))
    close(zeroed, run(by_hand))
    assert (zeroed - run(model)).abs().max() > 1e-3


def test_the_residual_stream_is_what_transformers_calls_hidden_states(name):
    model = model_of(name)
    with torch.inference_mode():  # a copy, since transformers leaves hooks of its own on it
        states = copy.deepcopy(model)(text(), output_hidden_states=True).hidden_states
    places = [place for place in places_of(model) if place.component in ("resid_pre", "resid_post")]
    copies, _ = read(model, places)
    for layer in range(LAYERS):
        assert torch.equal(copies[Place("resid_pre", layer)], states[layer])
    for layer in range(LAYERS - 1):
        assert torch.equal(copies[Place("resid_post", layer)], states[layer + 1])


def test_the_first_block_reads_the_embeddings(name):
    model = model_of(name)
    copies, _ = read(model, list(places_of(model)))
    start = copies[Place("embed")]
    if name == "opt-post-norm":
        start = model.model.decoder.project_in(start)
    if name == "granite":
        start = start * 3
    if name in LEARNED_POSITIONS:
        start = start + copies[Place("pos_embed")]
    close(copies[Place("resid_pre", 0)], start)


def test_what_is_written_to_the_embedding_is_what_the_model_starts_from(name):
    model = model_of(name)
    width = find_layout(model).module(find_layout(model).family.embed).weight.shape[1]
    value = torch.randn(ROWS, COLUMNS, width, generator=torch.Generator().manual_seed(1))
    written = run(model, (Place("embed"), lambda tensor: tensor.copy_(value)))
    assert torch.equal(written, run(model, inputs_embeds=value))


@pytest.mark.parametrize("name", LEARNED_POSITIONS, indirect=True)
def test_positions_can_be_written_in_one_row_only(name):
    model = model_of(name)
    base = run(model)

    def write(tensor):
        tensor[1, 3, :8] += 1

    written = run(model, (Place("pos_embed"), write))
    assert torch.equal(written[0], base[0])
    assert torch.equal(written[1, :3], base[1, :3])
    assert (written[1, 3:] - base[1, 3:]).abs().amax(-1).min() > 1e-3
    by_hand = copy.deepcopy(model)
    layout = find_layout(by_hand)
    offset = 2 if name.startswith("opt") else 0  # OPT keeps two rows for other purposes
    layout.module(layout.family.pos_embed).weight[offset + 3, :8] += 1
    close(written[1], run(by_hand)[1])
    embeds = torch.randn(ROWS, COLUMNS, 16 if name == "opt-post-norm" else 32)
    given = run(model, (Place("pos_embed"), write), inputs_embeds=embeds)
    close(given[0], run(model, inputs_embeds=embeds)[0])


@pytest.mark.parametrize("component", ["resid_pre", "resid_post"])
def test_what_is_written_between_blocks_is_what_a_plain_hook_writes(name, component):
    model = model_of(name)
    value = torch.randn(ROWS, COLUMNS, 32, generator=torch.Generator().manual_seed(1))
    written = run(model, (Place(component, 2), lambda tensor: tensor.copy_(value)))

    def replace(module, given, output):
        return (value, *output[1:]) if isinstance(output, tuple) else value

    block = block_of(model, name, 1 if component == "resid_pre" else 2)
    plain = block.register_forward_hook(replace)
    by_hand = run(model)
    plain.remove()
    assert torch.equal(written, by_hand)


def test_what_is_written_in_the_middle_reaches_the_mlp_and_the_residual_stream(name):
    model = model_of(name)
    if name in PARALLEL:
        assert not find_layout(model).family.mid
        return
    value = torch.randn(ROWS, COLUMNS, 32, generator=torch.Generator().manual_seed(1))
    factor = 0.6 if name == "granite" else 1.0
    for layer in range(LAYERS):
        after = [Place(component, layer) for component in ("mlp_out", "resid_post")]
        use = (Place("resid_mid", layer), lambda tensor: tensor.copy_(value))
        copies, _ = read(model, after, use)
        block = block_of(model, name, layer)
        added = mlp(block, name, value)
        close(copies[after[0]], added)
        total = value + factor * added
        close(copies[after[1]], block.final_layer_norm(total) if "post" in name else total)


def test_a_write_changes_nothing_upstream(name):
    """Neither what was computed before, nor, through shared memory, its tensors afterwards."""
    model = model_of(name)
    places = list(places_of(model))
    base, _ = read(model, places)
    steps = {component: step for step, group in enumerate(ORDER) for component in group}
    for place in written_places_of(model, layers=(1, LAYERS - 1)):
        if place.component in BEFORE_BLOCKS:
            continue

        def is_before(other, place=place):
            if other.component in BEFORE_BLOCKS or other.layer < place.layer:
                return True
            return other.layer == place.layer and steps[other.component] < steps[place.component]

        before = [other for other in places if is_before(other)]
        seen, views = read(model, before, (place, lambda tensor: tensor.mul_(-1.5)))
        for other in before:
            assert torch.equal(seen[other], base[other]), (place, other)
            assert torch.equal(views[other], base[other]), (place, other)


def test_columns_before_a_written_one_stay_as_they_are(name):
    model = model_of(name)
    base = run(model)

    def write(tensor):
        tensor[1, 5] *= -1

    for place in written_places_of(model, layers=[1]):
        written = run(model, (place, write))
        close(written[0], base[0])
        close(written[1, :5], base[1, :5])
        assert (written[1, 5:] - base[1, 5:]).abs().max() > 1e-3, place


def test_hooks_on_one_place_see_each_others_writes(name):
    model = model_of(name)
    for place in written_places_of(model, layers=[1]):
        seen = []
        run(
            model,
            (place, torch.Tensor.zero_),
            (place, lambda tensor, seen=seen: seen.append(tensor.abs().max().item())),
        )
        assert seen == [0.0], place


def test_heads_of_the_same_layer_can_be_written_together(name):
    model = model_of(name)
    for component in HEADWISE:
        count = find_layout(model).heads_of(component)
        one_by_one = [(Place(component, 1, head), torch.Tensor.zero_) for head in range(count)]
        all_at_once = run(model, (Place(component, 1), torch.Tensor.zero_))
        assert torch.equal(run(model, *one_by_one), all_at_once)


def test_blocks_may_be_called_one_by_one_and_by_name():
    """As an engine does that enters at a layer in the middle."""
    model = model_of("phi3")
    layout, block = find_layout(model), block_of(model, "phi3", 1)
    hidden = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1))
    positions = model.model.rotary_emb(hidden, torch.arange(5)[None])
    with torch.inference_mode():
        expected = block(-hidden, position_embeddings=positions, attention_mask=None)
        flip = hook(layout, Place("resid_pre", 1), torch.Tensor.neg_, write=True)
        by_name = block(hidden_states=hidden, position_embeddings=positions, attention_mask=None)
        in_order = block(hidden, position_embeddings=positions, attention_mask=None)
        flip.remove()
    assert torch.equal(by_name, expected)
    assert torch.equal(in_order, expected)
