"""What authors write is checked where it is written: each mistake is an error with its line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cfgen import (
    CausalModel,
    CfgenError,
    Design,
    Hypothesis,
    Site,
    TaskDefinition,
    boolean,
    choice,
    distinct,
    edits,
    faker,
    generate,
    integers,
    lexicon,
    load_task,
    templates,
)

ANY: Any = None
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a bound that is no whole number": (lambda: integers(0, ANY or 1.5), "wrong-arguments"),
    "bounds that are texts": (lambda: integers(ANY or "a", ANY or "b"), "wrong-arguments"),
    "one bound": (lambda: integers(1), "wrong-arguments"),  # type: ignore[call-arg]
    "bounds in the wrong order": (lambda: integers(3, 1), "empty-domain"),
    "a size that is a text": (lambda: distinct(integers(0, 3), ANY or "2"), "wrong-arguments"),
    "a domain that is a text": (lambda: distinct(ANY or "abc", 2), "not-a-domain"),
    "more than there are": (lambda: distinct(integers(0, 1), 3), "empty-domain"),
    "a choice of letters": (lambda: choice("abc"), "not-a-list"),
    "a choice of nothing": (lambda: choice([]), "empty-domain"),
    "a boolean of something": (lambda: boolean(3), "wrong-arguments"),  # type: ignore[call-arg]
    "a lexicon by number": (lambda: lexicon(ANY or 3), "unsafe-name"),
    "a lexicon by path": (lambda: lexicon("../x"), "unsafe-name"),
    "a lexicon without a name": (lambda: lexicon(), "wrong-arguments"),  # type: ignore[call-arg]
    "templates of nothing": (lambda: templates(), "wrong-arguments"),  # type: ignore[call-arg]
    "names without a number": (lambda: faker(), "wrong-arguments"),  # type: ignore[call-arg]
    "an edit that there is not": (lambda: edits.swap("a"), "unknown-edit"),
    "an edit without a value": (lambda: edits.set("a"), "wrong-arguments"),  # type: ignore[call-arg]
    "an edit of two inputs": (lambda: edits.copy("a", "b"), "wrong-arguments"),  # type: ignore
    "an edit of none": (lambda: edits.flip(), "wrong-arguments"),  # type: ignore[call-arg]
    "an unknown option": (lambda: edits.resample("a", fresh=True), "wrong-arguments"),  # type: ignore
    "a site with an unknown part": (lambda: Site(depth=3), "wrong-arguments"),  # type: ignore
    "a design of nothing": (lambda: Design("a", counterfactual=ANY), "wrong-arguments"),
    "a design without edits": (lambda: Design("a"), "wrong-arguments"),  # type: ignore[call-arg]
    "a hypothesis of nothing": (lambda: Hypothesis("a", ANY), "wrong-arguments"),
    "a hypothesis of numbers": (lambda: Hypothesis("a", ANY or [3]), "wrong-arguments"),
    "a task of nothing": (lambda: TaskDefinition(), "wrong-arguments"),  # type: ignore[call-arg]
    "a model without output": (lambda: CausalModel("a"), "wrong-arguments"),  # type: ignore
    "an input by number": (
        lambda: CausalModel("a", output="b").input(ANY or 3, integers(0, 1)),
        "wrong-arguments",
    ),
    "an input without domain": (
        lambda: CausalModel("a", output="b").input("c"),  # type: ignore[call-arg]
        "wrong-arguments",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_written_wrongly_is_said_with_its_line(name: str) -> None:
    write, code = WRONG[name]
    with pytest.raises(CfgenError) as caught:
        write()
    (problem,) = caught.value.problems
    assert problem.code == code
    file, _, line = problem.where.rpartition(":")
    first = write.__code__.co_firstlineno
    if problem.where:
        assert (file, first <= int(line) <= first + 2) == (__file__, True)
    assert problem.hint
    assert caught.value.__cause__ is None


def test_what_is_written_rightly_remembers_its_line() -> None:
    made = [edits.flip("a"), Design("a", counterfactual=[]), Hypothesis("a", ["b"])]
    for each in made:
        assert each.where.startswith(f"{__file__}:")
    assert integers(0, 2).count() == 3
    assert not hasattr(edits, "__path__")


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "a seed that is a text": ({"seed": "0"}, "bad-seed"),
    "no seed": ({"seed": None}, "bad-seed"),
    "a seed that is true": ({"seed": True}, "bad-seed"),
    "shares that are texts": ({"fractions": {"train": "x"}}, "bad-splits"),
    "shares that are negative": ({"fractions": {"train": -1}}, "bad-splits"),
    "a design by number": ({"design": 3}, "unknown-name"),
    "templates by number": ({"templates": 3}, "unknown-name"),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_wrongly(name: str) -> None:
    given, code = ASKED[name]
    with pytest.raises(CfgenError, match=code):
        generate("ioi", 8, **given)


def test_a_sample_has_a_seed_too() -> None:
    with pytest.raises(CfgenError, match="bad-seed"):
        load_task("ioi").sample(3, seed=[1])  # type: ignore[arg-type]
