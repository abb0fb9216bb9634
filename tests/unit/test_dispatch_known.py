"""What a walker answers from a store: counted, replayed in order, and never a Python object for each file."""

from __future__ import annotations

import os

import pytest

from kavfs._native import dispatch
from kavfs.model import Entry, Reason, Status
from kavfs.scan.records import Known
from tests.support import dispatching
from tests.support.dispatching import CACHED, KNOWN, KNOWN_MAGIC, batch, entry, gone, known, renew, replay, send
from tests.support.fakes import STABLE, note

FILES, BYTES, SCANNED, MEMBERS, UNOPENED, SUPPRESSED, COUNT, COUNT_BYTES, DELTA, STATUSES, REASONS, ENTRIES = range(12)
CONTAINER, UNOPENED_FLAG = 1 << 2, 1 << 5


@pytest.fixture(params=[True, False], ids=["clean files wanted", "clean files only counted"])
def bench(request):
    with dispatching.bench(want_clean=request.param) as made:
        made.wanted = request.param
        yield made


def test_known_files_are_one_event_at_most(bench):
    names = b"".join(b"file%d\0" % n for n in range(3000))
    bench.walker.send(known(names, tuple(range(3000)), b"/some/where/"))
    bench.step()
    totals = bench.dispatcher.totals()
    assert totals[FILES] == totals[COUNT] == totals[STATUSES][Status.CLEAN] == totals[ENTRIES][Entry.FILE] == 3000
    assert totals[BYTES] == totals[COUNT_BYTES] == sum(range(3000))
    assert totals[SCANNED] == 0
    if not bench.wanted:
        assert bench.events == []
        return
    ((kind, number, path, data, text),) = bench.events
    assert (kind, number) == (dispatch.EV_KNOWN, 3000)
    results = list(Known(path, text, data).results())
    assert [(r.path, r.size) for r in results] == [(b"/some/where/file%d" % n, n) for n in range(3000)]
    assert {(r.status, r.reasons, r.cached) for r in results} == {(Status.CLEAN, Reason(0), True)}


def test_counts_without_names_are_enough_where_nobody_wants_them(bench):
    bench.walker.send(KNOWN.pack(KNOWN_MAGIC, 0, 0, 0, 7, 70))
    bench.step()
    if bench.wanted:
        assert bench.kinds() == [dispatch.EV_STALLED]
    else:
        assert (bench.dispatcher.totals()[FILES], bench.dispatcher.totals()[BYTES]) == (7, 70)
        assert bench.events == []


def test_root_that_is_a_file_has_no_directory(bench):
    bench.walker.send(known(b"/etc/hostname\0", (9,), b""))
    bench.step()
    assert bench.dispatcher.totals()[FILES] == 1
    for _, _, path, data, text in bench.events:
        assert [r.path for r in Known(path, text, data).results()] == [b"/etc/hostname"]


def test_replayed_verdict_is_a_result_like_any_other(bench):
    line = note(b"Bad.Thing", b"inside")
    changes = {"status": Status.INFECTED, "said": 1, "members": 3, "flags": CACHED | CONTAINER | STABLE}
    bench.walker.send(replay(__file__, b"/srv/box.zip", line, **changes))
    bench.step()
    (result,) = bench.results()
    assert (result.path, result.status, result.cached, result.container) == (b"/srv/box.zip", 1, True, True)
    assert [(t.name, t.member) for t in result.threats] == [("Bad.Thing", b"inside")]
    totals = bench.dispatcher.totals()
    size = os.stat(__file__).st_size
    assert [totals[n] for n in (FILES, BYTES, SCANNED, MEMBERS, COUNT, COUNT_BYTES)] == [1, size, 0, 3, 1, size]


@pytest.mark.parametrize(
    ("status", "reasons"), [(Status.PROTECTED, Reason.ENCRYPTED), (Status.ERROR, Reason.SIZE | Reason.DEPTH)]
)
def test_replayed_reasons_are_counted_and_told(bench, status, reasons):
    bench.walker.send(replay(__file__, status=status, reasons=reasons))
    bench.step()
    (result,) = bench.results()
    assert (result.status, result.reasons) == (status, reasons)
    assert bench.dispatcher.totals()[STATUSES][status] == 1
    assert sum(bench.dispatcher.totals()[REASONS]) == bin(reasons).count("1")


def test_clean_container_is_told_only_to_who_wants_clean_files(bench):
    bench.walker.send(replay(__file__, flags=CACHED | CONTAINER | UNOPENED_FLAG, members=2))
    bench.step()
    assert len(bench.results()) == (1 if bench.wanted else 0)
    assert bench.dispatcher.totals()[MEMBERS] == 2
    assert bench.dispatcher.totals()[UNOPENED] == 1


def test_without_stores_renewals_and_gone_inodes_are_nothing(bench):
    bench.walker.send(renew(b"p" * 16))
    bench.walker.send(gone(b"p" * 16, 1, 2, 3))
    bench.step()
    assert bench.events == []


def test_messages_of_all_kinds_come_in_the_order_in_which_they_were_sent(bench, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    for frame, fds in ((known(), 0), (batch(entry(path)), 1), (replay(path), 0), (renew(b"p" * 16), 0), (known(), 0)):
        send(bench.walker, frame, path, fds)
    bench.step()
    bench.answer(*bench.work())
    bench.step()
    assert bench.dispatcher.totals()[FILES] == 6
    if bench.wanted:
        kinds = [dispatch.EV_KNOWN, dispatch.EV_LISTED, dispatch.EV_KNOWN, dispatch.EV_RESULT]
        assert bench.kinds() == kinds
