"""The records of a task: what its author writes, and what loading makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from cfgen.causal import CausalModel, Choice, Domain
from cfgen.counterfactuals import Design, Hypothesis, Pair
from cfgen.errors import CfgenError, Problem, authored_record, caller_place, did_you_mean
from cfgen.faces import found_later
from cfgen.prompts import Prompt, Template, render

DEFAULTS: Mapping[str, type] = {"keys": tuple, "corrupt": str, "reuse_prompts": bool}
"""What a task may say of experiments that say nothing else: the field, and of which type it is."""
TEMPLATE_INPUT = "template"
"""The input that says which template a prompt is rendered with."""

Accept: TypeAlias = Callable[[str], Sequence[str]]
"""From an answer of the causal model to the texts any of which is right for it."""

Record = TypeVar("Record")


def default_positions(defaults: Mapping[str, Any]) -> tuple[str, ...]:
    """The position expressions among what a task says of experiments."""
    return (*defaults.get("keys", ()), *([defaults["corrupt"]] if "corrupt" in defaults else ()))


@authored_record
@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What the author of a task writes. A task file ends with ``task = TaskDefinition(...)``.

    Attributes:
        causal_model: The symbolic model. Its name is the name of the task and of the file. It has
            an input ``template`` if there are several templates.
        designs: Ways to make pairs.
        hypotheses: What to predict for.
        version: Changed by the author whenever the task's meaning changes; part of every seed.
        default_design: Design used when none is named.
        default_model: LM used when none is named.
        default_template: Template used when none is named; None for all of them.
        allow: What ``cfgen lint`` finds and is meant to be so: code, or ``code:name``, to a reason.
        candidates: All answers that the causal model can give, where a run should not find them out
            by itself: what they all begin with is given to the LM.
        accept: From an answer to the texts any of which is right for it, such as other spellings;
            None where only the answer itself is. A text may be right for several answers.
        languages: ISO 639 codes of the languages that prompts are in, such as ``hi``, for the card
            of a dataset; it names none that is not said here.
        defaults: What is meant where an experiment says nothing else: ``keys`` that a knockout
            takes away, tokens that a trace has to ``corrupt``, and whether prompts are in several
            pairs (``reuse_prompts``), as where there are few.
        where: ``file:line`` of the declaration.
    """

    causal_model: CausalModel
    designs: Sequence[Design]
    hypotheses: Sequence[Hypothesis]
    version: str
    default_design: str
    default_model: str
    default_template: str | None = None
    allow: Mapping[str, str] = field(default_factory=dict)
    candidates: Sequence[str] | None = None
    accept: Accept | None = None
    languages: Sequence[str] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", self.where or caller_place(2))


@dataclass(frozen=True, slots=True, repr=False)
class Task:
    """A loaded, checked task.

    Attributes:
        name: Its name.
        description: First line of the task file's docstring.
        causal_model: The symbolic model.
        designs: Name -> design.
        hypotheses: Name -> hypothesis.
        templates: Id -> template.
        version: Version given by the author.
        default_design: Design used when none is named.
        default_model: LM used when none is named.
        default_template: Template used when none is named; None for all of them.
        allow: What ``cfgen lint`` finds and is meant to be so: code, or ``code:name``, to a reason.
        candidates: All answers that the causal model can give; none if a run finds them out.
        accept: From an answer to the texts any of which is right for it; None for itself alone.
        languages: ISO 639 codes of the languages that prompts are in, as far as they are said.
        defaults: Fields of an experiment -> what is meant where it says nothing else.
        path: The task file.
        where: ``file:line`` of its definition.
        content_hash: SHA-256 over task file, templates and lexicons.
    """

    name: str
    description: str
    causal_model: CausalModel
    designs: Mapping[str, Design]
    hypotheses: Mapping[str, Hypothesis]
    templates: Mapping[str, Template]
    version: str
    default_design: str
    default_model: str
    default_template: str | None
    allow: Mapping[str, str]
    candidates: tuple[str, ...]
    accept: Accept | None
    languages: tuple[str, ...]
    defaults: Mapping[str, Any]
    path: Path
    where: str
    content_hash: str

    def sample(
        self,
        n: int,
        *,
        design: str | None = None,
        seed: int = 0,
        split: str = "test",
        templates: Sequence[str] = (),
    ) -> Sequence[Pair]:
        """Draw pairs; the same that ``cfgen run`` with these options is about.

        Args:
            n: How many.
            design: Name of a design; the default one if not given.
            seed: Seed of the drawing.
            split: Whose words they use.
            templates: Template ids to draw from; ``all`` for every one, none for the default.

        Returns:
            The pairs, which show themselves in a notebook (:class:`cfgen.notebooks.Pairs`).

        Raises:
            CfgenError: Something named does not exist, or so many pairs cannot be made.
        """
        draw = found_later("cfgen.notebooks", "sample")
        drawn: Sequence[Pair] = draw(
            self, n, design=design, seed=seed, split=split, templates=templates
        )
        return drawn

    def __repr__(self) -> str:
        parts = f"{len(self.designs)} designs, {len(self.hypotheses)} hypotheses"
        return f"Task({self.name}, {parts}, {len(self.templates)} templates)"

    def _repr_html_(self) -> str:
        shown: str = found_later("cfgen.notebooks", "task_html")(self)
        return shown

    def design(self, name: str | None = None) -> Design:
        """The design of that name, or the default one.

        Raises:
            CfgenError: If there is no such design.
        """
        chosen = self.default_design if name is None else name
        return get_named("design", self.designs, chosen, self.name)

    def hypothesis(self, name: str) -> Hypothesis:
        """The hypothesis of that name.

        Raises:
            CfgenError: If there is no such hypothesis.
        """
        return get_named("hypothesis", self.hypotheses, name, self.name)

    def template_of(self, inputs: Mapping[str, Any]) -> Template:
        """The template that inputs are shown with; the only one if no input says which."""
        return self.templates[inputs.get(TEMPLATE_INPUT, next(iter(self.templates)))]

    def prompt(self, inputs: Mapping[str, Any], template: Template | None = None) -> Prompt:
        """The prompt of inputs, complete and in their domains.

        Where its template shows variables, they are computed; there is never an intervention.

        Args:
            inputs: The inputs.
            template: Another template than the one that they name.

        Raises:
            CfgenError: A mechanism fails, or the template cannot show these values.
        """
        shown = template or self.template_of(inputs)
        values = self.causal_model.program.run(inputs) if shown.variables else inputs
        return render(shown, values)

    def supports(self, inputs: Mapping[str, Any]) -> bool:
        """Whether inputs occur: they meet all requirements, and their template shows them."""
        program = self.causal_model.program
        return not (self.template_of(inputs).unsupported(inputs) or program.broken(inputs))

    def template_domain(self, names: Sequence[str] = ()) -> dict[str, Domain]:
        """Restriction of the input ``template`` to some templates.

        Args:
            names: Template ids; ``all`` for every one; none for the task's default.

        Returns:
            ``{"template": domain}``, or nothing where every template may be drawn.

        Raises:
            CfgenError: If there is no such template.
        """
        if not names and self.default_template:
            names = (self.default_template,)
        problems = unknown_names("template", ((n, "") for n in names if n != "all"), self.templates)
        if problems:
            raise CfgenError(problems)
        if not names or "all" in names:
            return {}
        return {TEMPLATE_INPUT: Choice(tuple(dict.fromkeys(names)))}


def unknown_names(
    what: str, named: Iterable[tuple[str, str]], known: Iterable[str]
) -> list[Problem]:
    """A problem for each name that does not exist.

    Args:
        what: What the names stand for.
        named: Names, each with the place that it is written in.
        known: The names that there are.
    """
    options = list(known)
    return [
        Problem(
            "unknown-name",
            f"there is no {what} {name!r}",
            where=place,
            hint=did_you_mean(str(name), options),
        )
        for name, place in named
        if name not in options
    ]


def get_named(what: str, options: Mapping[str, Record], name: str, task: str) -> Record:
    """The record of a name.

    Raises:
        CfgenError: If there is none.
    """
    if not isinstance(name, str) or name not in options:
        raise CfgenError(
            Problem(
                "unknown-name",
                f"task {task!r} has no {what} {name!r}",
                hint=did_you_mean(str(name), options),
            )
        )
    return options[name]
