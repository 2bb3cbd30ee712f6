"""Checking a certificate again, without trusting it and without the code that made it.

Nothing of the file is used but the question it answers. A witness is run through the causal model
as a user would do it. For a proof all cases are enumerated anew, with plain words: one pair of
inputs for all that differ by a renaming only, the one whose words, in order of mention, come first
in their lexicons. What edits make of inputs is found out by applying them, with the code that makes
the pairs of a dataset, and not by what a search says they can come to. Only which words are
interchangeable comes from the same check as before, run again; so other words are put in the place
of those that stand for them, and mechanisms run as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any, TypeVar, cast

from cfgen.causal import CausalModel, Distinct, Domain, Setting
from cfgen.counterfactuals import ALL, NONE, Design, Hypothesis, InputEdit, output_text
from cfgen.errors import CfgenError
from cfgen.search.atoms import TooManyCases, elements_of, key_of
from cfgen.search.certificates import (
    Case,
    Certificate,
    Thesis,
    Witness,
    certify,
    digest_of,
    sample,
    thesis_of,
)
from cfgen.search.comparison import Comparison, comparison_of
from cfgen.search.predictions import CaseTable, case_table
from cfgen.tasks import Task

MOST_SAMPLED = 100_000
"""Pairs that are drawn anew at most, whatever a certificate says."""
MOST_TRIED = 5_000
"""Pairs in which another word takes a place, at most; every word has its turn before one twice."""


def recheck(certificate: Certificate, task: Task) -> list[str]:
    """Find everything that is wrong with a certificate.

    Args:
        certificate: What is claimed.
        task: The task as it is now.

    Returns:
        What is wrong, in words; nothing if the certificate holds.
    """
    if certificate.task != task.name:
        named = f"it is about task {certificate.task!r}, not {task.name!r}"
        return [f"{named}: name the task that it is about, if you trust that task's file"]
    if certificate.content_hash != task.content_hash:
        return ["the task has changed since: its file, its templates or its words"]
    wrong = []
    if certificate.version != task.version:
        wrong.append(f"the task's version is {task.version!r}, not {certificate.version!r}")
    if len(certificate.hypotheses) != 2:
        return [*wrong, "it does not name two hypotheses"]
    try:
        one, other = certificate.hypotheses
        templates = certificate.templates or ["all"]
        thesis = thesis_of(task, one, other, certificate.design, templates)
    except CfgenError as error:
        return [*wrong, *(problem.message for problem in error.problems)]
    has = {"witness": certificate.witness is not None, "digest": certificate.digest is not None}
    due = {"witness": certificate.answer == "differ", "digest": certificate.answer == "same"}
    wrong += [
        f"there is {'a' if has[part] else 'no'} {part}, but the answer is {certificate.answer!r}"
        for part in has
        if has[part] != due[part]
    ]
    return wrong or _problems(certificate, thesis)


def _problems(certificate: Certificate, thesis: Thesis) -> list[str]:
    """What is wrong with the evidence, or else with what is said about it."""
    wrong = []
    if certificate.witness is not None:
        wrong += _witness_problems(certificate, certificate.witness, thesis)
    elif certificate.answer == "undecided" and certificate.cases > MOST_SAMPLED:
        wrong.append(f"{certificate.cases:,} pairs are more than are drawn anew")
    if wrong:
        return wrong
    try:
        table = case_table(thesis.comparison, thesis.design)
    except TooManyCases:
        table = None
    if certificate.answer == "same":
        if table is None:
            return ["there are too many cases to look at all of them"]
        wrong += _proof_problems(certificate, thesis, table)
    return wrong or _record_problems(certificate, thesis, table)


def _record_problems(
    certificate: Certificate, thesis: Thesis, table: CaseTable | None
) -> list[str]:
    """Fields that are not what the same question gives now."""
    if table is not None:
        again = certify(thesis, table)
    else:
        again = sample(thesis, certificate.cases if certificate.answer == "undecided" else 1)
    kept = {"witness"} if certificate.answer == "differ" else set[str]()
    if certificate.answer == "differ" and again.answer == "undecided":
        return []  # found at random; the witness itself has been run
    one, other = (found.model_dump(exclude=kept) for found in (certificate, again))
    return [
        f"{name} is {one[name]!r}, but comes out as {other[name]!r}"
        for name in one
        if one[name] != other[name]
    ]


def predicted(
    model: CausalModel, name: str, hypothesis: Hypothesis | None, before: Setting, after: Setting
) -> str | None:
    """What a hypothesis predicts, by an interchange on the causal model."""
    if hypothesis is None:
        return output_text((before if name == NONE else after)[model.output])
    sources = {variable: (after, source) for variable, source in hypothesis.sources.items()}
    return output_text(model.interchange(before, sources, hold=hypothesis.hold)[model.output])


def _witness_problems(certificate: Certificate, witness: Witness, thesis: Thesis) -> list[str]:
    """Run a witness, and see whether it is a pair that can be drawn."""
    task, model, design = thesis.task, thesis.task.causal_model, thesis.design
    # All hypotheses, so that all inputs that matter to any of them are seen to be drawn.
    comparison = comparison_of(task, certificate.templates)
    try:
        sides = [model.complete(side) for side in (witness.original, witness.counterfactual)]
    except CfgenError as error:
        return [f"the witness is no pair of inputs: {p.message}" for p in error.problems]
    for name, domain in comparison.domains.items():
        known = {key_of(value) for value in elements_of(domain)[0]}
        for side in sides:
            values = (side[name],) if domain.arity is None else side[name]
            if any(key_of(value) not in known for value in values):
                return [f"the witness has a value of {name!r} that is never drawn: {side[name]!r}"]
    if not comparison.occurs(*sides):
        return ["no template shows the witness"]
    if design is not None and not can_draw(design, comparison, *sides):
        return [f"design {design.name!r} never makes the witness"]
    before, after = (model.run(side) for side in sides)
    wrong = []
    said = {
        name: predicted(model, name, task.hypotheses.get(name), before, after)
        for name in dict.fromkeys((NONE, ALL, *thesis.pair))
    }
    if said != witness.predictions:
        wrong.append(f"the witness's predictions are {said}, not {witness.predictions}")
    if len({said[name] for name in thesis.pair}) < 2:
        wrong.append("both hypotheses predict the same for the witness")
    return wrong


def can_draw(
    design: Design, comparison: Comparison, original: Mapping[str, Any], other: Mapping[str, Any]
) -> bool:
    """Whether a design can make a pair of inputs; too many to tell counts as no.

    Of inputs that only change the wording, it is seen to that those not edited stay the same.
    """
    edited = {edit.input for edit in design.counterfactual}
    if any(other[name] != value for name, value in original.items() if name not in edited):
        return False
    try:
        table = case_table(comparison, design)
    except TooManyCases:
        return False
    pair = tuple(tuple(side[name] for name in table.names) for side in (original, other))
    return _least(pair, _groups(table)) in set(plain_cases(comparison, design, table))


def _proof_problems(certificate: Certificate, thesis: Thesis, table: CaseTable) -> list[str]:
    """Enumerate all cases anew, and interchange for each."""
    model, comparison, names = thesis.task.causal_model, thesis.comparison, table.names
    rest = {n: next(iter(d)) for n, d in comparison.domains.items() if n not in names}

    def inputs(side: Side) -> dict[str, Any]:
        return {**rest, **dict(zip(names, side, strict=True))}

    def run(side: Side) -> Setting:
        return Setting(model.program.run(inputs(side)))

    def said(first: Setting, second: Setting) -> tuple[str | None, str | None]:
        texts = [predicted(model, n, h, first, second) for n, h in thesis.hypotheses.items()]
        return texts[0], texts[-1]

    known, cases = cache(run), list[Case]()
    for before, after in plain_cases(comparison, thesis.design, table):
        if not comparison.occurs(inputs(before), inputs(after)):
            continue
        outputs = said(known(before), known(after))
        one, other = (dict(zip(names, side, strict=True)) for side in (before, after))
        if outputs[0] != outputs[1]:
            return [f"{certificate.hypotheses} predict {list(outputs)} for {one} and {other}"]
        cases.append((one, other, *outputs))
    if len(cases) != certificate.cases:
        return [f"there are {len(cases):,} cases, not {certificate.cases:,}"]
    if digest_of(cases) != certificate.digest:
        return ["the digest is not that of the cases"]
    shown = [(tuple(one.values()), tuple(other.values())) for one, other, *_ in cases]
    for before, after in _with_other_words(shown, _groups(table)):
        if not comparison.occurs(inputs(before), inputs(after)):
            return [f"words cannot be exchanged: {before} and {after} do not occur"]
        outputs = said(run(before), run(after))
        if outputs[0] != outputs[1]:
            return [f"{certificate.hypotheses} predict {list(outputs)} for {before} and {after}"]
    return []


def _with_other_words(
    cases: Sequence[tuple[Side, Side]], groups: Collection[Group]
) -> Iterator[tuple[Side, Side]]:
    """Cases in which one word is another one of its group, taken in turn."""
    group_of = {word: group for group in groups for word in group}
    turns = {group: itertools.cycle(group) for group in groups}
    places = [
        (case, word)
        for case in cases
        for word in dict.fromkeys(_words(case))
        if isinstance(word, str) and word in group_of
    ]
    most = sum(len(group_of[word]) for _, word in places)
    for number in range(min(MOST_TRIED, most)):
        case, word = places[number % len(places)]
        used, group = {*_words(case)}, group_of[word]
        for other in itertools.islice(turns[group], len(group)):
            if other not in used:
                yield _renamed(case, {word: other})
                break


# Cases enumerated with plain words.

T = TypeVar("T")
Side = tuple[Any, ...]
"""Values of the inputs that matter."""
Group = tuple[str, ...]
"""Interchangeable words, in the order of the lexicon."""


def plain_cases(
    comparison: Comparison, design: Design | None, table: CaseTable
) -> list[tuple[Side, Side]]:
    """All cases of a design, or of all pairs of inputs.

    Args:
        comparison: What is compared.
        design: The design; None for all pairs of inputs.
        table: Says which words are interchangeable and which inputs matter, and nothing else.
    """
    groups, names = _groups(table), table.names
    domains = {name: comparison.domains[name] for name in names}
    firsts = list(_assignments(list(domains.values()), (), groups))
    if design is None:
        return [
            (first, second)
            for first in firsts
            for second in _assignments(list(domains.values()), first, groups)
        ]
    for edit in _of(design.original, names):
        firsts = _unique(
            (side for old in firsts for side in _outcomes(edit, old, (), domains, groups)), groups
        )
    both = [(first, first) for first in firsts]
    for edit in _of(design.counterfactual, names):
        both = _unique(
            (
                (first, side)
                for first, old in both
                for side in _outcomes(edit, old, first, domains, groups)
            ),
            groups,
        )
    return both


def _groups(table: CaseTable) -> list[Group]:
    return [tuple(kind.values) for kind in table.atoms.kinds if kind.interchangeable]


def _of(edits: Iterable[InputEdit], names: Collection[str]) -> list[InputEdit]:
    return [edit for edit in edits if edit.input in names]


def _words(value: Any) -> Iterator[Any]:
    """Scalars in a value, in order of mention."""
    if isinstance(value, tuple):
        for item in value:
            yield from _words(item)
    else:
        yield value


def _open(values: Iterable[Any], mentioned: Any, groups: Collection[Group]) -> list[Any]:
    """Of the words that are not mentioned yet, the first of each group; and all other values."""
    known = {word for word in _words(mentioned) if isinstance(word, str)}
    later: set[str] = set()
    for group in groups:
        later |= set([word for word in group if word not in known][1:])
    return [value for value in values if not (isinstance(value, str) and value in later)]


def _values(
    domain: Domain, mentioned: Any, groups: Collection[Group], avoid: Collection[Any] = ()
) -> Iterator[Any]:
    """Every value of a domain, up to renaming words that are not mentioned yet."""
    if not isinstance(domain, Distinct):
        for value in _open(domain, mentioned, groups):
            if value not in avoid:
                yield value
        return

    def extend(chosen: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if len(chosen) == domain.size:
            yield chosen
            return
        for value in _open(domain.of, (mentioned, chosen), groups):
            if value not in avoid and value not in chosen:
                yield from extend((*chosen, value))

    yield from extend(())


def _assignments(
    domains: list[Domain], mentioned: Any, groups: Collection[Group]
) -> Iterator[Side]:
    if not domains:
        yield ()
        return
    for value in _values(domains[0], mentioned, groups):
        for rest in _assignments(domains[1:], (mentioned, value), groups):
            yield (value, *rest)


class _NothingLeft(Exception):
    """There is no value that could be drawn."""


class _Turns:
    """Makes what is drawn at random come out in every way, one after the other.

    An edit is applied again and again, by the very code that makes the pairs of a dataset. Its
    first draw gives each value in turn; so does its second, for each value of the first; and so on.
    """

    def __init__(self, mentioned: Any, groups: Collection[Group]) -> None:
        self.mentioned = mentioned
        self.groups = groups
        self.turns: list[int] = []
        self.counts: list[int] = []
        self.drawn: list[Any] = []

    def draw(self, domain: Domain, avoid: Collection[Any]) -> Any:
        """The value whose turn it is."""
        values = list(_values(domain, (self.mentioned, *self.drawn), self.groups, avoid))
        if not values:
            raise _NothingLeft
        number = len(self.drawn)
        if number == len(self.turns):
            self.turns.append(0)
            self.counts.append(len(values))
        self.drawn.append(values[self.turns[number]])
        return self.drawn[-1]

    def every(self, apply: Callable[[], Any]) -> Iterator[Any]:
        """Whatever a function that draws can return."""
        while True:
            self.drawn.clear()
            with suppress(_NothingLeft):
                yield apply()
            while self.turns and self.turns[-1] + 1 == self.counts[-1]:
                self.turns.pop()
                self.counts.pop()
            if not self.turns:
                return
            self.turns[-1] += 1


class _DomainInTurns:
    """A domain from which every value is drawn in turn; otherwise as the domain it stands for."""

    def __init__(self, domain: Domain, turns: _Turns) -> None:
        self._domain = domain
        self._turns = turns

    def sample(self, rng: object, avoid: Collection[Any] = ()) -> Any:
        return self._turns.draw(self._domain, avoid)

    @property
    def of(self) -> _DomainInTurns:
        """The domain of the elements."""
        return _DomainInTurns(cast(Distinct, self._domain).of, self._turns)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._domain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)


def _outcomes(
    edit: InputEdit,
    side: Side,
    other: Side,
    domains: Mapping[str, Domain],
    groups: Collection[Group],
) -> Iterator[Side]:
    """Everything that an edit can make of a side."""
    turns = _Turns((other, side), groups)
    stand_ins: Any = {name: _DomainInTurns(domain, turns) for name, domain in domains.items()}
    inputs = dict(zip(domains, side, strict=True))
    place, unused = list(domains).index(edit.input), Random(0)
    for value in turns.every(lambda: edit.apply(inputs, stand_ins, unused)):
        yield (*side[:place], value, *side[place + 1 :])


def _unique(sides: Iterable[T], groups: Collection[Group]) -> list[T]:
    return list(dict.fromkeys(_least(side, groups) for side in sides))


def _least(mentioned: T, groups: Collection[Group]) -> T:
    """The same with its words renamed, in order of mention, to the first of their groups."""
    group_of = {word: group for group in groups for word in group}
    names: dict[str, str] = {}
    used: dict[Group, int] = {}
    for word in _words(mentioned):
        if isinstance(word, str) and word in group_of and word not in names:
            group = group_of[word]
            names[word] = group[used.get(group, 0)]
            used[group] = used.get(group, 0) + 1

    return _renamed(mentioned, names)


def _renamed(mentioned: T, names: Mapping[str, str]) -> T:
    def rename(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(rename(item) for item in value)
        return names.get(value, value) if isinstance(value, str) else value

    renamed: T = rename(mentioned)
    return renamed
