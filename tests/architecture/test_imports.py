"""The directions of docs/flow.md: who may import whom, and that nobody does so in a circle."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = SOURCE / "satchel"

# What each package may import of ours, beside itself.
ALLOWED = {
    "contract": set[str](),
    "mail": {"contract"},
    "client": {"contract"},
    "durable": set[str](),
    "process": {"settings"},
    "gateway": {"contract", "mail", "durable", "process", "settings"},
    "collector": {"contract", "client", "durable", "process", "settings"},
    "testing": {"contract", "mail"},
    "settings": set[str](),
    "__main__": {"cli"},
    "cli": {"contract", "client", "gateway", "collector", "testing", "process", "settings"},
}
# The version is the one thing that lives at the very top.
TOP = "satchel"


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """The modules of ours that a file imports, the most exact name first."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name of the module"
            assert node.module is not None
            found |= {name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return {name for name in found if name == TOP or name.startswith(f"{TOP}.")}


KNOWN = modules()
GRAPH = {name: imports(path, set(KNOWN)) for name, path in KNOWN.items()}


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_directions(module: str) -> None:
    if module == TOP:
        assert GRAPH[module] == set()
        return
    package = module.split(".")[1]
    for target in GRAPH[module] - {TOP}:
        other = target.split(".")[1]
        assert other == package or other in ALLOWED[package], f"{module} must not import {target}"


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_only_the_composition_roots_name_concrete_sources_and_sinks(module: str) -> None:
    concrete = {"satchel.mail.folder", "satchel.mail.graph", "satchel.mail.imap"}
    sinks = "satchel.collector.sinks"
    inside = module.startswith((*concrete, sinks, "satchel.testing", "satchel.cli"))
    # gateway.sources is that part of the gateway's root which the doctor needs without the rest of it.
    if inside or module in {"satchel.gateway.app", "satchel.gateway.sources", "satchel.collector.app"}:
        return
    for target in GRAPH[module]:
        assert not any(target == name or target.startswith(f"{name}.") for name in concrete), f"{module}: {target}"
        assert not target.startswith(f"{sinks}.") or target == f"{sinks}.sink", f"{module}: {target}"


def test_no_import_cycles() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"import cycle: {' -> '.join([*above[above.index(module) :], module])}"
        if module in done:
            return
        for target in GRAPH.get(module, set()):
            visit(target, (*above, module))
        done.add(module)

    for module in GRAPH:
        visit(module, ())


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_only_settings_touch_the_environment(module: str) -> None:
    text = KNOWN[module].read_text("utf-8")
    reads = any(word in text for word in ("os.environ", "os.getenv", "from os import environ"))
    allowed = module.endswith("settings") or module == "satchel.testing.stack"
    assert not reads or allowed, f"{module} reads the environment"
