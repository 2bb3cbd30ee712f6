"""Rows: the pairs of a dataset, as tables or as records, chosen from the candidates of its splits.

Candidates are drawn and labelled a chunk at a time, column by column.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import pyarrow as pa

from cfgen.counterfactuals import Design, Pair
from cfgen.datasets.answered import PairFilter
from cfgen.datasets.drawing import column_drawer
from cfgen.datasets.features import row_format, table_maker
from cfgen.datasets.labelling import PairColumns, PairLabeller, pairs_of
from cfgen.datasets.recipe import Candidates, DatasetRecipe, Split
from cfgen.datasets.repetition import (
    CandidateChunk,
    Content,
    DistinctPrompts,
    SeenPrompts,
    check_possible,
    prompt_hashes,
)
from cfgen.datasets.workers import Workers
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.progress import Progress, no_progress

TRIES = 200
"""Candidates looked at before a design is said never to decide."""
LOOKED_AT_MOST = 500
"""So many times as many candidates as pairs are wanted are looked at for decisive ones."""
ENOUGH = 1000
"""Pairs that words are dealt out to splits for where fewer are asked for; a few pairs for a run or
a preview are from the same words as those of a dataset."""

MakeColumns = Callable[[int, int], PairColumns]


def row_tables(
    recipe: DatasetRecipe,
    workers: int = 1,
    answered: PairFilter | None = None,
    seen: SeenPrompts | None = None,
) -> Iterator[tuple[Split, pa.Table]]:
    """Yield all rows of a dataset, split by split, some thousands at a time.

    Args:
        recipe: What to make.
        workers: Processes that make them; the rows are the same for any number.
        answered: An LM that is to answer all pairs rightly, if any.
        seen: Prompts of datasets of other designs that go with this one; added to.

    Yields:
        A split and some of its rows.

    Raises:
        CfgenError: If so many pairs cannot be made.
    """
    by_split = recipe.candidates()
    _check(by_split)
    seen = {} if seen is None else seen
    with Workers(recipe.task, workers, table_chunks) if workers > 1 else nullcontext() as pool:
        for candidates in by_split:
            distinct = DistinctPrompts(candidates, seen)
            if pool:
                chunks = pool.chunks(candidates, distinct)
            else:
                chunks = _in_order(table_chunks(candidates), distinct)
            eligible = _eligible(recipe, candidates, answered)
            for table, rows in _chosen(chunks, distinct, eligible):
                yield candidates.split, table if len(rows) == len(table) else table.take(rows)


def _eligible(
    recipe: DatasetRecipe, candidates: Candidates, answered: PairFilter | None
) -> Callable[[pa.Table], list[int]]:
    """Which rows of tables of candidates, that follow each other, come into question."""
    right = answered.eligible(candidates, candidate_pairs) if answered else None
    decisive = _decisive_rows(candidates)

    def choose(table: pa.Table) -> list[int]:
        rows = list(range(len(table)))
        if recipe.decisive_only:
            rows = decisive(table["decisive"].to_pylist())
        return right(table, rows) if right and rows else rows

    return choose


def _decisive_rows(candidates: Candidates) -> Callable[[Sequence[bool]], list[int]]:
    """Prepare the choice of decisive candidates, from what is said of them, portion by portion.

    Returns:
        A function from whether each is decisive to the numbers of those that are. It raises
        :class:`CfgenError` if far too few are (``too-few-decisive``).
    """
    split, wanted = candidates.split.name, candidates.split.rows
    looked = kept = 0

    def choose(decisive: Sequence[bool]) -> list[int]:
        nonlocal looked, kept
        if looked >= LOOKED_AT_MOST * wanted:
            raise CfgenError(_too_few_decisive(candidates.design, split, wanted, looked, kept))
        rows = [row for row, decides in enumerate(decisive) if decides]
        looked, kept = looked + len(decisive), kept + len(rows)
        return rows

    return choose


def _too_few_decisive(design: Design, split: str, wanted: int, looked: int, kept: int) -> Problem:
    return Problem(
        "too-few-decisive",
        f"split {split!r} is to have {wanted:,} decisive pairs, but of {looked:,} of design "
        f"{design.name!r} only {kept:,} are",
        where=design.where,
        hint="ask for fewer, or let the design move what its contrast differs in: cfgen design "
        "looks for one",
    )


def draw_pairs(
    recipe: DatasetRecipe, *, split: str = "test", progress: Progress = no_progress
) -> list[Pair]:
    """Draw ``recipe.n`` pairs for a run on an LM: only decisive ones, where that has a meaning.

    Args:
        recipe: What to make; its fractions only say which words belong to the split.
        split: Whose words to use; those of ``test`` are in no training set made by this task.
        progress: Called with ``draw pairs``.

    Returns:
        The pairs; their ``index`` tells how many candidates were passed over.

    Raises:
        CfgenError: If so many pairs cannot be made.
    """
    names = [name for name, share in recipe.fractions if share > 0]
    if split not in names:
        hint = did_you_mean(str(split), names)
        raise CfgenError(Problem("bad-splits", f"there is no split {split!r}", hint=hint))
    by_split = {each.split.name: each for each in recipe.candidates(max(recipe.n, ENOUGH))}
    if split not in by_split:
        message = f"the share of split {split!r} is so small that it has no rows"
        raise CfgenError(Problem("bad-splits", message, hint="give it a larger share"))
    candidates = by_split[split].for_rows(recipe.n)
    _check([candidates])
    portions = _distinct_pairs(candidates, {}, decisive=bool(recipe.design.contrast))
    return _gathered(portions, recipe.n, progress)


def first_pairs(recipe: DatasetRecipe, progress: Progress = no_progress) -> list[Pair]:
    """The first ``recipe.n`` pairs of the first split, decisive or not.

    Args:
        recipe: What to make.
        progress: Called with ``draw pairs``.

    Raises:
        CfgenError: If so many pairs cannot be made.
    """
    candidates = recipe.candidates(max(recipe.n, ENOUGH))[0].for_rows(recipe.n)
    portions = _distinct_pairs(candidates, {})
    return _gathered(portions, recipe.n, progress)


def _gathered(portions: Iterable[list[Pair]], n: int, progress: Progress) -> list[Pair]:
    """The pairs of all portions; how many there are of the ``n`` wanted is said as they come."""
    pairs: list[Pair] = []
    progress("draw pairs", 0, n)
    for portion in portions:
        pairs += portion
        progress("draw pairs", len(pairs), n)
    return pairs


def candidate_pairs(candidates: Candidates, n: int, start: int = 0) -> list[Pair]:
    """So many candidates from a number on, repetitions included.

    Raises:
        CfgenError: If one of them cannot be made.
    """
    chunk = column_chunks(candidates)(start, start + n)
    if chunk.error:
        raise chunk.error
    return pairs_of(candidates.task, chunk.content)


def _check(by_split: Sequence[Candidates]) -> None:
    """Find out before the long work what can be found out then.

    Raises:
        CfgenError: If the design never decides, or there cannot be so many pairs.
    """
    _check_decisive(by_split[0])
    for candidates in by_split:
        check_possible(candidates)


def _check_decisive(candidates: Candidates) -> None:
    """Check that a design ever makes a decisive pair, if it is meant to."""
    design = candidates.design
    if not design.contrast:
        return
    chunk = column_chunks(candidates)(0, TRIES)
    if any(chunk.content.decisive):
        return
    raise chunk.error or CfgenError(
        Problem(
            "never-decisive",
            f"design {design.name!r} made no decisive pair in {TRIES} tries: its contrast "
            f"{', '.join(design.contrast)} and 'none' never all predict different outputs",
            where=design.where,
            hint="add edits that move the values these hypotheses differ in, or change contrast=",
        )
    )


def _distinct_pairs(
    candidates: Candidates, seen: SeenPrompts, *, decisive: bool = False
) -> Iterator[list[Pair]]:
    """The first pairs that repeat no prompt, in portions; perhaps of decisive ones alone."""
    decisive_rows = _decisive_rows(candidates)

    def eligible(columns: PairColumns) -> list[int]:
        return decisive_rows(columns.decisive)

    distinct = DistinctPrompts(candidates, seen)
    chunks = _in_order(column_chunks(candidates), distinct)
    for columns, rows in _chosen(chunks, distinct, eligible if decisive else None):
        yield pairs_of(candidates.task, columns, rows)


def _chosen(
    chunks: Iterable[CandidateChunk[Content]],
    distinct: DistinctPrompts,
    eligible: Callable[[Content], list[int]] | None = None,
) -> Iterator[tuple[Content, list[int]]]:
    """Chunks, each with its rows that repeat no prompt; what fails is raised if it is needed."""
    for chunk in chunks:
        rows = distinct.choose(chunk.hashes, eligible(chunk.content) if eligible else None)
        if rows:
            yield chunk.content, rows
        if chunk.error and distinct.missing:
            raise chunk.error


def _in_order(
    make: Callable[[int, int], CandidateChunk[Content]], distinct: DistinctPrompts
) -> Iterator[CandidateChunk[Content]]:
    """Chunks one after the other, as long as pairs are missing."""
    start = 0
    while distinct.missing:
        stop = start + distinct.next_size
        yield make(start, stop)
        start = stop


def table_chunks(candidates: Candidates) -> Callable[[int, int], CandidateChunk[pa.Table]]:
    """Prepare the making of candidates as tables."""
    task = candidates.task
    make, make_table = column_chunks(candidates), table_maker(row_format(task), task.name)

    def make_chunk(start: int, stop: int) -> CandidateChunk[pa.Table]:
        chunk = make(start, stop)
        return CandidateChunk(make_table(chunk.content), chunk.hashes, chunk.error)

    return make_chunk


def column_chunks(candidates: Candidates) -> Callable[[int, int], CandidateChunk[PairColumns]]:
    """Prepare the making of candidates.

    Returns:
        A function from the number of the first candidate, and of the one after the last, to these;
        or to those before the first that fails, with its error. It raises :class:`CfgenError` if
        that is the very first one.
    """
    draw = column_drawer(candidates)
    label = PairLabeller(candidates.task, candidates.design)

    def columns(start: int, stop: int) -> PairColumns:
        with _no_search_for_cycles():
            return label.columns(*draw(start, stop), range(start, stop))

    def make(start: int, stop: int) -> CandidateChunk[PairColumns]:
        try:
            made = columns(start, stop)
            return CandidateChunk(made, prompt_hashes(made))
        except CfgenError as failure:
            error = failure
        # Outside of the handler, so that an error does not show the ones before it as its context.
        stop, error = _first_failure(columns, start, stop, error)
        if stop == start:
            raise error
        made = columns(start, stop)
        return CandidateChunk(made, prompt_hashes(made), error)

    return make


def _first_failure(
    make: MakeColumns, start: int, stop: int, error: CfgenError
) -> tuple[int, CfgenError]:
    """Which candidate is the first that fails, and how: the same work on fewer and fewer of them.

    What fails first in a chunk need not be what fails in the first candidate that does, as columns
    are made one after the other.
    """
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            make(start, middle)
            start = middle
        except CfgenError as failure:
            stop, error = middle, failure
    try:
        make(start, stop)
    except CfgenError as failure:
        error = failure
    return start, error


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Switch Python's search for reference cycles off.

    Columns have none, but are many objects, which the search would visit again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
