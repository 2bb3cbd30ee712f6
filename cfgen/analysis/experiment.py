"""Run hypotheses on an LM: from pairs to outputs and IIA, with every check on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cfgen.analysis.arguments import (
    check_arguments,
    check_lengths,
    check_predictions,
    none_kept_aligned,
)
from cfgen.analysis.behaviour import Behaviour, Progress, behave, observe
from cfgen.analysis.iia import Cell, Output, kind_of_token, score
from cfgen.counterfactuals import NONE, Pair, Site
from cfgen.errors import CfgenError
from cfgen.interventions.batches import by_length
from cfgen.interventions.checks import (
    TOLERANCE,
    Check,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    sample,
)
from cfgen.interventions.reference import prepare, sweep
from cfgen.interventions.swaps import Aligned, align
from cfgen.lm.load import LM
from cfgen.lm.sites import check_layers
from cfgen.lm.tokens import EncodedPair, check_first_tokens, encode_pairs

BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class Experiment:
    """What came out of a run.

    Attributes:
        model: Name of the LM.
        revision: Which weights exactly.
        device: Where it ran.
        dtype: In what it was computed.
        task: Name of the task, or names joined by ``+``.
        design: Name of the design, or names joined by ``+``.
        n: Pairs that were run, before any was dropped.
        sites: Hypothesis -> where it was tested.
        layers: The layers swept.
        behaviour: What the LM says unchanged, and which pairs were kept.
        unaligned: Label of a site -> reason -> how many kept pairs could not be swapped there.
        outputs: One per kept, swappable pair, site and layer.
        cells: IIA per hypothesis, site and layer; ``none`` is the control at every site.
        checks: The checks that ran; all passed.
    """

    model: str
    revision: str
    device: str
    dtype: str
    task: str
    design: str
    n: int
    sites: dict[str, Site]
    layers: tuple[int, ...]
    behaviour: Behaviour
    unaligned: dict[str, dict[str, int]]
    outputs: tuple[Output, ...]
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]


def run_experiment(
    lm: LM,
    pairs: Sequence[Pair],
    hypotheses: Mapping[str, Site],
    *,
    layers: Iterable[int] | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Experiment:
    """Swap activations of every pair at every site and layer, and count what the LM says.

    Hypotheses at one site share one sweep. Nothing is written and nothing is random: the same
    arguments give the same result.

    Args:
        lm: The LM, in evaluation mode.
        pairs: The pairs to run; which of those there are is for the caller to choose.
        hypotheses: Name, as in the pairs' predictions -> the site where its variables are said to
            live.
        layers: Layers counted from 0; None for all.
        batch_size: Prompts per forward.
        progress: Called as ``progress(step, done, total)``.

    Returns:
        Outputs, IIA, rates, drops with their reasons, and the checks that ran.

    Raises:
        CfgenError: The pairs, sites or layers don't fit together or the LM; answers that share a
            first token; no pair is left; or one of the checks failed.
    """
    report = progress or (lambda step, done, total: None)
    check_arguments(pairs, hypotheses, batch_size)
    chosen = check_layers(lm.model, layers)
    encoded = encode_pairs(lm.tokenizer, pairs)
    check_lengths(lm, encoded)
    answers = check_first_tokens(lm.tokenizer, encoded)
    sites = tuple(dict.fromkeys(hypotheses.values()))
    aligned = [align(encoded, site) for site in sites]
    places = {name for site in sites for name in (*site.positions, *site.frozen)}
    checks = [Check("first tokens differ", "", answers, "answers compared")]
    if spans := check_words(encoded, places):  # there is none to compare at "last" alone
        checks.append(Check("spans show their slots", "", spans, "spans compared"))
    behaviour = behave(encoded, observe(lm, encoded, batch_size, report), lm.tokenizer)
    unaligned, outputs, cells = {}, [], []
    for found in aligned:
        label = found.site.label
        kept = [index for index in behaviour.kept if index in found.swaps]
        lost = Counter(found.dropped[index] for index in behaviour.kept if index in found.dropped)
        unaligned[label] = dict(sorted(lost.items()))
        if not kept:
            raise CfgenError(none_kept_aligned(label, lost))
        said, passed = _run_site(lm, found, kept, chosen, batch_size, report)
        checks += passed
        names = [name for name, site in hypotheses.items() if site == found.site]
        here = [encoded[index] for index in kept]
        check_predictions(names, here)
        outputs += _outputs(lm, found.site, here, said)
        cells += _cells([*names, NONE], found.site, here, said)
    return Experiment(
        model=lm.name,
        revision=lm.revision,
        device=str(lm.device),
        dtype=str(lm.dtype).removeprefix("torch."),
        task="+".join(sorted({pair.task for pair in pairs})),
        design="+".join(sorted({pair.design for pair in pairs})),
        n=len(pairs),
        sites=dict(hypotheses),
        layers=chosen,
        behaviour=behaviour,
        unaligned={label: reasons for label, reasons in unaligned.items() if reasons},
        outputs=tuple(outputs),
        cells=tuple(cells),
        checks=tuple(checks),
    )


def _run_site(
    lm: LM,
    aligned: Aligned,
    kept: Sequence[int],
    layers: Sequence[int],
    batch_size: int,
    report: Progress,
) -> tuple[dict[int, list[int]], list[Check]]:
    """Layer -> first token said for each of the kept pairs, in their order; and the checks."""
    label, up_to = aligned.site.label, aligned.site.layers == "up_to"
    swaps = [aligned.swaps[index] for index in kept]
    tried = sample(swaps)
    report(f"checks at {label}", 0, 2)
    selves = check_self_swap(lm, tried, layers, up_to)
    report(f"checks at {label}", 1, 2)
    padded = check_padding(lm, tried, layers[len(layers) // 2], up_to)
    report(f"checks at {label}", 2, 2)
    said = {layer: [0] * len(kept) for layer in layers}
    decoded = fired = done = 0
    report(f"swaps at {label}", 0, len(swaps) * len(layers))
    for indices in by_length([swap.original for swap in swaps], batch_size):
        batch = [swaps[index] for index in indices]
        prepared = prepare(lm, batch)
        decoded += check_tokens(lm, batch, prepared)
        for layer, logits in sweep(lm, prepared, layers, up_to):
            for index, token in zip(indices, logits.argmax(-1).tolist(), strict=True):
                said[layer][index] = token
            fired += len(prepared.edits(layer, up_to))
            done += len(indices)
            report(f"swaps at {label}", done, len(swaps) * len(layers))
    tolerance = f"within {TOLERANCE[lm.dtype]:g} standard deviations of the logits"
    return said, [
        Check("self-swap changes nothing", label, selves, f"swaps; logits {tolerance}"),
        Check("padded gives unpadded", label, padded, f"runs; logits {tolerance}"),
        Check("tokens are the slot", label, decoded, "positions decoded"),
        Check("every edit fired once", label, fired, "edits counted"),
    ]


def _outputs(
    lm: LM, site: Site, pairs: Sequence[EncodedPair], said: Mapping[int, Sequence[int]]
) -> list[Output]:
    text = {token: lm.tokenizer.decode([token]) for tokens in said.values() for token in tokens}
    return [
        Output(
            pair_id=pair.pair.id,
            component=site.component,
            layer=layer,
            position=site.label,
            said=text[token],
            kind=kind_of_token(pair, token),
        )
        for layer, tokens in said.items()
        for pair, token in zip(pairs, tokens, strict=True)
    ]


def _cells(
    names: Iterable[str],
    site: Site,
    pairs: Sequence[EncodedPair],
    said: Mapping[int, Sequence[int]],
) -> list[Cell]:
    found = [
        score(name, pairs, tokens, (site.component, layer, site.label))
        for name in dict.fromkeys(names)
        for layer, tokens in said.items()
    ]
    return [cell for cell in found if cell is not None]
