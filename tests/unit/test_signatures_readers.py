"""Readers of database lines: what is taken with which fields, and why the near miss is not."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kavfs._native.match import PatternError, SegmentBuilder, part_is_whole
from kavfs.signatures.ignore import read_ign2, without_muted
from kavfs.signatures.kinds import LATER, READ, kind_of
from kavfs.signatures.ldb import read_ldb
from kavfs.signatures.lines import LEVEL, LISTED_MAX, OTHER_LEVEL, SWITCHED_OFF, Tally
from kavfs.signatures.ndb import read_db, read_ndb

NOT_READ_YET = [
    "cbc", "yar", "yara", "info", "cfg", "wdb", "pdb",
]  # fmt: skip
HEX = b"68656c6c6f20776f726c64"


class Recorder:
    """A builder that keeps what it is given, and refuses hex with a 'z' as the real one refuses malformed hex."""

    def __init__(self):
        self.patterns = []
        self.probes = []
        self.signatures = []
        self.conditions = []

    def pattern(self, hex, offset, modifiers):
        if b"z" in hex:
            raise PatternError("malformed hex")
        self.patterns.append((hex, offset, modifiers))
        return len(self.patterns) - 1

    def probe(self, text, own):
        self.probes.append((text, own))
        return 2**31 + len(self.probes) - 1

    def signature(self, name, line, target, patterns, expression, min_size, max_size, conditions=None):
        self.signatures.append((name, line, target, patterns, expression, min_size, max_size))
        self.conditions.append(conditions)


def read(reader, text):
    recorder, tally = Recorder(), Tally()
    reader(text, recorder, tally)
    return recorder, tally


def why(reader, line):
    """The reason for which *line* is not taken; None when it is."""
    recorder, tally = read(reader, line)
    assert (tally.taken, len(recorder.signatures)) == ((0, 0) if tally.reasons else (1, 1))
    return next(iter(tally.reasons), None)


# -- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_line_gives_one_signature_with_one_pattern():
    recorder, tally = read(read_ndb, b"Some.Name-1:3:EOF-10,4:" + HEX + b"\n")
    assert recorder.patterns == [(HEX, b"EOF-10,4", b"")]
    assert recorder.signatures == [(b"Some.Name-1", 1, 3, [0], None, 0, 0)]
    assert (tally.taken, tally.comments, tally.reasons) == (1, 0, {})


@pytest.mark.parametrize("target", [b"", b"*", b"0", b"00"])
def test_a_body_without_target_type_is_for_any_object(target):
    recorder, _ = read(read_ndb, b"N:" + target + b":*:" + HEX)
    assert recorder.signatures[0][2] == 0


@pytest.mark.parametrize("levels", [b":216", b":51:216", b":", b"::216", b":216:300"])
def test_a_range_of_levels_that_has_ours_is_taken(levels):
    assert why(read_ndb, b"N:0:*:" + HEX + levels) is None


@pytest.mark.parametrize("levels", [b":217", b":1:215", b"::215", b":300:400", b":51:", b"::"])
def test_a_range_of_levels_without_ours_is_counted_as_for_another_engine(levels):
    assert LEVEL == 216
    assert why(read_ndb, b"N:0:*:" + HEX + levels) == OTHER_LEVEL


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"N:0:*", "wrong number of fields"),
        (b"N:0:*:" + HEX + b":1:2:3", "wrong number of fields"),
        (b":0:*:" + HEX, "no name"),
        (b"N:x:*:" + HEX, "malformed target type"),
        (b"N:-1:*:" + HEX, "malformed target type"),
        (b"N:8:*:" + HEX, "target type without objects"),
        (b"N:13:*:" + HEX, "target type without objects"),
        (b"N:0:*:" + HEX + b":x", "malformed engine level"),
        (b"N:0:*:zz", "malformed hex"),
        (b"   ", "wrong number of fields"),
    ],
)
def test_a_body_line_that_is_not_taken_has_its_reason(line, reason):
    assert why(read_ndb, line) == reason


def test_names_stay_as_they_are_even_with_blanks_and_slashes():
    recorder, _ = read(read_ndb, b"{HEX}php.cmdshell /a b:0:*:" + HEX)
    assert recorder.signatures[0][0] == b"{HEX}php.cmdshell /a b"


# -- all text kinds --------------------------------------------------------------------------------------------------


def test_each_line_is_taken_a_comment_or_rejected_with_its_number():
    text = b"# words\r\n\r\nA:0:*:" + HEX + b"\r\nbroken\nB:0:*:" + HEX + b"\n\nC:0:*:zz"
    recorder, tally = read(read_ndb, text)
    assert [(s[0], s[1]) for s in recorder.signatures] == [(b"A", 3), (b"B", 5)]
    assert tally.listed == [(4, "wrong number of fields"), (7, "malformed hex")]
    assert (tally.taken, tally.comments, sum(tally.reasons.values())) == (2, 3, 2)
    assert tally.taken + tally.comments + 2 == len(text.splitlines())


@pytest.mark.parametrize("text", [b"", b"\n", b"# only words\n", b"# no newline"])
def test_files_without_signatures_have_only_comments(text):
    _, tally = read(read_ndb, text)
    assert (tally.taken, tally.comments, tally.reasons) == (0, len(text.splitlines()), {})


def test_bytes_that_are_no_text_are_rejected_and_do_no_harm():
    _, tally = read(read_ldb, bytes(range(256)) * 40)
    assert tally.taken == 0
    assert tally.malformed == 40 * 2 - 39  # lines between the newlines


def test_more_rejected_lines_than_are_listed_are_still_counted():
    _, tally = read(read_ndb, b"x\n" * (LISTED_MAX + 5))
    assert len(tally.listed) == LISTED_MAX
    assert tally.reasons == {"wrong number of fields": LISTED_MAX + 5}


# -- logical signatures ----------------------------------------------------------------------------------------------


def test_a_logical_line_gives_its_parts_in_order_and_its_expression():
    line = b"Log.Name-2;Engine:51-255,FileSize:100-5000,Target:1;0&(1|2)&3>2;6161;10,20:6262::iw;EOF-8:6363;*:6464::f"
    recorder, _ = read(read_ldb, line)
    assert recorder.patterns == [
        (b"6161", b"*", b""),
        (b"6262", b"10,20", b"iw"),
        (b"6363", b"EOF-8", b""),
        (b"6464", b"*", b"f"),
    ]
    assert recorder.signatures == [(b"Log.Name-2", 1, 1, [0, 1, 2, 3], b"0&(1|2)&3>2", 100, 5000)]


@pytest.mark.parametrize("engine", [b"", b"Engine:51-255,", b"Engine:216-216,", b"Engine:-255,"])
def test_a_logical_line_for_our_level_is_taken(engine):
    assert why(read_ldb, b"N;" + engine + b"Target:0;0;" + HEX) is None


@pytest.mark.parametrize("engine", [b"Engine:217-255,", b"Engine:1-215,"])
def test_a_logical_line_for_another_level_is_counted_as_such(engine):
    assert why(read_ldb, b"N;" + engine + b"Target:0;0;" + HEX) == OTHER_LEVEL
    assert why(read_ldb, b"N;" + engine + b"FileSize:1-2,Target:0;0;" + HEX) == OTHER_LEVEL


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (b"Engine:51-255", "no target type"),
        (b"", "malformed attributes"),
        (b"Target:0,Engine:51-255", "Engine is not the first attribute"),
        (b"Target:0,FileSize:1-2", "attributes that need a higher engine level"),
        (b"Engine:50-255,Target:0,FileSize:1-2", "attributes that need a higher engine level"),
        (b"Target", "malformed attributes"),
        (b"Target:0,", "malformed attributes"),
        (b"Target:0 ", "malformed target type"),
        (b"Target:8", "target type without objects"),
        (b"Engine:51,Target:0", "malformed range in attributes"),
        (b"Target:0,FileSize:49", "malformed range in attributes"),
        (b"Target:0,FileSize:a-b", "malformed range in attributes"),
        (b"Target:0,Colour:red", "unknown attribute"),
        (b"target:0", "unknown attribute"),
        (b"Engine:51-255,Target:0,Container:CL_TYPE_ZAP", "unknown file type"),
        (b"Engine:51-255,Target:0,Container:ZIP", "unknown file type"),
        (b"Engine:51-255,Target:0,Intermediates:CL_TYPE_ZIP>", "unknown file type"),
        (b"Engine:51-255,Target:0,HandlerType:CL_TYPE_", "unknown file type"),
        (b"Engine:51-255,Target:0,EntryPoint:1-2", "entry point or sections of what is no executable"),
        (b"Engine:51-255,Target:2,NumberOfSections:1-2", "entry point or sections of what is no executable"),
        (b"Engine:51-255,Target:1,EntryPoint:1", "malformed range in attributes"),
        (b"Engine:51-255,Target:6,IconGroup1:X", "icons of what is no PE file"),
    ],
)
def test_attributes_that_are_not_taken_have_their_reason(attributes, reason):
    assert why(read_ldb, b"N;" + attributes + b";0;" + HEX) == reason


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (b"zz", "malformed hex"),
    ],
)
def test_a_part_that_is_not_taken_rejects_the_whole_signature(part, reason):
    assert why(read_ldb, b"N;Target:1;0&1;" + HEX + b";" + part) == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"N;Target:0;0", "wrong number of fields"),
        (b"text", "wrong number of fields"),
        (b";Target:0;0;6161", "no name"),
    ],
)
def test_a_logical_line_needs_all_its_fields(line, reason):
    assert why(read_ldb, line) == reason


@pytest.mark.parametrize(
    "part", [b"0/a;b:#c/i", b"100:0/a(b#c#d)\\/;/", b"0(>>26#ib2#>512)", b"${5-60}3$", b"fuzzy_img#af2ad01ed42993c7#0"]
)
def test_a_part_that_is_no_pattern_is_a_probe_with_its_number(part):
    recorder, tally = read(read_ldb, b"N;Target:1;0&1;" + HEX + b";" + part)
    assert (recorder.patterns, recorder.probes) == ([(HEX, b"*", b"")], [(part, 1)])
    assert tally.taken == 1


# -- ignored names ---------------------------------------------------------------------------------------------------


def test_ignored_names_are_taken_in_each_spelling():
    tally = Tally()
    names, muted = read_ign2(
        b"# words\nPlain.Name-1\nfile.ndb:17:Placed.Name-2\nPrinted.Name-3.UNOFFICIAL\nPlain.Name-1\n", tally
    )
    assert (names, muted) == ([b"Plain.Name-1", b"Placed.Name-2", b"Printed.Name-3"], [])
    assert (tally.taken, tally.comments, tally.reasons) == (4, 1, {})


def test_lines_named_by_digest_do_not_silence_the_whole_name():
    tally = Tally()
    names, muted = read_ign2(b"Name:5B5bf989e9742b85563e2de5e3198fb5\nName:5b5b\n:\na:1:Name:5b5b\n", tally)
    assert (names, muted) == ([], [(b"Name", "5b5bf989e9742b85563e2de5e3198fb5")])
    assert tally.reasons == {"malformed digest": 1, "no name": 1, "wrong number of fields": 1}


def test_a_line_that_is_silent_by_its_digest_leaves_the_others_where_they_are():
    lines = [b"Good.Name-1:0:*:61626364", b"Some.Name-1:0:*:61626364", b"Some.Name-1:0:*:61626365"]
    muted = [(b"Some.Name-1", hashlib.md5(lines[1]).hexdigest()), (b"Good.Name-1", hashlib.md5(lines[2]).hexdigest())]
    for end in (b"\n", b"\r\n"):
        text = without_muted(end.join(lines), muted)
        assert text.splitlines() == [lines[0], b"#", lines[2]]
    assert without_muted(b"\n".join(lines), ()) == b"\n".join(lines)


# -- kinds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["ndb", "ldb", "hdb", "hsb", "fp", "sfp", "ign2"])
def test_kinds_that_are_read(ending):
    assert kind_of(b"any." + ending.encode()) == ending
    assert kind_of(b"ANY." + ending.upper().encode()) == ending
    assert ending in READ


@pytest.mark.parametrize("ending", NOT_READ_YET)
def test_kinds_that_are_known_and_not_read_yet(ending):
    assert kind_of(b"any." + ending.encode()) == ending
    assert ending in LATER


@pytest.mark.parametrize("name", [b"README", b"freshclam.dat", b"ndb", b"a.ndb.bak", b"a.\xff", b""])
def test_other_files_are_no_databases(name):
    assert kind_of(name) is None


# -- anything at all -------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    b"Name Engine:51-255 Target:1 0&1 0 * EOF-5 6162 61??62{3-4}6364 (61|62)6364 \0 \xff { [ !( :: /a/ # ${ -1 x".split(
        b" "
    )
)
LINES = st.lists(st.tuples(WORDS, st.sampled_from([b":", b";", b",", b"\n", b"\r\n", b""])).map(b"".join), max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.one_of(LINES.map(b"".join), st.binary(max_size=300)), st.sampled_from([read_ndb, read_ldb]))
def test_whatever_stands_in_a_file_every_line_is_accounted_for(text, reader):
    builder, tally = SegmentBuilder(b"x.ndb", bytes(32), False), Tally()
    reader(text, builder, tally)
    lines = text.split(b"\n")
    assert tally.taken + tally.comments + sum(tally.reasons.values()) == len(lines) - (lines[-1] == b"")
    assert builder.signature_count == tally.taken
    assert part_is_whole(builder.finish())


# -- bodies of the oldest form ---------------------------------------------------------------------------------------


def test_the_oldest_form_is_for_any_object_anywhere():
    recorder, tally = read(read_db, b"Old.Name (a)=" + HEX + b"\n")
    assert recorder.patterns == [(HEX, b"*", b"")]
    assert recorder.signatures == [(b"Old.Name (a)", 1, 0, [0], None, 0, 0)]
    assert tally.taken == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Name==" + HEX, SWITCHED_OFF),
        (b"=" + HEX, "no name"),
        (b"Name:0:*:" + HEX, "wrong number of fields"),
        (b"Name=zz", "malformed hex"),
    ],
)
def test_a_line_of_the_oldest_form_that_is_none(line, reason):
    assert why(read_db, line) == reason
