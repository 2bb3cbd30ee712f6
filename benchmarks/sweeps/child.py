"""One tool, one job, one fresh process: what ``sweep.py`` starts for every number it reports."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import math
import os
import resource
import statistics
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

TRIAL = 4
"""Cells of the second warm-up run, from which the length of a full run is estimated."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the tool and describe what came out."""
    import torch

    from sweeps.jobs import read_job
    from sweeps.models import is_llama_like, load

    torch.set_num_threads(options.threads)
    job = read_job(options.job)
    module = importlib.import_module(f"sweeps.tools.{options.tool}")
    if reason := getattr(module, "CANNOT", {}).get(job.kind):
        return {"status": "unsupported", "reason": reason}
    try:
        versions = {name: version(name) for name in module.PACKAGES}
    except PackageNotFoundError as error:
        return {"status": "not installed", "reason": f"{error.name} is not installed"}
    lm = load(job.model, options.device, options.dtype)
    if not is_llama_like(lm.model):
        return {"status": "unsupported", "reason": f"{type(lm.model).__name__} is not llama-like"}
    return {"versions": versions, **measure_on(lm, job, module, options)}


def measure_on(lm: Any, job: Any, module: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Run a tool on an LM, and describe what came out."""
    from cfgen.lm import find_layout
    from sweeps.counting import Counter
    from sweeps.floor import find_floor
    from sweeps.rates import matmul_rate, plain_seconds

    layout = find_layout(lm.model)  # before a tool changes the module tree
    held = _reset_peak(lm)
    with Counter(lm, layout) as counter:
        chosen = _choose(module, lm, job, options)
        part = job.with_cells(chosen)
        counter.take()
        outcome, first = _once(module, lm, part)
        calls = counter.take()
        runs = [first, *_repeat(module, lm, part, options, first[0])]
    memory = {"loaded_mib": held, **_memory(lm)}
    floor, rate = find_floor(lm, layout, part), matmul_rate(lm, layout)
    length = max(map(len, job.originals))
    alone = lm.device.type == "cpu" and options.threads == 1
    clock = time.process_time if alone else time.perf_counter
    walls = [wall for wall, _ in runs]
    return {
        "status": "ran",
        "cells": chosen,
        "repeats": len(runs),
        "seconds": min(walls),
        "seconds_median": statistics.median(walls),
        "cpu_seconds": min(cpu for _, cpu in runs),
        "tokens": calls.passes / layout.layers,
        "layers": layout.layers,
        **memory,
        "floor_seconds": floor.flops / rate,
        "floor_tokens": floor.tokens,
        "floor_flops": floor.flops,
        "matmul_rate": rate,
        "plain_seconds": plain_seconds(lm, layout, calls, length, clock),
        "notes": outcome.notes,
        "distinct_answers": outcome.tokens.unique().numel(),
        "answers": outcome.tokens.tolist(),
        "logits": outcome.logits.tolist(),
    }


def _choose(module: Any, lm: Any, job: Any, options: argparse.Namespace) -> list[int]:
    """Warm up; where a full run would take too long, choose evenly spread cells."""
    every = list(range(len(job.cells)))
    few = every[:: max(1, len(every) // TRIAL)][:TRIAL]
    module.run(lm, job.with_cells(few[:1]))
    if not options.limit:
        return every
    one, some = (_timed(module, lm, job.with_cells(cells))[0] for cells in (few[:1], few))
    whole = one + (some - one) / max(1, len(few) - 1) * (len(every) - 1)
    return every[:: max(1, math.ceil(whole / options.limit))]


def _once(module: Any, lm: Any, job: Any) -> tuple[Any, tuple[float, float]]:
    """What came out of the first run, with its wall and CPU seconds."""
    wall, cpu, outcome = _timed(module, lm, job)
    return outcome, (wall, cpu)


def _once(module: Any, lm: Any, job: Any) -> tuple[Any, tuple[float, float]]:
    """What came out of the first run, with its wall and CPU seconds."""
    wall, cpu, outcome = _timed(module, lm, job)
    return outcome, (wall, cpu)


def _repeat(
    module: Any, lm: Any, job: Any, options: argparse.Namespace, wall: float
) -> list[tuple[float, float]]:
    """Wall and CPU seconds of further runs, as many as there is patience for."""
    runs: list[tuple[float, float]] = []
    spent = wall
    while len(runs) + 1 < options.repeats and not 0 < options.patience < spent + wall:
        wall, cpu, _ = _timed(module, lm, job)
        runs.append((wall, cpu))
        spent += wall
    return runs


def _timed(module: Any, lm: Any, job: Any) -> tuple[float, float, Any]:
    import torch

    wall, cpu = time.perf_counter(), time.process_time()
    outcome = module.run(lm, job)
    if lm.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu, outcome


def _reset_peak(lm: Any) -> float:
    """Forget what loading took, where Linux can do that; returns the memory in use, in MiB."""
    import torch

    with torch.inference_mode():  # brings all weights into memory
        lm.model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=lm.device), use_cache=False)
    gc.collect()
    if lm.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(lm.device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _memory(lm: Any) -> dict[str, float]:
    """Peak memory of this process, and of the GPU, in MiB."""
    import torch

    held = {"peak_mib": _peak()}
    if lm.device.type == "cuda":
        held["gpu_peak_mib"] = torch.cuda.max_memory_allocated(lm.device) / 2**20
    return held


def _peak() -> float:
    """Peak resident memory in MiB.

    ``ru_maxrss`` also counts what the parent had when it started this process, so Linux's own
    count for this program comes first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if os.uname().sysname == "Darwin" else 2**10)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--limit", type=float, default=0.0)
    parser.add_argument("--patience", type=float, default=0.0)
    options = parser.parse_args(arguments)
    try:
        found = measure(options)
    except Exception as error:  # whatever a tool does: the table says so
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        found = {"status": "failed", "reason": reason[:200]}
    options.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
