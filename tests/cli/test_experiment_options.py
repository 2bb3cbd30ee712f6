"""Options that make an experiment: one for every field that has one, and none has a default."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from cfgen.cli import experiment_options
from cfgen.experiments import FLAGS, Experiment, SweepOptions, experiment_of

DECLARED = {
    name: option
    for name, option in vars(experiment_options).items()
    if get_origin(option) is Annotated
}
PARAMETERS = {
    option.__metadata__[0].default: name  # where typer keeps the flag, if there is no default
    for name, option in DECLARED.items()
    if isinstance(option.__metadata__[0], typer.models.OptionInfo)
}


def test_there_is_an_option_for_each_flag() -> None:
    assert set(PARAMETERS) == {*FLAGS.values(), "--set"}
    kinds = [get_args(option)[0] for option in DECLARED.values()]
    assert all(type(None) in get_args(kind) for kind in kinds)


def run(*args: str) -> Experiment:
    """What a verb with all of these options makes of a command line."""
    made: list[Experiment] = []

    def verb(**given: Any) -> None:
        fields = {key: given[PARAMETERS[flag]] for key, flag in FLAGS.items()}
        made.append(experiment_of(given["What"], fields, given["Settings"] or ()))

    verb.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in DECLARED.items()
        ]
    )
    verb.__annotations__ = DECLARED
    app = typer.Typer()
    app.command()(verb)
    ended = CliRunner().invoke(app, args, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return made[0]


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
    ],
)
def test_a_command_line_makes_an_experiment(args: str, experiment: Experiment) -> None:
    assert run(*args.split()) == experiment
