from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_proof_is_written_and_checked(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "proofs" / "reorder.json"
    options = ["--design", "reorder", "--out", out]
    shown = cli("prove", "belief_tracking", "answer_payload", "none", *options)
    assert shown.code == 0
    assert "never differ under design reorder: proved by looking at 2 cases" in shown.out
    written = json.loads(out.read_text())
    assert (written["answer"], written["cases"]) == ("same", 2)
    checked = cli("prove", "--check", out, "belief_tracking")
    assert checked.code == 0
    assert "The certificate holds" in checked.out
    assert cli("prove", "--check", out, "belief_tracking", "--json").json == {
        "holds": True,
        "problems": [],
    }


def test_a_tampered_certificate_is_a_finding(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    cli("prove", "ioi", "output_token", "all", "--out", out)
    written = json.loads(out.read_text())
    out.write_text(json.dumps({**written, "hypotheses": ["output_position", "all"]}))
    checked = cli("prove", "--check", out, "ioi")
    checked.failed("The certificate does not hold", code=1)
    said = cli("prove", "--check", out, "ioi", "--json")
    assert (said.code, said.json["holds"]) == (1, False)
    assert said.json["problems"]


def test_a_witness_is_shown_as_inputs_and_predictions(cli: Cli) -> None:
    options = ["--design", "restate"]
    shown = cli("prove", "belief_tracking", "answer_pointer", "answer_payload", *options).out
    assert "can be told apart under design restate" in shown
    assert "  original: template " in shown
    lines = dict(line.split(" predicts ") for line in shown.splitlines() if " predicts " in line)
    said = {name.strip(): text for name, text in lines.items()}
    assert list(said) == ["none", "all", "answer_pointer", "answer_payload"]
    assert said["answer_pointer"] not in (said["none"], said["all"], said["answer_payload"])


def test_json_is_the_certificate(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    said = cli("prove", "ioi", "output_token", "all", "--json", "--out", out).json
    assert said == json.loads(out.read_text())
    assert said["wording"] == ["template", "place", "object"]


def test_mistakes(cli: Cli, tmp_path: Path) -> None:
    cli("prove").failed("[nothing-to-prove]")
    cli("prove", "ioi", "all").failed("[nothing-to-prove]")
    cli("prove", "ioi", "all", "output_toke").failed("did you mean 'output_token'?")
    cli("prove", "ioi", "all", "none", "--design", "fresh").failed("did you mean 'fresh_names'?")
    cli("prove", "ioi", "all", "none", "--template", "then").failed("did you mean 'then_went'?")
    cli("prove", "--check", tmp_path / "nowhere.json").failed("[no-certificate]")
    (tmp_path / "wrong.json").write_text("{}")
    cli("prove", "--check", tmp_path / "wrong.json").failed("[not-a-certificate]")


def test_a_check_takes_nothing_that_it_would_not_heed(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    cli("prove", "ioi", "output_token", "all", "--out", out)
    more = {"--design": "fresh_names", "--template": "then_went", "--out": tmp_path / "other.json"}
    for name, value in more.items():
        cli("prove", "--check", out, "ioi", name, value).failed(name, "[not-for-check]")
    cli("prove", "--check", out, "ioi", "all", "none").failed("A, B", "[not-for-check]")
    assert not (tmp_path / "other.json").exists()


def test_the_task_of_a_certificate_is_named_by_the_user(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    cli("prove", "ioi", "output_token", "all", "--out", out)
    cli("prove", "--check", out).failed("[no-task-to-check]")
    other = cli("prove", "--check", out, "mcqa")
    other.failed("it is about task 'ioi', not 'mcqa': name the task that it is about", code=1)


@pytest.mark.parametrize("name", ["./evil.py", "evil.py", "{folder}/evil.py", "../evil", ".evil"])
def test_a_certificate_never_says_what_is_run(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    out = tmp_path / "proof.json"
    cli("prove", "ioi", "output_token", "all", "--out", out)
    said = {**json.loads(out.read_text()), "task": name.format(folder=tmp_path)}
    out.write_text(json.dumps(said))
    for task in ((), ("ioi",)):
        cli("prove", "--check", out, *task).failed("[not-a-certificate]")
    assert not marker.exists()


@pytest.mark.parametrize("field", ["design", "templates", "hypotheses"])
def test_no_other_name_in_a_certificate_is_a_path(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    out = tmp_path / "proof.json"
    cli("prove", "ioi", "output_token", "all", "--out", out)
    given = {"design": "./evil.py", "templates": ["./evil.py"], "hypotheses": ["./evil.py", "all"]}
    out.write_text(json.dumps({**json.loads(out.read_text()), field: given[field]}))
    cli("prove", "--check", out, "ioi").failed("'./evil.py'", code=1)
    assert not marker.exists()


def test_a_certificate_is_never_written_over(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    cli("prove", "ioi", "output_token", "all", "--out", out)
    before = out.read_bytes()
    again = cli("prove", "ioi", "output_token", "all", "--out", out)
    assert "holds this very certificate; nothing was written" in again.err
    other = cli("prove", "ioi", "output_position", "all", "--out", out)
    assert other.code == 2
    assert "[file-exists]" in other.err
    assert out.read_bytes() == before


@pytest.mark.parametrize("command", [("design",), ("prove", "whole", "none")])
def test_that_answers_are_compared_as_texts_is_said_where_it_matters(
    cli: Cli, project: Path, command: tuple[str, ...]
) -> None:
    verb, *names = command
    said = "answers are compared as texts"
    assert said not in cli(verb, "toy", *names).err
    file = project / "causal_models/toy.py"
    accepts = 'version="1",\n    accept=lambda answer: [answer, "it"],'
    file.write_text(file.read_text().replace('version="1",', accepts))
    assert said in cli(verb, "toy", *names).err
