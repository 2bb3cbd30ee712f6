"""Workers: the same files for any number of processes, and errors that say what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cfgen import CfgenError
from cfgen.datasets import recipe, row_tables, write_dataset
from cfgen.datasets.repetition import DistinctPrompts
from cfgen.datasets.rows import table_chunks
from cfgen.datasets.workers import Workers

SLOW = """
from pathlib import Path
from cfgen.datasets import recipe, write_dataset
if __name__ == "__main__":
    say = lambda what, done, of: done and print(what, flush=True)
    write_dataset(recipe("mcqa", 200_000, templates=["all"]), Path("out"), workers=2, progress=say)
"""


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_the_same_files_for_any_number(tmp_path: Path) -> None:
    made = recipe("mcqa", 2600, templates=["all"])
    for workers in (1, 2, 3):
        write_dataset(made, tmp_path / str(workers), jsonl=True, workers=workers)
    one = files(tmp_path / "1")
    assert len(one) == 8
    assert files(tmp_path / "2") == files(tmp_path / "3") == one


@pytest.mark.slow
def test_errors_are_those_of_one_process(project) -> None:
    project.lexicon("things", [f"thing{number}" for number in range(16)])
    made = recipe(project.load(), 400, fractions={"train": 1.0})
    said = []
    for workers in (1, 2):
        with pytest.raises(CfgenError) as caught:
            list(row_tables(made, workers))
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "[too-few-pairs]" in said[0]


def test_a_task_that_was_changed_meanwhile(project) -> None:
    made = recipe(project.load(), 100)
    path = project.root / "templates/toy/plain.jinja"
    path.write_text(path.read_text() + " now")
    with pytest.raises(CfgenError) as caught:
        list(row_tables(made, 2))
    assert caught.value.problems[0].code == "task-changed"


def test_a_project_in_the_current_folder(project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    alone, together = (list(row_tables(recipe("toy", 100), workers)) for workers in (1, 2))
    assert [table for _, table in together] == [table for _, table in alone]


def test_a_worker_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe("ioi", 100)
    candidates = made.candidates()[0]
    distinct = DistinctPrompts(candidates.for_rows(100_000), {})
    with Workers(made.task, 1, table_chunks) as pool:
        chunks = pool.chunks(candidates, distinct)
        next(chunks)
        [worker] = pool._pool._processes.values()
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(CfgenError) as caught:
            [next(chunks) for _ in range(100)]
    assert caught.value.problems[0].code == "worker-lost"


@pytest.mark.slow
def test_interrupting_ends_all_of_them_without_a_word(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLOW)
    running = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # if the tests ignore it
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "generate pairs\n"
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert said.count("Traceback") == 1  # the script's own
    assert said.splitlines()[-2] == "KeyboardInterrupt"
    assert said.splitlines()[-1].startswith("Nothing is kept: ")
    assert not (tmp_path / "out").exists()
    for _ in range(100):
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process is left")
