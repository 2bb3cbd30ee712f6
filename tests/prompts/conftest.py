from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cfgen.prompts import Showable, Template, load_templates

SLOTS = {
    "items": ("item_1", "item_2"),
    "word": ("word",),
    "asked": ("asked",),
}
Load = Callable[..., Template]


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads one template from its body; shows the inputs it is told to, by default all."""

    def load_body(
        body: str,
        shows: tuple[str, ...] = tuple(SLOTS),
        partials: Mapping[str, str] | None = None,
        slots: Mapping[str, tuple[str, ...]] = SLOTS,
        **matter: Any,
    ) -> Template:
        folder: Path = tmp_path_factory.mktemp("project")
        write(folder, "t", body, shows, partials, **matter)
        return load_templates("task", Showable(slots), folder)["t"]

    return load_body


@pytest.fixture(scope="session")
def write_template() -> Callable[..., Path]:
    return write


def write(
    folder: Path,
    name: str,
    body: str,
    shows: tuple[str, ...] = tuple(SLOTS),
    partials: Mapping[str, str] | None = None,
    **matter: Any,
) -> Path:
    """Write a template of four lines of front matter, then the body from line 6 on."""
    templates = folder / "templates" / "task"
    templates.mkdir(parents=True, exist_ok=True)
    lines = {"id": name, "description": "Words.", "shows": f"[{', '.join(shows)}]", **matter}
    front = "".join(f"{key}: {value}\n" for key, value in lines.items())
    path = templates / f"{name}.jinja"
    path.write_text(f"---\n{front}---\n{body}", encoding="utf-8", newline="")
    for partial, text in (partials or {}).items():
        (templates / partial).write_text(text, encoding="utf-8", newline="")
    return path
