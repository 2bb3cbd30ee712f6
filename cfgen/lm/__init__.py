"""Language models: loaded and ready, what in them can be read or written, prompts as their tokens.

Each name below is loaded when it is first used, because some need torch and others must not:
importing this package imports none. Where the import contract forbids torch (``cfgen.lint``),
import ``cfgen.lm.answers``, ``cfgen.lm.tokens`` or ``cfgen.lm.components`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.lm.answers import NOT_AN_ANSWER as NOT_AN_ANSWER
    from cfgen.lm.answers import AnswerTree as AnswerTree
    from cfgen.lm.answers import TokenPath as TokenPath
    from cfgen.lm.answers import build_tree as build_tree
    from cfgen.lm.attention import MASKED_KERNELS as MASKED_KERNELS
    from cfgen.lm.checks import check_finite as check_finite
    from cfgen.lm.checks import check_known as check_known
    from cfgen.lm.checks import check_lm as check_lm
    from cfgen.lm.checks import check_prompts as check_prompts
    from cfgen.lm.checks import count_problems as count_problems
    from cfgen.lm.components import COMPONENTS as COMPONENTS
    from cfgen.lm.components import Component as Component
    from cfgen.lm.components import Place as Place
    from cfgen.lm.components import Stage as Stage
    from cfgen.lm.components import place_problems as place_problems
    from cfgen.lm.devices import DEVICES as DEVICES
    from cfgen.lm.encoding import SHOWN as SHOWN
    from cfgen.lm.encoding import Candidates as Candidates
    from cfgen.lm.encoding import encode_pairs as encode_pairs
    from cfgen.lm.facts import LMFacts as LMFacts
    from cfgen.lm.facts import Rotation as Rotation
    from cfgen.lm.facts import device_of as device_of
    from cfgen.lm.facts import find_facts as find_facts
    from cfgen.lm.facts import input_device as input_device
    from cfgen.lm.facts import packing_obstacle as packing_obstacle
    from cfgen.lm.facts import rotations_of as rotations_of
    from cfgen.lm.families import FAMILIES as FAMILIES
    from cfgen.lm.families import Family as Family
    from cfgen.lm.families import llama_like as llama_like
    from cfgen.lm.hooks import Handle as Handle
    from cfgen.lm.hooks import hook as hook
    from cfgen.lm.hooks import own_part as own_part
    from cfgen.lm.inputs import Watch as Watch
    from cfgen.lm.inputs import shares as shares
    from cfgen.lm.inputs import watch_projections as watch_projections
    from cfgen.lm.layout import Layout as Layout
    from cfgen.lm.layout import check_places as check_places
    from cfgen.lm.layout import find_layout as find_layout
    from cfgen.lm.layout import matrix as matrix
    from cfgen.lm.load import DTYPES as DTYPES
    from cfgen.lm.load import LM as LM
    from cfgen.lm.load import load_lm as load_lm
    from cfgen.lm.load import wrap_lm as wrap_lm
    from cfgen.lm.projections import Projection as Projection
    from cfgen.lm.projections import pull_back as pull_back
    from cfgen.lm.reading import reads_as as reads_as
    from cfgen.lm.sums import check_sums as check_sums
    from cfgen.lm.token_checks import check_text as check_text
    from cfgen.lm.tokenizer import checked_encoder as checked_encoder
    from cfgen.lm.tokenizer import load_tokenizer as load_tokenizer
    from cfgen.lm.tokenizer import load_tokenizers as load_tokenizers
    from cfgen.lm.tokens import Misalignment as Misalignment
    from cfgen.lm.tokens import PairTokens as PairTokens
    from cfgen.lm.tokens import PromptTokens as PromptTokens
    from cfgen.lm.tokens import TokenSpan as TokenSpan
    from cfgen.lm.tokens import aligned_spans as aligned_spans
    from cfgen.lm.tokens import aligned_tokens as aligned_tokens
    from cfgen.lm.tokens import locate as locate
    from cfgen.lm.tokens import own_tokens as own_tokens
    from cfgen.lm.tokens import token_names as token_names

_HOME = {
    "Projection": "projections",
    "Watch": "inputs",
    "matrix": "layout",
    "pull_back": "projections",
    "watch_projections": "inputs",
    "AnswerTree": "answers",
    "COMPONENTS": "components",
    "DEVICES": "devices",
    "Candidates": "encoding",
    "Component": "components",
    "DTYPES": "load",
    "FAMILIES": "families",
    "Family": "families",
    "Handle": "hooks",
    "LM": "load",
    "LMFacts": "facts",
    "Layout": "layout",
    "MASKED_KERNELS": "attention",
    "Misalignment": "tokens",
    "NOT_AN_ANSWER": "answers",
    "PairTokens": "tokens",
    "Place": "components",
    "PromptTokens": "tokens",
    "Rotation": "facts",
    "SHOWN": "encoding",
    "Stage": "components",
    "TokenPath": "answers",
    "TokenSpan": "tokens",
    "aligned_spans": "tokens",
    "aligned_tokens": "tokens",
    "build_tree": "answers",
    "check_finite": "checks",
    "check_known": "checks",
    "check_lm": "checks",
    "check_places": "layout",
    "check_prompts": "checks",
    "check_sums": "sums",
    "check_text": "token_checks",
    "checked_encoder": "tokenizer",
    "count_problems": "checks",
    "device_of": "facts",
    "encode_pairs": "encoding",
    "find_facts": "facts",
    "find_layout": "layout",
    "hook": "hooks",
    "input_device": "facts",
    "llama_like": "families",
    "load_lm": "load",
    "load_tokenizer": "tokenizer",
    "load_tokenizers": "tokenizer",
    "locate": "tokens",
    "own_part": "hooks",
    "own_tokens": "tokens",
    "packing_obstacle": "facts",
    "place_problems": "components",
    "reads_as": "reading",
    "rotations_of": "facts",
    "shares": "inputs",
    "token_names": "tokens",
    "wrap_lm": "load",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
