"""Where the answers of one prompt are told apart, token by token.

An answer is a text, or several texts any of which is right; a text may be right for several
answers. Behind a prompt every text is a path of tokens. What all paths share tells nothing, so it
is *fed*: appended to the prompt. Below it the paths form a tree, and each is followed only as far
as it takes to know for which answers it is right. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeAlias

from cfgen.errors import CfgenError, Problem

TokenPath: TypeAlias = tuple[int, ...]
"""Token ids, one after the other."""

NOT_AN_ANSWER: frozenset[str] = frozenset()
"""The answers of which an LM has said none."""


@dataclass(frozen=True, slots=True)
class AnswerTree:
    """How the answers of one prompt are read.

    A path below the prompt and the fed tokens belongs to one of three kinds. A *leaf* is the
    shortest stretch of a text from which on nothing is open: all texts that begin with it are right
    for the same answers. A *node* is where something is still open; what the LM says there has to
    be known. At a node a text may *end* while others go on (in, inside): it counts as said if
    the next token is not one with which they go on.

    Attributes:
        fed: Tokens that all texts begin with, to be appended to the prompt. At least one token of
            every text is left to be said.
        answers: The answers, in the order in which they were given.
        leaves: Leaf -> the answers that it is right for.
        ends: Node at which a text ends -> the answers that this text is right for.
        children: Node -> the tokens that lead on from it, in ascending order. The root, ``()``, is
            one of them; a node comes before those below it.
    """

    fed: TokenPath
    answers: tuple[str, ...]
    leaves: Mapping[TokenPath, frozenset[str]]
    ends: Mapping[TokenPath, frozenset[str]]
    children: Mapping[TokenPath, tuple[int, ...]]

    @property
    def root(self) -> TokenPath:
        """The node right after the fed tokens."""
        return ()

    @property
    def depth(self) -> int:
        """How many tokens the LM has to say at most until its answer is known."""
        return 1 + max(map(len, self.children))

    def tracked(self, answer: str) -> tuple[TokenPath, ...]:
        """The paths of an answer, each a leaf or a node at which a text ends.

        Args:
            answer: One of :attr:`answers`.
        """
        found = (*self.leaves.items(), *self.ends.items())
        return tuple(sorted(path for path, right in found if answer in right))

    def single_tokens(self, answer: str) -> tuple[int, ...]:
        """Tokens each of which tells an answer by itself; none if any text of it takes several."""
        paths = self.tracked(answer)
        alone = all(len(path) == 1 and path not in self.ends for path in paths)
        return tuple(path[0] for path in paths) if alone else ()

    def label(self, said: Sequence[int]) -> frozenset[str] | None:
        """Which answers the LM has given by what it said so far.

        Args:
            said: Tokens after the fed ones, such as the most likely ones, each after those before.

        Returns:
            The answers for which the text is right; none of them (:data:`NOT_AN_ANSWER`) if it is
            not on the way to any text; None if the next token is needed.
        """
        node: TokenPath = ()
        for token in said:
            if token not in self.children[node]:
                return self.ends.get(node, NOT_AN_ANSWER)
            node = (*node, token)
            if node in self.leaves:
                return self.leaves[node]
        return None

    def log_probability(
        self, paths: Iterable[TokenPath], at: Mapping[TokenPath, Mapping[int, float]]
    ) -> float:
        """Log-probability of an answer, given the fed tokens.

        An answer is said if one of its texts is, and no two paths of the tree can both be said, so
        the probability of an answer is the sum of those of its paths. A path's is the product of
        its tokens' probabilities, each after those before: for a leaf ``t1 t2 ...`` it is
        ``p(t1) p(t2 | t1) ...``. A text that ends at a node has that of reaching the node, times
        one minus the sum of the probabilities of the tokens that lead on from there. The
        probabilities of answers need not sum to one: the LM may say something else, and a text may
        be right for several.

        Args:
            paths: The answer's paths, as :meth:`tracked` gives them.
            at: Node -> token -> log-probability of the token there, normalised over the whole
                vocabulary; at least what :meth:`needs` names.

        Returns:
            The natural logarithm; minus infinity for probability 0.
        """
        values = []
        for path in paths:
            value = _along(path, at)
            if path in self.ends:
                on = math.fsum(math.exp(at[path][token]) for token in self.children[path])
                value += math.log1p(-on) if on < 1 else -math.inf
            values.append(value)
        return _log_sum(values)

    def needs(self, paths: Iterable[TokenPath]) -> dict[TokenPath, tuple[int, ...]]:
        """What has to be known for the probability of an answer.

        Args:
            paths: Its paths, as :meth:`tracked` gives them.

        Returns:
            Node -> tokens whose log-probabilities are needed there.
        """
        found: dict[TokenPath, dict[int, None]] = {}
        for path in paths:
            for step, token in enumerate(path):
                found.setdefault(path[:step], {})[token] = None
            if path in self.ends:
                found.setdefault(path, {}).update(dict.fromkeys(self.children[path]))
        return {node: tuple(tokens) for node, tokens in found.items()}


def _along(path: TokenPath, at: Mapping[TokenPath, Mapping[int, float]]) -> float:
    return math.fsum(at[path[:step]][token] for step, token in enumerate(path))


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def build_tree(paths: Mapping[str, Iterable[TokenPath]]) -> AnswerTree:
    """Build the tree of some answers behind one prompt.

    Args:
        paths: Answer -> the token ids of each of its texts after the prompt, at least one text of
            at least one token.

    Returns:
        The tree; of no answers, one by which nothing is an answer.

    Raises:
        CfgenError: Two answers have exactly the same paths (``answers-collide``).
    """
    owners: dict[TokenPath, set[str]] = {}
    for answer, texts in paths.items():
        for path in texts:
            owners.setdefault(path, set()).add(answer)
    _check_apart(owners, paths)
    # the last token of the shortest text is left to be said
    shared = takewhile(lambda column: len({*column}) == 1, zip(*owners, strict=False))
    shortest = min(map(len, owners), default=1)
    fed = tuple(column[0] for column in shared)[: shortest - 1]
    right = {path[len(fed) :]: frozenset(names) for path, names in owners.items()}
    open_at: dict[TokenPath, set[frozenset[str]]] = {}
    for path, names in right.items():
        for length in range(len(path) + 1):
            open_at.setdefault(path[:length], set()).add(names)
    leaves: dict[TokenPath, frozenset[str]] = {}
    ends: dict[TokenPath, frozenset[str]] = {}
    children: dict[TokenPath, set[int]] = {(): set()}
    for path, names in sorted(right.items()):
        starts = (path[:length] for length in range(1, len(path) + 1))
        leaf = next((start for start in starts if len(open_at[start]) == 1), None)
        read = leaf or path
        (leaves if leaf else ends)[read] = names
        for step, token in enumerate(read):
            children.setdefault(read[:step], set()).add(token)
    ordered = sorted(children, key=lambda node: (len(node), node))
    return AnswerTree(
        fed, tuple(paths), leaves, ends, {node: tuple(sorted(children[node])) for node in ordered}
    )


def _check_apart(owners: Mapping[TokenPath, set[str]], answers: Iterable[str]) -> None:
    """Raise if nothing tells two answers apart, whatever the LM says."""
    same: dict[frozenset[TokenPath], list[str]] = {}
    for answer in answers:
        own = frozenset(path for path, names in owners.items() if answer in names)
        same.setdefault(own, []).append(answer)
    problems = [
        Problem(
            "answers-collide",
            f"the answers {', '.join(map(repr, names))} are the same tokens behind a prompt, so "
            "nothing that the LM says could tell them apart",
            hint="make them one answer in the causal model, let `accept` of the task give them "
            "different texts, or use an LM whose tokenizer tells them apart",
        )
        for names in same.values()
        if len(names) > 1
    ]
    if problems:
        raise CfgenError(problems)
