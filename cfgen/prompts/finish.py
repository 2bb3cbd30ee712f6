"""The last step of rendering: checking a text and numbering its spans."""

from __future__ import annotations

from collections import Counter

from cfgen.prompts.glue import empty
from cfgen.prompts.spans import Prompt, Span
from cfgen.prompts.text import Fault, Kind, Text, plain


def number_spans(text: str) -> Prompt:
    """Check a rendered text and number its spans."""
    if not text or text != text.strip():
        edge = "is empty" if not text.strip() else "starts in whitespace"
        if text.strip() and text == text.lstrip():
            edge = "ends in whitespace"
        raise Fault(
            code="prompt-edge",
            message=f"the prompt {edge}",
            hint="write {%- and -%} to leave out the line breaks around tags; "
            "a space before the answer belongs to the answer",
        )
    mentions: Counter[str] = Counter()
    kinds: dict[str, Kind] = {}
    around: list[int] = []
    spans = []
    for name, start, end, kind in text.marks if isinstance(text, Text) else ():
        while around and around[-1] <= start:
            around.pop()
        if end <= start:
            raise empty(name)
        if around and end > around[-1]:
            raise Fault(
                code="span-crossing",
                message=f"the span {name!r} starts inside another and ends outside of it",
            )
        if kinds.setdefault(name, kind) != kind:
            raise Fault(
                code="span-name",
                message=f"two different things leave a span named {name!r}",
                hint="give the phrase another name than the value has, "
                "or print the value in one way only",
            )
        around.append(end)
        spans.append(Span(name, mentions[name], start, end))
        mentions[name] += 1
    return Prompt(plain(text) if isinstance(text, Text) else text, tuple(spans))
