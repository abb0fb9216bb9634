"""The allow list as values: what an entry covers, what is lifted and what is not, lists that nobody may trust."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from kavfs.errors import KavfsError, UsageError
from kavfs.model import Member, Reason, Result, Status, Threat
from kavfs.signatures.allow import Allowed, AllowList, read_allow
from kavfs.signatures.allowwriter import add, remove

EVIL = Threat("Evil.One", Status.INFECTED, "clamav", b"in/side")
OTHER = Threat("Other.Two", Status.WARNING, "yara")


def entry(kind: str, value: str, *, size: int | None = None, expires: float = 0.0, number: int = 1) -> Allowed:
    return Allowed(number, kind, value, size, "tested", 0.0, "somebody", expires)


def found(path: bytes = b"/srv/a/x", *threats: Threat, **more) -> Result:
    return Result(path, Status.INFECTED, threats=threats or (EVIL,), container=True, **more)


@pytest.mark.parametrize(
    ("mask", "path", "covered"),
    [
        ("/srv/a", b"/srv/a", True),
        ("/srv/a", b"/srv/a/b/c", True),
        ("/srv/a", b"/srv/ab", False),
        ("/srv/a", b"/x/srv/a", False),
        ("/srv/a", b"/srv/a/../../etc/passwd", False),
        ("/srv/*/cache", b"/srv/x/y/cache", True),
        ("/srv/*.exe", b"/srv/x.exe.old", False),
        ("*.exe", b"/anywhere/x.exe", True),
        ("*.exe", b"/anywhere/x.exe/y", False),
        ("/srv/\udcff", b"/srv/\xff", True),
        ("/srv/\udcff", b"/srv/\xfe", False),
    ],
)
def test_a_path_covers_itself_and_what_is_below_it(mask: str, path: bytes, covered: bool) -> None:
    assert entry("path", mask).covers(path) is covered
    assert (AllowList([entry("path", mask)]).judge(found(path)).status is Status.CLEAN) is covered


def test_what_is_lifted_is_clean_and_says_why() -> None:
    members = (Member(b"in/side", Status.INFECTED, Reason(0), 5), Member(b"other", Status.CLEAN, Reason(0), 5))
    judged = AllowList([entry("path", "/srv/a")]).judge(found(members=members))
    assert (judged.status, judged.threats, judged.suppressed) == (Status.CLEAN, (), True)
    assert judged.allowed == "tested; Evil.One"
    assert [member.status for member in judged.members] == [Status.CLEAN, Status.CLEAN]


def test_what_nobody_looked_at_stays_so() -> None:
    judged = AllowList([entry("path", "/srv/a")]).judge(found(reasons=Reason.ENCRYPTED))
    assert (judged.status, judged.reasons) == (Status.PROTECTED, Reason.ENCRYPTED)
    error = Result(b"/srv/a/x", Status.ERROR, Reason.UNREADABLE, error="no")
    assert AllowList([entry("path", "/srv/a")]).judge(error) is error


def test_a_signature_is_lifted_whoever_names_it_and_another_one_stays() -> None:
    allow = AllowList([entry("signature", "Evil.One")])
    unofficial = EVIL._replace(name="Evil.One.UNOFFICIAL")
    assert allow.judge(found(b"/x", unofficial)).status is Status.CLEAN
    both = allow.judge(found(b"/x", EVIL, OTHER))
    assert (both.status, both.threats, both.suppressed) == (Status.WARNING, (OTHER,), True)
    near = found(b"/x", EVIL._replace(name="Evil.One2"))
    assert allow.judge(near) is near


def test_a_digest_is_compared_with_its_size() -> None:
    allow = AllowList([entry("sha256", "ab" * 32, size=5)])
    assert allow.judge(found(sha256=b"\xab" * 32, size=5)).status is Status.CLEAN
    assert allow.judge(found(sha256=b"\xab" * 32, size=6)).status is Status.INFECTED
    assert allow.judge(found(size=5)).status is Status.INFECTED


def test_an_entry_holds_until_it_ends() -> None:
    soon = AllowList([entry("path", "/srv", expires=time.time() + 3600), entry("signature", "X", expires=1.0)])
    assert soon.judge(found()).status is Status.CLEAN
    assert [source.kind for source in soon.sources()] == []
    assert not AllowList([entry("path", "/srv", expires=1.0)]).judges


def test_sources_change_with_what_stands_in_them_and_not_with_paths() -> None:
    one = [entry("signature", "A"), entry("sha256", "ab" * 32, size=5)]
    kinds = {source.kind: source.text for source in AllowList(one).sources()}
    assert kinds == {"sfp": b"ab" * 32 + b":5:Allowed-1\n", "ign2": b"A\n"}
    assert AllowList(one).sources() == AllowList([*one, entry("path", "/srv")]).sources()
    assert AllowList(one).sources() != AllowList([*one, entry("signature", "B")]).sources()


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "state")


def test_what_is_added_is_read_again_and_removed_by_its_number(state: bytes) -> None:
    one = add(state, "path", "/srv/\udcff\n", reason="because", by="me", expires=time.time() + 60)
    two = add(state, "signature", "Evil.One", reason="because", by="me")
    assert read_allow(state).entries == (one, two)
    assert os.stat(state + b"/allow.json").st_mode & 0o777 == 0o644
    assert remove(state, [one.number]) == [one]
    assert read_allow(state).entries == (two,)


def test_the_same_twice_is_refused_and_another_end_replaces(state: bytes) -> None:
    add(state, "signature", "Evil.One", reason="because", by="me")
    with pytest.raises(UsageError, match="allows the same"):
        add(state, "signature", "Evil.One", reason="because", by="me")
    add(state, "signature", "Evil.One", reason="because", by="me", expires=2e9)
    assert [e.expires for e in read_allow(state).entries] == [2e9]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("signature", "two\nlines"),
        ("signature", "with:colon"),
        ("signature", "#comment"),
        ("signature", ""),
        ("sha256", "AB" * 32),
        ("sha256", "ab" * 31),
        ("md5", "ab" * 16 + "\n"),
        ("path", ""),
        ("path", "a\0b"),
        ("colour", "red"),
    ],
)
def test_what_could_become_another_line_is_refused(state: bytes, kind: str, value: str) -> None:
    with pytest.raises(UsageError, match="cannot be allowed"):
        add(state, kind, value, size=1, reason="because", by="me")
    assert not os.path.exists(state + b"/allow.json")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_reason_is_needed(state: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match="reason"):
        add(state, "signature", "X", reason=reason, by="me")


def test_removing_what_is_not_there_removes_nothing(state: bytes) -> None:
    add(state, "signature", "X", reason="because", by="me")
    with pytest.raises(UsageError, match="no entry 7"):
        remove(state, [1, 7])
    assert len(read_allow(state).entries) == 1


GOOD = {"version": 1, "entries": [entry("signature", "Evil.One")._asdict()]}

BAD = {
    "half": json.dumps(GOOD)[:-10],
    "empty": "",
    "a list": "[]",
    "another version": json.dumps({**GOOD, "version": 2}),
    "a field more": json.dumps({"version": 1, "entries": [{**GOOD["entries"][0], "more": 1}]}),  # type: ignore[index]
    "a wrong kind": json.dumps({"version": 1, "entries": [{**GOOD["entries"][0], "kind": "all"}]}),  # type: ignore[index]
    "a line break": json.dumps({"version": 1, "entries": [{**GOOD["entries"][0], "value": "a\nb"}]}),  # type: ignore[index]
    "no number": json.dumps({"version": 1, "entries": [{**GOOD["entries"][0], "expires": "never"}]}),  # type: ignore[index]
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_damaged_list_allows_nothing_and_says_so(state: bytes, data: str) -> None:
    os.mkdir(state)
    Path(os.fsdecode(state), "allow.json").write_text(data)
    allow = read_allow(state)
    assert (allow.entries, allow.judges) == ((), False)
    assert len(allow.notes) == 1
    assert "is not used" in allow.notes[0]
    with pytest.raises(KavfsError, match="is not used"):
        add(state, "signature", "X", reason="because", by="me")
    assert Path(os.fsdecode(state), "allow.json").read_text() == data


def test_a_list_that_others_could_have_written_allows_nothing(state: bytes) -> None:
    add(state, "signature", "X", reason="because", by="me")
    path = state + b"/allow.json"
    assert read_allow(state).judges
    os.chmod(path, 0o664)
    assert read_allow(state).notes[0].endswith("another user could have written it")
    os.chmod(path, 0o644)
    os.rename(path, state + b"/real")
    os.symlink(b"real", path)
    assert read_allow(state).notes[0].endswith("it is a symbolic link")
    assert not read_allow(state).judges
