from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cfgen.tasks import load_task

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TASKS = ("belief_tracking", "ioi")


@pytest.mark.parametrize("name", TASKS)
def test_json_has_everything_of_the_task(cli: Cli, name: str) -> None:
    task = load_task(name)
    shown = cli("show", name, "--json").json
    graph = task.causal_model.graph()
    names = [entry["name"] for entry in (*shown["inputs"], *shown["variables"])]
    assert names == list(graph.order)
    for entry in shown["variables"]:
        assert tuple(entry["parents"]) == graph.parents[entry["name"]]
    assert shown["output"] == graph.output
    assert [entry["name"] for entry in shown["designs"]] == list(task.designs)
    assert [entry["id"] for entry in shown["templates"]] == list(task.templates)
    for entry in shown["hypotheses"]:
        hypothesis = task.hypotheses[entry["name"]]
        assert entry["interchange"] == hypothesis.sources
        assert tuple(entry["hold"]) == hypothesis.hold
        assert tuple(entry["site"]["positions"]) == hypothesis.site.positions
    assert shown["graph"] == {"mermaid": graph.mermaid(), "dot": graph.dot()}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("width", ["80", "120"])
def test_text_names_everything_and_keeps_to_the_width(
    cli: Cli, name: str, width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    task = load_task(name)
    shown = cli("show", name).out
    for word in (*task.causal_model.graph().order, *task.designs, *task.hypotheses):
        assert word in shown
    assert f"{task.default_design} *" in shown
    for template in task.templates:
        assert template in shown
    assert max(map(len, shown.splitlines())) <= int(width)
    assert "\x1b" not in shown


def test_graph_prints_only_the_drawing(cli: Cli) -> None:
    graph = load_task("ioi").causal_model.graph()
    assert cli("show", "ioi", "--graph", "mermaid").out == graph.mermaid()
    assert cli("show", "ioi", "--graph", "dot").out == graph.dot()


def test_wrong_names(cli: Cli) -> None:
    cli("show", "ioj").failed("did you mean 'ioi'?", "[no-such-task]")
    cli("show", "ioi", "--graph", "svg").failed("mermaid")
    cli("show", "nothing/here.py").failed("no file")
