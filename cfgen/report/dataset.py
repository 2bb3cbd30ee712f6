"""Datasets: what was generated, in tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from cfgen.counterfactuals import ALL, KINDS, NONE
from cfgen.datasets import Manifest
from cfgen.datasets.shortcuts import ANSWER
from cfgen.paths import display
from cfgen.report.style import KIND_STYLES, heading, lined

COMMONEST = 5
"""How many answers are shown."""


def dataset_view(manifest: Manifest, folder: Path, url: str | None = None) -> RenderableType:
    """The report of a generated dataset.

    Args:
        manifest: What was made.
        folder: Where it was written.
        url: Where it was uploaded to.
    """
    title = f"{manifest.rows:,} pairs of task {manifest.task}, design {manifest.design}"
    parts: list[RenderableType] = [
        Text(title, "bold"),
        heading("Splits; no word and no prompt is in two of them"),
        _splits(manifest),
        heading("What the hypotheses predict, as a share of all pairs"),
        _kinds(manifest),
        _decisive(manifest),
        heading("Answers of the originals"),
        _answers(manifest),
        heading("Audits; the card has the tables"),
        *_audits(manifest),
        heading("Files"),
        Text(f"{display(folder)} has data/*.parquet, manifest.json and README.md (the card)"),
        Text(f'Load it: datasets.load_dataset("{display(folder)}")'),
    ]
    if url:
        parts.append(Text(f"Uploaded: {url}"))
    return Group(*parts)


def _splits(manifest: Manifest) -> RenderableType:
    pools = list(next(iter(manifest.splits.values())).words)
    rows = [
        [
            name,
            f"{split.rows:,}",
            f"{split.decisive:,}",
            f"{split.candidates - split.rows:,}",
            *(f"{split.words[pool]:,}" for pool in pools),
        ]
        for name, split in manifest.splits.items()
    ]
    counts = ("pairs", "decisive", "repeats dropped", *pools)
    return lined([("split", "left"), *((name, "right") for name in counts)], rows)


def _kinds(manifest: Manifest) -> RenderableType:
    totals: dict[str, Counter[str]] = {NONE: Counter(), ALL: Counter()}
    for split in manifest.splits.values():
        for name, kinds in split.kinds.items():
            totals.setdefault(name, Counter()).update(kinds)
    rows = []
    for name, counts in totals.items():
        cells = [_share(counts[kind], manifest.rows, KIND_STYLES[kind]) for kind in KINDS]
        mark = " *" if name in manifest.contrast else ""
        rows.append([Text(name + mark, "bold" if mark else ""), *cells])
    return lined([("hypothesis", "left"), *((f"{kind} answer", "right") for kind in KINDS)], rows)


def _share(count: int, total: int, style: str) -> Text:
    return Text(f"{count / total:.3f}", style) if count else Text("-", "dim")


def _decisive(manifest: Manifest) -> Text:
    if not manifest.contrast:
        return Text("The design names no hypotheses to tell apart.", "dim")
    count = sum(split.decisive for split in manifest.splits.values())
    text = Text(f"{count:,} of {manifest.rows:,} pairs ({count / manifest.rows:.3f}) are decisive")
    compared = ", ".join((NONE, *manifest.contrast))
    return text.append(f": on them {compared} all predict different answers (*).")


def _answers(manifest: Manifest) -> Text:
    counts: Counter[str] = Counter()
    for split in manifest.splits.values():
        counts.update(split.answers)
    shown = ", ".join(f"{answer} {count:,}" for answer, count in counts.most_common(COMMONEST))
    share = counts.most_common(1)[0][1] / manifest.rows
    more = ", ..." if len(counts) > COMMONEST else ""
    different = f"{len(counts)} different ones" if len(counts) > 1 else "only one"
    return Text(
        f"{different}: {shown}{more}. Always giving the commonest would be right "
        f"for {share:.3f} of the pairs."
    )


def _audits(manifest: Manifest) -> list[Text]:
    """What a reviewer would ask: coverage, shortcuts, leakage, alignment."""
    covered = ", ".join(f"{c.share:.3f} of {name}" for name, c in manifest.coverage.items())
    strength = next(iter(manifest.coverage.values())).strength
    lines = [Text(f"coverage of {strength} factors at a time: {covered}")]
    if manifest.tokenizers:
        words = {(item.lexicon, item.word) for item in manifest.dropped}
        left_out = f"; {len(words):,} words left out" if words else ""
        lines.append(Text(f"all pairs align under {', '.join(manifest.tokenizers)}{left_out}"))
    if manifest.power:
        plan = manifest.power
        lines.append(Text(f"{plan.pairs:,} pairs per cell have power {plan.achieved:.3f}"))
    found: dict[str, list[str]] = {}
    for shortcut in manifest.shortcuts:
        if shortcut.flagged:
            said = "the answer" if shortcut.label == ANSWER else f"what {shortcut.label} predicts"
            rate = f"{shortcut.accuracy:.2f} of {shortcut.split} (chance {shortcut.chance:.2f})"
            found.setdefault(f"{shortcut.rule!r} gives {said} in ", []).append(rate)
    lines += [
        Text(f"shortcut: {rule}{', '.join(rates)}", "yellow") for rule, rates in found.items()
    ]
    leaks = [leak for leak in manifest.leakage if leak.flagged]
    lines += [
        Text(f"leak: {leak.one} and {leak.other} share {leak.shared:,} {leak.what}", "red")
        for leak in leaks
    ]
    clean = [name for name, some in (("shortcut", found), ("leak", leaks)) if not some]
    return [*lines, *([Text(f"no {' and no '.join(clean)} found")] if clean else [])]
