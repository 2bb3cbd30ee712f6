"""What stands on the command line of ``cfgen run`` makes an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cfgen.experiments import Experiment, SweepOptions

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("args", "experiment"),
    [
        ("ioi", Experiment(task="ioi")),
        ("--dataset some/folder --kept", Experiment(dataset="some/folder", kept=True)),
        (
            "ioi -n 3 --model a --model b --hypothesis x --measure kl --measure iia",
            Experiment(
                task="ioi", n=3, models=("a", "b"), hypotheses={"x": None}, measures=("kl", "iia")
            ),
        ),
        (
            "ioi --layers 2-3 --sweep up_to --heads 0,2 --position every --set n=5",
            Experiment(
                task="ioi",
                n=5,
                sweep=SweepOptions(layers="up_to", over="2-3", heads=(0, 2), positions="every"),
            ),
        ),
        (
            "ioi --design d --template a --template b --splits 1/0/1 --balance --seed 4 --chat",
            Experiment(
                task="ioi",
                design="d",
                templates=("a", "b"),
                splits="1/0/1",
                balance=True,
                seed=4,
                chat=True,
            ),
        ),
    ],
)
def test_a_command_line_makes_an_experiment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, args: str, experiment: Experiment
) -> None:
    asked: list[Experiment] = []
    monkeypatch.setattr("cfgen.cli.run.ask", lambda given, *_, **__: asked.append(given))
    assert cli("run", *args.split()).code == 0
    assert asked == [experiment]
