"""Tokenizers of every kind there is, tiny ones, trained here and now on a few texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")
SCRIPTS = (
    "Ann puts the tea into the mug. Question: what is in the mug? Answer:",
    "Zoë's naïve café costs 1234 + 56 = 1290 €; isn't that 7.5 % more? Answer:",
    "问题：他喝什么茶？答案：",
    "السؤال: ماذا يشرب علي؟ الجواب:",
    "प्रश्न: राम क्या पीता है? उत्तर:",
    "Вопрос: что пьёт Аня? Ответ:",
    "def f(x):\n    return x ** 2\n\nprint(f(12)) #",
    "🍎 and 🍏 are  both\tapples 👩‍🔬.",
)
"""Texts in several scripts."""
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 and its like cut texts: digits in groups of three."""


def byte_level(
    texts: Sequence[str], before: Any = None, *, prefix: bool = False, regex: bool = True
) -> Tokenizer:
    """A byte-level BPE, perhaps with something that cuts before it."""
    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)
    tokenizer.pre_tokenizer = level
    if before is not None:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([before, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def metaspace(
    texts: Sequence[str], scheme: str = "always", *, split: bool = True, fallback: bool = True
) -> Tokenizer:
    """A BPE as SentencePiece has it, with bytes for what it does not know."""
    unknown = [f"<0x{byte:02X}>" for byte in range(256)] if fallback else []
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if scheme != "never":
        parts.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(parts)
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[*SPECIAL, *unknown], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def llama_like(texts: Sequence[str]) -> Tokenizer:
    """The same with normalizers instead of a pre-tokenizer, as the files of Llama 2 have it."""
    made = metaspace(texts)
    made.pre_tokenizer = None
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return made


def unigram(texts: Sequence[str], *, fallback: bool = False, scheme: str = "always") -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)] if fallback else []
    trainer = trainers.UnigramTrainer(
        vocab_size=500,
        special_tokens=[*SPECIAL, *bytes_],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if fallback:
        import json

        described = json.loads(tokenizer.to_str())
        described["model"]["byte_fallback"] = True
        described["decoder"] = {
            "type": "Sequence",
            "decoders": [
                {"type": "ByteFallback"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True},
            ],
        }
        tokenizer = Tokenizer.from_str(json.dumps(described))
    return tokenizer


def word_piece(texts: Sequence[str], *, lower: bool = False, cleanup: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=cleanup)
    trainer = trainers.WordPieceTrainer(
        vocab_size=700, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def word_level(texts: Sequence[str], *, unknown: bool = True, few: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]|\s"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    special = [one for one in SPECIAL if unknown or one != "<unk>"]
    trainer = trainers.WordLevelTrainer(
        vocab_size=60 if few else 5000, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def normalized(tokenizer: Tokenizer, *steps: Any) -> Tokenizer:
    old = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
    tokenizer.normalizer = normalizers.Sequence([*steps, *old])
    return tokenizer


def around(tokenizer: Tokenizer, template: str) -> Tokenizer:
    """With special tokens around a text."""
    ids = [(name, tokenizer.token_to_id(name)) for name in SPECIAL]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair=f"{template} $B", special_tokens=ids
    )
    return tokenizer


def adding(tokenizer: Tokenizer, *tokens: AddedToken) -> Tokenizer:
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def trimmed(tokenizer: Tokenizer, trim: bool) -> Tokenizer:
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    return tokenizer


def without_unknown(tokenizer: Tokenizer) -> Tokenizer:
    """A BPE that leaves out what it does not know."""
    tokenizer.model.unk_token = None
    tokenizer.model.byte_fallback = False
    return tokenizer


Make = Callable[[Sequence[str]], Tokenizer]
CUTTERS: dict[str, Make] = {
    "bytes": byte_level,
    "bytes with a space in front": lambda t: byte_level(t, prefix=True),
    "bytes, offsets trimmed": lambda t: trimmed(byte_level(t), True),
    "bytes, offsets whole": lambda t: trimmed(byte_level(t), False),
    "bytes, space in front, trimmed": lambda t: trimmed(byte_level(t, prefix=True), True),
    "bytes, digits alone": lambda t: byte_level(t, pre_tokenizers.Digits(True)),
    "bytes, digits by three": lambda t: byte_level(
        t, pre_tokenizers.Split(Regex(GPT4), "isolated"), regex=False
    ),
    "bytes, punctuation alone": lambda t: byte_level(t, pre_tokenizers.Punctuation()),
    "bytes, words not cut": lambda t: byte_level(t, regex=False),
    "bytes NFC": lambda t: normalized(byte_level(t), normalizers.NFC()),
    "bytes NFKC": lambda t: normalized(byte_level(t), normalizers.NFKC()),
    "bytes NFD": lambda t: normalized(byte_level(t), normalizers.NFD()),
    "bytes lower": lambda t: normalized(byte_level(t), normalizers.Lowercase()),
    "bytes stripped": lambda t: normalized(byte_level(t), normalizers.Strip()),
    "bytes without accents": lambda t: normalized(
        byte_level(t), normalizers.NFD(), normalizers.StripAccents()
    ),
    "bytes, spaces made one": lambda t: normalized(
        byte_level(t), normalizers.Replace(Regex(r"\s+"), " ")
    ),
    "bytes behind <s>": lambda t: around(byte_level(t), "<s> $A"),
    "bytes before </s>": lambda t: around(byte_level(t), "$A </s>"),
    "bytes in <s> </s>": lambda t: around(byte_level(t), "<s> $A </s>"),
    "bytes behind <pad> <s>": lambda t: around(byte_level(t), "<pad> <s> $A"),
    "bytes behind <s> <s>": lambda t: around(byte_level(t), "<s> <s> $A"),
    "bytes behind <unk>": lambda t: around(byte_level(t), "<unk> $A"),
    "metaspace always": metaspace,
    "metaspace first": lambda t: metaspace(t, "first"),
    "metaspace never": lambda t: metaspace(t, "never"),
    "metaspace, words not cut": lambda t: metaspace(t, split=False),
    "metaspace without bytes": lambda t: metaspace(t[:1], fallback=False),
    "metaspace behind <s>": lambda t: around(metaspace(t), "<s> $A"),
    "llama": lambda t: around(llama_like(t), "<s> $A"),
    "unigram": unigram,
    "unigram with bytes": lambda t: unigram(t[:1], fallback=True),
    "unigram in <s> </s>": lambda t: around(unigram(t), "<s> $A </s>"),
    "unigram NFKC": lambda t: normalized(unigram(t), normalizers.NFKC()),
    "unigram that knows little": lambda t: unigram(t[:1]),
    "word pieces": word_piece,
    "word pieces, lower": lambda t: word_piece(t, lower=True),
    "word pieces, not cleaned up": lambda t: word_piece(t, cleanup=False),
    "words": word_level,
    "words, few": lambda t: word_level(t, few=True),
    "words without <unk>": lambda t: word_level(t, unknown=False, few=True),
    "BPE without <unk>": lambda t: without_unknown(metaspace(t[:1], fallback=False)),
    "added, taking spaces in front": lambda t: adding(
        byte_level(t), AddedToken(" the", lstrip=True), AddedToken("mug", lstrip=True)
    ),
    "added, taking spaces behind": lambda t: adding(
        byte_level(t), AddedToken("the", rstrip=True), AddedToken("tea", rstrip=True)
    ),
    "added, single words": lambda t: adding(
        byte_level(t), AddedToken("a", single_word=True), AddedToken("in", single_word=True)
    ),
    "added, normalized": lambda t: adding(
        normalized(byte_level(t), normalizers.NFKC()),
        AddedToken("tea", normalized=True),
        AddedToken("x2", normalized=False),
    ),
    "special within words": lambda t: adding(
        byte_level(t), AddedToken("tea", special=True), AddedToken("er", special=True)
    ),
    "added to metaspace": lambda t: adding(
        metaspace(t), AddedToken("tea"), AddedToken("mug", lstrip=True, rstrip=True)
    ),
}
"""Name of a kind -> makes one from texts."""


def fast(backend: Tokenizer) -> Any:
    """A tokenizer of transformers, as a run has it."""
    from transformers import PreTrainedTokenizerFast

    known = backend.get_vocab(with_added_tokens=True)
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        padding_side="left",
        **{key: name for key, name in names.items() if name in known},
    )
