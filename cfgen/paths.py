"""Where tasks, templates, lexicons and adapters are looked for.

A project is a folder with any of ``causal_models/``, ``templates/`` and ``data/``. The folder the
user stands in comes first, then the built-ins that ship with the package.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PureWindowsPath

from cfgen.errors import CfgenError, Problem

PROJECT_FOLDERS = ("causal_models", "templates", "data")
NAME_BYTES = 200
"""Longest name that becomes part of a path; file systems take 255 bytes, endings included."""

_named: ContextVar[tuple[Path, ...]] = ContextVar("named", default=())


def builtin_root() -> Path:
    """Folder that holds the built-in ``causal_models/``, ``templates/`` and ``data/``.

    Returns:
        ``cfgen/builtin`` in an installed wheel, the repository's root in a checkout.
    """
    package = Path(__file__).resolve().parent
    installed = package / "builtin"
    return installed if installed.is_dir() else package.parent


@contextmanager
def searching(*roots: Path) -> Iterator[None]:
    """While this lasts, search these project folders before the current one.

    So that a task file that is run meanwhile finds its words in the folders that the user named.
    """
    token = _named.set((*roots, *_named.get()))
    try:
        yield
    finally:
        _named.reset(token)


def project_roots(*first: Path) -> tuple[Path, ...]:
    """Folders to search, in order, without repeats.

    Args:
        *first: Folders to put in front, such as the one a task file was loaded from.

    Returns:
        ``first``, then what :func:`searching` names, then the current folder if it is a project,
        and the built-ins, always last: a user's own files come before them.
    """
    here, builtin = Path.cwd(), builtin_root()
    standing = [here] if any((here / name).is_dir() for name in PROJECT_FOLDERS) else []
    roots = dict.fromkeys(real_path(path) for path in (*first, *_named.get(), *standing))
    roots.pop(builtin, None)
    return (*roots, builtin)


def project_of(task_file: Path) -> tuple[Path, ...]:
    """The project that a task file belongs to: the folder around its ``causal_models/``, if any."""
    folder = real_path(task_file).parent
    return (folder.parent,) if folder.name == "causal_models" else ()


def real_path(path: Path) -> Path:
    """Where a path leads, links followed; one that leads round in a circle leads to itself."""
    return Path(os.path.realpath(path))


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


def display_place(where: str) -> str:
    """``file:line``, or just the file, as :func:`display` shows files."""
    file, colon, line = where.rpartition(":")
    if colon and line.isdigit():
        return f"{display(file)}:{line}"
    return display(where) if os.path.isabs(where) else where


def plain_name(name: object, what: str, where: str = "") -> str:
    """Check a name that becomes part of a path: one that stays where it is put, on every platform.

    Whatever a file says that somebody wrote, and a path is made of, goes through here.

    Args:
        name: The name.
        what: What is called so, for the message: ``a split of the dataset``.
        where: Where it was read.

    Returns:
        The name, of a single component: no folder, none above (``..``), no absolute path; no
        backslash, drive, or name that Windows reserves; not hidden, not too long for a file
        system with something added, and of characters that can be seen or are spaces inside.

    Raises:
        CfgenError: It is something else (``unsafe-name``).
    """
    if isinstance(name, str) and _is_plain(name):
        return name
    raise CfgenError(
        Problem(
            "unsafe-name",
            f"{what} is called {name!r:.80}, which must not become part of a path",
            where=where,
            hint=f"rename it: letters, digits, - and _ are safe, at most {NAME_BYTES} bytes",
        )
    )


def _is_plain(name: str) -> bool:
    kinds = {unicodedata.category(mark) for mark in name}  # C: control, format, surrogate
    return (
        0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES
        and not set(name) & set('/\\<>:"|?*')
        and not any(kind[0] == "C" or kind in ("Zl", "Zp") for kind in kinds)
        and name == name.strip()
        and name[0] not in ".-~"
        and name[-1] != "."
        and not PureWindowsPath(name).is_reserved()
    )
