"""What an interchange takes its values from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfgen.errors import CfgenError, Problem

Source = Mapping[str, Any] | tuple[Mapping[str, Any], str]
"""A counterfactual (inputs or a setting), or a counterfactual and the variable to take from it."""


def read_sources(sources: Mapping[str, Source]) -> dict[str, tuple[Mapping[str, Any], str]]:
    """Say for each variable which counterfactual, and which variable of it, is meant.

    Args:
        sources: Variable -> where its value comes from.

    Raises:
        CfgenError: If there is something else in place of a counterfactual.
    """
    if not isinstance(sources, Mapping):
        message = f"a mapping from variable to counterfactual is needed, not {sources!r}"
        hint = 'write {"variable": counterfactual}'
        raise CfgenError(Problem("bad-source", message, hint=hint))
    pairs = {
        name: source if isinstance(source, tuple) else (source, name)
        for name, source in sources.items()
    }
    problems = [
        Problem(
            "bad-source",
            f"variable {name!r} was given {source!r} to take its value from",
            hint="give a counterfactual (inputs or a setting), or the pair (counterfactual, "
            "variable); to set a value by hand, use intervene()",
        )
        for name, source in sources.items()
        if len(pairs[name]) != 2 or not isinstance(pairs[name][0], Mapping)
    ]
    if problems:
        raise CfgenError(problems)
    return pairs
