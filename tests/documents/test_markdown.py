"""Markdown, read again by a parser: nothing in a text is taken for markup, and looks are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

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
    markdown,
    phrases,
    plain,
    strong,
    visible,
)
from tests.documents.strategies import INLINES, TEXTS

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parsed(*blocks: Block) -> list[Token]:
    return PARSER.parse(markdown(Document(blocks)))


def shown(tokens: Iterable[Token] | None) -> str:
    """What a reader sees of an inline token's children."""
    text = ""
    for token in tokens or ():
        text += "\n" if (token.type, token.content) == ("html_inline", "<br>") else ""
        text += token.content if token.type in ("text", "code_inline", "text_special") else ""
    return text


def squeezed(text: str) -> list[str]:
    """Lines as HTML shows them: blanks are squeezed, empty lines at the end are not there."""
    lines = [" ".join(line.replace("\xa0", " ").split()) for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def expected(text: Inline) -> list[str]:
    return squeezed(visible(plain(text)))


@given(INLINES)
def test_a_paragraph_says_what_it_says(text: Inline) -> None:
    tokens = parsed(Paragraph(text), Paragraph("end"))
    kinds = [token.type for token in tokens]
    whole = ["paragraph_open", "inline", "paragraph_close"]
    if plain(text):
        assert kinds == whole * 2
        assert squeezed(shown(tokens[1].children)) == expected(text)
    else:
        assert kinds == whole


@given(INLINES)
def test_a_heading_says_what_it_says(text: Inline) -> None:
    tokens = parsed(Heading(("x", text)))
    assert [token.type for token in tokens] == ["heading_open", "inline", "heading_close"]
    assert squeezed(shown(tokens[1].children)) == expected(plain(("x", text)).replace("\n", " "))


@given(st.lists(st.tuples(INLINES, INLINES), min_size=1, max_size=3))
def test_a_table_has_its_cells(rows: list[tuple[Inline, Inline]]) -> None:
    table = Table((Column("a|b"), Column("`c`", "right")), tuple(rows))
    tokens = parsed(table, Paragraph("end"))
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 2 + 2 * len(rows) + 1
    said = [squeezed(shown(cell.children)) for cell in cells]
    assert said == [["a|b"], ["`c`"], *(expected(cell) for row in rows for cell in row), ["end"]]


@given(INLINES, INLINES)
def test_lists_have_their_items(one: Inline, other: Inline) -> None:
    items = (("x", one), Item(("y", other), (Paragraph(one),)))
    for block in (Listing(items), Listing(items, numbered=True)):
        tokens = parsed(block, Paragraph("end"))
        said = [squeezed(shown(token.children)) for token in tokens if token.type == "inline"]
        inner = [expected(one)] if plain(one) else []
        assert said == [expected(("x", one)), expected(("y", other)), *inner, ["end"]]
        assert sum(token.type == "list_item_open" for token in tokens) == 2


@given(TEXTS, st.sampled_from(["", "python"]))
def test_code_is_as_it_is(text: str, language: str) -> None:
    (token,) = parsed(CodeBlock(f"x{text}", language))
    assert token.type == "fence"
    assert token.info == language
    assert token.content == visible(f"x{text}".expandtabs()).rstrip("\n") + "\n"


@given(TEXTS)
def test_a_name_is_code(text: str) -> None:
    (_, token, _) = parsed(Paragraph(("see ", code(text), " there")))
    core = visible(text).strip(" \n")
    inner = "".join(each.content for each in token.children or () if each.type == "code_inline")
    html = [each.content for each in token.children or () if each.type == "html_inline"]
    assert inner == core or not core or {"<code>", "</code>"} <= set(html)


PLAIN = st.text("ab (.,-", max_size=3)


@given(st.lists(st.tuples(PLAIN, st.booleans(), st.booleans()), max_size=4))
def test_emphasis_is_where_it_should_be(parts: list[tuple[str, bool, bool]]) -> None:
    text = tuple(
        Phrase(part, (("strong",) if bold else ()) + (("emphasis",) if slanted else ()))
        for part, bold, slanted in parts
    )
    (_, token, _) = parsed(Paragraph(("x ", text, " x")))
    on = {"strong": 0, "em": 0}
    found = []
    for each in token.children or ():
        tag = each.tag or re.sub(r"\W", "", each.content)
        if each.nesting or each.type == "html_inline":
            on[tag] += each.nesting or (-1 if "/" in each.content else 1)
        else:
            found += [
                (mark, bool(on["strong"]), bool(on["em"])) for mark in each.content if mark != " "
            ]
    wanted = [
        (mark, "strong" in phrase.looks, "emphasis" in phrase.looks)
        for phrase in phrases(("x ", text, " x"))
        for mark in phrase.text
        if mark != " "
    ]
    assert found == wanted
    assert set(on.values()) == {0}


def test_a_document() -> None:
    document = Document(
        (
            Heading("Pairs_of [x]", 1),
            Paragraph(("Says ", code("a_b"), " or ", strong("no"), faint("."), "\n# 2")),
            Gap(),
            Table((Column("name"), Column("n", "right")), ((code("a|b"), "1|2"),)),
            Facts(((strong("a"), "b"),)),
            Listing(("one", Item("two", (CodeBlock("x = 1", "python"),))), numbered=True),
            Panel("Box", (Quotation((Paragraph("said"),)),)),
            Divider("end"),
        )
    )
    assert markdown(document) == (
        "# Pairs_of \\[x\\]\n\n"
        "Says `a_b` or **no**.<br>\n\\# 2\n\n"
        "| name | n |\n| --- | ---: |\n| <code>a\\|b</code> | 1\\|2 |\n\n"
        "- **a**: b\n\n<!-- -->\n\n"
        "1. one\n2. two\n\n   ```python\n   x = 1\n   ```\n\n"
        "> **Box**\n>\n> > said\n\n---\n\nend\n"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("answer_pointer is _one_", "answer_pointer is \\_one\\_"),
        ("- no list", "\\- no list"),
        ("3. of 4", "3\\. of 4"),
        ("0.5 of A & B, a<b>", "0.5 of A & B, a\\<b>"),
        ("  two blanks", "&nbsp;&nbsp;two blanks"),
        ((strong("a"), "b"), "<strong>a</strong>b"),
        ((strong("a "), "b"), "**a** b"),
    ],
)
def test_little_is_escaped(text: Inline, written: str) -> None:
    assert markdown(Document((Paragraph(text),))) == written + "\n"
