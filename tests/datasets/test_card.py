from __future__ import annotations

import shutil
from pathlib import Path

from datasets import load_dataset

from cfgen.datasets import recipe, write_dataset


def test_a_dataset_in_the_place_of_an_earlier_one_is_the_one_that_is_read(tmp_path: Path) -> None:
    """``datasets`` caches by the last name of the folder and by what the card says of it."""
    cache = str(tmp_path / "cache")
    first, second = tmp_path / "one" / "made", tmp_path / "other" / "made"
    read = []
    for folder, task, seed in [(first, "ioi", 0), (first, "ioi", 1), (second, "ioi", 2)]:
        shutil.rmtree(folder, ignore_errors=True)
        write_dataset(recipe(task, 20, seed=seed), folder)
        read.append(tuple(load_dataset(str(folder), cache_dir=cache)["train"]["id"]))
    assert len(set(read)) == 3
    shutil.rmtree(second)
    write_dataset(recipe("ioi", 20, seed=0), second)
    assert tuple(load_dataset(str(second), cache_dir=cache)["train"]["id"]) == read[0]
