"""Switches: the sources in a folder of their own, where one rule can be taken out and put back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.kavscanner import CHECKOUT

NATIVE = "kavfs/_native"
COPIED = ("ext", "kavfs", "tests", "build/cython", "setup.py", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Rule:
    """How it is taken out: in *file*, each text by another; *build*: native modules; *test* must fail then."""

    test: str
    file: str
    texts: tuple[tuple[str, str], ...]
    build: tuple[str, ...] = ()


class Copy:
    """The sources; objects that did not change are compiled once. *tests*: the file whose tests hold the rules."""

    def __init__(self, folder: Path, tests: str) -> None:
        self.folder = folder
        self._tests = tests
        for name in COPIED:
            source, target = CHECKOUT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, target)
        saved = folder / "saved"  # the checkout may be worked on meanwhile
        saved.mkdir()
        self.modules = [Path(shutil.copy2(module, saved)) for module in (folder / NATIVE).glob("*.so")]
        self.original = ""
        self.environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def take_out(self, rule: Rule) -> None:
        path = self.folder / rule.file
        source = self.original = path.read_text()
        for text, other in rule.texts:
            assert source.count(text) == 1, f"{rule.file} has changed; where is {text!r} now?"
            source = source.replace(text, other)
        path.write_text(source)
        if rule.build:
            self.build(rule.build)

    def put_back(self, rule: Rule) -> None:
        (self.folder / rule.file).write_text(self.original)
        for module in self.modules:
            shutil.copy2(module, self.folder / NATIVE)

    def build(self, modules: tuple[str, ...]) -> None:
        words = ["-q", "build_clib", "--build-clib", "out/clib", "--build-temp", "out/core"]
        words += ["build_ext", "--inplace", "--build-temp", "out/modules"]
        environment = {**self.environment, "KAVFS_ONLY": ",".join(modules)}
        done = self.run("setup.py", *words, environment=environment)
        assert done.returncode == 0, done.stdout

    def test(self, name: str) -> subprocess.CompletedProcess[str]:
        return self.run(
            "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{self._tests}::{name}", environment=self.environment
        )

    def run(self, *words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
