"""Reading: what prompts have at chosen places and tokens when nothing is changed in them.

Whoever hooks a model for a forward counts how often the hooks run: one that runs otherwise than
planned makes every number wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.batches import Batch
from cfgen.interventions.edits import Edit, FromPrompt
from cfgen.lm import COMPONENTS, Layout, Place, hook


class Firing:
    """Counts the runs of the hooks of one forward.

    Args:
        what: What the hooks do, for the message: ``reading`` or ``an edit``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._times: Counter[Hashable] = Counter()

    def once(self, name: Hashable, use: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
        """Wrap what a hook does; it is planned to run once."""
        self._times[name] = 0

        def counted(view: Tensor) -> None:
            self._times[name] += 1
            use(view)

        return counted

    def check(self) -> None:
        """Check that every hook ran exactly once.

        Raises:
            CfgenError: One did not (``edit-did-not-fire``).
        """
        wrong = {name: times for name, times in self._times.items() if times != 1}
        if wrong:
            places = ", ".join(f"{_shown(name)}: {times} times" for name, times in wrong.items())
            message = (
                f"{self._what} was planned to fire once per forward, but fired otherwise ({places})"
            )
            hint = "this LM skips or repeats blocks, so nothing in it can be trusted: use another"
            raise CfgenError(Problem("edit-did-not-fire", message, hint=hint))


def _shown(name: Hashable) -> str:
    return f"{name[0]} of layer {name[1]}" if isinstance(name, tuple) else str(name)


Where = tuple[str, int]
"""Component and layer."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What has to be read.

    Attributes:
        places: At which components and layers.
        positions: Prompt -> its token positions; all of them are read at every place.
    """

    places: tuple[Where, ...]
    positions: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Values:
    """What was read.

    Attributes:
        tensors: Component and layer -> (tokens, *shape), the shape that one token has there, all
            heads and neurons included. For an attention pattern it ends in key positions, as
            many as the longest prompt has tokens.
        rows: Prompt and position -> which token of the tensors it is.
    """

    tensors: Mapping[Where, Tensor]
    rows: Mapping[tuple[int, int], int]


def needed(edits: Iterable[Edit]) -> Reads:
    """Collect what edits take from prompts."""
    places: dict[Where, None] = {}
    positions: dict[int, set[int]] = {}
    for edit in edits:
        if isinstance(edit.value, FromPrompt):
            places[edit.place.component, edit.place.layer] = None
            positions.setdefault(edit.value.prompt, set()).update(edit.value.positions)
    ordered = {prompt: tuple(sorted(found)) for prompt, found in positions.items()}
    return Reads(tuple(places), ordered)


@contextmanager
def reading(
    layout: Layout, batch: Batch, prompts: Sequence[int], reads: Reads
) -> Iterator[dict[Where, Tensor]]:
    """Read in the one forward that is run inside.

    Args:
        layout: Where everything is in the LM.
        batch: The batch that goes through the LM.
        prompts: Which prompt each row of it is.
        reads: What to read; prompts that are not in the batch are left out.

    Yields:
        Component and layer -> (tokens, *shape), filled by the forward; tokens by row, then
        position.

    Raises:
        CfgenError: A place did not come by exactly once (``edit-did-not-fire``).
    """
    tokens = [
        (row, position)
        for row, prompt in enumerate(prompts)
        for position in reads.positions.get(prompt, ())
    ]
    found: dict[Where, Tensor] = {}
    if not tokens:
        yield found
        return
    device = batch.input_ids.device
    rows = torch.tensor([row for row, _ in tokens], device=device)
    columns = torch.tensor([batch.column(*token) for token in tokens], device=device)
    pads = torch.tensor([batch.column(row, 0) for row, _ in tokens], device=device)
    firing = Firing("reading")
    with ExitStack() as hooks:
        for where in reads.places:
            use = firing.once(where, _reader(where, found, rows, columns, pads))
            hooks.callback(hook(layout, Place(*where), use, write=False).remove)
        yield found
    firing.check()


def merge(parts: Iterable[tuple[Sequence[int], Reads, Mapping[Where, Tensor]]]) -> Values:
    """Join what several forwards read.

    Args:
        parts: Per forward the prompts of its rows, what was asked for, and what was read.

    Returns:
        The values of all.
    """
    rows: dict[tuple[int, int], int] = {}
    found: dict[Where, list[Tensor]] = {}
    for prompts, reads, tensors in parts:
        if not tensors:
            continue
        for prompt in prompts:
            for position in reads.positions.get(prompt, ()):
                rows[prompt, position] = len(rows)
        for where, tensor in tensors.items():
            found.setdefault(where, []).append(tensor)
    return Values({where: _joined(where, tensors) for where, tensors in found.items()}, rows)


def _joined(where: Where, tensors: Sequence[Tensor]) -> Tensor:
    if COMPONENTS[where[0]].over_keys:
        tensors = same_keys(tensors)
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _reader(
    where: Where, found: dict[Where, Tensor], rows: Tensor, columns: Tensor, pads: Tensor
) -> Callable[[Tensor], None]:
    def use(view: Tensor) -> None:
        device = view.device
        values = view[rows.to(device), columns.to(device)]  # (tokens, *shape), a copy
        found[where] = without_padding(values, pads) if COMPONENTS[where[0]].over_keys else values

    return use


# The axis of keys. What a component over keys has is, in a forward, a number for every column that
# goes through the LM: padding, and in a packed forward the tokens of other branches. What is kept
# of it, and given in edits, is a number for every token of the prompt, from its first on. These
# functions lead from the one to the other and back; everything else handles such a component like
# any other.


def without_padding(values: Tensor, pads: Tensor) -> Tensor:
    """Let keys count from the prompt's first token instead of from the padding on its left.

    Args:
        values: (tokens, *shape, columns).
        pads: Column of the first token of each token's prompt (tokens,).

    Returns:
        The same shape; what is behind the prompt's end is of no meaning.
    """
    columns = values.shape[-1]
    shifted = torch.arange(columns, device=values.device) + pads.to(values.device)[:, None]
    index = shifted.clamp(max=columns - 1)  # (tokens, columns)
    index = index.view(len(index), *[1] * (values.dim() - 2), columns)
    return values.gather(-1, index.expand_as(values))


def same_keys(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Pad the last axis of several tensors with zeros up to the longest of them."""
    most = max(tensor.shape[-1] for tensor in tensors)
    return [torch.nn.functional.pad(tensor, (0, most - tensor.shape[-1])) for tensor in tensors]


def spread_keys(values: Tensor, keys: Tensor, width: int) -> Tensor:
    """Put numbers for the tokens of a prompt where these are among all columns of a forward.

    Args:
        values: (tokens, keys) or (tokens, heads, keys).
        keys: Column of each key (tokens, keys), -1 for none.
        width: Columns of the forward.

    Returns:
        (tokens, width) or (tokens, heads, width), zero elsewhere.
    """
    index = torch.where(keys < 0, width, keys)  # what is none goes into a column too many
    if values.dim() == 3:
        index = index[:, None, :].expand_as(values)
    wide = values.new_zeros(*values.shape[:-1], width + 1)
    return wide.scatter(-1, index, values)[..., :width]
