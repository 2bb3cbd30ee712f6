"""Processes that print the values of a task, forked from one that has imported what they need.

A Python that starts and imports takes half a second, and lint asks two of them for every task. What
is said about tasks is the same; `tests/test_processes.py` and `tests/lint` start real ones as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cfgen.processes import clean_path, python_code, python_environment


class ForkServer:
    """A process with a hash seed, of which others are forked."""

    def __init__(self, seed: int) -> None:
        environment = python_environment(PYTHONHASHSEED=str(seed), PYTHONIOENCODING="utf-8")
        root = str(Path(__file__).parents[1])
        code = f"sys.path.append({root!r})\nfrom tests.forking import serve; serve()"
        self._process = subprocess.Popen(
            python_code(code),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, path: Path) -> subprocess.CompletedProcess[str]:
        """Have a forked process print the values of the task at a path."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"task": str(path), "folder": os.getcwd(), "path": clean_path()}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        told = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess([], told["code"], told["out"], told["err"])

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve() -> None:
    """Fork a process for each line of the standard input, and tell what it printed."""
    import cfgen.lint.determinism  # noqa: F401 - loaded once, for all that are forked

    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                _print_values(json.loads(line), out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            told = {"code": os.waitstatus_to_exitcode(status), "out": _all(out), "err": _all(err)}
        print(json.dumps(told), flush=True)


def _print_values(asked: dict[str, Any], out: int, err: int) -> None:
    """What the real process does; ends this one."""
    from cfgen.lint.determinism import print_values

    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(asked["folder"])
    sys.path[:] = asked["path"]
    code = 1
    try:
        print_values(asked["task"])
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _all(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))
