from __future__ import annotations

import pytest
import torch

from cfgen.interventions import Branch, Edit, FromPrompt, run_branches
from cfgen.lm import Place

PROMPTS = [(5, 6, 7, 8, 9), (10, 11, 12, 13, 14)]


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_blocks_that_return_tuples_give_the_same(build_tiny_lm, engine):
    lm, other = build_tiny_lm(), build_tiny_lm()
    for block in other.model.model.layers:
        inner = block.forward
        block.forward = lambda hidden, *args, _f=inner, **kwargs: (
            _f(hidden[0] if isinstance(hidden, tuple) else hidden, *args, **kwargs),
            "more",
        )
        block.register_forward_pre_hook(
            lambda m, given: (given[0][0] if isinstance(given[0], tuple) else given[0], *given[1:])
        )
    norm = other.model.model.norm
    plain = norm.forward
    norm.forward = lambda hidden: plain(hidden[0] if isinstance(hidden, tuple) else hidden)
    branches = [
        Branch(0, (Edit(Place("resid_post", layer), (p,), FromPrompt(1, (p,))),))
        for layer in range(4)
        for p in (2, 4)
    ]
    first, second = (
        run_branches(each, PROMPTS, branches, engine=engine, keep_logits=True)
        for each in (lm, other)
    )
    torch.testing.assert_close(first.logits, second.logits)
