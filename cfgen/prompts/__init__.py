"""Prompts: Jinja templates that say where every value landed, and the words that go into them."""

from __future__ import annotations

from cfgen.prompts.frontmatter import FrontMatter, read_source, read_text
from cfgen.prompts.lexicons import (
    Lexicon,
    faker,
    faker_names,
    lexicon,
    load_lexicon,
    noting_lexicons,
)
from cfgen.prompts.render import Spans, render, render_columns
from cfgen.prompts.run import unreached_branches
from cfgen.prompts.spans import (
    EVERY,
    LAST,
    WHOLE_PROMPT,
    Encode,
    Encoding,
    Offsets,
    Position,
    Prompt,
    Span,
    find_spans,
    parse_position,
    part_of,
    tokens_over,
    whole_spans,
)
from cfgen.prompts.template import Showable, Template, load_templates, templates

__all__ = [
    "EVERY",
    "LAST",
    "WHOLE_PROMPT",
    "Encode",
    "Encoding",
    "FrontMatter",
    "Lexicon",
    "Offsets",
    "Position",
    "Prompt",
    "Showable",
    "Span",
    "Spans",
    "Template",
    "faker",
    "faker_names",
    "find_spans",
    "lexicon",
    "load_lexicon",
    "load_templates",
    "noting_lexicons",
    "parse_position",
    "part_of",
    "read_source",
    "read_text",
    "render",
    "render_columns",
    "templates",
    "tokens_over",
    "unreached_branches",
    "whole_spans",
]
