"""The graph of a causal model, and its drawings as Mermaid and Graphviz text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MERMAID_WORDS = frozenset(
    ("call", "class", "classDef", "click", "default", "direction", "end", "flowchart", "graph")
).union(("href", "linkStyle", "style", "subgraph"))


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
        # Some words, such as "end", mean something in Mermaid and cannot be the id of a node.
        ids = {name: f"{name}_" if name in _MERMAID_WORDS else name for name in self.order}
        lines = ["flowchart TD"]
        for name in self.order:
            if name == self.output:
                lines.append(f"    {ids[name]}[[{name}]]")
            elif name in self.inputs:
                lines.append(f"    {ids[name]}([{name}])")
            else:
                lines.append(f"    {ids[name]}[{name}]")
        lines += [f"    {ids[parent]} --> {ids[name]}" for parent, name in self._edges()]
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


def causal_order(
    parents: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[str, ...], list[list[str]]]:
    """Put names in causal order.

    Args:
        parents: Name -> names it is computed from.

    Returns:
        The names with parents before children, ties by the order given; and every circle found
        on the way, as names each of which is a parent of the next, the last being the first.
    """
    order: dict[str, None] = {}
    cycles: list[list[str]] = []
    for start in parents:
        path: dict[str, Iterator[str]] = {}  # names on the way down -> parents still to visit
        if start not in order:
            path[start] = iter(parents[start])
        while path:
            name, rest = next(reversed(path.items()))
            parent = next(rest, None)
            if parent is None:
                del path[name]
                order[name] = None
            elif parent in path:
                above = list(path)
                cycles.append([*above[above.index(parent) :], parent][::-1])
            elif parent not in order:
                path[parent] = iter(parents[parent])
    return tuple(order), cycles


def _reach(start: str, step: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    seen: set[str] = set()
    todo = list(step[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += step[name]
    return frozenset(seen)
