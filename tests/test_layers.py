"""What may import what: layers only downward, the terminal in `cli` alone, torch in `training` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mtag

PACKAGE = Path(mtag.__file__).parent
TERMINAL = {"typer", "click", "rich"}
LEARNING = {"torch", "onnx"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    paths = PACKAGE.rglob("*.py")
    return {".".join(("mtag", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in paths}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it but for the sake of types."""
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        nodes.extend(ast.iter_child_nodes(node))


def outside(name: str) -> bool:
    """Whether a module belongs to neither of the two upper packages."""
    return not name.startswith(("mtag.cli.", "mtag.training.", "mtag.__main__"))


def test_only_the_command_line_knows_a_terminal_and_only_training_knows_torch():
    for name, path in modules().items():
        tops = {one.split(".")[0] for one in imported(path)}
        assert not tops & TERMINAL or name.startswith("mtag.cli."), name
        assert not tops & LEARNING or name.startswith("mtag.training."), name
        if outside(name):
            assert not [one for one in imported(path) if one.startswith(("mtag.cli", "mtag.training"))], name


def test_no_module_imports_itself_by_way_of_others():
    known = modules()

    def needed(path: Path) -> set[str]:
        found = set()
        for one in imported(path):
            candidates = (f"{one}.__init__", one, f"{one.rpartition('.')[0]}.__init__", one.rpartition(".")[0])
            found |= {name for name in candidates[:2] if name in known} or {n for n in candidates[2:] if n in known}
        return found

    order = TopologicalSorter({name: needed(path) for name, path in known.items()})
    assert len(list(order.static_order())) == len(known)  # a CycleError names the cycle
