"""Paths: what a sender does to a receiver directly (path patching).

The sender's output is the counterfactual's, all attention behind it the original's; a receiver
other than the logits is then given what it has in that run, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.changes import PlaceRequest, Target, TrialCase, tokens_of
from cfgen.experiments.receivers import parse_receiver
from cfgen.experiments.sweeps import sweeps_at
from cfgen.interventions import (
    Copy,
    Departure,
    Edit,
    Run,
    SiteSwaps,
    Swap,
    align_by,
    layers_of,
    place_of,
)
from cfgen.lm import (
    COMPONENTS,
    Misalignment,
    PairTokens,
    Place,
    PromptTokens,
    TokenSpan,
    check_places,
    locate,
)
from cfgen.prompts import LAST


def patched_places(asked: PlaceRequest) -> list[Target]:
    """Where senders can be given what they have in the counterfactual, for every receiver.

    Raises:
        CfgenError: The LM has no such receiver, or no sender comes before it (``no-path``).
    """
    sweep = asked.experiment.sweep
    if sweep.heads is None and COMPONENTS[asked.site.component].by_head:
        sweep = sweep.model_copy(update={"heads": "all"})
    targets = []
    for name in asked.experiment.receivers:
        receiver = parse_receiver(name)
        if receiver is not None:
            check_places(asked.layout, [receiver])
            layers_of(asked.site, [receiver.layer], asked.layout.layers)  # there is such a layer

        def sent(site: Site, receiver: Place | None = receiver) -> SiteSwaps:
            return align_by(asked.encoded, site, lambda pair: _swap(pair, receiver))

        for made in sweeps_at(asked.site, sweep, asked.layout, sent, about=f" to {name}"):
            layers = tuple(n for n in made.layers if _reaches(asked, n, receiver))
            if not layers:
                message = f"no sender that was chosen comes before {name}"
                hint = "choose earlier layers with --layers, or a later receiver"
                raise CfgenError(Problem("no-path", message, hint=hint))
            targets.append(Target(replace(made, layers=layers), receiver=receiver))
    return targets


def patched_run(case: TrialCase) -> Run:
    """The original with only what a sender does to a receiver directly."""
    receiver, to = case.target.receiver, tokens_of(case.swap)
    sent = _sent(case, [p for p in _on_the_way(case, ["attn_out"]) if _is_behind(p, case)])
    return sent if receiver is None else Run(sent.prompt, (Edit(receiver, to, Copy(sent)),))


def patched_departure(case: TrialCase) -> Departure:
    """The same for gradients: all senders of a pair are estimated in one run.

    In it attention is held in all layers, whichever a sender is in. So that senders still give
    something, it is held by the queries, keys and values that it has, and not by what comes of it;
    what an MLP gives is held before anything is added to it.
    """
    sent = _sent(case, _on_the_way(case, ["q", "k", "v"]))
    return Departure(Run(sent.prompt), sent, case.target.receiver)


def _on_the_way(case: TrialCase, attention: Sequence[str]) -> list[Place]:
    """What is held of all that comes before the receiver: attention, and MLPs if they are frozen.

    A receiver itself is never held: what it comes to, given what was sent, is what is asked.

    Args:
        case: The pair and the sender.
        attention: Components by which attention is held.
    """
    receiver = case.target.receiver
    mlps = ["mlp_out"] if case.experiment.mlps == "frozen" else []
    last = case.layers if receiver is None else receiver.layer
    found = [Place(name, layer) for layer in range(last) for name in (*attention, *mlps)]
    if receiver is not None and receiver.component == "mlp_out":
        found += [Place(name, last) for name in attention]
    return found


def _sent(case: TrialCase, held: Sequence[Place]) -> Run:
    """The original with a sender as it is in the counterfactual, and places as they are in it."""
    swap = case.swap
    original, source = Run(swap.original.ids), Run(swap.source.ids)
    to, of = (tuple(side) for side in zip(*swap.moves, strict=True))
    sender = Edit(place_of(case.site, case.layer), to, Copy(source, of))
    return Run(original.prompt, (sender, *(Edit(place, to, Copy(original)) for place in held)))


def _swap(pair: PairTokens, receiver: Place | None) -> Swap:
    """What a sender is given, token by token.

    At the last token alone if the receiver is the logits: attention being held, nothing else
    reaches them. At all tokens otherwise, so that both prompts need as many.
    """
    one, other = pair.original, pair.counterfactual
    if receiver is None:
        return Swap(one, other, locate(one, LAST), locate(other, LAST))
    if len(one) != len(other):
        raise Misalignment("the two prompts have different numbers of tokens")
    return Swap(one, other, (_every(one),), (_every(other),))


def _every(prompt: PromptTokens) -> TokenSpan:
    """All tokens of a prompt; there is no word that they would have to show."""
    return TokenSpan("every token", tuple(range(len(prompt))), (), "")


def _reaches(asked: PlaceRequest, layer: int, receiver: Place | None) -> bool:
    """Whether a sender in a layer comes before a receiver."""
    if receiver is None or layer < receiver.layer:
        return True
    sends = asked.site.component in ("head_out", "attn_out") and not asked.layout.parallel
    return layer == receiver.layer and sends and receiver.component == "mlp_out"


def _is_behind(place: Place, case: TrialCase) -> bool:
    """Whether attention or an MLP comes behind the sender."""
    attends = case.site.component in ("head_out", "attn_out")
    return place.layer > case.layer or (
        place.layer == case.layer and place.component == "mlp_out" and attends
    )
