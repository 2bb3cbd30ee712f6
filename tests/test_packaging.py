"""The wheel holds the built-in tasks, and works where there is no checkout."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILTIN = ("causal_models", "templates", "data")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(folder)], check=True, capture_output=True)
    (built,) = folder.glob("cfgen-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but what the wheel installs; dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target"]
    subprocess.run([*install, str(folder), str(wheel)], check=True, capture_output=True)
    return folder


def cfgen(installed: Path, here: Path, *arguments: str) -> str:
    """What the installed command prints, run in a folder outside the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "80"}
    command = [str(installed / "bin" / "cfgen"), *arguments]
    ended = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_holds_what_the_checkout_holds(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    files = [path for name in BUILTIN for path in (ROOT / name).rglob("*") if path.is_file()]
    held = [path.relative_to(ROOT) for path in files if path.suffix != ".pyc"]
    assert {f"cfgen/builtin/{path.as_posix()}" for path in held} <= set(names)
    outside = [name for name in names if not name.startswith(("cfgen/", "cfgen-"))]
    assert outside == []
    assert [name for name in names if "__pycache__" in name] == []


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Summary"]
    assert str(metadata.get_payload()).startswith("# cfgen")
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_it_works_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    assert not any((installed / name).exists() for name in BUILTIN)
    found = json.loads(cfgen(installed, tmp_path, "tasks", "--json"))
    assert len(found) >= 2
    for task in found:
        assert Path(task["path"]).is_relative_to(installed / "cfgen" / "builtin")
    assert "answer_pointer" in cfgen(installed, tmp_path, "preview", "belief_tracking", "-n", "1")
    cfgen(installed, tmp_path, "generate", "belief_tracking", "-n", "50", "--out", "pairs")
    assert json.loads((tmp_path / "pairs/manifest.json").read_text())["rows"] == 50
    known = json.loads(cfgen(installed, tmp_path, "models", "--json"))
    assert {model["name"] for model in known} >= {"smollm2-135m", "smollm2-belief"}
