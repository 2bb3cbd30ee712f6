"""HTML, read again by a parser: nothing in a text is taken for markup, and nothing acts."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from cfgen.documents import (
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
    html,
    plain,
    visible,
)
from tests.documents.strategies import INLINES, TEXTS

INERT = {
    "div", "h3", "h4", "h5", "p", "pre", "table", "tr", "th", "td", "ul", "ol", "li",
    "blockquote", "hr", "span", "br",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects the text, and refuses what could act."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in INERT
        assert {name for name, _ in attrs} <= {"style"}
        if tag == "br":
            self.text += "\n"
        elif tag != "hr":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def read(document: Document) -> str:
    reader = Reader()
    reader.feed(html(document))
    reader.close()
    assert reader.open == []
    return reader.text


@given(INLINES)
def test_a_text_comes_out_as_it_is(text: Inline) -> None:
    assert read(Document((Paragraph(text),))) == visible(plain(text))


@given(INLINES, INLINES, TEXTS)
def test_every_block_shows_its_texts_in_order(one: Inline, two: Inline, code: str) -> None:
    blocks = (
        Heading(one, 1),
        Table((Column(one), Column(two, "right")), ((two, one),)),
        Facts(((one, two),)),
        Listing((one, Item(two, (Paragraph(one),))), numbered=True),
        Panel(one, (Paragraph(two),)),
        Quotation((Paragraph(one),)),
        Divider(two),
        Gap(),
        CodeBlock(code),
    )
    a, b = visible(plain(one)), visible(plain(two))
    expected = a + (a + b + b + a) + (a + b) + (a + b + a) + (a + b) + a + b + visible(code)
    assert read(Document(blocks)) == expected


def test_looks_are_styles() -> None:
    shown = html(Document((Paragraph(Phrase("<b>", ("strong", "good"))),)))
    assert '<span style="font-weight:600;background:rgba(0,158,115,.25)">&lt;b&gt;</span>' in shown


@given(st.lists(st.sampled_from(["<script>", "&", '"', "'", "</div>", "-->"]), max_size=6))
def test_what_would_act_is_escaped(parts: list[str]) -> None:
    text = "".join(parts)
    assert read(Document((Table((Column(text),), ((text,),)),))) == text + text
