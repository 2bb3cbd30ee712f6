"""Certificates: that two hypotheses predict differently for some pair, or for none there is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from cfgen.errors import CfgenError, Problem

FORMAT = "cfgen-certificate-1"
Answer = Literal["differ", "same", "undecided"]
Case = tuple[Mapping[str, Any], Mapping[str, Any], Any, Any]
"""Inputs of both sides (those that matter), and the outputs under both hypotheses."""


class Witness(BaseModel):
    """A pair on which two hypotheses predict different outputs.

    Attributes:
        original: Inputs of the original.
        counterfactual: Inputs of the counterfactual.
        predictions: Hypothesis -> output, for the two hypotheses and for ``none`` and ``all``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    original: dict[str, Any]
    counterfactual: dict[str, Any]
    predictions: dict[str, str | None]


def _plain(name: str) -> str:
    """A task's name as it is; what could be taken for a path or would upset a terminal is none."""
    if not name.isprintable() or name.startswith(".") or name.endswith(".py"):
        raise ValueError("not the name of a task")
    if not name or "/" in name or "\\" in name:
        raise ValueError("not the name of a task")
    return name


class Certificate(BaseModel):
    """What was found, with all that is needed to find it again.

    Attributes:
        format: Version of this form.
        task: Name of the task. It is only compared with the task that a user names: nothing is
            ever looked for, loaded or run by it.
        version: The task's version.
        content_hash: Hash of the task file, its templates and its words.
        hypotheses: The two that are compared.
        design: Only the pairs of this design are looked at; None for all pairs of inputs.
        templates: Templates that may show them.
        answer: ``differ`` (there is a witness), ``same`` (for every pair), or ``undecided``.
        cases: Cases looked at: pairs up to the names of interchangeable words or, if undecided,
            pairs drawn at random.
        pairs: Pairs of inputs that these cases stand for.
        digest: SHA-256 of all cases with both outputs, if the answer is ``same``.
        witness: The pair, if the answer is ``differ``.
        inputs: Inputs that the predictions can depend on.
        wording: Inputs that only change the wording; they are left out.
        interchangeable: Lexicon (or input) -> number of its words that are interchangeable.
        told_apart: Lexicon (or input) -> why its words are not.
        alone: Single words that stand for themselves.
        assumed: What this rests on.
        checked: What was found out by running the causal model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["cfgen-certificate-1"]
    task: Annotated[str, AfterValidator(_plain)]
    version: str
    content_hash: str
    hypotheses: list[str]
    design: str | None
    templates: list[str]
    answer: Answer
    cases: int
    pairs: int
    digest: str | None
    witness: Witness | None
    inputs: list[str]
    wording: list[str]
    interchangeable: dict[str, int]
    told_apart: dict[str, str]
    alone: list[str]
    assumed: list[str]
    checked: list[str]


def read_certificate(path: Path) -> Certificate:
    """Read a certificate; nothing in it is trusted yet.

    Raises:
        CfgenError: If the file cannot be read or is not a certificate.
    """
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except OSError as error:
        problem = Problem(
            "no-certificate", f"{path} cannot be read: {error.strerror}", hint="check the path"
        )
        raise CfgenError(problem) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CfgenError(
            Problem(
                "not-a-certificate",
                f"this is not a certificate: {f'{place}: ' if place else ''}{first['msg']}",
                str(path),
                "give a file that cfgen prove --out has written",
            )
        ) from error


def digest_of(cases: Iterable[Case]) -> str:
    """SHA-256 of cases, in whatever order they come."""
    lines = sorted(json.dumps(case, sort_keys=True, ensure_ascii=False) for case in cases)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def as_text(output: Any) -> str | None:
    """An output as the LM should say it."""
    return None if output is None else str(output)
