"""Hierarchical equality: (w = x) = (y = z). Are both pairs equal, or both unequal?

Every input but the words has two values, so claims about all inputs can be checked one by one.
The task is from Geiger et al. (2020), "Relational reasoning and generalization using non-symbolic
neural networks", arXiv 2006.07968; its causal model from Geiger et al. (2024), "Finding Alignments
Between Interpretable Causal Variables and Distributed Neural Representations", arXiv 2303.02536.
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

model = CausalModel("hierarchical_equality", output="answer")

# Each pair chooses twice between two words of its own: it is equal half of the time.

model.input("template", templates("hierarchical_equality"), default="two_sentences")
model.input("left_words", distinct(lexicon("animals"), 2))
model.input("right_words", distinct(lexicon("animals"), 2))
model.input("choice_w", integers(0, 1))
model.input("choice_x", integers(0, 1))
model.input("choice_y", integers(0, 1))
model.input("choice_z", integers(0, 1))


@model.variable
def w(choice_w: int, left_words: tuple[str, ...]) -> str:
    return left_words[choice_w]


@model.variable
def x(choice_x: int, left_words: tuple[str, ...]) -> str:
    return left_words[choice_x]


@model.variable
def y(choice_y: int, right_words: tuple[str, ...]) -> str:
    return right_words[choice_y]


@model.variable
def z(choice_z: int, right_words: tuple[str, ...]) -> str:
    return right_words[choice_z]


@model.variable
def left(w: str, x: str) -> bool:
    """Whether the two words on the left are the same."""
    return w == x


@model.variable
def right(y: str, z: str) -> bool:
    """Whether the two words on the right are the same."""
    return y == z


@model.variable
def answer(left: bool, right: bool) -> str:
    return "True" if left == right else "False"


# There are two answers, so no pair gives three different ones: a design sets one hypothesis
# against `none`, and those that change both pairs set it against `all` too.

NEW_WORDS = (
    edits.resample("left_words", disjoint=True),
    edits.resample("right_words", disjoint=True),
)

designs = [
    Design(
        "change_left",
        counterfactual=[*NEW_WORDS, edits.flip("choice_x")],
        contrast=("left",),
        description="new words; the left pair is equal if it was unequal, and the other way round",
    ),
    Design(
        "change_right",
        counterfactual=[*NEW_WORDS, edits.flip("choice_z")],
        contrast=("right",),
        description="new words; the right pair is equal if it was unequal, and the other way round",
    ),
    Design(
        "change_both",
        counterfactual=[*NEW_WORDS, edits.flip("choice_x"), edits.flip("choice_z")],
        contrast=("left",),
        description="new words; both pairs change, so both prompts have the same answer, and "
        "either half alone gives the other",
    ),
    Design(
        "make_left_equal",
        original=[edits.set("choice_w", 0), edits.set("choice_x", 1)],
        counterfactual=[
            *NEW_WORDS,
            edits.set("choice_x", 0),
            edits.flip("choice_z"),
        ],
        contrast=("left",),
        description="new words; the left pair is unequal, then equal, so that its second word "
        "alone changes nothing; the right pair changes as well",
    ),
    Design(
        "same_words",
        counterfactual=[edits.flip("choice_x")],
        contrast=("left",),
        description="the same words, but for the second of the left pair",
    ),
]

PAPER = "Geiger et al. 2024, arXiv 2303.02536, hierarchical equality"

hypotheses = [
    Hypothesis(
        "left",
        interchange=["left"],
        site=Site("x"),
        design="change_both",
        description="the second word of the left pair holds whether that pair is equal",
        reference=PAPER,
    ),
    Hypothesis(
        "right",
        interchange=["right"],
        site=Site("z"),
        design="change_right",
        description="the second word of the right pair holds whether that pair is equal",
        reference=PAPER,
    ),
    Hypothesis(
        "x",
        interchange=["x"],
        site=Site("x"),
        design="same_words",
        description="the second word of the left pair holds no more than that word",
        reference=PAPER,
    ),
]

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="change_both",
    default_model="smollm2-135m",
    default_template="two_sentences",
    languages=["en"],
    allow={
        "predicts-as-all:right": "its design moves the right pair alone; change_both is there to "
        "tell a half from the whole answer",
        "predicts-as-all:x": "its design changes that word alone, which is all there is to copy; "
        "change_both is there to tell it from the whole answer",
    },
)
