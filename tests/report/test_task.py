from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen import choice, distinct, faker, integers
from cfgen.report import domain_text, task_record, task_view
from cfgen.tasks import load_task

if TYPE_CHECKING:
    from tests.report.conftest import Draw


def test_domains_in_words() -> None:
    assert domain_text(integers(0, 2)) == "one of 0, 1, 2"
    assert domain_text(choice(["only"])) == "only"
    names = faker(20)
    (pool, words), *_ = names.pools.items()
    said = domain_text(names)
    assert said.startswith("one of the 20 words of ")
    assert pool in said
    assert words[0] in said
    assert domain_text(distinct(names, 3)) == f"3 different values, each {said}"


def test_crossed_and_held_variables_are_shown(draw: Draw) -> None:
    shown = draw(task_view(load_task("belief_tracking")), width=200)
    held = "holds         address_1, address_2, binding_payload_1"
    assert held in shown
    assert "character_oi_1 from character_oi_2" in shown
    assert "frozen        drink_1.all, drink_2.all" in shown
    assert "all layers up to L at once" in shown


def test_inputs_say_what_may_be_left_out() -> None:
    inputs = {entry["name"]: entry for entry in task_record(load_task("belief_tracking"))["inputs"]}
    assert inputs["visibility"]["required"] is False
    assert inputs["visibility"]["default"] == "none"
    assert inputs["drinks"]["required"] is True
    assert inputs["drinks"]["slots"] == ["drink_1", "drink_2"]
