"""Causal tracing against plain loops with PyTorch's hooks, and against what holds for any LM."""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import SweepOptions, answer, experiment_of
from cfgen.interventions import Read, Run, choose_engine
from cfgen.lm import Place
from cfgen.report import figure_of, run_view, sentences
from tests.inquiries import ask, request_of
from tests.sampling import one_in

LAYERS = 4
DRAWS = 2
SUBJECTS = ("old box", "new red mug", "old blue pot", "new jar", "red mug", "blue old jar")
FAMILIES = ("llama", "gpt2", "gemma2", "gemma3", "gpt_neox", "opt", "granite", "qwen3", "phi3")
EACH = {"positions": "every", "over": "0,2"}
SEEDS = dict.fromkeys(("gemma3", "gpt_neox", "granite"), 1)
"""Of LMs that would else answer with what is no answer, such as half a word."""


def prompts_of(make) -> list[Any]:
    """Sides with a subject of two or three tokens in the middle."""
    return [
        dataclasses.replace(
            make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0),
            prompt=make.prompt(
                opening, ("who", "Ann"), " puts the ", ("subject", subject), f" {verb} the box and"
            ),
            slots={"who": "Ann", "subject": subject},
        )
        for verb in ("into", "of", "with", "and")
        for subject in SUBJECTS
        for opening in ("", "Story ", "Question Story ")
    ]


def traceable(make, answered, lm, count: int = 6) -> list[Any]:
    """Pairs of such prompts, with what the LM says to them."""
    sides = prompts_of(make)
    pairs = [make.pair(one, sides[(n + 5) % len(sides)], n) for n, one in enumerate(sides)]
    found = answered(lm, pairs)[:count]
    assert len(found) >= min(count, 3)
    return found


@pytest.fixture(scope="module")
def lm(build_family_lm):
    """Every head has keys and values of its own, which plain hooks can change."""
    return build_family_lm("llama", num_key_value_heads=4)


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    return traceable(make, answer, lm)


def traced(lm, pairs, site=None, **fields):
    """A record of what is traced, by default at every token of the residual stream."""
    sweep = fields.pop("sweep", {"positions": "every"} if site is None else {})
    fields = {
        "corrupt": "subject",
        "draws": DRAWS,
        "measures": ("probability",),
        "sweep": SweepOptions(**sweep),
        **fields,
    }
    return ask(lm, pairs, {"tracing": site or Site("last")}, method="tracing", **fields)


def by_cell(record, effect="IE") -> dict[tuple[str, str | None, int], float]:
    """Pair, token and layer -> an effect."""
    return {
        (one.pair_id, one.token, one.layer): one.value
        for one in record.effects
        if one.effect == effect
    }


# A plain loop


def noise_by_hand(seed: int, draw: int, pair_id: str, token: int, width: int) -> torch.Tensor:
    key = hashlib.sha256(f"{seed} {draw} {pair_id} {token}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
    return torch.randn(width, generator=generator)


@contextmanager
def changed(module: nn.Module, change: Any) -> Iterator[None]:
    """While in here, what comes out of a module (tokens, width) is changed in place."""

    def hook(_module: Any, _arguments: Any, output: Any) -> None:
        change((output[0] if isinstance(output, tuple) else output)[0])

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class ByHand:
    """One prompt of a pair, traced with hooks on modules."""

    def __init__(self, lm, pair) -> None:
        self.lm, self.pair = lm, pair
        side = pair.original
        encoded = lm.tokenizer(side.prompt.text, return_offsets_mapping=True)
        self.ids = encoded["input_ids"]
        span = next(span for span in side.prompt.spans if span.name == "subject")
        self.subject = [
            number
            for number, (start, end) in enumerate(encoded["offset_mapping"])
            if start < span.end and end > span.start
        ]
        self.answer = lm.tokenizer(side.answer)["input_ids"][-1]

    def embedded(self) -> torch.Tensor:
        """What the subject's tokens have behind the embedding (tokens, width)."""
        kept: list[torch.Tensor] = []
        with changed(self.lm.model.get_input_embeddings(), lambda out: kept.append(out.clone())):
            self.probability()
        return kept[0][self.subject]

    def probability(self) -> float:
        logits = self.lm.model(torch.tensor([self.ids])).logits[0, -1]
        return float(logits.double().softmax(-1)[self.answer])

    def states(self, modules: Sequence[nn.Module]) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(changed(module, lambda out: kept.append(out.clone())))
            self.probability()
        return kept

    @contextmanager
    def noise(self, level: float, draw: int, seed: int = 0) -> Iterator[None]:
        def add(out: torch.Tensor) -> None:
            for token in self.subject:
                drawn = noise_by_hand(seed, draw, self.pair.id, token, out.shape[-1])
                out[token] += level * drawn

        with changed(self.lm.model.get_input_embeddings(), add):
            yield

    def effects(
        self, modules: Sequence[nn.Module], tokens: Sequence[int], level: float
    ) -> tuple[list[float], list[float]]:
        """TE and IE of each draw, some modules restored together at some tokens."""
        clean, there = self.probability(), self.states(modules)
        total, indirect = [], []
        for draw in range(DRAWS):
            with self.noise(level, draw), ExitStack() as stack:
                low = self.probability()
                for module, state in zip(modules, there, strict=True):

                    def restore(out: torch.Tensor, state: torch.Tensor = state) -> None:
                        out[list(tokens)] = state[list(tokens)]

                    stack.enter_context(changed(module, restore))
                indirect.append(self.probability() - low)
            total.append(clean - low)
        return total, indirect


def level_by_hand(lm, pairs, times: float = 3.0) -> float:
    every = torch.cat([ByHand(lm, pair).embedded() for pair in pairs])
    return times * float(every.double().std())


def blocks_of(lm) -> nn.ModuleList:
    lists = (module for module in lm.model.modules() if isinstance(module, nn.ModuleList))
    return next(found for found in lists if len(found) == LAYERS)


def name_at(hand: ByHand, token: int) -> str:
    """What a token is called: by the subject, or as the last."""
    if token == len(hand.ids) - 1:
        return "last"
    end = hand.subject[-1]
    if token in hand.subject:
        return "subject[0]" + (f"-{end - token}" if token < end else "")
    return f"subject[0]+{token - end}"


@pytest.mark.parametrize("engine", one_in(2, ["packed", "reference"]))
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_single_states_are_those_of_a_plain_loop(build_family_lm, make, answer, name, engine):
    lm = build_family_lm(name, seed=SEEDS.get(name, 0))
    pairs = traceable(make, answer, lm, 3)[:2]
    record = traced(lm, pairs, engine=engine)
    level = level_by_hand(lm, pairs)
    assert record.noise.level == pytest.approx(level, rel=1e-6)
    found, total = by_cell(record), by_cell(record, "TE")
    seen = set()
    for pair in pairs:
        hand = ByHand(lm, pair)
        for layer in (0, LAYERS - 2):
            for token in range(hand.subject[0], len(hand.ids)):
                te, ie = hand.effects([blocks_of(lm)[layer]], [token], level)
                key = pair.id, name_at(hand, token), layer
                assert found[key] == pytest.approx(statistics.mean(ie), abs=1e-4)
                assert total[key] == pytest.approx(statistics.mean(te), abs=1e-4)
                seen.add(key)
    assert {key for key in found if key[2] == 0} == {key for key in seen if key[2] == 0}


@pytest.mark.parametrize(("component", "module"), [("mlp_out", "mlp"), ("attn_out", "self_attn")])
@pytest.mark.parametrize("engine", one_in(2, ["packed", "reference"]))
def test_windows_are_those_of_a_plain_loop(lm, pairs, component, module, engine):
    """Layers c - k // 2 to c + (k + 1) // 2 - 1, as far as there are such."""
    for size in (2, 3):
        site = Site(component=component, layers=f"window({size})")
        sweep = {"positions": "every"}
        record = traced(lm, pairs[:2], site, sweep=sweep, engine=engine, noise="0.5 absolute")
        for pair in pairs[:2]:
            hand = ByHand(lm, pair)
            for centre in (0, 2, 3):
                first, end = max(0, centre - size // 2), min(LAYERS, centre + (size + 1) // 2)
                window = [getattr(blocks_of(lm)[layer], module) for layer in range(first, end)]
                for token in (hand.subject[-1], len(hand.ids) - 1):
                    _, ie = hand.effects(window, [token], 0.5)
                    found = by_cell(record)[pair.id, name_at(hand, token), centre]
                    assert found == pytest.approx(statistics.mean(ie), abs=1e-4)


def test_windows_of_ten_are_those_of_the_paper():
    site = Site(layers="window(10)")
    for centre in range(48):
        expected = range(max(0, centre - 5), min(48, centre + 5))
        assert site.swept(centre, 48) == expected


def test_heads_are_those_of_a_plain_loop(lm, pairs):
    site = Site("subject.all", component="head_out")
    record = traced(lm, pairs[:2], site, sweep={"heads": "all"}, noise="0.5 absolute")
    width = lm.model.config.head_dim
    for pair in pairs[:2]:
        hand = ByHand(lm, pair)
        for layer in (0, 2):
            projection = blocks_of(lm)[layer].self_attn.o_proj
            for head in range(4):
                part = slice(head * width, (head + 1) * width)
                expected = restored_head(hand, projection, part)
                key = pair.id, "IE", layer, head
                (found,) = (
                    one.value
                    for one in record.effects
                    if (one.pair_id, one.effect, one.layer, one.head) == key
                )
                assert found == pytest.approx(expected, abs=1e-4)


def restored_head(hand: ByHand, projection: nn.Module, part: slice) -> float:
    kept: list[torch.Tensor] = []
    look = projection.register_forward_pre_hook(lambda _, given: kept.append(given[0].clone()))
    hand.probability()
    look.remove()

    def restore(_module: Any, given: Any) -> Any:
        new = given[0].clone()
        for token in hand.subject:
            new[0, token, part] = kept[0][0, token, part]
        return (new,)

    found = []
    for draw in range(DRAWS):
        with hand.noise(0.5, draw):
            low = hand.probability()
            handle = projection.register_forward_pre_hook(restore)
            found.append(hand.probability() - low)
            handle.remove()
    return statistics.mean(found)


# What holds for any LM


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, build_family_lm, make, answer):
    lm = build_family_lm(request.param, seed=SEEDS.get(request.param, 0))
    return lm, traceable(make, answer, lm, 4)


@pytest.mark.parametrize("engine", one_in(2, ["packed", "reference"]))
def test_the_last_layer_gives_all_at_the_last_token_and_nothing_elsewhere(case, engine):
    record = traced(*case, engine=engine, sweep={"positions": "every", "over": "3"})
    total = by_cell(record, "TE")
    assert max(abs(value) for value in total.values()) > 1e-2
    for (pair, token, layer), value in by_cell(record).items():
        expected = total[pair, token, layer] if token == "last" else 0.0
        assert value == pytest.approx(expected, abs=1e-5)
    # at other tokens nothing has to be run: what can't matter is known to be what it is without
    assert {cell.token for cell in record.cells} >= {"last", "subject[0]"}


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_all_tokens_of_any_layer_give_the_clean_run(case, engine):
    record = traced(*case, Site("every"), engine=engine)
    total, indirect = by_cell(record, "TE"), by_cell(record)
    assert {layer for _, _, layer in total} == {*range(LAYERS)}
    for key, value in total.items():
        assert indirect[key] == pytest.approx(value, abs=1e-5)


def test_both_engines_agree(case):
    lm, pairs = case
    for component, layers in (("resid_post", "each"), ("mlp_out", "window(3)")):
        site = Site(component=component, layers=layers)
        packed, plain = (
            by_cell(traced(lm, pairs[:2], site, sweep=EACH, engine=engine))
            for engine in ("packed", "reference")
        )
        assert packed.keys() == plain.keys()
        for key, value in packed.items():
            assert value == pytest.approx(plain[key], abs=1e-4)


def test_the_level_is_measured_where_noise_is_added(case):
    """Also where embeddings are multiplied before they come out, or projected after."""
    lm, pairs = case
    record = traced(lm, pairs, sweep={"over": "3"}, site=Site("last"))
    reads = []
    for pair in pairs:
        hand = ByHand(lm, pair)
        reads.append(Read(Run(tuple(hand.ids)), tuple(hand.subject), Place("embed")))
    values = choose_engine(lm, "reference").values(reads)
    noise = record.noise
    assert noise.deviation == pytest.approx(float(torch.cat(values).double().std()), rel=1e-6)
    assert noise.level == pytest.approx(3 * noise.deviation)
    assert noise.tokens == sum(map(len, values))


def test_without_noise_there_is_no_effect(lm, pairs, monkeypatch):
    monkeypatch.setattr(
        "cfgen.experiments.tracing.standard_noise",
        lambda *given: torch.zeros(len(given[-2]), given[-1]),
    )
    for engine in ("packed", "reference"):
        record = traced(lm, pairs, engine=engine)
        assert len(record.effects) + len(record.vacuous) > 0
        assert all(abs(one.value) < 1e-6 for one in record.effects)


# Draws


def test_what_is_drawn_hangs_on_nothing_but_its_key(build_family_lm, make, answer):
    """Not on how many pairs there are, in which block or order, or which places are traced."""
    lm = build_family_lm("gpt2")
    pairs = traceable(make, answer, lm, 18)
    assert len(pairs) == 18  # two blocks
    fields = {"noise": "0.4 absolute", "engine": "reference", "sweep": EACH}
    every = by_cell(traced(lm, pairs, **fields))
    turned = by_cell(traced(lm, pairs[::-1], **fields))
    few_record = traced(lm, pairs[15:], **fields)
    few = by_cell(few_record)
    for key, value in few.items():
        assert turned[key] == pytest.approx(value, abs=1e-6)
        assert every[key] == pytest.approx(value, abs=1e-6)
    total = {pair: value for (pair, _, _), value in by_cell(few_record, "TE").items()}
    last = traced(lm, pairs[15:], Site("last"), **{**fields, "sweep": {}})
    for (pair, _, _), value in by_cell(last, "TE").items():
        assert total[pair] == pytest.approx(value, abs=1e-6)
    other = by_cell(traced(lm, pairs[15:], seed=1, **fields))
    assert any(abs(other[key] - value) > 1e-3 for key, value in few.items())


def test_averages_are_over_draws_and_then_over_pairs(lm, pairs):
    record = traced(lm, pairs, noise="0.5 absolute")
    (cell,) = (
        c for c in record.cells if (c.hypothesis, c.token, c.layer) == ("IE", "subject[0]", 1)
    )
    each = []
    for pair in pairs:
        hand = ByHand(lm, pair)
        each.append(hand.effects([blocks_of(lm)[1]], [hand.subject[-1]], 0.5)[1])
    averages = [statistics.mean(one) for one in each]
    within = statistics.mean(statistics.variance(one) for one in each)
    between = statistics.variance(averages) - within / DRAWS
    assert cell.value == pytest.approx(statistics.mean(averages), abs=1e-4)
    assert cell.between_draws == pytest.approx(within**0.5, rel=1e-2)
    assert cell.between_pairs == pytest.approx(max(0, between) ** 0.5, rel=2e-2, abs=1e-3)
    spread = {
        one.pair_id: one.deviation
        for one in record.effects
        if (one.effect, one.token, one.layer) == ("IE", "subject[0]", 1)
    }
    for pair, values in zip(pairs, each, strict=True):
        assert spread[pair.id] == pytest.approx(statistics.stdev(values), rel=1e-2)


def test_of_one_draw_there_is_no_spread(lm, pairs):
    record = traced(lm, pairs, draws=1)
    assert {cell.between_draws for cell in record.cells} == {None}
    assert {one.deviation for one in record.effects} == {None}


# Pairs and mistakes


def test_only_originals_have_to_be_answered_rightly(lm, pairs):
    wrong = dataclasses.replace(
        pairs[0], counterfactual=dataclasses.replace(pairs[0].counterfactual, answer=" holds")
    )
    lost = dataclasses.replace(
        pairs[1], original=dataclasses.replace(pairs[1].original, answer=" holds")
    )
    record = traced(lm, [wrong, lost, *pairs[2:]], Site("last"))
    assert {cell.n for cell in record.cells} == {len(pairs) - 1}
    assert wrong.id in {one.pair_id for one in record.effects}
    assert lost.id not in {one.pair_id for one in record.effects}


def test_prompts_without_the_span_are_left_out_and_counted(lm, pairs, make, answer):
    bare = (
        dataclasses.replace(pairs[0].original, prompt=make.prompt(f"Ann puts the {word} into"))
        for word in ("box", "mug", "jar", "pot", "tea", "milk")
    )
    one, *_ = answer(lm, [make.pair(side, pairs[0].counterfactual, 77) for side in bare])
    record = traced(lm, [one, *pairs[1:]])
    reasons = {reason for lost in record.unaligned.values() for reason in lost}
    assert reasons == {"the prompt has no span named 'subject'"}
    assert one.id not in {effect.pair_id for effect in record.effects}


def test_a_place_in_front_of_the_noise_has_no_number(lm, pairs):
    record = traced(lm, pairs, Site("who"))
    assert not record.cells
    assert {(c.position, c.layer) for c in record.vacuous} == {("who", n) for n in range(LAYERS)}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"corrupt": "nowhere"}, "position-unknown"),
        ({"sweep": {"over": "9"}}, "no-such-layer"),
        ({"sweep": {"positions": ("nowhere",)}}, "position-unknown"),
    ],
)
def test_what_there_is_not_is_told_before_any_prompt_is_run(lm, pairs, monkeypatch, fields, code):
    forbid_runs(monkeypatch)
    with pytest.raises(CfgenError, match=code):
        traced(lm, pairs, Site("last"), **fields)


def forbid_runs(monkeypatch) -> None:
    monkeypatch.setattr(
        "cfgen.interventions.engine.Engine.outcomes",
        lambda *_, **__: pytest.fail("a prompt was run"),
    )


def test_without_answers_there_is_nothing_to_trace(lm, pairs, monkeypatch):
    forbid_runs(monkeypatch)
    silent = [
        dataclasses.replace(pair, original=dataclasses.replace(pair.original, answer=None))
        for pair in pairs
    ]
    with pytest.raises(CfgenError, match="nothing-to-trace"):
        traced(lm, silent, Site("last"))


def test_embeddings_that_are_all_the_same_have_no_deviation(build_family_lm, pairs, monkeypatch):
    lm = build_family_lm("llama", tie_word_embeddings=False)
    lm.model.get_input_embeddings().weight.fill_(0.5)
    forbid_runs(monkeypatch)
    with pytest.raises(CfgenError, match=r"bad-noise(.|\n)*absolute"):
        traced(lm, pairs, Site("last"))


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("method: tracing\ncorrupt: 'a['", "position-syntax", "a["),
        ("method: tracing\ncorrupt: a\nnoise: 0", "bad-noise", "no noise"),
        ("method: tracing\ncorrupt: a\nnoise: '-1'", "bad-noise", "-1"),
        ("method: tracing\ncorrupt: a\nnoise: three", "bad-noise", "0.1 absolute"),
        ("method: tracing\ncorrupt: a\nnoise: 3absolute", "bad-noise", "3absolute"),
        ("method: tracing\ncorrupt: a\ndraws: 0", "experiment-value", "draws"),
        ("method: tracing\ncorrupt: a\nmeasures: [iia]", "experiment-no-meaning", "iia"),
        ("method: mediation\ncorrupt: a", "experiment-no-meaning", "corrupt"),
        ("noise: 2", "experiment-no-meaning", "noise"),
    ],
)
def test_what_a_file_must_not_say(tmp_path, text, code, said):
    file = tmp_path / "first.yaml"
    file.write_text(f"task: ioi\n{text}\n")
    with pytest.raises(CfgenError) as caught:
        experiment_of(str(file), {})
    assert {problem.code for problem in caught.value.problems} == {code}
    assert said in str(caught.value)


def test_how_strong_noise_is_can_be_said_in_two_ways(tmp_path):
    file = tmp_path / "first.yaml"
    for text, read in (("3", "3"), ("2.5", "2.5"), ("0.1 absolute", "0.1 absolute")):
        file.write_text(f"task: ioi\nmethod: tracing\ncorrupt: a\nnoise: {text}\n")
        found = experiment_of(str(file), {})
        assert (found.noise, found.measures, found.draws) == (read, ("probability",), 10)


# What is shown


def test_it_is_told_and_drawn(lm, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: lm)
    sweep = SweepOptions(positions="every")
    request = request_of(
        pairs,
        {"tracing": Site("last")},
        method="tracing",
        corrupt="subject",
        draws=DRAWS,
        measures=("probability",),
        sweep=sweep,
    )
    results = answer(request, tmp_path / "out").results
    assert results.noise is not None
    shown = " ".join(markdown(run_view(results, tmp_path / "out")).split())
    assert f"{results.noise.level:.4g}, which is 3 times" in shown
    assert "TE, wherever" in shown
    assert "answers its original correctly" in shown
    (said,) = sentences(results)
    assert "standard deviation between pairs" in said
    labels = [text.get_text() for text in figure_of(results).axes[0].get_yticklabels()]
    starred = [label for label in labels if label.endswith("*")]
    assert starred == ["subject[0]-2*", "subject[0]-1*", "subject[0]*"]
    assert labels[-1] == "last"
    alone = request_of(
        pairs[:1],
        {"tracing": Site("last")},
        method="tracing",
        corrupt="subject",
        noise="0.2 absolute",
        draws=1,
        measures=("probability",),
        sweep=sweep,
    )
    results = answer(alone, tmp_path / "alone").results
    labels = [text.get_text() for text in figure_of(results).axes[0].get_yticklabels()]
    words = pairs[0].original.slots["subject"].split()
    assert labels[: len(words)] == [f"{word}*" for word in words]
    assert labels[-1].endswith(" (last)")
    assert "given as it is" in " ".join(markdown(run_view(results, tmp_path / "alone")).split())
