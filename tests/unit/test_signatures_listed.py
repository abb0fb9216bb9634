"""Readers of small kinds: container signatures, passwords, file types: what is taken, and why the near miss is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kavfs._native import match
from kavfs.signatures.cdb import Reader, Rows, posix_pattern, read_cdb, read_rmd, read_zmd
from kavfs.signatures.crb import read_crb
from kavfs.signatures.ftm import read_ftm
from kavfs.signatures.lines import LATER, OTHER_LEVEL, Rejected, Tally
from kavfs.signatures.pwdb import read_pwdb

READERS: list[tuple[Reader, str]] = [
    (read_cdb, "metadata"), (read_zmd, "metadata"), (read_rmd, "metadata"), (read_pwdb, "passwords"),
    (read_ftm, "types"), (read_crb, "trust"),
]  # fmt: skip


def why(reader: Reader, line: str) -> str | None:
    rows, tally = Rows(), Tally()
    reader(line.encode(), rows, tally)
    assert (tally.taken, bool(rows.rows)) == ((0, False) if tally.reasons else (1, True))
    return next(iter(tally.reasons), None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("N:*:*:*:*:*:*:*:*:*", None),
        ("N:CL_TYPE_ZIP:1-2:a:3:4-5:1:6:*:*:51:255", None),
        ("N:CL_TYPE_ARJ:*:*:*:*:*:*:*:*", None),
        ("N:*:*:*:*:*:*:*:*:*:300", OTHER_LEVEL),
        ("N:*:*:*:*:*:*:*:*:*:1:100", OTHER_LEVEL),
        ("N:*:*:*:*:*:*:*:*", "wrong number of fields"),
        ("N:*:*:*:*:*:*:*:*:*:1:2:3", "wrong number of fields"),
        (":*:*:*:*:*:*:*:*:*", "no name"),
        ("N:CL_TYPE_NONE:*:*:*:*:*:*:*:*", "unknown file type"),
        ("N:*:x:*:*:*:*:*:*:*", "malformed number"),
        ("N:*:1-x:*:*:*:*:*:*:*", "malformed range"),
        ("N:*:*:(:*:*:*:*:*:*", "malformed regular expression"),
        ("N:*:*:(a{200}){200}:*:*:*:*:*:*", "regular expression with too many repetitions"),
        ("N:*:*:a{,20000}:*:*:*:*:*:*", "regular expression with too many repetitions"),
        (f"N:*:*:a{'+' * 40}:*:*:*:*:*:*", "regular expression with too many repetitions"),
        (f"N:*:*:{'(' * 40}a{')+' * 40}:*:*:*:*:*:*", "regular expression with too many repetitions"),
        (f"N:*:*:{'a+(b|c)+' * 60}{'d?' * 60}[+]+\\++:*:*:*:*:*:*", None),
        ("N:*:*:*:*:*:2:*:*:*", "malformed flag of encryption"),
    ],
)
def test_container_signatures(line: str, reason: str | None) -> None:
    assert why(read_cdb, line) == reason


CERTIFICATE = "Some;{trust};" + "ab" * 20 + ";" + "12" * 20 + ";00c0ffee;;1;0;1;0;a comment"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (CERTIFICATE.format(trust=1), None),
        (CERTIFICATE.format(trust=0), None),
        (CERTIFICATE.format(trust=0) + ";73;300", None),
        (CERTIFICATE.format(trust=1).replace("12" * 20, ""), None),
        (CERTIFICATE.format(trust=1).replace("00c0ffee", "c0ffe"), None),
        (CERTIFICATE.format(trust=0).replace("Some", ""), None),
        (CERTIFICATE.format(trust=1).replace("ab" * 20, ""), "malformed digest"),
        (CERTIFICATE.format(trust=1).replace("12" * 20, "12"), "malformed digest"),
        (CERTIFICATE.format(trust=2), "malformed trust or use of a certificate"),
        (CERTIFICATE.format(trust=1).replace(";1;0;1;", ";1;x;1;"), "malformed trust or use of a certificate"),
        (CERTIFICATE.format(trust=1).replace("00c0ffee", "00c0ffey"), "malformed key of a certificate"),
        (CERTIFICATE.format(trust=1).replace("00c0ffee", ""), "malformed key of a certificate"),
        (CERTIFICATE.format(trust=1).replace("00c0ffee", "a" * 2049), "malformed key of a certificate"),
        (CERTIFICATE.format(trust=1).replace(";0;a comment", ";-1;a comment"), "malformed date"),
        (CERTIFICATE.format(trust=1) + ";300", OTHER_LEVEL),
        ("Some;1", "wrong number of fields"),
    ],
)
def test_rules_for_certificates(line: str, reason: str | None) -> None:
    assert why(read_crb, line) == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("N:1:a:2:3:0AbC:*:4:*", None),
        ("N:1:a:2:3:xyz:*:4:*", "malformed CRC"),
        ("N:1:a:2:3:*:x:4:*", "malformed number"),
        ("N:1:a:2-3:3:*:*:4:*", "malformed number"),
        ("N:1:a:2:3:*:*:4", "wrong number of fields"),
    ],
)
def test_container_signatures_of_the_old_form(line: str, reason: str | None) -> None:
    assert why(read_zmd, line) == why(read_rmd, line) == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("N;Engine:51-255,Target:0;0;some;thing", None),
        ("N;;1;00", "malformed password"),
        ("N;;1;0g", "malformed hex"),
        ("N;;0;", "malformed password"),
        ("N;;2;abc", LATER + "storage type of a password"),
        ("N;;x;abc", "malformed storage type"),
        ("N;Engine:300-400;0;abc", OTHER_LEVEL),
        ("N;Engine:51;0;abc", "malformed range in attributes"),
        ("N;Container:CL_TYPE_PDF;0;abc", "container that has no passwords"),
        ("N;Some:1;0;abc", "unknown attribute"),
        ("N;0;abc", "wrong number of fields"),
        (";;0;abc", "no name"),
    ],
)
def test_passwords(line: str, reason: str | None) -> None:
    assert why(read_pwdb, line) == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0:0:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", None),
        ("0:257:7573746172:X:CL_TYPE_ANY:CL_TYPE_POSIX_TAR:51", None),
        ("0:0:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE:300", OTHER_LEVEL),
        ("1:*:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", None),
        ("1:0,64:4d??(5a|5?5b){3}00:X:CL_TYPE_ANY:CL_TYPE_MSEXE", None),
        ("1:*:4d*5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", LATER + "file type by a pattern of many lengths"),
        ("1:*:4d{2-4}5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", LATER + "file type by a pattern of many lengths"),
        ("1:EOF-4:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", LATER + "file type far from the beginning"),
        ("1:1023:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", LATER + "file type far from the beginning"),
        ("1:*:4d5a:X:CL_TYPE_ZIP:CL_TYPE_MSEXE", LATER + "file type inside of another one"),
        ("1:*:????:X:CL_TYPE_ANY:CL_TYPE_MSEXE", "malformed hex"),
        ("1:*:4d(5a|5):X:CL_TYPE_ANY:CL_TYPE_MSEXE", "malformed hex"),
        ("1:*:" + "(4d|5a)" * 7 + ":X:CL_TYPE_ANY:CL_TYPE_MSEXE", "file type of too many alternatives"),
        ("4:1024:482B0004:X:CL_TYPE_PART_ANY:CL_TYPE_PART_HFSPLUS", LATER + "file type of a partition"),
        ("2:0:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", "unknown kind of magic"),
        ("0:0:4d5a:X:CL_TYPE_ANY:CL_TYPE_IGNORED", LATER + "file type without a format"),
        ("0:65535:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", LATER + "file type far from the beginning"),
        ("0:0:4d5:X:CL_TYPE_ANY:CL_TYPE_MSEXE", "malformed hex"),
        ("0:0::X:CL_TYPE_ANY:CL_TYPE_MSEXE", "malformed hex"),
        ("0:x:4d5a:X:CL_TYPE_ANY:CL_TYPE_MSEXE", "malformed offset"),
        ("0:0:4d5a:X:CL_TYPE_ANY:CL_TYPE_NONE", "unknown file type"),
        ("0:0:4d5a:X:CL_TYPE_ANY", "wrong number of fields"),
    ],
)
def test_file_types(line: str, reason: str | None) -> None:
    assert why(read_ftm, line) == reason


@pytest.mark.parametrize(
    ("pattern", "same"),
    [(rb"a\.b", rb"a\.b"), (rb"\w\1\<", rb"w1<"), (rb"[\w]\[x", rb"[\w]\[x"), (rb"[]a]\d", rb"[]a]d")],
)
def test_a_backslash_before_a_letter_says_nothing(pattern: bytes, same: bytes) -> None:
    assert posix_pattern(pattern) == same


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_taken_as_a_pattern_can_be_compiled(pattern: bytes) -> None:
    try:
        taken = posix_pattern(pattern)
    except Rejected:
        return
    assert match.is_pattern(taken)


WORDS = st.sampled_from(
    [
        "*",
        "0",
        "1",
        "2-3",
        "CL_TYPE_ZIP",
        "CL_TYPE_ANY",
        "Name",
        "4d5a",
        "",
        "x",
        "Engine:51-255",
        "(",
        "99999999999999",
    ]
)


@pytest.mark.parametrize(("reader", "kind"), READERS)
@given(lines=st.lists(st.tuples(st.sampled_from(":;"), st.lists(WORDS, max_size=13)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_is_taken_gives_an_image_that_opens(
    reader: Reader, kind: str, lines: list[tuple[str, list[str]]]
) -> None:
    rows, tally = Rows(), Tally()
    reader("\n".join(sign.join(words) for sign, words in lines).encode(), rows, tally)
    assert len(rows.rows) == tally.taken
    part = match.build_listed(
        kind, b"".join(rows.rows), bytes(rows.text), database=b"a.x", digest=bytes(32), official=False
    )
    assert match.part_is_whole(part)
    assert match.part_kind(part) == kind
