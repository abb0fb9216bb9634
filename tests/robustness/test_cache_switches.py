"""Each rule about when an answer may be used again is needed: a build without it gives a stale answer.

The sources are copied, one rule is taken out, what it lies in is built, and the test that holds the rule must fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.switches import Copy, Rule

pytestmark = pytest.mark.long

TESTS = "tests/robustness/test_cache_untraced.py"


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


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path_factory.mktemp("switches")
    yield Copy(folder, TESTS)
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
