from __future__ import annotations

import torch

from cfgen.counterfactuals import Site
from cfgen.interventions.reference import prepare, sweep
from cfgen.interventions.swaps import align
from cfgen.lm.tokens import encode_pairs


def test_blocks_that_return_tuples_give_the_same(build_tiny_lm, make):
    lm, other = build_tiny_lm(), build_tiny_lm()
    for block in other.model.model.layers:
        inner = block.forward
        block.forward = lambda hidden, *args, _f=inner, **kwargs: (
            _f(hidden[0] if isinstance(hidden, tuple) else hidden, *args, **kwargs),
            "more",
        )
    norm = other.model.model.norm
    plain = norm.forward
    norm.forward = lambda hidden: plain(hidden[0])
    swaps = list(
        align(encode_pairs(lm.tokenizer, make.pairs(3)), Site(("drink_1",))).swaps.values()
    )
    expected = dict(sweep(lm, prepare(lm, swaps), range(4), False))
    got = dict(sweep(other, prepare(other, swaps), range(4), False))
    for layer in range(4):
        torch.testing.assert_close(got[layer], expected[layer])
