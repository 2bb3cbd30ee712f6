"""Templates: the record of one wording of a task; finding, reading and checking them all.

Everything is checked before anything is rendered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError, nodes

from cfgen.causal import CausalModel, Choice, WordTable, table_of
from cfgen.errors import CfgenError, Problem, authored, caller_place, did_you_mean
from cfgen.paths import display, find_all, plain_name, project_of, project_roots
from cfgen.prompts.environment import PromptEnvironment
from cfgen.prompts.frontmatter import TemplateSource, read_source, read_text
from cfgen.prompts.names import Survey, survey_file
from cfgen.prompts.spans import WHOLE_PROMPT
from cfgen.prompts.text import MAX_LENGTH

RESERVED = frozenset(
    [
        *WHOLE_PROMPT,
        "self",
        "loop",
        "caller",
        "varargs",
        "kwargs",
        "super",
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
    ]
)
"""Names that mean something else, in positions or in Jinja."""


MAX_SOURCE = 2 * MAX_LENGTH
"""Characters of a file of a template at most; reading one of that length takes some seconds."""


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of a task.

    Attributes:
        id: Its name.
        description: One line for people.
        task: Task it belongs to.
        path: File it was read from.
        shows: Inputs and variables it shows.
        supports: For an input, the values it is right for; inputs that are left out may be
            anything.
        answer_prefix: Text between the prompt and its answer.
        slots: For every input it shows, the names its values are shown under; none for variables.
        sources: Jinja text of the file and of the files it includes, by file name.
        paths: Where those files are.
        tables: For every input it shows that draws from a table, what that says of its words.
        cache: What rendering keeps between calls.
    """

    id: str
    description: str
    task: str
    path: Path
    shows: tuple[str, ...]
    supports: Mapping[str, tuple[Any, ...]]
    answer_prefix: str
    slots: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, str]
    paths: Mapping[str, Path]
    tables: Mapping[str, WordTable] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs the values of: inputs and variables that it shows, inputs it restricts."""
        return tuple(dict.fromkeys((*self.shows, *self.supports)))

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables it shows: what the causal model computes from inputs, without intervention."""
        return tuple(name for name in self.shows if name not in self.slots)

    def unsupported(self, inputs: Mapping[str, Any]) -> list[str]:
        """Inputs that have a value which the wording is not right for; ``1`` is not ``True``.

        Args:
            inputs: The values of the inputs; those that are left out are not looked at.
        """
        return [
            name
            for name, values in self.supports.items()
            if name in inputs
            and not any(inputs[name] == v and type(inputs[name]) is type(v) for v in values)
        ]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that can change a prompt; does not depend on where files are."""
        said = (self.id, self.shows, sorted(self.supports.items()), self.answer_prefix)
        parts: tuple[Any, ...] = (said, sorted(self.slots.items()), sorted(self.sources.items()))
        if self.tables:
            parts += (sorted((name, t.columns, t.rows) for name, t in self.tables.items()),)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __reduce__(self) -> tuple[type[Template], tuple[Any, ...]]:
        kept = (self.id, self.description, self.task, self.path, self.shows, self.supports)
        files = (self.sources, self.paths, self.tables)
        return (Template, (*kept, self.answer_prefix, self.slots, *files))


@authored
def templates(task: str) -> Choice:
    """The id of one of the templates in ``templates/<task>/``, in alphabetical order.

    Raises:
        CfgenError: If there is none.
    """
    project = project_of(Path(caller_place(1).rpartition(":")[0]))
    found = {
        path.stem
        for folder in find_all(f"templates/{plain_name(task, 'a task')}", *project)
        for path in folder.glob("*.jinja")
        if not path.name.startswith("_")
    }
    if not found:
        searched = ", ".join(display(root) for root in project_roots(*project))
        raise CfgenError(
            Problem(
                "no-templates",
                f"there is no template for task {task!r} (looked in {searched})",
                where=caller_place(1),
                hint=f"write one as templates/{task}/<id>.jinja",
            )
        )
    return Choice(tuple(sorted(found)))


@dataclass(frozen=True, slots=True)
class Showable:
    """What templates of a causal model can show.

    Attributes:
        slots: For every input, the names its values are shown under: the input's own name, or one
            name for each element of a tuple.
        variables: All that is computed from inputs, shown under its own name.
        tables: For inputs that draw from one, what a lexicon says of their words.
    """

    slots: Mapping[str, tuple[str, ...]]
    variables: Collection[str] = ()
    tables: Mapping[str, WordTable] = field(default_factory=dict)

    @staticmethod
    def of(model: CausalModel) -> Showable:
        """Inputs and variables of a causal model, which need not be sound."""
        tables = {name: table_of(domain) for name, domain in model.domains.items()}
        return Showable(
            model.slots,
            [name for name in model.names if name not in model.slots],
            {name: table for name, table in tables.items() if table.columns},
        )

    def names(self, shows: Collection[str] = ()) -> dict[str, str]:
        """For every name that a template may use for a value, what it is a value of.

        Args:
            shows: What the template shows; other variables have no name in it.
        """
        found = _slot_inputs(self.slots)
        return found | {name: name for name in self.variables if name in shows}


def load_templates(task: str, showable: Showable, *first: Path) -> Mapping[str, Template]:
    """Load and check every template of a task.

    Args:
        task: Name of the task; its templates are ``templates/<task>/*.jinja``.
        showable: What they can show.
        *first: Folders to search before the project's and the built-in one. Of files with the
            same name, the first found counts.

    Returns:
        The templates by id, sorted.

    Raises:
        CfgenError: Everything that is wrong in any of the files.
    """
    showable.names()  # which says what names mean two things
    files = _template_files(task, *first)
    problems: list[Problem] = []
    sources: dict[str, TemplateSource] = {}
    texts: dict[str, str] = {}
    for name, path in files.items():
        try:
            if name.startswith("_"):
                texts[name] = read_text(path)
            else:
                sources[name] = read_source(path)
                texts[name] = sources[name].jinja
        except CfgenError as error:
            problems.extend(error.problems)
    too_long = [_too_long(files[name]) for name, text in texts.items() if len(text) > MAX_SOURCE]
    if too_long:
        raise CfgenError([*problems, *too_long])
    environment = PromptEnvironment(texts)
    trees = _parse_all(environment, texts, files, problems)
    loaded = {}
    for name, source in sources.items():
        problems.extend(_check_matter(source, showable))
        if name in trees:
            survey = _survey(environment, trees, files, showable, source)
            problems.extend(item for item in survey.problems if item not in problems)
            loaded[name] = _template(task, source, showable, survey, texts, files)
    if problems:
        raise CfgenError(problems)
    return {template.id: template for template in sorted(loaded.values(), key=lambda t: t.id)}


def _too_long(path: Path) -> Problem:
    message = f"the template is longer than {MAX_SOURCE:,} characters"
    hint = "a prompt has half of that at most; words belong into lexicons, not into templates"
    return Problem("template-too-large", message, display(path), hint)


def _slot_inputs(slots: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """For every name a template may use for an input, that input."""
    found: dict[str, str] = {}
    problems = []
    reserved = RESERVED | set(PromptEnvironment({}).globals)
    for source, names in slots.items():
        for name in dict.fromkeys((source, *names)):
            other = found.setdefault(name, source)
            if other != source or name in reserved or not name.isidentifier():
                reason = "has a special meaning in templates or positions"
                if other != source:
                    reason = f"is already the name of input {other!r} or of one of its slots"
                elif not name.isidentifier():
                    reason = "is not a name"
                message = f"input {source!r} is shown as {name!r}, which {reason}"
                problems.append(Problem("slot-name", message, hint="rename the input"))
    if problems:
        raise CfgenError(problems)
    return found


def _unshowable(variable: str, showable: Showable) -> str:
    """Why a variable cannot be shown: what its name means otherwise."""
    if variable in RESERVED | set(PromptEnvironment({}).globals):
        return "has a special meaning in templates or positions"
    names = _slot_inputs(showable.slots)
    if variable in names:
        return f"is already the name of a slot of input {names[variable]!r}"
    element = re.compile(re.escape(variable) + r"_[1-9]\d*")  # of a tuple
    taken = next((name for name in (*names, *showable.variables) if element.fullmatch(name)), "")
    return f"would leave spans named {taken!r} if it is a tuple, as another does" if taken else ""


def _template_files(task: str, *first: Path) -> dict[str, Path]:
    """Every template file of a task by name; the first root that has it wins."""
    files: dict[str, Path] = {}
    for folder in find_all(f"templates/{plain_name(task, 'a task')}", *first):
        for path in sorted(folder.glob("*.jinja")):
            files.setdefault(path.name, path)
    if not any(not name.startswith("_") for name in files):
        looked = ", ".join(display(root / "templates" / task) for root in project_roots(*first))
        raise CfgenError(
            Problem(
                "no-templates",
                f"there is no template for {task!r}",
                hint=f"add a .jinja file; looked in {looked}",
            )
        )
    return dict(sorted(files.items()))


def _parse_all(
    environment: PromptEnvironment,
    texts: Mapping[str, str],
    files: Mapping[str, Path],
    problems: list[Problem],
) -> dict[str, nodes.Template]:
    """Parse and compile every file."""
    trees = {}
    for name, text in texts.items():
        try:
            trees[name] = environment.parse(text, name)
            environment.compile(environment.parse(text, name), name)
        except TemplateSyntaxError as error:
            if not _known_missing(error):
                where = f"{display(files[name])}:{error.lineno}"
                hint = "mend it; docs/templates.md says what a template may hold"
                problems.append(Problem("template-syntax", str(error.message), where, hint))
        except (RecursionError, SyntaxError, ValueError, OverflowError) as error:  # Python's own
            trees.pop(name, None)
            what = error.msg if isinstance(error, SyntaxError) else str(error).partition(";")[0]
            what = "it is nested too deep" if isinstance(error, RecursionError) else what
            hint = "put what is inside into a macro or a file of its own, and numbers in words"
            where = display(files[name])
            problems.append(Problem("template-syntax", f"no template: {what}", where, hint))
    return trees


def _known_missing(error: TemplateSyntaxError) -> bool:
    """Whether it is about a missing filter or test, which is reported with a suggestion later."""
    return str(error.message).startswith(("No filter named", "No test named"))


def _survey(
    environment: PromptEnvironment,
    trees: Mapping[str, nodes.Template],
    files: Mapping[str, Path],
    showable: Showable,
    source: TemplateSource,
) -> Survey:
    """Find out what a template refers to."""
    places = {name: display(path) for name, path in files.items()}
    shows = frozenset(source.matter.shows)
    names = showable.names(shows)
    survey = Survey(environment, trees, places, names, shows, showable.variables, showable.tables)
    survey_file(survey, source.path.name, survey.visible(), ())
    for name in sorted(survey.shown & set(names.values()) - survey.used):
        where = f"{display(source.path)}:{source.lines['shows']}"
        message = f"the template says it shows {name!r}, but never refers to it"
        hint = "remove it from `shows`, or show it"
        survey.problems.append(Problem("template-shows", message, where, hint))
    return survey


def _check_matter(source: TemplateSource, showable: Showable) -> Iterable[Problem]:
    """Check front matter against the file name and the model."""
    matter, stem = source.matter, source.path.stem

    def where(key: str) -> str:
        return f"{display(source.path)}:{source.lines[key]}"

    if matter.id != stem:
        message = f"the id is {matter.id!r}, but the file is called {stem!r}"
        yield Problem("template-id", message, where("id"), "make them the same")
    if not matter.description.strip():
        message, hint = "the description is empty", "say in one line what the wording is like"
        yield Problem("front-matter", message, where("description"), hint)
    for key, inputs in (("shows", matter.shows), ("supports", list(matter.supports))):
        known = {*showable.slots, *(showable.variables if key == "shows" else ())}
        for name in dict.fromkeys(inputs):
            if name not in known:
                kind = "an input or variable" if key == "shows" else "an input"
                message = f"`{key}` names {name!r}, which is not {kind} of the causal model"
                yield Problem("template-inputs", message, where(key), did_you_mean(name, known))
            if inputs.count(name) > 1:
                message, hint = f"`{key}` names {name!r} twice", "leave one of them"
                yield Problem("template-inputs", message, where(key), hint)
    for name in matter.shows:
        reason = _unshowable(name, showable) if name not in showable.slots else ""
        if reason and name in showable.variables:
            message = f"variable {name!r} cannot be shown under its name, which {reason}"
            yield Problem("slot-name", message, where("shows"), "rename the variable")
    for name, values in matter.supports.items():
        if not values:
            message = f"no value of {name!r} is supported"
            hint = "list the values, or leave the input out if all are"
            yield Problem("template-inputs", message, where("supports"), hint)


def _template(
    task: str,
    source: TemplateSource,
    showable: Showable,
    survey: Survey,
    texts: Mapping[str, str],
    files: Mapping[str, Path],
) -> Template:
    """Put the record together."""
    matter = source.matter
    return Template(
        id=matter.id,
        description=matter.description,
        task=task,
        path=source.path,
        shows=tuple(matter.shows),
        supports={name: tuple(values) for name, values in matter.supports.items()},
        answer_prefix=matter.answer_prefix,
        slots={n: tuple(showable.slots[n]) for n in matter.shows if n in showable.slots},
        sources={name: texts[name] for name in sorted(survey.files)},
        paths={name: files[name] for name in sorted(survey.files)},
        tables={n: showable.tables[n] for n in matter.shows if n in showable.tables},
    )
