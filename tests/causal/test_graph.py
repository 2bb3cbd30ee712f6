"""The graph of a causal model, and its drawings."""

from __future__ import annotations

import pytest

from cfgen import CausalModel, integers
from cfgen.causal import Graph, causal_order


def diamond() -> CausalModel:
    model = CausalModel("diamond", output="total")
    model.input("x", integers(0, 3))
    model.input("unused", integers(0, 1))

    @model.variable
    def total(left: int, right: int) -> int:
        return left + right

    @model.variable
    def left(x: int) -> int:
        return x + 1

    @model.variable
    def right(x: int) -> int:
        return x * 2

    return model


def test_parents_children_and_order() -> None:
    graph = diamond().graph()
    assert graph.inputs == ("x", "unused")
    assert graph.order == ("x", "unused", "left", "right", "total")
    assert graph.parents == {
        "x": (),
        "unused": (),
        "total": ("left", "right"),
        "left": ("x",),
        "right": ("x",),
    }
    assert graph.children == {
        "x": ("left", "right"),
        "unused": (),
        "left": ("total",),
        "right": ("total",),
        "total": (),
    }
    assert graph.ancestors("total") == {"x", "left", "right"}
    assert graph.descendants("x") == {"left", "right", "total"}
    assert graph.descendants("total") == graph.ancestors("x") == frozenset()


def test_mermaid() -> None:
    assert diamond().graph().mermaid() == (
        "flowchart TD\n"
        "    x([x])\n"
        "    unused([unused])\n"
        "    left[left]\n"
        "    right[right]\n"
        "    total[[total]]\n"
        "    x --> left\n"
        "    x --> right\n"
        "    left --> total\n"
        "    right --> total\n"
    )


def test_dot() -> None:
    assert diamond().graph().dot() == (
        "digraph causal_model {\n"
        "  node [shape=box];\n"
        '  "x" [shape=ellipse];\n'
        '  "unused" [shape=ellipse];\n'
        '  "total" [peripheries=2];\n'
        '  "x" -> "left";\n'
        '  "x" -> "right";\n'
        '  "left" -> "total";\n'
        '  "right" -> "total";\n'
        "}\n"
    )


def test_mermaid_ids_are_never_words_of_mermaid() -> None:
    graph = Graph(("end",), ("end", "y"), {"end": (), "y": ("end",)}, {"end": ("y",), "y": ()}, "y")
    assert graph.mermaid() == "flowchart TD\n    end_([end])\n    y[[y]]\n    end_ --> y\n"


@pytest.mark.parametrize(
    ("parents", "order", "cycles"),
    [
        ({"b": ("a",), "a": ()}, ("a", "b"), []),
        ({"a": ("a",)}, ("a",), [["a", "a"]]),
        ({"a": ("b",), "b": ("c",), "c": ("a",)}, ("c", "b", "a"), [["a", "c", "b", "a"]]),
        (
            {"a": ("b",), "b": ("a",), "c": ("d",), "d": ("c",)},
            ("b", "a", "d", "c"),
            [["a", "b", "a"], ["c", "d", "c"]],
        ),
    ],
)
def test_causal_order_and_cycles(
    parents: dict[str, tuple[str, ...]], order: tuple[str, ...], cycles: list[list[str]]
) -> None:
    assert causal_order(parents) == (order, cycles)


def test_a_long_chain_is_no_problem() -> None:
    parents = {f"v{k}": (f"v{k + 1}",) if k < 5000 else () for k in range(5001)}
    order, cycles = causal_order(parents)
    assert order[0] == "v5000"
    assert order[-1] == "v0"
    assert cycles == []
