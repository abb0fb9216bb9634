"""Configuration files that other programs have read and saved again: the same settings come out."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kavfs.config.ini import parse, unquoted, written
from kavfs.config.load import load
from kavfs.config.settings import Settings

SHIPPED = Path(__file__).resolve().parents[2] / "conf" / "kavfs.conf"
MANY = """\
# a comment
[path]
TempPath=/tmp
[locale]
DateFormat=%Y-%m-%d
[scanner.options]
ExcludeDirs=/dev:/home/a b
ExcludeMask=*.iso:*;1
Archives=no
MaxDepth=7
MaxLoadAvg=0.5
[scanner.object]
OnInfected=exec echo "%FULLPATH%/%FILENAME%" is bad | mail -s "a subject" root; remove
OnWarning=
[scanner.container]
OnInfected=movePath /var/quarantine
[scanner.report]
ReportFileName=/var/log/kav scan.log
ReportFileMode=0640
ShowOk=no
[scanner.notify]
Mail=root,admin@example.org
"""


def loaded(path: Path, text: str) -> Settings:
    """Settings of *text*; places of actions, which move, left out."""
    path.write_text(text)
    settings = load(os.fsencode(path))
    actions = [(entry.section, entry.key, entry.value) for entry in settings.actions]
    return settings._replace(actions=tuple(sorted(actions)))  # type: ignore[type-var, arg-type]  # only compared


def by_configparser(text: str) -> str:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    lines: list[str] = []

    class Sink:
        def write(self, part: str) -> None:
            lines.append(part)

    parser.write(Sink())  # type: ignore[arg-type]  # all it needs
    return "".join(lines)


def by_php(text: str, escape: bool) -> str:
    """As the usual write_ini_file() does after parse_ini_file(): yes is 1, no is nothing, the rest is quoted."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # PHP keeps the case of names
    parser.read_string(text)
    words = {"yes": "1", "no": ""}
    lines = []
    for section in reversed(parser.sections()):
        lines.append(f"[{section}]")
        for name, value in parser[section].items():
            saved = words.get(value, value)
            if escape:
                saved = saved.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{name} = "{saved}"' if not saved.isdigit() or len(saved) > 1 else f"{name} = {saved}")
    return "\r\n".join(lines)


@pytest.mark.parametrize("text", [MANY, SHIPPED.read_text()], ids=["many", "shipped"])
def test_a_file_saved_by_another_program_says_the_same(tmp_path: Path, text: str) -> None:
    before = loaded(tmp_path / "before", text)
    assert loaded(tmp_path / "python", by_configparser(text)) == before
    assert loaded(tmp_path / "php", by_php(text, escape=True)) == before


def test_a_writer_that_does_not_escape_is_understood_where_that_can_be(tmp_path: Path) -> None:
    text = MANY
    assert loaded(tmp_path / "php", by_php(text, escape=False)) == loaded(tmp_path / "before", text)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b'"/a b"', b"/a b"),
        (b'""', b""),
        (rb'"say \"yes\" \\ no"', rb'say "yes" \ no'),
        (b'"a" "b"', b'"a" "b"'),  # a command with two quoted words is not one quoted value
        (b'"a', b'"a'),
        (b"'/a b'", b"'/a b'"),
        (rb"a\"b", rb"a\"b"),
    ],
)
def test_quotes_around_a_whole_value_are_taken_off(value: bytes, read: bytes) -> None:
    assert unquoted(value) == read


@given(st.binary(max_size=20).filter(lambda value: not set(value) & {0, 10, 13}))
def test_what_is_written_is_read_again(value: bytes) -> None:
    value = value.strip()
    (entry,) = parse(b"[a]\nb=" + written(value) + b"\n", "f")
    assert entry.value == value


def test_a_backslash_joins_lines_as_the_manual_writes_them() -> None:
    text = b"[a]\nOnInfected=exec /opt/kav\\\n/contrib/vox.sh %FULLPATH% \\\r\n  end\nb=1\n# c\\\nd=2\n"
    entries = [(entry.key, entry.value, entry.place) for entry in parse(text, "f")]
    assert entries == [
        ("OnInfected", b"exec /opt/kav/contrib/vox.sh %FULLPATH%   end", "f:2"),
        ("b", b"1", "f:5"),
        ("d", b"2", "f:7"),
    ]


def test_a_backslash_at_the_end_of_the_file_joins_nothing() -> None:
    (entry,) = parse(b"[a]\nb=1\\", "f")
    assert entry.value == b"1"
