"""Find an LM on the Hugging Face Hub, or in its cache: one commit, safetensors, no code."""

from __future__ import annotations

from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.lm.cache import Progress
from cfgen.lm.quiet import quiet

WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
UNWANTED = ("*/*", "consolidated*")  # other formats of the same weights


def hub_folder(name: str, progress: Progress) -> Path:
    """Download (or find in the Hub's own cache) the files of ``owner/name`` or ``owner/name@rev``.

    Args:
        name: The id, with a branch, tag or commit after ``@`` if it is not to be ``main``.
        progress: Called with ``hub``.

    Returns:
        The snapshot folder, whose name is the commit.

    Raises:
        CfgenError: There is no such id or revision, or the Hub can't be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    progress("hub", 0, None)
    try:
        with quiet():
            folder = snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
    except (GatedRepoError, RevisionNotFoundError, RepositoryNotFoundError) as error:
        reason = {
            GatedRepoError: "asks you to accept its terms on its page, then log in (hf auth login)",
            RevisionNotFoundError: f"has no revision {revision!r}",
        }.get(type(error), "does not exist, or is private (hf auth login)")
        raise _problem(name, f"the Hub says that {repository!r} {reason}") from error
    except HFValidationError as error:
        raise _problem(name, f"{repository!r} is not a Hub id") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        message = f"{name!r} is not in the Hub's cache, and the Hub can't be reached"
        raise _problem(name, message) from error
    return Path(folder)


def _problem(name: str, message: str) -> CfgenError:
    hint = (
        f"use a known name (cfgen models), a folder (./{name.split('/')[-1].partition('@')[0]}), "
        "or an id as in its address on the Hub, owner/name or owner/name@revision"
    )
    return CfgenError(Problem("lm-hub", message, hint=hint))
