"""The record of a template: one wording of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of a task.

    Attributes:
        id: Its name.
        description: One line for people.
        task: Task it belongs to.
        path: File it was read from.
        shows: Inputs it shows.
        supports: For an input, the values it is right for; inputs that are left out may be
            anything.
        answer_prefix: Text between the prompt and its answer.
        slots: For every input it shows, the names its values are shown under.
        sources: Jinja text of the file and of the files it includes, by file name.
        paths: Where those files are.
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
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

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
        parts = (said, sorted(self.slots.items()), sorted(self.sources.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __reduce__(self) -> tuple[type[Template], tuple[Any, ...]]:
        kept = (self.id, self.description, self.task, self.path, self.shows, self.supports)
        return (Template, (*kept, self.answer_prefix, self.slots, self.sources, self.paths))
