"""Effects: what is measured, and how large each is where, for somebody who reads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cfgen.documents import Block, Document, Facts, Heading, Inline, Paragraph, faint, strong
from cfgen.experiments import (
    ABLATIONS,
    EXACT_GUIDES,
    MEASURES,
    METHODS,
    UNFILTERED,
    effects_on,
    parse_noise,
)
from cfgen.lm import COMPONENTS
from cfgen.prompts import EVERY
from cfgen.report.cells import (
    best_cell,
    left_out_note,
    magnitude,
    number_name,
    places_text,
    sweep_tables,
    value_text,
)
from cfgen.report.continuations import goes_on
from cfgen.report.mediators import set_blocks
from cfgen.report.pairs import pair_view
from cfgen.stats import with_interval

BELIEVED = 0.8
"""Rank correlation below which it is said that estimates are not much to go by."""
NOT_RUN = "Places that were not run have no number; work does not count the estimates."
"""What is said below tables of places of which only some were run."""

if TYPE_CHECKING:
    from cfgen.experiments import Cell, Experiment, Guidance, Inquiry, Method, Results


def effects_introduction(inquiry: Inquiry, method: Method) -> Document:
    """Say what is measured, and where, with one pair."""
    experiment, (site,) = inquiry.experiment, inquiry.sites.values()
    named = experiment.sweep.positions or site.positions
    positions = named if isinstance(named, str) else ", ".join(named)
    numbers = f"{number_name(site.component)}s"
    by_itself = {"heads": experiment.sweep.heads, numbers: experiment.sweep.neurons}
    of_heads = "".join(f"; {what} one by one" for what, one in by_itself.items() if one is not None)
    if positions == EVERY and method.at_once:
        positions = "every token, all at once"
    together = experiment.together
    where = f"{COMPONENTS[site.component].meaning} ({site.component}), at {positions}{of_heads}"
    if method.name == "paths":
        where = f"{COMPONENTS[site.component].meaning} ({site.component}) of each layer"
    facts: list[tuple[Inline, Inline]] = [(strong(method.name), method.summary)]
    measured = {
        name: effect
        for measure in experiment.measures
        for name, effect in effects_on(method, measure).items()
    }
    facts += [(strong(name), effect.meaning) for name, effect in measured.items()]
    facts += [("where", where)]
    facts += [("layers", site.layers)] if method.name != "paths" and not together else []
    facts += [("changed at once", text) for text in together]
    if "ablation" in method.fields:
        digest = inquiry.vector.digest if inquiry.vector else ""
        facts += [("written there", written_text(experiment, digest))]
    facts += goes_on(experiment)
    if "receivers" in method.fields:
        facts += [("receivers", ", ".join(experiment.receivers))]
        facts += [("MLPs on the way", experiment.mlps)]
    facts += [("not looked at", ", ".join(experiment.keys))] if "keys" in method.fields else []
    if "noise" in method.fields:
        absolute = parse_noise(experiment.noise)[1]
        kind = "" if absolute else " standard deviations of the embeddings there"
        strength = f"{experiment.noise}{kind}, drawn {experiment.draws} times"
        facts += [("noise on", str(experiment.corrupt)), ("how strong", strength)]
    if "noise" in method.fields and experiment.sweep.positions == EVERY:
        before = "tokens before the first one with noise: they cannot see it, so nothing differs"
        facts += [("left out", before)]
    return Document(
        (
            Heading("What is measured"),
            Facts(tuple(facts)),
            Heading(f"One of the {len(inquiry.source.pairs)} pairs"),
            *pair_view(inquiry.source.pairs[0], {}).blocks,
        )
    )


def written_text(experiment: Experiment, digest: str) -> str:
    """What an ablation writes, in words.

    Args:
        experiment: What was asked.
        digest: Of the vector that the user gave to be added; empty if there is none.
    """
    values = ", ".join(f"{value:g}" for value in experiment.value[:4])
    vector = "the average of counterfactual minus original over the other half of the pairs"
    if digest:
        vector = f"the vector in {experiment.vector} (sha256 {digest[:8]})"
    return ABLATIONS[experiment.ablation].written.format(
        value=values + (", ..." if len(experiment.value) > 4 else ""),
        strength=", ".join(f"{strength:g}" for strength in experiment.strength),
        vector=vector,
    )


def effect_blocks(results: Results) -> list[Block]:
    """The effects, measure by measure: those that hang on the place as tables, the others once."""
    blocks: list[Block] = []
    method = METHODS[results.experiment.method]
    if "ablation" in method.fields:
        text = written_text(results.experiment, results.source.get("vector", ""))
        blocks += [Heading("What was written"), Paragraph(f"{text[:1].upper()}{text[1:]}.")]
    if results.noise:
        text = f"The standard deviation of the noise is {results.noise.said}."
        blocks += [Heading("Noise"), Paragraph(text)]
    blocks += guidance_blocks(results)
    for name in results.experiment.measures:
        measure = MEASURES[name]
        relative = ", as a share of the unchanged run's" if measure.ratio else ""
        blocks += [Heading(f"Effects on {measure.meaning}{relative}, on average")]
        cells = distinct_effects(cell for cell in results.cells if cell.measure == name)
        once = [effect for effect in _named(cells) if is_everywhere(effect, method)]
        for effect in once:
            cell = best_cell(cells, effect, lambda one: one.n)  # some places are not in all pairs
            if cell is not None:
                said = f"{effect}, wherever: {value_text(cell)}, n {cell.n}{_spread(cell)}"
                blocks += [Paragraph(said)]
        others = [cell for cell in cells if cell.hypothesis not in once]
        blocks += sweep_tables(
            others,
            results.vacuous,
            results.tokens,
            by=magnitude,
            marks=marked_tokens(results),
            picked=bool(results.guidance),
        )
        blocks += left_out_note(cells)
    blocks += set_blocks(results)
    how = (
        f"With each value stands its {results.confidence:.0%} interval, Student's of an average. "
        "> marks the largest of an effect, whatever its sign."
    )
    if marked_tokens(results):
        how += " * marks tokens with noise."
    if results.guidance:
        how += f" {NOT_RUN}"
    if method.unfiltered and results.kept == results.n:
        how += " All pairs are answered rightly, so that unfiltered effects are the same."
    return [*blocks, Paragraph(faint(how))]


def guidance_blocks(results: Results) -> list[Block]:
    """Which places were run, why, and how far the estimates can be believed."""
    exact = results.experiment.guide in EXACT_GUIDES
    told: list[Block] = [Paragraph(guidance_text(one, exact=exact)) for one in results.guidance]
    return [Heading("Places that were run"), *told] if told else []


def guidance_text(guidance: Guidance, *, exact: bool) -> str:
    """The same of one effect or hypothesis.

    Args:
        guidance: The numbers of all places.
        exact: Whether these are computed as the effects are, not estimated from gradients.
    """
    kind = "effect, swapped behind its block," if exact else "effect estimated from gradients"
    numbers = "the two ways of computing it" if exact else "estimates and what came out"
    runs = Counter(place.run for place in guidance.places)
    text = (
        f"{guidance.aim}: of {len(guidance.places):,} places, {runs['promising']:,} were run since "
        f"the {kind} ({MEASURES[guidance.estimated].meaning}) is the "
        "largest there"
    )
    if len(guidance.places) == runs["promising"]:
        return f"{text}, which is all of them."
    text += f", and {runs['random']:,} of the others, drawn at random."
    if runs["other"]:
        text += f" Of {runs['other']:,} more there are numbers since they were run for others."
    if guidance.correlation is None:
        return f"{text} {numbers[0].upper()}{numbers[1:]} cannot be compared on these."
    about = MEASURES[guidance.measure].meaning
    text += (
        f" On these, {numbers} ({about}) have a rank correlation of "
        f"{with_interval(guidance.correlation, guidance.low, guidance.high)} (Spearman, "
        f"n = {guidance.compared})."
    )
    if exact or guidance.correlation >= BELIEVED:
        return text
    return f"{text} That is low: run exactly (all places) before a place is said to do nothing."


def distinct_effects(cells: Iterable[Cell]) -> list[Cell]:
    """Cells without those of all pairs, where these are the kept ones."""
    given = list(cells)
    counts = {(cell.hypothesis, *cell.place): cell.n for cell in given}
    return [
        cell
        for cell in given
        if counts.get((cell.hypothesis.removesuffix(UNFILTERED), *cell.place)) != cell.n
        or not cell.hypothesis.endswith(UNFILTERED)
    ]


def is_everywhere(effect: str, method: Method) -> bool:
    """Whether an effect is the same at all places."""
    return method.effects[effect.removesuffix(UNFILTERED)].placeless


def marked_tokens(results: Results) -> tuple[str, ...]:
    """Names of the tokens that got noise."""
    return results.noise.names if results.noise else ()


def effect_sentences(cells: Sequence[Cell], method: Method) -> list[str]:
    """Per effect, where it is largest, and whether it could be none."""
    measures = list(dict.fromkeys(cell.measure for cell in cells)) or [method.measure]
    effects = {name: one for each in measures for name, one in effects_on(method, each).items()}
    return [_largest(cells, name) for name, effect in effects.items() if not effect.placeless]


def _largest(cells: Sequence[Cell], name: str) -> str:
    best = best_cell(cells, name, magnitude)
    if best is None:
        return f"{name}: nothing can be said: no pair has a number."
    mine = [cell for cell in cells if cell.hypothesis == name]
    said = f"{name}: largest at {places_text(best, mine)}, {value_text(best)}, n {best.n}"
    said += _spread(best)
    low, high = best.low, best.high
    if low is None or high is None or low <= 0 <= high:
        return f"{said}; its interval holds 0."
    return f"{said}."


def _spread(cell: Cell) -> str:
    """How far pairs and draws lie apart, where something was drawn."""
    if cell.between_pairs is None or cell.between_draws is None:
        return ""
    pairs, draws = f"{cell.between_pairs:.2g}", f"{cell.between_draws:.2g}"
    return f"; standard deviation between pairs {pairs}, between the draws of a pair {draws}"


def _named(cells: Iterable[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.hypothesis for cell in cells))
