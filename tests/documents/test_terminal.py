"""Documents on a terminal."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
from hypothesis import given
from rich.console import Console

from cfgen.documents import (
    Block,
    CodeBlock,
    Column,
    Divider,
    Document,
    Facts,
    Gap,
    Heading,
    Inline,
    Item,
    Listing,
    Panel,
    Paragraph,
    Phrase,
    Quotation,
    Table,
    code,
    faint,
    plain,
    strong,
    visible,
)
from cfgen.documents.terminal import rendered, show
from tests.documents.strategies import INLINES


def drawn(*blocks: Block, width: int = 30, wrap: bool = True) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False)
    console.print(rendered(Document(blocks), wrap=wrap), soft_wrap=not wrap)
    return [line.rstrip() for line in file.getvalue().removesuffix("\n").split("\n")]


def test_a_document() -> None:
    assert drawn(
        Heading("Pairs [bold]x", 1),
        Paragraph(("Says ", code("a_b"), faint("."))),
        Heading("Two"),
        Table((Column("name"), Column("n", "right")), (("a", "1"), ("b", "20"))),
        Gap(),
        Facts((("first", "one two three four five six"), (strong("b"), "c"))),
        Item("title", (CodeBlock("x = 1"), Facts((("a", "b"),)))),
        Listing(("one", Item("two three four five six seven", (Paragraph("more"),)))),
        Listing(("one",), numbered=True),
        Quotation((Paragraph("said"),)),
        Divider("end"),
    ) == [
        "Pairs [bold]x",
        "Says a_b.",
        "",
        "Two",
        "name    n",
        "─────────",
        "a       1",
        "b      20",
        "",
        "first  one two three four five",
        "       six",
        "b      c",
        "title",
        "    x = 1",
        "    a  b",
        "-  one",
        "-  two three four five six",
        "   seven",
        "   more",
        "1. one",
        "  said",
        "──────────── end ─────────────",
    ]


def test_a_panel() -> None:
    lines = drawn(Panel("pair", (Paragraph("text"),)))
    assert lines[0].startswith("╭─ pair ─")
    assert lines[1] == "│ text                       │"


def test_nothing_of_a_line_is_lost_whether_wrapped_or_not() -> None:
    line = "x" * 50
    for block in (CodeBlock(line), Paragraph(line)):
        assert drawn(block) == ["x" * 30, "x" * 20]
        assert drawn(block, wrap=False) == [line]


def test_lines_that_are_not_wrapped_are_indented_whole() -> None:
    words = "word " * 20 + "end"
    assert drawn(
        Listing((Item(words, (Paragraph(f"{words}\nlast"),)),), numbered=True),
        Item(words, (Paragraph(words),), 2),
        wrap=False,
    ) == [f"1. {words}", f"   {words}", "   last", words, f"  {words}"]


@given(INLINES)
def test_a_text_is_shown_as_it_is(text: Inline) -> None:
    assert drawn(Paragraph(text), width=500) == [
        line.rstrip() for line in visible(plain(text)).split("\n")
    ]


@given(INLINES)
def test_a_terminal_gets_nothing_to_act_on(text: Inline) -> None:
    blocks = (
        Heading(text),
        CodeBlock(plain(text)),
        Table((Column(text),), ((text,),)),
        Facts(((text, text),)),
        Listing((text,)),
        Item(text, (Paragraph(text),)),
        Panel(text, (Paragraph(text),)),
        Divider(text),
    )
    for wrap in (True, False):
        assert "".join(drawn(*blocks, wrap=wrap)).isprintable()


@pytest.mark.parametrize(
    ("looks", "codes"),
    [(("strong", "good"), "1;32"), (("faint",), "2"), (("colour 1", "underlined"), "4;36")],
)
def test_looks_are_styles(looks: tuple[str, ...], codes: str) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard")
    console.print(rendered(Document((Paragraph(("a", Phrase("b", looks))),))))
    assert re.findall(r"\x1b\[([\d;]+)mb", file.getvalue()) == [codes]


def test_shown_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    show(Document((Paragraph("here"),)))
    show(Document((Paragraph("there"),)), sys.stderr)
    assert capsys.readouterr() == ("here\n", "there\n")


def test_rich_is_only_imported_to_print() -> None:
    code = "import cfgen.documents, sys; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
