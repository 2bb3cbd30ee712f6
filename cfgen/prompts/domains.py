"""Domains of a causal model that come from files: lexicons, names, and templates."""

from __future__ import annotations

from pathlib import Path

from cfgen.causal import Choice, Words
from cfgen.errors import CfgenError, Problem, caller_place
from cfgen.paths import display, find_all, plain_name, project_of, project_roots
from cfgen.prompts.lexicons import faker_names, load_lexicon


def lexicon(name: str) -> Words:
    """One word of ``data/lexicons/<name>.txt`` (or ``.tsv``).

    Looked for in the project of the calling task file, then in the current one, and last among
    the built-ins.

    Raises:
        CfgenError: If there is no such lexicon, or for every problem in its file.
    """
    return Words(name, load_lexicon(name, *_calling_project()).entries)


def faker(count: int, *, locale: str = "en_US", seed: int = 0) -> Words:
    """One of ``count`` different first names from Faker, the same ones for the same seed.

    Args:
        count: How many names to draw from.
        locale: Which names: a locale that Faker knows.
        seed: Seed of Faker.

    Raises:
        CfgenError: If the locale is unknown or has too few names.
    """
    names = faker_names(count, locale=locale, seed=seed)
    return Words(names.name, names.entries)


def templates(task: str) -> Choice:
    """The id of one of the templates in ``templates/<task>/``, in alphabetical order.

    Raises:
        CfgenError: If there is none.
    """
    project = _calling_project()
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


def _calling_project() -> tuple[Path, ...]:
    """Project folder of the task file that called a function of this module."""
    return project_of(Path(caller_place(2).rpartition(":")[0]))
