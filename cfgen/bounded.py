"""Reading what others wrote: files only, no larger than anybody writes, and JSON no deeper.

A name may lead to a pipe that nobody writes to, to a device that never ends, or to a file with a
hole of a terabyte. Whatever reads a file as a whole does it through this module; whatever leaves
that to a library asks it first.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

TEXT_BYTES = 1 << 24
"""Largest file that people write: a task, a template, a list of words, a pair of prompts."""
RECORD_BYTES = 1 << 26
"""Largest file that says what others hold or depend on: a manifest, results, a certificate."""
HOLLOW_BYTES = 1 << 30
"""Size from which on it is asked whether a file has holes."""
HOLES = 1000
"""How many are looked at; a file that has more was made by writing here and there."""
YAML_CHARACTERS = 1 << 18
"""Length of YAML at most; a thousand lines are read in a second."""
YAML_VALUES = 20_000
"""Values of a YAML file at most, where an alias counts as all that it stands for."""
YAML_DEPTH = 10
"""How deep they may be nested."""

Pairs = list[tuple[str, Any]]


def check_file(file: Path, most: int | None = None) -> int:
    """Check that something is a file, or a link to one, before a library opens it.

    Args:
        file: Where it is.
        most: Bytes at most; any number if not given.

    Returns:
        How many bytes it has.

    Raises:
        OSError: It cannot be looked at.
        ValueError: It is something else, or larger; the message says so, as the end of a sentence.
    """
    size = _checked(os.stat(file), most)
    if size > HOLLOW_BYTES:
        with _opened(file) as stream:
            _check_filled(stream.fileno(), size)
    return size


def read_file(file: Path, most: int = TEXT_BYTES) -> bytes:
    """Read a file that has no more bytes than it should.

    Args:
        file: Where it is.
        most: Bytes at most.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no file, or larger; the message says so, as the end of a sentence.
    """
    check_file(file, most)
    with _opened(file) as stream:
        _checked(os.fstat(stream.fileno()), most)
        return read_stream(stream.read, most)


def read_stream(read: Callable[[int], bytes | None], most: int = TEXT_BYTES) -> bytes:
    """Read something to its end, unless that does not come.

    Args:
        read: Gives up to that many bytes; none at the end.
        most: Bytes at most.

    Raises:
        OSError: It cannot be read.
        ValueError: There are more; the message says so, as the end of a sentence.
    """
    chunks, left = [], most + 1
    while left > 0 and (chunk := read(min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:  # it grows, or never ends
        raise ValueError(_too_large(most))
    return b"".join(chunks)


def read_json(file: Path, most: int = RECORD_BYTES) -> Any:
    """Read a file that holds JSON.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no file, too large, not UTF-8 or not JSON; the message says so, as the
            end of a sentence.
    """
    try:
        text = read_file(file, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error


def hash_file(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no file; the message says so, as the end of a sentence.
    """
    check_file(file)
    with _opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_json(text: str, pairs_hook: Callable[[Pairs], Any] | None = None) -> Any:
    """Parse JSON.

    Args:
        text: JSON.
        pairs_hook: Makes a value of the fields of an object; a dictionary if not given.

    Raises:
        ValueError: It is not JSON, or nested deeper than can be followed.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs_hook)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def compose_yaml(text: str, loader: type[yaml.SafeLoader]) -> yaml.Node | None:
    """Parse YAML to nodes that can be walked.

    Args:
        text: YAML.
        loader: Says which values are no texts.

    Returns:
        Its node; None if there is nothing.

    Raises:
        yaml.YAMLError: It is not YAML, or more than anybody writes: nested too deep, or too much,
            where an alias counts as all that it stands for.
    """
    import yaml  # not needed by most of what is read here, and slow to load

    if len(text) > YAML_CHARACTERS:
        raise yaml.YAMLError(f"it is longer than {YAML_CHARACTERS:,} characters")
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deep") from error
    if node is not None:
        _check_extent(node)
    return node


def _check_extent(node: yaml.Node) -> None:
    import yaml

    count, waiting = 0, [(node, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > YAML_DEPTH:
            raise yaml.MarkedYAMLError(None, None, "it is nested too deep", node.start_mark)
        if count > YAML_VALUES:
            problem = f"it has more than {YAML_VALUES:,} values, aliases counted for what they are"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            waiting += [(value, depth + 1) for _, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(inner, depth + 1) for inner in reversed(node.value)]


def repeated(names: Iterable[str]) -> list[str]:
    """Names that are there more than once, in the order in which they first come."""
    return [name for name, times in Counter(names).items() if times > 1]


def _checked(found: os.stat_result, most: int | None) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("is not a file")
    if most is not None and found.st_size > most:
        raise ValueError(_too_large(most))
    return found.st_size


def _opened(file: Path) -> FileIO:
    """Open what was a file a moment ago; what took its place must not hold us up."""
    return FileIO(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "r")


def _check_filled(descriptor: int, size: int) -> None:
    """Check that a large file is no hole, which costs nobody anything and reads as zeros."""
    if not hasattr(os, "SEEK_DATA"):
        return
    filled = at = 0
    for _ in range(HOLES):
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError:  # there is no more data
            break
        filled += at - begin
    else:
        return
    if filled < size // 2:
        raise ValueError(f"has {filled:,} bytes and a hole that makes it look like {size:,}")


def _too_large(most: int) -> str:
    return f"is larger than {most:,} bytes, which nobody needs for this"
