"""Multiple choice: "The box is red. What color is the box? A. red B. blue Answer:" -> A.

Two choices, each behind a letter. Wiegreffe et al. (2024), "Answer, Assemble, Ace: Understanding
How LMs Answer Multiple Choice Questions", arXiv 2407.15018; Mueller et al. (2025), "MIB: A
Mechanistic Interpretability Benchmark", arXiv 2504.13151.
"""

from cfgen import (
    CausalModel,
    Design,
    Hypothesis,
    Site,
    TaskDefinition,
    distinct,
    edits,
    integers,
    lexicon,
    templates,
)

model = CausalModel("mcqa", output="answer")

model.input("template", templates("mcqa"), default="on_lines")
model.input("object", lexicon("objects"))
model.input("colors", distinct(lexicon("colors"), 2))
model.input("symbols", distinct(lexicon("letters"), 2))
model.input("right_choice", integers(0, 1))


@model.variable
def color(right_choice: int, colors: tuple[str, ...]) -> str:
    """The color that the first sentence names."""
    return colors[right_choice]


@model.variable
def answer_pointer(color: str, colors: tuple[str, ...]) -> int | None:
    """Position of the choice that is this color, from 0; None if there is none."""
    return colors.index(color) if color in colors else None


@model.variable
def answer(answer_pointer: int | None, symbols: tuple[str, ...]) -> str | None:
    """The symbol at that position."""
    return None if answer_pointer is None else symbols[answer_pointer]


# Reversing the colors and flipping the position of the right one keeps the first sentence.

MOVE = (edits.reverse("colors"), edits.flip("right_choice"))
RELABEL = edits.resample("symbols", disjoint=True)

designs = [
    Design(
        "move_choice",
        counterfactual=MOVE,
        contrast=("answer_pointer",),
        description="the two choices trade places, the letters stay",
    ),
    Design(
        "change_symbols",
        counterfactual=[RELABEL],
        contrast=("answer",),
        description="two new letters, the choices stay",
    ),
    Design(
        "move_and_change",
        counterfactual=[*MOVE, RELABEL],
        contrast=("answer_pointer", "answer"),
        description="the choices trade places and have two new letters",
    ),
    Design(
        "other_color",
        counterfactual=[edits.flip("right_choice"), RELABEL],
        contrast=("color", "answer"),
        description="the object has the color of the other choice, and there are two new letters",
    ),
    Design(
        "fresh",
        counterfactual=[
            edits.resample("object", disjoint=True),
            edits.resample("colors", disjoint=True),
            RELABEL,
            edits.flip("right_choice"),
        ],
        contrast=("answer_pointer", "answer"),
        description="another object, colors and letters, the right choice in the other position",
    ),
]

MIB = "Mueller et al. 2025, arXiv 2504.13151, MCQA"

hypotheses = [
    Hypothesis(
        "answer_pointer",
        interchange=["answer_pointer"],
        site=Site("last"),
        design="move_and_change",
        description="the last token holds the position of the right choice, not its letter",
        reference=MIB,
    ),
    Hypothesis(
        "answer",
        interchange=["answer"],
        site=Site("last"),
        design="move_and_change",
        description="the last token holds the letter of the right choice",
        reference=MIB,
    ),
    Hypothesis(
        "color",
        interchange=["color"],
        site=Site("fact_color"),
        design="other_color",
        description="the color in the first sentence is what the choices are compared with",
        reference="Wiegreffe et al. 2024, arXiv 2407.15018",
    ),
]

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="move_and_change",
    default_model="smollm2-135m",
    default_template="on_lines",
    languages=["en"],
    allow={
        "predicts-as-all:answer": "the last variable: layers tell it from copying everything",
    },
)
