"""Factual recall: "The capital of France is the city of" -> Paris.

Meng et al. (2022), "Locating and Editing Factual Associations in GPT", arXiv 2202.05262: a subject
and a relation, and the attribute that the subject has in it. What is known of a subject is one
variable, which of it is asked another one.
"""

from cfgen import (
    CausalModel,
    Design,
    Hypothesis,
    Site,
    TaskDefinition,
    choice,
    distinct,
    edits,
    lexicon,
    templates,
)

RELATIONS = ("capital", "language", "continent")  # columns of the lexicon

countries = lexicon("countries")
model = CausalModel("factual_recall", output="answer")

model.input("template", templates("factual_recall"), default="two_sentences")
model.input("subject", countries)
model.input("relation", choice(RELATIONS))
model.input("examples", distinct(countries, 2))


def fact(country: str, relation: str) -> str:
    """What the lexicon says of a country."""
    return str(getattr(countries[country], relation))


@model.require
def examples_have_other_answers(subject: str, relation: str, examples: tuple[str, ...]) -> bool:
    """The answer cannot be copied from an example, of which the subject is none either."""
    return fact(subject, relation) not in [fact(example, relation) for example in examples]


@model.variable
def example_answers(examples: tuple[str, ...], relation: str) -> tuple[str, ...]:
    """The attributes of the examples, which prompts with examples show."""
    return tuple(fact(example, relation) for example in examples)


@model.variable
def attributes(subject: str) -> tuple[str, ...]:
    """All that is known of the subject, in the order of the relations."""
    return tuple(fact(subject, relation) for relation in RELATIONS)


@model.variable
def answer(attributes: tuple[str, ...], relation: str) -> str:
    """The attribute that is asked for."""
    return attributes[RELATIONS.index(relation)]


designs = [
    Design(
        "other_subject",
        counterfactual=[edits.resample("subject", disjoint=True)],
        contrast=("attributes",),
        description="another country, asked for the same",
    ),
    Design(
        "other_relation",
        counterfactual=[edits.resample("relation", disjoint=True)],
        contrast=("relation",),
        description="the same country, asked for something else",
    ),
    Design(
        "other_fact",
        counterfactual=[
            edits.resample("subject", disjoint=True),
            edits.resample("relation", disjoint=True),
        ],
        contrast=("attributes", "relation"),
        description="another country, asked for something else",
    ),
]

PAPER = "Meng et al. 2022, arXiv 2202.05262"

hypotheses = [
    Hypothesis(
        "attributes",
        interchange=["attributes"],
        site=Site("subject"),
        design="other_fact",
        description="the last token of the subject holds what is known of it, whatever is asked",
        reference=PAPER,
    ),
    Hypothesis(
        "relation",
        interchange=["relation"],
        site=Site("last"),
        design="other_fact",
        description="the last token holds what is asked for, not yet of which subject",
        reference=PAPER,
    ),
    Hypothesis(
        "answer",
        interchange=["answer"],
        site=Site("last"),
        design="other_fact",
        description="the last token holds the attribute itself",
        reference=PAPER,
    ),
]

SEVERAL_TOKENS = (
    "names of several tokens are what facts are about: what is said to hold something is the last "
    "one of the subject, wherever it stands"
)

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="other_fact",
    default_model="smollm2-135m",
    default_template="two_sentences",
    languages=["en"],
    defaults={"corrupt": "subject"},
    allow={
        "predicts-as-all:answer": "the last variable: layers tell it from copying everything",
        "word-tokens:countries": SEVERAL_TOKENS,
        "length-differs": SEVERAL_TOKENS,
    },
)
