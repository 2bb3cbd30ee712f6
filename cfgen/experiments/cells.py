"""Cells: what comes out of an experiment at one place of an LM, and what was said there.

Where something was swapped is told by the same columns everywhere: the component, the label of the
site, the head, the neuron or the token where the sweep goes over those, and the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Spot = tuple[str, str, int | None, int | None, str | None]
"""Where something is, but for the layer: component, label of the site, head, neuron, token."""


@dataclass(frozen=True, slots=True)
class CellPlace:
    """Where in an LM something is changed.

    Attributes:
        component: What is changed.
        position: Label of the site, without the head.
        head: Which head; None for a component as a whole.
        neuron: Which neuron or dimension; None unless one alone is changed.
        token: Which token, by its name, where the sweep goes over every token; else None.
        layer: In which layer (the last of them, for swaps up to a layer).
    """

    component: str
    position: str
    head: int | None
    neuron: int | None
    token: str | None
    layer: int

    @property
    def spot(self) -> Spot:
        """Where it is, but for the layer."""
        return self.component, self.position, self.head, self.neuron, self.token

    @property
    def place(self) -> tuple[*Spot, int]:
        """What tells it from other places."""
        return (*self.spot, self.layer)


@dataclass(frozen=True, slots=True)
class Output(CellPlace):
    """What the LM said for one pair in one cell.

    Attributes:
        pair_id: The pair.
        said: What the LM said, as far as its answer was read, as text.
        kind: ``original``, ``counterfactual``, ``third`` (an answer that only a hypothesis
            predicts) or ``other``.
    """

    pair_id: str
    said: str
    kind: str


@dataclass(frozen=True, slots=True)
class PairEffect(CellPlace):
    """An effect in one pair at one place.

    Attributes:
        pair_id: The pair.
        kept: Whether the LM answers its prompts rightly, as far as the method uses them.
        effect: Which effect.
        measure: Of what it is an effect.
        value: How large it is, on average over draws; None if a run of the pair has no finite
            number.
        deviation: Standard deviation between draws; None where there are not two.
    """

    pair_id: str
    kept: bool
    effect: str
    measure: str
    value: float | None
    deviation: float | None = None


@dataclass(frozen=True, slots=True)
class Cell(CellPlace):
    """A measure of one hypothesis at one place.

    Attributes:
        hypothesis: The hypothesis; ``none`` is the control under which nothing happened.
        measure: What was measured.
        n: Pairs counted: kept, swappable here, with a prediction of this hypothesis, and a number.
        value: The average over them; of IIA, the share whose output is the predicted one. None if
            no pair has a number.
        low: Lower end of the 95 % interval, Wilson's of a share and Student's of an average; None
            if there is none.
        high: Upper end.
        left_out: Pairs with a prediction, but without a number that is finite.
        between_pairs: Where something was drawn several times for each pair, the standard
            deviation between pairs, without what the draws add to it; None else.
        between_draws: The standard deviation between the draws of a pair.
    """

    hypothesis: str
    measure: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    left_out: int = 0
    between_pairs: float | None = None
    between_draws: float | None = None


@dataclass(frozen=True, slots=True)
class GuidedPlace(CellPlace):
    """A place whose effect was estimated.

    Attributes:
        estimate: The effect, to first order, on average over pairs.
        run: Why it was run as well: ``promising``, ``random``, or for some ``other`` hypothesis;
            empty if it was not.
        n: Pairs that have a number.
        low: Lower end of the 95 % interval of their average, Student's; None if there is none.
            It is one of a place that was named beforehand: of the largest of many, chosen by the
            same pairs, the next pairs show less.
        high: Upper end.
    """

    estimate: float
    run: Literal["promising", "random", "other", ""]
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Guidance:
    """Estimates of all places, and how far they can be believed.

    Attributes:
        aim: Of which effect, or of which hypothesis the log odds of what it predicts.
        estimated: Of what the effects are that were estimated.
        places: All places.
        measure: Of what the exact effects are with which estimates are compared.
        compared: How many places were drawn at random for that, and have a number.
        correlation: Spearman's rank correlation there; None where it is not defined.
        low: Lower end of its 95 % interval; None if there is none.
        high: Upper end.
    """

    aim: str
    estimated: str
    places: tuple[GuidedPlace, ...]
    measure: str
    compared: int
    correlation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class VacuousCell(CellPlace):
    """A place that says nothing: what was swapped there is the same in all pairs' prompts.

    Attributes:
        n: Pairs that were swapped.
    """

    n: int


Selection = Literal["top", "greedy", "random"]
"""How places that are swapped together are chosen."""


@dataclass(frozen=True, slots=True)
class AverageEffect:
    """An effect, on average over pairs.

    Attributes:
        effect: Which, such as ``NIE``; ``NIE, unfiltered`` is over all pairs, whether or not the
            LM answers them rightly.
        n: Pairs that have a number.
        value: The average; None without a pair.
        low: Lower end of its 95 % interval, Student's.
        high: Upper end.
    """

    effect: str
    n: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class MediatorSet:
    """Places that are swapped together: one more than the set before.

    Attributes:
        selection: ``top``: the strongest by themselves; ``greedy``: each adds most to those before
            it; ``random``, as the control.
        size: How many there are.
        added: The place that the set before has not.
        effects: What goes through them together (NIE) and past them (NDE), in the judging half.
    """

    selection: Selection
    size: int
    added: CellPlace
    effects: tuple[AverageEffect, ...]

    def effect(self, name: str) -> AverageEffect:
        """One of its effects, by name."""
        return next(one for one in self.effects if one.effect == name)


@dataclass(frozen=True, slots=True)
class MediatorSets:
    """Sets of places, chosen on one half of the pairs and judged on the other.

    Attributes:
        measure: Of what they are effects.
        chosen_on: Pairs of the half that chose them.
        judged_on: Of that on which they were measured; as all that follows, unless it says that
            it is unfiltered.
        totals: The total effect there (TE).
        sets: The sets, order by order.
    """

    measure: str
    chosen_on: int
    judged_on: int
    totals: tuple[AverageEffect, ...]
    sets: tuple[MediatorSet, ...]


@dataclass(frozen=True, slots=True)
class Continuation(CellPlace):
    """How the LM goes on in one pair, with and without a change at one place.

    Attributes:
        pair_id: The pair.
        during: ``prompt`` if it was changed in the prompt only, ``always`` if at every generated
            token as well.
        unchanged: How the LM goes on after the original as it is, as text.
        changed: How it goes on after the change.
    """

    pair_id: str
    during: str
    unchanged: str
    changed: str


@dataclass(frozen=True, slots=True)
class ContinuationRate(CellPlace):
    """How many continuations begin with an answer, at one place.

    Attributes:
        answer: Whose answer: that of the ``original`` or of the ``counterfactual``.
        n: Pairs that have this answer.
        unchanged: Share of them in which the LM, unchanged, goes on with it.
        value: Share of them in which it does after the change.
        low: Lower end of its 95 % interval, Wilson's.
        high: Upper end.
    """

    answer: Literal["original", "counterfactual"]
    n: int
    unchanged: float
    value: float
    low: float
    high: float
