from __future__ import annotations

from cfgen.causal import CausalModel, integers
from cfgen.report import figure_bytes, graph_figure


def test_every_variable_has_a_box_behind_its_parents_and_an_arrow_from_each() -> None:
    model = CausalModel("sums", output="total")
    model.input("a", integers(0, 9))
    model.input("b", integers(0, 9))

    @model.variable
    def double(a: int) -> int:
        return 2 * a

    @model.variable
    def total(double: int, b: int) -> int:
        return double + b

    figure = graph_figure(model)
    (axes,) = figure.axes
    boxes = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    assert set(boxes) == {"a", "b", "double", "total"}
    assert boxes["a"][0] == boxes["b"][0] < boxes["double"][0] < boxes["total"][0]
    assert boxes["a"][1] > boxes["b"][1]
    arrows = [text for text in axes.texts if not text.get_text()]
    assert len(arrows) == 3
    assert figure_bytes(figure, "svg").startswith(b"<?xml")
