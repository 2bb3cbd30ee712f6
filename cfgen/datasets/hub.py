"""Put a written dataset on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from cfgen.errors import CfgenError, Problem


def check_repo(repo: str) -> None:
    """Check the name of a dataset on the Hub, best before anything is generated.

    Raises:
        CfgenError: If it is not ``owner/name`` (``bad-repo``).
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        message = f"{repo!r} is not the name of a dataset on the Hub: {error}"
        hint = "name it as owner/name"
        raise CfgenError(Problem("bad-repo", message, hint=hint)) from error


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
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    check_repo(repo)
    hub = HfApi(library_name="cfgen")
    try:
        url = hub.create_repo(repo, repo_type="dataset", exist_ok=True, private=private)
        hub.upload_folder(
            repo_id=url.repo_id,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Upload dataset",
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, HTTPError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"the dataset is in {folder}, but the Hub did not take it as {repo}: {reason}"
        hint = "log in with `hf auth login`, check that you may write there, and run this again"
        raise CfgenError(Problem("hub-upload", message, hint=hint)) from error
    return str(url)
