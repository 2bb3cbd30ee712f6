"""Faces of packages whose names are loaded when they are first used.

A face re-exports what others may use of a package. Where that would load something heavy, or torch
where the import contract forbids it, the face says only where each name lives.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def found_later(module: str, name: str) -> Any:
    """What a module further down has, for a method that only hands on to it.

    A record that users have in hand is to have what they expect of it, such as ``task.sample``,
    though what does it stands below, and is imported by nothing above. So it is looked up when it
    is asked for; nothing else may use this.
    """
    return getattr(importlib.import_module(module), name)


def lazy_face(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the functions that a lazy ``__init__.py`` needs.

    Args:
        package: Its ``__name__``.
        homes: Name -> module below the package that has it.

    Returns:
        The package's ``__getattr__``, which raises AttributeError for other names, and ``__dir__``.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    def names() -> list[str]:
        return sorted([*vars(importlib.import_module(package)), *homes])

    return load, names
