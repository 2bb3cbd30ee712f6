"""Tokenizer solving: what is left fits, what is dropped does not, and conflicts are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import normalizers

from cfgen.datasets import AuditPlan, draw_pairs, pairs_table, recipe, write_dataset
from cfgen.datasets.alignment import AlignmentCheck
from cfgen.datasets.tokenizers import WordTokens, fitting, solve_words
from cfgen.errors import CfgenError
from cfgen.lm import load_tokenizer
from cfgen.prompts import Encode
from tests.cutters import word_level

WORDS = [f"thing{number}" for number in range(60)]


def tokenizer(split: str = "", *, joined: str = "", same: tuple[str, ...] = ()) -> Encode:
    """One token a word with the space in front, two for words that match ``split``.

    Args:
        split: Pattern of words that take two tokens.
        joined: Pattern of words that swallow the mark behind them.
        same: Words that all have one id.
    """

    def encode(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        ids, offsets = [], []
        for match in re.finditer(r" ?\w+|[^\w\s]|\s", text):
            start, end = match.span()
            word = match[0].strip()
            if joined and re.fullmatch(joined, word) and end < len(text):
                end += 1
            elif offsets and start < offsets[-1][1]:
                continue  # swallowed
            parts = [(start, end)]
            if split and re.fullmatch(split, word):
                parts = [(start, start + 2), (start + 2, end)]
            for a, b in parts:
                offsets.append((a, b))
                shown = same[0] if text[a:b].strip() in same else text[a:b]
                ids.append(hash_of(shown))
        return ids, offsets

    return encode


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[-6:], "big") * 31 + len(text)


def words_left(project, tokenizers: dict[str, Encode], **options) -> set[str]:
    task = project.load()
    solution = solve_words(task, [task.design()], tokenizers, splits=1, **options)
    return {word for domain in solution.task.causal_model.domains.values()
            for words in domain.pools.values() for word in words}  # fmt: skip


def test_nothing_is_dropped_where_all_fits(project) -> None:
    task = project.load()
    solution = solve_words(task, [task.design()], {"t": tokenizer()})
    assert (dict(solution.kept), solution.dropped) == ({"things": 60}, ())


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        (tokenizer(r"thing\d"), "takes 2 tokens as an answer"),
        (tokenizer(joined=r"thing\d"), "shares a token with what stands beside it"),
        (tokenizer(same=("thing59", *WORDS[:10])), "is the same token as"),
    ],
)
def test_words_with_a_planted_flaw_are_dropped(project, flaw: Encode, reason: str) -> None:
    task = project.load()
    solution = solve_words(task, [task.design()], {"good": tokenizer(), "bad": flaw}, splits=1)
    first = 1 if "same token" in reason else 0  # the first of the words with one token is kept
    last = {"thing59"} if first else set()
    assert {d.word for d in solution.dropped} == {f"thing{k}" for k in range(first, 10)} | last
    for dropped in solution.dropped:
        assert (dropped.lexicon, dropped.tokenizer) == ("things", "bad")
        assert reason in dropped.reason
    assert solution.kept["things"] == 50


def test_words_that_a_tokenizer_does_not_know_are_dropped(project, tmp_path: Path) -> None:
    """A word of the unknown token alone takes as many tokens as the others."""
    task = project.load()
    prompts = [pair.original.prompt.text for pair in draw_pairs(recipe(task, 60))]
    known = [f"x {word} {word}" for word in WORDS if word not in ("thing7", "thing41")]
    words = " ".join(prompts).replace("thing7", "").replace("thing41", "")
    backend = word_level([words, *known])
    backend.save(str(tmp_path / "own.json"))
    own = load_tokenizer(str(tmp_path / "own.json"))
    solution = solve_words(task, [task.design()], {"own": own}, splits=1)
    assert {one.word: one.reason for one in solution.dropped} == {
        "thing7": "has no token of its own",
        "thing41": "has no token of its own",
    }
    backend.normalizer = normalizers.Replace("thing12", "thing3")
    backend.save(str(tmp_path / "own.json"))
    own = load_tokenizer(str(tmp_path / "own.json"))
    found = {o.word: o.reason for o in solve_words(task, [task.design()], {"own": own}).dropped}
    assert found["thing12"] == "reads 'thing3'"


def test_words_of_the_same_tokens_are_dropped_where_they_are_no_answers(project) -> None:
    source = project.root / "causal_models/toy.py"
    project.design("edits_none")
    text = source.read_text().replace(
        "edits_none", 'Design("fresh", counterfactual=[edits.flip("asked")])'
    )
    source.write_text(text.replace("return things[pointer]", 'return ["one", "two"][pointer]'))
    left = words_left(project, {"t": tokenizer(same=("thing59", *WORDS[:10]))})
    assert left == {"thing0", *WORDS[10:59]}


def test_all_tokenizers_count_at_once(project) -> None:
    left = words_left(project, {"a": tokenizer(r"thing[1-3]\d"), "b": tokenizer(r"thing\d")})
    assert left == {f"thing{k}" for k in range(40, 60)}


def test_words_that_are_no_answers_need_not_be_single(project) -> None:
    """The answer is a number: all things may take two tokens, if they all do."""
    source = project.root / "causal_models/toy.py"
    project.design("edits_none")
    text = source.read_text().replace(
        "edits_none", 'Design("fresh", counterfactual=[edits.flip("asked")])'
    )
    source.write_text(text.replace("return things[pointer]", 'return ["one", "two"][pointer]'))
    left = words_left(project, {"t": tokenizer(r"thing\d\d")})
    assert left == {f"thing{k}" for k in range(10, 60)}


def test_an_impossible_demand_names_the_fewest_conflicting_ones(project) -> None:
    task = project.load()
    tokenizers = {
        "fine": tokenizer(),
        "low": tokenizer(r"thing([12]?\d)"),
        "high": tokenizer(r"thing[345]\d"),
    }
    with pytest.raises(CfgenError) as caught:
        solve_words(task, [task.design()], tokenizers)
    (problem,) = caught.value.problems
    assert problem.code == "tokenizer-conflict"
    assert "single under low and single under high together leave 0" in problem.message
    assert "fine" not in problem.message
    assert "single under low alone leaves 30; single under high alone leaves 30" in problem.detail


def test_one_demand_may_be_too_much(project) -> None:
    task = project.load()
    with pytest.raises(CfgenError, match="single under t leaves 0") as caught:
        solve_words(task, [task.design()], {"t": tokenizer(r"thing\d+")})
    assert "12 are needed" in str(caught.value)


def test_a_lexicon_too_small_in_itself(project) -> None:
    project.lexicon("things", ["a", "b", "c", "d"])
    task = project.load()
    with pytest.raises(CfgenError, match="has 4 words and 12 are needed, but that is fewer"):
        solve_words(task, [task.design()], {"t": tokenizer()})


def test_answers_of_no_lexicon_have_to_fit(project) -> None:
    source = project.root / "causal_models/toy.py"
    source.write_text(source.read_text().replace("return things[pointer]", 'return "nobody"'))
    project_task = project.load()
    with pytest.raises(
        CfgenError, match="'nobody' belongs to no lexicon and takes 2 tokens under t"
    ):
        solve_words(project_task, [project_task.design()], {"t": tokenizer("nobody")})


def test_fitting_takes_the_largest_group_then_the_shortest() -> None:
    def of(tokens: int) -> WordTokens:
        return WordTokens(((tokens, 5),), "", ())

    found = {"t": {"a": of(2), "b": of(1), "c": of(2), "d": of(1), "e": of(3)}}
    assert fitting("abcde", found, [("t", "aligned")]) == ("b", "d")
    assert fitting("abce", found, [("t", "aligned")]) == ("a", "c")
    assert fitting("abcde", found, []) == tuple("abcde")


def rows_of(project, n: int = 20) -> list[dict]:
    task = project.load()
    return pairs_table(task, draw_pairs(recipe(task, n))).to_pylist()


def checked(rows: list[dict], encode: Encode) -> str:
    check = AlignmentCheck({"t": encode})
    check.add(rows)
    with pytest.raises(CfgenError) as caught:
        check.finish()
    assert caught.value.problems[0].code == "not-aligned"
    return str(caught.value)


def test_aligned_pairs_pass_and_others_do_not(project) -> None:
    rows = rows_of(project)
    check = AlignmentCheck({"t": tokenizer()})
    check.add(rows)
    check.finish()
    assert check.rows == 20
    found = checked(rows, tokenizer(r"thing[2-5]\d"))
    assert "of 20 pairs do not align under t" in found
    assert found.count("row ") == 3
    assert "are the same token" in checked(rows, tokenizer(same=tuple(WORDS)))


def move(row: dict) -> None:
    for span in row["counterfactual"]["spans"][:1]:
        span["start"], span["end"] = span["start"] + 8, span["end"] + 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (move, "a span at tokens"),
        (lambda row: row["counterfactual"]["spans"].pop(), "spans in the original"),
        (lambda row: row["predictions"].update(position="two words"), "takes 2 tokens"),
        (lambda row: row["counterfactual"].update(prompt="much too short"), "in the other"),
    ],
)
def test_one_bad_row_is_found(project, change: Callable[[dict], object], message: str) -> None:
    rows = rows_of(project)
    change(rows[7])
    found = checked(rows, tokenizer())
    assert "1 of 20 pairs" in found
    assert message in found
    assert rows[7]["id"] in found


def test_what_words_cannot_mend_is_refused_and_nothing_written(project, tmp_path: Path) -> None:
    """Whether the first or the second is asked for moves everything behind the word."""
    project.template(
        "---\nid: plain\ndescription: Uneven.\nshows: [things, asked]\n---\n"
        "{{ thing_1 }}, {{ thing_2 }}: {% if asked %}the very last{% else %}first{% endif %} is\n"
    )
    task = project.load()
    tokenizers = {"t": tokenizer()}
    solved = solve_words(task, [task.design()], tokenizers)
    with pytest.raises(CfgenError, match="40 of 40 pairs do not align under t"):
        write_dataset(recipe(solved.task, 40), tmp_path / "out", plan=AuditPlan(2, tokenizers))
    assert not (tmp_path / "out").exists()


def test_workers_draw_from_the_words_that_are_left(project, tmp_path: Path) -> None:
    task = project.load()
    tokenizers = {"t": tokenizer(r"thing[1-3]\d")}
    solved = solve_words(task, [task.design()], tokenizers)
    made = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        wanted = AuditPlan(2, tokenizers, solved.dropped)
        manifest = write_dataset(recipe(solved.task, 60), out, workers=workers, plan=wanted)
        assert manifest.tokenizers == ("t",)
        assert len(manifest.dropped) == 30
        made.append((out / "data/train-00000-of-00001.parquet").read_bytes())
    assert made[0] == made[1]
