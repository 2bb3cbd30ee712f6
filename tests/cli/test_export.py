from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_export(cli: Cli, tmp_path: Path) -> None:
    assert cli("generate", "ioi", "-n", 20, "--out", tmp_path / "made").code == 0
    args = ("export", tmp_path / "made", "--to", "causalab", "--out", tmp_path / "out")
    made = cli(*args, "--label", "output_token", "--json").json
    assert made["rows"] == {"train": 16, "validation": 2, "test": 2}
    assert made["folder"] == str(tmp_path / "out")
    lines = (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 16
    assert set(json.loads(lines[0])) == {"id", "input", "counterfactual_inputs", "label"}
    assert cli(*args, "--label", "output_token", "--json").json == made  # it is there
    cli(*args).failed("[folder-in-use]", 'label: "output_token" there, "output_position" asked now')
    shown = cli(*args[:-1], tmp_path / "other").out
    assert "train 16, validation 2, test 2" in shown
    assert "labels: what output_position predicts" in shown
    again = cli(*args[:-1], tmp_path / "other")
    assert again.out == shown
    assert "holds this very export; nothing was written" in again.err


def test_mistakes_write_nothing(cli: Cli, tmp_path: Path) -> None:
    cli("export", tmp_path, "--to", "mib", "--out", tmp_path / "out").failed("[not-a-dataset]")
    assert cli("generate", "ioi", "-n", 20, "--out", tmp_path / "made").code == 0
    args = ("export", tmp_path / "made", "--out", tmp_path / "out")
    cli(*args, "--to", "pyven").failed("[unknown-tool]", "did you mean 'pyvene'?")
    cli(*args, "--to", "pyvene").failed("[needs-tokenizer]", "--tokenizer")
    cli(*args, "--to", "mib", "--label", "x").failed("[unknown-label]")
    assert not (tmp_path / "out").exists()
