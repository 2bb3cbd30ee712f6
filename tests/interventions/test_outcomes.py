"""What is said of the token after a run, by hand from all of its logits; gradients."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import (
    HERE,
    NOTHING,
    OUT_OF_REACH,
    SAME_VALUES,
    Add,
    Constant,
    Copy,
    Cost,
    Edit,
    Mix,
    Question,
    Read,
    Rotate,
    Run,
    Work,
    agree,
    choose_engine,
    most_likely,
)
from cfgen.lm import Place
from tests.families import ALL
from tests.interventions.tiny import (
    engine_of,
    layout_of,
    lm_of,
    logits_of,
    numbers,
    off,
    swap,
    text,
)
from tests.sampling import one_in

ENGINES = pytest.mark.parametrize("name", ["packed", "reference"])
EVERYTHING = Question(ranks=True, kl=True, vocabulary=True)


def some_runs():
    """Clean, changed, changed in nothing, out of reach, upon an edited base, of several lengths."""
    rng = Random(5)
    a, b, c = (Run(text(rng, n)) for n in (11, 11, 6))
    noise = numbers(layout_of("llama"), Place("resid_pre", 1), 2, 11, 0)
    corrupted = a.with_(Edit(Place("resid_pre", 1), (2, 5), Add(noise)))
    return [
        corrupted,
        swap(Place("v", 2), corrupted, [5], a),
        swap(Place("resid_post", 1), a, [4, 10], b),
        swap(Place("v", 2), c, [1], a, [7]),
        c,
        swap(Place("v", 1), b, [3], b),
        swap(Place("mlp_out", 3), b, [3], a),
    ]


TRACKED = [(5, 9), (9,), (), (80, 5, 6), (7, 7), (95, 0), (11, 12)]


def by_hand(name="llama"):
    """All logits, each run by itself (runs, vocabulary)."""
    lm = lm_of(name)
    return torch.cat([logits_of(lm, [run], "reference") for run in some_runs()])


@ENGINES
def test_everything_that_can_be_asked_for_by_hand(name):
    lm, runs, logits = lm_of("llama"), some_runs(), by_hand()
    found = engine_of(lm, name).outcomes(runs, TRACKED, EVERYTHING)
    assert len(found) == len(runs)
    close = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(found.vocabulary, logits, **close)
    assert found.said.tolist() == logits.argmax(-1).tolist()
    sums = torch.tensor([sum(map(float, row.double().exp())) for row in logits]).log()
    torch.testing.assert_close(found.normaliser, sums.float(), **close)
    assert found.logits.shape == found.ranks.shape == (7, 3)
    for row, tokens in enumerate(TRACKED):
        clean = logits_of(lm, [Run(runs[row].prompt)], "reference")[0].double()
        p = clean.exp() / clean.exp().sum()
        q = logits[row].double().exp() / logits[row].double().exp().sum()
        kl = float((p * (p / q).log()).sum())
        assert found.kl[row].item() == pytest.approx(kl, abs=1e-4)
        assert (kl > 1e-3) == (row in (0, 1, 2, 3))
        for column, token in enumerate(tokens):
            own = logits[row, token]
            assert found.logits[row, column].item() == pytest.approx(own.item(), abs=1e-3)
            rank = sum(float(other) > float(own) for other in logits[row])
            assert found.ranks[row, column] == rank
            chance = logits[row].log_softmax(-1)[token].item()
            assert found.log_probabilities[row, column].item() == pytest.approx(chance, abs=1e-3)
        assert found.logits[row, len(tokens) :].tolist() == [-torch.inf] * (3 - len(tokens))
        assert found.ranks[row, len(tokens) :].tolist() == [-1] * (3 - len(tokens))
    said = found.said[0].item()
    assert engine_of(lm, name).outcomes(runs[:1], [[said]], EVERYTHING).ranks.item() == 0


@ENGINES
def test_a_divergence_whose_clean_run_nobody_else_needs(name):
    """Runs upon an edited base, and runs that nothing is computed of."""
    corrupted, restored = some_runs()[:2]
    lm = lm_of("llama")
    expected = engine_of(lm, name).outcomes(some_runs(), question=EVERYTHING).kl
    for runs, rows in (([corrupted, restored], (0, 1)), ([corrupted], (0,)), ([restored], (1,))):
        got = engine_of(lm, name).outcomes(runs, question=Question(kl=True)).kl
        torch.testing.assert_close(got, expected[list(rows)], atol=1e-4, rtol=1e-4)


@ENGINES
def test_what_is_not_asked_for_is_not_there(name):
    lm, runs = lm_of("llama"), some_runs()
    found = engine_of(lm, name).outcomes(runs, TRACKED)
    assert found.ranks is found.kl is found.vocabulary is None
    found = engine_of(lm, name).outcomes(runs, TRACKED, NOTHING)
    assert found.said is found.normaliser is None
    with pytest.raises(CfgenError, match="not asked for"):
        _ = found.log_probabilities
    assert engine_of(lm, name).outcomes(runs).logits.shape == (7, 0)
    assert len(engine_of(lm, name).outcomes(runs, question=NOTHING)) == 7


@ENGINES
def test_no_runs_at_all(name):
    found = engine_of(lm_of("llama"), name).outcomes([], [], EVERYTHING, verified=3)
    assert len(found) == 0
    assert found.logits.shape == (0, 0)


@ENGINES
@pytest.mark.parametrize("question", [Question(), EVERYTHING, NOTHING, Question(kl=True)])
def test_a_question_changes_nothing_else(name, question):
    lm, runs, logits = lm_of("llama"), some_runs(), by_hand()
    for verified in (0, 8):
        found = engine_of(lm, name).outcomes(runs, TRACKED, question, verified=verified)
        for row, tokens in enumerate(TRACKED):
            expected = logits[row, list(tokens)]
            got = found.logits[row, : len(tokens)]
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("family", ALL)
@ENGINES
def test_tracked_tokens_alone_have_the_logits_of_the_whole(family, name):
    """With what LMs do to logits behind their head: soft caps, scales, biases, tied weights."""
    more = {"final_logit_softcapping": 1.5} if family.startswith("gemma") else {}
    lm = lm_of(family, **more)
    runs, tracked = some_runs()[2:5], [(3, 77), (), (77, 4, 95)]
    projected = []
    head = lm.model.get_output_embeddings()
    with torch.no_grad():
        engine = engine_of(lm, name)
        whole = engine.outcomes(runs, tracked)
        former = head.__dict__.get("forward")
        handle = head.register_forward_hook(lambda *g: projected.append(g[-1].shape[-1]))
        few = engine.outcomes(runs, tracked, NOTHING, verified=3)
        handle.remove()
    assert head.__dict__.get("forward") is former
    assert set(projected) <= {4, 96}  # 96 where runs are executed again
    assert 4 in projected
    torch.testing.assert_close(few.logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert (few.logits == -torch.inf).tolist()[1] == [True] * 3
    assert (96 in projected) == (name == "packed")


def test_soft_caps_and_scales_are_there_to_be_applied():
    """Or the test above would show nothing of them."""
    lm = lm_of("gemma2", final_logit_softcapping=1.5)
    logits = logits_of(lm, some_runs()[2:3])
    assert 1.3 < float(logits.abs().max()) <= 1.5
    for name in ("cohere", "granite"):
        plain = {"cohere": {"logit_scale": 1.0}, "granite": {"logits_scaling": 1.0}}[name]
        scaled, once = (logits_of(lm_of(name, **c), some_runs()[2:3]) for c in ({}, plain))
        factor = {"cohere": 1.5, "granite": 1 / 0.7}[name]
        torch.testing.assert_close(scaled, factor * once, atol=1e-3, rtol=1e-4)


@ENGINES
def test_what_changed_by_hand(name):
    """Runs in which an edit wrote something else than was there, upon the base."""
    found = engine_of(lm_of("llama"), name).outcomes(some_runs())
    assert found.changed.tolist() == [True, True, True, True, False, False, True]


@ENGINES
def test_an_edit_of_the_base_is_no_change_of_the_run(name):
    runs = some_runs()
    corrupted, clean = runs[0], Run(runs[0].prompt)
    same = corrupted.with_(Edit(Place("v", 2), (0,), Copy(clean)))  # before the noise
    other = corrupted.with_(Edit(Place("v", 2), (2,), Copy(clean)))
    found = engine_of(lm_of("llama"), name, fill=False).outcomes([same, other])
    assert found.changed.tolist() == [False, True]


def test_work_by_hand():
    lm = lm_of("llama")
    rng = Random(0)
    a, b = Run(text(rng, 6)), Run(text(rng, 6))
    late = swap(Place("resid_post", 2), a, [5], b)  # one token through one block
    middle = swap(Place("resid_post", 0), a, [3], b)  # three tokens through three blocks
    behind = swap(Place("resid_post", 3), a, [5], b)  # nothing but the head
    same = swap(Place("v", 3), a, [3], a)
    away = swap(Place("q", 3), a, [3], b)
    runs = [late, middle, behind, same, away]
    work = engine_of(lm).outcomes(runs).work
    assert work.run == 5  # the two last are tried
    assert work.filled == {SAME_VALUES: 1, OUT_OF_REACH: 1}
    assert work.self_tested == 2
    assert work.clean == Cost(2, 2 * 6 * 4, 2 * 6 * 4, 0)  # more is kept of a base
    work = engine_of(lm).outcomes(runs[:3]).work
    assert work.edited.required == 1 + 3 * 3
    assert work.edited.edits == 3
    assert work.run == 3
    assert work.edited.passes >= work.edited.required
    work = engine_of(lm, "reference").outcomes(runs).work
    assert work.edited == Cost(1, 5 * 6 * 4, 5 * 6 * 4, 5)
    assert (work.run, work.self_tested, work.filled.total()) == (5, 0, 0)
    added = Work(clean=Cost(1, 2, 3, 4), run=1) + Work(edited=Cost(1, 1, 1, 1), shrunk=2)
    assert added == Work(Cost(1, 2, 3, 4), Cost(1, 1, 1, 1), 1, shrunk=2)


def test_the_most_likely_token_is_the_first_of_several():
    logits = torch.tensor([[0.0, 2.0, 2.0], [3.0, 1.0, 3.0], [-1.0, -1.0, -1.0]])
    assert most_likely(logits).tolist() == [1, 0, 0]


def test_when_logits_agree():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 100, generator=generator) * 5
    assert agree(logits, logits, torch.float32).all()
    moved = logits.clone()
    moved[1, 7] += 0.1
    assert agree(logits, moved, torch.float32).tolist() == [True, False, True]
    assert agree(logits, moved, torch.bfloat16).all()
    moved[2, 3] = torch.nan
    assert agree(logits, moved, torch.bfloat16).tolist() == [True, True, False]


@ENGINES
def test_progress_counts_runs(name):
    done = []
    engine = replace(engine_of(lm_of("llama"), name), store_bytes=1)
    engine.outcomes(some_runs(), progress=done.append)
    assert sum(done) == 7
    assert len(done) > 2


# Gradients


def difference(function, leaf, step=1e-2):
    """Central differences of a number with regard to a tensor, in a few random directions."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        direction = torch.randn(leaf.shape, generator=generator)
        direction /= direction.norm()
        with torch.no_grad():
            above, below = function(leaf + step * direction), function(leaf - step * direction)
        yield direction, float(above - below) / (2 * step)


CASES = {
    "late": (Place("resid_post", 2), (10,)),
    "early": (Place("embed"), (3, 7)),
    "a head": (Place("head_out", 1, 2), (4,)),
    "a key": (Place("k", 1), (4,)),
    "neurons": (Place("mlp_neuron", 2, neurons=(1, 5)), (4, 10)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", one_in(3, ["llama", "gpt2", "gemma2"]))
@ENGINES
def test_gradients_of_what_is_added_are_those_of_differences(family, case, name):
    lm, (place, positions) = lm_of(family), CASES[case]
    layout, run = layout_of(family), Run(text(Random(1), 11))
    engine = engine_of(lm, name)
    start = 0.1 * numbers(layout, place, len(positions), 11, 0)

    def value(tensor):
        edited = run.with_(Edit(place, positions, Add(tensor)))
        found = engine.outcomes([edited, run], [[5, 6], [5, 6]], NOTHING, gradients=True)
        return found.logits[0, 0] - 0.5 * found.logits[0, 1]

    leaf = start.clone().requires_grad_()
    value(leaf).backward()
    assert leaf.grad is not None
    assert float(leaf.grad.norm()) > 1e-3
    for direction, slope in difference(value, start):
        got = float((leaf.grad * direction).sum())
        assert got == pytest.approx(slope, rel=0.02, abs=0.02 * float(leaf.grad.norm()))


@ENGINES
def test_gradients_reach_a_basis_through_edited_sources(name):
    lm, layout = lm_of("llama"), layout_of("llama")
    rng = Random(2)
    a, b = Run(text(rng, 9)), Run(text(rng, 9))
    place = Place("resid_post", 1)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(layout.width, 2, generator=generator)
    engine = engine_of(lm, name)
    edited = b.with_(Edit(Place("resid_pre", 1), (2,), Add(torch.ones(1, layout.width))))

    def value(raw):
        basis = torch.linalg.qr(raw).Q
        run = a.with_(Edit(place, (3, 5), Rotate(basis, Copy(edited, (4, 2)))))
        found = engine.outcomes([run], [[5, 6]], NOTHING, gradients=True)
        return found.logits[0, 0] - found.logits[0, 1]

    leaf = start.clone().requires_grad_()
    value(leaf).backward()
    assert leaf.grad is not None
    assert float(leaf.grad.norm()) > 1e-3
    for direction, slope in difference(value, start):
        got = float((leaf.grad * direction).sum())
        assert got == pytest.approx(slope, rel=0.02, abs=0.02 * float(leaf.grad.norm()))


@ENGINES
def test_gradients_flow_through_runs_that_are_read(name):
    """What is added in one run reaches another that copies from it, and one built upon it."""
    lm, layout = lm_of("gpt2"), layout_of("gpt2")
    rng = Random(2)
    a, b = Run(text(rng, 9)), Run(text(rng, 9))
    engine = engine_of(lm, name)
    start = 0.1 * torch.randn(2, layout.width, generator=torch.Generator().manual_seed(0))

    def value(tensor):
        source = b.with_(Edit(Place("embed"), (2, 4), Add(tensor)))
        copied = swap(Place("resid_post", 1), a, [5], source)
        built = swap(Place("resid_post", 2), source, [2], a)
        mixed = a.with_(
            Edit(Place("mlp_out", 2), (6,), Mix(((1.0, HERE), (0.5, Read(source, (4,))))))
        )
        runs = [copied, built, mixed]
        found = engine.outcomes(runs, [[5]] * 3, NOTHING, gradients=True)
        return (found.logits[:, 0] * torch.tensor([1.0, -2.0, 3.0])).sum()

    leaf = start.clone().requires_grad_()
    value(leaf).backward()
    assert leaf.grad is not None
    for direction, slope in difference(value, start):
        got = float((leaf.grad * direction).sum())
        assert got == pytest.approx(slope, rel=0.02, abs=0.02 * float(leaf.grad.norm()))


@ENGINES
def test_without_gradients_nothing_keeps_a_graph(name):
    lm, layout = lm_of("llama"), layout_of("llama")
    run = Run(text(Random(1), 9))
    leaf = torch.zeros(1, layout.width, requires_grad=True)
    edited = run.with_(Edit(Place("resid_post", 1), (3,), Add(leaf)))
    found = engine_of(lm, name).outcomes([edited], [[5]], EVERYTHING, verified=1)
    for tensor in (found.logits, found.vocabulary, found.kl, found.normaliser):
        assert not tensor.requires_grad


# Values of runs


@ENGINES
def test_values_that_runs_have_by_hand(name):
    lm, layout = lm_of("llama"), layout_of("llama")
    rng = Random(2)
    a, b = Run(text(rng, 9)), Run(text(rng, 6))
    engine = engine_of(lm, name)
    given = Constant(torch.arange(32.0).view(1, 32))
    edited = a.with_(Edit(Place("resid_post", 1), (3,), given))
    reads = [
        Read(edited, (3, 0), Place("resid_post", 1)),
        Read(edited, (3,), Place("resid_pre", 2)),
        Read(a, (8, 8), Place("head_out", 3, 1)),
        Read(b, (5,), Place("attn_pattern", 2)),
        Read(b, (5,), Place("mlp_neuron", 0, neurons=(4, 2))),
    ]
    found = engine.values(reads)
    assert torch.equal(found[0][0], torch.arange(32.0))
    assert torch.equal(found[1][0], torch.arange(32.0))
    shapes = [tuple(one.shape) for one in found]
    assert shapes == [(2, 32), (1, 32), (2, 12), (1, 4, 6), (1, 2)]
    assert torch.equal(found[2][0], found[2][1])
    torch.testing.assert_close(found[3].sum(-1), torch.ones(1, 4))
    other = lm_of(
        "llama", max_position_embeddings=256
    )  # transformers leaves hooks of its own there
    states = other.model(torch.tensor([a.prompt]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(found[0][1], states[2][0, 0], atol=1e-5, rtol=1e-5)
    assert float(off(found[0][:1], found[0][1:])) > 0.1
    assert layout.layers == 4


@pytest.mark.parametrize(
    ("tracked", "code"),
    [
        ([], "tracked-impossible"),
        ([(1,), (2,)], "tracked-impossible"),
        ([5], "tracked-impossible"),
        ([(10**6,)], "token-beyond-vocabulary"),
        ([(-1,)], "token-beyond-vocabulary"),
        ([("7",)], "token-beyond-vocabulary"),
    ],
)
def test_tokens_that_cannot_be_tracked(tracked, code):
    engine = choose_engine(lm_of("llama"), "packed")
    with pytest.raises(CfgenError) as error:
        engine.outcomes([Run((5, 6, 7))], tracked)
    assert error.value.problems[0].code == code
