from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from cfgen.errors import CfgenError
from cfgen.lm import load_lm
from cfgen.paths import display


def problem(name: str, **options: str):
    with pytest.raises(CfgenError) as caught:
        load_lm(name, **options)
    (found,) = caught.value.problems
    return found


def ids(lm) -> torch.Tensor:
    return lm.tokenizer("Ann puts the tea into the mug", return_tensors="pt")["input_ids"]


# A folder.


def test_a_folder_gives_a_frozen_model_with_offsets(tiny_folder):
    lm = load_lm(str(tiny_folder), device="cpu")
    assert not lm.model.training
    assert not any(parameter.requires_grad for parameter in lm.model.parameters())
    assert {parameter.dtype for parameter in lm.model.parameters()} == {torch.float32}
    assert lm.model.config._attn_implementation == "sdpa"
    assert (lm.name, lm.device, lm.dtype) == (str(tiny_folder), torch.device("cpu"), torch.float32)
    text = "Ann puts tea"
    offsets = lm.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[start:end] for start, end in offsets] == ["Ann", " puts", " tea"]


def test_loading_changes_no_output(tiny_folder, build_tiny_lm):
    original, loaded = build_tiny_lm(layers=2), load_lm(str(tiny_folder), device="cpu")
    tokens = ids(original)
    assert torch.equal(loaded.model(tokens).logits, original.model(tokens).logits)


def test_a_padded_batch_gives_the_unpadded_answer(tiny_folder):
    lm = load_lm(str(tiny_folder), device="cpu")
    texts = ["Ann", "Ben puts the old red tea into the second new blue mug and asks"]
    batch = lm.tokenizer(texts, return_tensors="pt", padding=True)
    assert batch["attention_mask"][0].tolist() == [0] * 13 + [1]
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    together = lm.model(**batch, position_ids=positions).logits[:, -1]
    for row, text in zip(together, texts, strict=True):
        alone = lm.model(**lm.tokenizer(text, return_tensors="pt")).logits[0, -1]
        torch.testing.assert_close(row, alone, atol=1e-4, rtol=1e-4)


def test_folder_named_relatively(tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    assert load_lm("./tiny", device="cpu").revision == load_lm("tiny", device="cpu").revision


def test_revision_names_the_weights(tiny_folder, tmp_path):
    before = load_lm(str(tiny_folder)).revision
    assert before.startswith("sha256:")
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    assert load_lm(str(copy)).revision == before
    state = load_file(copy / "model.safetensors")
    state["model.norm.weight"][3] += 1e-6
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    after = load_lm(str(copy)).revision
    assert after != before
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"rope_theta": 10000.0', '"rope_theta": 500.0'))
    assert load_lm(str(copy)).revision not in (before, after)


def test_everything_that_decides_is_in_the_revision(tiny_folder):
    known = {load_lm(str(tiny_folder)).revision}
    (tiny_folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    known.add(load_lm(str(tiny_folder)).revision)
    (tiny_folder / "additional_chat_templates").mkdir()
    (tiny_folder / "additional_chat_templates" / "tool.jinja").write_text("x")
    known.add(load_lm(str(tiny_folder)).revision)
    for name in ("tokenizer_config.json", "tokenizer.json", "config.json"):
        file = tiny_folder / name
        file.write_text(json.dumps(json.loads(file.read_text()), indent=7))
        known.add(load_lm(str(tiny_folder)).revision)
    assert len(known) == 6
    (tiny_folder / "notes.md").write_text("of no account")
    assert load_lm(str(tiny_folder)).revision in known


def test_attention_is_known(tiny_folder):
    assert load_lm(str(tiny_folder)).attention == "sdpa"


# Shards.


@pytest.fixture
def sharded(tiny_folder):
    """The tiny folder with its weights in two files, one of them in a folder."""
    state = load_file(tiny_folder / "model.safetensors")
    (tiny_folder / "model.safetensors").unlink()
    (tiny_folder / "more").mkdir()
    names = ("model-1-of-2.safetensors", "more/model-2-of-2.safetensors")
    placed = {key: names[index % 2] for index, key in enumerate(sorted(state))}
    for name in names:
        part = {key: state[key] for key, place in placed.items() if place == name}
        save_file(part, tiny_folder / name, metadata={"format": "pt"})
    index = tiny_folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return tiny_folder


def test_shards_are_loaded_and_hashed_wherever_they_lie(sharded, build_tiny_lm):
    lm, reference = load_lm(str(sharded), device="cpu"), build_tiny_lm(layers=2)
    assert torch.equal(lm.model(ids(lm)).logits, reference.model(ids(lm)).logits)
    second = sharded / "more" / "model-2-of-2.safetensors"
    state = {key: value * 2 for key, value in load_file(second).items()}
    save_file(state, second, metadata={"format": "pt"})
    assert load_lm(str(sharded)).revision != lm.revision


@pytest.mark.parametrize("name", ["model-1-of-2.safetensors", "more/model-2-of-2.safetensors"])
def test_a_weight_in_two_shards(sharded, build_tiny_lm, name):
    """transformers takes the last one, whichever the index names."""
    both = {
        key: value
        for shard in ("model-1-of-2.safetensors", "more/model-2-of-2.safetensors")
        for key, value in load_file(sharded / shard).items()
    }
    shard = sharded / name
    save_file(both, shard, metadata={"format": "pt"})
    original, loaded = build_tiny_lm(layers=2), load_lm(str(sharded), device="cpu")
    assert torch.equal(loaded.model(ids(original)).logits, original.model(ids(original)).logits)
    key = "model.norm.weight"
    for index, other in enumerate(("model-1-of-2.safetensors", "more/model-2-of-2.safetensors")):
        state = load_file(sharded / other)
        save_file({**state, key: both[key] * (1 + index)}, sharded / other, {"format": "pt"})
    found = problem(str(sharded))
    assert (found.code, found.detail) == ("lm-leftover", key)
    assert "1 weights in two files, which differ" in found.message


def test_shards_behind_links_are_loaded(sharded, tmp_path):
    before = load_lm(str(sharded)).revision
    blob = tmp_path / "blob"
    shard = sharded / "model-1-of-2.safetensors"
    shard.rename(blob)
    shard.symlink_to(blob)
    assert load_lm(str(sharded)).revision == before


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "a\\b", "", 3, "more/.."])
def test_names_of_shards_that_lead_elsewhere(sharded, name):
    index = sharded / "model.safetensors.index.json"
    read = json.loads(index.read_text())
    read["weight_map"]["model.norm.weight"] = name
    index.write_text(json.dumps(read))
    found = problem(str(sharded))
    assert (found.code, "a file of weights" in found.message) == ("unsafe-name", True)


def test_a_shard_that_is_missing_or_no_file(sharded):
    shard = sharded / "model-1-of-2.safetensors"
    shard.unlink()
    found = problem(str(sharded))
    assert (found.code, found.detail) == ("lm-incomplete", shard.name)
    os.mkfifo(shard)
    assert problem(str(sharded)).code == "lm-incomplete"
    shard.unlink()
    shard.symlink_to("/dev/zero")
    assert problem(str(sharded)).code == "lm-incomplete"


def test_an_index_without_shards(sharded):
    for text in ("{}", "[]", "no JSON", '{"weight_map": {}}', '{"weight_map": 3}'):
        (sharded / "model.safetensors.index.json").write_text(text)
        assert problem(str(sharded)).code == "lm-folder"


def test_weights_that_the_configuration_names(tiny_folder):
    before = load_lm(str(tiny_folder)).revision
    (tiny_folder / "model.safetensors").rename(tiny_folder / "mine.safetensors")
    assert problem(str(tiny_folder)).message.endswith("holds no model.safetensors")
    file = tiny_folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "transformers_weights": "mine.safetensors"}))
    assert load_lm(str(tiny_folder)).revision != before
    file.write_text(json.dumps({**config, "transformers_weights": "../mine.safetensors"}))
    assert problem(str(tiny_folder)).code == "unsafe-name"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype(tiny_folder, dtype):
    lm = load_lm(str(tiny_folder), device="cpu", dtype=dtype)
    assert lm.dtype == getattr(torch, dtype)
    assert {parameter.dtype for parameter in lm.model.parameters()} == {lm.dtype}
    assert lm.model(ids(lm)).logits.isfinite().all()


def test_padding_token_is_found_where_there_is_none(tiny_folder):
    file = tiny_folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["pad_token"]
    file.write_text(json.dumps(settings))
    assert load_lm(str(tiny_folder)).tokenizer.pad_token == "<eos>"
    del settings["eos_token"]
    file.write_text(json.dumps(settings))
    assert load_lm(str(tiny_folder)).tokenizer.pad_token_id == 0


def test_nothing_is_printed_and_nothing_stays_switched_off(tiny_folder, capfd):
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled
    from transformers.utils import logging

    logging.set_verbosity_info()
    logging.enable_progress_bar()
    filters, generator = list(warnings.filters), torch.get_rng_state()
    try:
        load_lm(str(tiny_folder))
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
        assert not are_progress_bars_disabled()
    finally:
        logging.set_verbosity_warning()
    assert warnings.filters == filters
    assert torch.equal(torch.get_rng_state(), generator)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_missing_weights_are_never_made_up(tiny_folder):
    weights = tiny_folder / "model.safetensors"
    state = load_file(weights)
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, weights, metadata={"format": "pt"})
    found = problem(str(tiny_folder))
    assert found.code == "lm-incomplete"
    assert found.detail == "model.layers.1.mlp.up_proj.weight"


def test_weights_of_another_shape(tiny_folder):
    config = tiny_folder / "config.json"
    config.write_text(
        config.read_text().replace('"intermediate_size": 64', '"intermediate_size": 65')
    )
    assert problem(str(tiny_folder)).code in ("lm-incomplete", "lm-unreadable")


def test_all_weights_of_another_shape_are_named(tiny_folder):
    weights = tiny_folder / "model.safetensors"
    state = load_file(weights)
    state["model.norm.weight"] = torch.ones(33)
    save_file(state, weights, metadata={"format": "pt"})
    found = problem(str(tiny_folder))
    assert found.code == "lm-incomplete"
    assert found.detail == "model.norm.weight: [33], not [32]"


def save_anew(model, tokenizer, folder: Path, **config: object) -> str:
    """Save an LM in a folder of its own, with other entries in its configuration."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return str(folder)


def test_biases_that_the_configuration_denies(build_tiny_lm, tmp_path):
    lm = build_tiny_lm(layers=1, attention_bias=True)
    found = problem(save_anew(lm.model, lm.tokenizer, tmp_path, attention_bias=False))
    assert found.code == "lm-leftover"
    assert "has 4 weights without a place" in found.message
    assert "model.layers.0.self_attn.k_proj.bias" in found.detail
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "attention_bias": True}))
    assert torch.equal(load_lm(str(tmp_path)).model(ids(lm)).logits, lm.model(ids(lm)).logits)


def test_more_layers_than_the_configuration_has(build_tiny_lm, tmp_path):
    lm = build_tiny_lm(layers=4)
    found = problem(save_anew(lm.model, lm.tokenizer, tmp_path, num_hidden_layers=2))
    assert found.code == "lm-leftover"
    assert "has 18 weights" in found.message
    assert found.detail.startswith("model.layers.2.input_layernorm.weight\n")
    assert found.detail.endswith("and 10 more")


def test_leftovers_of_training(tiny_folder):
    weights = tiny_folder / "model.safetensors"
    state = load_file(weights)
    key = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    save_file({**state, key: torch.zeros(4, 32)}, weights, metadata={"format": "pt"})
    found = problem(str(tiny_folder))
    assert (found.code, found.detail) == ("lm-leftover", key)


def test_what_transformers_declares_harmless_is_loaded(build_tiny_lm, build_family_lm, tmp_path):
    """Buffers of old files, and a head that is tied to the embedding and saved all the same."""
    tied = build_tiny_lm(layers=1, tie_word_embeddings=True)
    gpt2 = build_tiny_lm(layers=1, family="gpt2")
    gptj = build_family_lm("gptj")
    more = {
        tied: {
            "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
            "lm_head.weight": tied.model.lm_head.weight.clone(),
        },
        gpt2: {
            "transformer.h.0.attn.bias": torch.ones(1, 1, 512, 512),
            "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
        },
        gptj: {
            "transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64),
            "transformer.h.0.attn.masked_bias": torch.tensor(-1e9),
        },
    }
    for lm, buffers in more.items():
        folder = tmp_path / type(lm.model).__name__
        save_anew(lm.model, lm.tokenizer, folder)
        state = load_file(folder / "model.safetensors")
        save_file({**state, **buffers}, folder / "model.safetensors", metadata={"format": "pt"})
        assert torch.equal(load_lm(str(folder)).model(ids(lm)).logits, lm.model(ids(lm)).logits)


def test_weights_that_transformers_cannot_convert_are_named(build_tiny_lm, tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "vocab_size": 109}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4}
    config = AutoConfig.for_model("mixtral", **sizes, **heads)
    save_anew(AutoModelForCausalLM.from_config(config), build_tiny_lm().tokenizer, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    key = "model.layers.0.block_sparse_moe.experts.1.w1.weight"
    state[key] = state[key][:-1].clone()
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = problem(str(tmp_path))
    assert found.code == "lm-unreadable"
    assert "experts" in found.detail
    assert display(tmp_path) in found.detail


def test_truncated_weights(tiny_folder):
    weights = tiny_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert problem(str(tiny_folder)).code == "lm-unreadable"


def test_pickled_weights_are_not_read(tiny_folder):
    state = load_file(tiny_folder / "model.safetensors")
    (tiny_folder / "model.safetensors").unlink()
    torch.save(state, tiny_folder / "pytorch_model.bin")
    found = problem(str(tiny_folder))
    assert found.code == "lm-folder"
    assert "holds no *.safetensors" in found.message


def test_code_that_comes_with_a_model_is_not_run(tiny_folder):
    config = json.loads((tiny_folder / "config.json").read_text())
    config["model_type"] = "home_made"
    config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
    (tiny_folder / "config.json").write_text(json.dumps(config))
    ran = tiny_folder / "ran"
    (tiny_folder / "mine.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: ...\n")
    assert problem(str(tiny_folder)).code == "lm-unreadable"
    assert not ran.exists()


def test_a_model_that_is_not_a_language_model(tiny_folder):
    (tiny_folder / "config.json").write_text('{"model_type": "vit"}')
    assert problem(str(tiny_folder)).code == "lm-unreadable"


def test_no_tokenizer(tiny_folder):
    for file in tiny_folder.glob("tokenizer*"):
        file.unlink()
    assert problem(str(tiny_folder)).code in ("lm-unreadable", "lm-tokenizer")


# Names.


def test_unknown_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typo = problem("smollm2-153m")
    assert (typo.code, typo.message) == ("lm-unknown", "there is no known LM 'smollm2-153m'")
    assert "did you mean 'smollm2-135m'?" in typo.hint
    assert "owner/name@revision" in typo.hint
    assert "./folder" in typo.hint
    assert "smollm2-135m" in problem("zzz").hint
    assert problem("./zzz").message == "there is no folder ./zzz"
    assert problem("~/zzz/zzz").code == "lm-unknown"
    assert problem("a/b/c").code == "lm-unknown"
    assert problem("").code == "lm-unknown"


def test_folders_that_hold_no_model(tmp_path):
    assert "holds no config.json" in problem(str(tmp_path)).message
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "data/models/<name>.yaml" in problem(str(tmp_path)).hint


def test_files_that_nobody_may_read(tiny_folder, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tiny_folder / "config.json"))

    with monkeypatch.context() as patch:
        patch.setattr("cfgen.weights.names.content_hash", refuse)
        found = problem(str(tiny_folder))
        assert found.message.endswith("config.json can't be read: Permission denied")
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert problem(str(tiny_folder)).code == "lm-folder"


# The Hub.


@pytest.fixture
def hub(tmp_path, monkeypatch, tiny_folder):
    """A cache of the Hub with one model in it, and no way to the Hub itself."""
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(tiny_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return commit


def test_hub_id_from_the_cache(hub):
    for name in ("owner/tiny", "owner/tiny@main", f"owner/tiny@{hub}"):
        assert load_lm(name).revision.startswith(f"{hub}+files:sha256:")


def test_hub_id_of_which_only_a_part_is_in_the_cache(hub, tmp_path):
    before = load_lm("owner/tiny").revision
    snapshot = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / hub
    (snapshot / "chat_template.jinja").write_text("x")
    assert load_lm("owner/tiny").revision != before
    (snapshot / "model.safetensors").unlink()
    found = problem("owner/tiny")
    assert (found.code, "the Hub has none" in found.hint) == ("lm-folder", True)


def test_hub_id_that_is_not_in_the_cache(hub):
    for name in ("owner/tiny@v2", "owner/other"):
        found = problem(name)
        assert found.code == "lm-hub"
        assert name in found.message
        assert "cfgen models" in found.hint
    assert problem("owner/ti:ny").message == "'owner/ti:ny' is not a Hub id"


def test_full_disk_while_the_hub_is_read(hub, monkeypatch):
    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    assert problem("owner/tiny").code == "lm-no-space"


# Devices and dtypes.


def test_impossible_devices_and_dtypes(tiny_folder, monkeypatch):
    name = str(tiny_folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert load_lm(name, device="auto").device == torch.device("cpu")
    for device in ("cuda", "cuda:0", "mps", "cpu:1"):
        found = problem(name, device=device)
        assert (found.code, device in found.message) == ("lm-device", True)
    assert "did you mean 'cuda'?" in problem(name, device="cdua").hint
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cuda:2", "cuda:-1", "cuda:x"):
        assert problem(name, device=device).code == "lm-device"
    found = problem(name, device="cpu", dtype="float23")
    assert (found.code, found.hint) == ("lm-dtype", "did you mean 'float32'?")


# Adapters.


@pytest.fixture
def adapted(tmp_path, monkeypatch, tiny_folder) -> Path:
    """A project with an adapter on the tiny folder; returns the adapter's folder."""
    models = tmp_path / "data" / "models"
    models.mkdir(parents=True)
    text = "description: x\nlicence: MIT\nbase: ../../tiny\nadapter: more\n"
    (models / "tiny-more.yaml").write_text(text)
    folder = models / "more"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for layer in range(2):
        for name, out in (("q_proj", 32), ("v_proj", 16)):
            key = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            state[f"{key}.lora_A.weight"] = torch.randn(4, 32, generator=generator).bfloat16()
            state[f"{key}.lora_B.weight"] = torch.randn(out, 4, generator=generator).bfloat16()
    save_file(state, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}
    settings["target_modules"] = ["q_proj", "v_proj"]
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    return folder


def test_adapter_is_merged_into_the_base(adapted):
    base, lm = load_lm("./tiny", device="cpu"), load_lm("tiny-more", device="cpu")
    assert type(lm.model) is type(base.model)
    before, after = base.model.state_dict(), lm.model.state_dict()
    assert before.keys() == after.keys()
    state = load_file(adapted / "adapter_model.safetensors")
    changed = set()
    for key, value in before.items():
        lora = f"base_model.model.{key.removesuffix('.weight')}.lora_{{}}.weight"
        expected = value
        if lora.format("A") in state:
            down, up = state[lora.format("A")].float(), state[lora.format("B")].float()
            expected = value + 8 / 4 * up @ down
            changed.add(key)
        torch.testing.assert_close(after[key], expected, atol=1e-5, rtol=1e-5)
    assert len(changed) == 4
    assert not any(parameter.requires_grad for parameter in lm.model.parameters())
    assert lm.revision.startswith(f"{base.revision}+adapter:sha256:")


def test_adapter_is_merged_before_rounding(adapted):
    exact, rounded = load_lm("tiny-more"), load_lm("tiny-more", dtype="bfloat16")
    for key, value in exact.model.state_dict().items():
        assert torch.equal(rounded.model.state_dict()[key], value.bfloat16())


def test_adapter_draws_no_random_numbers_and_prints_nothing(adapted, capfd):
    generator = torch.get_rng_state()
    revision = load_lm("tiny-more").revision
    assert torch.equal(torch.get_rng_state(), generator)
    assert capfd.readouterr() == ("", "")
    weights = adapted / "adapter_model.safetensors"
    state = load_file(weights)
    save_file({key: value * 2 for key, value in state.items()}, weights)
    assert load_lm("tiny-more").revision != revision


def test_adapter_without_some_of_its_weights(adapted):
    weights = adapted / "adapter_model.safetensors"
    state = load_file(weights)
    del state["base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"]
    save_file(state, weights)
    found = problem("tiny-more")
    assert found.code == "lm-incomplete"
    assert "layers.1.self_attn.q_proj.lora_B" in found.detail


def test_adapter_of_another_model(adapted):
    weights = adapted / "adapter_model.safetensors"
    state = load_file(weights)
    key = "base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight"
    save_file({**state, key: torch.zeros(32, 4)}, weights)
    found = problem("tiny-more")
    assert found.code == "lm-unreadable"
    assert "layers.9" in found.detail


def test_all_of_an_adapter_is_in_the_revision(adapted):
    revision = load_lm("tiny-more").revision
    file = adapted / "adapter_config.json"
    file.write_text(file.read_text().replace('"lora_alpha": 8', '"lora_alpha": 800'))
    assert load_lm("tiny-more").revision != revision


def test_adapter_on_a_tied_head(adapted, build_tiny_lm):
    """The head moves away from the embedding, which stays as it was."""
    tied = build_tiny_lm(layers=2, tie_word_embeddings=True)
    save_anew(tied.model, tied.tokenizer, Path("tiny"))
    generator = torch.Generator().manual_seed(0)
    key = "base_model.model.lm_head"
    rows = tied.model.config.vocab_size
    down, up = (
        torch.randn(4, 32, generator=generator),
        torch.randn(rows, 4, generator=generator),
    )
    state = {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
    save_file(state, adapted / "adapter_model.safetensors")
    file = adapted / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "target_modules": ["lm_head"]}))
    lm = load_lm("tiny-more", device="cpu")
    before = tied.model.model.embed_tokens.weight
    assert torch.equal(lm.model.model.embed_tokens.weight, before)
    torch.testing.assert_close(lm.model.lm_head.weight, before + 2 * up @ down)


def test_a_module_that_an_adapter_replaces_has_to_be_there(adapted):
    file = adapted / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "modules_to_save": ["lm_head"]}))
    found = problem("tiny-more")
    assert (found.code, "lm_head" in found.detail) == ("lm-unreadable", True)


def test_an_adapter_that_cannot_be_merged(adapted):
    file = adapted / "adapter_config.json"
    settings = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 2}
    file.write_text(json.dumps(settings))
    found = problem("tiny-more")
    assert (found.code, "PROMPT_TUNING" in found.detail) == ("lm-unreadable", True)


def test_an_adapter_beside_the_weights_is_asked_for(adapted):
    known = load_lm("tiny-more", device="cpu")
    for file in adapted.iterdir():
        shutil.copy(file, "tiny")
    found = problem("./tiny")
    assert (found.code, found.message) == ("lm-adapter", "tiny holds an adapter beside the weights")
    assert "adapter:./tiny" in found.hint
    assert "weights:./tiny" in found.hint
    bare, merged = load_lm("weights:./tiny", device="cpu"), load_lm("adapter:./tiny", device="cpu")
    assert merged.revision == known.revision
    assert merged.revision.startswith(f"{bare.revision}+adapter:sha256:")
    for key, value in known.model.state_dict().items():
        assert torch.equal(merged.model.state_dict()[key], value)
    assert not torch.equal(bare.model(ids(bare)).logits, merged.model(ids(bare)).logits)
    for file in adapted.iterdir():
        (Path("tiny") / file.name).unlink()
    assert load_lm("./tiny").revision == bare.revision
    assert problem("adapter:./tiny").code == "lm-folder"


def test_an_adapter_beside_the_weights_names_no_other_weights(adapted):
    settings = json.loads((adapted / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(Path("elsewhere").absolute())
    shutil.copytree("tiny", "elsewhere")
    Path("tiny/adapter_config.json").write_text(json.dumps(settings))
    Path("tiny/config.json").unlink()
    assert problem("weights:./tiny").code == "lm-folder"
    assert problem("adapter:./tiny").code == "lm-folder"


def test_a_known_adapter_in_the_folder_of_its_base(adapted):
    for file in adapted.iterdir():
        shutil.copy(file, "tiny")
    file = adapted.parent / "tiny-more.yaml"
    before = load_lm("weights:./tiny").revision
    file.write_text(file.read_text().replace("adapter: more", "adapter: ../../tiny"))
    assert load_lm("tiny-more").revision.startswith(f"{before}+adapter:")
    file.write_text(file.read_text().replace("adapter: ../../tiny", "adapter: more"))
    assert problem("tiny-more").code == "lm-adapter"
    file.write_text(file.read_text().replace("base: ../../tiny", "base: 'weights:../../tiny'"))
    assert load_lm("tiny-more").revision.startswith(f"{before}+adapter:")
    file.write_text(file.read_text().replace("weights:", "adapter:"))
    assert problem("tiny-more").code == "lm-entry-base"


def test_adapter_that_is_not_there(adapted):
    for file in adapted.iterdir():
        file.unlink()
    with pytest.raises(CfgenError) as caught:
        load_lm("tiny-more")
    assert [found.code for found in caught.value.problems] == ["lm-entry-adapter"] * 2
    assert caught.value.problems[0].where == "data/models/tiny-more.yaml"
    assert load_lm("./tiny").name == "./tiny"
