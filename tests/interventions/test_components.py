"""A component that is added to the table can be swapped, packed and reduced like any other."""

from __future__ import annotations

from random import Random

import torch

from cfgen.interventions import Branch, Constant, Edit
from cfgen.lm import COMPONENTS, Place
from tests.interventions.branching import compare, layout_of, lm_of, shape_of, swap, text
from tests.lm.families.test_components import RAW


def test_both_engines_run_it_and_leave_out_what_can_not_change_anything(monkeypatch):
    monkeypatch.setitem(COMPONENTS, RAW.name, RAW)
    rng = Random(3)
    prompts = [text(rng, 14), text(rng, 14)]
    layout = layout_of("gemma2")
    branches = [
        swap(Place(RAW.name, layer), 0, to, 1, to)
        for layer in range(layout.layers)
        for to in ([4, 9], [13])
    ]
    place = Place(RAW.name, 1)
    zeros = torch.zeros(1, *shape_of(layout, place, 14))
    branches.append(Branch(0, (Edit(place, (6,), Constant(zeros)),)))
    changing, tally = compare(lm_of("gemma2"), prompts, branches)
    # behind the keys of the last block, only the last token leads to the answer
    assert changing == len(branches) - 1
    assert tally.filled.total() == 1
