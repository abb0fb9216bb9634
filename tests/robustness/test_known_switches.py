"""Each rule about what a daemon knows without a scan is needed: a build without it fails a test (as in
test_cache_switches.py). Rules that say the same twice (size and times beside ctime) are not among them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.switches import Copy, Rule

pytestmark = pytest.mark.long

TESTS = "tests/robustness/test_known_truth.py"
LOOK, TABLE = "ext/recall/look.c", "ext/recall/table.c"
KNOWN, SERVICE = "kavfs/scan/known.py", "kavfs/scan/service.py"
BUILD = ("recall",)

RULES = {
    "ctime": Rule("test_the_old_time_set_again_hides_nothing", LOOK, (("ns(st->stx_ctime)", "1"),), BUILD),
    "mount": Rule(
        "test_what_is_there_behind_another_mount_is_not_known",
        LOOK,
        ((".mount = st->stx_mnt_id", ".mount = 1"),),
        BUILD,
    ),
    "writers": Rule(
        "test_what_somebody_can_write_to_is_not_to_be_known", LOOK, ((" && kav_unwritten(fd, st);", ";"),), BUILD
    ),
    "rest": Rule(
        "test_what_was_just_written_is_not_to_be_known",
        LOOK,
        (("if (newest >= now_ns - KAV_RECALL_MARGIN_NS) return false;", "(void)newest, (void)now_ns;"),),
        BUILD,
    ),
    "owners": Rule(
        "test_what_its_owner_may_write_is_not_to_be_known_if_owners_are_not_trusted",
        LOOK,
        (("return !(distrust && kav_others_write(st)) && kav", "(void)distrust;\n    return kav"),),
        BUILD,
    ),
    "seals": Rule(
        "test_memory_that_somebody_could_change_is_not_to_be_known",
        LOOK,
        (("if (seals < 0 || (seals & SEALS) != SEALS) return false;", "if (seals < 0) return false;"),),
        BUILD,
    ),
    "second look": Rule(
        "test_what_changed_between_look_and_verdict_is_not_added",
        TABLE,
        (("if (memcmp(&again, key, sizeof again) != 0) return false;", ""),),
        BUILD,
    ),
    "trusted file systems": Rule(
        "test_a_file_system_that_is_not_trusted_has_nothing_to_be_known",
        TABLE,
        (("if (!where->trusted) return KAV_RECALL_NEVER;", ""),),
        BUILD,
    ),
    "context of a file": Rule(
        "test_what_is_known_holds_for_one_context",
        TABLE,
        (("    key->context = context;\n    const mount", "    (void)context;\n    const mount"),),
        BUILD,
    ),
    "way of matching": Rule("test_all_matches_is_another_question", KNOWN, (("int(all_match)", "0"),)),
    "signatures": Rule(
        "test_signatures_of_which_nobody_says_what_is_new_know_nothing",
        SERVICE,
        (("self._known.renew(self._shifts.edition.image)", "pass"),),
    ),
    "older signatures": Rule(
        "test_what_older_signatures_say_after_a_change_is_not_known",
        SERVICE,
        ((" and shift.edition is self._shifts.edition", ""),),
    ),
    "reasons": Rule("test_nothing_but_clean_for_good_is_lasting", KNOWN, (("or result.reasons or", "or"),)),
    "exceptions": Rule("test_nothing_but_clean_for_good_is_lasting", KNOWN, (("result.suppressed or ", ""),)),
    "allow list": Rule("test_nothing_but_clean_for_good_is_lasting", KNOWN, (("result.allowed or ", ""),)),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path_factory.mktemp("switches")
    yield Copy(folder, TESTS)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", RULES)
def test_without_this_rule_its_test_fails(copy: Copy, name: str) -> None:
    rule = RULES[name]
    copy.take_out(rule)
    try:
        done = copy.test(rule.test)
    finally:
        copy.put_back(rule)
    assert done.returncode == 1, done.stdout
    assert "AssertionError" in done.stdout or "DID NOT RAISE" in done.stdout, done.stdout


def test_with_all_rules_none_does(copy: Copy) -> None:
    """What is built here is otherwise the product."""
    copy.build(BUILD)
    for test in {rule.test for rule in RULES.values()}:
        done = copy.test(test)
        assert done.returncode == 0, done.stdout
        assert "passed" in done.stdout, done.stdout
