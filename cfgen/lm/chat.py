"""A prompt as the user's message of a chat, in the words of the LM's own chat template."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cfgen.counterfactuals import Side
from cfgen.errors import CfgenError, Problem
from cfgen.prompts import Prompt

TODAY = "26 Jul 2024"
"""The date that templates are told which ask for one: a prompt must not change from day to day. It
is the one that Llama 3.2's takes if it is told none."""
CLOCK = f"{{% macro strftime_now(format) %}}{TODAY}{{% endmacro +%}}"
"""Put in front of a template, it takes the place of the clock, in whatever form that is asked."""


def chat_side(tokenizer: Any, side: Side) -> Side:
    """Wrap the prompt of a side in the LM's chat template, up to where the LM's turn begins.

    Spans go along with their words. The answer follows directly: a generation prompt ends where
    the first word of an answer would begin (SmolLM2's, like most, in a line break), and a space in
    front of it would be one that the LM has never seen there.

    Args:
        tokenizer: The LM's.
        side: The side, whose prompt is the user's message.

    Returns:
        The side as the LM reads it, without an answer prefix.

    Raises:
        CfgenError: The tokenizer has no chat template (``no-chat-template``), it fails
            (``chat-template-failed``), or the message is not in what it makes of it, word by word
            and once (``chat-changes-prompt``).
    """
    message = side.prompt.text
    rendered = _rendered(tokenizer, message)
    start, times = rendered.find(message), rendered.count(message)
    if times != 1:
        found = "does not hold the prompt as it is" if not times else f"holds it {times} times"
        raise CfgenError(
            Problem(
                "chat-changes-prompt",
                f"what the chat template makes of a prompt {found}, so nobody knows where its "
                "words are",
                hint="run without --chat, or give the prompt other words: a template may trim "
                "spaces, and its own text may be the same as a short prompt",
                detail=rendered,
            )
        )
    spans = tuple(
        span._replace(start=span.start + start, end=span.end + start) for span in side.prompt.spans
    )
    return replace(side, prompt=Prompt(rendered, spans), answer_prefix="")


def _rendered(tokenizer: Any, message: str) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise CfgenError(
            Problem(
                "no-chat-template",
                "the LM's tokenizer has no chat template",
                hint="run without --chat, or name an LM that is made for chats, such as one whose "
                "name ends in Instruct",
            )
        )
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": message}],
                chat_template=CLOCK + tokenizer.get_chat_template(),
                tokenize=False,
                add_generation_prompt=True,
                date_string=TODAY,
            )
        )
    except Exception as error:  # whatever a template raises, or Jinja about it
        raise CfgenError(
            Problem(
                "chat-template-failed",
                f"the LM's chat template fails: {type(error).__name__}: {error}",
                hint="run without --chat, or mend chat_template in the LM's folder",
            )
        ) from error
