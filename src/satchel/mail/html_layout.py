"""Lays HTML out as text in bounded time and memory, however hostile it is. Import it only where there is HTML to read:
its libraries take a tenth of a second."""

import re
from collections.abc import Collection

import structlog
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml.etree import LxmlError
from lxml.html import HtmlElement, HTMLParser, document_fromstring

_MAX_CHARACTERS = 1024 * 1024
# With the pictures in them: to look for those holds up every other thread.
_MAX_CHARACTERS_WITH_PICTURES = 4 * 1024 * 1024
# Each costs the layout some microseconds, and copies the line that it is on.
_MAX_ELEMENTS = 20_000
# Beyond these a table is there for the looks, or would be mostly padding: its rows are lines then, not columns.
_MAX_CELLS = 2_000
_MAX_CELL_CHARACTERS = 200
# Each level indents every line in it further.
_MAX_LISTS_WITHIN_EACH_OTHER = 8

_EMBEDDED = re.compile(r"data:[a-z0-9.+/;=-]{0,200};base64,[a-z0-9+/=\s]*+", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*+:\s*+none", re.IGNORECASE)
# Characters that the tree does not take, though references in HTML may give them.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_UNSEEN = frozenset(
    {"script", "style", "head", "template", "object", "iframe", "noscript", "select", "textarea", "svg"}
)

log = structlog.get_logger(__name__)


def laid_out(html: str) -> str:
    """The text of any HTML, with white space wherever the layout has some."""
    tree = _parsed(html)
    if tree is None:
        return ""
    _simplify(tree)
    try:
        text: str = Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"])).get_text()
    except Exception as error:  # noqa: BLE001 - whatever the library stumbles over, the words are there
        log.warning("html_not_laid_out", error=type(error).__name__)
        text = " ".join(tree.itertext())
    return text


def _parsed(html: str) -> HtmlElement | None:
    # Pictures within the text would take the place of the words behind them.
    rest = _EMBEDDED.sub("", html[:_MAX_CHARACTERS_WITH_PICTURES]).replace("\0", "")[:_MAX_CHARACTERS]
    while rest.strip():
        parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
        try:
            tree = document_fromstring(rest.encode("utf-8", "replace"), parser=parser)
        except LxmlError:
            return None
        if sum(1 for _ in tree.iter()) <= _MAX_ELEMENTS:
            return tree
        rest = rest[: len(rest) // 2]
    return None


def _simplify(tree: HtmlElement) -> None:
    """Only what makes text stays: attributes can ask for margins of any size, tables and lists for padding."""
    for element in list(tree.iter("*")):
        if element.tag in _UNSEEN or "hidden" in element.attrib or _HIDDEN.search(element.get("style", "")):
            _empty(element)
        element.attrib.clear()
        # The library resolves references, of which the parser has left none.
        element.text, element.tail = _escaped(element.text), _escaped(element.tail)
    for items in list(tree.iter("ul", "ol")):
        if sum(1 for _ in items.iterancestors("ul", "ol")) >= _MAX_LISTS_WITHIN_EACH_OTHER:
            items.tag = "div"
    _flatten(tree, {table for table in tree.iter("table") if not _is_grid(table)})


def _empty(element: HtmlElement) -> None:
    for child in list(element):
        element.remove(child)
    element.tag, element.text = "span", None


def _escaped(text: str | None) -> str | None:
    return text and _NO_TEXT.sub("", text).replace("&", "&amp;")


def _is_grid(table: HtmlElement) -> bool:
    """Whether it is laid out in columns: a small one of short cells, with no other table in it."""
    if next(table.iterdescendants("table"), None) is not None:
        return False
    rows = [[cell for cell in row if cell.tag in {"td", "th"}] for row in table.iterdescendants("tr")]
    if len(rows) * max(map(len, rows), default=0) > _MAX_CELLS:
        return False
    return all(len(cell.text_content()) <= _MAX_CELL_CHARACTERS for row in rows for cell in row)


def _flatten(tree: HtmlElement, tables: Collection[HtmlElement]) -> None:
    """Make lines of the rows of these tables."""
    for part in list(tree.iter("tr", "td", "th")):
        table = next(part.iterancestors("table"), None)
        if table in tables or table is None:
            if part.tag == "tr":
                part.tag = "div"
            else:
                part.tag, part.tail = "span", f" {part.tail or ''}"
    for table in tables:
        table.tag = "div"
