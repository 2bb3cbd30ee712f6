"""Labelled pairs per second on one core, with spans, all variables and all predictions.

    python benchmarks/generate.py [--n 20000] [--tasks belief_tracking ioi] [--out FILE.json]
    python benchmarks/generate.py --memory 1000000      # peak memory of one large dataset

Times are CPU seconds of this process, so that a busy machine matters less. Three stages: the rows
as records, the rows as Arrow columns, and the finished folder (Parquet, manifest and card).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfgen.datasets import draw_pairs, generate, label_pairs, recipe, write_dataset


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(task: str, n: int, repeats: int) -> dict[str, Any]:
    made = recipe(task, n, templates=["all"])
    draw_pairs(replace(made, n=200), split="train")  # templates are compiled on first use
    stages: dict[str, Callable[[], Any]] = {
        "records": lambda: sum(len(pairs) for _, pairs in label_pairs(made)),
        "columns": lambda: generate(made.task, n, templates=["all"]),
        "folder": lambda: _folder(made),
    }
    best = {name: min(cpu_seconds(work) for _ in range(repeats)) for name, work in stages.items()}
    return {
        "task": task,
        "design": made.design.name,
        "hypotheses": len(made.task.hypotheses) + 2,
        "variables": len(made.task.causal_model.graph().order),
        "n": n,
        "pairs_per_second": {name: round(n / seconds) for name, seconds in best.items()},
    }


def _folder(made: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(made, Path(folder) / "out")


def peak_memory(task: str, n: int) -> None:
    """Write a large dataset and print the most memory this process ever had."""
    start = time.process_time()
    _folder(recipe(task, n, templates=["all"]))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    print(f"{task}: {n:,} rows, {n / seconds:,.0f} rows/s, peak {peak:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=["belief_tracking", "ioi"])
    parser.add_argument("--memory", type=int, metavar="N")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.memory:
        peak_memory(options.tasks[0], options.memory)
        return
    rows = [measure(task, options.n, options.repeats) for task in options.tasks]
    print("| task | variables | hypotheses | n | records/s | columns/s | folder/s |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        speeds = " | ".join(f"{speed:,}" for speed in row["pairs_per_second"].values())
        head = f"{row['task']} | {row['variables']} | {row['hypotheses']} | {row['n']:,}"
        print(f"| {head} | {speeds} |")
    if options.out:
        machine = {
            "machine": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        }
        options.out.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
