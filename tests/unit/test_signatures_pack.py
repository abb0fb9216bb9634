"""Packs: each member is read by its own kind, signatures and digests are checked, and nothing wrong is used."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from kavfs._native.match import Image as Matcher
from kavfs.errors import DatabaseDamaged
from kavfs.signatures import dsig, pack, sources
from kavfs.signatures.image import Image, open_image
from kavfs.signatures.lines import OUTDATED
from kavfs.signatures.sources import find_sources
from tests.support.databases import body
from tests.support.deltas import delta_to, names
from tests.support.packs import head, keys, make_info, make_pack, make_tar, seal

MEMBERS = {
    "some.ndb": body("First.Name-1", "the first marker").encode() + b"broken\n",
    "some.hdb": b"0123456789abcdef0123456789abcdef:10:Hash.Name-1\n",
}


@pytest.fixture(autouse=True)
def own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsig, "TRUSTED", keys())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    return tmp_path / "rules"


def put(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def opened(folder: Path) -> Image:
    return open_image([os.fsencode(folder)], os.fsencode(folder.parent / "state"))


def refusal(folder: Path) -> str:
    with pytest.raises(DatabaseDamaged) as why:
        opened(folder)
    assert why.value.exit_code == 55
    return str(why.value)


def found(image: Image, data: bytes) -> list[bytes]:
    return Matcher([(part.fd, part.offset, part.length) for part in image.parts]).scan(data, all_match=True).names


@pytest.mark.parametrize(("kind", "mark"), [("cvd", b""), ("cld", b""), ("cud", b".UNOFFICIAL")])
def test_members_are_read_by_their_kind(kind: str, mark: bytes, folder: Path) -> None:
    put(folder, f"some.{kind}", make_pack(MEMBERS, kind=kind))
    with opened(folder) as image:
        assert image.signature_count == 2
        assert found(image, b"here is the first marker, and more") == [b"First.Name-1" + mark]
        assert [(entry.kind, entry.name) for entry in image.entries] == [
            (kind, f"some.{kind}".encode()),
            ("hdb", b"some.hdb"),
            ("ndb", b"some.ndb"),
        ]
        assert image.entries[2].reasons == (("wrong number of fields", 1),)
        assert image.entries[2].place.endswith(f"some.{kind}:some.ndb".encode())


def test_a_compressed_cld_is_read_too(folder: Path) -> None:
    plain = make_pack(MEMBERS, kind="cld")
    put(folder, "some.cld", plain[:512] + gzip.compress(plain[512:]))
    with opened(folder) as image:
        assert image.signature_count == 2


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_changed_byte_behind_the_head_of_a_cvd_is_refused(folder: Path) -> None:
    put(folder, "some.cvd", changed(make_pack(MEMBERS), 700))
    assert "some.cvd is damaged: its bytes are not those that were signed" in refusal(folder)


def test_a_pack_that_another_key_signed_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "some.cvd", make_pack(MEMBERS))
    monkeypatch.undo()
    assert "some.cvd has a wrong digital signature" in refusal(folder)


def test_a_list_of_members_that_another_key_signed_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsig, "TRUSTED", keys()._replace(info=keys().head))
    for kind in ("cvd", "cld"):
        path = put(folder, f"some.{kind}", make_pack(MEMBERS, kind=kind))
        assert "has a wrong digital signature in its .info" in refusal(folder)
        path.unlink()


def test_a_signed_list_is_asked_for(folder: Path) -> None:
    put(folder, "some.cld", make_pack(MEMBERS, kind="cld", info=make_info(MEMBERS, signed=False)))
    assert "has no digital signature in its .info" in refusal(folder)


BODY = b"Other.Name-1:0:*:6f746865722074657874\n"


@pytest.mark.parametrize(
    ("members", "listed", "why"),
    [
        ({"some.ndb": BODY}, {"some.ndb": BODY.replace(b"1", b"2")}, "another digest"),
        ({"some.ndb": BODY}, {"some.ndb": BODY + b"\n"}, "another size"),
        ({"some.ndb": BODY, "more.ndb": BODY}, {"some.ndb": BODY}, "holds more.ndb, which its .info does not list"),
        ({"some.ndb": BODY}, {"some.ndb": BODY, "more.ndb": BODY}, "more.ndb is not in it"),
        ({"in/some.ndb": BODY}, {"in/some.ndb": BODY}, "no plain file"),
        ({"../some.ndb": BODY}, {"../some.ndb": BODY}, "no plain file"),
        ({"some.cud": BODY}, {"some.cud": BODY}, "has a pack in it"),
    ],
)
def test_members_must_be_those_that_are_listed(
    members: dict[str, bytes], listed: dict[str, bytes], why: str, folder: Path
) -> None:
    put(folder, "some.cvd", make_pack(members, info=make_info(listed)))
    assert why in refusal(folder)


def test_what_is_no_database_needs_no_listing(folder: Path) -> None:
    put(folder, "some.cvd", make_pack({**MEMBERS, "README": b"hello"}, info=make_info(MEMBERS)))
    with opened(folder) as image:
        assert image.signature_count == 2


def test_a_list_for_another_version_is_refused(folder: Path) -> None:
    put(folder, "some.cvd", make_pack(MEMBERS, info=make_info(MEMBERS, version=8)))
    assert "its head is not the one that its .info has" in refusal(folder)


def test_a_pack_without_a_list_is_refused(folder: Path) -> None:
    put(folder, "some.cvd", seal(gzip.compress(make_tar(MEMBERS))))
    assert "it has no .info" in refusal(folder)


@pytest.mark.parametrize("length", [0, 100, 511, 512, 600, 700])
def test_a_pack_that_is_cut_short_is_refused(length: int, folder: Path) -> None:
    put(folder, "some.cud", make_pack(MEMBERS, kind="cud")[:length])
    assert "some.cud" in refusal(folder)


def test_a_size_that_no_member_has_is_refused_before_it_is_read(folder: Path) -> None:
    tar = bytearray(make_tar({"some.ndb": BODY}))
    tar[124:136] = b"77777777777\0"
    put(folder, "some.cud", head().ljust(512).encode() + gzip.compress(bytes(tar)))
    assert "larger than any real one" in refusal(folder)


def test_much_out_of_little_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "TOTAL_MAX", 1 << 20)
    bomb = {"a.txt": bytes(600_000), "b.txt": bytes(600_000)}
    put(folder, "some.cud", head().ljust(512).encode() + gzip.compress(make_tar(bomb)))
    assert "larger than any real one" in refusal(folder)


@pytest.mark.parametrize(("cvd", "cld", "read"), [(7, 8, "cld"), (8, 7, "cvd"), (7, 7, "cld")])
def test_of_two_versions_the_newer_is_read(cvd: int, cld: int, read: str, folder: Path) -> None:
    put(folder, "some.cvd", make_pack({"some.ndb": BODY}, version=cvd))
    put(folder, "some.cld", make_pack({"some.ndb": BODY + BODY}, kind="cld", version=cld))
    with opened(folder) as image:
        assert image.signature_count == (2 if read == "cld" else 1)
        other = next(entry for entry in image.entries if entry.kind != read and not entry.member)
        assert other.reasons[0][0] == OUTDATED
        assert not other.malformed


def test_an_unchanged_pack_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SETTLE_NS", -(1 << 62))
    put(folder, "some.cvd", make_pack(MEMBERS))
    opened(folder).close()
    monkeypatch.setattr(dsig, "TRUSTED", None)  # whoever reads it stumbles here
    with opened(folder) as image:
        assert image.signature_count == 2
    put(folder, "more.ndb", body("More.Name-1", "another marker").encode())
    with opened(folder) as image:
        assert image.signature_count == 3


def test_an_update_costs_what_is_new_in_it(folder: Path) -> None:
    put(folder, "some.cvd", make_pack(MEMBERS))
    with opened(folder) as image:
        older = image.generation
    more = {**MEMBERS, "some.ndb": MEMBERS["some.ndb"] + BODY}
    put(folder, "some.cvd", make_pack(more, version=8))
    with opened(folder) as image:
        delta = delta_to(image, older)
        assert delta is not None
        assert names(delta) == {"Other.Name-1"}


def test_a_pack_with_random_damage_is_refused_or_as_it_was(folder: Path) -> None:
    rng = random.Random(4)
    whole = make_pack(MEMBERS, kind="cud")
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 5])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        source = find_sources([os.fsencode(put(folder, "some.cud", bytes(data[: rng.choice([len(data), 700])])))])[0]
        try:
            texts = {member.source.member.decode(): member.text for member in pack.read_members(source)}
        except DatabaseDamaged:
            continue
        assert texts == MEMBERS
