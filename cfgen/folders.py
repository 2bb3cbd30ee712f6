"""Output folders that appear complete or not at all, and files: nothing that exists is overwritten.

A folder that cfgen wrote has a *record*, a JSON file that lists everything in it, with hashes, and
says what was asked for. Asked for again, it is shown; nothing else is ever done to a folder that
holds something. A result is made in a hidden folder beside, and gets its name when it is complete.
What came to be there meanwhile is left alone, and the result is kept under the next free name.

A process that is killed leaves its hidden folder behind. The kernel lets go of the lock in it,
and the next one that writes to the same name removes it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cfgen.bounded import hash_file, read_file, read_json
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.progress import kept_if_interrupted

NAMED = 5
"""How many files of others, or differences, an error names."""
ASKED = "asked"
"""Key of a record under which stands what was asked for."""
_LOCK = "lock"
_OWNER = "owner"
_LEFTOVER = re.compile(r"\..{1,48}-[a-z0-9_]{8}")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a fresh folder to write to, and put it in place when all went well.

    Args:
        folder: Where the result shall be: nothing, or an empty folder.

    Yields:
        A fresh folder beside the final one; :func:`write_record` is called in it last.

    Raises:
        CfgenError: If the folder holds something, or came to do so meanwhile (``folder-in-use``),
            or it cannot be written (``cannot-write``).
    """
    check_free(folder)
    try:
        folder = _resolved(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with kept_if_interrupted(lambda: _what_is_kept(folder)):
            remove_leftovers(folder.parent, folder.name)
            with _aside(folder) as beside:
                fresh = beside / "new"
                fresh.mkdir()
                yield fresh
                _put_in_place(fresh, folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A hidden folder beside what is to be written, for as long as that takes."""
    beside = Path(tempfile.mkdtemp(prefix=_hidden(path.name), dir=path.parent))
    try:
        with FileLock(beside / _LOCK):
            (beside / _OWNER).write_text(_owner(), encoding="utf-8")
            yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _hidden(name: str) -> str:
    """How the name begins of a hidden folder in which something of this name is written."""
    return f".{name[:48]}-"


def _owner() -> str:
    return f"cfgen on {socket.gethostname()}"


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed processes of this machine left behind: no living one holds their locks.

    Args:
        folder: Where they were writing.
        name: What they were writing there; anything if not given.
    """
    for path in sorted(folder.glob(".*-*")):
        with suppress(OSError, Timeout):
            if is_leftover(path) and (not name or path.name[:-8] == _hidden(name)):
                with FileLock(path / _LOCK, timeout=0):
                    shutil.rmtree(path, ignore_errors=True)


def is_aside(name: str) -> bool:
    """Whether a folder is called like one in which something is written, on whatever machine."""
    return bool(_LEFTOVER.fullmatch(name))


def is_leftover(path: Path) -> bool:
    """Whether a process of this machine writes something here, or did when it was killed."""
    if not is_aside(path.name) or path.is_symlink() or not path.is_dir():
        return False
    with suppress(OSError, ValueError):
        return read_file(path / _OWNER).decode() == _owner()
    return False


def _what_is_kept(folder: Path) -> str:
    if _in_the_way(folder):  # it was free before: the signal came while the rest was cleaned up
        return f"{display(folder)} is complete; the same again shows it."
    return f"Nothing is kept: {display(folder)} was not made. Run the same again to begin anew."


def find_result(folder: Path, record: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find out whether what is asked for is there already; best before long work.

    Args:
        folder: Where a result is to go.
        record: Name of its record.
        asked: What is asked for, as JSON has it.

    Returns:
        The record of a result that was asked for in just this way, whole and unchanged; None if
        the folder is free.

    Raises:
        CfgenError: The folder holds something else (``folder-in-use``), with what differs.
    """
    try:
        folder = _resolved(folder)
        wrong = _in_the_way(folder)
        if not wrong:
            return None
        content = _recorded(folder / record)
        if content is None:
            raise _in_use(folder, wrong)
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error
    there, wanted = content.get(ASKED), json.loads(json.dumps(asked))
    if there != wanted:
        raise _of_another(folder, there if isinstance(there, dict) else {}, wanted)
    written = {name: sha for name, sha in content["sha256"].items() if name != record}
    wrongs = {name: wrong_with(folder / name, sha) for name, sha in written.items()}
    changed = [f"{name} {why}" for name, why in wrongs.items() if why]
    if changed:
        raise _in_use(folder, f"is not as it was written: {_listed(changed)}")
    others = sorted({*files_in(folder)} - {*content["files"]})
    if others:
        raise _in_use(folder, f"holds other files: {_listed(others)}")
    return content


def _recorded(record: Path) -> dict[str, Any] | None:
    try:
        return read_record(record)
    except (OSError, ValueError):
        return None


def _of_another(folder: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> CfgenError:
    names = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    lines = [f"{n}: {_short(there.get(n))} there, {_short(asked.get(n))} asked now" for n in names]
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return CfgenError(
        Problem(
            "folder-in-use",
            f"cannot write to {display(folder)}: it holds another result, and none is written over",
            hint="name a new or empty folder with --out, or move this one away",
            detail="\n".join([*lines[:NAMED], *more]),
        )
    )


def _short(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def write_file(path: Path, content: bytes) -> bool:
    """Write a file that is not there yet; it appears whole or not at all.

    Args:
        path: The file.
        content: What it is to hold.

    Returns:
        Whether it was written; not if it is there with just this content.

    Raises:
        CfgenError: Something else is there (``file-exists``), or it can't be written
            (``cannot-write``).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
        try:
            return write_once(path, lambda part: part.write_bytes(content))
        except FileExistsError as error:
            message = f"{display(path)} is there already, and nothing is written over"
            hint = "give another name, or move it away"
            raise CfgenError(Problem("file-exists", message, hint=hint)) from error
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error


def note(path: Path, content: Mapping[str, Any]) -> None:
    """Write a note to ourselves as JSON, in place of an older one: in the cache, nowhere else.

    Raises:
        OSError: It can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with _aside(path) as beside:
        (beside / "note").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(beside / "note", path)


def write_once(path: Path, write: Callable[[Path], object]) -> bool:
    """Have a file written aside, and give it its name when the disk has it.

    Args:
        path: The file.
        write: Writes it, as whatever file it is given.

    Returns:
        Whether it was written; not if it is there and just the same.

    Raises:
        FileExistsError: Something else is there.
    """
    with _aside(path) as beside:
        part = beside / path.name
        try:
            write(part)
            with part.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.link(part, path)
        except FileExistsError:
            if path.is_file() and path.read_bytes() == part.read_bytes():
                return False
            raise
    return True


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
    hashes = {name: hash_file(folder / name) for name in files_in(folder) if name != record}
    written = sealed(content, hashes, record)
    text = json.dumps(written, indent=2, ensure_ascii=False) + "\n"
    (folder / record).write_text(text, encoding="utf-8", newline="\n")
    return written


def sealed(content: Mapping[str, Any], hashes: Mapping[str, str], record: str) -> dict[str, Any]:
    """What a record says, with the hashes of files by their names, and of itself."""
    written = {**content, "files": sorted((*hashes, record)), "sha256": dict(hashes)}
    written["sha256"][record] = _sha256_of_record(written, record)
    return written


def read_record(file: Path) -> dict[str, Any]:
    """Read the record of a folder, and check that it is as :func:`write_record` wrote it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no record, is too large for one, or was changed since it was written.
    """
    content = read_json(file)
    try:
        files, hashes = content["files"], content["sha256"]
        if not all(isinstance(name, str) for name in files) or set(files) != set(hashes):
            raise ValueError("does not have a hash of every file")
        own, written = _sha256_of_record(content, file.name), hashes[file.name]
    except (KeyError, TypeError, AttributeError) as error:
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
        same = hash_file(file) == sha256
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return "" if same else "was changed since it was written"


def files_in(folder: Path) -> tuple[str, ...]:
    """Whatever lies below a folder, relative to it, in alphabetical order.

    Files, links wherever they lead, pipes, sockets, and folders that are empty.
    """
    return tuple(sorted(_entries(folder)))


def check_free(folder: Path) -> None:
    """Check that nothing is where a result is to go, or an empty folder.

    Raises:
        CfgenError: Something is there (``folder-in-use``), or it cannot be looked at.
    """
    try:
        wrong = _in_the_way(_resolved(folder))
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error
    if wrong:
        raise _in_use(folder, wrong)


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Give a finished result its name, or, if that was taken meanwhile, the next one."""
    wrong = _in_the_way(folder)
    if not wrong:
        try:
            fresh.rename(folder)  # succeeds where nothing is, or an empty folder
            return
        except OSError:
            wrong = _in_the_way(folder)
            if not wrong:
                raise
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    free = next(path for path in numbered if not os.path.lexists(path))
    fresh.rename(free)
    raise _in_use(folder, wrong, free)


def _in_the_way(folder: Path) -> str:
    """Why a result can't be put here; empty if it can."""
    try:
        folder.lstat()
    except FileNotFoundError:
        return ""
    if folder.is_symlink() or not folder.is_dir():
        return "is a file"
    here = Path.cwd()
    if any(path.samefile(folder) for path in (here, *here.parents)):
        return "is the folder that you are in, or around it"
    others = files_in(folder)
    return f"holds other files: {_listed(others)}" if others else ""


def _listed(names: Sequence[str]) -> str:
    shown = [name if name.isprintable() else ascii(name) for name in names[:NAMED]]
    return ", ".join(shown) + (", ..." if len(names) > NAMED else "")


def _entries(folder: Path, prefix: str = "") -> list[str]:
    """What :func:`files_in` names."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                found += _entries(folder / entry.name, f"{name}/") or [name]
            else:
                found.append(name)
    return found


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
