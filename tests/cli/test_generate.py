from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from datasets import load_dataset

from cfgen.datasets import split_shares
from cfgen.errors import CfgenError

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

PROGRAM = "from cfgen.cli.main import main; main()"


@pytest.mark.parametrize("name", ["belief_tracking", "ioi"])
def test_folder_and_json(cli: Cli, name: str, tmp_path: Path) -> None:
    out = tmp_path / "made"
    ended = cli("generate", name, "-n", 50, "--out", out, "--jsonl", "--json")
    assert ended.code == 0
    assert ended.json["rows"] == 50
    assert ended.json["folder"] == str(out)
    rows = {split: found.num_rows for split, found in load_dataset(str(out)).items()}
    assert rows == {"train": 40, "validation": 5, "test": 5}
    assert {split: s["rows"] for split, s in ended.json["splits"].items()} == rows
    lines = (out / "jsonl" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    assert json.loads((out / "manifest.json").read_text())["rows"] == 50


def test_text_reports_what_was_made(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "made"
    args = ["generate", "ioi", "-n", 30, "--out", out, "--splits", "1/0/1", "--seed", 2]
    shown = cli(*args, "--design", "fresh_names").out
    assert "30 pairs of task ioi, design fresh_names" in shown
    split = next(line.split() for line in shown.splitlines() if line.startswith("train"))
    assert split[1:3] == ["15", "15"]
    kinds = {line.split()[0]: line.split()[-3:] for line in shown.splitlines() if "1.000" in line}
    assert kinds["output_position"] == ["-", "-", "1.000"]
    assert kinds["output_token"] == ["-", "1.000", "-"]
    assert "30 of 30 pairs (1.000) are decisive" in shown
    assert "validation" not in shown
    assert "load_dataset(" in shown


def test_the_same_seed_gives_the_same_bytes(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert cli("generate", "ioi", "-n", 20, "--out", tmp_path / name).code == 0
    files = sorted(path.name for path in (tmp_path / "a" / "data").iterdir())
    assert files
    for file in files:
        one, other = ((tmp_path / name / "data" / file).read_bytes() for name in ("a", "b"))
        assert one == other


def test_a_folder_in_use_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    cli("generate", "ioi", "-n", 10, "--out", tmp_path).failed("[folder-in-use]", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["-n", 0], ["'-n'"]),
        (["--splits", "80/20"], ["[bad-shares]", "80/10/10"]),
        (["--design", "fresh"], ["did you mean 'fresh_names'?"]),
        (["--template", "then"], ["did you mean 'then_went'?"]),
        (["--push-to-hub", "alone"], ["[bad-repo]", "owner/name"]),
    ],
)
def test_mistakes_write_nothing(
    cli: Cli, tmp_path: Path, options: list[object], parts: list[str]
) -> None:
    cli("generate", "ioi", "--out", tmp_path / "made", *options).failed(*parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["-n", 500, "--splits", "1/0/0"], ["[too-few-pairs]", "ask for fewer"]),
        (["-n", 9, "--design", "still"], ["[never-decisive]", "causal_models/toy.py:", "contrast"]),
    ],
)
def test_impossible_datasets_write_nothing(
    cli: Cli, project: Path, options: list[object], parts: list[str]
) -> None:
    ended = cli("generate", "toy", "--out", "made", *options)
    assert (ended.code, ended.out) == (2, "")
    for part in parts:
        assert part in ended.err
    assert {path.name for path in project.iterdir()} == {"causal_models", "templates", "data"}


def test_a_lexicon_too_small_for_the_splits(cli: Cli, project: Path) -> None:
    (project / "data" / "lexicons" / "toys.txt").write_text("ball\nbear\nboat\n")
    ended = cli("generate", "toy", "-n", 9, "--out", "made")
    assert ended.code == 2
    assert "[lexicon-too-small]" in ended.err
    assert not (project / "made").exists()


def test_push_to_hub(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Path, str, bool]] = []

    def push(folder: Path, repo: str, *, private: bool) -> str:
        sent.append((folder, repo, private))
        return f"https://hub/{repo}"

    monkeypatch.setattr("cfgen.datasets.push_to_hub", push)
    out = tmp_path / "made"
    args = ["generate", "ioi", "-n", 10, "--out", out, "--push-to-hub", "me/pairs"]
    assert cli(*args, "--private", "--json").json["url"] == "https://hub/me/pairs"
    assert "Uploaded: https://hub/me/pairs" in cli(*args).out
    assert sent == [(out, "me/pairs", True), (out, "me/pairs", False)]


def test_pairs_that_align_balanced_with_planned_power(cli: Cli, tmp_path: Path) -> None:
    from tests.conftest import tiny_tokenizer

    words = ["Then", "and", "went", "to", "the", "mall", "gave", "a", "camera", "Amanda", "Frank"]
    folder = tmp_path / "lm"
    tiny_tokenizer(words, kind="bytes").save_pretrained(folder)
    out = tmp_path / "made"
    args = ["generate", "ioi", "--out", out, "--balance", "--coverage", 3, "--power", 0.8]
    made = cli(*args, "--iia", 0.9, "--cells", 5, "--splits", "1/0/1", "--json").json
    assert made["balanced"] is True
    assert made["coverage"]["test"]["strength"] == 3
    assert made["power"]["pairs"] == made["splits"]["test"]["rows"] == made["rows"] / 2
    args[3] = tmp_path / "other"
    shown = cli(*args, "--splits", "1/0/1").out
    assert "coverage of 3 factors at a time" in shown
    assert "shortcut: 'last mentioned' gives what output_position predicts in" in shown
    assert "no leak found" in shown
    # one token a byte: no answer is a single token
    failed = cli("generate", "ioi", "--out", tmp_path / "no", "--tokenizer", folder)
    failed.failed("[tokenizer-conflict]", f"single under {folder} leaves 0")
    assert not (tmp_path / "no").exists()


def test_n_and_power_are_one_too_many(cli: Cli, tmp_path: Path) -> None:
    args = ("generate", "ioi", "--out", tmp_path / "made")
    cli(*args, "-n", 10, "--power", 0.9).failed("[bad-plan]", "-n and --power")
    cli(*args, "--tokenizer", "smolm").failed("[lm-unknown]")
    assert list(tmp_path.iterdir()) == []


def test_split_shares() -> None:
    assert split_shares("80/10/10") == {"train": 80, "validation": 10, "test": 10}
    assert split_shares("0.5/0/.5") == {"train": 0.5, "validation": 0, "test": 0.5}


@pytest.mark.parametrize("text", ["", "1", "1/2", "1/2/3/4", "a/b/c", "0/0/0", "-1/1/1", "nan/1/1"])
def test_wrong_split_shares(text: str) -> None:
    with pytest.raises(CfgenError, match="bad-shares"):
        split_shares(text)


def test_what_is_there_is_shown_and_nothing_else_is_written_over(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "made"
    args = ("generate", "ioi", "-n", 20, "--out", out)
    first = cli(*args)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = cli(*args)
    assert again.out == first.out
    assert "nothing was written" in again.err
    assert cli(*args, "--json").json["rows"] == 20
    for more, differs in [
        (("--seed", 1), "seed: 0 there, 1 asked now"),
        (("-n", 30), "n: 20 there, 30 asked now"),
        (("--jsonl",), "jsonl: false there, true asked now"),
        (("--balance",), "balance: false there, true asked now"),
    ]:
        cli(*args, *more).failed("[folder-in-use]", differs)
    cli("generate", "mcqa", "-n", 20, "--out", out).failed('task: "ioi" there, "mcqa" asked now')
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    (out / "README.md").write_text("mine")
    cli(*args).failed("README.md was changed")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["new", "new/data/train-*", "new/data/test-*"])
def test_after_kill_9_the_same_command_completes_and_nothing_is_left(
    tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "made"
    command = [sys.executable, "-c", PROGRAM, "generate", "ioi", "--out", str(out)]
    command += ["-n", "20000", "--workers", "2"]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(f".made-*/{moment}")):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.communicate()  # ends when no process has its standard error: the workers end, too
    assert [path.name[:6] for path in tmp_path.iterdir()] == [".made-"]
    subprocess.run(command, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_several_designs(cli: Cli, tmp_path: Path) -> None:
    args = ("generate", "belief_tracking", "-n", 20, "--design", "restate, fresh", "--out")
    first = cli(*args, tmp_path / "made", "--json")
    assert [each["design"] for each in first.json["datasets"]] == ["restate", "fresh"]
    again = cli(*args, tmp_path / "made")
    assert again.code == 0
    assert "made before" in again.err
    whole, one = tmp_path / "made", tmp_path / "made" / "fresh"
    cli("export", whole, "--to", "mib", "--out", tmp_path / "x").failed(
        "[several-designs]", "fresh"
    )
    assert cli("export", one, "--to", "mib", "--out", tmp_path / "x").code == 0
    cli("run", "--dataset", whole, "--plan").failed("[several-designs]", "restate")


def test_a_design_without_a_name(cli: Cli, tmp_path: Path) -> None:
    for given in ("restate,", ""):
        args = ("generate", "belief_tracking", "-n", 20, "--design", given)
        cli(*args, "--out", tmp_path / "made").failed("no design ''", "restate")
