"""Measures, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from cfgen.experiments import MEASURES, Judgement, judge, question_of
from cfgen.interventions import Copy, Edit, Question, Reply, Run, choose_engine, read_answers
from cfgen.lm import Place, build_tree, encode_pairs

NEVER = -math.inf


def case(
    predicted="beer", original="coffee", counterfactual="tea", right=(), kl=None, ranks=None, **logs
):
    """A judgement; further words are answers with their probabilities."""
    logs = {name: math.log(p) if p else NEVER for name, p in logs.items()}
    reply = Reply((7,), frozenset(right), logs, ranks or {}, kl, changed=True)
    return Judgement(reply, predicted, original, counterfactual)


def value(name, judgement):
    return MEASURES[name].of(judgement)


def test_iia_is_whether_the_prediction_was_said():
    assert value("iia", case(right=["beer"])) == 1
    assert value("iia", case(right=["beer", "ale"])) == 1
    assert value("iia", case(right=["tea"])) == 0
    assert value("iia", case(right=[])) == 0
    assert value("iia", case(predicted=None, right=["tea"])) is None


def test_the_logit_difference_is_to_the_original_or_else_to_the_counterfactual():
    assert value("logit_difference", case(beer=0.6, coffee=0.2)) == pytest.approx(math.log(3))
    assert value("logit_difference", case(beer=0.2, coffee=0.6)) == pytest.approx(-math.log(3))
    nothing = case(predicted="coffee", coffee=0.5, tea=0.25)
    assert value("logit_difference", nothing) == pytest.approx(math.log(2))
    assert value("logit_difference", case(beer=0.5, coffee=0.5)) == 0


@pytest.mark.parametrize(
    ("judgement", "expected"),
    [
        (case(beer=0, coffee=0.5), NEVER),
        (case(beer=0.5, coffee=0), math.inf),
        (case(beer=0, coffee=0), None),
        (case(predicted=None), None),
        (case(original=None, beer=0.5, tea=0.5), 0),
        (case(original=None, counterfactual=None, beer=0.5), None),
        (case(predicted="coffee", counterfactual="coffee", coffee=0.5), None),
    ],
)
def test_a_logit_difference_at_the_edges(judgement, expected):
    assert value("logit_difference", judgement) == expected


@pytest.mark.parametrize(
    ("p", "odds"), [(0.5, 0), (0.9, math.log(9)), (0.1, -math.log(9)), (0, NEVER), (1, math.inf)]
)
def test_probability_and_log_odds(p, odds):
    assert value("probability", case(beer=p)) == pytest.approx(p)
    assert value("log_odds", case(beer=p)) == pytest.approx(odds)


def test_log_odds_keep_their_digits_near_the_ends():
    assert value("log_odds", case(beer=1e-30)) == pytest.approx(math.log(1e-30))
    reply = Reply((), frozenset(), {"beer": -1e-20}, {}, None, changed=True)
    assert value("log_odds", Judgement(reply, "beer", None, None)) == pytest.approx(
        -math.log(1e-20)
    )
    over = Reply((), frozenset(), {"beer": 1e-9}, {}, None, changed=True)  # rounded up
    assert value("log_odds", Judgement(over, "beer", None, None)) == math.inf


def test_without_a_prediction_there_is_no_number():
    for name in ("iia", "logit_difference", "probability", "log_odds", "rank"):
        assert value(name, case(predicted=None)) is None
    assert value("kl", case(predicted=None, kl=0.25)) == 0.25
    assert value("rank", case(ranks={"beer": 3})) == 3


def test_together_measures_ask_for_what_each_needs():
    def asked(*names):
        return question_of([MEASURES[name] for name in names])

    assert asked("iia") == Question(said=True, normaliser=False)
    assert not asked("logit_difference").whole
    assert asked("logit_difference", "probability") == Question(said=False, normaliser=True)
    assert asked("iia", "kl", "rank") == Question(said=True, normaliser=False, ranks=True, kl=True)


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_all_of_them_from_the_logits_of_an_lm(tiny_lm, engine):
    a, b = Run((5, 9, 14, 20)), Run((30, 12, 41, 22))
    swap = a.with_(Edit(Place("resid_post", 1), (3,), Copy(b)))
    tree = build_tree({"beer": [(11,), (12,)], "coffee": [(13,)], "tea": [(14,)]})
    chosen = choose_engine(tiny_lm, engine)
    names = ("beer", "coffee", "tea")
    replies, _ = read_answers(chosen, [swap], [tree], [names], question_of(MEASURES.values()))
    seen = chosen.outcomes([a, swap], question=Question(vocabulary=True)).vocabulary
    clean, logits = seen.double().log_softmax(-1)
    beer = float(logits[[11, 12]].logsumexp(0))
    likelier = (logits > max(logits[11], logits[12])).sum()
    expected = {
        "iia": float(int(logits.argmax()) in (11, 12)),
        "logit_difference": beer - float(logits[13]),
        "odds": math.exp(beer - float(logits[13])),
        "probability": math.exp(beer),
        "log_probability": beer,
        "log_odds": beer - math.log1p(-math.exp(beer)),
        "rank": float(likelier),
        "kl": float((clean.exp() * (clean - logits)).sum()),
    }
    judgement = Judgement(replies[0], "beer", "coffee", "tea")
    found = {name: measure.of(judgement) for name, measure in MEASURES.items()}
    assert found == pytest.approx(expected, abs=1e-4)
    # the same difference, with only three tokens projected
    quick = question_of([MEASURES["logit_difference"]])
    (reply,), _ = read_answers(chosen, [swap], [tree], [names], quick)
    alone = MEASURES["logit_difference"].of(Judgement(reply, "beer", "coffee", "tea"))
    assert alone == pytest.approx(expected["logit_difference"], abs=1e-4)


def test_tokens_that_are_as_likely_share_a_rank(build_tiny_lm):
    """An LM whose head is zero finds all tokens equally likely, and says the first."""
    lm = build_tiny_lm(tie_word_embeddings=False)
    lm.model.lm_head.weight.data.zero_()
    tree = build_tree({"a": [(0,)], "b": [(9,)]})
    question = question_of(MEASURES.values())
    (reply,), _ = read_answers(choose_engine(lm), [Run((5, 9))], [tree], [("a", "b")], question)
    assert reply.ranks == {"a": 0, "b": 0}
    assert reply.right == {"a"}
    assert value("logit_difference", Judgement(reply, "b", "a", None)) == 0
    assert value("kl", Judgement(reply, "b", "a", None)) == 0


def test_a_judgement_has_the_answers_of_a_pair(tiny_lm, make):
    (pair,) = make.pairs(1)
    encoded = encode_pairs(
        tiny_lm.tokenizer, [make.pair(pair.original, pair.counterfactual, x="tea")]
    )
    reply = Reply((), frozenset({"tea"}), {}, {}, None, changed=True)
    assert judge(encoded[0], "x", reply) == Judgement(reply, "tea", None, None)
    assert judge(encoded[0], "none", reply).predicted is None
