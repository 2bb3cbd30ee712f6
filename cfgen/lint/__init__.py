"""Lint: everything that can be checked about a task without a language model.

Each name is loaded when it is first used: the processes that :mod:`cfgen.lint.determinism` starts
import this package, and need none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.lint.findings import CODES as CODES
    from cfgen.lint.findings import TOKEN_CODES as TOKEN_CODES
    from cfgen.lint.findings import Allowance as Allowance
    from cfgen.lint.findings import Finding as Finding
    from cfgen.lint.findings import Report as Report
    from cfgen.lint.run import lint_task as lint_task

_HOME = {
    "CODES": "findings",
    "TOKEN_CODES": "findings",
    "Allowance": "findings",
    "Finding": "findings",
    "Report": "findings",
    "lint_task": "run",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
