"""From pairs to interventions: a swap is what a pair and a site make of each other.

Which token of the original gets its value from which token of the other prompt does not depend on
the layer. So swaps are worked out once per pair and site, and become a run in every layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.interventions.language import Edit, Run
from cfgen.interventions.values import Copy
from cfgen.lm import (
    COMPONENTS,
    Misalignment,
    PairTokens,
    Place,
    PromptTokens,
    TokenSpan,
    aligned_spans,
    aligned_tokens,
    locate,
)

HELD = "resid_post"
"""Frozen positions are held here, in every layer."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One pair's intervention at a site, without the layer.

    Attributes:
        original: The prompt that is run and changed.
        source: The prompt that the values are taken from.
        to: What is overwritten in the original.
        of: Where the value of each of ``to`` is taken from, in the source; same order and widths.
        frozen: What is held at the original's own activations, in every layer.
    """

    original: PromptTokens
    source: PromptTokens
    to: tuple[TokenSpan, ...]
    of: tuple[TokenSpan, ...]
    frozen: tuple[TokenSpan, ...] = ()

    @property
    def moves(self) -> tuple[tuple[int, int], ...]:
        """Token positions (in the original, in the source), in order."""
        return tuple(zip(_tokens(self.to), _tokens(self.of), strict=True))

    @property
    def held(self) -> tuple[int, ...]:
        """Token positions in the original that are frozen, in order."""
        return tuple(_tokens(self.frozen))

    def onto_itself(self) -> Swap:
        """The same swap with the original as its own source: it must change nothing."""
        return replace(self, source=self.original, of=self.to)


@dataclass(frozen=True, slots=True)
class SiteSwaps:
    """The swaps of several pairs at one site.

    Attributes:
        site: The site.
        swaps: Index of the pair -> its swap, for the pairs that align.
        dropped: Index of the pair -> why it can't be swapped at this site.
    """

    site: Site
    swaps: dict[int, Swap]
    dropped: dict[int, str]


def align(encoded: Sequence[PairTokens], site: Site) -> SiteSwaps:
    """Work out the swaps at a site, and why some pairs have none.

    A pair has none if a position has another number of mentions or of tokens on the two sides, or
    is in one of the prompts not at all.

    Args:
        encoded: The pairs.
        site: Where to swap.

    Raises:
        CfgenError: As :func:`align_by`.
    """
    return align_by(encoded, site, lambda pair: _swap(pair, site))


def align_own(encoded: Sequence[PairTokens], site: Site, also: Sequence[str] = ()) -> SiteSwaps:
    """Work out where originals have a site: swaps of each with itself, whatever the other side is.

    Args:
        encoded: The pairs.
        site: Where to look.
        also: Further positions that they must have.

    Raises:
        CfgenError: As :func:`align_by`.
    """

    def own(pair: PairTokens) -> Swap:
        prompt = pair.original
        for name in also:
            locate(prompt, name)
        to = tuple(found for name in site.positions for found in locate(prompt, name))
        return Swap(prompt, prompt, to, to)

    return align_by(encoded, site, own)


def align_by(
    encoded: Sequence[PairTokens], site: Site, swap_of: Callable[[PairTokens], Swap]
) -> SiteSwaps:
    """Work out the swaps of pairs, and why some have none.

    Args:
        encoded: The pairs.
        site: Where they are, for messages.
        swap_of: Gives the swap of a pair. It raises :class:`cfgen.lm.Misalignment`, or an error, if
            there is none.

    Returns:
        The swaps and the dropped pairs.

    Raises:
        CfgenError: No pair is left: the problem of the first pair if it is an unknown position,
            else ``no-pair-aligned`` with the reasons. Positions that meet in a token are always
            an error (``positions-overlap``), as the outcome would hang on the order of the edits.
    """
    swaps: dict[int, Swap] = {}
    dropped: dict[int, str] = {}
    first: CfgenError | None = None
    for index, pair in enumerate(encoded):
        try:
            swap = swap_of(pair)
        except Misalignment as reason:
            dropped[index] = str(reason)
        except CfgenError as error:
            first = first or error
            dropped[index] = error.problems[0].message
        else:
            _check_disjoint(swap, site, pair.pair.id)
            swaps[index] = swap
    if encoded and not swaps:
        raise first or CfgenError(_none_left(site, dropped))
    return SiteSwaps(site, swaps, dropped)


def align_each(encoded: Sequence[PairTokens], site: Site) -> dict[str, SiteSwaps]:
    """Work out the swaps of every token by itself.

    Args:
        encoded: The pairs.
        site: How to swap; of its positions only the frozen ones count.

    Returns:
        Name of a token, see :func:`cfgen.lm.token_names`, in the order of the prompts -> its swaps.
        A pair in whose prompt there is no such token is neither swapped nor dropped.

    Raises:
        CfgenError: No token of any pair can be swapped (``no-pair-aligned``), or a frozen position
            can't be found.
    """

    def swaps_of(pair: PairTokens) -> dict[str, Swap | Misalignment]:
        frozen = tuple(found for name in site.frozen for found in locate(pair.original, name))
        prompts = pair.original, pair.counterfactual
        return {
            name: found
            if isinstance(found, Misalignment)
            else Swap(*prompts, (found[0],), (found[1],), frozen)
            for name, found in aligned_tokens(pair.pair, *prompts, site).items()
        }

    return align_each_by(encoded, site, swaps_of)


def align_each_by(
    encoded: Sequence[PairTokens],
    site: Site,
    swaps_of: Callable[[PairTokens], Mapping[str, Swap | Misalignment]],
) -> dict[str, SiteSwaps]:
    """Work out the swaps of tokens by themselves, and why some pairs have none.

    Args:
        encoded: The pairs.
        site: How they are made.
        swaps_of: Gives for a pair name of a token -> its swap, or why there is none, in the order
            of the prompt.

    Returns:
        As :func:`align_each`.

    Raises:
        CfgenError: As :func:`align_each`.
    """
    each: dict[str, SiteSwaps] = {}
    order: list[str] = []
    for index, pair in enumerate(encoded):
        after = 0
        for name, found in swaps_of(pair).items():
            if name not in each:
                order.insert(after, name)
                each[name] = SiteSwaps(replace(site, positions=(name,)), {}, {})
            after = order.index(name) + 1
            if isinstance(found, Misalignment):
                each[name].dropped[index] = str(found)
            else:
                each[name].swaps[index] = found
    if encoded and not any(swaps.swaps for swaps in each.values()):
        dropped = {index: why for swaps in each.values() for index, why in swaps.dropped.items()}
        raise CfgenError(_none_left(replace(site, positions=("every",)), dropped))
    return {name: each[name] for name in order if each[name].swaps}


def _swap(pair: PairTokens, site: Site) -> Swap:
    to, of = aligned_spans(pair.pair, pair.original, pair.counterfactual, site)
    frozen = [found for name in site.frozen for found in locate(pair.original, name)]
    return Swap(pair.original, pair.counterfactual, to, of, tuple(frozen))


def _check_disjoint(swap: Swap, site: Site, pair_id: str) -> None:
    moved = Counter(_tokens(swap.to))
    both = sorted(set(moved) & set(swap.held))
    twice = sorted(token for token, times in moved.items() if times > 1)
    if not both and not twice:
        return
    start, end = swap.original.offsets[(both or twice)[0]]
    text = swap.original.prompt.text[start:end]
    how = "both swapped and frozen" if both else "swapped twice"
    message = f"at {site.label!r} the token {text!r} of pair {pair_id} is {how}"
    hint = "name positions that share no token: the result would hang on the order of the edits"
    raise CfgenError(Problem("positions-overlap", message, hint=hint))


def _none_left(site: Site, dropped: dict[int, str]) -> Problem:
    counted = Counter(dropped.values()).most_common()
    reasons = "; ".join(f"{count} pairs: {reason}" for reason, count in counted)
    message = f"no pair can be swapped at {site.label!r}: {reasons}"
    hint = "use words with the same number of tokens, or a position that both prompts have"
    return Problem("no-pair-aligned", message, hint=hint)


def _tokens(located: Sequence[TokenSpan]) -> Iterator[int]:
    return (token for found in located for token in found.tokens)


def layers_of(site: Site, layers: Iterable[int] | None, count: int) -> tuple[int, ...]:
    """Resolve which layers to sweep at a site.

    Args:
        site: The site.
        layers: Layers counted from 0; None for all.
        count: How many the LM has.

    Returns:
        The layers in ascending order, without repeats; only 0 for a component that comes before
        all blocks.

    Raises:
        CfgenError: A layer that the LM doesn't have, or none at all (``no-such-layer``).
    """
    chosen = tuple(range(count)) if layers is None else tuple(sorted(set(layers)))
    wrong = [layer for layer in chosen if not 0 <= layer < count]
    if wrong or not chosen:
        message = f"no layer {', '.join(map(str, wrong))}" if wrong else "no layer was chosen"
        hint = f"the LM has layers 0 to {count - 1}"
        raise CfgenError(Problem("no-such-layer", message, hint=hint))
    return (0,) if COMPONENTS[site.component].before_blocks else chosen


def place_of(site: Site, layer: int) -> Place:
    """What is swapped at a site in one layer."""
    return Place(site.component, layer, site.head, site.neurons)


def run_of(swap: Swap, site: Site, layer: int, count: int) -> Run:
    """One swap at one layer, as a run.

    Args:
        swap: The swap.
        site: Where it is made.
        layer: The layer L that :meth:`cfgen.counterfactuals.Site.swept` speaks of.
        count: How many layers the LM has.

    Returns:
        The original with the swapped positions edited, and the frozen ones held at its own values.
    """
    original, source = Run(swap.original.ids), Run(swap.source.ids)
    swept = site.swept(layer, count)
    to = tuple(position for position, _ in swap.moves)
    of = tuple(position for _, position in swap.moves)
    edits = [Edit(place_of(site, each), to, Copy(source, of)) for each in swept]
    if swap.held:
        held = Copy(original)
        edits += [Edit(Place(HELD, each), swap.held, held) for each in range(count)]
    return Run(swap.original.ids, tuple(edits))
