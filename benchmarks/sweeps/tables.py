"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

HEADER = (
    "| tool | cells | seconds | CPU s | tokens computed | ms per cell | time of packed | floor "
    "| plain | peak MiB | answers |"
)
GROWTH = (
    "| | tool | seconds | CPU s | tokens computed | µs per token and block "
    "| packed against reference | floor | plain | peak MiB | answers |"
)


def render(result: dict[str, Any]) -> str:
    """The whole page."""
    lines = ["# One sweep, several tools", "", *_preface(result)]
    for letter in dict.fromkeys(row["workload"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["workload"] == letter]
        for model in dict.fromkeys(_model(row) for row in rows):
            lines += ["", *_section([row for row in rows if _model(row) == model])]
    return "\n".join(lines) + "\n"


def _model(row: Row) -> str:
    """Models that differ in depth only belong into one table."""
    return str(row["model"]) if not row["variant"] else ""


def _preface(result: dict[str, Any]) -> list[str]:
    machine, settings = result["machine"], result["settings"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return [
        f"- Machine: {machine['device']}; {machine['system']}, Python {machine['python']}",
        f"- {settings['dtype']}, {settings['threads']} CPU thread(s)",
        f"- Versions: {versions}",
        "- Seconds: the shortest of the repeats (in brackets: their median and number), after a",
        "  warm-up, the runs of the counterfactuals included. Every tool runs "
        + (
            "in turn in one process," if settings.get("one_process") else "in a process of its own,"
        ),
        "  on the same pairs in the same batches, and computes logits of the last token only.",
        "- Compared are CPU seconds where there is one thread, since a shared machine keeps a",
        "  process waiting; on a GPU, or with more threads, seconds.",
        "- Tokens computed: counted at every block; one that passes half of the blocks is half a",
        "  one.",
        "- Cells: interventions per pair. A tool that would take too long runs evenly spread ones.",
        "- Time of packed: how many times as long as `packed` a tool takes per cell.",
        "- Floor: how many times as long it takes as the operations that can't be saved would, at",
        "  the rate of a plain matrix product of the MLP's shape, measured in the same process.",
        "- Plain: how many times as long it takes as its own calls of blocks and of the head do in",
        "  plain forwards of the same model, of as many tokens per call in rows as long as the",
        "  prompts, measured in the same process: 1 is a tool that costs nothing itself.",
        "- Peak MiB: memory of the process (in brackets: above what it had with the model loaded).",
        "- Answers: likeliest next token, compared with `reference` in every cell of every pair;",
        "  and how far apart the logits of both prompts' answers are at most.",
    ]


def _section(rows: Sequence[Row]) -> list[str]:
    first = rows[0]
    pairs = f"{first['pairs']} pairs of {first['tokens_per_prompt']} tokens"
    if not first["variant"]:
        head = f"## {first['workload']}: {first['about']}"
        lines = [head, "", f"{first['model']}, {pairs}, in batches of {first['batch']}.", ""]
        return [*lines, HEADER, _rule(HEADER), *(_line(row, rows) for row in rows), *_notes(rows)]
    head = f"## {first['workload']}: {first['about']}"
    lines = [
        head,
        "",
        f"{_names(rows)}, {first['pairs']} pairs, in batches of {first['batch']}.",
        "",
    ]
    table = [GROWTH, _rule(GROWTH), *(_growth(row, rows) for row in rows)]
    return [*lines, *table, "", *_grown(rows), *_notes(rows)]


def _grown(rows: Sequence[Row]) -> list[str]:
    """Per tool how much its work and its time grow from the first variant to the last."""
    lines = []
    for tool in dict.fromkeys(row["tool"] for row in rows):
        ran = [row for row in rows if row["tool"] == tool and row["status"] == "ran"]
        if len(ran) > 1:
            first, last = ran[0], ran[-1]
            work, time = _passes(last) / _passes(first), last["time"] / first["time"]
            lines.append(
                f"- `{tool}`, from {first['variant']} to {last['variant']}: tokens × blocks "
                f"{work:.3g} ×, time {time:.3g} ×"
            )
    return lines


def _passes(row: Row) -> float:
    """Tokens x blocks."""
    return float(row["tokens"] * row["layers"])


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(dict.fromkeys(row["model"] for row in rows))


def _rule(header: str) -> str:
    return "|" + "---|" * (header.count("|") - 1)


def _line(row: Row, rows: Sequence[Row]) -> str:
    if row["status"] != "ran":
        return f"| {row['tool']} | {row['status']}: {row['reason']} |" + " |" * 9
    cells = f"{row['cells_run']:,}"
    if row["cells_run"] < row["cells"]:
        cells += f" of {row['cells']:,}"
    packed = _find(rows, "packed", row["variant"])
    return (
        f"| {row['tool']} | {cells} | {_seconds(row)} | {row['cpu_seconds']:.3g} "
        f"| {row['tokens']:,.0f} | {row['ms_per_cell']:.3g} | {_times(row, packed)} "
        f"| {row['time'] / row['floor_seconds']:.3g} × | {_plain(row)} "
        f"| {_memory(row)} | {_answers(row)} |"
    )


def _growth(row: Row, rows: Sequence[Row]) -> str:
    if row["status"] != "ran":
        return f"| {row['variant']} | {row['tool']} | {row['status']}: {row['reason']} |" + " |" * 8
    other = _find(rows, "reference", row["variant"])
    faster = ""
    if row["tool"] == "packed" and other and other["status"] == "ran":
        faster = f"{other['time'] / row['time']:.3g} × as fast"
    return (
        f"| {row['variant']} | {row['tool']} | {_seconds(row)} | {row['cpu_seconds']:.3g} "
        f"| {row['tokens']:,.0f} "
        f"| {1e6 * row['time'] / _passes(row):.3g} | {faster} "
        f"| {row['time'] / row['floor_seconds']:.3g} × | {_plain(row)} "
        f"| {_memory(row)} | {_answers(row)} |"
    )


def _find(rows: Sequence[Row], tool: str, variant: str) -> Row | None:
    return next((row for row in rows if (row["tool"], row["variant"]) == (tool, variant)), None)


def _seconds(row: Row) -> str:
    return f"{row['seconds']:.3g} ({row['seconds_median']:.3g}, {row['repeats']})"


def _times(row: Row, packed: Row | None) -> str:
    if packed is None or packed["status"] != "ran":
        return ""
    return f"{row['ms_per_cell'] / packed['ms_per_cell']:.3g} ×"


def _plain(row: Row) -> str:
    return f"{row['time'] / row['plain_seconds']:.3g} ×" if row["plain_seconds"] else ""


def _memory(row: Row) -> str:
    gpu = f" + {row['gpu_peak_mib']:,.0f} on the GPU" if "gpu_peak_mib" in row else ""
    grown = row["peak_mib"] - row["loaded_mib"]
    return f"{row['peak_mib']:,.0f} (+{grown:,.0f}){gpu}"


def _answers(row: Row) -> str:
    if "compared" not in row:
        return "" if row["tool"] == "reference" else "not compared"
    compared = row["compared"]
    differ = sum(one["found"] != one["expected"] for one in row["disagreements"])
    equal = f"{compared - differ:,} of {compared:,} equal"
    return f"{equal}, logits within {row['difference']:.1g}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """The least that can be computed, and every disagreement, the widest first."""
    first = next((row for row in rows if row["status"] == "ran" and not row["variant"]), None)
    lines: list[str] = []
    if first is not None and first["cells_run"] == first["cells"]:
        least = first["floor_tokens"]
        lines = ["", f"By counting, {least:,.0f} tokens through all blocks can't be saved."]
    for row in rows:
        listed = row.get("disagreements") or []
        if not listed:
            continue
        what = f"{row['workload']} {row['variant']}".strip()
        beyond = sum(one["difference"] > row["tolerance"] for one in listed)
        lines += [
            "",
            f"`{row['tool']}`, {what}: {len(listed)} cells differ, {beyond} of them by more than "
            f"{row['tolerance']:.2g} in a logit. The widest:",
            "",
        ]
        lines += [f"- {_describe(one)}" for one in listed[:5]]
    return lines


def _describe(one: dict[str, Any]) -> str:
    head = "" if one["head"] is None else f", head {one['head']}"
    place = f"{one['component']} of layer {one['layer']}{head} at token {one['position']}"
    said = f"{one['found']} said, {one['expected']} expected, logits {one['difference']:.2g} apart"
    return f"pair {one['pair']}, {place}: {said}"
