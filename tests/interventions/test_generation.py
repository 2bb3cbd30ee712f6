"""Generation against the LM's own, and against plain loops that keep nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import (
    HERE,
    Add,
    Constant,
    Copy,
    Edit,
    Mix,
    Run,
    continue_runs,
)
from cfgen.lm import Place, find_layout, hook
from tests.families import ALL, EXPERTS
from tests.interventions.tiny import engine_of, layout_of, lm_of, numbers
from tests.sampling import one_in

PROMPTS = (
    (5, 17, 30, 44, 9),
    (8, 61, 12, 70, 33, 29, 50, 41, 18, 22, 77, 90),
    (60, 11, 7),
)
COUNT = 8


def own(lm, prompt, count=COUNT) -> tuple[int, ...]:
    """What ``generate`` of transformers gives, one prompt at a time."""
    ids = torch.tensor([prompt])
    out = lm.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count
    )
    found = out[0, len(prompt) :].tolist()
    return tuple(found[: found.index(2)] if 2 in found else found)


def plain(lm, run: Run, count: int, *, always: bool) -> tuple[int, ...]:
    """Token by token, everything anew each time, with hooks at positions."""
    layout, said = find_layout(lm.model), []
    for _ in range(count):
        ids = [*run.prompt, *said]
        with ExitStack() as hooks:
            for edit in run.edits:

                def write(view: torch.Tensor, edit: Edit = edit) -> None:
                    at = list(edit.positions)
                    rows = [*range(len(at))]
                    if always:
                        new = range(len(run.prompt), view.shape[1])
                        rows += [len(at) - 1] * len(new)
                        at += new
                    now = view[0, at]
                    part = list(edit.place.neurons) or slice(None)
                    value: Any = edit.value
                    if isinstance(value, Mix):
                        now[..., part] = 0
                    elif isinstance(value, Add):
                        now[..., part] += value.numbers[rows]
                    else:
                        now[..., part] = value.numbers[rows]
                    view[0, at] = now

                put = hook(layout, replace(edit.place, neurons=()), write, write=True)
                hooks.callback(put.remove)
            with torch.no_grad():
                logits = lm.model(torch.tensor([ids])).logits[0, -1]
        said.append(int(logits.argmax()))
    return tuple(said[: said.index(2)] if 2 in said else said)


def edited(name: str, prompt: tuple[int, ...]) -> list[Run]:
    """Runs with edits of every kind that says what comes at further tokens."""
    layout, last = layout_of(name), len(prompt) - 1
    state, mlp = Place("resid_post", 1), Place("mlp_out", 2)
    every = tuple(range(len(prompt)))
    head = Place("head_out", 2, head=1)
    found = [
        [Edit(state, (last,), Add(2 * numbers(layout, state, 1, 0, 1)))],
        [Edit(mlp, every, Mix(((0.0, HERE),))), Edit(head, (last,), Mix(((0.0, HERE),)))],
        [Edit(mlp, (last - 1, last), Constant(numbers(layout, mlp, 2, 0, 2)))],
        [Edit(replace(state, neurons=(3, 9)), (last,), Constant(torch.full((1, 2), 20.0)))],
    ]
    return [Run(prompt, tuple(edits)) for edits in found]


@pytest.mark.parametrize("name", [*ALL, *EXPERTS])
def test_without_edits_it_is_the_generation_of_the_lm_itself(name):
    lm = lm_of(name)
    found, work = continue_runs(
        engine_of(lm, "reference"), [Run(p) for p in PROMPTS], COUNT, always=True
    )
    assert found == [own(lm, prompt) for prompt in PROMPTS]
    assert work.edited.edits == 0


@pytest.mark.parametrize("always", one_in(2, [True, False]), ids=["always", "prompt"])
@pytest.mark.parametrize("name", ALL)
def test_edits_are_made_in_the_prompt_or_at_every_token(name, always):
    """Against a loop without a cache; whichever engine is given."""
    lm = lm_of(name)
    runs = [run for prompt in PROMPTS for run in edited(name, prompt)]
    expected = [plain(lm, run, COUNT, always=always) for run in runs]
    found, work = continue_runs(engine_of(lm, "packed"), runs, COUNT, always=always)
    assert found == expected
    assert work.edited.edits > 0
    if name == "llama":
        other = [plain(lm, run, COUNT, always=not always) for run in runs]
        assert other != expected
        reference = engine_of(lm, "reference", batch_size=2)
        assert continue_runs(reference, [*runs, runs[0]], COUNT, always=always)[0] == [
            *expected,
            expected[0],
        ]


def test_an_interchange_in_the_prompt_is_that_of_the_state_given():
    lm = lm_of("gpt2")
    one, other = (Run(prompt) for prompt in PROMPTS[:2])
    engine, place = engine_of(lm, "packed"), Place("resid_post", 3)
    from cfgen.interventions import Read

    (state,) = engine.values([Read(other, (11,), place)])
    swapped = one.with_(Edit(place, (4,), Copy(other, (11,))))
    given = one.with_(Edit(place, (4,), Constant(state)))
    found, _ = continue_runs(engine, [swapped, given, one], COUNT, always=False)
    assert found[0] == found[1] == plain(lm, given, COUNT, always=False)
    assert found[0] != found[2]
    with pytest.raises(CfgenError, match="edit-ends-with-prompt"):
        continue_runs(engine, [swapped], COUNT, always=True)


def test_a_text_ends_where_the_lm_ends_it():
    """With a token that is said early made the one that ends texts."""
    lm = lm_of("llama")
    whole = own(lm, PROMPTS[0])
    settings = lm.model.generation_config
    before = settings.eos_token_id
    settings.eos_token_id = [whole[3], 2]
    try:
        found, _ = continue_runs(
            engine_of(lm, "reference"), [Run(p) for p in PROMPTS], COUNT, always=False
        )
    finally:
        settings.eos_token_id = before
    assert found[0] == whole[: whole.index(whole[3])]
    assert [len(one) for one in found] != [COUNT] * 3


def test_what_has_no_room_is_told_before_anything_is_run():
    lm = lm_of("gpt2")
    with pytest.raises(CfgenError, match="prompt-beyond-context"):
        continue_runs(engine_of(lm, "reference"), [Run(PROMPTS[0])], 600, always=False)
