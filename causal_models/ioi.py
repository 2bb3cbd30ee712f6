"""Indirect object identification: "Then, A and B went to the place. A gave an object to" -> B.

Wang et al. (2022), "Interpretability in the Wild: a Circuit for Indirect Object Identification in
GPT-2 small", arXiv 2211.00593.
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

model = CausalModel("ioi", output="answer")

model.input("template", templates("ioi"))
model.input("names", distinct(lexicon("names"), 2))
model.input("subject", integers(0, 1))
model.input("place", lexicon("places"))
model.input("object", lexicon("objects"))


@model.variable
def output_position(subject: int) -> int:
    """Whether the indirect object is the first (0) or the second (1) of the two names."""
    return 1 - subject


@model.variable
def output_token(output_position: int, names: tuple[str, ...]) -> str:
    """The name of the indirect object."""
    return names[output_position]


@model.variable
def answer(output_token: str) -> str:
    return output_token


# Signs as in the paper's appendix A: whether position and token of the indirect object stay (+) or
# change (-). Only fresh names in the other position tell both hypotheses from each other.

designs = [
    Design(
        "swap_names",
        counterfactual=[edits.reverse("names"), edits.flip("subject")],
        contrast=("output_position",),
        description="the first two names trade places (position -, token +)",
    ),
    Design(
        "swap_subject",
        counterfactual=[edits.flip("subject")],
        contrast=("output_position",),
        description="the other one is named again (position -, token -)",
    ),
    Design(
        "swap_both",
        counterfactual=[edits.reverse("names")],
        contrast=("output_token",),
        description="both of these (position +, token -)",
    ),
    Design(
        "fresh_names",
        counterfactual=[edits.resample("names", disjoint=True), edits.flip("subject")],
        contrast=("output_position", "output_token"),
        description="two new names, the indirect object in the other position",
    ),
    Design(
        "fresh_names_kept",
        counterfactual=[edits.resample("names", disjoint=True)],
        contrast=("output_token",),
        description="two new names, the indirect object in the same position",
    ),
]

PAPER = "Wang et al. 2022, arXiv 2211.00593"

hypotheses = [
    Hypothesis(
        "output_position",
        interchange=["output_position"],
        site=Site("last"),
        design="fresh_names",
        description="the last token holds which of the two names it is, first or second",
        reference=PAPER,
    ),
    Hypothesis(
        "output_token",
        interchange=["output_token"],
        site=Site("last"),
        design="fresh_names",
        description="the last token holds the name itself",
        reference=PAPER,
    ),
]

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="fresh_names",
    default_model="smollm2-135m",
    default_template="then_went",
    languages=["en"],
    allow={
        "predicts-as-all:output_token": "the last variable before the answer: layers tell it from "
        "copying everything",
    },
)
