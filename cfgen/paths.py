"""Where tasks, templates, lexicons and adapters are looked for.

A project is a folder with any of ``causal_models/``, ``templates/`` and ``data/``. The folder the
user stands in comes first, then the built-ins that ship with the package.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROJECT_FOLDERS = ("causal_models", "templates", "data")


def builtin_root() -> Path:
    """Folder that holds the built-in ``causal_models/``, ``templates/`` and ``data/``.

    Returns:
        ``cfgen/builtin`` in an installed wheel, the repository's root in a checkout.
    """
    package = Path(__file__).resolve().parent
    installed = package / "builtin"
    return installed if installed.is_dir() else package.parent


def project_roots(*first: Path) -> tuple[Path, ...]:
    """Folders to search, in order, without repeats.

    Args:
        *first: Folders to put in front, such as the one a task file was loaded from.

    Returns:
        ``first``, then the current folder if it is a project, then the built-ins.
    """
    here = Path.cwd()
    standing = [here] if any((here / name).is_dir() for name in PROJECT_FOLDERS) else []
    roots = [path.resolve() for path in (*first, *standing, builtin_root())]
    return tuple(dict.fromkeys(roots))


def find_all(relative: str, *first: Path) -> Iterator[Path]:
    """Yield every existing ``root / relative`` over :func:`project_roots`, in search order."""
    for root in project_roots(*first):
        if (root / relative).exists():
            yield root / relative


def display(path: str | os.PathLike[str]) -> str:
    """Path as a person wants to read it: relative to the current folder where that is shorter."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return relative if len(relative) < len(absolute) else absolute
