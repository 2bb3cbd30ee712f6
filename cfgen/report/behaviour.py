"""Behaviour: what an LM says to the prompts of pairs as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cfgen.documents import (
    Block,
    Column,
    Document,
    Facts,
    Gap,
    Heading,
    Inline,
    Item,
    Paragraph,
    Phrase,
    Table,
    faint,
    strong,
)
from cfgen.paths import display
from cfgen.stats import with_interval

if TYPE_CHECKING:
    from cfgen.experiments import BehaviourResults, Inquiry, Share, WrongAnswer

FILES = {
    "experiment.yaml": "what was asked: `cfgen behave` with it gives the same",
    "results.json": "all numbers, with what they depend on",
    "prompts.parquet": "what the LM said to every prompt",
    "pairs.parquet": "the pairs",
}
SIDES = ("original", "counterfactual")
SHOWN = 10
"""Rows of a table at most; all are in ``results.json``."""
GROUPS = {
    "template": "By template",
    "design": "By design",
    "position": "By where the prompt first shows the answer",
    "answer": "By expected answer",
}


def behaviour_introduction(inquiry: Inquiry) -> Document:
    """Say what is asked, with one of the prompts."""
    source = inquiry.source
    side = source.pairs[0].original
    asked = f"The prompts of {len(source.pairs)} pairs: {source.description}."
    facts = (("the first", f"{side.prompt.text}"), ("expected", strong(str(side.answer))))
    return Document((Heading("What is asked"), Paragraph(asked), Facts(facts)))


def behaviour_view(results: BehaviourResults, folder: Path) -> Document:
    """What the LM answers rightly, what it says instead, and how many pairs a run would keep.

    Args:
        results: What came out.
        folder: Where the files are.
    """
    return Document(
        (
            Heading("Prompts answered correctly"),
            Paragraph(f"{results.model} on {results.device} in {results.dtype}"),
            Gap(),
            _accuracy_table("", {"all prompts": results.clean}),
            Gap(),
            *_groups(results),
            Paragraph(faint(_HOW_TO_READ)),
            *_mistakes(results),
            Heading("Pairs"),
            Paragraph(_kept(results)),
            Heading("Files"),
            Item(f"in {display(folder)}:", (Facts(tuple(FILES.items())),), indent=2),
        )
    )


# Accuracy


_HOW_TO_READ = (
    "Each entry: share of prompts answered correctly, its 95% Wilson interval, number of prompts."
)


def _groups(results: BehaviourResults) -> Iterable[Block]:
    """A table for everything in which prompts differ; of many groups, those that go worst."""
    for name, title in GROUPS.items():
        groups = results.accuracy[name]
        if len(groups) < 2:
            continue
        worst = sorted(groups, key=lambda group: (groups[group]["both"].rate, group))
        chosen = sorted(groups) if len(groups) <= SHOWN else worst[:SHOWN]
        yield Heading(title, 3)
        yield Gap()
        yield _accuracy_table(name, {group or "(unknown)": groups[group] for group in chosen})
        if len(groups) > SHOWN:
            rest = f"the {SHOWN} that go worst, of {len(groups)}"
            yield Paragraph(faint(rest))
        yield Gap()


def _accuracy_table(title: str, groups: Mapping[str, Mapping[str, Share]]) -> Table:
    """A row per group: both sides, and each by itself."""
    titles = ("both sides", *SIDES)
    columns = (Column(title), *(Column(one, "right") for one in titles))
    rows = (
        (name, *(_entry(sides.get(side)) for side in ("both", *SIDES)))
        for name, sides in groups.items()
    )
    return Table(columns, tuple(rows))


def _entry(share: Share | None) -> Inline:
    if share is None:
        return faint("-")
    interval = f" {share.low:.2f}-{share.high:.2f}"
    return (strong(f"{share.rate:.2f}"), faint(f"{interval} n={share.n}"))


# Mistakes


def _mistakes(results: BehaviourResults) -> Iterable[Block]:
    """What the LM says instead: the words, and where the prompt has them."""
    yield Heading("Wrong answers")
    total = sum(one.count for one in results.mistakes)
    if not total:
        yield Paragraph("There is none.")
        return
    yield Paragraph(_elsewhere(results.misplaced, total))
    yield Gap()
    yield _wrong_table(("the answer is at", "said instead is at"), results.misplaced)
    yield Gap()
    yield _wrong_table(("expected", "said instead"), results.mistakes)
    if len(results.mistakes) > SHOWN:
        shown = sum(one.count for one in results.mistakes[:SHOWN])
        yield Paragraph(
            faint(f"{shown} of {total}: the commonest of {len(results.mistakes)} kinds")
        )


def _elsewhere(misplaced: Sequence[WrongAnswer], total: int) -> Inline:
    """How often a wrong answer is another word of the prompt."""
    from cfgen.experiments import NOT_THERE

    inside = sum(one.count for one in misplaced if one.said != NOT_THERE)
    what = "another word of the prompt."
    if total == 1:
        return (strong("1"), f" answer is wrong; it is {'' if inside else 'not '}{what}")
    how_many = f"{inside or 'none'} of them {'is' if inside < 2 else 'are'}"
    return (strong(str(total)), f" answers are wrong; {how_many} {what}")


def _wrong_table(titles: tuple[str, str], wrong: Sequence[WrongAnswer]) -> Table:
    rows = ((str(one.count), one.expected, one.said) for one in wrong[:SHOWN])
    columns = (Column("times", "right"), *(Column(title) for title in titles))
    return Table(columns, tuple(rows))


def _kept(results: BehaviourResults) -> Inline:
    keep = results.keep
    dropped = [f"\n  dropped {count}: {reason}" for reason, count in results.dropped.items()]
    return (
        "A run would keep ",
        strong(f"{keep.k} of {keep.n} pairs"),
        f": {with_interval(keep.rate, keep.low, keep.high)}. A pair is kept if the LM answers both "
        "of its prompts correctly.",
        *(Phrase(line, ("caution",)) for line in dropped),
    )
