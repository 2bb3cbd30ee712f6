"""The same sweep of interchanges with cfgen's engines and with other tools, side by side.

    python benchmarks/sweep.py --quick                        # two minutes, nothing is written
    python benchmarks/sweep.py                                # every workload, every tool
    python benchmarks/sweep.py --workload a,b --tools reference,packed --pairs 32

The other tools come with ``pip install -e '.[bench]'``; what isn't installed is reported as such.
See benchmarks/README.md for the workloads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from sweeps.compare import compare  # noqa: E402
from sweeps.jobs import Job, write_job  # noqa: E402
from sweeps.tables import render  # noqa: E402
from sweeps.workloads import OURS_ONLY, PAIRS, Options, make_jobs  # noqa: E402

OURS = ("reference", "packed")
PEERS = ("pyvene", "pyvene_kept", "transformer_lens", "nnsight")
TOOLS = (*OURS, "plain", *PEERS)
KEPT = ("answers", "logits")
"""What a child tells that is compared, but not written down."""


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for.

    Returns:
        1 if ``packed`` and ``reference`` disagree by more than rounding, else 0.
    """
    options = parse(arguments)
    chosen = Options(
        options.model,
        options.pairs,
        options.batch,
        options.length,
    )
    jobs = make_jobs("".join(options.workload), chosen)
    result = describe(options)
    result["rows"] = kept = _kept(options, result)
    for job in jobs:
        rows = run_job(job, options)
        new = {_key(row) for row in rows}
        kept[:] = sorted([row for row in kept if _key(row) not in new] + rows, key=_order)
        for row in rows:
            result["versions"].update(row.pop("versions", {}))
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            options.out.with_suffix(".md").write_text(render(result))
    print(render(result))
    return int(any(wrong(row) for row in kept))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", default="a,b,c,d,e,f,g,h,p", help="letters, with commas")
    parser.add_argument("--tools", default=",".join((*OURS, *PEERS)))
    parser.add_argument("--model", default="smollm2-belief")
    parser.add_argument("--pairs", type=int, help="default: " + str(PAIRS))
    parser.add_argument("--batch", type=int, default=8, help="pairs per forward")
    parser.add_argument("--length", type=int, default=180, help="tokens, for random models")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--limit", type=float, default=300.0, help="seconds a peer may take for one run"
    )
    parser.add_argument(
        "--patience", type=float, default=300.0, help="seconds after which nothing is repeated"
    )
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/sweep-DEVICE.json")
    parser.add_argument("--add", action="store_true", help="keep other rows of the file at --out")
    parser.add_argument(
        "--quick", action="store_true", help="a, four pairs, our engines, written nowhere"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.workload, options.tools, options.repeats = "a", ",".join(OURS), 1
        options.pairs = options.pairs or 4
    elif options.out is None:
        options.out = HERE / "results" / f"sweep-{slug(options.device)}.json"
    options.workload = options.workload.split(",")
    options.tools = options.tools.split(",")
    unknown = set(options.tools) - set(TOOLS)
    unknown |= set(options.workload) - set(PAIRS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


def run_job(job: Job, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per tool; the first tool that ran all cells is what the others are compared with."""
    rows: list[dict[str, Any]] = []
    believed: dict[str, Any] | None = None
    for tool in options.tools:
        if job.workload in OURS_ONLY and tool not in OURS:
            continue
        print(f"{job.title}: {tool} ...", file=sys.stderr, flush=True)
        found = run_child(job, tool, options)
        rows.append(make_row(job, tool, options, found, believed))
        if believed is None and found["status"] == "ran" and len(found["cells"]) == len(job.cells):
            believed = found
    return rows


def run_child(job: Job, tool: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one tool in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        task, out = Path(folder) / "job.json", Path(folder) / "out.json"
        write_job(job, task)
        settings = {
            "job": task,
            "tool": tool,
            "out": out,
            "device": options.device,
            "dtype": options.dtype,
            "threads": options.threads,
            "repeats": options.repeats,
            "limit": 0 if tool in OURS else options.limit,
            "patience": options.patience,
        }
        listed = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(options.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        command = [sys.executable, "-m", "sweeps.child", *listed]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        if out.exists():
            found: dict[str, Any] = json.loads(out.read_text())
        else:
            found = {"status": "failed", "reason": f"its process ended with {ended.returncode}"}
        if found["status"] == "failed":
            print(ended.stderr[-2000:], file=sys.stderr)
        return found


def make_row(
    job: Job,
    tool: str,
    options: argparse.Namespace,
    found: dict[str, Any],
    believed: dict[str, Any] | None,
) -> dict[str, Any]:
    """What is written down about one tool and one job."""
    lengths = sorted({len(ids) for ids in job.originals})
    row = {
        "workload": job.workload,
        "variant": job.variant,
        "about": job.about,
        "model": job.model,
        "tool": tool,
        "pairs": len(job.originals),
        "tokens_per_prompt": "-".join(map(str, sorted({lengths[0], lengths[-1]}))),
        "batch": job.batch,
        **{key: value for key, value in found.items() if key not in KEPT},
        "cells": len(job.cells),
    }
    if found["status"] == "ran":
        count = len(found["cells"])
        alone = options.threads == 1 and options.device == "cpu"
        time = found["cpu_seconds" if alone else "seconds"]
        row |= {
            "cells_run": count,
            "time": time,
            "ms_per_cell": 1000 * time / (count * len(job.originals)),
            **({} if believed is None else compare(job, believed, found, options.dtype)),
        }
    return row


def wrong(row: dict[str, Any]) -> bool:
    """Whether our own engine disagrees with the reference by more than rounding.

    Another answer at the same logits is rounding between two that are about as likely.
    """
    listed = row.get("disagreements", ())
    beyond = any(not one["difference"] <= row["tolerance"] for one in listed)
    return row["tool"] == "packed" and (beyond or row["status"] != "ran")


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The machine and the settings."""
    return {
        "machine": {
            "device": device_name(options.device),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "settings": {"dtype": options.dtype, "threads": options.threads},
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "rows": [],
    }


def device_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def slug(device: str) -> str:
    """``cpu``, or the GPU's name as part of a file name."""
    if not device.startswith("cuda"):
        return device
    device = device_name(device)
    words = "".join(sign if sign.isalnum() else " " for sign in device.lower()).split()
    return "-".join(words)


def _kept(options: argparse.Namespace, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an earlier run on the same machine, if they are to be kept."""
    if not options.add or not options.out or not options.out.exists():
        return []
    earlier = json.loads(options.out.read_text())
    for key in ("machine", "settings"):
        if earlier[key] != result[key]:
            raise SystemExit(f"{options.out} was made with another {key}: {earlier[key]}")
    result["versions"] = {**earlier["versions"], **result["versions"]}
    rows: list[dict[str, Any]] = earlier["rows"]
    return rows


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["workload"], row["variant"], row["model"], row["tool"]


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    number = int("0" + "".join(filter(str.isdigit, row["variant"])))
    return row["workload"], "" if number else row["model"], number, TOOLS.index(row["tool"])


if __name__ == "__main__":
    sys.exit(main())
