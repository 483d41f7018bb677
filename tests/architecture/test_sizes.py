"""A file or function that outgrows its room holds two things: split it by what it holds."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
FILES = sorted(
    path
    for folder in ("src", "tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
)


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    documentation = ast.get_docstring(function, clean=False)
    without = documentation.count("\n") + 1 if documentation else 0
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - without


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MAX_FILE_LINES, f"{lines} lines"
    for function in functions(path):
        arguments = function.args
        count = len(arguments.args) + len(arguments.kwonlyargs) + len(arguments.posonlyargs)
        assert length(function) <= MAX_FUNCTION_LINES, f"{function.name}: {length(function)} lines"
        assert count <= MAX_PARAMETERS, f"{function.name}: {count} parameters"


@pytest.mark.parametrize(
    "path", [path for path in FILES if "src" in path.parts], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_module_says_what_it_owns(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "begin with a docstring of a sentence or two"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_unfinished(path: Path) -> None:
    if path.name == Path(__file__).name:
        return
    text = path.read_text("utf-8")
    for sign in ("TODO", "FIXME", "XXX", "NotImplementedError"):
        assert sign not in text, f"unfinished: {sign}"
