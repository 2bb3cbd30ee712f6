"""cfgen's two engines on a GPU, on random weights of a real shape: one command, a few minutes.

    PYTHONPATH=. python benchmarks/gpu.py --out results          # bfloat16 and float32
    PYTHONPATH=. python benchmarks/gpu.py --device cpu --tiny    # does it run at all

Needs torch, transformers and what comes with them; nothing is downloaded. Everything runs in this
process, one after another, so peak memory is that of all before. The reference runs evenly spread
cells where all would take longer than ``--limit`` seconds, and times are compared per cell; logits
of both engines are compared in all cells that both ran. Writes gpu-NAME.json and .md into the
folder, after every workload; the exit status is 1 if the engines disagree by more than rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

TOOLS = ("reference", "packed")
PAIRS = {"a": 32, "c": 2, "d": 8, "g": 2, "h": 16, "p": 4}
"""Pairs per workload."""
SPARE = ("pydantic", "faker", "platformdirs", "gguf")
"""Packages that tasks and weights need, but no random LM does."""


class StandIn:
    """Stands for whatever is imported from a package that is not there."""

    def __init__(self, *_given: Any, **_named: Any) -> None:
        """Take anything."""


class StandInModule(ModuleType):
    """A module that has every name."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (StandIn,), {})


class StandInFinder:
    """Finds a stand-in for each spare package that nobody else finds."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Of the packages, and what is in them."""
        return ModuleSpec(name, self) if name.partition(".")[0] in SPARE else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A module that has every name."""
        return StandInModule(spec.name)

    def exec_module(self, _module: ModuleType) -> None:
        """There is nothing in it."""


def main(arguments: list[str] | None = None) -> int:
    """Run all workloads in all dtypes.

    Returns:
        1 if the engines disagree by more than rounding, else 0.
    """
    options = parse(arguments)
    import torch
    import transformers  # before there are stand-ins: it asks which packages there are

    sys.meta_path.append(StandInFinder())
    from sweep import device_name, slug
    from sweeps.tables import render

    torch.set_num_threads(options.threads)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    machine = {"device": device_name(options.device), "system": sys.platform}
    machine["python"] = ".".join(map(str, sys.version_info[:3]))
    wrong = False
    pages = []
    for dtype in options.dtypes.split(","):
        settings = {"dtype": dtype, "threads": options.threads, "one_process": True}
        result = {"machine": machine, "settings": settings, "versions": versions, "rows": []}
        for rows in measured(options, dtype):
            result["rows"] += rows
            out = options.out / f"gpu-{slug(options.device)}-{dtype}"
            options.out.mkdir(parents=True, exist_ok=True)
            out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
            out.with_suffix(".md").write_text(render(result))
            wrong |= any(one["difference"] > one["tolerance"] for one in rows if "compared" in one)
        pages.append(render(result))
    print("\n".join(pages))
    return int(wrong)


def measured(options: argparse.Namespace, dtype: str) -> Any:
    """Rows of both engines, workload by workload."""
    import torch
    from sweep import make_row
    from sweeps.child import measure_on
    from sweeps.compare import compare
    from sweeps.models import load
    from sweeps.tools import packed, reference
    from sweeps.workloads import Options, make_jobs

    lm = load(options.model, options.device, dtype)
    modules = {"reference": reference, "packed": packed}
    own = argparse.Namespace(**{**vars(options), "dtype": dtype})
    for letter in options.workload.split(","):
        pairs = options.pairs or PAIRS[letter]
        (job,) = make_jobs(letter, Options(options.model, pairs, options.batch, options.length))
        found = {}
        for tool in TOOLS:
            limit = options.limit if tool == "reference" else 0
            limited = argparse.Namespace(**{**vars(own), "limit": limit})
            start = time.perf_counter()
            found[tool] = {"status": "ran", **measure_on(lm, job, modules[tool], limited)}
            took = time.perf_counter() - start
            print(f"{dtype} {letter} {tool}: {took:.1f} s", file=sys.stderr, flush=True)
            if options.device.startswith("cuda"):
                torch.cuda.empty_cache()
        told = compare(job, found["packed"], found["reference"], dtype)
        rows = [make_row(job, tool, own, found[tool], None) for tool in TOOLS]
        rows[1] |= told
        yield rows


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", default="a,d,h,p,g,c", help="letters, with commas")
    parser.add_argument("--model", default="random-llama-1b")
    parser.add_argument("--dtypes", default="bfloat16,float32", help="with commas")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pairs", type=int, help="default: " + str(PAIRS))
    parser.add_argument("--batch", type=int, default=16, help="pairs per forward")
    parser.add_argument("--length", type=int, default=96, help="tokens per prompt")
    parser.add_argument("--threads", type=int, default=4, help="of the CPU")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds of a reference run")
    parser.add_argument("--patience", type=float, default=8.0, help="seconds of all repeats")
    parser.add_argument(
        "--out", type=Path, default=Path(os.environ.get("OUT", HERE / "results")), help="folder"
    )
    parser.add_argument("--tiny", action="store_true", help="a small LM, short prompts, few pairs")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.model, options.length, options.pairs = "random-llama-3", 14, 2
        options.limit = options.patience = 1.0
    return options


if __name__ == "__main__":
    sys.exit(main())
