"""What heads and MLPs are given, and what heads give, against slices of weights."""

from __future__ import annotations

import copy
import itertools
from contextlib import ExitStack
from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.lm import Place, find_layout, hook, shares
from tests.families import ALL
from tests.lm.families.by_hand import (
    COLUMNS,
    JOINT_NORM,
    LAYERS,
    NORM_BEHIND,
    OWN,
    PARALLEL,
    ROWS,
    attention_of,
    block_of,
    columns_of,
    heads_of,
    mlp,
    model_of,
    norm,
    output_projection,
    rows_of,
    text,
)
from tests.sampling import one_in

SEPARATE = [name for name in ALL if name not in JOINT_NORM]
GROUPED = [name for name in SEPARATE if heads_of(name)[1] == 2]


def padded():
    """A forward whose first row begins with three tokens of padding."""
    seen = torch.ones(ROWS, COLUMNS, dtype=torch.long)
    seen[0, :3] = 0
    positions = (seen.cumsum(-1) - 1).clamp(min=0)
    return {"input_ids": text(), "attention_mask": seen, "position_ids": positions}


def run(model, *uses, keep=(), **given):
    """Logits with ``(place, use)`` as writing hooks, and what is at places behind these."""
    layout, kept = find_layout(model), {}
    with ExitStack() as hooks, torch.inference_mode():
        for place, use in uses:
            hooks.callback(hook(layout, place, use, write=True).remove)
        for place in keep:
            see = lambda tensor, place=place: kept.update({place: tensor.clone()})  # noqa: E731
            hooks.callback(hook(layout, place, see, write=False).remove)
        logits = model(**(given or {"input_ids": text()}), use_cache=False).logits
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    return (logits, kept) if keep else logits


def put(value):
    return lambda tensor: tensor.copy_(value)


def nothing(tensor):
    tensor.copy_(tensor.clone())


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=5e-4, atol=5e-5)


def values(kind):
    """What to write: zeros, or numbers (rows, columns, width)."""
    if kind == "zeros":
        return torch.zeros(ROWS, COLUMNS, 32)
    return torch.randn(ROWS, COLUMNS, 32, generator=torch.Generator().manual_seed(1))


def project(block, name, part, value):
    """What a projection gives for a residual stream (rows, columns, its heads, head width)."""
    weight, bias = rows_of(block, name, part)
    made = torch.einsum("rci,hwi->rchw", norm(block, name, value), weight)
    return made if bias is None else made + bias


@pytest.mark.parametrize("name", SEPARATE)
def test_every_head_is_given_the_residual_stream(name):
    model = model_of(name)
    for layer in range(LAYERS):
        places = [Place(component, layer) for component in ("resid_pre", *OWN)]
        one = Place("k_in", layer, 2)
        _, seen = run(model, keep=[*places, one])
        stream = seen[places[0]]
        for place in places[1:]:
            assert torch.equal(seen[place], stream[:, :, None].expand(-1, -1, 4, -1))
        assert torch.equal(seen[one], stream)


@pytest.mark.parametrize("name", SEPARATE)
@pytest.mark.parametrize("kind", ["zeros", "numbers"])
def test_the_queries_of_a_head_are_made_of_what_it_is_given(name, kind):
    model, value = model_of(name), values(kind)
    for layer, head in ((0, 1), (LAYERS - 1, 3)):
        _, base = run(model, keep=[Place("q", layer)])
        _, seen = run(model, (Place("q_in", layer, head), put(value)), keep=[Place("q", layer)])
        expected = base[Place("q", layer)].clone()
        expected[:, :, head] = project(block_of(model, name, layer), name, "q", value)[:, :, head]
        close(seen[Place("q", layer)], expected)
        others = [other for other in range(4) if other != head]
        assert torch.equal(seen[Place("q", layer)][:, :, others], expected[:, :, others])


@pytest.mark.parametrize("name", SEPARATE)
@pytest.mark.parametrize("padding", one_in(2, [True, False]))
def test_a_written_input_changes_what_that_query_head_alone_looks_at(name, padding):
    """The projection of all heads of the group is written instead, and its one head taken."""
    model, given = model_of(name), padded() if padding else {"input_ids": text()}
    heads, kv_heads, _ = heads_of(name)
    base = run(model, **given)
    for component, head, kind in itertools.product(OWN, (0, 1, 3), ("zeros", "numbers")):
        part, value, layer = component[0], values(kind), 1
        slot = head if part == "q" else head * kv_heads // heads
        made = project(block_of(model, name, layer), name, part, value)[:, :, slot]
        out = Place("head_out", layer, head)
        whole = (Place(part, layer, slot), put(made))
        _, seen = run(model, whole, keep=[out], **given)
        by_hand = run(model, (out, put(seen[out])), **given)
        written, seen = run(
            model,
            (Place(component, layer, head), put(value)),
            keep=[Place("attn_pattern", layer), Place("head_out", layer)],
            **given,
        )
        real = given.get("attention_mask", torch.ones(ROWS, COLUMNS)) == 1
        close(written[real], by_hand[real])
        if kind == "numbers" or norm(block_of(model, name, layer), name, value).any():
            assert (written - base)[real].abs().max() > 1e-3
        _, before = run(
            model, keep=[Place("attn_pattern", layer), Place("head_out", layer)], **given
        )
        for place, tensor in seen.items():
            others = [other for other in range(heads) if other != head]
            assert torch.equal(tensor[:, :, others], before[place][:, :, others]), place


@pytest.mark.parametrize("name", SEPARATE)
def test_all_heads_can_be_given_what_another_prompt_has(name):
    """A block whose attention reads another stream, and adds to its own."""
    model = model_of(name)
    for layer in (0, 2):
        pre, out = Place("resid_pre", layer), Place("attn_out", layer)
        other = values("numbers")
        _, seen = run(model, (pre, put(other)), keep=[out])
        by_hand = run(model, (out, put(seen[out])))
        uses = [(Place(component, layer), put(other[:, :, None])) for component in OWN]
        written = run(model, *uses)
        close(written, by_hand)
        heads = [
            (Place(component, layer, head), put(other)) for component in OWN for head in range(4)
        ]
        assert torch.equal(run(model, *heads), written)


@pytest.mark.parametrize("name", SEPARATE)
def test_what_is_not_written_stays_as_it_is_to_the_bit(name):
    model = model_of(name)
    base = run(model)

    def write(tensor):
        tensor[1, 5] *= -1

    for component in OWN:
        assert torch.equal(run(model, (Place(component, 1), nothing)), base)
        assert torch.equal(run(model, (Place(component, 1, 2), nothing)), base)
        written = run(model, (Place(component, 1), write))
        assert torch.equal(written[0], base[0])
        assert torch.equal(written[1, :5], base[1, :5])
        assert (written[1, 5:] - base[1, 5:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", SEPARATE)
def test_hooks_work_together_in_any_order(name):
    model, rng = model_of(name), Random(0)
    grouped = name in GROUPED
    places = [
        Place("q_in", 1, 2),
        Place("k_in", 1),
        Place("k_in", 1, 3),
        Place("v_in", 1, 0),
        Place("resid_pre", 1),
        Place("q", 1, 1),
        Place("head_out", 1, 1),
        Place("attn_pattern", 1, 0),
        Place("mlp_in", 1),
        *([] if grouped else [Place("k", 1, 3), Place("v", 1)]),
    ]
    if name not in PARALLEL:
        places.append(Place("resid_mid", 1))

    def flip(place):
        if place.head is None:
            return lambda tensor: tensor.copy_(tensor.flip(1))
        return lambda tensor: tensor.mul_(1.5)

    first = None
    for _ in range(6):
        rng.shuffle(places)
        # of one component, whole before single heads
        places.sort(key=lambda place: place.head is not None if place.component == "k_in" else 0)
        logits = run(model, *((place, flip(place)) for place in places))
        first = logits if first is None else first
        assert torch.equal(logits, first), places


@pytest.mark.parametrize("name", GROUPED)
def test_shared_values_can_be_written_beside_keys_of_single_heads(name):
    model, value = model_of(name), values("numbers")
    out = [Place("head_out", 1, head) for head in range(4)]
    of_values = (Place("v", 1, 1), torch.Tensor.neg_)
    of_keys = (Place("k_in", 1, 3), put(value))
    _, both = run(model, of_keys, of_values, keep=out)
    _, keys = run(model, of_keys, keep=out)
    for head in range(4):
        sign = -1 if head >= 2 else 1  # the two that share value head 1
        close(both[out[head]], sign * keys[out[head]])


@pytest.mark.parametrize("name", GROUPED)
def test_what_heads_share_has_no_one_value_while_one_of_them_is_written(name):
    model = model_of(name)
    layout = find_layout(model)
    for part in ("k", "v"):
        shared, own = Place(part, 1, 0), Place(f"{part}_in", 1, 3)
        assert shares(layout, shared, own)
        assert not shares(layout, Place(part, 2, 0), own)
        assert not shares(layout, own, shared)
        for first, second in ((shared, own), (own, shared)):
            handle = hook(layout, first, nothing, write=first == own)
            with pytest.raises(CfgenError, match=f"{part}_in, layer 1 can't be used") as caught:
                hook(layout, second, nothing, write=True)
            assert [problem.code for problem in caught.value.problems] == ["component-shared"]
            handle.remove()
        read = hook(layout, own, lambda _: None, write=False)  # which leaves all as it is
        hook(layout, shared, nothing, write=True).remove()
        read.remove()
        run(model, (shared, nothing))
    assert not shares(layout, Place("q", 1), Place("q_in", 1))


@pytest.mark.parametrize("name", GROUPED)
def test_the_attention_counts_its_keys_as_before_when_the_last_hook_is_off(name):
    model = model_of(name)
    layout, attention = find_layout(model), attention_of(block_of(model, name, 1), name)
    counts = ("num_key_value_groups", "num_key_value_heads")
    before = [getattr(attention, count, None) for count in counts]
    handles = [
        hook(layout, Place(component, 1), nothing, write=True) for component in ("k_in", "v_in")
    ]
    assert attention.num_key_value_groups == 1
    handles[0].remove()
    handles[0].remove()
    assert attention.num_key_value_groups == 1
    handles[1].remove()
    assert [getattr(attention, count, None) for count in counts] == before


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["zeros", "numbers"])
def test_the_mlp_alone_is_given_what_is_written(name, kind):
    model, value = model_of(name), values(kind)
    factor = 0.6 if name == "granite" else 1.0
    for layer in (0, LAYERS - 1):
        middle = "resid_pre" if name in PARALLEL else "resid_mid"
        names = (middle, "mlp_in", "attn_out", "mlp_out", "resid_post")
        _, base = run(model, keep=[Place(n, layer) for n in names])
        _, seen = run(
            model, (Place("mlp_in", layer), put(value)), keep=[Place(n, layer) for n in names]
        )
        assert torch.equal(base[Place("mlp_in", layer)], base[Place(middle, layer)])
        assert torch.equal(seen[Place("mlp_in", layer)], value)
        for same in (middle, "attn_out"):
            assert torch.equal(seen[Place(same, layer)], base[Place(same, layer)])
        block = block_of(model, name, layer)
        added = mlp_by_hand(block, name, value)
        close(seen[Place("mlp_out", layer)], added)
        total = seen[Place(middle, layer)] + factor * added
        if name in PARALLEL:
            total = total + seen[Place("attn_out", layer)]
        if name == "opt-post-norm":
            total = block.final_layer_norm(total)
        close(seen[Place("resid_post", layer)], total)


def mlp_by_hand(block, name, value):
    if name == "gpt_neox":
        return block.mlp(block.post_attention_layernorm(value))
    return mlp(block, name, value)


@pytest.mark.parametrize("name", ALL)
def test_an_mlp_that_is_given_its_own_input_gives_the_same(name):
    model = model_of(name)
    base = run(model)
    assert torch.equal(run(model, (Place("mlp_in", 1), nothing)), base)

    def write(tensor):
        tensor[1, 5] *= -1

    written = run(model, (Place("mlp_in", 1), write), (Place("mlp_in", 1), nothing))
    assert torch.equal(written[0], base[0])
    assert torch.equal(written[1, :5], base[1, :5])
    assert (written[1, 5:] - base[1, 5:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name in ALL if name not in NORM_BEHIND])
def test_what_heads_give_adds_up_to_what_the_attention_adds(name):
    model = model_of(name)
    heads, _, width = heads_of(name)
    for layer in range(LAYERS):
        result, out = Place("head_result", layer), Place("head_out", layer)
        one, attn_out = Place("head_result", layer, 2), Place("attn_out", layer)
        _, seen = run(
            model,
            (Place("head_out", layer, 1), torch.Tensor.neg_),
            keep=[one, result, out, attn_out],
        )
        projection = output_projection(block_of(model, name, layer), name)
        weight = columns_of(projection, name).reshape(32, heads, width)
        close(seen[result], torch.einsum("rchw,ohw->rcho", seen[out], weight))
        close(seen[one], seen[result][:, :, 2])
        bias = projection.bias if getattr(projection, "bias", None) is not None else 0
        close(seen[result].sum(2) + bias, seen[attn_out])


def test_what_is_only_read_can_not_be_written():
    layout = find_layout(model_of("llama"))
    with pytest.raises(CfgenError, match="head_result can be read, not written") as caught:
        hook(layout, Place("head_result", 1), nothing, write=True)
    assert [problem.code for problem in caught.value.problems] == ["component-read-only"]


def gradient_places(name):
    layout = find_layout(model_of(name))
    written = [c for c in layout.components if c not in ("embed", "pos_embed", "head_result")]
    for component in written:
        yield Place(component, 1)
        if layout.heads_of(component):
            yield Place(component, 1, 1)


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_what_is_written(name):
    """Against finite differences, where what is written is what was there before."""
    model = copy.deepcopy(model_of(name)).double()
    layout, generator = find_layout(model), torch.Generator().manual_seed(2)
    for place in gradient_places(name):
        clean = []
        keep = hook(layout, place, lambda t, clean=clean: clean.append(t.clone()), write=False)
        with torch.no_grad():
            base = model(text(), use_cache=False).logits
        keep.remove()
        weights = torch.randn(base.shape, generator=generator, dtype=base.dtype)
        direction = torch.randn(clean[0].shape, generator=generator, dtype=clean[0].dtype)

        def measure(value, place=place, weights=weights):
            handle = hook(layout, place, put(value), write=True)
            logits = model(text(), use_cache=False).logits
            handle.remove()
            return logits, (logits * weights).sum()

        leaf = clean[0].clone().requires_grad_()
        logits, measured = measure(leaf)
        if place.component != "attn_pattern":  # another kernel
            assert torch.equal(logits.detach(), base), place
        (gradient,) = torch.autograd.grad(measured, leaf)
        # norms and softmax are float32 in any case; weights are small, and bends of ReLU near
        step = 1e-4 if place.component == "attn_pattern" else 1e-3
        with torch.no_grad():
            up, down = (measure(clean[0] + sign * step * direction)[1] for sign in (1, -1))
        slope = (up - down) / (2 * step)
        torch.testing.assert_close(
            (gradient * direction).sum().double(), slope, rtol=1e-2, atol=0.05, msg=str(place)
        )
        assert slope.abs() > 1e-2, place


@pytest.mark.parametrize("name", ALL)
def test_gradients_pass_through_what_is_written_back(name):
    """Neither lost nor counted twice on their way to the embedding."""
    model = copy.deepcopy(model_of(name)).double()
    layout = find_layout(model)
    width = layout.embed_width

    def gradient(*places):
        embeds = torch.randn(
            ROWS, COLUMNS, width, generator=torch.Generator().manual_seed(3), dtype=torch.double
        ).requires_grad_()
        with ExitStack() as hooks:
            for place in places:
                hooks.callback(hook(layout, place, nothing, write=True).remove)
            loss = model(inputs_embeds=embeds, use_cache=False).logits.square().sum()
        return torch.autograd.grad(loss, embeds)[0]

    base = gradient()
    for place in gradient_places(name):
        if place.component != "attn_pattern":
            torch.testing.assert_close(gradient(place), base, rtol=1e-4, atol=1e-3, msg=str(place))


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2", "cohere"])
def test_keys_of_single_heads_are_kept_for_tokens_that_follow(name):
    """A forward that goes on from a cache, with the hooks still on."""
    model = model_of(name)
    layout = find_layout(model)

    def write(tensor):
        if tensor.shape[1] > 1:
            tensor[:, 2] *= -1

    with ExitStack() as hooks, torch.inference_mode():
        for component in ("k_in", "v_in"):
            hooks.callback(hook(layout, Place(component, 1, 3), write, write=True).remove)
        whole = model(text(), use_cache=False).logits[:, -1]
        begun = model(text()[:, :-1], use_cache=True)
        last = model(text()[:, -1:], past_key_values=begun.past_key_values).logits[:, -1]
    close(last, whole)
