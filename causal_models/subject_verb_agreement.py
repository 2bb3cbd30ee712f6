"""Subject-verb agreement: "Everybody says that the boy next to the teachers" -> is.

Finlayson et al. (2021), "Causal Analysis of Syntactic Agreement Mechanisms in Neural Language
Models", arXiv 2106.06087: simple agreement, and agreement across a prepositional phrase or a
relative clause, the noun of which (the attractor) has a number of its own. Here the tense of the
sentence decides about the verb as well, so that there are four answers and not two.
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

FORMS = {  # number, tense -> verb
    ("singular", "present"): "is",
    ("plural", "present"): "are",
    ("singular", "past"): "was",
    ("plural", "past"): "were",
}

people = lexicon("people")
model = CausalModel("subject_verb_agreement", output="answer")

# The templates without an attractor are those that support `none`.

model.input("template", templates("subject_verb_agreement"), default="next_to")
model.input("nouns", distinct(people, 2))
model.input("subject_number", choice(["singular", "plural"]))
model.input("attractor_number", choice(["none", "singular", "plural"]))
model.input("tense", choice(["present", "past"]), default="present")


@model.variable
def subject(nouns: tuple[str, ...], subject_number: str) -> str:
    """The subject as it is written."""
    return people[nouns[0]].plural if subject_number == "plural" else nouns[0]


@model.variable
def attractor(nouns: tuple[str, ...], attractor_number: str) -> str | None:
    """The noun between subject and verb as it is written; None if there is none."""
    if attractor_number == "none":
        return None
    return people[nouns[1]].plural if attractor_number == "plural" else nouns[1]


@model.variable
def number(subject_number: str) -> str:
    """The number that the verb is given."""
    return subject_number


@model.variable
def answer(number: str, tense: str) -> str | None:
    """The verb; None for the number of an attractor that is not there."""
    return FORMS.get((number, tense))


NEW_NOUNS = edits.resample("nouns", disjoint=True)

designs = [
    Design(
        "flip_subject",
        counterfactual=[edits.flip("subject_number")],
        contrast=("number",),
        description="the same sentence, but for the number of its subject",
    ),
    Design(
        "flip_attractor",
        counterfactual=[edits.resample("attractor_number", disjoint=True)],
        contrast=("attractor_number",),
        description="the same sentence, but for the number of the noun before the verb; decisive "
        "where that number is the subject's in the original, and is not in the counterfactual",
    ),
    Design(
        "other_nouns",
        counterfactual=[NEW_NOUNS, edits.flip("tense")],
        contrast=("tense",),
        description="new nouns of the same numbers, in the other tense",
    ),
    Design(
        "other_sentence",
        counterfactual=[NEW_NOUNS, edits.flip("subject_number"), edits.flip("tense")],
        contrast=("number", "tense"),
        description="new nouns, the subject in the other number, the sentence in the other tense",
    ),
]

PAPER = "Finlayson et al. 2021, arXiv 2106.06087"

hypotheses = [
    Hypothesis(
        "subject_number",
        interchange=["subject_number"],
        site=Site("subject"),
        design="other_sentence",
        description="the subject holds its number",
        reference=PAPER,
    ),
    Hypothesis(
        "attractor_number",
        interchange={"number": "attractor_number"},
        site=Site("attractor"),
        design="flip_attractor",
        description="the verb is given the number of the noun before it: attraction",
        reference=PAPER,
    ),
    Hypothesis(
        "number",
        interchange=["number"],
        site=Site("last"),
        design="other_sentence",
        description="the last token holds the number of the verb, not the verb",
        reference=PAPER,
    ),
    Hypothesis(
        "tense",
        interchange=["tense"],
        site=Site("last"),
        design="other_sentence",
        description="the last token holds the tense of the verb, not the verb",
    ),
    Hypothesis(
        "answer",
        interchange=["answer"],
        site=Site("last"),
        design="other_sentence",
        description="the last token holds the verb itself",
        reference=PAPER,
    ),
]

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="other_sentence",
    default_model="smollm2-135m",
    default_template="next_to",
    candidates=[*FORMS.values()],
    languages=["en"],
    allow={
        "predicts-as-all:answer": "the last variable: layers tell it from copying everything",
        "hypotheses-never-separated": "the number of the subject and that of the verb are the "
        "same, at other sites: where each holds is what is asked",
    },
)
