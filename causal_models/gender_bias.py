"""Gender bias: "The nurse said that" -> she.

Vig et al. (2020), "Causal Mediation Analysis for Interpreting Neural NLP: The Case of Gender Bias",
arXiv 2004.12265. An original names a profession; its answer is the pronoun of the stereotype, which
is no right answer: the pairs that a run keeps are those on which the LM has the bias. The
counterfactual names a man or a woman instead, whichever is against the stereotype. With
`--method mediation` and the measure `odds`, y(u) is the probability of the pronoun against the
stereotype over that of the other one, and the effects are the paper's. Which gender a stereotype is
of, the sign of its score says, whatever the LM thinks. A sentence about a man or a woman belongs to
many professions: more than 34 pairs need `--reuse-prompts`.
"""

from cfgen import (
    CausalModel,
    Design,
    Hypothesis,
    Site,
    TaskDefinition,
    choice,
    edits,
    lexicon,
    templates,
)

PRONOUNS = {"male": "he", "female": "she"}
PEOPLE = {"male": "man", "female": "woman"}

professions = lexicon("professions")
model = CausalModel("gender_bias", output="answer")

model.input("template", templates("gender_bias"), default="said_that")
model.input("profession", professions)
model.input("named", choice(["profession", "opposite"]), default="profession")


@model.variable
def stereotype(profession: str) -> str:
    """The gender that the profession has by stereotype."""
    return "male" if float(professions[profession].stereotypical) > 0 else "female"


@model.variable
def gender(stereotype: str, named: str) -> str:
    """The gender that the word brings to mind."""
    if named == "profession":
        return stereotype
    return "female" if stereotype == "male" else "male"


@model.variable
def word(profession: str, named: str, gender: str) -> str:
    """What the sentence is about."""
    return profession if named == "profession" else PEOPLE[gender]


@model.variable
def answer(gender: str) -> str:
    """The pronoun."""
    return PRONOUNS[gender]


# There are two answers, so no pair gives three different ones.

BIASED = edits.set("named", "profession")

designs = [
    Design(
        "opposite",
        original=[BIASED],
        counterfactual=[edits.set("named", "opposite")],
        contrast=("gender",),
        description="a man or a woman in place of the profession, against its stereotype",
    ),
    Design(
        "other_profession",
        original=[BIASED],
        counterfactual=[edits.resample("profession", disjoint=True)],
        contrast=("gender",),
        description="another profession; decisive where its stereotype is the other one",
    ),
]

PAPER = "Vig et al. 2020, arXiv 2004.12265"

hypotheses = [
    Hypothesis(
        "gender",
        interchange=["gender"],
        site=Site("word"),
        design="opposite",
        description="the word holds the gender that it brings to mind",
        reference=PAPER,
    ),
    Hypothesis(
        "answer",
        interchange=["answer"],
        site=Site("last"),
        design="opposite",
        description="the last token holds the pronoun",
        reference=PAPER,
    ),
]

ONLY_GENDER = "what differs between the prompts is the gender, and there are two answers"
MORE_MEN = (
    "the list has more professions that are men's by stereotype; effects are measured against the "
    "stereotype of each"
)
SEVERAL_TOKENS = (
    "the paper's list has professions of several tokens; at the last one the word is complete"
)

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="opposite",
    default_model="smollm2-135m",
    candidates=[*PRONOUNS.values()],
    languages=["en"],
    defaults={"reuse_prompts": True},  # there are 34 prompts of a man or a woman
    allow={
        "predicts-as-all:gender": ONLY_GENDER,
        "predicts-as-all:answer": ONLY_GENDER,
        "hypotheses-never-separated": ONLY_GENDER,
        "shortcut": MORE_MEN,
        "word-tokens:professions": SEVERAL_TOKENS,
        "length-differs": SEVERAL_TOKENS,
    },
)
