"""The store: a folder that holds an experiment while it is computed, and what came out of it.

    runs/NAME/
      store.json        what was asked, and the key that this is known by
      experiment.yaml   the same as a file that can be run
      units/DIGEST.parquet ...
      results.json outputs.parquet pairs.parquet
      log.jsonl         when what was done where; nothing compares it

Every file appears whole or not at all, and none is ever written over: a command that is killed at
any moment leaves what it had finished, and the next one goes on from there. ``results.json``
appears last and says that all is there, with hashes of the other files and of itself.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from cfgen import folders
from cfgen.bounded import hash_file, read_json
from cfgen.errors import CfgenError, Problem
from cfgen.experiments.units import marked_table, read_unit
from cfgen.folders import is_aside, remove_leftovers, sealed, write_once, wrong_with
from cfgen.paths import display, plain_name
from cfgen.progress import Progress, no_progress

FORMAT = "cfgen-store-3"
"""What ``store.json`` of this kind says of itself."""
RECORD = "store.json"
RESULTS = "results.json"
UNITS = "units"
LOG = "log.jsonl"
_LOCK = re.compile(r"\.lock(-\d+-of-\d+)?")
SHOWN = 6
"""How many differences an error names."""


@dataclass(frozen=True, slots=True)
class RunStore:
    """The folder of an experiment, which this process alone writes to.

    Attributes:
        folder: The folder.
        key: What the experiment is known by.
        alone: Whether units of other runs are left alone.
        read: Digest -> a unit that was read or put.
    """

    folder: Path
    key: str
    alone: bool = False
    read: dict[str, pa.Table] = field(default_factory=dict)

    def get(self, digest: str) -> pa.Table | None:
        """The unit of this digest, here or in another run beside; None if there is none.

        A unit that is damaged is set aside, and counts as not there.
        """
        if digest not in self.read:
            found = self._own(digest)
            if found is None and not self.alone:
                found = self._of_others(digest)
            if found is None:
                return None
            self.read[digest] = found
        return self.read[digest]

    def put(self, digest: str, table: pa.Table, cost: Mapping[str, Any]) -> None:
        """Keep a unit: it appears whole, or, if the process is killed meanwhile, not at all.

        Raises:
            CfgenError: It can't be written (``cannot-write``).
        """
        self.read[digest] = marked = marked_table(table, cost)
        self._write(self._path(digest), partial(_write_table, marked))
        self.log("unit", digest=digest, rows=len(table))

    def log(self, event: str, **facts: Any) -> None:
        """Note that something happened; a line is written at once."""
        where = {"time": round(time.time(), 3), "host": socket.gethostname(), "pid": os.getpid()}
        line = json.dumps({"event": event, **where, **facts}) + "\n"
        with _writing(self.folder), (self.folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(line)

    def finish(
        self,
        results: Mapping[str, Any],
        tables: Mapping[str, pa.Table],
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """Write what came out, ``results.json`` last.

        Args:
            results: The content of ``results.json``.
            tables: Name of a file -> its content.
            texts: Likewise, of files that are texts.

        Raises:
            CfgenError: It can't be written (``cannot-write``).
        """
        for name, table in tables.items():
            self._write(self.folder / name, partial(_write_table, table))
        texts = texts or {}
        for name, text in texts.items():
            self._write(self.folder / name, partial(_write_bytes, text.encode()))
        files = sorted((*tables, *texts, *_others(self.folder)))
        content = sealed(
            {"format": FORMAT, "key": self.key, **results, "units": sorted(self.read)},
            {name: hash_file(self.folder / name) for name in files},
            RESULTS,
        )
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        self._write(self.folder / RESULTS, partial(_write_bytes, text.encode()))
        self.log("finished", units=len(self.read))

    def _path(self, digest: str) -> Path:
        return self.folder / UNITS / f"{digest}.parquet"

    def _own(self, digest: str) -> pa.Table | None:
        path = self._path(digest)
        if not path.exists():
            return None
        table = read_unit(path)
        if table is None:
            numbered = (path.with_suffix(f".damaged-{number}") for number in count(1))
            aside = next(free for free in numbered if not free.exists())
            with _writing(self.folder):
                path.rename(aside)
            self.log("damaged", digest=digest, kept=aside.name)
        return table

    def _of_others(self, digest: str) -> pa.Table | None:
        """A unit of another run in the same folder: a longer experiment has those of a shorter."""
        for path in sorted(self.folder.parent.glob(f"*/{UNITS}/{digest}.parquet")):
            table = read_unit(path)
            if table is not None:
                self._write(self._path(digest), partial(_copy, path))
                self.log("taken over", digest=digest, of=path.parent.parent.name)
                return table
        return None

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write a file that appears whole; what has its name already must be the same."""
        with _writing(self.folder):
            try:
                write_once(path, write)
            except FileExistsError as error:
                raise _changed(path) from error


@contextmanager
def open_store(
    folder: Path,
    key: str,
    request: Mapping[str, Any],
    files: Mapping[str, bytes],
    *,
    shard: str = "",
    alone: bool = False,
    report: Progress = no_progress,
) -> Iterator[RunStore]:
    """Open the folder of an experiment, or make it; no other process has it meanwhile.

    Args:
        folder: The folder.
        key: What the experiment is known by.
        request: What was asked, as JSON has it, to say what differs if the folder is of another.
        files: Name -> content of what else is written when the folder is made.
        shard: Name of the share that is computed; several of one experiment may share a folder.
        alone: Whether units of other runs are left alone.
        report: Called while another process is waited for.

    Raises:
        CfgenError: The folder holds another experiment (``store-of-another``) or something else
            (``folder-in-use``), or can't be written (``cannot-write``).
    """
    check_ours(folder, key, request)
    with _writing(folder):
        (folder / UNITS).mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".lock{'-' + shard if shard else ''}", report):
        check_ours(folder, key, request)
        for each in (folder, folder / UNITS):
            remove_leftovers(each)
        store = RunStore(folder, key, alone)
        record = {"format": FORMAT, "key": key, "request": request}
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        for name, content in {**files, RECORD: text.encode()}.items():
            if not (folder / name).exists():  # the same question may have been put otherwise
                store._write(folder / name, partial(_write_bytes, content))
        store.log("opened", shard=shard)
        yield store


def read_record(folder: Path) -> dict[str, Any] | None:
    """What ``store.json`` says; None where there is none of ours."""
    try:
        content = read_json(folder / RECORD)
    except (OSError, ValueError):
        return None
    return content if _is_record(content) else None


def _is_record(content: Any) -> bool:
    """Whether this is what ``store.json`` says, as far as it is looked at."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return False
    request = content.get("request")
    if not isinstance(content.get("key"), str) or not isinstance(request, dict):
        return False
    models = request.get("models")
    named = isinstance(models, list) and all(isinstance(model, str) for model in models)
    return named and isinstance(request.get("n"), int)


def read_finished(folder: Path) -> dict[str, Any] | None:
    """What ``results.json`` says; None if the experiment is not finished.

    Raises:
        CfgenError: A file was changed since it was written, or is missing (``run-changed``).
    """
    try:
        content = folders.read_record(folder / RESULTS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _changed(folder / RESULTS) from error
    if content.get("format") != FORMAT or not isinstance(content.get("key"), str):
        return None
    for name, expected in content["sha256"].items():
        path = folder / plain_name(name, "a file of the run", display(folder / RESULTS))
        if name != RESULTS and wrong_with(path, expected):
            raise _changed(path)
    return content


def new_beside(folder: Path) -> Path:
    """The folder itself where it is free, or the first free one of NAME-2, NAME-3, ..."""
    if not os.path.lexists(folder):
        return folder
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in numbered if not os.path.lexists(path))


def merge_units(store: RunStore, others: Mapping[str, Path]) -> None:
    """Take over all units of other folders of the same experiment, but for damaged ones.

    Args:
        store: Where they are put.
        others: What a folder is called -> the folder.

    Raises:
        CfgenError: A folder is of another experiment (``store-of-another``), or two have different
            contents of one unit (``units-differ``).
    """
    for called, folder in others.items():
        record = read_record(folder)
        if record is None or record["key"] != store.key:
            request = read_json(store.folder / RECORD)["request"]
            raise _of_another(folder, record, request, called)
        for path in sorted((folder / UNITS).glob("*.parquet")):
            table, own = read_unit(path), store._own(path.stem)
            if table is None:
                store.log("damaged", digest=path.stem, of=called)
                continue
            if own is not None and own.schema.metadata != table.schema.metadata:
                message = f"{display(path)} is not the same as {display(store._path(path.stem))}"
                hint = "compute both on the same kind of machine, with as many threads"
                raise CfgenError(Problem("units-differ", message, hint=hint))
            if own is None:
                store._write(store._path(path.stem), partial(_copy, path))


@dataclass(frozen=True, slots=True)
class StoreListing:
    """A run in a list.

    Attributes:
        folder: Its folder.
        request: What was asked.
        units: How many units there are.
        finished: Whether all is there.
        touched: When something was last done, in seconds since 1970; None if that is not known.
    """

    folder: Path
    request: Mapping[str, Any]
    units: int
    finished: bool
    touched: float | None


def list_stores(parent: Path) -> list[StoreListing]:
    """The runs in a folder, by name."""
    found = []
    for folder in sorted(path for path in parent.glob("*") if path.is_dir()):
        record = read_record(folder)
        if record is None:
            continue
        log = folder / LOG
        found.append(
            StoreListing(
                folder=folder,
                request=record["request"],
                units=len(list((folder / UNITS).glob("*.parquet"))),
                finished=(folder / RESULTS).is_file(),
                touched=log.stat().st_mtime if log.is_file() else None,
            )
        )
    return found


def check_ours(folder: Path, key: str, request: Mapping[str, Any]) -> None:
    """Check that a folder is free, or of this experiment.

    Args:
        folder: The folder.
        key: What the experiment is known by.
        request: What was asked.

    Raises:
        CfgenError: It is neither (``store-of-another``, ``folder-in-use``).
    """
    record = read_record(folder)
    if record is not None:
        if record["key"] != key:
            raise _of_another(folder, record, request, display(folder))
        return
    if not os.path.lexists(folder):
        return
    hint = "name a new or empty folder with --out, or move these files away"
    if not folder.is_dir():
        message = f"cannot write to {display(folder)}: it is a file"
        raise CfgenError(Problem("folder-in-use", message, hint=hint))
    others = sorted(path.name for path in folder.iterdir() if not _begun(path))
    if others:
        named = ", ".join(others[:SHOWN])
        message = f"cannot write to {display(folder)}: it holds other files: {named}"
        raise CfgenError(Problem("folder-in-use", message, hint=hint))


def _begun(path: Path) -> bool:
    """Whether a file is what a command leaves that is killed before ``store.json`` is there."""
    known = path.name in (UNITS, LOG, "experiment.yaml")
    return known or bool(_LOCK.fullmatch(path.name)) or is_aside(path.name)


def _others(folder: Path) -> list[str]:
    """Files that were written when the folder was made."""
    return [name for name in ("experiment.yaml",) if (folder / name).is_file()]


@contextmanager
def _locked(path: Path, report: Progress) -> Iterator[None]:
    """Hold a lock, which the system takes back when the process ends, however it ends."""
    lock = filelock.FileLock(path)
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except filelock.Timeout:
            report(f"waiting for another command on {display(path.parent)}", 0, None)
    try:
        yield
    finally:
        lock.release()


def _write_table(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")


def _copy(source: Path, path: Path) -> None:
    """The same bytes: what reads alike may be written in several ways."""
    path.write_bytes(source.read_bytes())


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot write to {display(folder)}: {error.strerror or error}"
        hint = "check the space and the permissions there, or name another folder with --out"
        raise CfgenError(Problem("cannot-write", message, hint=hint)) from error


def _changed(path: Path) -> CfgenError:
    message = f"{display(path)} is not as it was written, so what it says cannot be trusted"
    hint = "restore it, or compute everything anew with --again"
    return CfgenError(Problem("run-changed", message, hint=hint))


def _of_another(
    folder: Path, record: Mapping[str, Any] | None, request: Mapping[str, Any], called: str
) -> CfgenError:
    if record is None:
        message = f"{called} holds no run of this experiment"
        return CfgenError(Problem("store-of-another", message, hint="name a folder of `cfgen run`"))
    there = record.get("request", {})
    lines = [
        f"{name}: {there.get(name)!r} there, {request.get(name)!r} asked now"
        for name in sorted({*there, *request})
        if there.get(name) != request.get(name)
    ]
    message = f"{called} holds the run of another experiment"
    hint = "name another folder with --out; without --out every experiment gets its own"
    return CfgenError(
        Problem("store-of-another", message, hint=hint, detail="\n".join(lines[:SHOWN]))
    )
