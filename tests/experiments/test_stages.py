from __future__ import annotations

import dataclasses
import statistics

import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.experiments import MemoryStore, SweepOptions
from cfgen.stats import rate, rate_of
from tests.inquiries import ask
from tests.stories import WORDS


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    found = answer(lm, make.pairs(24, seed=3))
    assert len(found) >= 12
    return found[:12]


def with_third(pairs, answers):
    return [
        dataclasses.replace(
            pair,
            predictions={**pair.predictions, "x": third},
            kinds={**pair.kinds, "x": "third"},
        )
        for pair, third in zip(pairs, answers, strict=True)
    ]


def by_hand(lm, pair, layer):
    """What the LM says after the last token's residual was swapped, with nothing of ours."""
    return int(logits_by_hand(lm, pair, layer).argmax())


def logits_by_hand(lm, pair, layer):
    """Its logits of the next token after that."""
    ids = [lm.tokenizer(s.prompt.text)["input_ids"] for s in (pair.original, pair.counterfactual)]
    block = lm.model.model.layers[layer]
    kept = []
    hook = block.register_forward_hook(lambda m, a, o: kept.append(o[0, -1].clone()))
    lm.model(torch.tensor([ids[1]]))
    hook.remove()

    def swap(_module, _arguments, output):
        output[0, -1] = kept[0]

    hook = block.register_forward_hook(swap)
    logits = lm.model(torch.tensor([ids[0]])).logits[0, -1]
    hook.remove()
    return logits


def test_outputs_and_cells_equal_a_count_by_hand(lm, pairs):
    # The third answer of each pair: what the LM says at layer 1 if that is neither side's answer.
    said = [
        [lm.tokenizer.decode([by_hand(lm, pair, layer)]) for pair in pairs] for layer in range(4)
    ]
    thirds = [
        None
        if text in (pair.original.answer, pair.counterfactual.answer) or text == "<unk>"
        else text
        for pair, text in zip(pairs, said[1], strict=True)
    ]
    assert 0 < sum(third is not None for third in thirds) < 12
    pairs = with_third(pairs, thirds)
    steps = []
    found = ask(
        lm,
        pairs,
        {"all": Site(), "x": Site()},
        batch_size=5,
        progress=lambda *step: steps.append(step),
    )
    assert [(o.pair_id, o.layer, o.said) for o in found.outputs] == [
        (pair.id, layer, said[layer][row]) for layer in range(4) for row, pair in enumerate(pairs)
    ]
    for output, (pair, third) in zip(
        found.outputs, list(zip(pairs, thirds, strict=True)) * 4, strict=True
    ):
        expected = {pair.original.answer: "original", pair.counterfactual.answer: "counterfactual"}
        assert output.kind == expected.get(
            output.said, "third" if output.said == third else "other"
        )
    assert {output.kind for output in found.outputs} >= {"counterfactual", "third", "other"}
    cells = {(cell.hypothesis, cell.layer): cell for cell in found.cells}
    assert sorted(cells) == sorted(
        (name, layer) for name in ("all", "none", "x") for layer in range(4)
    )
    for layer in range(4):
        for name, wanted in (
            ("all", [pair.counterfactual.answer for pair in pairs]),
            ("none", [pair.original.answer for pair in pairs]),
            ("x", thirds),
        ):
            hits = [a == b for a, b in zip(said[layer], wanted, strict=True) if b is not None]
            expected = rate(sum(hits), len(hits))
            cell = cells[name, layer]
            assert (cell.n, cell.value, cell.low, cell.high) == (
                expected.n, expected.value, expected.low, expected.high,
            )  # fmt: skip
            assert (cell.component, cell.position) == ("resid_post", "last")
    assert cells["all", 3].value == 1.0
    assert cells["x", 1].value == 1.0
    assert steps[-1] == ("swaps", 48, 48)
    assert len(found.pairs) == 12
    assert found.behaviour.keep == rate(12, 12)


def test_all_checks_are_reported_with_cases(lm, pairs):
    site = Site(("drink_1", "name_2[0]"), frozen=("last",), layers="up_to")
    found = ask(lm, pairs, {"all": site}, layers=[0, 2], batch_size=5, engine="reference")
    cases = {check.name: (check.position, check.cases) for check in found.checks}
    label = site.label
    answers = {a for pair in pairs for a in (pair.original.answer, pair.counterfactual.answer)}
    assert cases == {
        "tokens are the text": (
            "",
            len({side.prompt.text for p in pairs for side in (p.original, p.counterfactual)}),
        ),
        "answers are told apart": ("", len(answers)),
        "spans show their slots": (
            "",
            sum(
                span.name in ("drink_1", "name_2")
                for pair in pairs
                for side in (pair.original, pair.counterfactual)
                for span in side.prompt.spans
            ),
        ),
        "self-swap changes nothing": (label, 4 * 2),
        "padded gives unpadded": (label, 2 * 2),
        "tokens are the slot": (label, 12 * (2 + 2 + 1)),
        "components add up": ("", 4),
        "every edit fired once": ("", 12 * ((2 + 4) + (2 * 3 + 4))),
    }
    packed = ask(lm, pairs, {"all": site}, layers=[0, 2], verified=3)
    more = {check.name: check.cases for check in packed.checks}
    assert more.pop("packed equals reference") == packed.work.verified == 3
    assert 0 < more.pop("every edit fired once") <= cases.pop("every edit fired once")[1]
    assert more.pop("what can't differ does not") == packed.work.self_tested > 0
    assert more == {name: count for name, (_, count) in cases.items()}


@pytest.mark.parametrize(
    "site",
    [
        Site(),
        Site(("drink_1", "name_2[0]"), frozen=("question",), layers="up_to"),
        Site(("drink_2",), component="attn_out"),
        Site(("jar_1",), component="embed"),
        Site(("drink_1",), component="resid_pre"),
        Site(("drink_1", "last"), component="head_out", head=3),
        Site(component="v", head=1, layers="up_to"),
        Site(("drink_1",), component="mlp_neuron", neurons=(2, 40)),
        Site(component="attn_pattern"),
    ],
    ids=lambda site: f"{site.component} {site.label}",
)
def test_both_engines_give_the_same_outputs_and_cells(lm, pairs, site):
    both = [
        ask(lm, pairs, {"all": site}, batch_size=5, engine=name, verified=2)
        for name in ("reference", "packed")
    ]
    assert both[0].outputs == both[1].outputs
    assert both[0].cells == both[1].cells
    assert both[0].behaviour == both[1].behaviour
    assert both[0].layers == both[1].layers == ((0,) if site.component == "embed" else (0, 1, 2, 3))
    assert [found.engine.name for found in both] == ["reference", "packed"]
    assert [found.work.verified for found in both] == [0, 2]
    assert both[1].work.edited.passes < both[0].work.edited.passes


def test_attention_patterns_are_swapped_between_prompts_of_one_length(lm, pairs, make):
    shorter = dataclasses.replace(
        pairs[0].counterfactual,
        prompt=make.prompt("Ann fills the mug:"),
        answer=None,
    )
    given = [make.pair(pairs[0].original, shorter), *pairs[1:]]
    site = Site(component="attn_pattern")
    found = ask(lm, given, {"all": site}, layers=[1])
    reason = "attn_pattern: not the same number of tokens in both prompts"
    assert found.unaligned["last"][reason] >= 1
    same = [p for p in pairs[1:] if len(_ids(lm, p.original)) == len(_ids(lm, p.counterfactual))]
    assert found.cells[0].n == len(same) > 0


def _ids(lm, side):
    return lm.tokenizer(side.prompt.text)["input_ids"]


def test_pairs_that_are_dropped_are_not_swapped(lm, pairs):
    wrong = dataclasses.replace(
        pairs[0], original=dataclasses.replace(pairs[0].original, answer=" Story")
    )
    # The packed engine makes swaps that cost little before it is known which pairs are kept.
    for engine, swaps in (("reference", 11 * 4), ("packed", 12 * 4)):
        steps = []
        found = ask(
            lm,
            [wrong, *pairs[1:]],
            {"all": Site()},
            engine=engine,
            progress=lambda *step, seen=steps: seen.append(step),
        )
        assert found.work.run + sum(found.work.filled.values()) == swaps
        assert steps[-1] == ("swaps", swaps, swaps)
        assert [one.pair_id for one in found.outputs] == [pair.id for pair in pairs[1:]] * 4


def test_hypotheses_at_one_site_share_a_sweep(lm, pairs):
    sites = {"all": Site(), "none": Site(), "x": Site(("drink_2",))}
    found = ask(lm, with_third(pairs, ["tea"] * 12), sites, layers=[3], engine="reference")
    assert found.work.run == 2 * 12
    places = [(cell.hypothesis, cell.position) for cell in found.cells]
    assert places == [("all", "last"), ("none", "last"), ("x", "drink_2"), ("none", "drink_2")]
    assert len(found.outputs) == 2 * 12


def test_drops_are_counted_and_lower_n(lm, pairs, make):
    wrong = dataclasses.replace(
        pairs[0], original=dataclasses.replace(pairs[0].original, answer=" Story")
    )
    other = make.pair(
        pairs[1].original,
        dataclasses.replace(pairs[1].counterfactual, prompt=make.prompt("Ann:")),
        99,
    )
    other = dataclasses.replace(
        other, counterfactual=dataclasses.replace(other.counterfactual, answer=None)
    )
    other = dataclasses.replace(other, predictions={"none": other.original.answer, "all": None})
    given = [wrong, other, *pairs[2:]]
    found = ask(lm, given, {"all": Site(("drink_1",))}, layers=[0])
    assert found.behaviour.dropped == {"original answered wrongly": 1}
    assert found.behaviour.keep == rate(11, 12)
    assert found.unaligned == {"drink_1": {"the prompt has no span named 'drink_1'": 1}}
    assert [cell.n for cell in found.cells] == [10, 10]
    assert [output.pair_id for output in found.outputs] == [pair.id for pair in pairs[2:]]
    last = ask(lm, given, {"all": Site()}, layers=[0])
    assert [(cell.hypothesis, cell.n) for cell in last.cells] == [("all", 10), ("none", 11)]


def test_no_kept_pair_aligned(lm, pairs, make):
    short = dataclasses.replace(pairs[0].counterfactual, prompt=make.prompt("Ann:"), answer=None)
    kept = make.pair(pairs[0].original, short)
    wrong = dataclasses.replace(
        pairs[1], original=dataclasses.replace(pairs[1].original, answer=" Story")
    )
    with pytest.raises(CfgenError, match="no-kept-pair-aligned"):
        ask(lm, [kept, wrong], {"all": Site(("drink_1",))})


def test_what_is_given_is_checked_at_once(lm, pairs):
    with pytest.raises(CfgenError) as caught:
        ask(lm, [], {})
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["no-pairs", "no-hypotheses"]
    with pytest.raises(CfgenError, match=r"did you mean 'none'"):
        ask(lm, pairs, {"nne": Site()})
    with pytest.raises(CfgenError, match="no-predictions"):
        ask(lm, with_third(pairs, [None] * 12), {"x": Site()}, layers=[0])
    with pytest.raises(CfgenError, match="unknown-component"):
        ask(lm, pairs, {"all": Site(component="mlp")})
    with pytest.raises(CfgenError, match="no-such-layer"):
        ask(lm, pairs, {"all": Site()}, layers=[7])


def test_a_prompt_beyond_the_context_is_an_error(build_tiny_lm, pairs):
    small = build_tiny_lm(WORDS, max_position_embeddings=8)
    with pytest.raises(CfgenError, match=r"at most 8.*prompt-beyond-context"):
        ask(small, pairs, {"all": Site()})


def test_answers_that_begin_alike_are_read_further(lm, pairs):
    plain = ask(lm, pairs, {"all": Site()})
    for engine in ("reference", "packed"):
        found = ask(
            lm,
            with_third(pairs, ["tea-mug", "tea-jar"] * 6),
            {"all": Site(), "x": Site()},
            engine=engine,
        )
        assert [cell for cell in found.cells if cell.hypothesis != "x"] == list(plain.cells)
        assert {cell.value for cell in found.cells if cell.hypothesis == "x"} == {0.0}
        assert {output.said for output in found.outputs if output.said[:3] == "tea"} != set()


def test_answers_that_collide_stop_the_run(lm, pairs):
    same = {name: ("tea",) for name in ("tea", "milk")} | {
        name: (name,)
        for pair in pairs
        for name in (pair.original.answer, pair.counterfactual.answer)
        if name not in ("tea", "milk")
    }
    with pytest.raises(CfgenError, match="answers-collide"):
        ask(lm, pairs, {"all": Site()}, candidates=same)


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_a_failing_check_stops_the_run(lm, pairs, monkeypatch, engine):
    from cfgen.interventions.traffic import Write

    real = Write.make

    def wrong(write, view, fetch):
        return real(dataclasses.replace(write, columns=write.columns - 1), view, fetch)

    monkeypatch.setattr(Write, "make", wrong)
    site = Site(("drink_1",), component="attn_out")
    with pytest.raises(CfgenError, match="self-swap-changes-output"):
        ask(lm, pairs, {"all": site}, engine=engine)


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_a_cell_in_which_nothing_differs_has_no_number(lm, pairs, make, engine):
    """At the first name's token both prompts have read the same words, in every layer."""
    given = []
    for pair in pairs:
        names = [pair.original.slots["name_1"], pair.original.slots["name_2"]]
        jars, drinks = (
            [pair.original.slots[f"{slot}_{number}"] for number in (1, 2)]
            for slot in ("jar", "drink")
        )
        sides = [make.story(names, jars, words, 0) for words in (drinks, drinks[::-1])]
        given.append(make.pair(*sides, pair.index, x="tea", y="milk"))
    sites = {"x": Site(("name_1[0]",)), "y": Site(("drink_1",))}
    found = ask(lm, given, sites, layers=[0, 2], engine=engine)
    assert [(v.component, v.layer, v.position, v.n) for v in found.vacuous] == [
        ("resid_post", 0, "name_1[0]", 12),
        ("resid_post", 2, "name_1[0]", 12),
    ]
    assert {cell.position for cell in found.cells} == {"drink_1"}
    assert {output.position for output in found.outputs} == {"name_1[0]", "drink_1"}


def test_what_all_answers_begin_with_is_given_to_the_lm(build_tiny_lm, make):
    """Behind a space that is a token of its own, which all answers begin with."""
    lm = build_tiny_lm("", kind="bytes", layers=2)

    def said(side):
        ids = lm.tokenizer(side.prompt.text + " ")["input_ids"]
        return lm.tokenizer.decode([int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())])

    pairs = []
    for pair in make.pairs(60, seed=5):
        sides = [
            dataclasses.replace(side, answer=said(side), answer_prefix=" ")
            for side in (pair.original, pair.counterfactual)
        ]
        if all(side.answer.isascii() and side.answer.isprintable() for side in sides):
            pairs.append(make.pair(*sides, pair.index))
    assert len({pair.original.answer for pair in pairs}) > 1
    found = ask(lm, pairs, {"all": Site()}, layers=[1])
    assert found.behaviour.keep == rate(len(pairs), len(pairs))
    assert [cell.value for cell in found.cells if cell.hypothesis == "all"] == [1.0]
    assert [output.said for output in found.outputs] == [
        f" {pair.counterfactual.answer}" for pair in pairs
    ]


def test_heads_and_positions_are_swept_one_by_one(lm, pairs):
    """A sweep gives what each head at each position gives when it is asked alone."""
    together = ask(
        lm,
        pairs,
        {"all": Site(component="head_out")},
        sweep={"heads": "all", "positions": ["drink_1", "last"], "over": "0,2"},
    )
    heads = lm.model.config.num_attention_heads
    assert len({(cell.position, cell.head) for cell in together.cells}) == 2 * heads
    for head in (0, heads - 1):
        for name in ("drink_1", "last"):
            site = Site((name,), component="head_out", head=head)
            alone = ask(lm, pairs, {"all": site}, layers=[0, 2])
            here = [c for c in together.cells if (c.position, c.head) == (name, head)]
            assert here == list(alone.cells)
    with pytest.raises(CfgenError, match="no-such-head"):
        ask(lm, pairs, {"all": Site(component="head_out")}, sweep={"heads": [99]})


def test_every_token_by_itself_gives_what_its_position_gives_alone(lm, pairs):
    """Tokens of slots and of what is between, against sites that name the same position."""
    each = ask(lm, pairs, {"all": Site()}, sweep={"positions": "every", "over": "0,3"})
    assert {cell.position for cell in each.cells} == {"each token"}
    assert {"name_1[0]", "name_1[0]+1", "drink_2[0]", "last"} <= set(each.tokens)
    assert each.tokens["name_1[0]+1"] == " fills"
    assert set(each.tokens) == {c.token for c in (*each.cells, *each.vacuous)}
    for name in ("name_1[0]", "name_1[0]+1", "drink_2[0]", "last"):
        alone = ask(lm, pairs, {"all": Site((name,))}, sweep={"over": "0,3"})
        here = [c for c in each.cells if c.token == name]
        assert [dataclasses.replace(c, position=name, token=None) for c in here] == list(
            alone.cells
        )
        said = {(o.pair_id, o.layer): o.said for o in each.outputs if o.token == name}
        assert said == {(o.pair_id, o.layer): o.said for o in alone.outputs}


@pytest.mark.slow
def test_more_pairs_have_the_token_swaps_of_fewer(lm, make, answer):
    """Although some of them have tokens that the first ones don't have."""
    short = answer(lm, make.pairs(40, seed=3, vary_length=False))[:16]
    long = [pair for pair in answer(lm, make.pairs(40, seed=5)) if "Story" in pair_text(pair)][:4]
    assert len(short) == 16
    assert len(long) == 4
    found, swaps = [], []
    for some in (short, [*short, *long]):
        units = MemoryStore()
        found.append(ask(lm, some, {"all": Site()}, units=units, sweep={"positions": "every"}))
        tables = {d: t for d, t in units.tables.items() if "kl" in t.column_names}
        swaps.append({d for d, t in tables.items() if t["kl"].null_count == 0})
    assert len(found[1].tokens) > len(found[0].tokens)
    assert swaps[0]
    assert swaps[0] < swaps[1]


def pair_text(pair):
    return pair.original.prompt.text


def test_measures_are_averages_over_pairs_of_what_the_lm_itself_gives(lm, pairs):
    """Logit differences and probabilities, from the LM's own hooks, pair by pair."""
    found = ask(
        lm, pairs, {"all": Site()}, layers=[1], measures=("logit_difference", "probability")
    )
    own = {"logit_difference": [], "probability": []}
    for pair in pairs:
        logits = logits_by_hand(lm, pair, 1).double()
        other, mine = (
            lm.tokenizer.encode(side.answer, add_special_tokens=False)[-1]
            for side in (pair.original, pair.counterfactual)
        )
        own["logit_difference"].append(float(logits[mine] - logits[other]))
        own["probability"].append(float(logits.softmax(0)[mine]))
    for measure, numbers in own.items():
        (cell,) = [c for c in found.cells if (c.hypothesis, c.measure) == ("all", measure)]
        assert cell.n + cell.left_out == len(pairs)
        assert cell.left_out == 0
        assert cell.value == pytest.approx(statistics.fmean(numbers), abs=1e-4)
        half = 2.2009851600916384 * statistics.stdev(numbers) / len(numbers) ** 0.5  # t, 11 degrees
        assert (cell.low, cell.high) == pytest.approx(
            (cell.value - half, cell.value + half), abs=1e-4
        )


def test_a_window_swaps_the_layers_around(lm, pairs):
    assert [list(Site(layers="window(3)").swept(layer, 4)) for layer in (0, 1, 3)] == [
        [0, 1],
        [0, 1, 2],
        [2, 3],
    ]
    assert list(Site(layers="window(2)").swept(2, 4)) == [1, 2]
    assert list(Site(layers="up_to").swept(2, 4)) == [0, 1, 2]
    for engine in ("reference", "packed"):
        site = Site(("drink_1", "drink_2"), component="mlp_out", layers="window(9)")
        whole = ask(lm, pairs, {"all": site}, layers=[2], engine=engine)
        up_to = ask(
            lm,
            pairs,
            {"all": dataclasses.replace(site, layers="up_to")},
            layers=[3],
            engine=engine,
        )
        assert [one.said for one in whole.outputs] == [one.said for one in up_to.outputs]


def test_pairs_are_drawn_until_enough_are_kept(lm, pairs):
    """Those that are kept, in the order in which they are drawn, and what was in between."""
    wrong = dataclasses.replace(
        pairs[0], original=dataclasses.replace(pairs[0].original, answer=" Story")
    )
    given = [wrong, *pairs[1:5], dataclasses.replace(wrong, id="wrong 2"), *pairs[5:]]
    found = ask(lm, given, {"all": Site()}, n=6, kept=True)
    assert [pair.id for pair in found.pairs] == [pair.id for pair in given[:8]]
    prompts = [(pair.original.prompt.text, pair.counterfactual.prompt.text) for pair in given[:8]]
    kept = [not pair.id.startswith("wrong") and pair is not wrong for pair in given[:8]]
    assert found.behaviour.keep == rate_of(kept, prompts)
    assert found.behaviour.keep.k == 6
    assert {output.pair_id for output in found.outputs} == {pair.id for pair in pairs[1:7]}
    with pytest.raises(CfgenError, match=r"12 pairs.*13 that there are.*only 11.*too-few-kept"):
        ask(lm, given, {"all": Site()}, n=12, kept=True)


def test_what_is_left_out_is_told_by_token(lm, pairs, make):
    """A token of one pair that has no counterpart is told under its own name."""
    longer = dataclasses.replace(
        pairs[0].counterfactual, prompt=make.prompt("Then ", *_parts(pairs[0].counterfactual))
    )
    given = [make.pair(pairs[0].original, dataclasses.replace(longer, answer=None)), *pairs[1:]]
    sweep = SweepOptions(positions="every", over="1")
    found = ask(lm, given, {"all": Site()}, sweep=sweep)
    assert found.unaligned
    assert "each token" not in found.unaligned
    tokens = {output.token for output in found.outputs}
    assert {*found.unaligned} <= tokens | {cell.token for cell in found.cells}


def _parts(side):
    """A prompt's own text again, with its first name marked."""
    text, span = side.prompt.text, side.prompt.spans[1]
    return text[: span.start], (span.name, text[span.start : span.end]), text[span.end :]
