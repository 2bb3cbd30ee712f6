from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def toy_lm(build_tiny_lm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny LM that knows the words of ioi's shortest template, under any name."""
    importlib.import_module("cfgen.lm.load")  # before what it imports is replaced
    from cfgen.datasets import recipe, task_source
    from cfgen.weights import Checkpoint

    pairs = task_source(recipe("ioi", 12)).pairs
    texts = [side.prompt.text for pair in pairs for side in (pair.original, pair.counterfactual)]
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    lm = build_tiny_lm(" ".join(sorted(words)))
    monkeypatch.setattr(
        "cfgen.experiments.inquiry.find_checkpoint",
        lambda name, **options: Checkpoint(name, Path(name), (), "sha256:0"),
    )
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda name, **options: lm)


@pytest.mark.usefixtures("toy_lm")
def test_text_says_what_is_right_and_what_is_wrong(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("behave", "ioi", "-n", 12)
    assert ended.code == 0, ended.err
    shown = " ".join(ended.out.split())
    assert "The prompts of 12 pairs: drawn from task ioi" in shown
    assert "all prompts 0.00 0.00-0.14 n=24 0.00 0.00-0.24 n=12 0.00 0.00-0.24 n=12" in shown
    assert "24 answers are wrong; " in shown
    assert " another word of the prompt." in shown
    assert "A run would keep 0 of 12 pairs: 0.00 [0.00, 0.24]" in shown
    assert "dropped 12: original and counterfactual answered wrongly" in shown
    assert max(map(len, ended.out.splitlines())) <= 80

    (folder,) = (tmp_path / "runs").iterdir()
    again = cli("behave", "ioi", "-n", 12)
    assert "asked before" in again.err
    assert again.out == ended.out
    results = cli("results", folder.relative_to(tmp_path))
    assert results.code == 0
    assert ended.out.endswith(results.out)
    assert folder.name in cli("runs").out
    cli("figure", folder).failed("[behaviour-only]")


@pytest.mark.usefixtures("toy_lm")
def test_json_and_the_file_that_a_run_was_asked_with(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("task: ioi\nn: 12\nsweep: {over: 1}\nhypotheses: [output_token]\n")
    ended = cli("behave", file, "--out", tmp_path / "out", "--seed", 0, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["folder"] == str(tmp_path / "out")
    assert (ended.json["n"], ended.json["experiment"]["method"]) == (12, "behaviour")
    assert ended.json["experiment"]["sweep"]["over"] is None
    assert ended.json["clean"]["original"]["n"] == 12
    again = cli("behave", tmp_path / "out/experiment.yaml", "--out", tmp_path / "out", "--json")
    assert again.json == ended.json
    cli("run", tmp_path / "out/experiment.yaml").failed("[behaviour-only]", "cfgen behave")
    cli("run", "ioi", "--plan", "--set", "method=behaviour").failed("[behaviour-only]")


@pytest.mark.slow
def test_the_real_lm(cli: Cli, tmp_path: Path) -> None:
    ended = cli("behave", "belief_tracking", "-n", 6, "--out", tmp_path / "out", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["model"] == "smollm2-belief"
    assert ended.json["clean"]["both"] == {
        "k": 12,
        "n": 12,
        "rate": 1.0,
        "low": pytest.approx(0.7575, abs=1e-4),
        "high": 1.0,
    }
    assert set(ended.json["accuracy"]["position"]) == {"drink_1[0]", "drink_2[0]"}


@pytest.mark.slow
def test_a_dataset_of_pairs_that_the_real_lm_answers(cli: Cli, tmp_path: Path) -> None:
    out, lm = tmp_path / "dataset", "smollm2-135m"
    asked = ("ioi", "-n", 24, "--template", "all", "--splits", "0/50/50", "--out", out)
    made = cli("generate", *asked, "--behaves-with", lm, "--json")
    assert made.code == 0, made.err
    assert made.json["answered"]["model"] == lm
    seen = cli(
        "behave", "--dataset", out, "-n", 12, "--model", lm, "--out", tmp_path / "a", "--json"
    )
    assert seen.json["keep"]["k"] == seen.json["keep"]["n"] == 12
    again = cli("generate", *asked, "--behaves-with", lm)
    assert "made before" in again.err
    cli("generate", *asked).failed("[folder-in-use]", "answered by")
    exported = cli(
        "export", out, "--to", "jsonl", "--out", tmp_path / "b", "--behaves-with", lm, "--json"
    )
    assert exported.json["rows"] == {"validation": 12, "test": 12}
