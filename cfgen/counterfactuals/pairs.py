"""Pairs: two prompts, what each answers, and what every hypothesis predicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cfgen.errors import shortened
from cfgen.faces import found_later
from cfgen.prompts import Prompt


@dataclass(frozen=True, slots=True, repr=False)
class Side:
    """One prompt of a pair, with everything known about it.

    Attributes:
        inputs: Values of the causal model's inputs.
        prompt: The text and its spans.
        answer: The model's output as text, without leading space; None where there is none.
        answer_prefix: What stands between prompt and answer, usually one space.
        variables: Values of all variables of the causal model, inputs included.
        slots: Slot name -> the word it shows.
    """

    inputs: Mapping[str, Any]
    prompt: Prompt
    answer: str | None
    answer_prefix: str
    variables: Mapping[str, Any]
    slots: Mapping[str, str]

    def __repr__(self) -> str:
        text = self.prompt.text
        return shortened(
            f"Side({text if len(text) < 60 else f'{text[:56]}...'!r} -> {self.answer!r})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """An original and a counterfactual.

    Attributes:
        id: Hash of the content.
        index: Which candidate of its seed it is.
        task: Name of the task.
        design: Name of the design that made the counterfactual.
        original: The prompt that is intervened on.
        counterfactual: The prompt that values are taken from.
        predictions: Hypothesis -> the output it predicts; ``none`` and ``all`` always among them.
        kinds: Hypothesis -> kind of that prediction, one of ``KINDS``.
        decisive: Whether ``none`` and the contrast all predict different outputs.
        contrast: The hypotheses that the design is meant to tell apart.
    """

    id: str
    index: int
    task: str
    design: str
    original: Side
    counterfactual: Side
    predictions: Mapping[str, str | None]
    kinds: Mapping[str, str]
    decisive: bool
    contrast: tuple[str, ...]

    def __repr__(self) -> str:
        answers = f"{self.original.answer!r} / {self.counterfactual.answer!r}"
        state = "decisive" if self.decisive else "not decisive"
        return shortened(f"Pair({self.task}, {self.design}, {self.id}: {answers}, {state})")

    def _repr_html_(self) -> str:
        shown: str = found_later("cfgen.notebooks", "pair_html")(self)
        return shown


def answers_of(pairs: Iterable[Pair]) -> dict[str, str]:
    """Every answer that pairs have or predict, with where it was met first."""
    found: dict[str, str] = {}
    for pair in pairs:
        said = {
            "the original's answer": pair.original.answer,
            "the counterfactual's answer": pair.counterfactual.answer,
            **{f"the prediction of {name!r}": text for name, text in pair.predictions.items()},
        }
        for what, answer in said.items():
            if answer is not None:
                found.setdefault(answer, f"{what} in pair {pair.id}")
    return found
