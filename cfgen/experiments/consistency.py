"""What an experiment must not say, beyond what the kinds of its fields forbid.

Every check looks at what was written, whether or not the rest of it is right, so that all problems
are told at once; what is of a wrong kind is left to the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cfgen.datasets import has_splits, split_shares
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.experiments.ablation_kinds import ABLATIONS
from cfgen.experiments.definition import DRAWING, SOURCES, SWAPPING, Experiment
from cfgen.experiments.layers import parse_layers
from cfgen.experiments.measures import MEASURES
from cfgen.experiments.methods import FIELDS, METHODS, Method
from cfgen.experiments.noise import parse_noise
from cfgen.experiments.notation import Draft, KeyPath, shown
from cfgen.experiments.parts import parse_parts
from cfgen.experiments.receivers import parse_receiver
from cfgen.lm import COMPONENTS, DEVICES, Place, place_problems
from cfgen.prompts import EVERY, parse_position

NEVER_EMPTY = (
    "measures",
    "keys",
    "receivers",
    "positions",
    "heads",
    "neurons",
    "strength",
    "together",
    "value",
)
MAY_REPEAT = ("value",)


def consistency_problems(draft: Draft, *, named: bool) -> Iterator[Problem]:
    """Check what the fields say together.

    Args:
        draft: What was written: a mapping.
        named: Whether a task has to be given by name.
    """
    yield from _source_problems(draft)
    yield from _task_problems(draft, named)
    yield from _repeated_or_empty(draft)
    yield from _split_problems(draft)
    yield from _method_problems(draft)
    yield from _device_problems(draft)
    for index, measure in _texts(draft, "measures"):
        if measure not in MEASURES:
            path: KeyPath = ("measures", index)
            hint = did_you_mean(measure, MEASURES)
            message = f"there is no measure {shown(measure)}"
            yield Problem("unknown-measure", message, draft.place(path), hint)
    for index, text in _texts(draft, "receivers"):
        yield from _attempt(lambda text=text: parse_receiver(text), draft, ("receivers", index))  # type: ignore[misc]
    for index, text in _texts(draft, "keys"):
        yield from _attempt(lambda text=text: parse_position(text), draft, ("keys", index))  # type: ignore[misc]
    for _, text in _texts(draft, "corrupt"):
        yield from _attempt(lambda text=text: parse_position(text), draft, ("corrupt",))  # type: ignore[misc]
    noise = draft.at("noise")
    if isinstance(noise, str) or type(noise) is int:
        yield from _attempt(lambda: parse_noise(str(noise)), draft, ("noise",))
    over = draft.at("sweep", "over")
    if isinstance(over, str) or type(over) is int:
        yield from _attempt(lambda: parse_layers(str(over)), draft, ("sweep", "over"))
    hypotheses = draft.at("hypotheses")
    sites: list[KeyPath] = [("sweep",)]
    if isinstance(hypotheses, dict):
        sites += [("hypotheses", name) for name in hypotheses]
    for site in sites:
        yield from _site_problems(draft, site)


def _source_problems(draft: Draft) -> Iterator[Problem]:
    """Pairs come from one place, and nothing is said that has no meaning for it."""
    sources = [name for name in SOURCES if draft.at(name) is not None]
    if not sources:
        hint = "name a task with `task:`, or a `dataset:` or a file of `pairs:`"
        yield Problem(
            "experiment-source", "nothing says where pairs come from", draft.place(()), hint
        )
    if len(sources) > 1:
        message = f"pairs come from one place, but {' and '.join(sources)} are given"
        yield Problem(
            "experiment-source",
            message,
            draft.place((sources[-1],)),
            "leave all but one of them out",
        )
    useless: list[tuple[str, str]] = []
    if len(sources) == 1 and sources != ["task"]:
        why = f"it says how a task's pairs are drawn, and `{sources[0]}` has its pairs already"
        useless += [(name, why) for name in DRAWING]
    if sources == ["pairs"] and not has_splits(str(draft.at("pairs"))):
        useless.append(("split", "a file of pairs has no splits"))
    if sources and "pairs" not in sources:
        useless.append(("columns", "these are columns of a file of `pairs`, and none is named"))
    for name, why in useless:
        if name in draft.values:
            message = f"{name} has no meaning here: {why}"
            yield Problem("experiment-no-meaning", message, draft.place((name,)), "leave it out")


def _method_problems(draft: Draft) -> Iterator[Problem]:
    """Nothing is said that has no meaning for the method, and what it needs is said."""
    name = draft.at("method") or Experiment.model_fields["method"].default
    method = METHODS.get(name) if isinstance(name, str) else None
    if method is None:
        return  # which the record says
    others = {*FIELDS} - {*method.fields}
    useless: dict[KeyPath, str] = {(field,): "it belongs to another method" for field in others}
    if method.name == "behaviour":
        useless |= {(field,): "nothing is swapped" for field in SWAPPING}
    elif method.effects:
        useless["hypotheses",] = "effects are measured, and no hypothesis is tested"
    if not (method.by_token or method.at_once) and draft.at("sweep", "positions") == EVERY:
        useless["sweep", "positions"] = "tokens one by one are for swaps between two prompts"
    for path, why in sorted((useless | dict(method.meaningless)).items()):
        if draft.at(*path) is not None:
            message = f"{path_name(path)} has no meaning with `method: {method.name}`: {why}"
            yield Problem("experiment-no-meaning", message, draft.place(path), "leave it out")
    yield from _guide_problems(method, draft)
    yield from _generation_problems(method, draft)
    if "ablation" in method.fields:
        yield from _ablation_problems(method, draft)
    yield from _missing_for(method, draft)
    for index, measure in _texts(draft, "measures"):
        where = draft.place(("measures", index))
        if method.measures and measure in {*MEASURES} - {*method.measures}:
            message = f"{method.name} cannot measure {measure}: {_WHY_NOT.get(measure, _OTHERS)}"
            yield Problem("circuit-measure", message, where, "measure logit_difference")
        elif method.effects and measure == "iia":
            message = f"iia says whether a hypothesis is right, and {method.name} has none"
            choices = [name for name in MEASURES if name != measure]
            hint = f"measure one of {', '.join(choices)}"
            yield Problem("experiment-no-meaning", message, where, hint)


_OTHERS = "edges are scored by gradients of the logit difference"
_WHY_NOT = {
    "kl": "at the clean run, from which it is measured, its gradient is zero",
    "iia": "what is said has no gradient",
    "rank": "a rank has no gradient",
}


def _guide_problems(method: Method, draft: Draft) -> Iterator[Problem]:
    """A number of places belongs to a guide, and halves of pairs go without."""
    if draft.at("guided") is not None and draft.at("guide") is None and "guide" in method.fields:
        message = "guided has no meaning here: without a `guide`, all places are run"
        yield Problem("experiment-no-meaning", message, draft.place(("guided",)), "name a guide")
    if draft.at("mediators") and draft.at("guide") is not None and "mediators" in method.fields:
        message = (
            "a guide chooses places by all pairs, so that no half is left to judge sets of "
            "mediators by"
        )
        hint = "leave the guide out, or the mediators; name fewer places (layers, neurons)"
        yield Problem("mediators-with-guide", message, draft.place(("mediators",)), hint)
    component = draft.at("sweep", "component") or method.component
    if draft.at("mediators") and "mediators" in method.fields and _streams(component):
        message = (
            f"sets of mediators are made of what is added to the residual stream, and {component} "
            "is the stream itself: its later states take the place of earlier ones"
        )
        hint = "name heads (--component head_out --heads all), neurons, attn_out or mlp_out"
        yield Problem("mediators-of-states", message, draft.place(("mediators",)), hint)


def _streams(component: object) -> bool:
    known = COMPONENTS.get(str(component))
    return known is not None and known.role == "stream"


def _generation_problems(method: Method, draft: Draft) -> Iterator[Problem]:
    """The LM goes on where a method changes it, and new tokens are changed as something says."""
    asked = draft.at("generate")
    if asked and not method.continues and method.name != "behaviour":
        able = " and ".join(name for name, one in METHODS.items() if one.continues)
        message = f"generate has no meaning with `method: {method.name}`: {able} let the LM go on"
        yield Problem("experiment-no-meaning", message, draft.place(("generate",)), "leave it out")
    if draft.at("during") is not None and not asked:
        message = "during has no meaning here: without `generate`, the LM does not go on"
        hint = "say for how many tokens: --generate 20"
        yield Problem("experiment-no-meaning", message, draft.place(("during",)), hint)
    if draft.at("during") != "always" or not method.continues:
        return
    kind = ABLATIONS[_kind_of(draft)] if "ablation" in method.fields else None
    row = COMPONENTS.get(str(draft.at("sweep", "component")))
    if kind is None or kind.told_apart:
        name = kind.name if kind else method.name
        message = f"{name} takes what other prompts have, which have none of the generated tokens"
        hint = "write `during: prompt`, or use pooled, zero, clamp or add"
        yield Problem("experiment-no-meaning", message, draft.place(("during",)), hint)
    elif row is not None and row.over_keys:
        message = f"{row.name} of tokens that are generated is not changed"
        hint = "write `during: prompt`, or change head_out"
        yield Problem("experiment-no-meaning", message, draft.place(("during",)), hint)


def _kind_of(draft: Draft) -> str:
    """What an ablation writes; zeros, where there is no such kind, which is said elsewhere."""
    kind = draft.at("ablation")
    return kind if kind in ABLATIONS else "zero"


def _ablation_problems(method: Method, draft: Draft) -> Iterator[Problem]:
    """What is said of what is written belongs to it, and sets are sets of parts."""
    kind = ABLATIONS[_kind_of(draft)]
    for name, of in ((name, one.name) for one in ABLATIONS.values() for name in one.fields):
        if draft.at(name) is not None and kind.name != of:
            message = f"{name} has no meaning here: it belongs to `ablation: {of}`"
            yield Problem("experiment-no-meaning", message, draft.place((name,)), "leave it out")
    for name in kind.needs:
        if not draft.at(name):
            message = f"with `ablation: {kind.name}`, `{name}` has to be given"
            hint = f"name a number, as in `{name}: 0` (--{name})"
            yield Problem("experiment-value", message, draft.place(("ablation",)), hint)
    component = draft.at("sweep", "component") or method.component
    row = COMPONENTS.get(component) if isinstance(component, str) else None
    if row is not None and row.over_keys and kind.one_vector:
        message = f"{kind.name} has no meaning for {row.name}, which has a number for every key"
        hint = "use zero, mean or resample, or change head_out"
        yield Problem("experiment-no-meaning", message, draft.place(("ablation",)), hint)
    if row is not None and draft.at("together") is not None:
        yield from _set_problems(row.name, draft)


def _set_problems(component: str, draft: Draft) -> Iterator[Problem]:
    """Sets are of parts of the component, and say by themselves what is changed."""
    for name in ("layers", "over", "heads", "neurons"):
        if draft.at("sweep", name) is not None:
            message = f"sweep.{name} has no meaning here: `together` names what is changed"
            where = draft.place(("sweep", name))
            yield Problem("experiment-no-meaning", message, where, "leave it out")
    for index, text in _texts(draft, "together"):
        path = ("together", index)
        yield from _attempt(lambda text=text: parse_parts(text, component), draft, path)  # type: ignore[misc]


def _missing_for(method: Method, draft: Draft) -> Iterator[Problem]:
    """What a method needs and is not said, or is something that it cannot change."""
    for name in method.needs:
        # a task may say it, which is known once it is loaded
        if not draft.at(name) and (name in draft.values or "task" not in draft.values):
            yield missing_problem(method, name, draft.place(("method",)))
    component, path = draft.at("sweep", "component"), ("sweep", "component")
    if method.components and component in {*COMPONENTS} - {*method.components}:
        message = f"{component} is nothing that `method: {method.name}` can change"
        hint = f"choose one of {', '.join(method.components)}"
        yield Problem("experiment-value", message, draft.place(path), hint)


def missing_problem(method: Method, name: str, where: str = "") -> Problem:
    """What to say of a field that a method needs, and nobody says."""
    message = f"with `method: {method.name}`, `{name}` has to be given"
    hint = f"name tokens, as in `{name}: item_1` (--{name}); `cfgen methods` explains it"
    return Problem("experiment-value", message, where, hint)


def is_path(task: str) -> bool:
    """Whether what names a task is the path of its file."""
    return task.endswith(".py") or bool(re.search(r"[/\\]", task))


def _task_problems(draft: Draft, named: bool) -> Iterator[Problem]:
    task = draft.at("task")
    if named and isinstance(task, str) and is_path(task):
        message = f"task: {shown(task)} is a path; a file names a task, as `cfgen tasks` does"
        name = re.split(r"[/\\]", task)[-1].removesuffix(".py")
        hint = f"write `task: {name}`, and run it in the folder of the project that has it"
        yield Problem("experiment-task-path", message, draft.place(("task",)), hint)


def _repeated_or_empty(draft: Draft) -> Iterator[Problem]:
    """Texts that are empty, lists that may not be, and what a list names twice."""
    for path, value in draft.walk():
        name, where = path_name(path), draft.place(path)
        if value == "" or (path and path[-1] == ""):
            yield Problem("experiment-value", f"{name}: this is empty", where, "name something")
        if not isinstance(value, tuple) or not path:
            continue
        if not value and path[-1] in NEVER_EMPTY:
            message, hint = f"{name}: the list is empty", "leave it out, or name something"
            yield Problem("experiment-value", message, where, hint)
        if path[-1] in MAY_REPEAT:
            continue
        seen: set[tuple[type, object]] = set()
        for index, one in enumerate(value):
            if isinstance(one, str | int | float) and (type(one), one) in seen:
                message = f"{name} has {shown(one)} twice"
                where = draft.place((*path, index))
                yield Problem("experiment-repeated", message, where, "leave one of them")
            elif isinstance(one, str | int | float):
                seen.add((type(one), one))


def _split_problems(draft: Draft) -> Iterator[Problem]:
    splits, split = draft.at("splits"), draft.at("split")
    if isinstance(splits, str):
        yield from _attempt(lambda: split_shares(splits), draft, ("splits",))
    if not isinstance(split, str):
        return
    if draft.at("pairs") is not None and has_splits(str(draft.at("pairs"))):
        return  # its splits are called as somebody else likes
    shares = _shares_of(splits)
    if split not in shares:
        hint, message = did_you_mean(split, shares), f"there is no split {shown(split)}"
        yield Problem("experiment-value", message, draft.place(("split",)), hint)
    elif not shares[split]:
        message = f"split {split} has no share of the words: splits is {shown(splits)}"
        hint = "choose another split, or give it a share"
        yield Problem("experiment-value", message, draft.place(("split",)), hint)


def _shares_of(splits: Any) -> dict[str, float]:
    """Split -> its share, as far as that is given rightly."""
    try:
        return split_shares(splits if isinstance(splits, str) else "1/1/1")
    except CfgenError:
        return split_shares("1/1/1")


def _device_problems(draft: Draft) -> Iterator[Problem]:
    device = draft.at("engine", "device")
    if isinstance(device, str) and device and device not in DEVICES:
        if re.fullmatch(r"cuda:\d{1,3}", device):
            return
        hint = "write cuda" if device == "gpu" else did_you_mean(device, (*DEVICES, "cuda:1"))
        message = f"engine.device: there is no {shown(device)}"
        yield Problem("experiment-value", message, draft.place(("engine", "device")), hint)


def _site_problems(draft: Draft, site: KeyPath) -> Iterator[Problem]:
    """Positions that are none, and parts that a component does not have."""
    for name in ("positions", "frozen"):
        for index, text in _texts(draft, *site, name):
            path = (*site, name, index)
            yield from _attempt(lambda text=text: parse_position(text), draft, path)  # type: ignore[misc]
    component = draft.at(*site, "component")
    if not isinstance(component, str):
        return
    head, heads = draft.at(*site, "head"), draft.at(*site, "heads")
    any_head = head if isinstance(head, int) else 0 if heads else None
    neurons = draft.at(*site, "neurons")
    neurons = (0,) if neurons == "all" else neurons
    if not (isinstance(neurons, tuple) and all(type(one) is int for one in neurons)):
        neurons = ()
    for problem in place_problems(Place(component, 0, any_head, neurons)):
        part = {"no-such-head": "heads" if heads else "head", "no-such-neuron": "neurons"}
        path = (*site, part.get(problem.code, "component"))
        yield replace(problem, where=draft.place(path))


def _texts(draft: Draft, *path: str | int) -> list[tuple[int, str]]:
    """Texts where one or several may stand, numbered."""
    value = draft.at(*path)
    listed = value if isinstance(value, tuple) else (value,)
    return [(index, one) for index, one in enumerate(listed) if isinstance(one, str) and one]


def _attempt(read: Callable[[], object], draft: Draft, path: KeyPath) -> Iterator[Problem]:
    """What is wrong with a text that has a notation of its own."""
    try:
        read()
    except CfgenError as error:
        for problem in error.problems:
            yield replace(problem, where=draft.place(path))


def path_name(path: KeyPath) -> str:
    """What leads to a value, as text: ``hypotheses.NAME.positions``."""
    name = ".".join(str(key) for key in path if isinstance(key, str)) or "the file"
    return name if name.isprintable() else ascii(name)
