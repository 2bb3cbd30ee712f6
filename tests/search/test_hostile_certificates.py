"""A certificate in which anything at all was changed is found out, and soon."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.search import Certificate, prove, read_certificate, recheck
from cfgen.tasks import Task
from tests.hostile import as_json, damaged, fuzzed, mutated, survives
from tests.search.conftest import Make

MANY = tuple(f"w{number:02}" for number in range(40))
CLAIMS = {
    "differ": ("payload", ("ball", "bear", "boat"), "pointer", "none", "swap"),
    "same": ("payload", ("ball", "bear", "boat"), "payload", "all", "swap"),
    "undecided": ("payload[1:]", MANY, "payload", "all", None),
}


@pytest.fixture(params=CLAIMS)
def claimed(request: pytest.FixtureRequest, make: Make) -> tuple[Task, Certificate]:
    expression, words, one, other, design = CLAIMS[request.param]
    task = make(expression, words=words)
    found = prove(task, one, other, design=design, sampled=30)
    assert found.answer == request.param
    return task, found


def written(certificate: Certificate) -> bytes:
    return as_json(certificate.model_dump(mode="json"))


@fuzzed(15)
@given(st.integers(0, 2**48))
def test_hostile_certificates(claimed: tuple[Task, Certificate], tmp_path: Path, seed: int) -> None:
    rng, (task, valid), file = Random(seed), claimed, tmp_path / "certificate.json"
    if rng.random() < 0.8:
        file.write_bytes(as_json(mutated(valid.model_dump(mode="json"), rng)))
    else:
        file.write_bytes(damaged(valid.model_dump_json(indent=2).encode(), rng))
    read = survives(lambda: read_certificate(file))
    if read is None or written(read) == written(valid):
        return
    wrong = survives(lambda: recheck(read, task))
    changes = dict(read)
    if sorted(read.hypotheses) == sorted(valid.hypotheses):  # in another order they claim the same
        changes["hypotheses"] = valid.hypotheses
    if valid.witness is not None and read.witness is not None:  # another may be one as well
        changes["witness"] = valid.witness
    assert wrong or changes == dict(valid), read
