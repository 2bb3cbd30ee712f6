"""The demo: what it runs, and the words around it, read from ``data/demo.yaml``."""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt

from cfgen.counterfactuals import Pair
from cfgen.documents import Document, Gap, Heading, Paragraph, strong
from cfgen.paths import builtin_root
from cfgen.report.pairs import pair_view


class Story(BaseModel):
    """What the demo runs and says.

    Attributes:
        task: Name of the task.
        design: Name of the design.
        pairs: How many pairs.
        intro: What is tested, before anything runs.
        pair: What is predicted for the pair shown; ``{name}`` stands for the prediction of that
            hypothesis, ``{original}`` and ``{counterfactual}`` for the two answers.
        outro: How to read what came out.
        next: Commands to try after it; ``{task}`` stands for the task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    design: str
    pairs: PositiveInt
    intro: str
    pair: str
    outro: str
    next: tuple[str, ...]


def load_story() -> Story:
    """Read the built-in ``data/demo.yaml``."""
    text = (builtin_root() / "data" / "demo.yaml").read_text(encoding="utf-8")
    return Story.model_validate(yaml.safe_load(text))


def introduction(story: Story, pair: Pair, names: Sequence[str]) -> Document:
    """What is tested, and one pair with its predictions.

    Args:
        story: The words.
        pair: The pair to show.
        names: The hypotheses that are tested.
    """
    return Document(
        (
            Heading("What is tested"),
            Paragraph(story.intro.rstrip()),
            Heading("One of the pairs"),
            *pair_view(pair, names).blocks,
            Paragraph(_with_answers(story.pair, pair).rstrip()),
            Gap(),
        )
    )


def closing(story: Story) -> Document:
    """How to read what came out, and what to try next."""
    commands = [line.replace("{task}", story.task) for line in story.next]
    return Document(
        (
            Heading("How to read this"),
            Paragraph(story.outro.rstrip()),
            Heading("What to try next"),
            *(Paragraph(("  ", strong(command))) for command in commands),
        )
    )


def _with_answers(text: str, pair: Pair) -> str:
    answers = {"original": pair.original.answer, "counterfactual": pair.counterfactual.answer}
    for name, answer in {**pair.predictions, **answers}.items():
        text = text.replace("{" + name + "}", str(answer))
    return text
