"""What is there is documented, and what the documents point to is there."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from satchel.cli.main import app
from satchel.contract.routes import ROUTES
from tests.architecture.generated import FILES, ROOT, commands

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize("name", sorted(FILES))
def test_generated_files_are_as_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == FILES[name](), f"{name} is out of date: run `make docs`"


def test_every_command_and_option_says_what_it_does() -> None:
    for path, command in commands(typer.main.get_command(app)):
        assert command.help, f"{' '.join(path)} has no help"
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{' '.join(path)}: {parameter.name} has no help"


def test_every_route_is_documented() -> None:
    page = (ROOT / "docs/api.md").read_text("utf-8")
    for route in ROUTES:
        path = re.sub(r"\{(\w+?)_id\}", r"{\1Id}", route.path)
        assert path in page, f"docs/api.md does not name {path}"
        for method in route.methods:
            assert f"{method} {path}" in page, f"docs/api.md does not name {method} {path}"


def test_every_dependency_says_why_it_is_there() -> None:
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = [name for extra in project["project"]["optional-dependencies"].values() for name in extra]
    for requirement in [*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"]]:
        name = re.split(r"[<>=\[ ]", requirement)[0]
        if name != project["project"]["name"]:
            assert f"`{name}`" in page, f"docs/dependencies.md does not say why {name} is there"


def headings(page: Path) -> set[str]:
    lines = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name} points to {target}, which is not there"
        if anchor and path.suffix == ".md":
            assert anchor in headings(path), f"{page.name} points to {target}#{anchor}, which is not there"
