"""Hooks see the columns that a forward computes, also behind cached ones."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from cfgen.lm import COMPONENTS, Place, find_layout, hook
from tests.families import ALL
from tests.lm.families.by_hand import BEFORE_BLOCKS, COLUMNS, masks, model_of, text

PREFIX = 7
"""Tokens in the cache."""


def places(layout):
    for component in layout.components:
        if COMPONENTS[component].recomputed or COMPONENTS[component].read_only:
            continue  # the keys of a cache made without these don't fit
        yield Place(component, 0 if component in BEFORE_BLOCKS else 1)
        if layout.heads_of(component):
            yield Place(component, 1, 1)


def whole(model, place, use):
    """Logits of the last columns, from a forward of the whole text."""
    handle = hook(find_layout(model), place, use, write=True)
    logits = model(text(), use_cache=False).logits[:, PREFIX:]
    handle.remove()
    return logits


def behind_cache(model, name, place, use):
    """The same, with the first columns in a cache, and a mask made by hand."""
    cache = DynamicCache()
    positions = torch.arange(COLUMNS)[None]
    model(
        text()[:, :PREFIX],
        past_key_values=cache,
        use_cache=True,
        attention_mask=masks(name, PREFIX, PREFIX),
        position_ids=positions[:, :PREFIX],
    )
    handle = hook(find_layout(model), place, use, write=True)
    logits = model(
        text()[:, PREFIX:],
        past_key_values=cache,
        use_cache=True,
        attention_mask=masks(name, COLUMNS - PREFIX, COLUMNS),
        position_ids=positions[:, PREFIX:],
    ).logits
    handle.remove()
    return logits


@pytest.mark.parametrize("name", ALL)
@torch.inference_mode()
def test_a_write_behind_a_cache_is_a_write_in_the_whole_text(name):
    model = model_of(name)
    base = model(text(), use_cache=False).logits[:, PREFIX:]
    for place in places(find_layout(model)):
        seen = []

        def write(tensor, columns=PREFIX, seen=seen):
            seen.append(tensor.shape)
            tensor[1, columns + 2] *= -1

        expected = whole(model, place, write)
        actual = behind_cache(model, name, place, lambda tensor: write(tensor, 0))
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)
        assert (expected - base)[1].abs().max() > 1e-3, place
        assert [shape[1] for shape in seen] == [COLUMNS, COLUMNS - PREFIX]
        if place.component == "attn_pattern":
            assert [shape[-1] for shape in seen] == [COLUMNS, COLUMNS]
