"""The page at /docs works without another host, and says what scripts may run in it."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from tests.unit.gateway.conftest import MakeApp
from tests.unit.gateway.fakes import call

HERE = "http://gateway.test/docs"


class Named(HTMLParser):
    """The URLs that a page names, and the scripts, styles and handlers that stand in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        self.urls += [value for name, value in attrs if name in {"src", "href"} and value is not None]
        self.inline += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in {"script", "style"} and data.strip():
            self.inline.append(data)


async def test_the_page_names_only_what_is_served_here(make_app: MakeApp) -> None:
    app = make_app()
    page = await call(app, "/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = Named(page.body.decode())
    assert not named.inline
    assert len(named.urls) >= 5
    for url in named.urls:
        there = urljoin(HERE, url)
        assert there.startswith("http://gateway.test/"), url
        answer = await call(app, there.removeprefix("http://gateway.test"))
        assert (answer.status, len(answer.body) > 0) == (200, True), url


async def test_the_sheet_and_the_start_name_no_other_host(make_app: MakeApp) -> None:
    app = make_app()
    sheet = (await call(app, "/docs/swagger-ui.css")).body.decode()
    assert all(url.startswith("data:") for url in re.findall(r"url\([\"']?([^)]{5})", sheet))
    assert "@import" not in sheet
    start = (await call(app, "/docs/start.js")).body.decode()
    assert "//" not in start
    assert 'url: "openapi.json"' in start
    # Else the page asks a validator at another host about every document that is not on localhost.
    assert "validatorUrl: null" in start


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/start.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/favicon.png", "image/png"),
        ("/openapi.json", "application/json"),
    ],
)
async def test_what_browsers_are_told(make_app: MakeApp, path: str, media_type: str) -> None:
    app = make_app()
    answer = await call(app, path)
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    again = await call(app, path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    head = await call(app, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(answer.body)


@pytest.mark.parametrize(
    "name", ["redoc.standalone.js", "..", "%2e%2e", "__init__.py", "", "swagger-ui.css/", "START.JS"]
)
async def test_no_other_file_is_served(make_app: MakeApp, name: str) -> None:
    answer = await call(make_app(), f"/docs/{name}")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css", "/docs/start.js", "/openapi.json"])
async def test_the_page_can_be_turned_off(make_app: MakeApp, path: str) -> None:
    assert (await call(make_app(docs_page=False), path)).status == 404
