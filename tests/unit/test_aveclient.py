"""aveclient against a server of our own: options, output, exit codes, and a server that lies, stops or floods."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.cli import described
from kavfs.report.names import shown_path
from tests.support.aveclients import SANITIZED, Conversation, answering, build, call, once, playing

CLEAN = (b"220 File is clean",)
FOUND = (b"322-Some.Virus /a/file", b"230 File is infected")
MISSING = (b"525 File not found",)


@pytest.fixture(scope="module", params=["as installed", "sanitized"])
def program(request, tmp_path_factory) -> Path:
    flags = SANITIZED if request.param == "sanitized" else ()
    return build(tmp_path_factory.mktemp("client") / "aveclient", *flags)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("client") / "aveclient")


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "socket"


# ---- what is answered, and what that is called ----


@pytest.mark.parametrize(
    ("lines", "out", "code"),
    [
        (CLEAN, "/f OK\n", 0),
        ((b"220",), "/f OK\n", 0),
        (FOUND, "/f INFECTED\nLINFECTED Some.Virus\n", 4),
        ((b"322 Some.Virus found", b"230 no"), "/f INFECTED\nLINFECTED Some.Virus\n", 4),
        ((b"322-A /f", b"322-B /f", b"230 x"), "/f INFECTED\nLINFECTED A\nLINFECTED B\n", 4),
        ((b"322-A /f", b"231 cannot be cured"), "/f INFECTED\nLINFECTED A\n", 4),
        ((b"322-H /f", b"232 File is suspicious"), "/f SUSPICION\nLSUSPICION H\n", 3),
        ((b"322-P /f", b"233 File is unwanted"), "/f WARNING\nLWARNING P\n", 2),
        ((b"322-A /f", b"221 File has been cured"), "/f CURED\nLCURED A\n", 5),
        ((b"234 File is corrupted",), "/f CORRUPTED\n", 8),
        ((b"240 File is encrypted",), "/f PROTECTED\n", 6),
        ((b"321-/f", b"325-ZIP", b"326-UPX", b"220 File is clean"), "/f OK\n", 0),
        ((b"230 File is infected",), "/f INFECTED\nLINFECTED unnamed\n", 4),
        ((b"322-", b"230 File is infected"), "/f INFECTED\nLINFECTED unnamed\n", 4),
    ],
)
def test_verdicts(program, place, lines, out, code):
    with playing(place, answering({b"/f": lines})):
        done = call(program, "-p", place, "-s", "/f")
    assert (done.out.decode(), done.err, done.code) == (out, b"", code)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"241 Scan error", 7),
        (b"401 Busy", 1),
        (b"402 Cannot be accepted", 1),
        *((b"%d Something" % number, 7) for number in (500, 501, 520, 521, 524, 525, 526, 527, 529, 599)),
        (b"200 fine", 1),
        (b"210 not known", 1),
        (b"299", 1),
        (b"700 what", 1),
    ],
)
def test_what_was_not_scanned_is_an_error_with_the_reason_on_standard_error(program, place, line, code):
    with playing(place, answering({b"/f": (line,)})):
        done = call(program, "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"/f ERROR\n", code)
    assert done.err == b"aveclient: /f: " + line + (b" " if b" " not in line else b"") + b"\n"


@pytest.mark.parametrize("last", [b"220 File is clean", b"240 x", b"234 x", b"501 x", b"241 x", b"401 x", b"200 x"])
def test_a_name_is_a_find_whatever_the_last_line_says(program, place, last):
    with playing(place, answering({b"/f": (b"322-Some.Virus /f", last)})):
        done = call(program, "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"/f INFECTED\nLINFECTED Some.Virus\n", 4)


# ---- several files ----


def test_the_exit_code_is_that_of_the_last_file(program, place):
    with playing(place, answering({b"/c": CLEAN, b"/i": FOUND})):
        assert call(program, "-p", place, "-s", "/c", "/i").code == 4
        done = call(program, "-p", place, "-s", "/i", "/c")
    assert (done.out, done.code) == (b"/i INFECTED\nLINFECTED Some.Virus\n/c OK\n", 0)


def test_no_harmless_file_hides_one_that_was_not_scanned(program, place):
    harmless = {b"/c": CLEAN, b"/p": (b"240 x",), b"/d": (b"234 x",), b"/u": (b"322-A /u", b"221 x")}
    with playing(place, answering({**harmless, b"/m": MISSING, b"/b": (b"401 busy",), b"/i": FOUND})):
        for last in harmless:
            assert call(program, "-p", place, "-s", "/m", last).code == 7
            assert call(program, "-p", place, "-s", "/c", "/b", last).code == 1
        assert call(program, "-p", place, "-s", "/m", "/i").code == 4
        assert call(program, "-p", place, "-s", "/i", "/m").code == 7


def test_all_files_go_over_one_connection_without_waiting_for_answers(program, place):
    files = [f"/folder/{i}" for i in range(200)]

    def play(talk: Conversation) -> None:
        talk.say(b"201 ready")
        for _ in files:
            talk.hear()
        talk.say(*(b"220 File is clean" for _ in files))
        talk.hear()

    with playing(place, play) as had:
        done = call(program, "-p", place, "-s", *files)
    assert done.out.decode() == "".join(f"{file} OK\n" for file in files)
    assert done.code == 0
    (talk,) = had
    assert talk.lines == [*(b"SCAN bPQRSTUW " + file.encode() for file in files), b"QUIT"]


def test_more_requests_than_are_sent_at_once(program, place):
    files = [f"/{i:04}/" + "x" * 2000 for i in range(500)]

    def play(talk: Conversation) -> None:
        talk.say(b"201 ready")
        while (line := talk.hear()) and line != b"QUIT":
            talk.say(b"322-" + line[15:19] + b" /f", b"230 File is infected")

    with playing(place, play):
        done = call(program, "-p", place, "-s", *files)
    assert [line[10:] for line in done.lines if line.startswith("LINFECTED ")] == [f"{i:04}" for i in range(500)]


# ---- options ----


@pytest.mark.parametrize(
    "words",
    [
        ("-p", "SOCKET", "-s", "/f"),
        ("-s", "-p", "SOCKET", "/f"),
        ("-s", "/f", "-p", "SOCKET"),
        ("/f", "-s", "-p", "SOCKET"),
        ("-sp", "SOCKET", "/f"),
        ("-pSOCKET", "-s", "--", "/f"),
    ],
)
@pytest.mark.parametrize("posix", [False, True])
def test_options_in_any_order(plain, place, words, posix):
    with playing(place, answering({b"/f": CLEAN})):
        env = {"POSIXLY_CORRECT": "1"} if posix else {}
        done = call(plain, *(word.replace("SOCKET", str(place)) for word in words), env=env)
    assert (done.out, done.code) == (b"/f OK\n", 0)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-p", "/socket"),
        ("-s",),
        ("-s", "-p", "/socket"),
        ("-p", "/socket", "/f"),
        ("-s", "/f", "-p"),
        ("-q", "-s", "/f"),
        ("--what", "-s", "/f"),
        ("-t", "0", "-s", "/f"),
        ("-t", "1x", "-s", "/f"),
        ("-t", "99999999999999999999", "-s", "/f"),
    ],
)
def test_what_is_missing_or_wrong_is_exit_code_9(program, words):
    done = call(program, *words)
    assert (done.out, done.code) == (b"", 9)
    assert done.err.endswith(b"try aveclient -h\n")


def test_version_and_help(program):
    for word in ("-v", "--version"):
        assert call(program, word).out.decode().startswith("aveclient 0")
    for word in ("-h", "--help"):
        done = call(program, word)
        assert done.code == 0
        assert b"-p SOCKET" in done.out


def test_the_manual_page_has_what_the_help_says(plain):
    told = re.findall(r"^  (-.*?)  +(.*)$", call(plain, "-h").out.decode(), re.MULTILINE)
    made = [
        (", ".join(o.spellings) + (f" {o.value}" if o.value else ""), o.help) for o in described.aveclient().options
    ]
    assert sorted(told) == sorted(made)


def test_no_server_is_exit_code_1(program, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "none", tmp_path / "file", tmp_path / ("x" * 200), ""):
        done = call(program, "-p", place, "-s", "/f")
        assert (done.out, done.code) == (b"", 1)
        assert done.err.startswith(b"aveclient: " + bytes(str(place), "ascii") + b": ")


@pytest.mark.parametrize(
    "text",
    [
        "[path]\nLocalSocketPath=@\n",
        "[Other]\nLocalSocketPath=/no\n[path]\nBasesPath=/x\n  localsocketpath = @  \r\n",
        '[path]\n# LocalSocketPath=/no\n;LocalSocketPath=/no\nLocalSocketPath="@"\n',
        "\n[path]\nLocal\\\nSocketPath=@",
    ],
)
def test_the_socket_of_a_configuration(program, tmp_path, place, text):
    (tmp_path / "conf").write_text(text.replace("@", str(place)))
    with playing(place, answering({b"/f": CLEAN})):
        done = call(program, "-c", tmp_path / "conf", "-s", "/f")
    assert (done.out, done.code) == (b"/f OK\n", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[path]\nLocalSocketPath=\n",
        "[path]\nLocalSocketPath=no\n",
        "[other]\nLocalSocketPath=/x\n",
        "LocalSocketPath=/x\n[path]\nx" + "\\\n" * 9,
    ],
)
def test_a_configuration_without_socket_leaves_the_usual_one(program, tmp_path, text):
    (tmp_path / "conf").write_text(text)
    done = call(program, "-c", tmp_path / "conf", "-s", "/f")
    if not Path("/run/kavfs/aveserver").exists():
        assert done.err.startswith(b"aveclient: /run/kavfs/aveserver: ")
        assert done.code == 1


def test_a_configuration_that_is_not_there_is_told(program, tmp_path):
    done = call(program, "-c", tmp_path / "none", "-s", "/f")
    assert (done.out, done.code) == (b"", 7)


# ---- names ----


def test_relative_names_become_whole(program, tmp_path, place):
    with playing(place, answering({b"": CLEAN})) as had:
        done = call(program, "-p", "socket", "-s", "a b", "./c", "../d", cwd=tmp_path)
    whole = [f"{tmp_path}/{name}" for name in ("a b", "./c", "../d")]
    assert done.lines == [f"{name} OK" for name in whole]
    assert had[0].lines == [*(f"SCAN bPQRSTUW {name}".encode() for name in whole), b"QUIT"]


def test_relative_names_in_the_topmost_folder(plain, place):
    with playing(place, answering({b"": CLEAN})) as had:
        assert call(plain, "-p", place, "-s", "f", cwd=Path("/")).out == b"/f OK\n"
    assert had[0].lines[0] == b"SCAN bPQRSTUW /f"


@pytest.mark.parametrize("name", ["", "/a\nSCAN x /b", "/a\r", "/" + "x" * 4096, "/a\n"])
def test_names_that_cannot_be_asked_for_are_errors_in_their_place(program, place, name):
    with playing(place, answering({b"/c": CLEAN})) as had:
        done = call(program, "-p", place, "-s", "/c", name, "/c")
    assert done.lines[0] == done.lines[2] == "/c OK"
    assert done.lines[1].endswith(" ERROR")
    assert len(done.lines) == 3
    assert done.code == 7
    assert had[0].lines == [b"SCAN bPQRSTUW /c", b"SCAN bPQRSTUW /c", b"QUIT"]


AWKWARD = [
    b"/tmp/x OK\t\x1b[2J",
    b"/\xc2\x85\xe2\x80\xae\xe2\x80\xa8\xd8\x9c\xe2\x81\xa6",
    b"/\\n INFECTED of.what",
    b"/INFECTED\xc2\xa0WARNING SUSPICIOUSLY SUSPICION SUSPICIOUS",
    b"/\x80\x9f\xa0\xff\xc2",
    b"/\xed\xa0\x80\xf4\x90\x80\x80\xc0\xaf\xe0\x80\xaf",
    "/Ärger 你好 😀".encode(),
]


@pytest.mark.parametrize("name", AWKWARD)
def test_names_are_written_as_the_scanner_writes_them(program, place, name):
    with playing(place, answering({b"": CLEAN})):
        done = call(program, "-p", place, "-s", name)
    assert done.out == shown_path(name, raw=True) + b" OK\n"


@given(
    st.lists(
        st.binary(max_size=12)
        | st.text(max_size=8).map(lambda t: t.encode("utf-8", "surrogatepass"))
        | st.sampled_from([b"INFECTED", b"WARNING", b" ", "\u3000".encode(), b"SUSPICION"]),
        max_size=6,
    )
)
def test_any_name_is_written_as_the_scanner_writes_it(plain, tmp_path_factory, parts):
    name = b"/" + b"".join(parts).replace(b"\0", b"").replace(b"\n", b"").rstrip(b"\r")
    place = tmp_path_factory.mktemp("any") / "s"
    with playing(place, answering({b"": CLEAN})):
        assert call(plain, "-p", place, "-s", name).out == shown_path(name, raw=True) + b" OK\n"


def test_on_a_terminal_bytes_that_are_no_text_are_escaped(plain, place):
    ours, theirs = pty.openpty()
    with playing(place, answering({b"": CLEAN})), os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run([plain, "-p", place, "-s", b"/\xff\xa0"], stdout=theirs, check=True, timeout=60)
        os.close(theirs)
        assert screen.read(100) == b"/\\xff\\xa0 OK\r\n"


def test_names_and_reasons_of_the_server_are_escaped_too(program, place):
    answers = {b"/f": (b"322-A\x1b[2J\xe2\x80\xaeB\\x1b /f", b"230 x"), b"/g": (b"501 \x1b[2J INFECTED now",)}
    with playing(place, answering(answers)):
        done = call(program, "-p", place, "-s", "/f", "/g")
    assert done.out == b"/f INFECTED\nLINFECTED A\\x1b[2J\\u202eB\\x1b\n/g ERROR\n"
    assert done.err == b"aveclient: /g: 501 \\x1b[2J \\x49NFECTED now\n"


# ---- a server that is none ----


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"2",
        b"220",
        b"220 File is clean",  # without an end: who knows what was to follow
        b"220 File is clean\r",
        b"322-Some.Virus /f\r\n",
        b"321-/f\r\n325-ZIP\r\n",
        b"\r\n220 File is clean\r\n",
        b"220\x00 File is clean\r\n",
        b"220\tFile is clean\r\n",
        b"220File is clean\r\n",
        b" 220 File is clean\r\n",
        b"2200 File is clean\r\n",
        b"OK\r\n",
        b"/f: OK\n",
        b"\xff\xfe\x00\x01" * 50 + b"\n",
        b"HTTP/1.1 200 OK\r\n\r\n220 File is clean\r\n",
        b"22\n0 File is clean\r\n",
    ],
)
def test_half_and_senseless_answers_are_never_clean(program, place, content):
    with playing(place, once(content)):
        done = call(program, "-p", place, "-s", "/f", "/g")
    assert (done.out, done.code) == (b"/f ERROR\n/g ERROR\n", 1)


def test_a_line_that_says_clean_and_more_is_no_end(program, place):
    with playing(place, once(b"220-File is clean\r\n220 File is clean\r\n")):
        done = call(program, "-p", place, "-s", "/f", "/g")
    assert (done.out, done.code) == (b"/f ERROR\n/g ERROR\n", 1)


def test_a_line_without_end_is_given_up(program, place):
    with playing(place, once(b"220 " + b"x" * 200_000, end=False)):
        done = call(program, "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"/f ERROR\n", 1)


def test_long_lines_within_reason_are_read(program, place):
    with playing(place, answering({b"/f": (b"322-" + b"n" * 15_000 + b" /" + b"p" * 40_000, b"230 x")})):
        done = call(program, "-p", place, "-s", "/f")
    assert done.out == b"/f INFECTED\nLINFECTED " + b"n" * 15_000 + b"\n"


def test_more_names_than_are_kept_are_still_a_find(program, place):
    with playing(place, answering({b"/f": (*(b"322-" + b"n" * 60_000 + b" /f" for _ in range(9)), b"230 x")})):
        done = call(program, "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"/f INFECTED\nLINFECTED unnamed\n", 4)
    with playing(place, answering({b"/f": (*(b"322-%05d /f" % i for i in range(5000)), b"230 x")})):
        done = call(program, "-p", place, "-s", "/f")
    assert done.lines[:2] == ["/f INFECTED", "LINFECTED 00000"]
    assert done.code == 4


def test_a_server_that_never_answers_is_left_after_the_time_limit(program, place):
    with playing(place, once(b"", end=False)):
        done = call(program, "-t", "1", "-p", place, "-s", "/f", "/g")
    assert (done.out, done.code) == (b"/f ERROR\n/g ERROR\n", 1)
    assert b"/f: it did not answer in time" in done.err


def test_a_server_that_talks_without_end_is_left_after_the_time_limit(program, place):
    def play(talk: Conversation) -> None:
        talk.say(b"201 ready")
        while True:
            talk.say(*(b"321-still at it" for _ in range(100)))

    with playing(place, play):
        done = call(program, "-t", "1", "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"/f ERROR\n", 1)


def test_a_server_that_never_greets_is_left_after_the_time_limit(program, place):
    with playing(place, lambda talk: talk.hear() and None):
        done = call(program, "-t", "1", "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"", 1)


@pytest.mark.parametrize(
    "greeting", [b"220 mail.example.org ESMTP", b"401 Too many", b"2011 x", b"201-x", b"+OK", b"", b"220 File is clean"]
)
def test_whoever_does_not_greet_as_aveserver_is_asked_nothing(program, place, greeting):
    def play(talk: Conversation) -> None:
        talk.say(greeting, b"220 File is clean")
        talk.hear()

    with playing(place, play) as had:
        done = call(program, "-p", place, "-s", "/f")
    assert (done.out, done.code) == (b"", 1)
    assert [line for line in had[0].lines if line.startswith(b"SCAN")] == []


def test_a_server_that_dies_between_two_files(program, place):
    def play(talk: Conversation) -> None:
        talk.say(b"201 ready")
        talk.hear()
        talk.say(b"220 File is clean")

    with playing(place, play):
        done = call(program, "-p", place, "-s", "/f", "/g", "/h")
    assert (done.out, done.code) == (b"/f OK\n/g ERROR\n/h ERROR\n", 1)


def test_answers_that_come_in_single_bytes(program, place):
    def play(talk: Conversation) -> None:
        for byte in b"201 ready\r\n":
            talk.socket.sendall(bytes([byte]))
        talk.hear()
        for byte in b"322-A /f\r\n230 File is infected\r\n":
            talk.socket.sendall(bytes([byte]))
        talk.hear()

    with playing(place, play):
        assert call(program, "-p", place, "-s", "/f").out == b"/f INFECTED\nLINFECTED A\n"


def test_output_that_cannot_be_written_is_no_success(program, place):
    with playing(place, answering({b"": CLEAN})), open("/dev/full", "wb") as full:
        done = subprocess.run([program, "-p", place, "-s", "/f"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 7
