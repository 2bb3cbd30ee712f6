"""Language models: loaded and ready, their tokenizers, and prompts as their tokens.

Each name below is loaded when it is first used, because some need torch and others must not:
importing this package imports none. Where the import contract forbids torch (``cfgen.lint``),
import ``cfgen.lm.tokens`` itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfgen.lm.load import DTYPES as DTYPES
    from cfgen.lm.load import LM as LM
    from cfgen.lm.load import load_lm as load_lm
    from cfgen.lm.tokenizer import load_tokenizer as load_tokenizer
    from cfgen.lm.tokens import LAST as LAST
    from cfgen.lm.tokens import SHOWN as SHOWN
    from cfgen.lm.tokens import PairTokens as PairTokens
    from cfgen.lm.tokens import PromptTokens as PromptTokens
    from cfgen.lm.tokens import TokenSpan as TokenSpan
    from cfgen.lm.tokens import check_first_tokens as check_first_tokens
    from cfgen.lm.tokens import encode_pairs as encode_pairs
    from cfgen.lm.tokens import locate as locate
    from cfgen.lm.tokens import span_tokens as span_tokens

_HOME = {
    "DTYPES": "load",
    "LAST": "tokens",
    "LM": "load",
    "PairTokens": "tokens",
    "PromptTokens": "tokens",
    "SHOWN": "tokens",
    "TokenSpan": "tokens",
    "check_first_tokens": "tokens",
    "encode_pairs": "tokens",
    "load_lm": "load",
    "load_tokenizer": "tokenizer",
    "locate": "tokens",
    "span_tokens": "tokens",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cfgen.lm' has no attribute {name!r}")
    return getattr(importlib.import_module(f"cfgen.lm.{_HOME[name]}"), name)
