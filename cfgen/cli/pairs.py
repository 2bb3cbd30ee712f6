"""``cfgen preview`` and ``cfgen predict``: pairs to look at, and a pair of the user's own."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfgen.bounded import parse_json, read_file, read_stream, repeated
from cfgen.cli.options import (
    DecisiveOnly,
    Design,
    Json,
    ReusePrompts,
    Seed,
    TaskName,
    Templates,
)
from cfgen.cli.output import present, progress_shown, write_json
from cfgen.errors import CfgenError, Problem, did_you_mean

if TYPE_CHECKING:
    from cfgen.tasks import Task

SIDES = ("original", "counterfactual")
FORM = 'give {"original": {input: value, ...}, "counterfactual": {input: value, ...}}'


def preview(
    task: TaskName,
    n: Annotated[int, typer.Option("-n", help="Number of pairs.", min=1)] = 3,
    design: Design = None,
    seed: Seed = 0,
    template: Templates = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Show the tokens of both prompts, and where slots are.")
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Tokens as this LM has them; as the task's default LM has them if not given.",
        ),
    ] = None,
    decisive_only: DecisiveOnly = False,
    reuse_prompts: ReusePrompts = False,
    json: Json = False,
) -> None:
    """Show a few pairs, with what every hypothesis predicts; the first that generate makes.

    Words that differ between the two prompts are underlined.
    """
    from cfgen.datasets import first_pairs, recipe
    from cfgen.report import pair_record, pair_view

    made = recipe(
        task,
        n,
        design=design,
        seed=seed,
        templates=template or (),
        decisive_only=decisive_only,
        reuse_prompts=reuse_prompts or None,
    )
    encode = None
    with progress_shown(quiet=json) as report:
        pairs = first_pairs(made, report)
        if tokens or tokenizer:
            name = tokenizer or made.task.default_model
            from cfgen.lm import load_tokenizers

            encode = load_tokenizers([name], report)[name]
    if json:
        write_json([pair_record(pair, encode) for pair in pairs])
        return
    for pair in pairs:
        present(pair_view(pair, changes=True, encode=encode))


def predict(
    task: TaskName,
    file: Annotated[
        Path | None, typer.Option("--file", help="Read the pair from here, not standard input.")
    ] = None,
    design: Design = None,
    json: Json = True,
) -> None:
    """Read the inputs of a pair as JSON, and print prompts, answers and predictions as JSON.

    The JSON is {"original": {input: value, ...}, "counterfactual": {input: value, ...}}.
    'decisive' says whether the design's contrast tells its hypotheses apart on this pair.
    """
    from cfgen.datasets import PairLabeller
    from cfgen.report import pair_record
    from cfgen.tasks import load_task

    loaded = load_task(task)
    chosen = loaded.design(design)
    sides = complete_sides(loaded, parse_pair(*_read(file)))
    pair = PairLabeller(loaded, chosen)(sides["original"], sides["counterfactual"])
    write_json(pair_record(pair))


def _read(file: Path | None) -> tuple[str, str]:
    """The text, and what to call the place it came from."""
    if file is None and sys.stdin.isatty():
        typer.echo("Reading JSON from the keyboard; Ctrl-D ends it.", err=True)
    source = str(file) if file else "standard input"
    try:
        content = read_file(file) if file else read_stream(sys.stdin.buffer.read)
        return content.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        message = f"{source} is not UTF-8 text"
        raise CfgenError(Problem("not-json", message, hint="save it as UTF-8")) from error
    except OSError as error:
        message = f"can't read {source}: {error.strerror or error}"
        raise CfgenError(Problem("unreadable-file", message, hint="check the path")) from error
    except ValueError as error:
        message, hint = f"{source} {error}", "name a file of one pair, or pipe it into the command"
        raise CfgenError(Problem("unreadable-file", message, hint=hint)) from error


def parse_pair(text: str, source: str) -> dict[str, Mapping[str, Any]]:
    """Read the inputs of both sides.

    Args:
        text: JSON.
        source: Where it came from, for messages.

    Raises:
        CfgenError: If it is not JSON (``not-json``), or not of the form of :data:`FORM`
            (``not-a-pair``).
    """
    twice: list[str] = []

    def once(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(repeated(name for name, _ in entries))
        return dict(entries)

    if not text.strip():
        message = f"nothing was given on {source}" if source == "standard input" else "no content"
        raise CfgenError(Problem("not-json", message, hint=FORM))
    try:
        given = parse_json(text, once)
    except ValueError as error:
        line = f":{error.lineno}" if isinstance(error, jsonlib.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, jsonlib.JSONDecodeError) else str(error)
        message = f"this is not JSON: {reason}"
        raise CfgenError(Problem("not-json", message, f"{source}{line}", FORM)) from error
    problems = [
        Problem("not-a-pair", f"{name!r} is given twice", source, "give it once")
        for name in dict.fromkeys(twice)
    ]
    problems += _form_problems(given, source) or _text_problems(given, source)
    if problems:
        raise CfgenError(problems)
    return {side: given[side] for side in SIDES}


def _form_problems(given: Any, source: str) -> list[Problem]:
    if not isinstance(given, dict):
        return [Problem("not-a-pair", "this is not an object with two sides", source, FORM)]
    problems = [
        Problem("not-a-pair", f"there is no side {name!r}", source, did_you_mean(name, SIDES))
        for name in given
        if name not in SIDES
    ]
    for side in SIDES:
        if side not in given:
            problems.append(Problem("not-a-pair", f"{side!r} is missing", source, FORM))
        elif not isinstance(given[side], dict):
            message = f"{side!r} is not an object of inputs and their values"
            problems.append(Problem("not-a-pair", message, source, FORM))
    return problems


def _text_problems(given: Any, source: str) -> list[Problem]:
    """Texts that no file could hold."""
    try:
        jsonlib.dumps(given, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        message, hint = "a text holds half a character (a lone surrogate)", "write it in UTF-8"
        return [Problem("not-a-pair", message, source, hint)]
    return []


def complete_sides(task: Task, given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Check the inputs of both sides and fill in what may be left out.

    Args:
        task: Whose inputs they are.
        given: Side -> inputs.

    Raises:
        CfgenError: With the problems of both sides, each of which says which side it is about.
    """
    from cfgen.tasks import TEMPLATE_INPUT

    default = {}
    if task.default_template and TEMPLATE_INPUT in task.causal_model.domains:
        default[TEMPLATE_INPUT] = task.default_template
    full: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for side, inputs in given.items():
        try:
            full[side] = task.causal_model.complete({**default, **inputs})
        except CfgenError as error:
            problems += [
                replace(problem, message=f"{side}: {problem.message}") for problem in error.problems
            ]
    if problems:
        raise CfgenError(problems)
    return full
