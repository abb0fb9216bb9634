"""Arguments: the product's spellings and the modern ones, and what is said to a mistake."""

from __future__ import annotations

import pytest

from kavfs.cli.arguments import OPTIONS, parse
from kavfs.cli.usage import usage
from kavfs.errors import UsageError


def options(*words: bytes) -> list[tuple[str, bytes]]:
    return [(one.option.name, one.value) for one in parse(words)[0]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([b"-Rlq"], [("recursion", b""), ("local", b""), ("quiet", b"")]),
        ([b"-qR"], [("quiet", b""), ("recursion", b"")]),
        ([b"-rq"], [("no_recursion", b""), ("quiet", b"")]),
        ([b"-ePASBME"], [("engine_switches", b"PASBME")]),
        ([b"-e", b"PASBME"], [("engine_switches", b"PASBME")]),
        ([b"-eP", b"-eA", b"-ee"], [("engine_switches", b"P"), ("engine_switches", b"A"), ("engine_switches", b"e")]),
        ([b"-Re", b"PA"], [("recursion", b""), ("engine_switches", b"PA")]),
        ([b"-o/tmp/x"], [("report_file", b"/tmp/x")]),
        ([b"-o", b"syslog"], [("report_file", b"syslog")]),
        ([b"-qo", b"-odd"], [("quiet", b""), ("report_file", b"-odd")]),
        ([b"-i0", b"-j3", b"-mCn", b"-xnp"],
         [("action", b"0"), ("report_level", b"3"), ("report_letters", b"Cn"), ("display_letters", b"np")]),
        ([b"-pi/tmp/x.lst", b"-pc", b"y"], [("list", b"/tmp/x.lst"), ("list", b"y")]),
        ([b"-@/tmp/l", b"-@", b"l"], [("files_from", b"/tmp/l"), ("files_from", b"l")]),
        ([b"--json", b"-", b"--json=x"], [("json", b"-"), ("json", b"x")]),
        ([b"--db=a=b", b"--jobs", b"2"], [("databases", b"a=b"), ("jobs", b"2")]),
        ([b"-v", b"-h", b"--help"], [("version", b""), ("help", b""), ("help", b"")]),
    ],
)  # fmt: skip
def test_a_spelling_is_understood(words: list[bytes], expected: list[tuple[str, bytes]]) -> None:
    assert options(*words) == expected


def test_paths_are_bytes_and_may_stand_anywhere() -> None:
    given, paths = parse([b"/a\xff", b"-q", b"b", b"-", b"--", b"-r", b"--json", b"--"])
    assert paths == [b"/a\xff", b"b", b"-", b"-r", b"--json", b"--"]
    assert [one.option.name for one in given] == ["quiet"]


def test_the_letter_of_a_list_is_kept() -> None:
    assert [(one.kind, one.typed) for one in parse([b"-pi", b"a", b"-Rpwb"])[0]] == [
        ("i", "-pi"),
        ("", "-R"),
        ("w", "-pw"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([b"--jbos", b"2"], "unknown option --jbos; did you mean --jobs?"),
        ([b"--exclude-dirs", b"x"], "unknown option --exclude-dirs; did you mean --exclude-dir?"),
        ([b"--nothing-like-it"], "unknown option --nothing-like-it; -h lists the options"),
        ([b"-Rlgq"], "unknown option -g in -Rlgq; -h lists the options"),
        ([b"-V"], "unknown option -V in -V; did you mean -v?"),
        ([b"-IsItInstalled"], "unknown option -I in -IsItInstalled"),
        ([b"-\xff\n"], "unknown option -\\xff in -\\xff\\n"),
        ([b"-o"], "option -o needs an argument: FILE"),
        ([b"-pi"], "option -pi needs an argument: FILE"),
        ([b"--json"], "option --json needs an argument: FILE"),
        ([b"-o", b""], "option -o needs an argument: FILE"),
        ([b"--state="], "option --state needs an argument: DIR"),
        ([b"--exclude-dir=", b"x"], "option --exclude-dir needs an argument: DIR"),
        ([b"-p", b"x"], "unknown option -p in -p; there are -pi, -ps"),
        ([b"-px", b"y"], "unknown option -px in -px; there are -pi, -ps"),
        ([b"--no-cache=1"], "option --no-cache takes no argument"),
    ],
)
def test_a_mistake_is_named_with_what_was_probably_meant(words: list[bytes], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_no_two_options_share_a_spelling() -> None:
    for spellings in ([o.letter for o in OPTIONS if o.letter], [o.word for o in OPTIONS if o.word]):
        assert len(spellings) == len(set(spellings))


def test_the_help_explains_every_option_and_every_exit_code() -> None:
    text = usage()
    for option in OPTIONS:
        assert f"  -{option.letter}" in text if option.letter else option.word in text
        assert option.help
    for code in (0, 5, 10, 15, 20, 21, 25, 30, 50, 55, 65, 66):
        assert f" {code}  " in text
    assert all(len(line) <= 110 for line in text.splitlines())
