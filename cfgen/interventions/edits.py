"""Interventions as data: edits, the branches that they form, and what makes them impossible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.lm import SHOWN, Layout, Place, check_places


@dataclass(frozen=True, slots=True)
class FromPrompt:
    """Values that a prompt has when nothing is changed in it, at the place that is edited.

    Attributes:
        prompt: Index of the prompt; it may be the one that is edited.
        positions: Its token positions, one for each position of the edit.
    """

    prompt: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Values given as numbers.

    Attributes:
        values: (positions, *shape), with the shape that one token has at the place: (width,);
            (heads, head width), or (head width,) for one head; (neurons,). For an attention
            pattern the last dimension is the length of the prompt that is edited.
    """

    values: Tensor


@dataclass(frozen=True, slots=True)
class Edit:
    """Overwrite what tokens of the prompt have at one place.

    Attributes:
        place: Component, layer, and head or neurons.
        positions: Token positions in the prompt that is edited. For ``attn_pattern`` these are
            the positions that attend.
        value: What is written there.
    """

    place: Place
    positions: tuple[int, ...]
    value: FromPrompt | Constant


@dataclass(frozen=True, slots=True)
class Branch:
    """One intervention: edits that are made together in one prompt.

    Edits apply to the prompt. Where the answer has several tokens, those are not edited.

    Attributes:
        prompt: Index of the prompt that is edited.
        edits: What is overwritten.
    """

    prompt: int
    edits: tuple[Edit, ...]

    @property
    def sources(self) -> tuple[int, ...]:
        """The prompts that values are taken from."""
        return tuple(
            dict.fromkeys(e.value.prompt for e in self.edits if isinstance(e.value, FromPrompt))
        )


def check_branches(
    layout: Layout, prompts: Sequence[Sequence[int]], branches: Sequence[Branch]
) -> None:
    """Check that interventions can be made.

    Args:
        layout: Where everything is in the LM.
        prompts: Token ids of the prompts.
        branches: The interventions.

    Raises:
        CfgenError: The LM has no such place (see :func:`cfgen.lm.layout.check_places`), a prompt or
            a position isn't there or values have the wrong shape (``edit-impossible``), or two
            edits of a branch overwrite the same thing (``edits-overlap``). All problems at once.
    """
    check_places(layout, dict.fromkeys(edit.place for b in branches for edit in b.edits))
    problems = []
    for index, branch in enumerate(branches):
        if not 0 <= branch.prompt < len(prompts):
            problems.append(_impossible(index, f"there is no prompt {branch.prompt}"))
            continue
        if not len(prompts[branch.prompt]):
            problems.append(_impossible(index, f"prompt {branch.prompt} has no token"))
            continue
        edits, prompt = branch.edits, branch.prompt
        wrong = [text for edit in edits for text in _wrong(layout, prompt, edit, prompts)]
        problems += [_impossible(index, text) for text in wrong]
        if len(branch.edits) > 1 and (twice := _overlap(branch)):
            problems.append(twice)
        if len(problems) >= SHOWN:
            break
    if problems:
        raise CfgenError(problems[:SHOWN])


def _wrong(
    layout: Layout, prompt: int, edit: Edit, prompts: Sequence[Sequence[int]]
) -> Iterator[str]:
    value = edit.value
    length = len(prompts[prompt])
    yield from _outside(edit.positions, length, f"prompt {prompt}")
    if len(set(edit.positions)) != len(edit.positions):
        yield "a position is named twice in one edit"
    if isinstance(value, Constant):
        shape, wanted = tuple(value.values.shape), layout.shape_of(edit.place, length)
        if shape[:1] != (len(edit.positions),):
            yield f"{len(edit.positions)} positions, but values for {shape[0] if shape else 'none'}"
        elif shape[1:] != wanted:
            yield f"values of shape {shape[1:]} where one token has {wanted}: {edit.place}"
        return
    if not 0 <= value.prompt < len(prompts):
        yield f"there is no prompt {value.prompt}"
        return
    yield from _outside(value.positions, len(prompts[value.prompt]), f"prompt {value.prompt}")
    if len(value.positions) != len(edit.positions):
        yield f"{len(edit.positions)} positions take their values from {len(value.positions)}"
    if not edit.place.row.fits(length, len(prompts[value.prompt])):
        yield f"attention patterns of prompts with {len(prompts[value.prompt])} and {length} tokens"


def _outside(positions: Sequence[int], length: int, what: str) -> Iterator[str]:
    if not positions:
        yield "an edit without a position"
    elif not (min(positions) >= 0 and max(positions) < length):
        wrong = next(p for p in positions if not 0 <= p < length)
        yield f"{what} has positions 0 to {length - 1}, not {wrong}"


def _impossible(branch: int, text: str) -> Problem:
    hint = "positions and prompts count from 0; values need one row for every position"
    return Problem("edit-impossible", f"intervention {branch}: {text}", hint=hint)


def _overlap(branch: Branch) -> Problem | None:
    """Whether two edits write the same numbers, so that the outcome would hang on their order."""
    seen: dict[tuple[str, int, int], list[Place]] = {}
    for edit in branch.edits:
        for position in edit.positions:
            others = seen.setdefault((edit.place.component, edit.place.layer, position), [])
            if any(_meet(edit.place, other) for other in others):
                message = (
                    f"two edits overwrite {edit.place.component} of layer {edit.place.layer} "
                    f"at position {position}"
                )
                hint = "name every head, neuron and position in one edit only"
                return Problem("edits-overlap", message, hint=hint)
            others.append(edit.place)
    return None


def _meet(one: Place, other: Place) -> bool:
    if one.head is not None and other.head is not None:
        return one.head == other.head
    if one.neurons and other.neurons:
        return not set(one.neurons).isdisjoint(other.neurons)
    return True
