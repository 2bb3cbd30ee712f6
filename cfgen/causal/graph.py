"""The graph of a causal model, and its drawings as Mermaid and Graphviz text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Graph:
    """Who depends on whom.

    Attributes:
        inputs: Names of the inputs, in order of declaration.
        order: Every name, each after its parents (a topological order).
        parents: Name -> names it is computed from.
        children: Name -> names computed from it.
        output: Name of the output variable.
    """

    inputs: tuple[str, ...]
    order: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]
    output: str

    def ancestors(self, name: str) -> frozenset[str]:
        """Everything that ``name`` depends on, not itself."""
        return _reach(name, self.parents)

    def descendants(self, name: str) -> frozenset[str]:
        """Everything that depends on ``name``, not itself."""
        return _reach(name, self.children)

    def mermaid(self) -> str:
        """The graph as Mermaid flowchart text: inputs rounded, output double."""
        lines = ["flowchart TD"]
        for name in self.order:
            if name in self.inputs:
                lines.append(f"    {name}([{name}])")
            elif name == self.output:
                lines.append(f"    {name}[[{name}]]")
            else:
                lines.append(f"    {name}[{name}]")
        lines += [f"    {parent} --> {name}" for parent, name in self._edges()]
        return "\n".join(lines) + "\n"

    def dot(self) -> str:
        """The graph as Graphviz DOT text."""
        lines = ["digraph causal_model {", "  node [shape=box];"]
        lines += [f'  "{name}" [shape=ellipse];' for name in self.inputs]
        lines.append(f'  "{self.output}" [peripheries=2];')
        lines += [f'  "{parent}" -> "{name}";' for parent, name in self._edges()]
        return "\n".join([*lines, "}"]) + "\n"

    def _edges(self) -> list[tuple[str, str]]:
        return [(parent, name) for name in self.order for parent in self.parents[name]]


def _reach(start: str, step: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    seen: set[str] = set()
    todo = list(step[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += step[name]
    return frozenset(seen)
