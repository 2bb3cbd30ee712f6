from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from cfgen.datasets import check_repo, push_to_hub, recipe, write_dataset
from cfgen.errors import CfgenError


class FakeHub:
    """Stands for ``huggingface_hub.HfApi``; notes what it is asked to do."""

    calls: list[tuple[str, dict[str, Any]]]
    failure: Exception | None = None

    def __init__(self, **options: Any) -> None:
        pass

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        self.calls.append(("create", {"repo_id": repo_id, **options}))
        if self.failure:
            raise self.failure
        return "https://huggingface.co/datasets/me/pairs"

    def upload_folder(self, **options: Any) -> Any:
        self.calls.append(("upload", options))
        return SimpleNamespace()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(recipe("ioi", 20), folder)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    fake = type("Hub", (FakeHub,), {"calls": [], "failure": None})
    monkeypatch.setattr("huggingface_hub.HfApi", fake)
    return fake


def test_makes_the_repository_and_uploads_the_dataset(hub: type[FakeHub], dataset: Path) -> None:
    (dataset / "notes.txt").write_text("private")
    assert push_to_hub(dataset, "me/pairs", private=True).endswith("/datasets/me/pairs")
    (_, made), (_, sent) = hub.calls
    assert made == {
        "repo_id": "me/pairs",
        "repo_type": "dataset",
        "exist_ok": True,
        "private": True,
    }
    assert sent["repo_id"] == "me/pairs"
    assert sent["repo_type"] == "dataset"
    assert sent["folder_path"] == dataset
    assert {"README.md", "manifest.json", "data/test-00000-of-00001.parquet"} < {
        *sent["allow_patterns"]
    }
    assert "notes.txt" not in sent["allow_patterns"]


def test_what_is_no_dataset_is_not_uploaded(hub: type[FakeHub], tmp_path: Path) -> None:
    with pytest.raises(CfgenError, match="not-a-dataset"):
        push_to_hub(tmp_path, "me/pairs")
    assert hub.calls == []


def test_what_the_hub_says_is_passed_on(hub: type[FakeHub], dataset: Path) -> None:
    hub.failure = LocalTokenNotFoundError("no token\nat all")
    with pytest.raises(CfgenError) as caught:
        push_to_hub(dataset, "me/pairs")
    (problem,) = caught.value.problems
    assert problem.code == "hub-upload"
    assert problem.detail == "no token"
    assert "hf auth login" in problem.hint
    assert [name for name, _ in hub.calls] == ["create"]


@pytest.mark.parametrize("repo", ["", "pairs", "me/", "/pairs", "me/my pairs", "a/b/c", "../b"])
def test_names_that_are_none(hub: type[FakeHub], tmp_path: Path, repo: str) -> None:
    with pytest.raises(CfgenError, match="bad-repo"):
        check_repo(repo)
    with pytest.raises(CfgenError, match="bad-repo"):
        push_to_hub(tmp_path, repo)
    assert hub.calls == []
