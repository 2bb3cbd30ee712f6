"""Folders of LMs that somebody changed: nothing outside is read or run, and nothing is made up."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.lm import load_lm, load_tokenizer
from tests.conftest import make_tiny_lm
from tests.hostile import as_json, damaged, fuzzed, limited, mutated, survives

SEEDS = st.integers(0, 2**48)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SETTINGS = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole LM, and one in shards."""
    folder, lm = tmp_path_factory.mktemp("valid"), make_tiny_lm(layers=1, width=8, heads=2)
    for name, size in (("whole", "1GB"), ("shards", "3KB")):
        lm.model.save_pretrained(folder / name, max_shard_size=size)
        lm.tokenizer.save_pretrained(folder / name)
    return folder


def answers(folder: Path) -> Any:
    """What an LM says: all logits behind a text, and how it is cut."""
    lm = load_lm(str(folder), device="cpu")
    ids = lm.tokenizer("Ann puts the tea", return_tensors="pt").input_ids
    return ids.tolist(), lm.model(ids).logits


def tokens(folder: Path) -> Any:
    return list(load_tokenizer(str(folder))("Ann puts the tea")[0])


def with_header(content: bytes, header: Any, length: int | None = None) -> bytes:
    """A file of safetensors with another header."""
    (before,) = struct.unpack("<Q", content[:8])
    text = header if isinstance(header, bytes) else as_json(header)
    size = len(text) if length is None else length
    return struct.pack("<Q", size) + text + content[8 + before :]


def header_of(content: bytes) -> Any:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


@fuzzed(12)
@given(SEEDS, st.sampled_from(SETTINGS))
def test_hostile_settings(valid: Path, tmp_path: Path, seed: int, name: str) -> None:
    rng, folder = Random(seed), tmp_path / "lm"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(valid / "whole", folder)
    file = folder / name
    if rng.random() < 0.8:
        file.write_bytes(as_json(mutated(json.loads(file.read_bytes()), rng)))
    else:
        file.write_bytes(damaged(file.read_bytes(), rng))
    survives(lambda: tokens(folder))
    survives(lambda: load_lm(str(folder), device="cpu"))


@fuzzed(12)
@given(SEEDS)
def test_hostile_weights(valid: Path, tmp_path: Path, seed: int) -> None:
    """The header is changed: what is still loaded says the same as ever, bit by bit."""
    rng, folder = Random(seed), tmp_path / "lm"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(valid / "whole", folder)
    file = folder / WEIGHTS
    content = file.read_bytes()
    kind = rng.randrange(3)
    header = header_of(content)
    if kind == 0:
        file.write_bytes(with_header(content, mutated(header, rng)))
    elif kind == 1:
        length = rng.choice((0, 1, 2**20, 2**31, 2**63, 2**64 - 1))
        file.write_bytes(with_header(content, header, length))
    else:
        file.write_bytes(damaged(content, rng, within=len(as_json(header))))
    found = survives(lambda: answers(folder))
    if found is not None and kind == 0:
        assert_like(header_of(file.read_bytes()), header, found, answers(valid / "whole"))


def assert_like(header: Any, before: Any, found: Any, known: Any) -> None:
    """Another header with the same tensors at the same places gives the same LM."""
    if {k: v for k, v in header.items() if k != "__metadata__"} == {
        k: v for k, v in before.items() if k != "__metadata__"
    }:
        assert torch.equal(found[1], known[1])


@fuzzed(12)
@given(SEEDS)
def test_hostile_indices(valid: Path, tmp_path: Path, seed: int) -> None:
    rng, folder = Random(seed), tmp_path / "lm"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(valid / "shards", folder)
    file = folder / INDEX
    file.write_bytes(as_json(mutated(json.loads(file.read_bytes()), rng)))
    found = survives(lambda: answers(folder))
    if found is not None:
        assert torch.equal(found[1], answers(valid / "shards")[1])


FOUND = [
    ("config.json", {"num_hidden_layers": 10**6}, "blocks"),
    ("config.json", {"num_hidden_layers": 10**30}, "blocks"),
    ("config.json", {"hidden_size": 10**5, "intermediate_size": 10**6}, "numbers"),
    ("config.json", {"vocab_size": 10**9}, "numbers"),
    ("tokenizer_config.json", {"model_max_length": [1]}, "tokenizer"),
    ("tokenizer_config.json", {"model_max_length": {"a": 1}}, "tokenizer"),
]
"""What was found: settings that took minutes, gigabytes, or ended in a traceback."""


@pytest.mark.parametrize(("name", "fields", "part"), FOUND)
def test_settings_that_did_harm(
    valid: Path, tmp_path: Path, name: str, fields: dict[str, Any], part: str
) -> None:
    shutil.copytree(valid / "whole", tmp_path / "lm")
    file = tmp_path / "lm" / name
    file.write_bytes(as_json({**json.loads(file.read_bytes()), **fields}))
    with limited(), pytest.raises(CfgenError, match=part):
        load_lm(str(tmp_path / "lm"), device="cpu")
