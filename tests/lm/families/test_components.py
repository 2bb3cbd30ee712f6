"""The table of components: what it says is so, and a row is all that a new component takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cfgen.lm import (
    COMPONENTS,
    Component,
    Family,
    Layout,
    Place,
    Stage,
    check_places,
    find_layout,
    hook,
    place_problems,
)
from cfgen.lm.hooks import FORMS
from tests.families import ALL
from tests.lm.families.by_hand import (
    BEFORE_BLOCKS,
    HEADWISE,
    LAYERS,
    OWN,
    model_of,
    output_projection,
    text,
)

RAW = Component(
    "attn_raw",
    "output of the attention's output projection, before a norm behind it",
    Stage.ATTENTION,
    module="out_proj",
)
"""A component that is not in the table."""


def run(model, *uses, write=True):
    layout = find_layout(model)
    hooks = [hook(layout, place, use, write=write) for place, use in uses]
    with torch.inference_mode():
        logits = model(text(), use_cache=False).logits
    for handle in hooks:
        handle.remove()
    return logits


def test_the_table_can_be_read_without_torch():
    code = "import cfgen.lm.components, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rows_are_in_order_and_name_what_there_is():
    rows = list(COMPONENTS.values())
    assert rows == sorted(rows, key=lambda row: row.stage)
    assert all(row.name == name for name, row in COMPONENTS.items())
    assert all(hasattr(Family, row.module) for row in rows if row.module)
    assert all(hasattr(Layout, row.needs) for row in rows if row.needs)
    assert {row.instead for row in rows if row.read_only} <= {*COMPONENTS}
    assert {row.form for row in rows} == set(FORMS)
    assert [row.name for row in rows if row.before_blocks] == list(BEFORE_BLOCKS)
    assert {row.name for row in rows if row.by_head} == {*HEADWISE, *OWN, "head_result"}
    assert {row.name for row in rows if row.recomputed} == {*OWN, "mlp_in"}
    assert [row.name for row in rows if row.read_only] == ["head_result"]
    with_heads = {row.name for row in rows if row.by_head}
    assert {row.name for row in rows if not row.by_neuron} == with_heads
    assert [row.name for row in rows if row.over_keys] == ["attn_pattern"]


@pytest.mark.parametrize("name", ALL)
def test_other_tokens_see_what_is_written_unless_it_is_behind_the_keys(name):
    """In the last block, where they have no later one to see it in."""
    model = model_of(name)
    base = run(model)

    def write(tensor):
        tensor[:, 5] *= -1

    for component in set(find_layout(model).components) - set(BEFORE_BLOCKS):
        if COMPONENTS[component].read_only:
            continue
        later = (run(model, (Place(component, LAYERS - 1), write)) - base)[:, 6:].abs().max()
        assert (later < 1e-5) == COMPONENTS[component].behind_keys, component


def test_problems_of_places_can_be_told_without_an_lm():
    assert place_problems(Place("resid_post", 99)) == []
    assert place_problems(Place("head_out", 3, 7)) == []
    assert place_problems(Place("head_result", 3, 7), write=False) == []
    wrong = [
        Place("head_result", 3, 7),
        Place("resid_pst"),
        Place("mlp_out", 1, 2),
        Place("embed", 1),
        Place("q", 0, -1),
    ]
    problems = [problem for place in wrong for problem in place_problems(place)]
    assert [(problem.code, problem.hint) for problem in problems] == [
        ("component-read-only", "write head_out"),
        ("unknown-component", "did you mean 'resid_post'?"),
        ("no-such-head", "mlp_out has no heads"),
        ("no-such-layer", "its layer is 0"),
        ("no-such-head", "heads count from 0"),
    ]


def test_a_component_takes_a_row(monkeypatch):
    monkeypatch.setitem(COMPONENTS, RAW.name, RAW)
    model = model_of("gemma2")  # which norms what the projection gives
    layout = find_layout(model)
    assert layout.components.index("attn_raw") == layout.components.index("attn_out") + 1
    check_places(layout, [Place("attn_raw", 2)])
    assert layout.shape_of(Place("attn_raw", 2), 12) == (32,)
    projected, seen = [], []
    taken = output_projection(model.model.layers[2], "gemma2").register_forward_hook(
        lambda module, given, output: projected.append(output)
    )
    base = run(model, (Place("attn_raw", 2), lambda tensor: seen.append(tensor)), write=False)
    taken.remove()
    assert torch.equal(seen[0], projected[0])

    def write(tensor):
        tensor[1, 5] *= -1

    written = run(model, (Place("attn_raw", 2), write))
    assert torch.equal(written[0], base[0])
    assert (written[1, 5:] - base[1, 5:]).abs().max() > 1e-3
