"""Judging facts of older generations: which hold, which need the delta, which need everything."""

from __future__ import annotations

import hashlib

import pytest

from kavfs._native import cache
from kavfs.model import Reason, Status, Target
from tests.support.stores import NOW, Row, delta_table, extra, fact, layer

OLDER = b"generation older"
UNKNOWN = b"generation lost."
PE, TEXT = 1 << Target.PE, 1 << Target.TEXT
BODY = b"what is inside the file"
MD5 = hashlib.md5(BODY, usedforsecurity=False)


def judged(row: Row | None, about: cache.Fact, *, read: bool = True, generation: bytes = OLDER) -> int:
    table = cache.DeltaTable(delta_table(row)) if row else None
    return cache.judge(table, NOW, generation, about, about.extra if read else None)[0]


def hashes(size: int | str, digest: str = "00" * 16) -> list[str]:
    return [f"{digest}:{size}:Test.New\n"]


def test_the_generation_of_now_holds_whatever_came_new() -> None:
    row = Row(OLDER, full=True)
    assert judged(row, fact(1, status=Status.INFECTED), generation=NOW) == cache.HOLDS


def test_without_a_row_all_is_scanned() -> None:
    assert judged(None, fact(1)) == cache.FULL
    assert judged(Row(OLDER), fact(1), generation=UNKNOWN) == cache.FULL
    assert judged(Row(OLDER), fact(1)) == cache.HOLDS


def test_a_row_may_say_that_all_is_scanned() -> None:
    assert judged(Row(OLDER, full=True), fact(1)) == cache.FULL


@pytest.mark.parametrize(
    "more",
    [{"status": Status.PROTECTED, "reasons": Reason.ENCRYPTED}, {"reasons": Reason.SIZE}, {"flags": cache.JOURNAL}],
)
def test_only_clean_and_complete_facts_outlive_their_generation(more: dict[str, int]) -> None:
    assert judged(Row(OLDER), fact(1, **more)) == cache.FULL


def test_new_signatures_concern_the_views_they_ask_for() -> None:
    assert judged(Row(OLDER, targets=PE), fact(1, views=TEXT | 1)) == cache.HOLDS
    assert judged(Row(OLDER, targets=PE), fact(1, views=TEXT | PE | 1)) == cache.DELTA
    assert judged(Row(OLDER, targets=1 << Target.ANY), fact(1, views=0)) == cache.DELTA


def test_new_hashes_concern_files_of_that_size() -> None:
    about = fact(1, changed={"size": 23})
    assert judged(Row(OLDER, hashes=hashes(24)), about) == cache.HOLDS
    assert judged(Row(OLDER, hashes=hashes(23)), about) == cache.DELTA
    assert judged(Row(OLDER, hashes=[f"{'00' * 16}:*:Test.New:73\n"]), about) == cache.DELTA


def test_any_of_several_sets_may_concern_a_file() -> None:
    about = fact(1, changed={"size": 23})
    assert judged(Row(OLDER, hashes=hashes(1) + hashes(2) + hashes(23)), about) == cache.DELTA


def test_a_remembered_digest_decides() -> None:
    remembered = extra(layers=[layer(len(BODY), md5=MD5.digest())])
    about = fact(1, changed={"size": len(BODY)}, extra=remembered)
    assert judged(Row(OLDER, hashes=hashes(len(BODY))), about) == cache.HOLDS
    assert judged(Row(OLDER, hashes=hashes(len(BODY), MD5.hexdigest())), about) == cache.FULL
    assert judged(Row(OLDER, hashes=hashes(len(BODY), "00" * 32)), about) == cache.DELTA  # another kind of digest


def test_what_is_unread_says_that_reading_could_help() -> None:
    table = cache.DeltaTable(delta_table(Row(OLDER, targets=PE, hashes=hashes(len(BODY)))))
    remembered = extra(layers=[layer(len(BODY), md5=MD5.digest())])
    about = fact(1, changed={"size": len(BODY)}, extra=remembered)
    assert cache.judge(table, NOW, OLDER, about) == (cache.DELTA, 0, True)
    assert cache.judge(table, NOW, OLDER, about._replace(extra=None)) == (cache.DELTA, 0, False)
    assert cache.judge(table, NOW, OLDER, about._replace(views=PE)) == (cache.DELTA, 0, False)


def test_a_container_is_judged_by_all_its_layers() -> None:
    layers = [layer(500), layer(40, md5=MD5.digest()), layer(77)]
    about = fact(50, flags=cache.CONTAINER | cache.LAYERS, extra=extra(layers=layers))
    assert judged(Row(OLDER, hashes=hashes(41)), about) == cache.HOLDS
    assert judged(Row(OLDER, hashes=hashes(40)), about) == cache.HOLDS
    assert judged(Row(OLDER, hashes=hashes(77)), about) == cache.DELTA
    assert judged(Row(OLDER, hashes=hashes(77) + hashes(40, MD5.hexdigest())), about) == cache.FULL
    assert judged(Row(OLDER, hashes=hashes(41)), about, read=False) == cache.DELTA


def test_a_container_without_a_complete_list_is_scanned_for_any_hash() -> None:
    about = fact(50, flags=cache.CONTAINER, extra=extra(layers=[layer(500)]))
    assert judged(Row(OLDER, hashes=hashes(41)), about) == cache.DELTA
    assert judged(Row(OLDER, targets=PE), about) == cache.HOLDS


@pytest.mark.parametrize("remembered", [None, extra(notes=[b"n" * 8])])
def test_a_document_without_a_complete_list_is_scanned_for_any_hash(remembered: bytes | None) -> None:
    about = fact(50, flags=cache.INSIDE, extra=remembered)
    assert judged(Row(OLDER, hashes=hashes(41)), about) == cache.DELTA
    assert judged(Row(OLDER, targets=PE), about) == cache.HOLDS
    layers = [layer(500), layer(40, md5=MD5.digest())]
    listed = fact(50, flags=cache.INSIDE | cache.LAYERS, extra=extra(layers=layers))
    assert judged(Row(OLDER, hashes=hashes(41)), listed) == cache.HOLDS


def test_layers_that_do_not_hold_what_they_say_are_not_believed() -> None:
    cut = extra(layers=[layer(10, md5=MD5.digest())[:24]])
    assert judged(Row(OLDER, hashes=hashes(99)), fact(1, extra=cut)) == cache.DELTA
    of_another = extra(layers=[layer(11, md5=MD5.digest())])
    assert judged(Row(OLDER, hashes=hashes(99)), fact(1, extra=of_another)) == cache.DELTA


def test_the_row_is_the_one_of_the_generation() -> None:
    rows = [Row(bytes([i]) * 16, targets=1) for i in range(9)]
    table = cache.DeltaTable(delta_table(*rows))
    assert [cache.judge(table, NOW, row.generation, fact(1))[1] for row in rows] == list(range(9))


def test_a_malformed_table_is_refused() -> None:
    good = delta_table(Row(OLDER, hashes=hashes(5)), Row(UNKNOWN))
    cache.DeltaTable(good)
    for at in range(8 + 8 + 8):
        with pytest.raises(ValueError, match="delta"):
            cache.DeltaTable(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
    for length in range(0, len(good), 7):
        with pytest.raises(ValueError, match="delta"):
            cache.DeltaTable(good[:length])
    twice = delta_table(Row(OLDER), Row(OLDER))
    with pytest.raises(ValueError, match="delta"):
        cache.DeltaTable(twice)
