"""Files as somebody writes them who means no good: valid ones, changed at random.

Whatever is made of them, there is one property: the result is the same as ever, or an error that
says what to do; within seconds, with little memory, and without a trace anywhere else.
``CFGEN_FUZZ=100 pytest -k hostile`` tries a hundred times as many.
"""

from __future__ import annotations

import copy
import json
import os
import re
import resource
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from cfgen.errors import CfgenError

SECONDS = 10
MEMORY = 2 << 30
"""Bytes that the process may grow by while it reads something small."""
NAMES = (
    *("", ".", "..", "/", "~", "../../victim/notes", "/etc/passwd", "a/../../b", "a\\b", "C:\\x"),
    *("x\0", "x\n", "x\x1b[2J", "x\u202etxt", "\ud800", "-rf", "CON", ".hidden", "x" * 5000),
    *("./evil.py", "evil.py", "evil", "/dev/zero", "__class__", "{{ 7 * 7 }}", "%s%n", "*", "null"),
)
NUMBERS = (
    *(0, -1, 1, 2, 7, 2**31, 2**63, 2**64, -(2**63), 10**12, 10**30, 10**4000),
    *(0.5, -0.0, 1e308, float("inf"), float("nan")),
)

_WORDS = re.compile(r"\w+|\s+|[^\w\s]+")


class Overtime(BaseException):
    """Something takes too long; no ``except Exception`` is to make an error of that."""


def fuzzed(examples: int) -> settings:
    """How often a property is tried: ``CFGEN_FUZZ`` times as often where that is set."""
    return settings(
        max_examples=examples * int(os.environ.get("CFGEN_FUZZ", "1")),
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # another seed is no simpler
        suppress_health_check=list(HealthCheck),
    )


def hostile_value(rng: Random) -> Any:
    """A value where another one belongs."""
    kind = rng.randrange(9)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 6:
        return rng.choice(NAMES)
    if kind == 6:
        return rng.choice((None, True, False, [], {}, [[]], {"": None}))
    if kind == 7:
        return [hostile_value(rng) for _ in range(rng.randrange(4))]
    nested: Any = rng.choice(NAMES)
    for _ in range(rng.choice((3, 60, 500))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def mutated(value: Any, rng: Random, times: int = 0) -> Any:
    """A value of JSON with something in it changed, left out, moved or added."""
    value = copy.deepcopy(value)
    for _ in range(times or rng.choice((1, 1, 1, 2, 5))):
        holder = rng.choice([one for one in _holders(value) if one] or [{}])
        if not holder:
            return hostile_value(rng)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key, other = rng.choice(keys), rng.choice(keys)
        kind = rng.randrange(7)
        if kind < 3:
            holder[key] = hostile_value(rng)
        elif kind == 3:
            del holder[key]
        elif kind == 4:
            holder[key], holder[other] = holder[other], holder[key]
        elif kind == 5 and isinstance(holder[key], int):
            holder[key] += rng.choice((-1, 1, 10**9))
        elif isinstance(holder, dict):
            holder[rng.choice(NAMES)] = holder.pop(key) if kind == 5 else holder[key]
        else:
            holder.insert(key, copy.deepcopy(holder[other]))
    return value


def _holders(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def as_json(value: Any) -> bytes:
    """A value as somebody writes it who does not care what JSON allows."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def damaged(content: bytes, rng: Random, within: int | None = None) -> bytes:
    """Bytes with some of them changed, cut off, repeated or moved.

    Args:
        content: The bytes.
        rng: Decides.
        within: Most of the changes are made in so many at the beginning.
    """
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not changed:
            return bytes(changed)
        most = len(changed) if within is None or rng.random() < 0.2 else min(within, len(changed))
        at, other = rng.randrange(most), rng.randrange(most)
        kind = rng.randrange(7)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + 8] = struct.pack(
                "<Q", rng.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1))
            )
        elif kind == 2:
            changed[at : at + 4] = struct.pack("<I", rng.choice((0, 8, 9, 255, 2**31, 2**32 - 1)))
        elif kind == 3:
            changed[at : at + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(9))
        elif kind == 4:
            del changed[at : at + rng.choice((1, 8, 100, len(changed)))]
        elif kind == 5:
            changed[at:at] = changed[other : other + rng.choice((1, 8, 100))]
        else:
            changed[at : at + 8], changed[other : other + 8] = (
                changed[other : other + 8],
                changed[at : at + 8],
            )
    return bytes(changed)


def rewritten(source: str, rng: Random, words: Sequence[str]) -> str:
    """A text that people write, with words and lines dropped, doubled, swapped and replaced.

    Args:
        source: The text.
        rng: Decides.
        words: What may stand where something else belongs, besides words of the text itself.
    """
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        by_line = rng.random() < 0.3
        parts = source.splitlines(keepends=True) if by_line else _WORDS.findall(source)
        if not parts:
            return rng.choice(words)
        at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        kind = rng.randrange(6)
        if kind == 0:
            del parts[at : at + rng.choice((1, 1, 2, 5))]
        elif kind == 1:
            parts.insert(other, parts[at])
        elif kind == 2:
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:
            parts[at] = parts[other]
        else:
            parts[at] = rng.choice(words)
        source = "".join(parts)
    return source


def tree(folder: Path) -> dict[str, bytes | None]:
    """Whatever lies below a folder, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def survives(read: Callable[[], Any], *others: type[Exception]) -> Any:
    """Read something hostile, and check that it ends as it should.

    Args:
        read: Reads it.
        *others: What else it may raise, if that is documented of it.

    Returns:
        What it returns; None if it raises an error with a remedy.
    """
    with limited():
        try:
            return read()
        except CfgenError as error:
            raised: Exception = error
        except others as error:
            raised = error
    assert str(raised).encode("utf-8", "surrogatepass")
    for problem in getattr(raised, "problems", ()):
        assert problem.message, problem
        assert problem.hint, problem
        assert problem.code != "internal-error", problem
    return None


@contextmanager
def limited() -> Iterator[None]:
    """Fail where something takes too long, or too much memory.

    Time is this process's own, since others may be at work beside it, but somebody may also wait
    for what never comes.
    """

    def ring(number: int, frame: object) -> None:
        raise Overtime(f"it takes longer than {SECONDS} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timers = (
        (signal.ITIMER_PROF, signal.SIGPROF, SECONDS),
        (signal.ITIMER_REAL, signal.SIGALRM, 6 * SECONDS),
    )
    handlers = [signal.signal(number, ring) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, handlers, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MEMORY, f"it takes {grown:,} bytes"
