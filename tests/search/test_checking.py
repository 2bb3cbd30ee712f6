"""Rechecking: whatever is changed in a certificate, or in its task, is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cfgen import CfgenError, load_task
from cfgen.search import Certificate, prove, read_certificate, recheck
from cfgen.tasks import Task
from tests.search.conftest import Make


def tampered(certificate: Certificate, **changes: Any) -> Certificate:
    return Certificate.model_validate({**certificate.model_dump(), **changes})


CHANGES: dict[str, Any] = {
    "version": "2",
    "hypotheses": ["pointer", "none"],
    "design": "swap",
    "templates": ["round"],
    "answer": "undecided",
    "evidence": "every pair",
    "cases": 3,
    "pairs": 7,
    "digest": "0" * 64,
    "inputs": ["words"],
    "wording": [],
    "interchangeable": {"toys": 99},
    "told_apart": {"toys": "a reason"},
    "alone": ["ball"],
    "looked_at": ["len()"],
    "assumed": [],
    "checked": ["everything"],
    "content_hash": "0" * 64,
    "task": "other",
}


@pytest.fixture
def task(make: Make) -> Task:
    return make()


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_proof_does_not_hold(task: Task, field: str) -> None:
    proof = prove(task, "payload", "all", design="fresh")
    assert proof.answer == "same"
    assert recheck(proof, task) == []
    changed = tampered(proof, **{field: CHANGES[field]})
    assert recheck(changed, task) != [], field


def test_every_field_is_tampered_with() -> None:
    assert {*CHANGES} == {*Certificate.model_fields} - {"format", "witness"}


def witness_with(certificate: Certificate, **changes: Any) -> Certificate:
    made = certificate.model_dump()
    for path, value in changes.items():
        side, _, name = path.partition("__")
        made["witness"][side][name] = value
    return Certificate.model_validate(made)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"predictions__pointer": "kite"}, "predictions are"),
        ({"predictions__payload": None}, "predictions are"),
        ({"original__asked": 1}, "never makes"),
        ({"original__asked": 5}, "no pair of inputs"),
        ({"original__more": 5}, "no pair of inputs"),
        ({"counterfactual__words": ("moon", "sun")}, "never drawn"),
        ({"counterfactual__words": ("boat", "ball")}, "never makes"),
        ({"counterfactual__asked": 1}, "never makes"),
        ({"counterfactual__loud": True}, "never makes"),
    ],
)
def test_a_changed_witness_does_not_hold(task: Task, changes: dict[str, Any], part: str) -> None:
    found = prove(task, "pointer", "payload", design="fresh")
    assert found.answer == "differ"
    assert recheck(found, task) == []
    assert part in " ".join(recheck(witness_with(found, **changes), task))


def test_another_witness_holds_as_well(task: Task) -> None:
    found = prove(task, "pointer", "payload", design="fresh")
    other = witness_with(
        found,
        original__words=("lamp", "drum"),
        counterfactual__words=("bear", "kite"),
        predictions__none="lamp",
        predictions__pointer="lamp",
        predictions__payload="bear",
        predictions__all="bear",
    )
    assert recheck(other, task) == []


def test_a_claim_of_sameness_that_is_false_does_not_hold(task: Task) -> None:
    proof = prove(task, "payload", "all", design="fresh")
    false = tampered(proof, hypotheses=["payload", "none"])
    assert "predict" in recheck(false, task)[0]


def test_a_claim_without_its_evidence_does_not_hold(task: Task) -> None:
    proof = prove(task, "payload", "all")
    assert recheck(tampered(proof, digest=None), task) == [
        "there is no digest, but the answer is 'same'"
    ]
    assert recheck(tampered(proof, hypotheses=["payload"]), task) == [
        "it does not name two hypotheses"
    ]


CHANGED_FILES = {
    "causal_models/lookup.py": "moon = 1",
    "data/lexicons/toys.txt": "moon",
    "templates/lookup/plain.jinja": "Moon",
}


@pytest.mark.parametrize("name", CHANGED_FILES)
def test_a_changed_task_is_noticed(task: Task, tmp_path: Path, name: str) -> None:
    proof = prove(task, "payload", "all")
    path = tmp_path / name
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n{CHANGED_FILES[name]}\n")
    assert recheck(proof, load_task("lookup", tmp_path)) == [
        "the task has changed since: its file, its templates or its words"
    ]


def test_files(task: Task, tmp_path: Path) -> None:
    proof = prove(task, "payload", "all")
    path = tmp_path / "proof.json"
    path.write_text(proof.model_dump_json())
    assert read_certificate(path) == proof
    for text, part in (
        ("{", "Invalid JSON"),
        ("[]", "object"),
        (json.dumps({**proof.model_dump(), "more": 1}), "more: "),
        (json.dumps({**proof.model_dump(), "cases": "2"}), "cases: "),
        (json.dumps({**proof.model_dump(), "format": "cfgen-certificate-9"}), "format: "),
    ):
        path.write_text(text)
        with pytest.raises(CfgenError, match="not-a-certificate") as caught:
            read_certificate(path)
        assert part in caught.value.problems[0].message
    with pytest.raises(CfgenError, match="no-certificate"):
        read_certificate(tmp_path / "nowhere.json")


def test_no_more_pairs_are_drawn_anew_than_can_be(make: Make) -> None:
    many = make("payload[1:]", words=tuple(f"w{index:02}" for index in range(40)))
    found = prove(many, "payload", "all", sampled=20)
    assert recheck(tampered(found, cases=10**12), many) == [
        "1,000,000,000,000 pairs are more than are drawn anew"
    ]
