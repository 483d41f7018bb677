"""HTML as text: what a reader sees, and what no HTML can do to us."""

import pytest

from satchel.mail.body_text import html_text

MOST = 40_000_000


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        (" \r\n ", ""),
        ("<!-- nothing -->", ""),
        ("just words & more", "just words & more"),
        ("<p>One<p>Two<br>Three", "One\n\nTwo\nThree"),
        ("<p>a&nbsp;b &amp;lt; &lt;b&gt; &#8364;", "a b &lt; <b> €"),
        ("<ul><li>one<li>two</ul>", "  * one\n  * two"),
        ("<pre>a\r\n   b</pre>", "a\n   b"),
        ("<?xml version='1.0' encoding='utf-16'?><meta charset=utf-16><p>é", "é"),
        ("a\0b<p>c", "ab\n\nc"),
        ("<p>\ud800x", "?x"),
        ("<ol><li value=99999999999999999999999>x</ol>", " 1. x"),
        ("<frameset><frame src=x></frameset>", ""),
    ],
)
def test_text(html: str, text: str) -> None:
    assert html_text(html) == text


def test_what_no_reader_sees_is_no_text() -> None:
    html = (
        "<head><title>t</title></head><style>s</style><script>s</script><noscript>n</noscript><template>t</template>"
        "<div style='Display : none; color: red'>preview <b>text</b></div>seen<img src=https://x.example/a.gif alt=alt>"
        "<p hidden>not yet</p>"
    )
    assert html_text(html) == "seen"


def test_a_small_table_keeps_its_columns() -> None:
    html = "<table><tr><th>Item</th><th>Price</th></tr><tr><td>Paper</td><td>12.00</td></tr></table>"
    assert html_text(html) == "Item   Price\nPaper  12.00"


def test_a_table_that_is_layout_is_lines() -> None:
    data = "<table><tr><td>Item</td><td>1</td></tr><tr><td>Longer</td><td>2</td></tr></table>"
    html = f"<table><tr><td>{'x' * 300}</td><td>side</td></tr><tr><td>{data}</td></tr><tr><td>end</td></tr></table>"
    assert html_text(html) == f"{'x' * 300} side\nItem    1\nLonger  2\n\nend"


def test_a_picture_within_the_text_takes_nobodys_place() -> None:
    html = f"<img src='data:image/png;base64,{'QUJD' * 1_000_000}'>behind the picture"
    assert html_text(html) == "behind the picture"


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "deep",
        "<p>a" * 2_500_000,
        "y" * 900_000 + "<b>x</b>" * 5_000,
        "<" * 10_000_000,
        "<a b=c " * 300_000,
        "data:" * 200_000,
        "<table><tr><td>" * 80 + "<tr><td>x" * 9_000,
        "<table><tr><td>" + "a" * 190 + "</td></tr>" + "<tr><td>b</td></tr>" * 1_900 + "</table>",
        "<table><tr>" + "<td>a</td>" * 2_000 + "</tr>" + "<tr><td>b</td></tr>" * 2_000 + "</table>",
        "<ul><li>" * 120 + "<pre>" + "x\n" * 450_000,
        "<p style='margin-top:99999999em; padding-left:99999999em'>x" * 100,
        "<table><td>x</table>" * 2_000,
    ],
    ids=lambda html: html[:16],
)
def test_hostile_html_costs_little(html: str) -> None:
    assert len(html_text(html)) < MOST
