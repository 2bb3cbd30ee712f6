from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TASKS = ("belief_tracking", "ioi")


def test_lists_the_built_in_tasks(cli: Cli) -> None:
    listed = cli("tasks", "--json").json
    assert {entry["name"] for entry in listed} >= {*TASKS}
    for entry in listed:
        assert entry["description"]
        assert Path(entry["path"]).is_file()


def test_a_project_comes_first_and_its_files_are_not_run(cli: Cli, project: Path) -> None:
    (project / "causal_models" / "ioi.py").write_text('"""Mine.\n\nMore."""\nraise OSError\n')
    (project / "causal_models" / "broken.py").write_text("def (")
    found = {entry["name"]: entry for entry in cli("tasks", "--json").json}
    assert found["ioi"]["description"] == "Mine."
    assert found["toy"]["description"] == "Toy: which of two words is asked for."
    assert found["broken"]["description"] == "(the file is not valid Python)"


def test_table_names_description_and_place(cli: Cli, project: Path) -> None:
    shown = cli("tasks")
    assert shown.code == 0
    assert "toy" in shown.out
    assert "Toy: which of two words is asked for." in shown.out
    assert "causal_models/toy.py" in shown.out
