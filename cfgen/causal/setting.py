"""Settings: full assignments of values to the variables of a model, and what is taken from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cfgen.errors import CfgenError, Problem

Source = Mapping[str, Any] | tuple[Mapping[str, Any], str]
"""A counterfactual (inputs or a setting), or a counterfactual and the variable to take from it."""


class Setting(Mapping[str, Any]):
    """An immutable full assignment of values, inputs first, then variables in causal order.

    Two settings are equal if they assign the same values, however these came about.

    Attributes:
        intervened: Names of the variables whose value was set rather than computed.
    """

    __slots__ = ("_values", "intervened")
    intervened: frozenset[str]

    def __init__(self, values: Mapping[str, Any], intervened: frozenset[str] = frozenset()) -> None:
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "intervened", intervened)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Setting cannot be changed; call intervene() for a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Setting cannot be changed; call intervene() for a new one")

    def __getitem__(self, name: str) -> Any:
        return self._values[name]  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self._values)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        return (Setting, (dict(self), self.intervened))

    def __repr__(self) -> str:
        mark = {name: "*" for name in self.intervened}
        inside = ", ".join(f"{name}{mark.get(name, '')}={value!r}" for name, value in self.items())
        return f"Setting({inside})"


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
