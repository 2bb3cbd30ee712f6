"""Predictions: what the LM would say under each hypothesis, computed from the causal model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cfgen.causal import Columns, Program
from cfgen.counterfactuals.hypotheses import ALL, NONE, Hypothesis

ORIGINAL = "original"
COUNTERFACTUAL = "counterfactual"
THIRD = "third"
KINDS = (ORIGINAL, COUNTERFACTUAL, THIRD)
"""The kinds of a prediction: the original's answer, the counterfactual's, or a third one."""


class Predictor:
    """Computes what hypotheses predict for pairs whose variables are known.

    Under a hypothesis the original is run with the interchanged variables set to the values they
    have in the counterfactual and the held ones set to the original's (an interchange
    intervention; Geiger et al. 2021, section 2). Mechanisms depend on nothing but their parents,
    so what two hypotheses, or a hypothesis and the original itself, compute from the same values
    is computed once.

    Attributes:
        names: Whatever predicts: ``none`` and ``all``, then the hypotheses.
    """

    def __init__(self, program: Program, hypotheses: Iterable[Hypothesis]) -> None:
        """Prepare the predictions.

        Args:
            program: The causal model.
            hypotheses: What to predict for, besides ``none`` and ``all``.
        """
        self._program = program
        # Columns have numbers: the original's variables, the counterfactual's, then one a call.
        order, output = program.graph.order, program.graph.output
        original = {name: number for number, name in enumerate(order)}
        counterfactual = {name: number for number, name in enumerate(order, len(order))}
        numbers = {
            (name, tuple(side[parent] for parent in parents)): side[name]
            for side in (counterfactual, original)
            for name, _, parents in program.steps
        }
        given = 2 * len(order)
        self._calls: list[tuple[int, tuple[int, ...]]] = []  # number of the step, and of its values
        self._outputs = {NONE: original[output], ALL: counterfactual[output]}
        for hypothesis in hypotheses:
            fixed = {name: counterfactual[taken] for name, taken in hypothesis.sources.items()}
            fixed |= {name: original[name] for name in hypothesis.hold}
            values = {**original, **fixed}
            for place, (name, _, parents) in enumerate(program.steps):
                if name not in fixed:
                    arguments = tuple(values[parent] for parent in parents)
                    if (name, arguments) not in numbers:
                        numbers[name, arguments] = given + len(self._calls)
                        self._calls.append((place, arguments))
                    values[name] = numbers[name, arguments]
            self._outputs[hypothesis.name] = values[output]
        self.names = tuple(self._outputs)

    def columns(self, original: Columns, counterfactual: Columns) -> dict[str, Sequence[Any]]:
        """The outputs predicted for many pairs.

        Args:
            original: All variables of the originals, without interventions.
            counterfactual: All variables of the counterfactuals.

        Returns:
            Name -> the output for every pair.

        Raises:
            CfgenError: If a mechanism raises.
        """
        program = self._program
        known = [side[name] for side in (original, counterfactual) for name in program.graph.order]
        rows = len(known[0])
        for place, arguments in self._calls:
            values = [known[number] for number in arguments]
            known.append(program.call(program.steps[place], values, rows))
        return {name: known[number] for name, number in self._outputs.items()}

    def __call__(
        self, original: Mapping[str, Any], counterfactual: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The outputs predicted for one pair, given all variables of both sides."""
        one, other = (
            {name: (value,) for name, value in side.items()} for side in (original, counterfactual)
        )
        return {name: output for name, (output,) in self.columns(one, other).items()}


def output_text(output: Any) -> str | None:
    """An output as the text the LM should say; None where the model gives no answer."""
    return output if output is None or isinstance(output, str) else str(output)


def kind_of(prediction: str | None, original: str | None, counterfactual: str | None) -> str:
    """Kind of a prediction, one of :data:`KINDS`.

    Where both prompts have the same answer, that answer counts as the original's.

    Args:
        prediction: What a hypothesis predicts.
        original: What ``none`` predicts: the original's answer.
        counterfactual: What ``all`` predicts: the counterfactual's answer.
    """
    if prediction == original:
        return ORIGINAL
    return COUNTERFACTUAL if prediction == counterfactual else THIRD


def is_decisive(
    predictions: Sequence[str | None], accepted: Callable[[str], Collection[str]] | None = None
) -> bool:
    """Whether what ``none`` and the hypotheses of a contrast predict is all different.

    Args:
        predictions: What each predicts.
        accepted: From an answer to the texts any of which is right for it. Two answers that share
            one are not different: an LM that says it would be right by both. None if an answer is
            right by itself alone.
    """
    if len(predictions) < 2 or len({*predictions}) < len(predictions):
        return False
    if accepted is None:
        return True
    texts = [text for p in predictions for text in ([None] if p is None else {*accepted(p)})]
    return len({*texts}) == len(texts)
