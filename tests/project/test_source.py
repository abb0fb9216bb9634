"""Source: habits that a reader relies on, checked in every file of our own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kavfs.cache.settings import FORMAT

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("kavfs", "ext", "tests", "benchmarks")
CEILING = 500  # lines
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


def files(*suffixes: str, under: tuple[str, ...] = FOLDERS) -> list[Path]:
    return sorted(p for folder in under for p in (CHECKOUT / folder).rglob("*") if p.suffix in suffixes and p.is_file())


def show(path: Path, line: int = 0) -> str:
    return f"{path.relative_to(CHECKOUT)}:{line}" if line else str(path.relative_to(CHECKOUT))


def nodes(*under: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every syntax node of every Python file in these folders."""
    for path in files(".py", under=under or FOLDERS):
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
            yield path, node


def called(node: ast.AST) -> str:
    """ "print", "time.sleep" ... for a call, else ""."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def test_there_is_something_to_check() -> None:
    assert len(files(".py")) > 20
    assert len(files(".c", ".h")) > 10


@pytest.mark.parametrize("path", [CHECKOUT / "setup.py", *files(".py", ".pyi")], ids=show)
def test_every_module_says_what_it_is(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert told, "no module docstring"


@pytest.mark.parametrize("path", files(".c", ".h", ".pyx"), ids=show)
def test_every_native_file_says_what_it_is(path: Path) -> None:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("# cython:")]
    assert lines[0].startswith(("/*", '"""', "//", "#"))


def test_no_file_is_longer_than_a_reader_bears() -> None:
    kinds = (".py", ".pyi", ".pyx", ".pxd", ".c", ".h")
    long = {show(p): n for p in files(*kinds) if (n := len(p.read_text("utf-8").splitlines())) > CEILING}
    assert long == {}


def test_only_programs_print() -> None:
    found = [show(p, n.lineno) for p, n in nodes("kavfs") if called(n) == "print"]
    assert [place for place in found if not place.startswith("kavfs/cli/")] == []


def test_no_exception_is_caught_without_a_name() -> None:
    assert [show(p, n.lineno) for p, n in nodes() if isinstance(n, ast.ExceptHandler) and n.type is None] == []


def test_nothing_is_imported_by_star() -> None:
    found = [(p, n) for p, n in nodes() if isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names)]
    assert [show(p, n.lineno) for p, n in found] == []


def test_no_default_is_mutable() -> None:
    wrong = []
    for path, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
            wrong += [show(path, d.lineno) for d in defaults if isinstance(d, MUTABLE)]
    assert wrong == []


def test_tests_wait_for_events_and_never_sleep() -> None:
    found = [show(p, n.lineno) for p, n in nodes("tests") if called(n) in ("time.sleep", "sleep")]
    assert [place for place in found if not place.startswith("tests/support/")] == []


def test_nothing_is_marked_as_unfinished() -> None:
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r"|\b(?:not implemented yet|placeholder)\b")
    sources = files(".py", ".pyi", ".pyx", ".pxd", ".c", ".h", under=("kavfs", "ext"))
    lines = [(p, i, line) for p in sources for i, line in enumerate(p.read_text("utf-8").splitlines(), 1)]
    assert [show(p, i) for p, i, line in lines if marks.search(line)] == []


def test_what_was_clean_before_a_format_was_opened_is_scanned_again() -> None:
    """Who adds one raises FORMAT, and both numbers here."""
    table = (CHECKOUT / "ext/object/layers.c").read_text("utf-8")
    opened = set(re.findall(r"\{(KAV_FMT_\w+), [^{}]*kav_open_\w+\}", table))
    assert "KAV_FMT_TNEF" in opened
    assert (FORMAT, len(opened)) == (6, 35)
