"""Labelled pairs per second on one core, with ids, spans, all variables and all predictions.

    python benchmarks/generate.py [--n 20000] [--tasks mcqa belief_tracking] [--out FILE.json]
    python benchmarks/generate.py --tasks mcqa --memory 1000000    # peak memory of a large dataset
    python benchmarks/generate.py --tasks mcqa --workers 4         # with processes, by the clock

Times are CPU seconds of this process, so that a busy machine matters less. Two stages: the rows as
Arrow columns, without those that repeat a prompt, and the finished folder (Parquet, audits, card).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cfgen.datasets import DatasetRecipe, draw_pairs, recipe, row_tables, write_dataset


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def rows_of(made: DatasetRecipe, workers: int = 1) -> int:
    return sum(len(table) for _, table in row_tables(made, workers))


def measure(task: str, n: int, repeats: int) -> dict[str, Any]:
    made = recipe(task, n, templates=["all"])
    draw_pairs(replace(made, n=200), split="train")  # templates are compiled on first use
    stages: dict[str, Callable[[], Any]] = {
        "columns": lambda: rows_of(made),
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


def _folder(made: DatasetRecipe) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(made, Path(folder) / "out")


def peak_memory(task: str, n: int) -> None:
    """Write a large dataset and print the most memory this process ever had."""
    seconds = cpu_seconds(lambda: _folder(recipe(task, n, templates=["all"])))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    print(f"{task}: {n:,} rows, {n / seconds:,.0f} rows/s, peak {peak:.2f} GiB")


def scaling(task: str, n: int, workers: int) -> None:
    """Print how long columns take by the clock, with one process and with several."""
    made = recipe(task, n, templates=["all"])
    rows_of(replace(made, n=1000), workers)  # starts the process that workers come from
    print(f"{task}: {n:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for count in (1, workers):
        start = time.perf_counter()
        rows_of(made, count)
        print(f"{count} processes: {n / (time.perf_counter() - start):,.0f} rows/s by the clock")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=["mcqa", "belief_tracking"])
    parser.add_argument("--memory", type=int, metavar="N")
    parser.add_argument("--workers", type=int, metavar="N")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.memory or options.workers:
        for task in options.tasks:
            if options.memory:
                peak_memory(task, options.memory)
            if options.workers:
                scaling(task, options.n, options.workers)
        return
    rows = [measure(task, options.n, options.repeats) for task in options.tasks]
    print("| task | variables | hypotheses | n | columns/s | folder/s |")
    print("|---|---|---|---|---|---|")
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
