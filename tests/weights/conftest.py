"""Fixtures for the tests of getting an LM: a package index of one's own, and a GGUF file."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    import torch

    from cfgen.lm import LM


def make_wheel(folder: Path, package: str, files: dict[str, bytes]) -> Path:
    """Write version 1.0 of a package with some files as a wheel that pip accepts."""
    module = re.sub(r"[-_.]+", "_", package).lower()
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
    """A project with one known base, whose wheels lie in a folder that pip looks in.

    Attributes:
        root: The project.
        index: The folder.
        wheels: The wheels of the parts, in order.
        yaml: The file that makes the base known.
        cache: The cache folder, not there yet.
    """

    root: Path
    index: Path
    wheels: list[Path]
    yaml: Path
    cache: Path

    @property
    def wheel(self) -> Path:
        """The only wheel."""
        (wheel,) = self.wheels
        return wheel

    def left(self) -> list[str]:
        """Everything in the cache but locks, as relative paths."""
        found = (path.relative_to(self.cache) for path in sorted(self.cache.rglob("*")))
        return [str(path) for path in found if path.parts[0] != "locks" and path != Path("models")]


def hashed(content: bytes) -> str:
    return f"{{sha256: {hashlib.sha256(content).hexdigest()}, size: {len(content)}}}"


def as_part(wheel: Path, package: str, member: str) -> str:
    """A part in the YAML of a base, as the value of a key or of a list."""
    return (
        f"{{package: {package}, version: '1.0', member: {member}, "
        f"wheel: {hashed(wheel.read_bytes())}}}"
    )


OpenShop: TypeAlias = Callable[..., Shop]


@pytest.fixture
def open_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenShop:
    """Put a GGUF file's bytes on offer as the base ``small``; the test stands in its project.

    ``parts``: over how many wheels. ``terms``: a page of terms to accept, in a wheel of its own.
    """

    def open_with(gguf: bytes, parts: int = 1, terms: bytes | None = None) -> Shop:
        models, index = tmp_path / "data" / "models", tmp_path / "index"
        models.mkdir(parents=True)
        index.mkdir()
        step = -(-len(gguf) // parts)
        wheels, listed = [], []
        for number in range(parts):
            package = f"Small-llama.part{number}" if number else "small-llama"
            member = f"small_llama/model.gguf{f'.part{number}' if parts > 1 else ''}"
            content = gguf[number * step : (number + 1) * step]
            wheels.append(make_wheel(index, package, {member: content}))
            listed.append(f"    - {as_part(wheels[-1], package, member)}\n")
        text = "description: A small Llama\nlicence: MIT\nparameters: 1000\nsize: 4000\n"
        text += f"source:\n  gguf: {hashed(gguf)}\n  parts:\n{''.join(listed)}"
        if terms is not None:
            wheel = make_wheel(index, "small-terms", {"small/TERMS.html": terms})
            text = text.replace("licence: MIT", "licence: Terms of Small LMs")
            text += "terms:\n  url: https://example.org/terms\n  notice: Be kind.\n"
            text += f"  text: {as_part(wheel, 'small-terms', 'small/TERMS.html')}\n"
        (models / "small.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(index))
        monkeypatch.setenv("CFGEN_CACHE", str(tmp_path / "cache"))
        return Shop(tmp_path, index, wheels, models / "small.yaml", tmp_path / "cache")

    return open_with


@pytest.fixture(scope="session")
def small_llama(
    build_tiny_lm: Callable[..., LM], tmp_path_factory: pytest.TempPathFactory
) -> tuple[torch.nn.Module, Path]:
    """A tiny Llama with the weights that are left in 4 bits, and the GGUF file with them."""
    import torch

    from tests.weights import gguf_files as shape

    model = build_tiny_lm(
        layers=shape.LAYERS,
        width=shape.WIDTH,
        heads=shape.HEADS,
        kv_heads=shape.KV_HEADS,
        intermediate_size=shape.INNER,
        vocab_size=len(shape.VOCABULARY),
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        max_position_embeddings=128,
    ).model
    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    rounded = shape.write_llama(file, model)
    state = {key: torch.tensor(value) for key, value in rounded.items()}
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model, file
