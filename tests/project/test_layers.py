"""Layers: imports go only downward, as the table in ARCHITECTURE.md section 2 says."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "kavfs"
BLIND = "blind to each other"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# Files that may import inside functions, because a program must not pay at its start for what this run does not need.
LAZY = (
    "kavfs/__init__.py",  # the library: what a program asks for
    "kavfs/cli/",  # each command its own parts
    "kavfs/scan/",  # after the fork, what only one kind of process needs
    "kavfs/daemon/server.py",  # TLS, which few listen with
    "kavfs/config/load.py",  # what only a mistake in the file needs
    "kavfs/signatures/image.py",  # readers and compiler, only when an image has to be renewed
)

# Only programs see a whole configuration; everything else takes plain values.
CONFIGURED = ("cli", "config")


@dataclass(frozen=True)
class Layer:
    names: tuple[str, ...]
    blind: bool


@dataclass(frozen=True)
class Edge:
    file: str
    line: int
    source: str  # the part of kavfs that imports: "walk", "model" ...
    target: str  # the part that is imported

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.source} imports {self.target}"


def read_table(text: str) -> list[Layer]:
    """The layers from the ground up, from the first indented block of the section called Layers."""
    section = re.search(r"^## \d+\. Layers.*?\n\n((?:    .*\n)+)", text, re.MULTILINE)
    assert section, "ARCHITECTURE.md has no table of layers"
    layers = []
    for line in section[1].splitlines():
        names, _, about = line.strip().partition("  ")
        layers.append(Layer(tuple(names.split()), BLIND in about))
    return layers


def imported(node: ast.Import | ast.ImportFrom, package: list[str]) -> list[str]:
    """Dotted names that the statement imports; *package* is where a relative import starts."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
    module = ".".join(part for part in (base, node.module) if part)
    return [f"{module}.{alias.name}" for alias in node.names]


def edges(path: Path, top: Path) -> list[Edge]:
    """What one file imports of kavfs."""
    inside_package = path.relative_to(top).with_suffix("").parts
    source = inside_package[1] if len(inside_package) > 1 else inside_package[0]
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported(node, list(inside_package[:-1])):
                parts = name.split(".")
                if parts[0] == "kavfs" and len(parts) > 1:
                    found.append(Edge(str(path.relative_to(top)), node.lineno, source, parts[1]))
    return found


def imports_in_functions(path: Path) -> list[str]:
    """Import statements inside functions, of kavfs or of anything else."""
    functions = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, FUNCTIONS)]
    inner = {n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)}
    return [f"{path.relative_to(CHECKOUT)}:{line}" for line in sorted(inner)]


def all_edges() -> list[Edge]:
    return [edge for path in sorted(PACKAGE.rglob("*.py")) for edge in edges(path, CHECKOUT)]


def complaint(edge: Edge, layers: list[Layer]) -> str | None:
    """Why this import must not be, or None."""
    level = {name: i for i, layer in enumerate(layers) for name in layer.names}
    if edge.source in ("__init__", edge.target):
        return None
    missing = [name for name in (edge.source, edge.target) if name not in level]
    if missing:
        return f"{edge}: not in the table: {', '.join(missing)}"
    here, there = level[edge.source], level[edge.target]
    if there > here:
        return f"{edge}: upward"
    if there == here and layers[here].blind:
        return f"{edge}: they are {BLIND}"
    return None


def test_table_is_read_as_it_is_printed() -> None:
    layers = read_table((CHECKOUT / "ARCHITECTURE.md").read_text("utf-8"))
    assert layers[0].names == ("_native",)
    assert layers[-1].names == ("cli",)
    blind = {name for layer in layers if layer.blind for name in layer.names}
    assert {"walk", "signatures", "engine", "report", "config"} <= blind


def test_every_part_of_the_package_stands_in_the_table() -> None:
    layers = read_table((CHECKOUT / "ARCHITECTURE.md").read_text("utf-8"))
    named = {name for layer in layers for name in layer.names}
    parts = {p.stem for p in PACKAGE.iterdir() if (p.suffix == ".py" or p.is_dir()) and not p.name.startswith("__")}
    assert parts - named == set()


def test_imports_go_only_downward() -> None:
    layers = read_table((CHECKOUT / "ARCHITECTURE.md").read_text("utf-8"))
    assert [why for edge in all_edges() if (why := complaint(edge, layers))] == []


def test_only_programs_see_the_configuration() -> None:
    assert [str(e) for e in all_edges() if e.target == "config" and e.source not in CONFIGURED] == []


def test_imports_inside_functions_only_where_they_save_start_up_time() -> None:
    found = [place for path in sorted(PACKAGE.rglob("*.py")) for place in imports_in_functions(path)]
    assert [place for place in found if not place.startswith(LAZY)] == []


@pytest.mark.parametrize(
    ("file", "code", "part"),
    [
        ("walk/a.py", "from kavfs.scan import job", "upward"),
        ("walk/a.py", "import kavfs.engine.native", BLIND),
        ("report/a.py", "def f():\n    from kavfs.cli import main", "upward"),
        ("walk/a.py", "from ..scan import job", "upward"),
        ("walk/a.py", "import kavfs.nowhere", "not in the table"),
        ("walk/a.py", "from kavfs import model\nfrom kavfs._native import walk\nfrom kavfs.walk import b", None),
        ("options.py", "from kavfs.limits import Limits", None),
    ],
)
def test_a_wrong_import_is_seen(tmp_path: Path, file: str, code: str, part: str | None) -> None:
    path = tmp_path / "kavfs" / file
    path.parent.mkdir(parents=True)
    path.write_text(code)
    layers = read_table((CHECKOUT / "ARCHITECTURE.md").read_text("utf-8"))
    told = [complaint(edge, layers) for edge in edges(path, tmp_path)]
    if part is None:
        assert told
        assert set(told) == {None}
    else:
        assert len(told) == 1
        assert told[0] is not None
        assert part in told[0]
