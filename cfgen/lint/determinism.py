"""Do mechanisms give the same values every time? Two processes with different hash seeds say."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cfgen.errors import CfgenError
from cfgen.lint.findings import Finding
from cfgen.overtime import bounded_code
from cfgen.processes import python_code, python_environment
from cfgen.tasks import Task, load_task

INPUTS = 100
"""How many inputs the variables are computed for."""

MARK = "values:"
"""What the line of values begins with, which tells it from what a task prints."""


def check_determinism(task: Task) -> Iterable[Finding]:
    """Variables, or domains of inputs, that differ between two runs of Python."""
    one, other = (values_elsewhere(task.path, seed) for seed in (1, 2))
    if isinstance(one, str) and isinstance(other, str):
        yield Finding(
            "check-not-run",
            "whether the task gives the same values every time was not checked: it runs here, but "
            "not in a process of its own",
            task.where,
            "mend what follows; files that the task imports have to be installed, or found by "
            "PYTHONPATH, since the current folder is not looked in",
            detail=one,
        )
        return
    if isinstance(one, str) or isinstance(other, str) or len(one) != len(other):
        yield _finding(task, "", "running it works in one process and fails in another")
        return
    told: set[str] = set()
    graph = task.causal_model.graph()
    for first, second in zip(one, other, strict=True):
        for name in graph.order:
            parents = graph.parents[name]
            if name in told or first.get(name) == second.get(name):
                continue
            if any(first.get(parent) != second.get(parent) for parent in parents):
                continue  # it only passes on what differed before
            told.add(name)
            kind = "the domain of input" if name in graph.inputs else "variable"
            given = f" for the same {', '.join(parents)}" if parents else ""
            message = (
                f"{kind} {name!r} is not the same in two runs of Python{given}: "
                f"{first.get(name)} and {second.get(name)}"
            )
            yield _finding(task, name, message)


def _finding(task: Task, name: str, message: str) -> Finding:
    return Finding(
        "not-deterministic",
        message,
        task.causal_model.places.get(name, task.where),
        "use no randomness, no clock, no state, and no order of a set",
        name,
    )


def values_elsewhere(path: Path, seed: int) -> list[dict[str, str]] | str:
    """Values of all variables for some inputs, computed in a process with this hash seed.

    Returns:
        The values, or what the process said instead if it gave none.
    """
    ended = run_elsewhere(path, seed)
    lines = [line for line in ended.stdout.splitlines() if line.startswith(MARK)]
    if ended.returncode or not lines:
        return (ended.stderr or ended.stdout).strip() or f"it ended with {ended.returncode}"
    found: list[dict[str, str]] = json.loads(lines[-1].removeprefix(MARK))
    return found


def run_elsewhere(path: Path, seed: int) -> subprocess.CompletedProcess[str]:
    """Have a process with this hash seed print the values of a task."""
    code = f"from cfgen.lint.determinism import print_values; print_values({str(path)!r})"
    return subprocess.run(
        python_code(code),
        env=python_environment(PYTHONHASHSEED=str(seed), PYTHONIOENCODING="utf-8"),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def print_values(path: str) -> None:
    """Print the values of all variables for some inputs as JSON, in a line that is marked."""
    with bounded_code():
        model = load_task(path).causal_model
        rng = random.Random(0)
        found: list[Mapping[str, str]] = []
        for _ in range(INPUTS):
            try:
                values = model.program.run(model.sample(rng))
            except CfgenError:  # reported by what draws pairs
                continue
            found.append({name: canonical(value) for name, value in values.items()})
    print(f"\n{MARK} {json.dumps(found)}")


def canonical(value: Any) -> str:
    """A value as text that is the same for equal values, whatever the order in a set."""
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(canonical, value))) + "}"
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(sorted(f"{canonical(k)}: {canonical(v)}" for k, v in value.items()))
            + "}"
        )
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"{type(value).__name__}({', '.join(map(canonical, value))})"
    return repr(value)
