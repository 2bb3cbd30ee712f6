"""Every method that measures effects, with the packed engine and with the reference, side by side.

    python benchmarks/methods.py                       # all methods; writes benchmarks/results
    python benchmarks/methods.py --method knockout -n 4

The same request is answered by both engines in a process of its own, on one thread, and every
effect of every pair is compared. What counts is CPU time of the runs, without loading; how many
tokens went through how many layers tells what a ratio can be at most. (Circuits pack nothing.)
Other tools are compared by `sweep.py`, on runs that methods are made of: mediation of two of
workload a for each place, tracing of g, knockout of h, paths of p.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from sweep import device_name  # noqa: E402

CASES: dict[str, dict[str, Any]] = {
    "mediation": {"task": "belief_tracking", "sweep": {"positions": "last"}},
    "ablation": {
        "task": "belief_tracking",
        "ablation": "mean",
        "sweep": {"component": "attn_out", "positions": "last"},
    },
    "knockout": {
        "task": "belief_tracking",
        "keys": ["drink_1.all", "drink_2.all"],
        "sweep": {"layers": "window(5)", "positions": "last"},
    },
    "paths": {"task": "ioi", "sweep": {"heads": [0, 4, 8]}},
    "tracing": {
        "task": "factual_recall",
        "design": "other_subject",
        "templates": "one_sentence",
        "splits": "0/0/100",
        "kept": True,
        "corrupt": "subject",
        "draws": 2,
        "sweep": {"positions": "every"},
    },
}
CASES["tracing of windows"] = {
    **CASES["tracing"],
    "method": "tracing",
    "sweep": {"positions": "every", "component": "mlp_out", "layers": "window(10)"},
}
"""Case -> what is asked, in all layers; its method, where that is not its name."""
ENGINES = ("reference", "packed")


def main() -> int:
    """Run what the command line asks for.

    Returns:
        1 if the engines disagree by more than rounding, else 0.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", choices=CASES, action="append", help="default: all")
    parser.add_argument("-n", type=int, default=8, help="pairs")
    parser.add_argument("--out", type=Path, default=HERE / "results/methods-cpu.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(options.method[0], options.child, options.n)))
        return 0
    rows = [compared(method, options.n) for method in options.method or CASES]
    if not options.method:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(table(rows))
    print(table(rows))
    return int(any(row["difference"] > row["tolerance"] for row in rows))


def compared(method: str, n: int) -> dict[str, Any]:
    """A row: both engines on the same request."""
    found = {}
    for engine in ENGINES:
        print(f"{method}: {engine} ...", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, "--child", engine, "--method", method, "-n", str(n)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[engine] = json.loads(done.stdout)
    plain, packed = (found[engine] for engine in ENGINES)
    pairs = list(zip(plain.pop("values"), packed.pop("values"), strict=True))
    return {
        "method": method,
        "n": n,
        "machine": device_name("cpu"),
        "effects": len(pairs),
        "difference": max(map(_apart, pairs)),
        "tolerance": 1e-3 * max(1.0, *(abs(a) for a, _ in pairs if a is not None)),
        **found,
    }


def _apart(both: tuple[float | None, float | None]) -> float:
    """How far two effects are apart; infinitely if one alone has no number."""
    one, other = both
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def measured(method: str, engine: str, n: int) -> dict[str, Any]:
    """CPU seconds, work and effects of one engine."""
    import torch

    import cfgen

    torch.set_num_threads(1)
    asked = {"method": method, **CASES[method]}
    with tempfile.TemporaryDirectory() as folder:
        task = asked.pop("task")
        lm = cfgen.load_lm(cfgen.load_task(task).default_model, device="cpu")
        started = time.process_time()
        result = cfgen.run(
            task,
            model=lm,
            out=Path(folder) / "run",
            n=n,
            engine={"name": engine, "verify": 0},
            **asked,
        )
        seconds = time.process_time() - started
        cost = result.results.engine
        columns = ["pair_id", "effect", "component", "position", "head", "token", "layer"]
        effects = result.effects().sort_values(columns)
        return {
            "seconds": round(seconds, 2),
            "token_layers": cost.clean.passes + cost.swaps.passes,
            "values": [None if value != value else value for value in effects["value"]],
        }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    head = (
        "method",
        "n",
        "effects",
        "reference",
        "packed",
        "ratio",
        "by token-layers",
        "differ by",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        plain, packed = row["reference"], row["packed"]
        cells = (
            row["method"],
            row["n"],
            f"{row['effects']:,}",
            f"{plain['seconds']} s",
            f"{packed['seconds']} s",
            f"{plain['seconds'] / packed['seconds']:.1f}x",
            f"{plain['token_layers'] / packed['token_layers']:.1f}x",
            f"{row['difference']:.1e}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    machines = ", ".join(dict.fromkeys(row["machine"] for row in rows))
    return "\n".join((*lines, "", f"CPU seconds of one thread; {machines}.")) + "\n"


if __name__ == "__main__":
    sys.exit(main())
