"""Where things are printed: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def results() -> Console:
    """The console for what a verb was asked for. Without a terminal it has no colours."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False)


def messages() -> Console:
    """The console for progress, remarks and errors."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def write_json(value: Any) -> None:
    """Print a value as JSON on standard output; what JSON has no form for, as Python shows it."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    sys.stdout.write(text + "\n")


def _plain(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else repr(value)
