"""Output folders that appear complete or not at all, and never replace anybody's own files.

A folder that cfgen wrote has a *record*, a JSON file that lists everything in it, with hashes. It
may be written anew as long as it holds that and nothing else, unchanged. This is looked at before
the work, again when the work is done, and once more when the earlier result has been moved out of
the way, where nobody finds it by its name; only then are its files removed, one by one, and those
alone that were just looked at. What was put there meanwhile is put back, and the new result is
kept beside it.

Two things cannot be excluded, for want of a way to forbid them to other programs: one that has a
file of the earlier result open and goes on writing to it loses what it writes; and an *empty*
folder that appears under the very name at the very moment of the last renaming is taken over.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.progress import kept_if_interrupted

RECORD_BYTES = 1 << 26
"""Largest record that is read."""
NAMED = 5
"""How many files of others an error names."""


@contextmanager
def new_folder(folder: Path, *, record: str) -> Iterator[Path]:
    """Give a fresh folder to write to, and put it in place when all went well.

    Args:
        folder: Where the result shall be; an earlier result there is replaced as a whole.
        record: Name of the JSON file that the caller writes last, with :func:`write_record`.

    Yields:
        A fresh folder beside the final one.

    Raises:
        CfgenError: If the folder holds something else, or came to do so meanwhile
            (``folder-in-use``), or it cannot be written (``cannot-write``).
    """
    check_replaceable(folder, record)
    try:
        folder = _resolved(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{folder.name[:48]}-"
        beside = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    fresh = beside / "new"
    try:
        fresh.mkdir()
        with kept_if_interrupted(lambda: _nothing_kept(folder)):
            yield fresh
        _put_in_place(fresh, folder, beside / "old", record)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        with suppress(OSError):  # what is left in there is no longer ours; an error has named it
            beside.rmdir()


def _nothing_kept(folder: Path) -> str:
    state = "is as it was" if os.path.lexists(folder) else "was not made"
    return f"Nothing is kept: {display(folder)} {state}. Run the same again to begin anew."


def write_record(folder: Path, record: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the record of a folder that is otherwise complete.

    Args:
        folder: The folder that :func:`new_folder` gave.
        record: Name of the file.
        content: What else it says.

    Returns:
        What was written: the content, with ``files``, the names of all files in alphabetical
        order, and ``sha256``, their hashes by name. That of the record is of its own content
        without it.
    """
    hashes = {name: _sha256(folder / name, record) for name in files_in(folder)}
    written = {**content, "files": sorted((*hashes, record)), "sha256": hashes}
    hashes[record] = _sha256_of_record(written, record)
    text = json.dumps(written, indent=2, ensure_ascii=False) + "\n"
    (folder / record).write_text(text, encoding="utf-8", newline="\n")
    return written


def read_record(file: Path) -> dict[str, Any]:
    """Read the record of a folder, and check that it is as :func:`write_record` wrote it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no record, is too large for one, or was changed since it was written.
    """
    if not stat.S_ISREG(file.stat().st_mode):  # a pipe or a device may never end
        raise ValueError("is not a file")
    if file.stat().st_size > RECORD_BYTES:
        raise ValueError(f"is larger than the record of any folder ({RECORD_BYTES:,} bytes)")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        files, hashes = content["files"], content["sha256"]
        if not all(isinstance(name, str) for name in files) or set(files) != set(hashes):
            raise ValueError("does not have a hash of every file")
        own, written = _sha256_of_record(content, file.name), hashes[file.name]
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError("is not JSON") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("is not the record of a folder") from error
    if own != written:
        raise ValueError("was changed since it was written")
    return dict(content)


def wrong_with(file: Path, sha256: str) -> str:
    """What is wrong with a file that a record lists: it is gone or changed; empty if nothing is.

    Args:
        file: The file; a link to one will do.
        sha256: Its hash in the record.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "is not a file"
        same = _sha256(file, record="") == sha256
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if same else "was changed since it was written"


def files_in(folder: Path) -> tuple[str, ...]:
    """Whatever lies below a folder, relative to it, in alphabetical order.

    Files, links wherever they lead, pipes, sockets, and folders that are empty.
    """
    return tuple(sorted(_entries(folder)))


def check_replaceable(folder: Path, record: str) -> None:
    """Check that a folder is free, or holds nothing but an earlier result; best before long work.

    Args:
        folder: Where a result is to go.
        record: Name of the JSON file that lists what an earlier result wrote.

    Raises:
        CfgenError: If it holds something else, or cannot be looked at.
    """
    try:
        wrong = _in_the_way(_resolved(folder), record)
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error
    if wrong:
        raise _in_use(folder, wrong)


def _put_in_place(fresh: Path, folder: Path, old: Path, record: str) -> None:
    """Put a finished result where it shall be, and an earlier result of ours out of the way."""
    wrong = _in_the_way(folder, record)
    if wrong:
        raise _in_use(folder, wrong, _kept(fresh, folder))
    try:
        fresh.rename(folder)  # succeeds where nothing is, or an empty folder
        return
    except OSError:
        if not os.path.lexists(folder):
            raise
    folder.rename(old)
    try:
        ours = files_in(old)
        wrong = _in_the_way(old, record)  # by its name nobody can add to it any more
        if not wrong:
            fresh.rename(folder)
    except BaseException:
        _put_back(old, folder)
        raise
    if wrong:
        _put_back(old, folder)
        raise _in_use(folder, wrong, _kept(fresh, folder))
    _discard(old, ours, folder)


def _put_back(old: Path, folder: Path) -> None:
    """Move an earlier result back to its place, if that is still free."""
    try:
        if os.path.lexists(folder):
            raise FileExistsError
        old.rename(folder)
    except OSError as error:
        raise _in_use(folder, f"was taken meanwhile; what it held is in {display(old)}") from error


def _kept(fresh: Path, folder: Path) -> Path:
    """Put a finished result beside where it should have gone, under the first name that is free."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    free = next(path for path in numbered if not os.path.lexists(path))
    fresh.rename(free)
    return free


def _discard(old: Path, ours: Iterable[str], folder: Path) -> None:
    """Remove an earlier result: the files that were found to be ours, and no others."""
    try:
        for name in ours:
            (old / name).unlink(missing_ok=True)
        for path, _, _ in os.walk(old, topdown=False):
            os.rmdir(path)  # fails where somebody who had it open put something in
    except OSError as error:
        wrong = f"was used while it was replaced; what was put there is in {display(old)}"
        raise _in_use(folder, wrong) from error


def _in_the_way(folder: Path, record: str) -> str:
    """Why a folder must not be replaced; empty if it may be."""
    try:
        folder.lstat()
    except FileNotFoundError:
        return ""
    if folder.is_symlink() or not folder.is_dir():
        return "is a file"
    here = Path.cwd()
    if any(path.samefile(folder) for path in (here, *here.parents)):
        return "is the folder that you are in, or around it"
    known = _recorded(folder / record)
    others = []
    for name, plain in sorted(_entries(folder).items()):
        shown = name if name.isprintable() else ascii(name)
        if not plain or name not in known:
            others.append(shown)
        elif known[name] is not None and known[name] != _sha256(folder / name, record):
            others.append(f"{shown} (changed since it was written)")
    more = ", ..." if len(others) > NAMED else ""
    return f"holds other files: {', '.join(others[:NAMED])}{more}" if others else ""


def _entries(folder: Path, prefix: str = "") -> dict[str, bool]:
    """What :func:`files_in` names, and whether it is a plain file."""
    found: dict[str, bool] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                found |= _entries(folder / entry.name, f"{name}/") or {name: False}
            else:
                found[name] = entry.is_file(follow_symlinks=False)
    return found


def _recorded(record: Path) -> dict[str, str | None]:
    """What a record lists, with hashes where it has them; nothing if it is no record of ours."""
    try:
        if not stat.S_ISREG(record.lstat().st_mode):
            return {}
        content = json.loads(record.read_text(encoding="utf-8"))
        hashes = content.get("sha256", {})
        return {str(name): hashes.get(name) for name in content["files"]}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _sha256(file: Path, record: str) -> str:
    """Hash of a file; of the record, which cannot hold its own, that of all else that it says."""
    if file.name == record:
        return _sha256_of_record(json.loads(file.read_text(encoding="utf-8")), record)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sha256_of_record(content: Mapping[str, Any], record: str) -> str:
    others = {name: value for name, value in content["sha256"].items() if name != record}
    text = json.dumps({**content, "sha256": others}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _resolved(folder: Path) -> Path:
    """The folder itself, where a link to it was named."""
    plain = not folder.is_symlink() and ".." not in folder.parts
    return folder.absolute() if plain else Path(os.path.realpath(folder))


def _in_use(folder: Path, wrong: str, finished: Path | None = None) -> CfgenError:
    kept = f"; the new result is in {display(finished)}" if finished else ""
    return CfgenError(
        Problem(
            "folder-in-use",
            f"cannot write to {display(folder)}: it {wrong}{kept}",
            hint="name a new or empty folder with --out, or move these files away",
        )
    )


def _cannot_write(folder: Path, error: OSError | ValueError) -> CfgenError:
    why = getattr(error, "strerror", None) or error
    shown = display(folder) if str(folder).isprintable() else ascii(str(folder))
    return CfgenError(
        Problem(
            "cannot-write",
            f"cannot write to {shown}: {why}",
            hint="check the space and the permissions there, or name another folder with --out",
        )
    )
