"""Paths: what a sender does to a receiver directly (path patching).

The sender's output is the counterfactual's, all attention behind it the original's; a receiver
other than the logits is then given what it has in that run, and nothing else is.
"""

from __future__ import annotations

from dataclasses import replace

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.changes import PlaceRequest, Target, TrialCase
from cfgen.experiments.receivers import parse_receiver
from cfgen.experiments.sweeps import sweeps_at
from cfgen.interventions import Copy, Edit, Run, SiteSwaps, Swap, align_by, layers_of, place_of
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
            layers = tuple(n for n in made.layers if _reaches(asked.site, n, receiver))
            if not layers:
                message = f"no sender that was chosen comes before {name}"
                hint = "choose earlier layers with --layers, or a later receiver"
                raise CfgenError(Problem("no-path", message, hint=hint))
            targets.append(Target(replace(made, layers=layers), receiver=receiver))
    return targets


def patched_run(case: TrialCase) -> Run:
    """The original with only what a sender does to a receiver directly."""
    swap, receiver = case.swap, case.target.receiver
    original, source = Run(swap.original.ids), Run(swap.source.ids)
    to, of = (tuple(side) for side in zip(*swap.moves, strict=True))
    edits = [Edit(place_of(case.site, case.layer), to, Copy(source, of))]
    held = ["attn_out"] + (["mlp_out"] if case.experiment.mlps == "frozen" else [])
    last = case.layers - 1 if receiver is None else receiver.layer
    for layer in range(case.layer, last + 1):
        for component in held:
            if layer > case.layer or _is_behind(component, case.site):
                edits.append(Edit(Place(component, layer), to, Copy(original)))
    sent = Run(original.prompt, tuple(edits))
    return sent if receiver is None else Run(original.prompt, (Edit(receiver, to, Copy(sent)),))


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


def _reaches(sender: Site, layer: int, receiver: Place | None) -> bool:
    """Whether a sender in a layer comes before a receiver."""
    if receiver is None or layer < receiver.layer:
        return True
    return layer == receiver.layer and _is_behind(receiver.component, sender)


def _is_behind(component: str, sender: Site) -> bool:
    """Whether a component comes behind a sender of its own layer: the MLP, behind attention."""
    return component == "mlp_out" and sender.component in ("head_out", "attn_out")
