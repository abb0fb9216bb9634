"""Settings of the cache: which facts of one scan hold for another, case by case.

Each case changes one thing between the scan that remembered and the scan that asks. OWN: everything remembered holds,
also what is partial. CLEAN: only what is clean and complete holds. NONE: all is scanned anew.
"""

from __future__ import annotations

from enum import Enum
from itertools import combinations

import pytest

from kavfs.cache import settings as module
from kavfs.cache.settings import (
    ASKED,
    LISTED,
    TOUCH,
    Seen,
    Settings,
    asked,
    holds,
    read,
    remember,
    write,
)
from kavfs.limits import GIB, MIB, Limits
from kavfs.model import Switch
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.record import replace

KEY = bytes(range(32))


class Right(Enum):
    OWN = "own"
    CLEAN = "clean and complete ones"
    NONE = "none"


OWN, CLEAN, NONE = Right.OWN, Right.CLEAN, Right.NONE


def right(before: tuple[Limits, Switch], now: tuple[Limits, Switch]) -> Right:
    """What a scan with *now* may use of what a scan with *before* remembered."""
    earlier, mine = Settings.of(*before), Settings.of(*now)
    digests = asked(mine, [Seen(earlier, 1)])
    assert digests[0] == mine.digest
    if earlier.digest == mine.digest:
        assert len(digests) == 1
        return OWN
    return CLEAN if earlier.digest in digests[1:] else NONE


BASE = Limits(
    max_file_size=100 * MIB,
    max_member_size=50 * MIB,
    max_unpacked=200 * MIB,
    max_depth=10,
    max_members=1000,
    time_base=30.0,
    time_rate=10 * MIB,
    memory=GIB,
    spill=GIB,
)

LIMITS: list[tuple[str, float, float, Right]] = [  # field, before, now
    ("max_file_size", 100 * MIB, 100 * MIB, OWN),
    ("max_file_size", 100 * MIB, 101 * MIB, CLEAN),
    ("max_file_size", 100 * MIB, 100 * MIB + 1, CLEAN),
    ("max_file_size", 100 * MIB, 100 * MIB - 1, NONE),
    ("max_file_size", 100 * MIB, 1, NONE),
    ("max_file_size", 100 * MIB, 0, CLEAN),
    ("max_file_size", 0, 0, OWN),
    ("max_file_size", 0, 100 * MIB, NONE),
    ("max_file_size", 0, 1 << 62, NONE),
    ("max_member_size", 50 * MIB, 51 * MIB, CLEAN),
    ("max_member_size", 50 * MIB, 50 * MIB + 1, CLEAN),
    ("max_member_size", 50 * MIB, 50 * MIB - 1, NONE),
    ("max_member_size", 50 * MIB, 0, NONE),
    ("max_unpacked", 200 * MIB, 201 * MIB, CLEAN),
    ("max_unpacked", 200 * MIB, 200 * MIB + 1, CLEAN),
    ("max_unpacked", 200 * MIB, 200 * MIB - 1, NONE),
    ("max_unpacked", 200 * MIB, 0, NONE),
    ("max_depth", 10, 10, OWN),
    ("max_depth", 10, 11, CLEAN),
    ("max_depth", 10, 9, NONE),
    ("max_depth", 10, 0, NONE),
    ("max_members", 1000, 1000, OWN),
    ("max_members", 1000, 1001, CLEAN),
    ("max_members", 1000, 999, NONE),
    ("max_members", 1000, 0, NONE),
    ("time_base", 30.0, 30.0, OWN),
    ("time_base", 30.0, 30.0004, OWN),  # it is counted in milliseconds
    ("time_base", 30.0, 30.001, CLEAN),
    ("time_base", 30.0, 60.0, CLEAN),
    ("time_base", 30.0, 29.999, NONE),
    ("time_base", 30.0, 0.0, NONE),
    ("time_rate", 10 * MIB, 10 * MIB, OWN),
    ("time_rate", 10 * MIB, 9 * MIB, CLEAN),  # a lower rate is allowed for: there is more time
    ("time_rate", 10 * MIB, 10 * MIB + 1, NONE),
    ("memory", GIB, 2 * GIB, CLEAN),
    ("memory", GIB, GIB - 1, NONE),
    ("spill", GIB, 2 * GIB, CLEAN),
    ("spill", GIB, GIB - 1, NONE),
]


@pytest.mark.parametrize(("name", "before", "now", "expected"), LIMITS)
def test_one_limit_changes(name: str, before: float, now: float, expected: Right) -> None:
    earlier = replace(BASE, **{name: before})
    later = replace(BASE, **{name: now})
    assert right((earlier, EVERYTHING), (later, EVERYTHING)) is expected


def test_every_limit_is_in_the_table_above_and_in_the_digest() -> None:
    fields = set(Limits.__annotations__)
    assert {name for name, *_ in LIMITS} == fields
    assert fields <= set(Settings._fields)


def test_one_limit_that_is_narrower_spoils_others_that_are_wider() -> None:
    wider = replace(BASE, max_depth=20, max_members=2000, time_base=60.0)
    assert right((BASE, EVERYTHING), (wider, EVERYTHING)) is CLEAN
    assert right((BASE, EVERYTHING), (replace(wider, spill=GIB - 1), EVERYTHING)) is NONE


OPENING = [
    Switch.PACKED, Switch.ARCHIVES, Switch.SFX, Switch.MAILBASES, Switch.MAILPLAIN, Switch.HEURISTIC,
    Switch.NO_CERTIFICATES,
]  # fmt: skip


@pytest.mark.parametrize("switch", OPENING, ids=lambda switch: switch.name)
@pytest.mark.parametrize("on", [True, False])
def test_what_is_opened_otherwise_is_another_answer(switch: Switch, on: bool) -> None:
    """Where more is opened now, what was kept closed has not been looked at; where less is, it is to be said so."""
    with_it, without = (BASE, EVERYTHING | switch), (BASE, EVERYTHING & ~switch)
    assert right(without, with_it) is NONE
    assert right(with_it, without) is NONE
    same = with_it if on else without
    assert right(same, same) is OWN


@pytest.mark.parametrize(("one", "other"), list(combinations(OPENING, 2)))
def test_two_switches_that_change_places_are_not_the_same(one: Switch, other: Switch) -> None:
    assert right((BASE, EVERYTHING & ~one), (BASE, EVERYTHING & ~other)) is NONE


MEMBERS, DIGEST, ALL_MATCH = Switch.ALL_MEMBERS, Switch.DIGEST, Switch.ALL_MATCH
NOTHING = Switch(0)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (NOTHING, NOTHING, OWN),
        (NOTHING, ALL_MATCH, OWN),  # what is remembered has no match at all
        (ALL_MATCH, NOTHING, OWN),
        (ALL_MATCH | MEMBERS, MEMBERS, OWN),
        (MEMBERS, MEMBERS, OWN),
        (DIGEST, DIGEST, OWN),
        (DIGEST, NOTHING, OWN),  # a digest more or less is no other verdict
        (NOTHING, DIGEST, OWN),
        (MEMBERS, MEMBERS | DIGEST, OWN),
        (MEMBERS, NOTHING, CLEAN),  # it says more than is asked for
        (MEMBERS | DIGEST, DIGEST, CLEAN),
        (NOTHING, MEMBERS, NONE),
        (DIGEST, MEMBERS, NONE),
        (DIGEST, MEMBERS | DIGEST, NONE),
    ],
)
def test_what_is_reported_may_be_more_but_not_less(before: Switch, now: Switch, expected: Right) -> None:
    assert right((BASE, EVERYTHING | before), (BASE, EVERYTHING | now)) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"exclude_masks": (b"*.iso",)},
        {"exclude_dirs": (b"/srv",)},
        {"recurse": False},
        {"follow_symlinks": True},
        {"one_file_system": True},
        {"threads": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_walked_has_no_say_in_what_was_found_out(changes: dict[str, object]) -> None:
    """A file that was left out is not remembered, and one that was scanned stays what it was."""
    plain = ScanOptions(WalkOptions((b"/",)), BASE)
    other = ScanOptions(replace(plain.walk, **changes), BASE, jobs=7)  # type: ignore[arg-type]
    assert right((plain.limits, plain.switches), (other.limits, other.switches)) is OWN


def test_another_format_of_the_stores_is_another_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Settings.of(BASE, EVERYTHING)
    before = (mine.digest, Settings.of(BASE, EVERYTHING).context)
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert mine.digest != before[0]
    assert Settings.of(BASE, EVERYTHING).context != before[1]


def test_digests_tell_fields_apart() -> None:
    one = Settings.of(replace(BASE, max_depth=12, max_members=3), EVERYTHING)
    other = Settings.of(replace(BASE, max_depth=1, max_members=23), EVERYTHING)
    assert one.digest != other.digest
    assert len(one.digest) == 16


CARRIED = {"max_file_size", "max_unpacked", "max_depth", "max_members", "time_base", "time_rate"}


@pytest.mark.parametrize("name", sorted(Limits.__annotations__))
def test_the_object_cache_tells_apart_limits_that_its_records_do_not_carry(name: str) -> None:
    """A hit charges depth, members, bytes and time again."""
    same = Settings.of(replace(BASE, **{name: 1}), EVERYTHING).context == Settings.of(BASE, EVERYTHING).context
    assert same == (name in CARRIED)


@pytest.mark.parametrize("switch", OPENING, ids=lambda switch: switch.name)
def test_the_object_cache_tells_apart_what_is_opened(switch: Switch) -> None:
    assert Settings.of(BASE, EVERYTHING ^ switch).context != Settings.of(BASE, EVERYTHING).context


def test_the_object_cache_does_not_care_what_is_reported() -> None:
    assert Settings.of(BASE, EVERYTHING | ALL_MATCH | MEMBERS).context == Settings.of(BASE, EVERYTHING).context


# -- the list --------------------------------------------------------------------------------------------------------


def numbered(number: int) -> Settings:
    return Settings.of(replace(BASE, max_depth=number), EVERYTHING)


def test_a_scan_asks_for_its_own_and_those_used_last() -> None:
    seen = [Seen(numbered(depth), used=100 * depth) for depth in (3, 1, 4, 2, 5, 12, 10)]
    digests = asked(numbered(10), seen)
    assert digests == tuple(numbered(depth).digest for depth in (10, 5, 4, 3))
    assert len(digests) == ASKED


def test_settings_are_listed_once_and_the_list_ends() -> None:
    seen: list[Seen] = []
    for number in range(50):
        seen, changed = remember(seen, numbered(number), now=1000 + number)
        assert changed
    seen, changed = remember(seen, numbered(49), now=1050)
    assert not changed
    assert [one.settings for one in seen] == [numbered(number) for number in range(49, 49 - LISTED, -1)]


def test_the_date_is_renewed_once_a_day_and_when_the_clock_was_wrong() -> None:
    seen, _ = remember([], numbered(1), now=10**9)
    assert not remember(seen, numbered(1), now=10**9 + TOUCH - 1)[1]
    assert remember(seen, numbered(1), now=10**9 + TOUCH)[1]
    again, changed = remember(seen, numbered(1), now=10**9 - 1)
    assert changed
    assert again == [Seen(numbered(1), 10**9 - 1)]


def test_the_list_comes_back_as_it_was_written() -> None:
    seen = [Seen(numbered(depth), used=depth) for depth in (1, 2, 3)]
    assert read(write(seen, KEY), KEY) == seen
    assert read(write([], KEY), KEY) == []


def test_a_damaged_list_is_an_empty_one() -> None:
    text = write([Seen(numbered(1), 5)], KEY)
    for at in range(len(text) - 1):  # the newline at the end says nothing
        damaged = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        assert read(damaged, KEY) == [], at
        assert read(text[:at], KEY) == [], at
    assert read(text, bytes(32)) == []
    assert read(b"", KEY) == []


def test_narrow_holds_for_wide_and_never_the_other_way_round() -> None:
    narrow = Settings.of(BASE, EVERYTHING)
    wide = Settings.of(Limits(max_member_size=GIB, max_unpacked=GIB, time_rate=MIB), EVERYTHING)
    assert holds(narrow, wide)
    assert not holds(wide, narrow)
    assert holds(wide, wide)


def test_what_was_kept_of_owners_that_are_distrusted_now_does_not_hold() -> None:
    trusting, distrusting = Settings.of(BASE, EVERYTHING), Settings.of(BASE, EVERYTHING, True)
    assert not holds(trusting, distrusting)
    assert holds(distrusting, trusting)
    assert trusting.digest != distrusting.digest


def test_what_other_engines_said_holds_for_no_other_engines() -> None:
    alone, more, newer = (Settings.of(BASE, EVERYTHING, engines=number) for number in (0, 7, 8))
    assert len({one.digest for one in (alone, more, newer)}) == 3
    assert not any(holds(one, other) for one in (alone, more, newer) for other in (alone, more, newer) if one != other)
    wider = Settings.of(replace(BASE, max_depth=11), EVERYTHING, engines=7)
    assert holds(more, wider)
    assert alone.context == more.context == newer.context  # the object cache is the native engine's
