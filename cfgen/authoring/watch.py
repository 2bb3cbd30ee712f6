"""Watching the files of a task: which of them were saved since one last looked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cfgen.paths import find_all, project_of

Stamps = dict[Path, tuple[int, int]]
"""File -> when it was last changed (ns), and its size."""


def file_stamps(task_file: Path) -> Stamps:
    """When the files of a task were last changed: its own, its templates', all lexicons'.

    Args:
        task_file: The task file.
    """
    project = project_of(task_file)
    folders = [*find_all(f"templates/{task_file.stem}", *project)]
    folders += find_all("data/lexicons", *project)
    files = [task_file, *(path for folder in folders for path in sorted(folder.glob("*.*")))]
    found: Stamps = {}
    for path in files:
        try:
            stat = path.stat()
        except OSError:  # being replaced by an editor; it is there again next time
            continue
        found[path] = (stat.st_mtime_ns, stat.st_size)
    return found


def changed_files(
    task_file: Path,
    *,
    every: float = 0.5,
    rounds: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Path, ...]]:
    """Yield the files that were changed, made or removed, whenever there are any.

    Args:
        task_file: The task file.
        every: Seconds between looks.
        rounds: How often to yield at most; without end if None.
        sleep: Waits between looks.

    Yields:
        At once nothing, for a first round; then the changed files, once no more of them change.
    """
    before = file_stamps(task_file)
    yield ()
    done = 1
    while rounds is None or done < rounds:
        sleep(every)
        now = file_stamps(task_file)
        if now == before:
            continue
        sleep(every / 5)  # an editor may be writing still
        while (later := file_stamps(task_file)) != now:
            now = later
            sleep(every / 5)
        names = sorted(path for path in {*now, *before} if now.get(path) != before.get(path))
        before = now
        if names:
            yield tuple(names)
            done += 1
