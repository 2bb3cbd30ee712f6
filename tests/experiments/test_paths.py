"""Path patching against plain loops with PyTorch's own hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.experiments import SweepOptions
from cfgen.experiments import answer as run
from cfgen.report import figure_bytes, figure_of
from tests.experiments.test_effects import by_place, difference, ids_of
from tests.experiments.test_tracing import traceable
from tests.inquiries import ask, request_of
from tests.stories import WORDS

LAYERS = 4


@pytest.fixture(scope="module")
def lm(build_tiny_lm):
    """Every head has keys and values of its own, which plain hooks can change."""
    return build_tiny_lm(WORDS, num_key_value_heads=4)


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    """Pairs whose two answers differ, of prompts of one length."""
    found = [
        pair
        for pair in answer(lm, make.pairs(60, seed=5))
        if pair.original.answer != pair.counterfactual.answer
    ]
    assert all(len(ids_of(lm, p.original)) == len(ids_of(lm, p.counterfactual)) for p in found)
    return found[:6]


def patched(lm, pairs, *, component="head_out", sweep=None, **fields):
    site = Site("last", component=component)
    fields = {"measures": ("logit_difference",), **fields}
    sweep = SweepOptions(**(sweep or {}))
    return ask(lm, pairs, {"paths": site}, method="paths", sweep=sweep, **fields)


class Recorder:
    """What comes out of modules, or goes into them, in a run of a prompt."""

    def __init__(self, lm, ids: Sequence[int]) -> None:
        self.lm = lm
        self.attention: list[torch.Tensor] = []  # per layer (tokens, width)
        self.heads: list[torch.Tensor] = []  # what the output projection takes
        self.mlp: list[torch.Tensor] = []
        self.parts: dict[str, list[torch.Tensor]] = {"q": [], "k": [], "v": []}
        with ExitStack() as stack:
            for layer in lm.model.model.layers:
                attention = layer.self_attn
                for module, kept in (
                    (layer.mlp, self.mlp),
                    (attention.q_proj, self.parts["q"]),
                    (attention.k_proj, self.parts["k"]),
                    (attention.v_proj, self.parts["v"]),
                ):
                    stack.enter_context(seen(module, kept))
                stack.enter_context(seen(attention, self.attention))
                stack.enter_context(seen(attention.o_proj, self.heads, given=True))
            lm.model(torch.tensor([ids]))


@contextmanager
def seen(module: Any, kept: list[torch.Tensor], *, given: bool = False) -> Iterator[None]:
    def hook(_module: Any, arguments: Any, output: Any) -> None:
        first = arguments[0] if given else output[0] if isinstance(output, tuple) else output
        kept.append(first[0].clone())

    handle = module.register_forward_hook(hook)
    yield
    handle.remove()


@contextmanager
def written(module: Any, value: torch.Tensor, part: slice | None = None) -> Iterator[None]:
    """While in here, what comes out of a module is this (or a part of it is)."""

    def hook(_module: Any, _arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        first[0][:, part or slice(None)] = value[:, part or slice(None)]

    handle = module.register_forward_hook(hook)
    yield
    handle.remove()


@contextmanager
def sent(
    lm, clean: Recorder, other: Recorder, layer: int, head: int, frozen: bool
) -> Iterator[None]:
    """One head as in the other prompt, all attention behind it as it was."""
    layers = lm.model.model.layers
    width = lm.model.config.head_dim
    part = slice(head * width, (head + 1) * width)

    def replace(_module: Any, arguments: Any) -> Any:
        given = arguments[0].clone()
        given[0][:, part] = other.heads[layer][:, part]
        return (given,)

    with ExitStack() as stack:
        handle = layers[layer].self_attn.o_proj.register_forward_pre_hook(replace)
        stack.callback(handle.remove)
        for later in range(layer + 1, LAYERS):
            stack.enter_context(written(layers[later].self_attn, clean.attention[later]))
        for later in range(layer, LAYERS) if frozen else ():
            stack.enter_context(written(layers[later].mlp, clean.mlp[later]))
        yield


@pytest.mark.parametrize("mlps", ["recomputed", "frozen"])
def test_effects_on_the_logits_are_those_of_a_plain_loop(lm, pairs, mlps):
    record = patched(lm, pairs, mlps=mlps)
    for pair in pairs:
        one, other = ids_of(lm, pair.original), ids_of(lm, pair.counterfactual)
        clean, source = Recorder(lm, one), Recorder(lm, other)
        before = difference(lm, pair, one, "original")
        for layer in range(LAYERS):
            for head in range(4):
                with sent(lm, clean, source, layer, head, mlps == "frozen"):
                    expected = difference(lm, pair, one, "original") - before
                found = by_place(record, "change", head=head)[layer][pair.id]
                assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_effects_through_a_head_are_those_of_a_plain_loop(lm, pairs, part):
    """Twice: first what the receiver gets, then the original with nothing but that."""
    record = patched(lm, pairs, receivers=(f"3.2.{part}",))
    assert {one.layer for one in record.effects} == {0, 1, 2}
    projection = getattr(lm.model.model.layers[3].self_attn, f"{part}_proj")
    width = lm.model.config.head_dim
    own = slice(2 * width, 3 * width)
    for pair in pairs[:3]:
        one, other = ids_of(lm, pair.original), ids_of(lm, pair.counterfactual)
        clean, source = Recorder(lm, one), Recorder(lm, other)
        before = difference(lm, pair, one, "original")
        for layer in range(3):
            for head in range(4):
                with sent(lm, clean, source, layer, head, frozen=False):
                    received = Recorder(lm, one).parts[part][3]
                with written(projection, received, own):
                    expected = difference(lm, pair, one, "original") - before
                found = by_place(record, "change", head=head)[layer][pair.id]
                assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("mlps", ["recomputed", "frozen"])
def test_all_attention_at_once_into_an_mlp_is_that_of_a_plain_loop(lm, pairs, mlps):
    """The attention of its own layer comes before it, and counts as a sender.

    The receiver is not held, even where MLPs are: nothing would be sent to it.
    """
    record = patched(lm, pairs, component="attn_out", receivers=("2.mlp",), mlps=mlps)
    assert any(abs(one.value) > 1e-3 for one in record.effects)
    assert {one.layer for one in record.effects} == {0, 1, 2}
    layers = lm.model.model.layers
    for pair in pairs[:3]:
        one, other = ids_of(lm, pair.original), ids_of(lm, pair.counterfactual)
        clean, source = Recorder(lm, one), Recorder(lm, other)
        before = difference(lm, pair, one, "original")
        for layer in range(3):
            with ExitStack() as stack:
                stack.enter_context(written(layers[layer].self_attn, source.attention[layer]))
                for later in range(layer + 1, LAYERS):
                    stack.enter_context(written(layers[later].self_attn, clean.attention[later]))
                for later in range(layer, 2) if mlps == "frozen" else ():
                    stack.enter_context(written(layers[later].mlp, clean.mlp[later]))
                received = Recorder(lm, one).mlp[2]
            with written(layers[2].mlp, received):
                expected = difference(lm, pair, one, "original") - before
            assert by_place(record, "change")[layer][pair.id] == pytest.approx(expected, abs=2e-3)


def test_a_sender_behind_its_receiver_is_not_tried(lm, pairs):
    with pytest.raises(CfgenError, match="no-path"):
        patched(lm, pairs, receivers=("1.0.q",), sweep={"over": "1-3"})


@pytest.mark.parametrize(("family", "layers"), [("gpt2", {0, 1, 2}), ("gpt_neox", {0, 1})])
def test_where_attention_and_mlp_are_side_by_side_none_leads_to_the_other(
    build_family_lm, make, answer, family, layers
):
    lm = build_family_lm(family, seed=1)
    pairs = traceable(make, answer, lm)
    record = patched(lm, pairs, component="attn_out", receivers=("2.mlp",), mlps="frozen")
    assert {one.layer for one in record.effects} == layers
    for engine in ("packed", "reference"):
        again = patched(
            lm, pairs, component="attn_out", receivers=("2.mlp",), mlps="frozen", engine=engine
        )
        assert [one.value for one in again.effects] == pytest.approx(
            [one.value for one in record.effects], abs=1e-3
        )


def test_a_receiver_that_there_is_not(lm, pairs):
    for receiver, code in (("9.0.q", "no-such-layer"), ("1.9.q", "no-such-head")):
        with pytest.raises(CfgenError, match=code):
            patched(lm, pairs, receivers=(receiver,))


def test_both_engines_agree(lm, pairs):
    for receivers in (("logits",), ("3.1.q",), ("3.mlp",)):
        packed, plain = (
            patched(lm, pairs[:3], receivers=receivers, engine=engine)
            for engine in ("packed", "reference")
        )
        for one, other in zip(packed.effects, plain.effects, strict=True):
            assert one.value == pytest.approx(other.value, abs=1e-3)


def test_prompts_of_other_lengths_are_left_out_for_all_but_logits(lm, pairs, make, answer):
    """A pair whose prompts have different numbers of tokens has a path to the logits alone."""
    built = [
        make.pair(
            make.story(("Ann", "Ben"), ("mug", "jar"), (one, "milk"), 0, "Story: "),
            make.story(("Ben", "Ann"), ("jar", "mug"), ("milk", other), 1),
            99,
        )
        for one in ("tea", "juice", "water")
        for other in ("tea", "juice", "water")
    ]
    found = [p for p in answer(lm, built) if p.original.answer != p.counterfactual.answer]
    several = [*pairs, found[0]]
    logits = patched(lm, several)
    assert {cell.n for cell in logits.cells} == {len(several)}
    through = patched(lm, several, receivers=("3.1.q",))
    assert {cell.n for cell in through.cells} == {len(pairs)}
    reasons = [reason for several in through.unaligned.values() for reason in several.items()]
    assert {*reasons} == {("the two prompts have different numbers of tokens", 1)}


@pytest.mark.usefixtures("loaded")
def test_several_receivers_are_drawn_as_a_matrix(pairs, tmp_path):
    """The senders that do most to any of them, in order, against the receivers."""
    receivers = ("logits", "3.2.q", "2.mlp")
    asked = request_of(
        pairs,
        {"paths": Site("last", component="head_out")},
        method="paths",
        measures=("logit_difference",),
        receivers=receivers,
    )
    found = run(asked, tmp_path / "out")
    figure = figure_of(found.results)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(receivers)
    senders = [label.get_text() for label in axes.get_yticklabels()]
    assert senders == [f"{layer}.{head}" for layer in range(LAYERS) for head in range(4)]
    values = axes.collections[0].get_array()  # masked where there is no path
    changes = {
        (cell.position.rpartition(" ")[2], f"{cell.layer}.{cell.head}"): cell.value
        for cell in found.results.cells
        if cell.hypothesis == "change"
    }
    for row, sender in enumerate(senders):
        for column, receiver in enumerate(receivers):
            known = changes.get((receiver, sender))
            assert known is None or values[row, column] == pytest.approx(known)
    low, high = axes.collections[0].get_clim()
    assert low == -high
    assert figure_bytes(figure, "png")
