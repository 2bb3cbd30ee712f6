"""The codes of lint's own findings, those that a task's author can allow.

What loading a task raises as an error is found by lint too, but cannot be allowed.
"""

from __future__ import annotations

WORDING_CODES = frozenset(
    {
        "branch-never-taken",
        "double-space",
        "input-not-shown",
        "partial-unused",
        "span-missing",
        "support-impossible",
        "trailing-space",
    }
)
"""About templates."""

STRUCTURE_CODES = frozenset(
    {"input-unused", "lexicon-unused", "not-deterministic", "parent-unused", "site-impossible"}
)
"""About inputs, variables, mechanisms, lexicons and sites."""

PAIR_CODES = frozenset(
    {
        "answer-space",
        "answer-spelling",
        "design-changes-nothing",
        "design-never-decides",
        "hypotheses-never-separated",
        "predicts-as-all",
        "predicts-as-none",
        "shortcut",
    }
)
"""About designs, hypotheses and answers, on sampled pairs."""

TOKEN_CODES = frozenset(
    {
        "answer-tokens",
        "answers-collide",
        "length-differs",
        "slots-misaligned",
        "word-tokens",
    }
)
"""About prompts and answers as a tokenizer has them; found only where one is named."""

CODES = STRUCTURE_CODES | WORDING_CODES | PAIR_CODES | TOKEN_CODES
