"""Designs: named, reproducible ways to turn an original's inputs into a counterfactual's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cfgen.causal import Domain, Pools
from cfgen.counterfactuals.operation import InputEdit, apply_edits
from cfgen.errors import authored_record, caller_place, shortened


@authored_record
@dataclass(frozen=True, slots=True, repr=False)
class Design:
    """How pairs are made.

    Attributes:
        name: Name of the design.
        counterfactual: Edits that turn the original's inputs into the counterfactual's; inputs
            that no edit names stay as they are.
        original: Edits that bring randomly drawn inputs into the form the design needs.
        contrast: The hypotheses that the design is meant to tell apart.
        description: One sentence for a person.
        where: ``file:line`` of its declaration.
    """

    name: str
    counterfactual: tuple[InputEdit, ...]
    original: tuple[InputEdit, ...] = ()
    contrast: tuple[str, ...] = ()
    description: str = ""
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("counterfactual", "original", "contrast"):
            given = getattr(self, name)
            alone = isinstance(given, (str, InputEdit))
            object.__setattr__(self, name, (given,) if alone else tuple(given))
        object.__setattr__(self, "where", self.where or caller_place(2))

    def __repr__(self) -> str:
        told = f", tells apart {', '.join(self.contrast)}" if self.contrast else ""
        return shortened(f"Design({self.name}: {', '.join(map(str, self.counterfactual))}{told})")

    def words_needed(self, domains: Mapping[str, Domain]) -> dict[str, int]:
        """Lexicon -> how many of its words there must be for a pair to be drawn.

        A value drawn disjointly shares no word with the value it replaces, so both are counted.
        Inputs that draw from one lexicon may share words and are counted by the largest need.
        """
        edits = (*self.original, *self.counterfactual)
        needed: dict[str, int] = {}
        for name, domain in domains.items():
            redrawn = {k for edit in edits if edit.input == name for k in edit.redrawn(domain)}
            words = (domain.arity or 1) + len(redrawn)
            for pool in domain.pools:
                needed[pool] = max(needed.get(pool, 0), words)
        return needed


def restrict_domains(
    domains: Mapping[str, Domain], pools: Pools, allowed: Mapping[str, Domain]
) -> dict[str, Domain]:
    """Domains to draw from: smaller lexicons, and other domains where ``allowed`` names them."""
    return {
        name: allowed.get(name, domain).restrict(pools) if pools else allowed.get(name, domain)
        for name, domain in domains.items()
    }


def draw_inputs(
    design: Design, domains: Mapping[str, Domain], rng: random.Random
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw one pair of inputs.

    Args:
        design: How the pair is made.
        domains: Input -> domain to draw from.
        rng: Source of randomness; equal states give equal pairs.

    Returns:
        The original's inputs and the counterfactual's.
    """
    drawn = {name: domain.sample(rng) for name, domain in domains.items()}
    original = apply_edits(design.original, drawn, domains, rng)
    return original, apply_edits(design.counterfactual, original, domains, rng)
