from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TOY = "causal_models/toy.py"


@pytest.fixture
def folder(project: Path) -> Path:
    """The project with a task that has no flaw."""
    text = (project / TOY).read_text(encoding="utf-8")
    still = 'Design("still", counterfactual=[edits.keep("asked")], contrast=["whole"]),'
    allow = '"nobody/no-such-lm",\n    allow={"predicts-as-all:whole": "it is the whole answer"},\n'
    text = text.replace(still, "").replace('"nobody/no-such-lm",\n', allow)
    (project / TOY).write_text(text, encoding="utf-8")
    return project


def line_of(folder: Path, marker: str) -> str:
    lines = (folder / TOY).read_text(encoding="utf-8").splitlines()
    return f"{TOY}:{next(n for n, line in enumerate(lines, 1) if marker in line)}"


def test_a_clean_task_ends_with_0(cli: Cli, folder: Path) -> None:
    ended = cli("lint", "toy")
    assert ended.code == 0, ended.out
    assert "toy: clean, 1 allowed" in ended.out
    assert "-> it is the whole answer" in ended.out
    assert "Tokens were not looked at" in ended.out


def test_findings_end_with_1_and_say_where_and_what_to_do(cli: Cli, folder: Path) -> None:
    text = (folder / TOY).read_text(encoding="utf-8")
    (folder / TOY).write_text(text.replace("    allow=", "    # allow="), encoding="utf-8")
    ended = cli("lint", "toy")
    assert ended.code == 1
    assert f"{line_of(folder, 'Hypothesis(')}: hypothesis 'whole' predicts" in ended.out
    assert "[predicts-as-all]\n    -> " in ended.out
    assert "toy: 1 finding\n" in ended.out


def test_json(cli: Cli, folder: Path) -> None:
    (folder / "data/lexicons/spare.txt").write_text("x\n", encoding="utf-8")
    ended = cli("lint", "toy", "--json")
    assert ended.code == 1
    (report,) = ended.json
    assert report["task"] == "toy"
    assert report["loaded"] is True
    assert [(f["code"], f["where"], f["about"]) for f in report["findings"]] == [
        ("lexicon-unused", "data/lexicons/spare.txt:1", "spare")
    ]
    assert [item["reason"] for item in report["allowed"]] == ["it is the whole answer"]


def test_without_a_task_those_of_the_folder_are_meant(cli: Cli, folder: Path) -> None:
    (folder / "causal_models/broken.py").write_text("def (", encoding="utf-8")
    ended = cli("lint")
    assert ended.code == 1
    assert "toy: clean" in ended.out
    assert "broken: 1 finding; it cannot be loaded" in ended.out
    assert "ioi" not in ended.out


def test_a_path_and_a_folder(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for named in (folder / TOY, folder):
        ended = cli("lint", named)
        assert ended.code == 0, ended.out
        assert "toy: clean" in ended.out


def test_mistakes(cli: Cli, folder: Path) -> None:
    cli("lint", "tooy").failed("did you mean 'toy'?")
    (folder / "empty").mkdir()
    cli("lint", "empty").failed("there is no task in empty", "[no-such-task]")
    cli("lint", "toy", "--tokenizer", "./nowhere").failed("nowhere")


def test_a_tokenizer_that_lies_alone(cli: Cli, folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words = ["ball", "bear", "boat", "drum", "kite", "la", "mp", "and", "take", "1", "2"]
    vocabulary = ["?", *words, *(f" {word}" for word in words), ";", ":"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?la(?=mp)| ?\w+|\S|\s"), "isolated")
    backend.save(str(folder / "tokenizer.json"))
    ended = cli("lint", "toy", "--tokenizer", "./tokenizer.json", "--json")
    found = {item["code"]: item for item in ended.json[0]["findings"]}
    assert "'lamp'" in found["word-tokens"]["message"]
    assert "./tokenizer.json" in found["word-tokens"]["message"]
    assert "answers-collide" not in found
    assert ended.json[0]["tokenizers"] == ["./tokenizer.json"]


def test_no_torch_is_loaded(folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['cfgen', 'lint', 'toy']\n"
        "from cfgen.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "import json; print(json.dumps(['torch' in sys.modules, 'transformers' in sys.modules]))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [False, False]
