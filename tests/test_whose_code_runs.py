"""Which verbs run a task of the folder that one stands in: what the page says, tried."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from cfgen.cli.main import app
from tests.conftest import ROOT, make_tiny_lm
from tests.sampling import one_in
from tests.test_processes import LEAVE_A_MARK, cfgen, marks

if TYPE_CHECKING:
    from cfgen.lm import LM

OWN, OTHER, AWAY = "own.py", "other.py", "away.py"
COMMANDS = {
    "show own": {OWN},
    "preview own": {OWN},
    "predict own --file pair.json": {OWN},
    "generate own --out made": {OWN},
    "design own": {OWN},
    "prove own a b": {OWN},
    "prove --check certificate.json ioi": set(),
    "watch own --rounds 1": {OWN},
    "lint own": {OWN},
    "lint": {OWN, OTHER},
    "lint .": {OWN, OTHER},
    "behave own --model ./lm": {OWN},
    "behave own.yaml --model ./lm": {OWN},
    "behave path.yaml --model ./lm": set(),
    "behave --dataset set -n 8 --model ./lm": {OWN},
    "behave --pairs own.csv --model ./lm --out behaved": set(),
    "run own --model ./lm": {OWN},
    "run own.yaml --model ./lm": {OWN},
    "run --dataset set -n 8 --model ./lm": {OWN},
    "run --pairs own.csv --model ./lm --out ran": set(),
    "merge shard --out merged": {OWN},
    "merge pathshard --out merged": set(),
    "merge pathshard --task ./aside/away.py --out merged": {AWAY},
    "tasks": set(),
    "models": set(),
    "methods": set(),
    "methods mediation": set(),
    "new mine": set(),
    "demo --model ./nowhere": set(),
    "power": set(),
    "export set --to causalab --out exported": set(),
    "schema": set(),
    "runs .": set(),
    "results ran": set(),
    "figure ran": set(),
    "compare ran again": set(),
    "show ioi": set(),
    "lint ioi": set(),
    "generate ioi -n 8 --out built": set(),
}
"""What is asked -> the task files that are run."""


TRAPS = sorted({*sys.stdlib_module_names, *(name.partition(".")[0] for name in sys.modules)})
"""Modules that something may import, called as here, in the folder that one stands in."""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose tasks leave marks, with everything that verbs read."""
    folder = tmp_path_factory.mktemp("stranger")
    for name in ("causal_models", "templates", "aside", "shard", "pathshard"):
        (folder / name).mkdir()
    shutil.copytree(ROOT / "templates/ioi", folder / "templates/own")
    lm = make_tiny_lm()
    lm.model.save_pretrained(folder / "lm")
    lm.tokenizer.save_pretrained(folder / "lm")
    write_pairs(lm, folder / "own.csv")
    text = (ROOT / "causal_models/ioi.py").read_text(encoding="utf-8").replace('"ioi"', '"own"')
    (folder / "causal_models" / OWN).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (
            "generate own -n 8 --splits 0/0/100 --out set",
            "run --pairs own.csv --model ./lm --out ran",
            "prove ioi output_position output_token --out certificate.json",
        ):
            ended = CliRunner().invoke(app, command.split())
            assert ended.exit_code == 0, ended.output
    shutil.copytree(folder / "ran", folder / "again")
    for name in (f"causal_models/{OWN}", f"causal_models/{OTHER}", f"aside/{AWAY}"):
        (folder / name).write_text(f'"""A task."""\n{LEAVE_A_MARK}', encoding="utf-8")
    for name, task in (("own", "own"), ("path", f"./aside/{AWAY}")):
        (folder / f"{name}.yaml").write_text(f"task: {task}\nmodels: ./lm\n")
    for name, task in (("shard", "own"), ("pathshard", f"./aside/{AWAY}")):
        record = {"format": "cfgen-store-3", "key": "k", "request": {"models": ["./lm"], "n": 8}}
        (folder / name / "store.json").write_text(json.dumps(record))
        (folder / name / "experiment.yaml").write_text(f"task: {task}\nmodels: ./lm\n")
    (folder / "pair.json").write_text('{"original": {}, "counterfactual": {}}')
    return folder


def write_pairs(lm: LM, file: Path) -> None:
    """Write pairs that an LM answers as is said there."""
    words, said = ["Ann", "Ben", "Cid", "Dora", "mug", "jar", "pot", "box", "tea", "milk"], {}
    for two in combinations(words, 2):
        ids = lm.tokenizer(text := " and ".join(two), return_tensors="pt").input_ids
        token = lm.tokenizer.convert_ids_to_tokens(int(lm.model(ids).logits[0, -1].argmax()))
        if re.fullmatch(r" [a-zA-Z]+", token):
            said[text] = token.strip()
    pairs = [(*two, *map(said.get, two)) for two in combinations(said, 2)]
    with file.open("w", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("original", "counterfactual", "original_answer", "counterfactual_answer"))
        table.writerows([pair for pair in pairs if pair[2] != pair[3]][:4])


def copied(stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, to stand in."""
    shutil.copytree(stranger, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", one_in(3, COMMANDS))
def test_what_is_run(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    folder = copied(stranger, tmp_path, monkeypatch)
    ended = CliRunner().invoke(app, command.split())
    assert marks(folder) == sorted(f"{name}.imported" for name in COMMANDS[command]), ended.output
    assert "internal-error" not in ended.output
    if not COMMANDS[command] and not re.search("path|nowhere", command):
        assert ended.exit_code == 0, ended.output  # it was no mistake that kept it from running


def test_the_page_says_so_of_every_verb() -> None:
    text = (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    table = text.partition("### Whose code runs")[2].partition("## ")[0]
    says = {}
    for row in re.findall(r"^\| (`.*)$", table, re.MULTILINE):
        verbs, _, what = row.partition(" | ")
        says.update(dict.fromkeys(re.findall(r"`([a-z]+)`", verbs), what))
    assert set(says) == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for verb, what in says.items():
        runs = set().union(*(run for line, run in COMMANDS.items() if line.split()[0] == verb))
        assert (what == "none |") == (not runs), verb
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    part = readme.partition("## Whose code runs")[2].partition("## ")[0]
    assert set(says) <= set(re.findall(r"`([a-z]+)(?: TASK)?`", part))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [line for line in COMMANDS if not COMMANDS[line] and "path" not in line]
)
def test_nothing_is_imported_from_the_folder(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    folder = copied(stranger, tmp_path, monkeypatch)
    for name in {*TRAPS, "sitecustomize", "usercustomize"} - {"cfgen", "__main__"}:
        (folder / f"{name}.py").write_text(LEAVE_A_MARK, encoding="utf-8")
    done = cfgen(*command.split())
    assert marks(folder) == []
    assert done.returncode == 0 or "nowhere" in command, done.stderr
