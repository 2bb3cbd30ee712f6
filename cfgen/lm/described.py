"""What ``tokenizer.json`` describes, and whether what transformers makes of it is the same.

Classes of transformers make a tokenizer anew, by rules of their own, from nothing but the
vocabulary of the file. Where these rules are not the file's, texts are cut otherwise than the LM
was trained with, and nothing is said. What the settings beside it declare (tokens, how texts
begin) is no difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cfgen.bounded import read_file
from cfgen.lm.reading import settled

PROBES = (
    "",
    " ",
    "Ann",
    "a b",
    " Ann puts  the clay into\tthe mugs.\n\nQuestion: who? Answer:",
    "It's 1234 kg; they'll weigh 56.7 — “naïve” 東京 🙂🙂 don't STOP_here x² + ½ = ٣\n",
    "WE'LL go, I'M 12 345 6789  years   old ,and (so) -- 'tis [x]=1/2;\r\n\r\n  end  ",
    "e\u0301 \ufb01n \u00a0no\u00a0break \uff21\uff11 नमस्ते हिन्दी مرحبا Ünïcödé ﬀ ™ İ",
)
"""Texts in whose tokens differences between two tokenizers show."""
FILE_BYTES = 1 << 27
"""A tokenizer.json is never larger."""
OWN_PROBES = 200
"""How many tokens of a tokenizer make up a further text, all of whose words it knows."""
PARTS = ("normalizer", "pre_tokenizer", "model", "post_processor", "decoder")
BEGINNINGS = ("add_bos_token", "add_eos_token")


def difference(file: Path, own: Any, settings: Mapping[str, Any], *, whole: bool) -> str:
    """Where what transformers made of files cuts texts otherwise than ``tokenizer.json`` says.

    Args:
        file: The ``tokenizer.json``.
        own: The tokenizer of transformers.
        settings: What ``tokenizer_config.json`` says.
        whole: Whether the file is all there is: no other one adds tokens.

    Returns:
        A sentence; empty if nothing is cut otherwise.
    """
    if settings.get("fix_mistral_regex"):  # which says that the file is wrong
        return ""
    text = read_file(file, FILE_BYTES).decode()
    made = own.backend_tokenizer
    ways = [_like(Tokenizer.from_str(way), own, whole) for way in _declared(text, settings)]
    special = all(settings.get(key) is None for key in BEGINNINGS)
    probes = (*PROBES, *_of_its_own(ways[0]))
    found = [_first_difference(made, way, probes, special=special) for way in ways]
    if "" in found:
        return _other_vocabulary(made, ways[0])
    parts = _parts(json.loads(made.to_str()), json.loads(text))
    return f"{found[0]}\n{parts}" if parts else found[0]


def _declared(text: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """The file, and the file with the space in front of texts that the settings declare."""
    yield text
    wanted = settings.get("add_prefix_space")
    if isinstance(wanted, bool):
        for scheme in ("always", "first") if wanted else ("never",):
            described = json.loads(text)
            for part in ("normalizer", "pre_tokenizer"):
                described[part] = _spaced(described.get(part), wanted, scheme)
            yield json.dumps(described)


def _spaced(node: Any, wanted: bool, scheme: str) -> Any:
    """A normalizer or pre-tokenizer that puts a space in front of texts, or none."""
    if not isinstance(node, dict):
        return node
    if node.get("type") == "Prepend" and not wanted:
        return None
    if node.get("type") == "ByteLevel":
        return {**node, "add_prefix_space": wanted}
    if node.get("type") == "Metaspace":
        return {**node, "prepend_scheme": scheme}
    for key in ("normalizers", "pretokenizers"):
        if isinstance(node.get(key), list):
            inner = [_spaced(one, wanted, scheme) for one in node[key]]
            node = {**node, key: [one for one in inner if one is not None]}
    return node


def _like(described: Tokenizer, own: Any, whole: bool) -> Tokenizer:
    """Make a tokenizer as it is used, with the tokens that are added to those of its file."""
    described.no_truncation()
    described.no_padding()
    settled(described)
    if not whole:
        described.encode_special_tokens = own.backend_tokenizer.encode_special_tokens
        added = own.backend_tokenizer.get_added_tokens_decoder()
        for _, token in sorted(added.items()):
            (described.add_special_tokens if token.special else described.add_tokens)([token])
    return described


def _of_its_own(tokenizer: Tokenizer) -> list[str]:
    """Texts of tokens that a tokenizer has, which are all that some know."""
    ids = sorted(tokenizer.get_vocab(with_added_tokens=False).values())
    some = ids[:: max(1, len(ids) // OWN_PROBES)]
    words = [tokenizer.decode([index]) for index in some]
    return [" ".join(words), "".join(words)]


def _first_difference(
    made: Tokenizer, described: Tokenizer, probes: Sequence[str], *, special: bool
) -> str:
    for text in probes:
        both = [_cut(tokenizer, text, special=special) for tokenizer in (described, made)]
        if both[0] != both[1]:
            shown = text if len(text) < 120 else f"{text[:117]}..."
            by_file, by_library = (_shown(cut, both) for cut in both)
            return f"{shown!r} is {by_file} by tokenizer.json and {by_library} by transformers"
    return ""


Cut = tuple[list[int], list[str], list[str]]


def _cut(tokenizer: Tokenizer, text: str, *, special: bool) -> Cut | None:
    """Ids, what they stand for and tokens; None if the tokenizer can't read the text.

    Whether what a token stands for includes a space in front makes no difference.
    """
    try:
        made = tokenizer.encode(text, add_special_tokens=special)
    except Exception:  # the library raises nothing more special
        return None
    return made.ids, [text[a:b].strip() for a, b in made.offsets], made.tokens


def _shown(cut: Cut | None, both: Sequence[Cut | None]) -> str:
    """Some tokens of a text, from where two tokenizers differ."""
    if cut is None:
        return "unreadable"
    first = 0
    if all(both):
        pairs = zip(*(list(zip(*one, strict=True)) for one in both if one), strict=False)
        first = next((n for n, (a, b) in enumerate(pairs) if a != b), 0)
    return f"{cut[2][first : first + 6]} (ids {cut[0][first : first + 6]})"


def _other_vocabulary(made: Tokenizer, described: Tokenizer) -> str:
    """Tokens that one has and the other has not, or has under another id."""
    one, other = (set(each.get_vocab(with_added_tokens=True).items()) for each in (described, made))
    if one == other:
        return ""
    words = sorted(one ^ other, key=lambda item: item[1])[:6]
    named = ", ".join(f"{token!r} ({index})" for token, index in words)
    return f"tokenizer.json and transformers have different vocabularies: {named}"


def _parts(made: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    """Which parts of two tokenizers are not the same, by what they are."""
    lines = []
    for part in PARTS:
        one, other = (_plain(each.get(part)) for each in (described, made))
        if one != other:
            lines.append(f"{part}: {_kinds(one)} in the file, {_kinds(other)} in transformers")
    return "\n".join(lines)


def _plain(part: Any) -> Any:
    """A part of a tokenizer without the tokens in it."""
    if not isinstance(part, dict):
        return part
    return {key: value for key, value in part.items() if key not in ("vocab", "merges")}


def _kinds(part: Any) -> str:
    """What a part is, in a few words."""
    if not isinstance(part, dict):
        return "none"
    inner = next(
        (part[key] for key in part if key.endswith("s") and isinstance(part[key], list)), None
    )
    if part.get("type") == "Sequence" and inner is not None:
        return " + ".join(_kinds(one) for one in inner) or "nothing"
    named = {k: v for k, v in part.items() if k != "type" and isinstance(v, str | bool | int)}
    said = ", ".join(f"{key}={value}" for key, value in named.items())
    return f"{part.get('type', 'one')}({said[:80]})"
