"""Fixtures for all tests: tiny LMs with random weights, made here and now from a configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.families import SLOW, tiny_model
from tests.forking import ForkServer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from cfgen.lm import LM

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may ask a hub
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does; see its main()
if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many workers as cores: one thread for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# a property is tried with the same examples every time, unless new ones are looked for
settings.register_profile("same", derandomize=True)
settings.load_profile("default" if "CFGEN_FUZZ" in os.environ else "same")

ROOT = Path(__file__).parents[1]
TINY_WORDS = (
    "Ann Ben Cid Dora mug jar pot box tea milk juice water yes no unknown The the a an and then "
    "puts takes sees into in of it is has with fills asks what does think holds Question Answer "
    "Story first second old new red blue"
)
PUNCTUATION = tuple(".,:;?!'\"()-\n")


@pytest.hookimpl(tryfirst=True)  # before tests are left out for their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell slow tests by their family, and begin with files that have any.

    So no worker has a long one left at the end.
    """
    for item in items:
        call = getattr(item, "callspec", None)
        if call and any(value in SLOW for value in call.params.values() if isinstance(value, str)):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def tiny_tokenizer(words: Iterable[str], kind: str = "words") -> PreTrainedTokenizerFast:
    """Make a fast tokenizer with offsets.

    ``words``: one token a word, with its leading space (as byte-level BPEs have it), and one for
    each mark; a word with a hyphen takes several. ``bytes``: one token a byte.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<bos>", "<eos>", "<pad>"]
    if kind == "bytes":
        alphabet = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        vocabulary = {token: index for index, token in enumerate(alphabet)}
        backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    else:
        pieces = dict.fromkeys(piece for word in words for piece in word.split("-"))
        listed = [*special, *PUNCTUATION, " ", *pieces, *(f" {piece}" for piece in pieces)]
        vocabulary = {token: index for index, token in enumerate(dict.fromkeys(listed))}
        backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.Split(
            Regex(r" ?\w+|[^\w\s]|\s"), behavior="isolated"
        )
        backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        padding_side="left",
    )


def make_tiny_lm(
    words: Iterable[str] | str = TINY_WORDS,
    *,
    layers: int = 4,
    width: int = 32,
    heads: int = 4,
    kv_heads: int = 2,
    seed: int = 0,
    kind: str = "words",
    family: str = "llama",
    **config: Any,
) -> LM:
    """Make an LM with random weights, large enough that its outputs differ from prompt to prompt.

    Args:
        words: Its vocabulary, as a list or as one text.
        layers: Number of blocks.
        width: Width of the residual stream.
        heads: Number of attention heads.
        kv_heads: Number of key-value heads (``llama`` only).
        seed: Of the weights.
        kind: Of tokenizer, ``words`` or ``bytes``.
        family: ``llama`` (rotary positions) or ``gpt2`` (learned ones).
        **config: Further entries of the configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from cfgen.lm import LM

    listed = words.split() if isinstance(words, str) else words
    tokenizer = tiny_tokenizer(listed, kind)
    shape: dict[str, Any] = {
        "llama": {
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "max_position_embeddings": 512,
            "initializer_range": 0.3,
        },
        "gpt2": {
            "n_embd": width,
            "n_layer": layers,
            "n_head": heads,
            "n_positions": 512,
            "initializer_range": 0.3,
        },
    }[family]
    tokens = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    settings = AutoConfig.for_model(family, **{**shape, **tokens, **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            settings, dtype=torch.float32, attn_implementation="sdpa"
        )
    model.eval().requires_grad_(False)
    return LM("tiny", model, tokenizer, torch.device("cpu"), torch.float32, f"seed:{seed}")


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What ``datasets`` makes of the files that tests write does not stay in the user's cache."""
    folder = str(tmp_path_factory.mktemp("datasets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", folder)
        if "datasets" in sys.modules:  # which has read the variable when it was imported
            patch.setattr("datasets.config.HF_DATASETS_CACHE", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def processes_elsewhere() -> Iterator[None]:
    """Lint asks two processes for the values of a task: have them forked, not started each time."""
    from cfgen.lint import determinism

    started: dict[int, ForkServer] = {}

    def run(path: Path, seed: int) -> subprocess.CompletedProcess[str]:
        if seed not in started:
            started[seed] = ForkServer(seed)
        return started[seed].run(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(determinism, "run_elsewhere", run)
        yield
    for server in started.values():
        server.close()


@pytest.fixture(scope="session")
def build_tiny_lm() -> Callable[..., LM]:
    """The function that makes a tiny LM, for tests that need one of their own."""
    return make_tiny_lm


@pytest.fixture(scope="session")
def build_family_lm() -> Callable[..., LM]:
    """The function that makes a tiny LM of an architecture, one of ``tests.families.ALL``."""

    def build(name: str, *, seed: int = 0, **config: Any) -> LM:
        import torch

        from cfgen.lm import LM

        tokenizer = tiny_tokenizer(TINY_WORDS.split())
        model = tiny_model(name, seed=seed, vocabulary=len(tokenizer), **config)
        return LM(name, model, tokenizer, torch.device("cpu"), torch.float32, f"seed:{seed}")

    return build


@pytest.fixture(scope="session")
def tiny_lm() -> LM:
    """A tiny LM that all tests share: it must be left as it is."""
    return make_tiny_lm()


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A folder with a tiny LM as ``save_pretrained`` writes it."""
    lm = make_tiny_lm(layers=2)
    folder = tmp_path / "tiny"
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def smollm() -> LM:
    """The real base LM, from the user's cache, fetched if need be; for tests marked ``slow``."""
    from cfgen.lm import load_lm

    return load_lm("smollm2-135m", device="cpu")


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
