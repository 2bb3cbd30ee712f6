"""What a dataset says of itself: the card in its folder, and its summary on the terminal.

Both are documents, put together from the same blocks of facts. The card has all of them, the
summary those that one wants to see first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cfgen.counterfactuals import ALL, KINDS, NONE, THIRD, Design, Pair
from cfgen.datasets.leakage import Leak
from cfgen.datasets.manifest import Manifest
from cfgen.datasets.power import power_sentence
from cfgen.datasets.shortcuts import ANSWER, Shortcut
from cfgen.documents import (
    Block,
    CodeBlock,
    Column,
    Document,
    Heading,
    Inline,
    Listing,
    Look,
    Paragraph,
    Phrase,
    Quotation,
    Table,
    code,
    faint,
    strong,
)
from cfgen.paths import display
from cfgen.stats import with_interval
from cfgen.tasks import Task

COMMONEST, ANSWERS = 5, 20
"""How many answers are named: in the summary, and on the card."""
AGAIN = (
    "No word of a lexicon and no prompt is used in two splits, and no pair occurs twice; but a "
    "prompt may be in several pairs. Such pairs are not independent, which an interval of what is "
    "estimated from them has to know; those of a run (cfgen run) do."
)
"""What is said of splits in which prompts are used again."""
APART = "No word of a lexicon is used in two splits, and no prompt occurs twice."
MISSING = WORDS = 10
"""How many missing combinations the card names per split, and words left out per lexicon."""
THIRD_LOOKS: tuple[Look, ...] = ("strong", "good")
_CONTENT = """\
`id` | hash of the content
`index` | number of the candidate within its split; the same however many are asked for
`task`, `design` | names
`original`, `counterfactual` | `prompt`; `answer`; `completion` (the answer with its leading \
space); `variables` (values of the causal model); `spans` (`name`, `mention`, `start`, `end` in \
characters, end exclusive)
`predictions` | the output under each hypothesis after the interchange; `none`: nothing happened, \
`all`: everything was copied
`kinds` | whether that prediction is the original's answer, the counterfactual's, or a third
`decisive` | whether `none` and the hypotheses of the contrast all predict different outputs"""


def dataset_card(task: Task, design: Design, manifest: Manifest, example: Pair) -> Document:
    """Everything there is to say about a dataset: what it is, from what, and what it is good for.

    Args:
        task: What it was made from.
        design: How its pairs were made.
        manifest: What came out.
        example: One of its pairs.
    """
    sections: list[tuple[str, list[Block]]] = [
        ("One pair", _example(example)),
        ("Columns", [_columns()]),
        (
            "Splits",
            [Paragraph(AGAIN if manifest.reuse_prompts else APART), _splits(manifest, full=True)],
        ),
        (
            "Decisive pairs and kinds of predictions",
            [_decisive(manifest), _kinds(manifest, full=True)],
        ),
        ("Answers", _answer_table(manifest)),
        ("Balance and coverage", _coverage(manifest)),
        ("Shortcuts", _shortcuts(manifest.shortcuts)),
        ("Leakage", leakage_blocks(manifest.leakage)),
    ]
    if manifest.answered:
        answered = manifest.answered
        text = f"It has {answered.sentence}. Weights {answered.revision}, in {answered.dtype}."
        sections.append(("Behaviour", [Paragraph(text)]))
    if manifest.tokenizers:
        sections.append(("Tokenizers", _tokenizers(manifest)))
    if manifest.power:
        sections.append(("Number of pairs", [Paragraph(power_sentence(manifest.power))]))
    sections.append(("How it was made", [_provenance(manifest, task)]))
    title = Heading((f"{task.name}, design ", code(design.name)), 1)
    blocks = [block for name, inner in sections for block in (Heading(name), *inner)]
    return Document((title, *_what(task, design), *blocks))


def dataset_summary(manifest: Manifest, folder: Path, url: str | None = None) -> Document:
    """What one wants to see first of a dataset that was just made.

    Args:
        manifest: What was made.
        folder: Where it was written.
        url: Where it was uploaded to.
    """
    shown, rows = display(folder), f"{manifest.rows:,} pairs"
    files = [f"{shown} has data/*.parquet, manifest.json and README.md (the card)"]
    files += [f'Load it: datasets.load_dataset("{shown}")', *([f"Uploaded: {url}"] if url else [])]
    return Document(
        (
            Heading(f"{rows} of task {manifest.task}, design {manifest.design}", 1),
            Heading("Splits; no word and no prompt is in two of them"),
            _splits(manifest, full=False),
            Heading("What the hypotheses predict, as a share of all pairs"),
            _kinds(manifest, full=False),
            _decisive(manifest),
            Heading("Answers of the originals"),
            _answers(manifest),
            Heading("Audits; the card has the tables"),
            *map(Paragraph, audit_findings(manifest)),
            Heading("Files"),
            *map(Paragraph, files),
        )
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Inline]], numbers: int = 0) -> Table:
    """A table; from column number ``numbers`` on, cells are numbers, if it is not 0."""
    right = range(numbers or len(columns), len(columns))
    return Table(
        tuple(Column(name, "right" if k in right else "left") for k, name in enumerate(columns)),
        tuple(map(tuple, rows)),
    )


def _codes(names: Iterable[str], between: str = ", ") -> Inline:
    return _joined([code(name) for name in names], between)


def _joined(parts: Iterable[Inline], between: str) -> Inline:
    """Texts one after the other, with something between them."""
    return tuple(each for part in parts for each in (between, part))[1:]


# What it is.


def _what(task: Task, design: Design) -> list[Block]:
    contrast = _codes(design.contrast) if design.contrast else "none declared"
    described = f" ({design.description})" if design.description else ""
    return [
        Paragraph(task.description),
        Paragraph(
            f"Pairs of an original and a counterfactual prompt{described}, each with "
            "the output that every hypothesis predicts when the values of its variables are taken "
            "from the counterfactual."
        ),
        Paragraph(("Meant to tell apart: ", contrast, ".")),
        CodeBlock(load_code(), "python"),
    ]


def load_code(configuration: str = "") -> str:
    """Code that loads a dataset; perhaps one of its configurations."""
    named = f', "{configuration}"' if configuration else ""
    return (
        f'from datasets import load_dataset\n\ndataset = load_dataset("path/to/this/folder"{named})'
    )


def _example(pair: Pair) -> list[Block]:
    sides = (("Original.", pair.original), ("Counterfactual.", pair.counterfactual))
    shown = [
        Paragraph((Phrase(title, ("emphasis",)), f" {side.prompt.text} ", strong(f"{side.answer}")))
        for title, side in sides
    ]
    rows = [(code(name), str(said), pair.kinds[name]) for name, said in pair.predictions.items()]
    return [Quotation(tuple(shown)), _table(["hypothesis", "prediction", "kind"], rows)]


def _columns() -> Table:
    rows = [tuple(map(_ticked, line.split(" | "))) for line in _CONTENT.splitlines()]
    return _table(["column", "content"], rows)


def _ticked(text: str) -> Inline:
    """A text of ours in which names stand between backticks."""
    return tuple(code(part) if k % 2 else part for k, part in enumerate(text.split("`")))


def _provenance(manifest: Manifest, task: Task) -> Listing:
    edits = _codes(manifest.counterfactual_edits)
    prepared = _codes(manifest.original_edits) or "nothing"
    required = _codes(name for name, *_ in task.causal_model.program.requirements) or "nothing"
    version = f", version {manifest.task_version}, content "
    return Listing(
        (
            ("task ", code(manifest.task), version, code(manifest.content_hash[:16])),
            f"seed {manifest.seed}, templates: {', '.join(manifest.templates) or 'default'}",
            ("required of all inputs: ", required),
            ("edits of the original: ", prepared),
            ("edits that make the counterfactual: ", edits),
            ", ".join(f"{name} {number}" for name, number in manifest.libraries.items()),
        )
    )


# What it has.


def _splits(manifest: Manifest, *, full: bool) -> Table:
    """Counts by split; in full with the candidates that were drawn."""
    pools = list(next(iter(manifest.splits.values())).words)
    again = manifest.reuse_prompts
    rows = []
    for name, split in manifest.splits.items():
        counts = [split.rows, *([split.originals] if again else []), split.decisive]
        counts += [split.candidates] if full else []
        counts += [split.candidates - split.rows, *(split.words[pool] for pool in pools)]
        rows.append([name, *(f"{count:,}" for count in counts)])
    chosen = manifest.answered or manifest.decisive_only
    dropped = "left out" if chosen else "repeats dropped"
    titles = [
        "pairs",
        *(["originals"] if again else []),
        "decisive",
        *(["candidates"] if full else []),
        dropped,
    ]
    words = [f"words of {pool}" if full else pool for pool in pools]
    return _table(["split", *titles, *words], rows, 1)


def _kinds(manifest: Manifest, *, full: bool) -> Table:
    """Shares of the kinds of predictions; in full also those that do not occur."""
    totals: dict[str, Counter[str]] = {NONE: Counter(), ALL: Counter()}
    for split in manifest.splits.values():
        for name, kinds in split.kinds.items():
            totals.setdefault(name, Counter()).update(kinds)

    def share(kind: str, count: int) -> Inline:
        if not count and not full:
            return faint("-")
        return Phrase(f"{count / manifest.rows:.3f}", () if full or kind != THIRD else THIRD_LOOKS)

    rows: list[list[Inline]] = []
    for name, counts in totals.items():
        mark = " *" if name in manifest.contrast else ""
        title = (code(name), mark) if full else strong(name + mark) if mark else name
        rows.append([title, *(share(kind, counts[kind]) for kind in KINDS)])
    columns = KINDS if full else [f"{kind} answer" for kind in KINDS]
    return _table(["hypothesis", *columns], rows, 1)


def _decisive(manifest: Manifest) -> Paragraph:
    count = sum(split.decisive for split in manifest.splits.values())
    share = f"{count:,} of {manifest.rows:,} pairs ({count / manifest.rows:.3f}) are decisive: "
    if not manifest.contrast:
        return Paragraph((share, "the design names no hypotheses to tell apart."))
    compared = _codes((NONE, *manifest.contrast))  # "all" would be read as the hypothesis
    more = " Pairs that are not were left out." if manifest.decisive_only else ""
    return Paragraph((share, "on them no two of ", compared, " predict the same answer (*).", more))


def _counted(manifest: Manifest) -> list[tuple[str, int]]:
    """Answers of the originals, the commonest first."""
    counts: Counter[str] = Counter()
    for split in manifest.splits.values():
        counts.update(split.answers)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _answers(manifest: Manifest) -> Paragraph:
    counts = _counted(manifest)
    shown = ", ".join(f"{answer} {count:,}" for answer, count in counts[:COMMONEST])
    more = ", ..." if len(counts) > COMMONEST else ""
    different = f"{len(counts)} different ones" if len(counts) > 1 else "only one"
    return Paragraph(
        f"{different}: {shown}{more}. Always giving the commonest would be right "
        f"for {counts[0][1] / manifest.rows:.3f} of the pairs."
    )


def _answer_table(manifest: Manifest) -> list[Block]:
    counts, n = _counted(manifest), manifest.rows
    more = f" The {ANSWERS} commonest:" if len(counts) > ANSWERS else ""
    note = (
        f"{len(counts)} different answers of the original; always saying the commonest is right "
        f"for {counts[0][1] / n:.3f} of the pairs.{more}"
    )
    rows = [[answer, f"{count:,}", f"{count / n:.3f}"] for answer, count in counts[:ANSWERS]]
    return [Paragraph(note), _table(["answer", "pairs", "share"], rows, 1)]


# What a reviewer asks.


def audit_findings(manifest: Manifest) -> list[Inline]:
    """What the audits found, a sentence each."""
    covered = ", ".join(f"{c.share:.3f} of {name}" for name, c in manifest.coverage.items())
    strength = next(iter(manifest.coverage.values())).strength
    lines: list[Inline] = [f"coverage of {strength} factors at a time: {covered}"]
    if manifest.tokenizers:
        words = {(item.lexicon, item.word) for item in manifest.dropped}
        left_out = f"; {len(words):,} words left out" if words else ""
        lines.append(f"all pairs align under {', '.join(manifest.tokenizers)}{left_out}")
    if manifest.answered:
        lines.append(manifest.answered.sentence)
    if manifest.power:
        plan = manifest.power
        lines.append(f"{plan.pairs:,} pairs per cell have power {plan.achieved:.3f}")
    found: dict[str, list[str]] = {}
    for shortcut in manifest.shortcuts:
        if shortcut.flagged:
            said = "the answer" if shortcut.label == ANSWER else f"what {shortcut.label} predicts"
            rate = f"{shortcut.accuracy:.2f} of {shortcut.split} (chance {shortcut.chance:.2f})"
            found.setdefault(f"{shortcut.rule!r} gives {said} in ", []).append(rate)
    lines += [
        Phrase(f"shortcut: {rule}{', '.join(rates)}", ("caution",)) for rule, rates in found.items()
    ]
    leaks = leak_findings(manifest.leakage)
    lines += leaks
    clean = [name for name, some in (("shortcut", found), ("leak", leaks)) if not some]
    return [*lines, *([f"no {' and no '.join(clean)} found"] if clean else [])]


def leak_findings(leaks: Sequence[Leak]) -> list[Inline]:
    """What is shared that should not be, a sentence each."""
    return [
        Phrase(f"leak: {leak.one} and {leak.other} share {leak.shared:,} {leak.what}", ("bad",))
        for leak in leaks
        if leak.flagged
    ]


def _coverage(manifest: Manifest) -> list[Block]:
    drawn = "so that every value is used equally often" if manifest.balanced else "at random"
    first = next(iter(manifest.coverage.values()))
    inexact = "" if first.exact else " What can occur was drawn, not enumerated."
    note = (
        f"Inputs were drawn {drawn}. Coverage counts the combinations of values of any "
        f"{first.strength} of: inputs, template, answer; at most one of them a word of a lexicon."
        f"{inexact}"
    )
    shares = [
        [split, f"{c.covered:,}", f"{c.possible:,}", f"{c.share:.3f}"]
        for split, c in manifest.coverage.items()
    ]
    blocks: list[Block] = [
        Paragraph(note),
        _table(["split", "occur", "can occur", "coverage"], shares, 1),
    ]
    for split, c in manifest.coverage.items():
        if c.missing:
            left = c.possible - c.covered
            shown = _codes(c.missing[:MISSING], "; ")
            more = f"; and {left - MISSING:,} more" if left > MISSING else ""
            blocks.append(Paragraph((f"Missing in {split}: ", shown, f"{more}.")))
    spread: list[list[Inline]] = [
        [split, code(name), f"{s.used} of {s.values}", str(s.least), str(s.most)]
        for split, c in manifest.coverage.items()
        for name, s in c.spread.items()
        if s.values > 1
    ]
    header = ["split", "factor", "values used", "rows of the rarest", "of the commonest"]
    return [*blocks, _table(header, spread, 2)]


def _shortcuts(shortcuts: Sequence[Shortcut]) -> list[Block]:
    beyond = [
        (
            code(s.rule),
            " says ",
            "the answer" if s.label == ANSWER else ("what ", code(s.label), " predicts"),
            f" in {s.accuracy:.3f} of {s.split}, chance {s.chance:.3f}",
        )
        for s in shortcuts
        if s.flagged
    ]
    found: Inline = (strong("Beyond chance:"), " ", _joined(beyond, "; "), ".")
    note = (
        "How often rules that know nothing of the task say the original's answer; tried on at "
        "most 2,000 pairs of each split. "
    )
    rows = [
        [s.rule, s.split, with_interval(s.accuracy, s.low, s.high, 3), f"{s.chance:.3f}", f"{s.n}"]
        for s in shortcuts
        if s.label == ANSWER
    ]
    header = ["rule", "split", "right (95 % interval)", "chance", "n"]
    return [Paragraph((note, found if beyond else "None beats chance.")), _table(header, rows, 2)]


def leakage_blocks(leaks: Sequence[Leak]) -> list[Block]:
    """What splits share, with the table of all that was looked at."""
    clean = not any(leak.flagged for leak in leaks)
    found = "Nothing is shared that should not be." if clean else strong("Something is shared.")
    rows = [
        [
            leak.what.replace("_", "-"),
            leak.one if leak.one == leak.other else f"{leak.one}, {leak.other}",
            f"{leak.shared:,} of {leak.of:,}",
        ]
        for leak in leaks
    ]
    note = (
        " Near-duplicates are the same but for case, spaces and punctuation; in one split, how "
        "many occur again. Templates are in all splits by design."
    )
    return [Paragraph((found, note)), _table(["what", "splits", "shared"], rows, 2)]


def _tokenizers(manifest: Manifest) -> list[Block]:
    lexicons: dict[str, dict[str, list[str]]] = {}
    for item in manifest.dropped:
        reasons = lexicons.setdefault(item.lexicon, {}).setdefault(item.word, [])
        reasons.append(f"{item.reason} ({item.tokenizer})")
    note: list[Inline] = [
        "Under ",
        _codes(manifest.tokenizers),
        ", original and counterfactual of every pair have equally many tokens, their spans at the "
        "same ones, and every answer and prediction is one token, no two of them the same; "
        "checked on every row.",
    ]
    for lexicon, words in lexicons.items():
        note += [" Left out of ", code(lexicon), f": {len(words)} words."]
    rows = [
        [lexicon, word, "; ".join(reasons)]
        for lexicon, words in lexicons.items()
        for word, reasons in list(words.items())[:WORDS]
    ]
    table = _table(["lexicon", "word", "why"], rows)
    return [Paragraph(tuple(note)), table] if rows else [Paragraph(tuple(note))]
