"""Each rule about when an answer may be used again is needed: a build without it gives a stale answer.

The sources are copied, one rule is taken out, what it lies in is built, and the test that holds the rule must fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.kavscanner import CHECKOUT

pytestmark = pytest.mark.long

TESTS = "tests/robustness/test_cache_untraced.py"
NATIVE = "kavfs/_native"
COPIED = ("ext", "kavfs", "tests", "build/cython", "setup.py", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Rule:
    """How it is taken out: in *file*, each text by another; *build*: native modules; *test* must fail then."""

    test: str
    file: str
    texts: tuple[tuple[str, str], ...]
    build: tuple[str, ...] = ()


def field(name: str, text: str) -> Rule:
    return Rule(f"test_one_field_tells_a_change[{name}]", "ext/cache/lookup.c", ((text, "0"),), ("walk",))


RULES = {
    "size": field("size", "(uint32_t)(a->size != b->size)"),
    "mtime": field("mtime", "(uint32_t)(a->mtime_ns != b->mtime_ns)"),
    "ctime": field("ctime", "(uint32_t)(a->ctime_ns != b->ctime_ns)"),
    "btime": field("btime", "(uint32_t)(a->btime_ns != b->btime_ns)"),
    "inode": Rule(
        "test_the_inode_tells_one_file_from_another",
        "ext/cache/lookup.c",
        (
            ("(uint32_t)(a->ino != b->ino)", "0"),
            ("if (s->next >= s->record.count || fact->id.ino != ino)", "if (s->next >= s->record.count)"),
        ),
        ("walk",),
    ),
    "file system": Rule(
        "test_another_image_on_the_same_device_is_another_file_system",
        "kavfs/walk/filesystems.py",
        (('_digest(b"boot", seen.fstype, uuid, seen.boot, b"%d" % unique_number)', '_digest(b"boot", uuid)'),),
    ),
    "lease": Rule(
        "test_a_file_that_somebody_can_write_to_is_not_remembered",
        "ext/cache/lease.c",
        (("return errno == EACCES && is_roots_alone(fd, st);", "return errno == EAGAIN || is_roots_alone(fd, st);"),),
        ("walk",),
    ),
    "fresh file": Rule(
        "test_what_was_just_written_is_not_remembered",
        "ext/cache/remember.c",
        (("|| stamp >= m->start_ns - margin;", ";"),),
        ("dispatch",),
    ),
    "newest stamp": Rule(
        "test_the_newest_file_is_not_remembered",
        "ext/cache/remember.c",
        (("return stamp < m->seen[i].newest;", "return true;"),),
        ("dispatch",),
    ),
    "whole seconds": Rule(
        "test_a_stamp_of_whole_seconds_is_not_remembered",
        "ext/walk/file.c",
        (("options->trusted && has_fine_times(st)", "options->trusted"),),
        ("walk",),
    ),
    "stable identity": Rule(
        "test_what_changed_between_opening_and_reading_is_not_remembered",
        "ext/dispatch/keep.h",
        (("return result->flags & KAV_F_STABLE && result->dev == entry->dev", "return result->dev == entry->dev"),
         ("result->mtime_ns == entry->mtime_ns && result->ctime_ns == entry->ctime_ns", "true")),
        ("dispatch",),
    ),
}  # fmt: skip


class Copy:
    """The sources, where a rule can be taken out and put back; objects that did not change are compiled once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
            "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{TESTS}::{name}", environment=self.environment
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


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path_factory.mktemp("switches")
    yield Copy(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", RULES)
def test_without_this_rule_an_answer_is_stale(copy: Copy, name: str) -> None:
    rule = RULES[name]
    copy.take_out(rule)
    try:
        done = copy.test(rule.test)
    finally:
        copy.put_back(rule)
    assert done.returncode == 1, done.stdout
    assert "stale answer" in done.stdout, done.stdout


def test_with_all_rules_none_is(copy: Copy) -> None:
    """What is built here is otherwise the product."""
    copy.build(("walk", "dispatch"))
    for rule in RULES.values():
        done = copy.test(rule.test)
        assert done.returncode == 0, done.stdout
