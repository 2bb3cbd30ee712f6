from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cfgen.errors import CfgenError, Problem
from cfgen.experiments import folder_name
from cfgen.weights import list_models

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

ENTRY = f"""\
description: A small one
licence: MIT
parameters: 5
size: 1500000
source:
  gguf: {{sha256: {"a" * 64}, size: 10}}
  parts:
    - package: some-package
      version: 0.1.2
      wheel: {{sha256: {"a" * 64}, size: 10}}
      member: a/b.gguf
"""


def test_lists_what_is_known(cli: Cli) -> None:
    listed = cli("models", "--json").json
    assert [entry["name"] for entry in listed] == [known.name for known in list_models()]
    shown = cli("models").out
    for entry in listed:
        assert entry["name"] in shown
        assert entry["licence"] in shown


def test_says_what_is_not_here_yet(cli: Cli, project: Path, tmp_path: Path) -> None:
    folder = project / "data" / "models"
    folder.mkdir()
    (folder / "small.yaml").write_text(ENTRY)
    shown = cli("models").out
    assert "A small one" in shown
    assert "MIT, 1.5 MB, not here yet: cfgen models pull small" in " ".join(shown.split())


TERMS = """\
terms:
  url: https://example.org/terms
  notice: Be kind.
"""


def test_terms_are_listed_shown_and_asked_for(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFGEN_CACHE", str(tmp_path / "cache"))
    folder = project / "data" / "models"
    folder.mkdir()
    (folder / "small.yaml").write_text(ENTRY.replace("MIT", "Small Terms") + TERMS)
    shown = " ".join(cli("models").out.split())
    assert "Small Terms, 1.5 MB" in shown
    assert "cfgen models pull small --accept-license" in shown
    assert "terms to be accepted first: https://example.org/terms" in shown
    (listed,) = [one for one in cli("models", "--json").json if one["name"] == "small"]
    assert (listed["terms"], listed["accepted"]) == ("https://example.org/terms", False)
    expected = "Small Terms: https://example.org/terms\nBe kind.\n"
    assert cli("models", "licence", "small").out == expected
    assert cli("models", "licence", "small", "--json").json == {
        "name": "small",
        "licence": "Small Terms",
        "accepted": False,
        "text": expected,
    }
    refused = ("Small Terms", "https://example.org/terms", "--accept-license", "[lm-licence]")
    cli("models", "pull", "small").failed(*refused)
    out = tmp_path / "out"
    ran = cli("run", "ioi", "--model", "small", "-n", 1, "--out", out)
    assert (ran.code, [part for part in refused if part not in ran.err]) == (2, []), ran.err
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "verb",
    [("models", "pull", "x"), ("run", "ioi", "-n", "1", "--model", "x"), ("demo", "-n", "1")],
)
def test_accepting_is_passed_on(cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: tuple) -> None:
    asked: list[bool] = []

    def find(name: str, *, accept_license: bool, progress: object) -> None:
        asked.append(accept_license)
        raise CfgenError(Problem("lm-licence", "enough"))

    for module in ("weights", "experiments.inquiry"):
        monkeypatch.setattr(f"cfgen.{module}.find_checkpoint", find)
    assert cli(*verb).code == 2
    assert cli(*verb, "--accept-license").code == 2
    assert asked == [False, True]


def test_licences_without_terms(cli: Cli) -> None:
    assert cli("models", "licence", "smollm2-135m").out == "Apache-2.0\n"
    assert cli("models", "licence", "smollm2-belief").out == "Apache-2.0, on top of smollm2-135m\n"
    cli("models", "licence", "smollm").failed("no known LM 'smollm'", "smollm2-135m")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gguf:some/dir/x.Q4_1.gguf", "x.Q4_1"),
        ("gguf:x y.gguf", "x-y"),
        ("gguf:~/x", "x"),
        ("./folder/", "folder"),
        ("owner/name@v1", "name-v1"),
        ("smollm2-135m", "smollm2-135m"),
    ],
)
def test_names_of_lms_in_names_of_folders(model: str, name: str) -> None:
    made = folder_name("task", "interchange", model, "0123456789")
    assert made == f"task-interchange-{name}-01234567"


@pytest.mark.parametrize("task", ["../../x", "a/b", "x" * 300])
def test_no_name_of_a_task_leads_a_run_elsewhere(task: str) -> None:
    with pytest.raises(CfgenError, match="unsafe-name"):
        folder_name(task, "interchange", "smollm2-135m", "0123456789")


def test_pull_a_folder_that_is_here(cli: Cli, tiny_folder: Path) -> None:
    found = cli("models", "pull", tiny_folder, "--json").json
    assert found["folder"] == str(tiny_folder)
    assert found["revision"].startswith("sha256:")
    assert f"{tiny_folder}" in cli("models", "pull", tiny_folder).out


def test_pull_what_nobody_knows(cli: Cli) -> None:
    cli("models", "pull", "nix").failed("no known LM 'nix'", "owner/name")


def test_pull_needs_a_name(cli: Cli) -> None:
    cli("models", "pull").failed("NAME")


def test_a_broken_entry_is_named(cli: Cli, project: Path) -> None:
    folder = project / "data" / "models"
    folder.mkdir()
    (folder / "small.yaml").write_text("licence: 5\n")
    cli("models").failed("data/models/small.yaml:1", "[lm-entry]")


@pytest.mark.parametrize("args", [["models", "list"], ["models", "pul", "x"]])
def test_wrong_verb(cli: Cli, args: list[str]) -> None:
    cli(*args).failed("No such command")
