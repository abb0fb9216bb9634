"""Packages: everything below kavfs/ is installed, modules and what lies beside them."""

from __future__ import annotations

import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TOOL = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent.relative_to(CHECKOUT) for path in (CHECKOUT / "kavfs").rglob("*.py")}
    assert sorted(".".join(folder.parts) for folder in folders) == sorted(TOOL["packages"])


def test_every_file_beside_the_modules_is_installed() -> None:
    ours = ("*.py", "*.so", "*.pyc")
    beside = {
        path
        for path in (CHECKOUT / "kavfs").rglob("*")
        if path.is_file() and not any(path.match(kind) for kind in ours)
    }
    data = TOOL["package-data"].items()
    installed = {
        path for name, masks in data for mask in masks for path in (CHECKOUT / name.replace(".", "/")).glob(mask)
    }
    assert beside - installed == set()
