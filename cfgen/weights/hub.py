"""The Hugging Face Hub: one commit of an LM, no code of it; and its libraries kept silent."""

from __future__ import annotations

import errno
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.progress import Progress

WANTED = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken")
WEIGHTS = "*.safetensors"
UNWANTED = ("*/*", "consolidated*")  # other formats of the same weights


def hub_folder(name: str, progress: Progress, *, weights: bool = True) -> Path:
    """Download (or find in the Hub's own cache) the files of ``owner/name`` or ``owner/name@rev``.

    Args:
        name: The id, with a branch, tag or commit after ``@`` if it is not to be ``main``.
        progress: Called with ``hub``.
        weights: Whether the weights are needed, too.

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
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # what the connection itself raises is among the bases of the Hub's own error
    failures: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)
    repository, _, revision = name.partition("@")
    progress("hub", 0, None)
    try:
        with quiet():
            folder = snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=[*WANTED, *([WEIGHTS] if weights else [])],
                ignore_patterns=list(UNWANTED),
            )
    except (GatedRepoError, RevisionNotFoundError, RepositoryNotFoundError) as error:
        reason = {
            GatedRepoError: "asks you to accept its terms on its page, then log in (hf auth login)",
            RevisionNotFoundError: f"has no revision {revision!r}",
        }.get(type(error), "does not exist, or is private (hf auth login)")
        raise _problem(f"the Hub says that {repository!r} {reason}") from error
    except HFValidationError as error:
        raise _problem(f"{repository!r} is not a Hub id") from error
    except failures as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            message = f"there is no room for {name!r} in the Hub's cache"
            hint = "make room, or set HF_HOME to a folder on another disk"
            raise CfgenError(Problem("lm-no-space", message, hint=hint)) from error
        message = f"{name!r} is not in the Hub's cache, and the Hub can't be reached"
        raise _problem(message) from error
    return Path(folder)


def _problem(message: str) -> CfgenError:
    hint = (
        "use a known name (cfgen models), a folder (./folder), or an id as in its address on the "
        "Hub (owner/name or owner/name@revision)"
    )
    return CfgenError(Problem("lm-hub", message, hint=hint))


class _Notes(logging.Handler):
    """Keeps what is logged, without colours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(re.sub(r"\x1b?\[[0-9;]*m", "", record.getMessage()))


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Switch off the progress bars, log lines below errors and warnings of the Hugging Face stack.

    What was set before is set again afterwards. Whatever matters in those messages (weights that
    are missing, a tokenizer without offsets) is checked by ``cfgen.lm`` and is an error.

    Yields:
        What transformers logs meanwhile, for an error that it then raises without the names.
    """
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    hub_bars, level = not are_progress_bars_disabled(), hub_logging.get_verbosity()
    try:
        disable_progress_bars()
        hub_logging.set_verbosity(logging.ERROR)
        with warnings.catch_warnings(), _transformers_quiet() as notes:
            warnings.simplefilter("ignore")
            yield notes
    finally:
        hub_logging.set_verbosity(level)
        if hub_bars:
            enable_progress_bars()


@contextmanager
def _transformers_quiet() -> Iterator[list[str]]:
    """The part of :func:`quiet` for transformers: nothing, as long as it is not imported."""
    notes = _Notes()
    if "transformers" not in sys.modules:
        yield notes.texts
        return
    from transformers.utils import logging as transformers_logging

    log = logging.getLogger("transformers")
    bars, level = transformers_logging.is_progress_bar_enabled(), log.level
    shown, passed_on = [(handler, handler.level) for handler in log.handlers], log.propagate
    try:
        transformers_logging.disable_progress_bar()
        log.setLevel(logging.WARNING)
        log.propagate = False
        for handler, _ in shown:
            handler.setLevel(logging.ERROR)
        log.addHandler(notes)
        yield notes.texts
    finally:
        log.removeHandler(notes)
        for handler, before in shown:
            handler.setLevel(before)
        log.propagate = passed_on
        log.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
