"""``gguf:FILE``: a GGUF file of the user's own."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from cfgen.errors import CfgenError
from cfgen.lm import load_lm
from cfgen.weights import convert_own
from tests.weights.gguf_files import write_llama

NAME = "gguf:my models/small.Q4_1.gguf"


@pytest.fixture
def file(small_llama, tmp_path, monkeypatch) -> Path:
    """A GGUF file in a folder below the current one, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CFGEN_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "my models" / "small.Q4_1.gguf"
    place.parent.mkdir()
    shutil.copy(small_llama[1], place)
    return place


def problem(name: str = NAME):
    with pytest.raises(CfgenError) as caught:
        load_lm(name)
    (found,) = caught.value.problems
    return found


def left(tmp_path: Path) -> list[str]:
    models = tmp_path / "cache" / "models"
    return sorted(path.name for path in models.iterdir()) if models.is_dir() else []


def test_computes_what_transformers_computes(file, tmp_path, capfd):
    content, changed = file.read_bytes(), file.stat().st_mtime_ns
    lm = load_lm(NAME, device="cpu")
    assert capfd.readouterr() == ("", "")
    reference = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    ids = torch.tensor([[5, 17, 99, 200, 44]])
    assert torch.equal(lm.model(ids).logits, reference(ids).logits)
    sha256 = hashlib.sha256(content).hexdigest()
    assert (lm.name, lm.revision) == (NAME, f"sha256:{sha256}")
    assert left(tmp_path) == [f"gguf-{sha256[:12]}-1"]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (content, changed)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_converted_once_whatever_its_name(file, monkeypatch):
    first = load_lm(NAME)
    monkeypatch.setattr("cfgen.weights.conversion.convert_gguf", None)
    assert load_lm(f"gguf:{file}").revision == first.revision
    moved = file.rename(file.parent / "other.gguf")
    assert load_lm(f"gguf:{moved}").revision == first.revision
    monkeypatch.setenv("HOME", str(file.parent))
    assert load_lm("gguf:~/other.gguf").revision == first.revision


def test_another_file_of_the_same_name_is_another_lm(file, small_llama, tmp_path):
    before = load_lm(NAME)
    write_llama(file, small_llama[0], fields={"general.note": "written anew"})
    assert load_lm(NAME).revision != before.revision
    assert len(left(tmp_path)) == 2


def test_what_lies_beside_the_file_is_not_read(file, tmp_path):
    for name in ("config.json", "tokenizer_config.json", "adapter_config.json"):
        (file.parent / name).write_text("{")
    (file.parent / "generation_config.json").write_text('{"max_length": 1, "bad": true}')
    assert load_lm(NAME).revision.startswith("sha256:")
    (folder,) = (tmp_path / "cache" / "models").iterdir()
    assert not (folder / "adapter_config.json").exists()


def test_hashing_is_said_and_done_once(file, monkeypatch):
    monkeypatch.setattr("cfgen.weights.cache.LARGE", 0)
    os.utime(file, (1, 1))
    steps: list[tuple[str, int, int | None]] = []
    for _ in range(2):
        convert_own(NAME, progress=lambda *step: steps.append(step))
    size = file.stat().st_size
    assert [step for step in steps if step[0] == "hash"] == [("hash", size, size)]
    assert list(dict.fromkeys(step for step, _, _ in steps)) == ["hash", "convert", "save"]


def test_interrupted_while_converting(file, tmp_path):
    def interrupt(step: str, done: int, total: int | None) -> None:
        if step == "save":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_own(NAME, progress=interrupt)
    assert left(tmp_path) == []
    assert file.is_file()
    assert convert_own(NAME)[0].is_dir()


def test_a_file_that_is_not_there(file):
    found = problem("gguf:my models/small.Q4_0.gguf")
    assert (found.code, found.message) == (
        "lm-gguf",
        "there is no file my models/small.Q4_0.gguf",
    )
    assert found.hint == "did you mean gguf:my models/small.Q4_1.gguf?"
    assert "gguf:folder/model.gguf" in problem("gguf:nowhere/x.gguf").hint


@pytest.mark.parametrize("name", ["gguf:my models", "gguf:", "gguf:my models/"])
def test_a_folder(file, name):
    found = problem(name)
    assert (found.code, "is a folder" in found.message) == ("lm-gguf", True)


def test_a_file_named_without_saying_what_it_is(file):
    found = problem("./my models/small.Q4_1.gguf")
    assert (found.code, found.hint) == (
        "lm-unknown",
        "name it as gguf:./my models/small.Q4_1.gguf",
    )


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"This is not a model." * 100, b"GGUF" + b"\xff" * 200]
)
def test_a_file_that_is_no_gguf(file, tmp_path, content):
    file.write_bytes(content)
    found = problem()
    assert (found.code, left(tmp_path)) == ("lm-gguf", [])
    assert "not a whole GGUF file" in found.message


def test_a_download_that_broke_off(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-1000])
    found = problem()
    assert (found.code, left(tmp_path)) == ("lm-gguf", [])
    assert "cut short" in found.message


def test_a_file_that_nobody_may_read(file, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cfgen.weights.gguf.read_header", refuse)
    assert "Permission denied" in problem().message


def test_a_file_that_changes_meanwhile(file, tmp_path):
    def touch(step: str, done: int, total: int | None) -> None:
        if step == "save":
            os.utime(file, ns=(1, 1))

    with pytest.raises(CfgenError, match="changed while it was read"):
        convert_own(NAME, progress=touch)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": False}, "holds no tokenizer"),
        ({"fields": {"split.count": 3}}, "is one of 3 parts"),
    ],
)
def test_a_file_that_is_not_a_whole_lm(file, small_llama, tmp_path, options, message):
    write_llama(file, small_llama[0], **options)
    found = problem()
    assert (found.code, message in found.message, left(tmp_path)) == ("lm-gguf", True, [])


@pytest.mark.parametrize("key", ["llama.block_count", "llama.embedding_length"])
def test_a_file_that_does_not_say_how_large_its_model_is(file, tmp_path, key):
    content = file.read_bytes()
    place = content.index(key.encode()) + len(key)
    for wrong in (
        content.replace(key.encode(), key[:-1].encode() + b"?"),
        content[: place + 4] + b"\xff\xff\xff\x7f" + content[place + 8 :],
    ):
        file.write_bytes(wrong)
        found = problem()
        assert (found.code, left(tmp_path)) == ("lm-gguf", [])
        assert "how large its model is" in found.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "nonsense"}, "architecture nonsense is not supported"),
        ({"cut": "scissors"}, "cuts words as 'scissors'"),
        ({"without": "blk.1.ffn_up.weight"}, "layers.1.mlp.up_proj.weight"),
        ({"also": {"rope_freqs.weight": np.ones(8, np.float32)}}, "such as rope_freqs.weight"),
        ({"also": {"blk.0.attn_q.bias": np.ones(64, np.float32)}}, "numbers, of which"),
        ({"fields": {"llama.rope.scaling.type": "yarn"}}, "positions are scaled (yarn)"),
    ],
)
def test_what_transformers_would_get_wrong_is_refused(
    file, small_llama, tmp_path, options, message
):
    write_llama(file, small_llama[0], **options)
    found = problem()
    assert (found.code, found.where, left(tmp_path)) == (
        "lm-convert",
        "my models/small.Q4_1.gguf",
        [],
    )
    assert message in found.message


def test_an_adapter_on_a_file_beside_it(file, tmp_path):
    models = tmp_path / "data" / "models"
    (models / "more").mkdir(parents=True)
    shutil.copy(file, models / "base.gguf")
    text = "description: x\nlicence: MIT\nbase: gguf:base.gguf\nadapter: more\n"
    (models / "small-more.yaml").write_text(text)
    (models / "more" / "adapter_model.safetensors").write_bytes(b"")
    (models / "more" / "adapter_config.json").write_text("{}")
    assert problem("small-more").code == "lm-unreadable"  # the base was found, the adapter is empty
    assert len(left(tmp_path)) == 1
