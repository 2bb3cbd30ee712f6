"""Export: a written dataset in the layout that another tool reads, or on the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cfgen.counterfactuals import ALL
from cfgen.datasets.alignment import answer_tokens, span_range
from cfgen.datasets.answered import PairFilter
from cfgen.datasets.reading import DatasetFolder, changed_row, open_dataset, pairs_of_split
from cfgen.datasets.suites import checked_files
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.folders import ASKED, find_result, new_folder, write_record
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.prompts import LAST, Encode

RECORD = "export.json"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written.

    Attributes:
        tool: The tool it is for.
        rows: Split -> number of rows.
        label: The hypothesis that labels are predictions of.
        files: Everything in the folder.
        found: Whether it was there already.
    """

    tool: str
    rows: dict[str, int]
    label: str
    files: tuple[str, ...]
    found: bool = False


def export(
    dataset: Path,
    tool: str,
    folder: Path,
    *,
    label: str | None = None,
    tokenizer: tuple[str, Encode] | None = None,
    answered: PairFilter | None = None,
    decisive_only: bool = False,
    progress: Progress = no_progress,
) -> ExportSummary:
    """Write a dataset for another tool, one JSON lines file per split.

    Args:
        dataset: A folder that :func:`cfgen.datasets.write_dataset` wrote.
        tool: One of :data:`TOOLS`.
        folder: Where to; must not exist, or be empty, or hold this very export, which then is
            left as it is.
        label: The hypothesis whose predictions become the labels, ``none`` and ``all`` included;
            the first one of the design's contrast if not given, or ``all`` where it has none.
        tokenizer: Its name and the tokenizer, for the tools that take token positions.
        answered: An LM; what it does not answer rightly on both sides is left out.
        decisive_only: Whether pairs that are not decisive are left out.
        progress: Called with ``export pairs``.

    Returns:
        What was written to ``export.json``.

    Raises:
        CfgenError: There is no such tool or hypothesis, the folder holds no dataset or one that
            was changed, or a tokenizer is needed and not given.
    """
    opened = open_dataset(dataset)
    manifest = opened.manifest
    hypotheses = list(next(iter(manifest.splits.values())).kinds)
    chosen = label or next(iter(manifest.contrast), ALL)
    problems = []
    if tool not in TOOLS:
        hint = did_you_mean(tool, TOOLS)
        problems.append(Problem("unknown-tool", f"there is no export to {tool!r}", hint=hint))
    if chosen not in hypotheses:
        message = f"the dataset has no predictions of a hypothesis {chosen!r}"
        problems.append(Problem("unknown-label", message, hint=did_you_mean(chosen, hypotheses)))
    if tool in NEED_TOKENS and tokenizer is None:
        message = f"an export to {tool} has token positions, so it needs a tokenizer"
        hint = "name the LM that it is for: --tokenizer MODEL"
        problems.append(Problem("needs-tokenizer", message, hint=hint))
    if problems:
        raise CfgenError(problems)
    encode = tokenizer[1] if tokenizer else None
    asked = {
        "tool": tool,
        "dataset": manifest.sha256["manifest.json"],
        "label": chosen,
        "tokenizer": tokenizer[0] if tokenizer else None,
        "answered by": answered and answered.identity,
        "decisive only": decisive_only,
        "version": version("cfgen"),
    }
    there = find_result(folder, RECORD, asked)
    if there is not None:
        return ExportSummary(tool, there["rows"], chosen, tuple(there["files"]), found=True)
    with new_folder(folder) as fresh:
        counts = {}
        for split in opened.files:
            counts[split] = 0
            with (fresh / f"{split}.jsonl").open("x", encoding="utf-8", newline="\n") as lines:
                for row in _rows(opened, split, answered, decisive_only):
                    progress("export pairs", sum(counts.values()), manifest.rows)
                    try:
                        made = TOOLS[tool](row, chosen, encode)
                        lines.write(json.dumps(made, ensure_ascii=False) + "\n")
                    except (KeyError, TypeError, AttributeError, ValueError) as error:
                        raise changed_row(opened.files[split], counts[split] + 1) from error
                    counts[split] += 1
        content = {
            ASKED: asked,
            "tool": tool,
            "task": manifest.task,
            "design": manifest.design,
            "content_hash": manifest.content_hash,
            "seed": manifest.seed,
            "label": chosen,
            "tokenizer": tokenizer[0] if tokenizer else None,
            "decisive_only": decisive_only,
            "answered": answered.record().model_dump() if answered else None,
            "rows": counts,
        }
        files = write_record(fresh, RECORD, content)["files"]
    return ExportSummary(tool, counts, chosen, tuple(files))


def _rows(
    opened: DatasetFolder, split: str, answered: PairFilter | None, decisive_only: bool
) -> Iterable[Row]:
    """The rows of a split, or those that are decisive, or that an LM answers rightly."""
    rows: Iterable[Row] = opened.rows(split)
    if answered is not None:
        pairs = [p for p in pairs_of_split(opened, split) if p.decisive or not decisive_only]
        verdicts = dict(zip((p.id for p in pairs), answered.verdicts(pairs, split), strict=True))
        rows = (row for row in rows if verdicts.get(row["id"]))
    return (row for row in rows if row["decisive"] or not decisive_only)


def _jsonl(row: Row, label: str, encode: Encode | None) -> dict[str, Any]:
    return {**row, "label": row["predictions"][label]}


def _causalab(row: Row, label: str, encode: Encode | None) -> dict[str, Any]:
    """``input`` and each of ``counterfactual_inputs`` is a setting, with text in and out."""

    def setting(side: Row) -> dict[str, Any]:
        texts = {"raw_input": side["prompt"], "raw_output": side["completion"]}
        return {**side["variables"], **texts}

    return {
        "id": row["id"],
        "input": setting(row["original"]),
        "counterfactual_inputs": [setting(row["counterfactual"])],
        "label": row["predictions"][label],
    }


def _mib(row: Row, label: str, encode: Encode | None) -> dict[str, Any]:
    """The original's columns, and a column per counterfactual with the same columns inside."""

    def columns(side: Row) -> dict[str, Any]:
        return {
            "prompt": side["prompt"],
            "answer": side["answer"],
            "template": side["variables"].get("template", ""),
            "metadata": side["variables"],
        }

    counterfactual = {f"{row['design']}_counterfactual": columns(row["counterfactual"])}
    own = columns(row["original"])
    return {"id": row["id"], **own, **counterfactual, "label": row["predictions"][label]}


def _pyvene(row: Row, label: str, encode: Encode | None) -> dict[str, Any]:
    """``base``, ``source``, ``positions`` of both, and ``label``."""
    assert encode is not None
    base, source = row["original"], row["counterfactual"]
    return {
        "id": row["id"],
        "base": base["prompt"],
        "source": source["prompt"],
        "base_input_ids": list(encode(base["prompt"])[0]),
        "source_input_ids": list(encode(source["prompt"])[0]),
        "positions": _both(row, encode, "base", "source"),
        "label": row["predictions"][label],
        "label_ids": _tokens(base, row["predictions"][label], encode),
        "base_label": base["answer"],
        "source_label": source["answer"],
    }


def _tokens_tool(row: Row, label: str, encode: Encode | None) -> dict[str, Any]:
    """Prompts, their token ids, and token indices of every span."""
    assert encode is not None
    clean, other = row["original"], row["counterfactual"]
    predicted = row["predictions"][label]
    return {
        "id": row["id"],
        "prompt": clean["prompt"],
        "counterfactual_prompt": other["prompt"],
        "tokens": list(encode(clean["prompt"])[0]),
        "counterfactual_tokens": list(encode(other["prompt"])[0]),
        "positions": _both(row, encode, "prompt", "counterfactual_prompt"),
        "answer": clean["answer"],
        "counterfactual_answer": other["answer"],
        "label": predicted,
        "answer_tokens": _tokens(clean, clean["answer"], encode),
        "counterfactual_answer_tokens": _tokens(other, other["answer"], encode),
        "label_tokens": _tokens(clean, predicted, encode),
    }


def _tokens(side: Row, text: str | None, encode: Encode) -> list[int] | None:
    """Tokens of an answer behind a prompt."""
    if text is None:
        return None
    own = side["answer"]
    prefix = " " if own is None else side["completion"][: len(side["completion"]) - len(own)]
    tokens = answer_tokens(side["prompt"], prefix + text, encode)
    if not tokens:
        message = f"the answer {text!r} shares a token with the end of its prompt"
        hint = "let the template's `answer_prefix` put a space or a line break between the two"
        raise CfgenError(Problem("export-without-token", message, hint=hint))
    return list(tokens)


def _both(row: Row, encode: Encode, one: str, other: str) -> dict[str, dict[str, list[int]]]:
    """Span -> token indices in both prompts; only spans that both have."""
    first, second = (_positions(row[side], encode) for side in ("original", "counterfactual"))
    return {name: {one: first[name], other: second[name]} for name in first if name in second}


def _positions(side: Row, encode: Encode) -> dict[str, list[int]]:
    """``last``, and every mention of every span as ``name[mention].all``, by token indices."""
    ids, offsets = encode(side["prompt"])
    found: dict[str, list[int]] = {LAST: [len(ids) - 1]}
    for span in side["spans"]:
        first, past = span_range(offsets, span["start"], span["end"])
        if past < first:
            shown = side["prompt"][span["start"] : span["end"]]
            message = f"the span {span['name']!r} ({shown!r}) has no token"
            hint = "use words that the tokenizer knows, or the tokenizer of another LM"
            raise CfgenError(Problem("export-without-token", message, hint=hint))
        found[f"{span['name']}[{span['mention']}].all"] = list(range(first, past + 1))
    return found


TOOLS: Mapping[str, Callable[[Row, str, Encode | None], dict[str, Any]]] = {
    "pyvene": _pyvene,
    "nnsight": _tokens_tool,
    "transformer_lens": _tokens_tool,
    "causalab": _causalab,
    "mib": _mib,
    "jsonl": _jsonl,
}
"""What can be exported to, and how a row is written for it."""
NEED_TOKENS: Sequence[str] = ("pyvene", "nnsight", "transformer_lens")
"""Tools that are told token positions."""


# The Hub.


def check_repo(repo: str) -> None:
    """Check the name of a dataset on the Hub, best before anything is generated.

    Raises:
        CfgenError: If it is not ``owner/name`` (``bad-repo``).
    """
    if not _REPO.fullmatch(repo):
        message = f"{repo!r} is not the name of a dataset on the Hub"
        hint = "name it as in its address there: owner/name"
        raise CfgenError(Problem("bad-repo", message, hint=hint))


def push_to_hub(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload what :func:`cfgen.datasets.write_dataset` wrote into a folder, and nothing else in it.

    The login is the one of ``hf auth login``, or the environment variable ``HF_TOKEN``.

    Args:
        folder: The dataset.
        repo: ``owner/name``; made if it does not exist.
        private: Whether a new repository is private.

    Returns:
        Address of the dataset.

    Raises:
        CfgenError: If the Hub does not take it (``hub-upload``), the name is wrong
            (``bad-repo``), or the folder holds no dataset (``not-a-dataset``) or one that was
            changed (``dataset-changed``).
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    check_repo(repo)
    # what the connection itself raises is among the bases of the Hub's own error
    failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, HFValidationError)
    files = checked_files(folder)
    hub = HfApi(library_name="cfgen")
    try:
        url = hub.create_repo(repo, repo_type="dataset", exist_ok=True, private=private)
        hub.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=list(files),
            commit_message="Upload dataset",
        )
    except failures as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"the dataset is in {display(folder)}, but the Hub did not take it as {repo}"
        hint = "log in with `hf auth login`, check that you may write there, and run this again"
        raise CfgenError(Problem("hub-upload", message, hint=hint, detail=reason)) from error
    return str(url)
