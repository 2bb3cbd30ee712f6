"""The comparison on a GPU, here on the CPU with a small LM."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        absent = {"pydantic", "faker", "platformdirs", "gguf", "datasets", "pyarrow", "typer"}
        return None if name.split(".")[0] in absent else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.path.insert(0, "benchmarks")
import gpu
sys.exit(gpu.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_it_runs_with_torch_and_transformers_alone(tmp_path: Path) -> None:
    given = ["--device", "cpu", "--tiny", "--workload", "a,h", "--out", str(tmp_path)]
    command = [sys.executable, "-c", WITHOUT, *given]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    for dtype in ("bfloat16", "float32"):
        result = json.loads((tmp_path / f"gpu-cpu-{dtype}.json").read_text())
        named = [(row["workload"], row["tool"]) for row in result["rows"]]
        assert named == [(w, t) for w in "ah" for t in ("reference", "packed")]
        assert all(row["compared"] for row in result["rows"][1::2])
        assert "## a: last token, all layers" in ended.stdout
        assert (tmp_path / f"gpu-cpu-{dtype}.md").read_text() in ended.stdout
