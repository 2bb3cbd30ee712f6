"""Put a written dataset on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def check_repo(repo: str) -> None:
    """Check the name of a dataset on the Hub, best before anything is generated.

    Raises:
        CfgenError: If it is not ``owner/name`` (``bad-repo``).
    """
    if not _REPO.fullmatch(repo):
        message = f"{repo!r} is not the name of a dataset on the Hub"
        hint = "name it as in its address there: owner/name"
        raise CfgenError(Problem("bad-repo", message, hint=hint))


def push_to_hub(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload a folder that :func:`cfgen.datasets.write_dataset` wrote.

    The login is the one of ``hf auth login``, or the environment variable ``HF_TOKEN``.

    Args:
        folder: The dataset.
        repo: ``owner/name``; made if it does not exist.
        private: Whether a new repository is private.

    Returns:
        Address of the dataset.

    Raises:
        CfgenError: If the Hub does not take it (``hub-upload``), or the name is wrong
            (``bad-repo``).
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    check_repo(repo)
    # what the connection itself raises is among the bases of the Hub's own error
    failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, HFValidationError)
    hub = HfApi(library_name="cfgen")
    try:
        url = hub.create_repo(repo, repo_type="dataset", exist_ok=True, private=private)
        hub.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Upload dataset",
        )
    except failures as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"the dataset is in {display(folder)}, but the Hub did not take it as {repo}"
        hint = "log in with `hf auth login`, check that you may write there, and run this again"
        raise CfgenError(Problem("hub-upload", message, hint=hint, detail=reason)) from error
    return str(url)
