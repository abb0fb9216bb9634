"""What containers say of their members: signatures that ask for it, passwords that open members, types by lists."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from kavfs.model import Reason, Status, Switch
from kavfs.options import EVERYTHING
from kavfs.signatures.image import Image
from tests.support.archives import make_tar, make_zip
from tests.support.databases import body
from tests.support.objects import EICAR, image_of, scan, scanner

MEMBERS = {"one.txt": b"1" * 100, "sub/two.exe": b"2" * 200}
MAIL = (
    b"From: a@example.org\r\nTo: b@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: application/octet-stream; name=two.exe\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nMjIyMg==\r\n--q--\r\n"
)
PLAIN = {"z.ndb": body("Kept.Name-1", "marker that is always there")}


def image(folder: Path, **files: str) -> Image:
    return image_of(folder, {**PLAIN, **{name.replace("_", "."): text for name, text in files.items()}})


def threats(data: bytes, of: Image, switches: Switch = EVERYTHING) -> list[tuple[bytes, bytes]]:
    return scan(data, scanner(of=of, switches=switches)).threats


def says(folder: Path, fields: str, data: bytes) -> bool:
    return bool(threats(data, image(folder, a_cdb=f"Cdb.Name-1:{fields}:*:*\n")))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (r"CL_TYPE_ZIP:*:\.exe$:*:*:*:*", True),
        (r"*:*:\.exe$:*:*:*:*", True),
        (r"CL_TYPE_RAR:*:\.exe$:*:*:*:*", False),
        (r"CL_TYPE_ZIP:*:\.EXE$:*:*:*:*", False),
        (r"CL_TYPE_ZIP:*:(?i)\.EXE$:*:*:*:*", True),
        (r"CL_TYPE_ZIP:*:^sub/t[wx]o\.[a-ex]{3}$:*:*:*:*", True),
        (r"CL_TYPE_ZIP:*:two:*:200:*:*", True),
        (r"CL_TYPE_ZIP:*:two:*:201:*:*", False),
        (r"CL_TYPE_ZIP:*:two:*:150-200:*:*", True),
        (r"CL_TYPE_ZIP:*:two:*:201-300:*:*", False),
        (r"CL_TYPE_ZIP:*:two:*:150-0:*:*", True),
        (r"CL_TYPE_ZIP:*:two:*:0-199:*:*", False),
        (r"CL_TYPE_ZIP:*:two:200-300:*:*:*", True),
        (r"CL_TYPE_ZIP:*:two:*:*:0:*", True),
        (r"CL_TYPE_ZIP:*:two:*:*:1:*", False),
        (r"CL_TYPE_ZIP:*:two:*:*:*:2", True),
        (r"CL_TYPE_ZIP:*:two:*:*:*:1", False),
        (r"CL_TYPE_ZIP:100-1000:two:*:*:*:*", True),
        (r"CL_TYPE_ZIP:1-100:two:*:*:*:*", False),
    ],
)
def test_a_member_of_a_zip_is_what_a_signature_asks_for(fields: str, wanted: bool, tmp_path: Path) -> None:
    assert says(tmp_path, fields, make_zip(MEMBERS, zipfile.ZIP_STORED)) is wanted


@pytest.mark.parametrize(
    ("data", "kind", "position"), [(make_tar(MEMBERS), "POSIX_TAR", 2), (MAIL, "MAIL", 0)], ids=["tar", "mail"]
)
def test_members_of_others_count_as_for_clamav(data: bytes, kind: str, position: int, tmp_path: Path) -> None:
    assert says(tmp_path, rf"CL_TYPE_{kind}:*:two\.exe:*:*:0:{position}", data)
    assert not says(tmp_path, rf"CL_TYPE_{kind}:*:two\.exe:*:*:0:{position + 1}", data)


def test_the_line_names_the_member(tmp_path: Path) -> None:
    verdict = scan(make_zip(MEMBERS), scanner(of=image(tmp_path, a_cdb="PUA.Cdb-1:*:*:two:*:*:*:*:*:*\n")))
    assert verdict.threats == [(b"sub/two.exe", b"PUA.Cdb-1.UNOFFICIAL")]
    assert verdict.lines[b"sub/two.exe"][0] is Status.WARNING
    assert verdict.status is Status.WARNING


def test_all_matches_are_told_when_asked_for(tmp_path: Path) -> None:
    rules = image(tmp_path, a_cdb="".join(f"Cdb.Name-{i}:*:*:two:*:*:*:*:*:*\n" for i in range(3)))
    assert len(threats(make_zip(MEMBERS), rules)) == 1
    assert len(threats(make_zip(MEMBERS), rules, EVERYTHING | Switch.ALL_MATCH)) == 3


def test_an_ignored_name_and_an_excepted_container_are_silent(tmp_path: Path) -> None:
    data = make_zip(MEMBERS)
    line = "Cdb.Name-1:*:*:two:*:*:*:*:*:*\n"
    digest = hashlib.md5(data).hexdigest()
    assert threats(data, image(tmp_path, a_cdb=line)) != []
    assert threats(data, image(tmp_path, a_cdb=line, b_ign2="Cdb.Name-1\n")) == []
    assert threats(data, image(tmp_path, a_cdb=line, b_fp=f"{digest}:{len(data)}:Fine-1\n")) == []


def test_old_forms_ask_the_same(tmp_path: Path) -> None:
    data = make_zip(MEMBERS, zipfile.ZIP_STORED)
    crc = zipfile.ZipFile(_file(tmp_path, data)).getinfo("sub/two.exe").CRC
    assert threats(data, image(tmp_path, a_zmd=f"Zmd-1:0:two:200:200:{crc:x}:*:2:*\n")) != []
    assert threats(data, image(tmp_path, a_zmd=f"Zmd-1:0:two:200:200:{crc ^ 1:x}:*:2:*\n")) == []
    assert threats(data, image(tmp_path, a_rmd=f"Rmd-1:0:two:200:200:{crc:x}:*:2:*\n")) == []


def _file(folder: Path, data: bytes) -> Path:
    (folder / "some.zip").write_bytes(data)
    return folder / "some.zip"


# -- passwords -------------------------------------------------------------------------------------------------------


def encrypted(folder: Path, password: str, *, aes: bool = False) -> bytes:
    """A zip with the test file in it, made by the tools that people have."""
    (folder / "one.txt").write_bytes(EICAR * 3)
    target = folder / "secret.zip"
    target.unlink(missing_ok=True)
    if aes:
        words = ["7z", "a", "-tzip", "-mem=AES256", f"-p{password}", str(target), "one.txt"]
    else:
        words = ["zip", "-q", "-P", password, str(target), "one.txt"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return target.read_bytes()


EICAR_LINE = body("EICAR-Test-File", EICAR.decode())


@pytest.mark.parametrize("aes", [False, True], ids=["old cipher", "AES"])
@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("Pw-1;Engine:51-255,Target:0;0;open sesame", True),
        ("Pw-1;;1;6f70656e20736573616d65", True),
        ("Pw-1;Container:CL_TYPE_ZIP;0;open sesame", True),
        ("Pw-1;Container:CL_TYPE_RAR;0;open sesame", False),
        ("Pw-1;Engine:51-255,Target:0;0;open sesam", False),
    ],
)
def test_a_password_opens_what_was_closed_with_it(line: str, opens: bool, aes: bool, tmp_path: Path) -> None:
    wrong = "".join(f"No-{i};;0;wrong word {i}\n" for i in range(40))
    rules = image(tmp_path, a_pwdb=f"{wrong}{line}\n", b_ndb=EICAR_LINE)
    verdict = scan(encrypted(tmp_path, "open sesame", aes=aes), scanner(of=rules))
    assert bool(verdict.threats) is opens
    assert (Reason.ENCRYPTED in verdict.reasons) is not opens


def test_bytes_that_only_pass_the_ciphers_own_check_are_not_taken_for_what_was_closed(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(EICAR * 3)
    words = ["zip", "-q", "-0", "-P", "open sesame", "secret.zip", "one.txt"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    wrong = "".join(f"No-{i};;0;wrong word {i}\n" for i in range(900))  # one of 256 passes
    data = (tmp_path / "secret.zip").read_bytes()
    verdict = scan(data, scanner(of=image(tmp_path, a_pwdb=wrong, b_ndb=EICAR_LINE)))
    assert Reason.ENCRYPTED in verdict.reasons
    rules = image(tmp_path, a_pwdb=f"{wrong}Pw-1;;0;open sesame\n", b_ndb=EICAR_LINE)
    assert scan(data, scanner(of=rules)).threats


def test_an_ignored_password_is_not_tried(tmp_path: Path) -> None:
    rules = image(tmp_path, a_pwdb="Pw-1;;0;open sesame\n", b_ndb=EICAR_LINE, c_ign2="Pw-1\n")
    assert Reason.ENCRYPTED in scan(encrypted(tmp_path, "open sesame"), scanner(of=rules)).reasons


# -- types -----------------------------------------------------------------------------------------------------------

STRANGE = b"STRANGE\x01\x02" + b"the marker for mails" + bytes(100)


def test_a_listed_type_is_matched_as_such(tmp_path: Path) -> None:
    marker = body("Pdf.Name-1", "the marker for mails", target=10)
    magic = f"0:0:{b'STRANGE'.hex()}:Strange:CL_TYPE_ANY:CL_TYPE_PDF"
    assert threats(STRANGE, image(tmp_path, a_ndb=marker)) == []
    assert threats(STRANGE, image(tmp_path, a_ndb=marker, b_ftm=f"{magic}\n")) != []
    assert threats(STRANGE, image(tmp_path, a_ndb=marker, b_ftm=f"{magic}:51:255\n")) != []
    assert threats(STRANGE, image(tmp_path, a_ndb=marker, b_ftm=f"{magic}:51:100\n")) == []
    assert threats(b"x" + STRANGE, image(tmp_path, a_ndb=marker, b_ftm=f"{magic}\n")) == []


@pytest.mark.parametrize(
    ("magic", "told", "near"),
    [
        ("1:0:535452??4e", STRANGE, b"x" + STRANGE),
        ("1:0,3:535452??4e", b"xyz" + STRANGE, b"wxyz" + STRANGE),
        ("1:*:5?54(52|53)41{1}474?", b"\x80" * 900 + STRANGE, b"\x80" * 1020 + STRANGE),
        ("1:*:(5354|5354)52414e4745", STRANGE, STRANGE.replace(b"STR", b"STr")),
    ],
)
def test_a_type_that_a_pattern_tells(tmp_path: Path, magic: str, told: bytes, near: bytes) -> None:
    marker = body("Pdf.Name-1", "the marker for mails", target=10)
    rules = image(tmp_path, a_ndb=marker, b_ftm=f"{magic}:Strange:CL_TYPE_ANY:CL_TYPE_PDF\n")
    assert threats(told, rules) != []
    assert threats(near, rules) == []


def test_a_pattern_tells_nothing_of_what_has_a_type(tmp_path: Path) -> None:
    marker = body("Pdf.Name-1", "the marker for mails", target=10)
    picture = b"\x89PNG\r\n\x1a\n" + STRANGE
    line = "{}:*:5354:Strange:CL_TYPE_ANY:CL_TYPE_PDF\n"
    assert threats(picture, image(tmp_path, a_ndb=marker, b_ftm=line.format(1))) == []
    assert threats(picture, image(tmp_path, a_ndb=marker, b_ftm=line.format(0).replace("*", "8"))) != []


def test_what_is_told_apart_more_finely_stays_what_it_is(tmp_path: Path) -> None:
    mbox = b"From a@example.org Mon Jan  1 00:00:00 2024\n" + MAIL.replace(b"\r\n", b"\n")
    plain = scan(mbox).format
    again = image(tmp_path, a_ftm=f"0:0:{b'From '.hex()}:Mail:CL_TYPE_ANY:CL_TYPE_MAIL\n")
    assert scan(mbox, scanner(of=again)).format == plain
