"""Keep the libraries below silent while a model is read, and only then."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off the progress bars, log lines below errors and warnings of the Hugging Face stack.

    What was set before is set again afterwards. Whatever matters in those messages (weights that
    are missing, a tokenizer without offsets) is checked by :mod:`cfgen.lm.load` and is an error.
    """
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    levels = [(log, log.get_verbosity()) for log in (transformers_logging, hub_logging)]
    try:
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
        for log, _ in levels:
            log.set_verbosity_error()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
