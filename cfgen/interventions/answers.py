"""What the LM answers after runs: answers of several tokens, and of several texts.

At the root of a tree of answers the LM is asked at the end of the run's prompt. Where that does not
tell, the same edits are made in the same prompt with more tokens behind it, which are not edited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cfgen.interventions.engine import Engine
from cfgen.interventions.language import Run
from cfgen.interventions.outcomes import Outcomes, Work
from cfgen.interventions.question import Question
from cfgen.lm import AnswerTree, TokenPath


@dataclass(frozen=True, slots=True)
class Reply:
    """What the LM answers after a run.

    Attributes:
        said: The likeliest tokens after what was fed, each after those before, as far as it takes
            to know which answer that is; none if it was not asked.
        right: The answers that what was said is right for; none if it is no answer.
        log_probabilities: Of each wanted answer the natural logarithm of its probability, given
            what was fed. Where no normaliser was asked for, they may be off, all by the same.
        ranks: Of each wanted answer, how many tokens are likelier than the likeliest with which one
            of its texts goes on after what was fed; empty if it was not asked.
        kl: Divergence from the clean run's distribution of the token after what was fed, in nats;
            None if it was not asked.
        changed: Whether anything that was written differs from what was there.
    """

    said: TokenPath
    right: frozenset[str]
    log_probabilities: Mapping[str, float]
    ranks: Mapping[str, int]
    kl: float | None
    changed: bool


def read_answers(
    engine: Engine,
    runs: Sequence[Run],
    trees: Sequence[AnswerTree],
    wanted: Sequence[Collection[str]],
    question: Question,
    *,
    verified: int = 0,
) -> tuple[list[Reply], Work]:
    """Execute runs, and read what is answered after each.

    Args:
        engine: How runs are executed.
        runs: The runs; each prompt ends with what its tree says is fed.
        trees: For each, how its answers are told apart.
        wanted: For each, the answers whose log-probabilities, and ranks, are wanted.
        question: What else is to be known. Without a normaliser, only what answers need is
            projected, if that suffices to compare them: if one token tells each.
        verified: How many runs to execute again on the reference engine.

    Returns:
        What is answered after each run, and how all that was executed.

    Raises:
        CfgenError: As :meth:`Engine.outcomes`.
    """
    known: dict[tuple[int, str], tuple[TokenPath, ...]] = {}
    inquiries = []
    for run, tree, answers in zip(runs, trees, wanted, strict=True):
        for answer in answers:  # most runs share a tree
            if (id(tree), answer) not in known:
                known[id(tree), answer] = tree.tracked(answer)
        inquiries.append(_Inquiry(run, tree, {one: known[id(tree), one] for one in answers}))
    normaliser = any(one.paths for one in inquiries) and (
        question.normaliser or any(not one.told_by_one_token for one in inquiries)
    )
    asked = replace(question, normaliser=normaliser, vocabulary=False)
    pending = [(one, one.tree.root) for one in inquiries]
    work = Work()
    while pending:
        found = engine.outcomes(
            [one.run.followed_by(node) if node else one.run for one, node in pending],
            tracked=[one.needs.get(node, ()) for one, node in pending],
            question=asked,
            verified=verified,
        )
        _take(pending, found)
        work += found.work
        pending = [(one, node) for one in inquiries for node in one.open_nodes(asked.said)]
        asked = replace(asked, ranks=False, kl=False)  # these are of the root
        verified = 0
    return [one.reply() for one in inquiries], work


@dataclass(slots=True)
class _Inquiry:
    """A run whose answer is being read.

    Attributes:
        run: The run.
        tree: How its answers are told apart.
        paths: Wanted answer -> its paths in the tree.
        needs: Node -> tokens whose logits are needed there.
        at: Node that was asked at -> token -> its log-probability.
        next: Node that was asked at -> the likeliest token.
        ranks: Token -> how many are likelier at the root.
        kl: Divergence at the root.
        changed: Whether any edit changed anything.
    """

    run: Run
    tree: AnswerTree
    paths: Mapping[str, tuple[TokenPath, ...]]
    needs: Mapping[TokenPath, tuple[int, ...]] = field(init=False)
    at: dict[TokenPath, dict[int, float]] = field(default_factory=dict)
    next: dict[TokenPath, int] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    kl: float | None = None
    changed: bool = False

    def __post_init__(self) -> None:
        self.needs = self.tree.needs(path for paths in self.paths.values() for path in paths)

    @property
    def told_by_one_token(self) -> bool:
        """Whether logits at the root suffice to compare the wanted answers."""
        every = [path for paths in self.paths.values() for path in paths]
        return all(len(path) == 1 and path not in self.tree.ends for path in every)

    @property
    def said(self) -> TokenPath:
        """What the LM said so far."""
        path: TokenPath = ()
        while path in self.next and self.tree.label(path) is None:
            path = (*path, self.next[path])
        return path

    def open_nodes(self, said: bool) -> Iterator[TokenPath]:
        """Where the LM has to be asked yet, for wanted answers or for what it says."""
        nodes = dict.fromkeys(self.needs)
        if said and self.tree.label(self.said) is None:
            nodes[self.said] = None
        return (node for node in nodes if node not in self.at)

    def reply(self) -> Reply:
        """What is known in the end."""
        said = self.said
        return Reply(
            said=said,
            right=(self.tree.label(said) or frozenset()) if said else frozenset(),
            log_probabilities={
                answer: self.tree.log_probability(paths, self.at)
                for answer, paths in self.paths.items()
            },
            ranks={
                answer: min(self.ranks[path[0]] for path in paths)
                for answer, paths in self.paths.items()
                if self.ranks
            },
            kl=self.kl,
            changed=self.changed,
        )


def _take(pending: Sequence[tuple[_Inquiry, TokenPath]], found: Outcomes) -> None:
    """Note what came out at some nodes."""
    values = found.logits if found.normaliser is None else found.log_probabilities
    said = None if found.said is None else found.said.tolist()
    ranks = None if found.ranks is None else found.ranks.tolist()
    kl = None if found.kl is None else found.kl.tolist()
    rows = values.tolist()
    for row, (inquiry, node) in enumerate(pending):
        tokens = inquiry.needs.get(node, ())
        inquiry.at[node] = dict(zip(tokens, rows[row], strict=False))  # some runs track fewer
        if said is not None:
            inquiry.next[node] = said[row]
        if node == inquiry.tree.root:
            inquiry.changed = bool(found.changed[row])
            if ranks is not None:
                inquiry.ranks = dict(zip(tokens, ranks[row], strict=False))
            inquiry.kl = None if kl is None else kl[row]
