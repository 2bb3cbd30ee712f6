"""Terms to accept before anything is fetched, and pages as text."""

from __future__ import annotations

import json
import shutil
import sys
import types

import pytest

from cfgen.errors import CfgenError
from cfgen.weights import fetch, find_checkpoint, list_models, load_entries, plain_text, terms_text

GGUF = b"weights" * 1000
PAGE = b"""<!DOCTYPE html><html><head><title>No</title><style>p {}</style></head><body>
<nav><h1>Menu</h1></nav><p>Skip this</p><main><article><div>Home</div><button>Share</button>
<h1>Terms of <em>Small</em> LMs</h1><p>You &amp; we\n agree.</p><ul><li>(a) Be kind.</li></ul>
<script>x = "<p>no</p>"</script></article></main><p>Footer</p></body></html>"""
TEXT = "Terms of Small LMs\n\nYou & we agree.\n\n(a) Be kind.\n"


@pytest.fixture
def shop(open_shop, monkeypatch):
    """A base under terms; what stands in for the conversion copies the file."""

    def convert_gguf(gguf, folder, *, progress):
        shutil.copy(gguf, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")

    module = types.SimpleNamespace(convert_gguf=convert_gguf)
    monkeypatch.setitem(sys.modules, "cfgen.weights.conversion", module)
    return open_shop(GGUF, terms=PAGE)


def entry():
    return load_entries()["small"]


def problem(action=lambda: fetch(entry())):
    with pytest.raises(CfgenError) as caught:
        action()
    (found,) = caught.value.problems
    return found


def test_nothing_is_fetched_before_they_are_accepted(shop, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    found = problem()
    assert found.code == "lm-licence"
    assert "Terms of Small LMs" in found.message
    assert "--accept-license" in found.hint
    assert "accept_license=True" in found.hint
    assert "Be kind." in found.detail
    assert "https://example.org/terms" in found.detail
    assert "cfgen models licence small" in found.detail
    assert not shop.cache.exists()


def test_accepted_once_is_accepted(shop):
    folder = fetch(entry(), accept_license=True)
    assert (folder / "model.safetensors").read_bytes() == GGUF
    assert (folder / "NOTICE.txt").read_text().startswith("Be kind.\n")
    assert (folder / "TERMS.txt").read_text() == TEXT
    (record,) = (shop.cache / "licences").iterdir()
    assert record.name.startswith("terms-of-small-lms-")
    said = json.loads(record.read_text())
    assert (said["licence"], said["url"]) == ("Terms of Small LMs", "https://example.org/terms")

    shutil.rmtree(shop.cache / "models")
    assert fetch(entry()) == folder
    shutil.rmtree(shop.cache / "licences")
    assert fetch(entry()) == folder  # it is here, so nothing is fetched


def test_accepting_outlives_a_download_that_fails(shop):
    wheel = shop.wheel.rename(shop.root / "away.whl")
    assert problem(lambda: fetch(entry(), accept_license=True)).code == "lm-download"
    wheel.rename(shop.wheel)
    assert fetch(entry()).is_dir()


def test_other_terms_are_asked_for_again(shop):
    fetch(entry(), accept_license=True)
    shutil.rmtree(shop.cache / "models")
    shop.yaml.write_text(shop.yaml.read_text().replace("Be kind.", "Be very kind."))
    assert problem().code == "lm-licence"


def test_the_same_terms_of_another_lm_are_not(shop):
    fetch(entry(), accept_license=True)
    shutil.copy(shop.yaml, shop.yaml.with_name("small-too.yaml"))
    assert fetch(load_entries()["small-too"]).name.startswith("small-too-")


def test_an_adapter_asks_for_the_terms_of_its_base(shop):
    folder = shop.yaml.parent / "more"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text("{}")
    text = "description: x\nlicence: MIT\nbase: small\nadapter: more\n"
    (shop.yaml.parent / "small-more.yaml").write_text(text)
    assert problem(lambda: find_checkpoint("small-more")).code == "lm-licence"
    listed = {one.name: one for one in list_models()}["small-more"]
    assert (listed.terms, listed.accepted) == ("https://example.org/terms", False)
    assert find_checkpoint("small-more", accept_license=True).adapter == folder
    assert {one.name: one for one in list_models()}["small-more"].accepted


def test_lms_without_terms_ask_for_nothing(shop):
    text = shop.yaml.read_text().partition("terms:")[0]
    shop.yaml.write_text(text)
    listed = {one.name: one for one in list_models()}["small"]
    assert (listed.terms, listed.accepted) == (None, True)
    folder = fetch(entry(), accept_license=True)
    assert not (shop.cache / "licences").exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        "cfgen.json",
        "config.json",
        "model.safetensors",
    ]


def test_a_cache_that_cannot_remember(shop):
    shop.cache.mkdir()
    (shop.cache / "licences").write_text("in the way")
    found = problem(lambda: fetch(entry(), accept_license=True))
    assert (found.code, "CFGEN_CACHE" in found.hint) == ("lm-cache", True)


def test_terms_in_full(shop):
    shown = terms_text(entry())
    assert shown == f"Terms of Small LMs: https://example.org/terms\nBe kind.\n\n{TEXT}"
    assert not shop.cache.exists()


def test_terms_without_their_text(shop):
    text = shop.yaml.read_text()
    shop.yaml.write_text(text.partition("  text:")[0])
    assert terms_text(entry()) == "Terms of Small LMs: https://example.org/terms\nBe kind.\n"
    assert "cfgen models licence" not in problem().detail
    assert not (fetch(entry(), accept_license=True) / "TERMS.txt").exists()


def test_another_text_under_the_same_name(shop):
    wheel = shop.index / "small_terms-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    assert problem(lambda: terms_text(entry())).code == "lm-wrong-hash"
    assert problem(lambda: fetch(entry(), accept_license=True)).code == "lm-wrong-hash"


def test_plain_text_stays_as_it_is():
    assert plain_text(b"\n1. Be  kind.\n\n  2. Always.\n\n") == "1. Be  kind.\n\n  2. Always.\n"


def test_pages_are_filled_to_eighty_columns():
    page = b"<html><body><h1>T</h1><p>" + b"word " * 50 + b"</p></body></html>"
    lines = plain_text(page).splitlines()
    assert lines[:2] == ["T", ""]
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[2:]).split() == ["word"] * 50
