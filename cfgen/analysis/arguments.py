"""What a run is given, checked before and between its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cfgen.counterfactuals import Pair, Site
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.interventions.sweeps import place_of
from cfgen.lm import LM, Layout, PairTokens, check_places


def check_arguments(
    pairs: Sequence[Pair], hypotheses: Mapping[str, Site], batch_size: int, layout: Layout
) -> None:
    """Check what a run is given, before anything is computed.

    Args:
        pairs: The pairs to run.
        hypotheses: Name -> site.
        batch_size: Prompts per forward.
        layout: Where everything is in the LM.

    Raises:
        CfgenError: There are no pairs (``no-pairs``) or hypotheses (``no-hypotheses``), a
            hypothesis that the pairs don't know (``unknown-hypothesis``), a batch size below 1
            (``bad-batch-size``), or a component that there isn't or that the LM doesn't have (see
            :func:`cfgen.lm.layout.check_places`).
    """
    problems = []
    if not pairs:
        hint = "ask for more pairs, or use a design that yields decisive ones"
        problems.append(Problem("no-pairs", "there is no pair to run", hint=hint))
    if not hypotheses:
        hint = "name at least one hypothesis and its site"
        problems.append(Problem("no-hypotheses", "there is no hypothesis to test", hint=hint))
    if batch_size < 1:
        message = f"a batch of {batch_size} prompts is none"
        problems.append(Problem("bad-batch-size", message, hint="use 1 or more"))
    known = {name for pair in pairs for name in pair.predictions}
    for name in hypotheses:
        if pairs and name not in known:
            message = f"the pairs carry no predictions of the hypothesis {name!r}"
            problems.append(Problem("unknown-hypothesis", message, hint=did_you_mean(name, known)))
    if problems:
        raise CfgenError(problems)
    check_places(layout, [place_of(site, 0) for site in hypotheses.values()])


def check_predictions(names: Iterable[str], pairs: Sequence[PairTokens]) -> None:
    """Raise a CfgenError (``no-predictions``) for hypotheses that predict nothing for any pair."""
    hint = "test it with the design that it is meant for"
    silent = [
        name for name in names if all(pair.pair.predictions.get(name) is None for pair in pairs)
    ]
    if silent:
        raise CfgenError(
            Problem("no-predictions", f"{name!r} predicts an answer for no pair kept", hint=hint)
            for name in silent
        )


def check_lengths(lm: LM, encoded: Sequence[PairTokens]) -> None:
    """Raise a CfgenError (``prompt-beyond-context``) for prompts beyond the LM's context."""
    limit = getattr(lm.model.config, "max_position_embeddings", None)
    longest = max(max(len(pair.original), len(pair.counterfactual)) for pair in encoded)
    if limit is not None and longest > limit:
        message = f"a prompt has {longest} tokens, but the LM takes at most {limit}"
        hint = "use a shorter template, or an LM with a longer context"
        raise CfgenError(Problem("prompt-beyond-context", message, hint=hint))


def none_kept_aligned(label: str, lost: Mapping[str, int]) -> Problem:
    """What to say when the filter leaves no pair that can be swapped at a site."""
    reasons = "; ".join(f"{count} pairs: {reason}" for reason, count in lost.items())
    message = f"no pair that the LM answers correctly can be swapped at {label!r}: {reasons}"
    hint = "run more pairs, or use words with the same number of tokens"
    return Problem("no-kept-pair-aligned", message, hint=hint)
