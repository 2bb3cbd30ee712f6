from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer

from cfgen import __version__
from cfgen.cli.main import app

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

VERBS = (
    "demo",
    "tasks",
    "show",
    "new",
    "lint",
    "watch",
    "preview",
    "predict",
    "generate",
    "run",
    "schema",
    "methods",
    "models",
    "power",
    "export",
)
HEAVY = ("torch", "transformers", "datasets", "peft", "pydantic", "jinja2", "numpy", "pyarrow")


def test_help_lists_every_verb(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.code == 0
    for verb in VERBS:
        assert f"│ {verb} " in shown.out
    assert shown.out == cli("-h").out


@pytest.mark.parametrize("verb", [*VERBS, "models pull", "models licence"])
def test_every_verb_has_help_with_an_example_of_itself(cli: Cli, verb: str) -> None:
    shown = cli(*verb.split(), "-h")
    assert shown.code == 0
    after = shown.out.partition("Example")[2]
    assert f"cfgen {verb}" in after
    assert "--json" in shown.out


def test_every_example_in_the_help_can_be_parsed(cli: Cli) -> None:
    root = typer.main.get_command(app)
    with root.make_context("cfgen", ["tasks"]) as context:
        for name in root.list_commands(context):
            command = root.get_command(context, name)
            for line in (command.epilog or "").split("\n\n")[1:]:
                program, verb, *args = line.split(" < ")[0].split()
                assert program == "cfgen"
                assert verb == name
                command.make_context(name, args)


def test_no_verb_shows_the_help(cli: Cli) -> None:
    assert "preview" in cli().out


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"cfgen {__version__}\n"


def test_wrong_verb_suggests_the_right_one(cli: Cli) -> None:
    cli("shw").failed("Did you mean 'show'?")


def test_missing_argument(cli: Cli) -> None:
    cli("show").failed("TASK")


@pytest.mark.parametrize(
    "code",
    [
        "import cfgen",
        "import sys; sys.argv = ['cfgen', '--help']\n"
        "from cfgen.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code",
    ],
)
def test_importing_and_helping_loads_nothing_heavy(code: str) -> None:
    tail = f"\nimport json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_looking_at_tasks_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from cfgen.cli.main import main\n"
        "for verb in ('tasks', 'show ioi', 'preview ioi -n 1'):\n"
        "    sys.argv = ['cfgen', *verb.split()]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        "    print('\\nafter', verb, [m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("after ")]
    assert said == ["after tasks []", "after show ioi []", "after preview ioi -n 1 []"]
