"""Belief tracking: who believes which container holds what.

The lookback mechanism of Prakash et al. (2025), "Language Models use Lookbacks to Track Beliefs",
arXiv 2505.14685. Every copy of a value that the paper intervenes on separately is a variable of
its own; ordering ids count mentions from 0.
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
    integers,
    lexicon,
    templates,
)

UNKNOWN = "unknown"
VISIBILITY = ("none", "neither", "first_sees_second", "second_sees_first", "both")

Pair = tuple[int, int]
Sighting = tuple[int, int, int]  # observer, observed, 1 if the one can see the other, else 0

model = CausalModel("belief_tracking", output="answer")

model.input("template", templates("belief_tracking"), default="restaurant")
model.input("characters", distinct(lexicon("characters"), 2))
model.input("containers", distinct(lexicon("containers"), 2))
model.input("drinks", distinct(lexicon("drinks"), 2))
model.input("visibility", choice(VISIBILITY), default="none")
model.input("asked_character", integers(0, 1))
model.input("asked_container", integers(0, 1))


# The source: ordering ids, given in order of mention.


@model.variable
def character_oi_1(characters: tuple[str, ...]) -> int:
    return characters.index(characters[0])


@model.variable
def character_oi_2(characters: tuple[str, ...]) -> int:
    return characters.index(characters[1])


@model.variable
def container_oi_1(containers: tuple[str, ...]) -> int:
    return containers.index(containers[0])


@model.variable
def container_oi_2(containers: tuple[str, ...]) -> int:
    return containers.index(containers[1])


@model.variable
def drink_oi_1(drinks: tuple[str, ...]) -> int:
    return drinks.index(drinks[0])


@model.variable
def drink_oi_2(drinks: tuple[str, ...]) -> int:
    return drinks.index(drinks[1])


# At the drinks: the address and the payload of the binding lookback, and the address at which
# the answer lookback will find the drink.


@model.variable
def address_1(character_oi_1: int, container_oi_1: int) -> Pair:
    return (character_oi_1, container_oi_1)


@model.variable
def address_2(character_oi_2: int, container_oi_2: int) -> Pair:
    return (character_oi_2, container_oi_2)


@model.variable
def binding_payload_1(drink_oi_1: int) -> int:
    return drink_oi_1


@model.variable
def binding_payload_2(drink_oi_2: int) -> int:
    return drink_oi_2


@model.variable
def answer_address_1(drink_oi_1: int) -> int:
    return drink_oi_1


@model.variable
def answer_address_2(drink_oi_2: int) -> int:
    return drink_oi_2


# At the question: the ordering ids of the words it names, found by name at the source.


@model.variable
def query_character_oi(asked_character: int, character_oi_1: int, character_oi_2: int) -> int:
    return (character_oi_1, character_oi_2)[asked_character]


@model.variable
def query_container_oi(asked_container: int, container_oi_1: int, container_oi_2: int) -> int:
    return (container_oi_1, container_oi_2)[asked_container]


# Visibility: who can observe whom, at the two sentences that say so, and at the question.


@model.variable
def visibility_id(
    visibility: str, character_oi_1: int, character_oi_2: int
) -> tuple[Sighting, ...]:
    if visibility == "none":
        return ()
    return (
        (character_oi_2, character_oi_1, int(visibility in ("second_sees_first", "both"))),
        (character_oi_1, character_oi_2, int(visibility in ("first_sees_second", "both"))),
    )


@model.variable
def visibility_address(visibility_id: tuple[Sighting, ...]) -> tuple[Sighting, ...]:
    return visibility_id


@model.variable
def visibility_pointer(visibility_id: tuple[Sighting, ...]) -> tuple[Sighting, ...]:
    return visibility_id


@model.variable
def visibility_payload(
    visibility_address: tuple[Sighting, ...],
    visibility_pointer: tuple[Sighting, ...],
    query_character_oi: int,
) -> int | None:
    """Ordering id of whom the asked character can observe, if pointer and address agree on it."""
    for sighting in visibility_pointer:
        observer, observed, sees = sighting
        if sees and observer == query_character_oi and sighting in visibility_address:
            return observed
    return None


@model.variable
def binding_pointer(
    query_character_oi: int, query_container_oi: int, visibility_payload: int | None
) -> tuple[Pair, ...]:
    """Addresses that would answer the question: the character's own, and one it has observed."""
    own = (query_character_oi, query_container_oi)
    if visibility_payload is None:
        return (own,)
    return (own, (visibility_payload, query_container_oi))


# At the last token: which drink, and then the drink itself.


@model.variable
def answer_pointer(
    binding_pointer: tuple[Pair, ...],
    address_1: Pair,
    address_2: Pair,
    binding_payload_1: int,
    binding_payload_2: int,
) -> int | None:
    """Ordering id of the drink whose address the question points to; None if there is none."""
    if address_1 in binding_pointer:
        return binding_payload_1
    if address_2 in binding_pointer:
        return binding_payload_2
    return None


@model.variable
def answer_payload(
    answer_pointer: int | None,
    answer_address_1: int,
    answer_address_2: int,
    drinks: tuple[str, ...],
) -> str | None:
    """The drink at the address that the answer pointer names; None if there is none."""
    if answer_pointer is None:
        return None
    addresses = (answer_address_1, answer_address_2)
    return drinks[addresses.index(answer_pointer)] if answer_pointer in addresses else None


@model.variable
def answer(answer_payload: str | None) -> str:
    return UNKNOWN if answer_payload is None else answer_payload


# Designs. Reversing the story and flipping both indices keeps the names that are asked about.

MATCHED = (edits.set("visibility", "none"), edits.copy("asked_container", of="asked_character"))
UNMATCHED = (*MATCHED, edits.flip("asked_container"))
REORDER = (edits.reverse("characters"), edits.reverse("containers"), edits.reverse("drinks"))
RESTATE = (
    edits.reverse("characters"),
    edits.reverse("containers"),
    edits.resample("drinks", disjoint=True),
)
SAME_QUESTION = (edits.flip("asked_character"), edits.flip("asked_container"))
FRESH = (
    edits.resample("characters", disjoint=True),
    edits.resample("containers", disjoint=True),
    edits.resample("drinks", disjoint=True),
)

designs = [
    Design(
        "reorder",
        original=MATCHED,
        counterfactual=(*REORDER, *SAME_QUESTION),
        contrast=("binding_address_and_payload",),
        description="the same story told in the other order, asked the same matched question",
    ),
    Design(
        "restate",
        original=MATCHED,
        counterfactual=(*RESTATE, *SAME_QUESTION),
        contrast=("answer_pointer", "answer_payload"),
        description="told in the other order with two new drinks, asked the same matched question",
    ),
    Design(
        "matched",
        original=MATCHED,
        counterfactual=SAME_QUESTION,
        contrast=("answer_payload",),
        description="the same story, asked about the other pair that belongs together",
    ),
    Design(
        "unmatched",
        original=UNMATCHED,
        counterfactual=(*RESTATE, edits.flip("asked_character")),
        contrast=("character_oi", "answer_payload"),
        description="restated; the original asks a pair that does not belong together, the "
        "counterfactual asks about the same character and its own container",
    ),
    Design(
        "unmatched_container",
        original=UNMATCHED,
        counterfactual=(*RESTATE, edits.flip("asked_container")),
        contrast=("container_oi", "answer_payload"),
        description="restated; the original asks a pair that does not belong together, the "
        "counterfactual asks about the same container and its own character",
    ),
    Design(
        "fresh",
        original=MATCHED,
        counterfactual=(*FRESH, *SAME_QUESTION),
        contrast=("answer_pointer", "answer_payload"),
        description="a story with new characters, containers and drinks, asked about its other "
        "pair",
    ),
    Design(
        "visibility_flip",
        original=(
            edits.set("visibility", "neither"),
            edits.set("asked_character", 0),
            edits.set("asked_container", 1),
        ),
        counterfactual=(*FRESH, edits.set("visibility", "first_sees_second")),
        contrast=("visibility_source", "answer_payload"),
        description="neither sees the other, against a story with new entities in which the "
        "first sees the second; both ask what the first believes of the second's container",
    ),
]

# Hypotheses: the rows of the paper's experiments. Where the counterfactual tells the story in the
# other order, a value swapped by word comes from the slot with the other number.

PAPER = "Prakash et al. 2025, arXiv 2505.14685"


def crossed(*names: str) -> dict[str, str]:
    """Each numbered variable from the counterfactual's variable of the other number."""
    return {f"{name}_{i}": f"{name}_{3 - i}" for name in names for i in (1, 2)}


AT_DRINKS = ("address_1", "address_2", "binding_payload_1", "binding_payload_2")
AT_DRINKS += ("answer_address_1", "answer_address_2")
DRINK_TOKENS = ("drink_1", "drink_2", "drink_1[0]+1", "drink_2[0]+1")
CHARACTER_MENTIONS = ("story/character_1", "story/character_2")
CONTAINER_MENTIONS = ("story/container_1", "story/container_2")
QUERY_CHARACTER = "question_character"
QUERY_CONTAINER = "question_container"

hypotheses = [
    Hypothesis(
        "answer_pointer",
        interchange=["answer_pointer"],
        site=Site("last"),
        design="restate",
        description="the last token holds which drink (its ordering id), not the drink itself",
        reference=f"{PAPER}, answer lookback, pointer",
    ),
    Hypothesis(
        "answer_payload",
        interchange=["answer_payload"],
        site=Site("last"),
        design="restate",
        description="the last token holds the drink itself",
        reference=f"{PAPER}, answer lookback, payload",
    ),
    Hypothesis(
        "binding_address_and_payload",
        interchange=crossed("address", "binding_payload", "answer_address"),
        site=Site(DRINK_TOKENS, align="word"),
        design="reorder",
        description="each drink token holds whose it is, where, and its ordering id",
        reference=f"{PAPER}, binding lookback, address and payload",
    ),
    Hypothesis(
        "source_frozen",
        interchange=crossed("character_oi", "container_oi"),
        hold=AT_DRINKS,
        site=Site(
            (*CHARACTER_MENTIONS, *CONTAINER_MENTIONS),
            frozen=DRINK_TOKENS,
            align="word",
            layers="up_to",
        ),
        design="restate",
        description="mentions hold ordering ids; with the drinks held, only the question moves",
        reference=f"{PAPER}, binding lookback, source",
    ),
    Hypothesis(
        "source_unfrozen",
        interchange=crossed("character_oi", "container_oi"),
        site=Site((*CHARACTER_MENTIONS, *CONTAINER_MENTIONS), align="word", layers="up_to"),
        design="restate",
        description="mentions hold ordering ids; address and pointer move together, so the "
        "answer stays",
        reference=f"{PAPER}, binding lookback, source without freezing",
    ),
    Hypothesis(
        "character_oi",
        interchange=crossed("character_oi"),
        hold=AT_DRINKS,
        site=Site(
            CHARACTER_MENTIONS,
            frozen=(*CONTAINER_MENTIONS, *DRINK_TOKENS),
            align="word",
            layers="up_to",
        ),
        design="unmatched",
        description="mentions of characters hold their ordering ids",
        reference=f"{PAPER}, binding lookback, character ordering id",
    ),
    Hypothesis(
        "container_oi",
        interchange=crossed("container_oi"),
        hold=AT_DRINKS,
        site=Site(CONTAINER_MENTIONS, frozen=DRINK_TOKENS, align="word", layers="up_to"),
        design="unmatched_container",
        description="mentions of containers hold their ordering ids",
        reference=f"{PAPER}, binding lookback, container ordering id",
    ),
    Hypothesis(
        "query_character_oi",
        interchange=["query_character_oi"],
        site=Site(QUERY_CHARACTER),
        design="unmatched",
        description="the character in the question holds that character's ordering id",
        reference=f"{PAPER}, binding lookback, pointer, character",
    ),
    Hypothesis(
        "query_container_oi",
        interchange=["query_container_oi"],
        site=Site(QUERY_CONTAINER),
        design="unmatched_container",
        description="the container in the question holds that container's ordering id",
        reference=f"{PAPER}, binding lookback, pointer, container",
    ),
    Hypothesis(
        "joint_query_pointer",
        interchange=["query_character_oi", "query_container_oi"],
        site=Site((QUERY_CHARACTER, QUERY_CONTAINER)),
        design="restate",
        description="the two words in the question together hold the binding pointer",
        reference=f"{PAPER}, binding lookback, pointer",
    ),
    Hypothesis(
        "visibility_source",
        interchange=["visibility_id"],
        site=Site("visibility_2.all"),
        design="visibility_flip",
        description="the second visibility sentence holds who can observe whom",
        reference=f"{PAPER}, visibility lookback, source",
    ),
    Hypothesis(
        "visibility_payload",
        interchange=["visibility_payload"],
        site=Site("question.all"),
        design="visibility_flip",
        description="the question holds whose actions the asked character could observe",
        reference=f"{PAPER}, visibility lookback, payload",
    ),
    Hypothesis(
        "visibility_address_and_pointer",
        interchange=["visibility_address", "visibility_pointer"],
        site=Site(("visibility_2.all", "question.all")),
        design="visibility_flip",
        description="sentence and question together hold the visibility id, whatever the layer",
        reference=f"{PAPER}, visibility lookback, address and pointer",
    ),
]

UNANSWERED = (
    "every original asks for what nobody believes, so its answer is always the same; what is "
    "graded is another one"
)
TWO_TOKENS = (
    "some tokenizers have two tokens for Carla, of the paper's example, and for names that open a "
    "prompt: a run counts the pairs it leaves out, and generate --tokenizer leaves out the words"
)

task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="restate",
    default_model="smollm2-belief",
    default_template="restaurant",
    languages=["en"],
    defaults={"keys": ["drink_1.all", "drink_2.all"]},
    allow={
        "predicts-as-all:answer_payload": "the last variable before the answer: layers tell it "
        "from copying everything",
        "predicts-as-none:source_unfrozen": "the paper's control: with nothing frozen, address and "
        "pointer move together",
        "hypotheses-never-separated": "the same prediction at other sites, as in the paper: where "
        "each holds is what is asked",
        "shortcut:unmatched": UNANSWERED,
        "shortcut:unmatched_container": UNANSWERED,
        "shortcut:visibility_flip": UNANSWERED,
        "word-tokens:characters": TWO_TOKENS,
        "length-differs": TWO_TOKENS,
        "slots-misaligned": TWO_TOKENS,
    },
)
