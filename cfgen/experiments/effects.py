"""Effects: what changes if an LM is changed at a place, pair by pair (mediation, ablation, ...).

A pair is run as it is and with changes; an effect is a number made of these runs (see
:mod:`cfgen.experiments.methods`). Units, the filter and the checks are those of interchanges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.definition import Experiment, SweepOptions
from cfgen.experiments.filtering import FilterOutcome
from cfgen.experiments.interchange import RunBlock, described_trial, swap_blocks
from cfgen.experiments.layers import parse_layers
from cfgen.experiments.methods import (
    CLEAN,
    DIRECT,
    INDIRECT,
    METHODS,
    OTHER,
    Method,
)
from cfgen.experiments.receivers import parse_receiver
from cfgen.experiments.replies import EVERYTHING, Unit
from cfgen.experiments.sweeps import Sweep, Trial, make_sweeps, varied_sites
from cfgen.interventions import (
    HERE,
    Block,
    Copy,
    Edit,
    Mix,
    Read,
    Reply,
    Run,
    SiteSwaps,
    Swap,
    Value,
    layers_of,
    place_of,
    run_of,
)
from cfgen.lm import Layout, PairTokens, Place, PromptTokens, TokenSpan, check_places, locate
from cfgen.prompts import LAST

FEWEST = 2
"""Pairs that a mean is taken of at least, or another is found among."""


@dataclass(frozen=True, slots=True)
class Target:
    """What belongs to a sweep besides its site.

    Attributes:
        keys: Index of a pair -> tokens that are not looked at, where attention is knocked out.
        receiver: What a path leads to; None for the logits, or where there are no paths.
    """

    keys: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    receiver: Place | None = None


@dataclass(frozen=True, slots=True)
class EffectPlan:
    """What is run to measure effects.

    Attributes:
        method: The method.
        experiment: What was asked.
        sweeps: Where; the swaps of ablation and knockout are of an original with itself.
        targets: For each sweep, what else belongs to it.
        encoded: The pairs.
        layers: How many the LM has.
    """

    method: Method
    experiment: Experiment
    sweeps: tuple[Sweep, ...]
    targets: tuple[Target, ...]
    encoded: Sequence[PairTokens]
    layers: int

    def blocks(self, kept: Iterable[int]) -> list[RunBlock]:
        """What is computed as one; for all pairs where a method counts them all."""
        indices = range(len(self.encoded)) if self.method.unfiltered else kept
        return swap_blocks(self.sweeps, indices)

    def unit(self, block: RunBlock, verified: int) -> Unit:
        """The runs of a block: the prompts of its pairs, then those of each trial."""
        pairs = list(dict.fromkeys(trial.pair for trial in block.trials))
        before = (CLEAN, OTHER) if OTHER in self.method.runs else (CLEAN,)
        trees = [self.encoded[index].original_tree for index in pairs for _ in before]
        wanted = [_answers(self.encoded[index]) for index in pairs for _ in before]
        per_trial = [name for name in self.method.runs if name != OTHER]
        for trial in block.trials:
            trees += [self.encoded[trial.pair].original_tree] * len(per_trial)
            wanted += [_answers(self.encoded[trial.pair])] * len(per_trial)

        def runs() -> list[Run]:
            made = [run for index in pairs for run in self._unchanged(index, before)]
            return made + [run for trial in block.trials for run in self._changed(trial, pairs)]

        prompts = [[run.prompt for run in self._unchanged(index, before)] for index in pairs]
        trials = [self._described(trial) for trial in block.trials]
        said = [getattr(self.experiment, name) for name in _DECIDING]
        return Unit(
            described=[self.method.name, said, prompts, trials],
            runs=runs,
            trees=trees,
            wanted=wanted,
            question=EVERYTHING,
            verified=verified,
        )

    def taken(
        self, block: RunBlock, replies: Sequence[Reply]
    ) -> Iterator[tuple[Trial, dict[str, Reply]]]:
        """The replies of a unit, sorted: for each trial those of all runs of its pair."""
        pairs = list(dict.fromkeys(trial.pair for trial in block.trials))
        before = (CLEAN, OTHER) if OTHER in self.method.runs else (CLEAN,)
        each = iter(replies)
        clean = {index: {name: next(each) for name in before} for index in pairs}
        for trial in block.trials:
            changed = {name: next(each) for name in self.method.runs if name != OTHER}
            yield trial, {**clean[trial.pair], **changed}

    def _unchanged(self, index: int, names: Sequence[str]) -> list[Run]:
        pair = self.encoded[index]
        sides = {CLEAN: pair.original, OTHER: pair.counterfactual}
        return [Run(sides[name].ids) for name in names]

    def _changed(self, trial: Trial, pairs: Sequence[int]) -> list[Run]:
        """The runs of a trial, in the order of the method's.

        Args:
            trial: The trial.
            pairs: All pairs that are computed together.
        """
        sweep = self.sweeps[trial.sweep]
        swap = sweep.aligned.swaps[trial.pair]
        made = []
        for name in self.method.runs:
            if name == INDIRECT:
                made.append(run_of(swap, sweep.site, trial.layer, self.layers))
            elif name == DIRECT:
                made.append(run_of(_turned(swap), sweep.site, trial.layer, self.layers))
            elif self.method.name == "paths":
                made.append(self._path(trial))
            elif name != OTHER:
                value = self._value(sweep, trial, pairs)
                to = tuple(position for position, _ in swap.moves)
                swept = sweep.site.swept(trial.layer, self.layers)
                edits = (Edit(place_of(sweep.site, layer), to, value) for layer in swept)
                made.append(Run(swap.original.ids, tuple(edits)))
        return made

    def _path(self, trial: Trial) -> Run:
        """The original with only what a sender does to a receiver directly.

        The sender's output is the counterfactual's; all attention behind it is the original's. A
        receiver other than the logits is given what it has in that run, and nothing else is.
        """
        sweep, receiver = self.sweeps[trial.sweep], self.targets[trial.sweep].receiver
        swap = sweep.aligned.swaps[trial.pair]
        original, source = Run(swap.original.ids), Run(swap.source.ids)
        to, of = (tuple(side) for side in zip(*swap.moves, strict=True))
        sender = place_of(sweep.site, trial.layer)
        edits = [Edit(sender, to, Copy(source, of))]
        held = ["attn_out"] + (["mlp_out"] if self.experiment.mlps == "frozen" else [])
        for layer in range(trial.layer, self.layers if receiver is None else receiver.layer + 1):
            for component in held:
                behind = layer > trial.layer or (component, sender.component) in _SAME_LAYER
                if behind:
                    edits.append(Edit(Place(component, layer), to, Copy(original)))
        sent = Run(original.prompt, tuple(edits))
        if receiver is None:
            return sent
        return Run(original.prompt, (Edit(receiver, to, Copy(sent)),))

    def _value(self, sweep: Sweep, trial: Trial, pairs: Sequence[int]) -> Value:
        """What is written: where attention is blocked, or something ablated."""
        keys = self.targets[trial.sweep].keys.get(trial.pair)
        if keys is not None:
            return Block(keys)
        if self.experiment.ablation == "zero":
            return Mix(((0.0, HERE),))
        alike = _alike(sweep, trial.pair, pairs)
        if self.experiment.ablation == "resample":
            number = alike.index(trial.pair)
            other = sweep.aligned.swaps[alike[(number + 1) % len(alike)]]
            return Copy(Run(other.original.ids), tuple(at for at, _ in other.moves))
        swaps = [sweep.aligned.swaps[index] for index in alike]
        reads = (Read(Run(s.original.ids), tuple(at for at, _ in s.moves)) for s in swaps)
        return Mix(tuple((1 / len(swaps), read) for read in reads))

    def _described(self, trial: Trial) -> Any:
        target = self.targets[trial.sweep]
        receiver = target.receiver and asdict(target.receiver)
        return [*described_trial(self.sweeps, trial), target.keys.get(trial.pair), receiver]


_DECIDING = ("ablation", "mlps")
"""Fields of an experiment that decide what is run, beyond places."""
_SAME_LAYER = (("mlp_out", "head_out"), ("mlp_out", "attn_out"))
"""What comes behind which sender within its layer."""


def plan_effects(found: FilterOutcome, experiment: Experiment, layout: Layout) -> EffectPlan:
    """Work out where the LM is changed.

    Args:
        found: The pairs, and what the LM says to them unchanged.
        experiment: What is asked.
        layout: Where everything is in the LM.

    Raises:
        CfgenError: As :func:`cfgen.experiments.sweeps.make_sweeps`; a token is left nothing to
            look at (``knockout-no-key``); or there is no other pair that something could be taken
            from (``no-other-pair``).
    """
    method, encoded = METHODS[experiment.method], found.encoded
    kept = {*found.computed.kept()}
    site = found.computed.inquiry.sites[method.name]
    made: list[Sweep] = []
    targets: list[Target] = []
    if OTHER in method.runs:
        made = make_sweeps(encoded, {method.name: site}, experiment.sweep, layout)
        made = [replace(sweep, hypotheses=()) for sweep in made]  # effects are of none
        targets = [Target() for _ in made]
    else:
        sites = varied_sites(site, _of_senders(method, site, experiment.sweep), layout)
        check_places(layout, [place_of(each, 0) for each in sites])
        over = experiment.sweep.over
        chosen = None if over is None else tuple(parse_layers(over))
        for each in sites:
            layers = layers_of(each, chosen, layout.layers)
            if method.name == "paths":
                found_paths = [
                    _sent(encoded, each, layers, r, layout) for r in experiment.receivers
                ]
                made += [sweep for sweep, _ in found_paths]
                targets += [target for _, target in found_paths]
                continue
            for keys in experiment.keys or (None,):
                aligned, tokens = _located(encoded, each, keys)
                about = f" not to {keys}" if keys else ""
                made.append(Sweep(aligned, layers, (), about=about))
                targets.append(Target(tokens))
    plan = EffectPlan(method, experiment, tuple(made), tuple(targets), encoded, layout.layers)
    if method.name == "ablation" and experiment.ablation != "zero":
        plan = replace(plan, sweeps=tuple(_with_others(sweep, kept) for sweep in made))
    return plan


def _of_senders(method: Method, site: Site, sweep: SweepOptions) -> SweepOptions:
    """Over what senders are varied: each head by itself, where nothing else is said."""
    alone = method.name == "paths" and site.component == method.component
    return sweep.model_copy(update={"heads": "all"}) if alone and sweep.heads is None else sweep


def _sent(
    encoded: Sequence[PairTokens],
    site: Site,
    layers: Sequence[int],
    receiver: str,
    layout: Layout,
) -> tuple[Sweep, Target]:
    """The pairs in which a sender can be given what it has in the counterfactual.

    At the last token alone if the receiver is the logits: attention being held, nothing else
    reaches them. At all tokens otherwise, so that both prompts need as many.
    """
    place = parse_receiver(receiver)
    swaps: dict[int, Swap] = {}
    dropped: dict[int, str] = {}
    for index, pair in enumerate(encoded):
        one, other = pair.original, pair.counterfactual
        if place is None:
            swaps[index] = Swap(one, other, locate(one, LAST), locate(other, LAST))
        elif len(one) != len(other):
            dropped[index] = "the two prompts have different numbers of tokens"
        else:
            swaps[index] = Swap(one, other, (_every(one),), (_every(other),))
    if place is not None:
        check_places(layout, [place])
        layers_of(site, [place.layer], layout.layers)  # says so if there is no such layer
        within = ("mlp_out", site.component) in _SAME_LAYER and place.component == "mlp_out"
        layers = [layer for layer in layers if layer < place.layer + within]
        if not layers:
            message = f"no sender that was chosen comes before {receiver}"
            hint = "choose earlier layers with --layers, or a later receiver"
            raise CfgenError(Problem("no-path", message, hint=hint))
    if not swaps:
        message = f"to {receiver}, no path can be patched: in every pair {dropped[0]}"
        hint = "use words of as many tokens (--tokenizer), or --receiver logits"
        raise CfgenError(Problem("no-pair-aligned", message, hint=hint))
    aligned = SiteSwaps(site, swaps, dropped)
    return Sweep(aligned, tuple(layers), (), about=f" to {receiver}"), Target(receiver=place)


def _every(prompt: PromptTokens) -> TokenSpan:
    """All tokens of a prompt; there is no word that they would have to show."""
    return TokenSpan("every token", tuple(range(len(prompt))), (), "")


def _located(
    encoded: Sequence[PairTokens], site: Site, keys: str | None
) -> tuple[SiteSwaps, dict[int, tuple[int, ...]]]:
    """Where the originals have the positions of a site, and the tokens that are not looked at."""
    swaps: dict[int, Swap] = {}
    blocked: dict[int, tuple[int, ...]] = {}
    for index, pair in enumerate(encoded):
        prompt = pair.original
        to = tuple(span for name in site.positions for span in locate(prompt, name))
        swaps[index] = Swap(prompt, prompt, to, to)
        if keys is not None:
            tokens = {at for span in locate(prompt, keys) for at in span.tokens}
            blocked[index] = tuple(sorted(tokens))
            for span in to:
                for at in span.tokens:
                    if {*range(at + 1)} <= tokens:
                        raise CfgenError(_nothing_left(pair, keys, at))
    return SiteSwaps(site, swaps, {}), blocked


def _nothing_left(pair: PairTokens, keys: str, at: int) -> Problem:
    message = (
        f"without {keys}, token {at} of the original of pair {pair.pair.id} has nothing to look at"
    )
    hint = "block fewer tokens, or let a later token be the one that looks"
    return Problem("knockout-no-key", message, hint=hint)


def _with_others(sweep: Sweep, kept: Collection[int]) -> Sweep:
    """A sweep of the kept pairs that have another of their kind among those computed with them."""
    swaps = {index: swap for index, swap in sweep.aligned.swaps.items() if index in kept}
    dropped = dict(sweep.aligned.dropped)
    sizes = {index: len(swap.moves) for index, swap in swaps.items()}
    blocks: dict[int, list[int]] = {}
    for block in swap_blocks([sweep], swaps):
        pairs = list(dict.fromkeys(trial.pair for trial in block.trials))
        blocks |= dict.fromkeys(pairs, pairs)
    for index, size in sizes.items():
        if sum(sizes[other] == size for other in blocks[index]) < FEWEST:
            dropped[index] = f"no other pair computed with it has {size} tokens there"
    left = {index: swap for index, swap in swaps.items() if index not in dropped}
    if not left:
        message = f"at {sweep.site.label!r} no pair has another that something could be taken from"
        hint = "run more pairs, or use --ablation zero"
        raise CfgenError(Problem("no-other-pair", message, hint=hint))
    return replace(sweep, aligned=replace(sweep.aligned, swaps=left, dropped=dropped))


def _alike(sweep: Sweep, pair: int, pairs: Sequence[int]) -> list[int]:
    """The pairs, of those computed together, that have as many tokens at a site."""
    swaps = sweep.aligned.swaps
    size = len(swaps[pair].moves)
    return [index for index in pairs if index in swaps and len(swaps[index].moves) == size]


def _turned(swap: Swap) -> Swap:
    """The same the other way round: the counterfactual with what the original has."""
    return Swap(swap.source, swap.original, swap.of, swap.to)


def _answers(pair: PairTokens) -> tuple[str, ...]:
    sides = (pair.pair.original.answer, pair.pair.counterfactual.answer)
    return tuple(dict.fromkeys(answer for answer in sides if answer is not None))
