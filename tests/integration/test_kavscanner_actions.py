"""kavscanner acts: what -i and the configuration ask for happens or is refused, and every report says so."""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import zipfile
from pathlib import Path

import pytest

from kavfs.model import OUTCOMES, Status
from tests.support.jsonschema import violations
from tests.support.kavscanner import CHECKOUT
from tests.support.programs import EICAR
from tests.support.shelled import Desk

SCHEMA = json.loads((CHECKOUT / "kavfs" / "report" / "schema.json").read_text())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "home")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "plain.com").write_bytes(EICAR)
    (tree / "packed.gz").write_bytes(gzip.compress(EICAR))
    with zipfile.ZipFile(tree / "curable.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bad.com", EICAR)
        archive.writestr("fine.txt", "fine")
    (tree / "clean.txt").write_text("clean")
    return tree


def left(tree: Path) -> set[str]:
    return set(os.listdir(tree)) - {"clean.txt"}


def records(text: bytes) -> list[dict[str, object]]:
    found = [json.loads(line) for line in text.decode("ascii").splitlines()]
    for record in found:
        assert violations(record, SCHEMA) == []
    return found


@pytest.mark.parametrize(
    ("words", "stay", "cured"),
    [
        ("", {"plain.com", "packed.gz", "curable.zip"}, False),
        ("-i0", {"plain.com", "packed.gz", "curable.zip"}, False),
        ("-i1", {"plain.com", "packed.gz", "curable.zip"}, True),
        ("-i2", {"packed.gz", "curable.zip"}, True),
        ("-i3", {"curable.zip"}, True),
        ("-i4", set(), False),
        ("-i3 --keep-container", {"packed.gz", "curable.zip"}, True),
        ("-i4 --keep-container", {"packed.gz", "curable.zip"}, False),
        ("-i4 --report-only", {"plain.com", "packed.gz", "curable.zip"}, False),
        ("-i4 -i0", {"plain.com", "packed.gz", "curable.zip"}, False),
    ],
)
def test_what_the_digits_do(desk: Desk, tree: Path, words: str, stay: set[str], cured: bool) -> None:
    done = desk.shell(f"kavscanner {words} --json - {tree}")
    assert done.code == 25
    assert left(tree) == stay
    assert (tree / "clean.txt").read_text() == "clean"
    if "curable.zip" in stay:
        with zipfile.ZipFile(tree / "curable.zip") as archive:
            assert ("bad.com" in archive.namelist()) != cured
            assert archive.read("fine.txt") == b"fine"
    statuses = {str(r["path"]).rsplit("/", 1)[-1]: r["status"] for r in records(done.out) if r["type"] == "result"}
    assert statuses["curable.zip"] == ("cured" if cured else "infected")
    assert statuses["plain.com"] == ("curefailed" if cured else "infected")


def test_cure_by_the_configuration_and_the_exit_code_of_all_cured(desk: Desk, tree: Path) -> None:
    desk.configure("[scanner.options]\nCure=yes\n")
    done = desk.shell(f"kavscanner {tree}/curable.zip")
    assert done.code == OUTCOMES[Status.CURED].exit_code == 5
    assert f"{tree}/curable.zip/bad.com CURED EICAR-Test-File" in done.lines
    assert desk.shell(f"kavscanner {tree}/curable.zip").code == 0
    with zipfile.ZipFile(tree / "curable.zip", "a") as archive:
        archive.writestr("again.com", EICAR)
    assert desk.shell(f"kavscanner -i0 {tree}/curable.zip").code == 25, "an option wins over the configuration"


def test_an_action_that_fails_is_a_line_a_field_and_an_error(desk: Desk, tree: Path) -> None:
    desk.configure("[scanner.options]\nCure=yes\n[scanner.container]\nOnCured=exec echo no such luck; exit 3\n")
    done = desk.shell(f"kavscanner {tree}/curable.zip")
    assert done.code == 30, "everything is cured, but not everything was done"
    assert f"{tree}/curable.zip: exec failed: exit code 3: no such luck" in done.lines
    assert "Actions: backup: 1, cure: 1, failed: 1" in done.lines
    with zipfile.ZipFile(tree / "curable.zip", "a") as archive:
        archive.writestr("again.com", EICAR)
    found = records(desk.shell(f"kavscanner --json - {tree}/curable.zip").out)
    (result,) = [record for record in found if record["type"] == "result"]
    assert result["deeds"][-1] == {"verb": "exec", "done": False, "text": "exit code 3: no such luck"}
    assert (found[-1]["deeds"], found[-1]["deeds_failed"], found[-1]["exit_code"]) == ({"backup": 1, "cure": 1}, 1, 30)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("OnInfected=delete", "there is no action 'delete'"),
        ("OnError=exec echo '%FILENAME%'", "%FILENAME% cannot stand inside single quotes"),
        ("OnCured=move somewhere", "move needs the absolute path"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_touched(
    desk: Desk, tree: Path, line: str, said: str
) -> None:
    desk.configure(f"[scanner.container]\n{line}\n")
    before = left(tree)
    done = desk.shell(f"kavscanner -i4 -o {tree}/report {tree}")
    assert done.code == 65
    assert f"{desk.conf}:4: {line.partition('=')[0]}: {said}" in done.err.decode()
    assert left(tree) == before


def test_the_lists_hold_what_is_so_in_the_end(desk: Desk, tree: Path, tmp_path: Path) -> None:
    desk.shell(f"kavscanner -q -i1 -pi {tmp_path}/i -pa {tmp_path}/a {tree}")
    infected = {f"{tree}/plain.com", f"{tree}/packed.gz"}
    assert set((tmp_path / "i").read_text().splitlines()) == infected
    assert set((tmp_path / "a").read_text().splitlines()) == {*infected, f"{tree}/curable.zip"}


def test_what_is_known_already_is_acted_upon(desk: Desk, tree: Path) -> None:
    with zipfile.ZipFile(tree / "part.zip", "w") as archive:
        archive.writestr("x.txt", "some text that is long enough to be damaged")
    whole = bytearray((tree / "part.zip").read_bytes())
    whole[whole.index(b"long enough")] ^= 1
    (tree / "part.zip").write_bytes(whole)
    for name in ("plain.com", "packed.gz", "curable.zip"):
        (tree / name).unlink()
    assert desk.shell(f"kavscanner {tree}").code == 15
    desk.configure("[scanner.container]\nOnCorrupted=quarantine\n")
    done = desk.shell(f"kavscanner {tree}")
    assert done.code == 15
    assert left(tree) == set()


def test_quarantine_can_be_given_back(desk: Desk, tree: Path) -> None:
    desk.configure("[scanner.object]\nOnInfected=quarantine\n")
    (tree / "plain.com").chmod(0o640)
    done = desk.shell(f"kavscanner {tree}/plain.com")
    (line,) = [line for line in done.lines if ": quarantine: item " in line]
    item = line.split(": quarantine: item ")[1].split()[0]
    desk.program("kavfs", f'exec {sys.executable} -m kavfs.cli.kavfs "$@"')
    back = desk.shell(f"kavfs quarantine restore --state {desk.state} {item}")
    assert back.code == 0, back.err
    assert (tree / "plain.com").read_bytes() == EICAR
    assert (tree / "plain.com").stat().st_mode & 0o777 == 0o640


def test_our_own_stores_are_not_scanned(desk: Desk, tmp_path: Path) -> None:
    within = tmp_path / "all"
    within.mkdir()
    (within / "bad.com").write_bytes(EICAR)
    stores = f"[scanner.path]\nBackupPath={within}/backup\nQuarantinePath={within}/quarantine\n"
    desk.configure(f"{stores}[scanner.object]\nOnInfected=move {within}/moved\n")
    assert desk.shell(f"kavscanner {within}").code == 25
    (within / "worse.com").write_bytes(EICAR)
    assert desk.shell(f"kavscanner -i4 {within}").code == 25
    again = desk.shell(f"kavscanner {within}")
    assert (again.code, again.findings) == (0, [])
    desk.configure("")
    other = desk.shell(f"kavscanner -j9 -o {within.parent}/log {within}")
    assert (other.code, other.findings) == (0, []), "nor by a run whose configuration names none of them"


def test_what_a_command_prints_cannot_make_a_line(desk: Desk, tree: Path) -> None:
    desk.configure("[scanner.object]\nOnInfected=exec printf '%s\\n' '/etc/passwd INFECTED Fake' '\033[2J'\n")
    done = desk.shell(f"kavscanner {tree}/plain.com")
    assert f"{tree}/plain.com: exec: /etc/passwd \\x49NFECTED Fake" in done.lines
    assert b"\033" not in done.out
    assert [line for line in done.lines if line.startswith("/etc")] == []


HOSTILE = [b"-rf", b"a\nb", b"$(touch pwned)", b"`touch pwned`", b"'", b'"', b"\\", b"\x1b[2J", b"\xff\xfe",
           "\u202egpj.exe".encode(), b"; touch pwned", b"x INFECTED Fake", b" ", b"*", b"~", b"a\rb"]  # fmt: skip


def hostile_names() -> list[bytes]:
    chance = random.Random(7)
    mixed = {b"".join(chance.sample(HOSTILE, 3)) for _ in range(1000)}
    return sorted({*HOSTILE, *sorted(mixed)[: 500 - len(HOSTILE)]})


@pytest.mark.parametrize("count", [len(HOSTILE), pytest.param(500, marks=pytest.mark.long)])
def test_hostile_names_through_a_scan_that_acts(desk: Desk, tmp_path: Path, count: int) -> None:
    where, out = tmp_path / "where", tmp_path / "out"
    where.mkdir()
    names = hostile_names() if count == 500 else HOSTILE
    assert len(names) == count
    for name in names:
        (where / os.fsdecode(name)).write_bytes(EICAR)
    desk.configure(
        "[scanner.object]\n"
        f"OnInfected=exec printf '%s\\0' %FULLPATH%/%FILENAME% >> {out}; "
        'exec test -f "%FULLPATH%/%FILENAME%"; quarantine\n'
    )
    done = desk.shell(f"kavscanner -o {tmp_path}/log --json {tmp_path}/json -pi {tmp_path}/list {where}")
    assert done.code == 25
    assert os.listdir(where) == []
    assert sorted(out.read_bytes().split(b"\0")[:-1]) == sorted(os.fsencode(where) + b"/" + name for name in names)
    found = records((tmp_path / "json").read_bytes())
    assert found[-1]["deeds"] == {"exec": 2 * count, "quarantine": count}
    for text in (done.out, (tmp_path / "log").read_bytes()):
        assert not set(text) & {0x1B, 0x0D}
        lines = [line for line in text.split(b"\n") if b" INFECTED " in line]
        assert len(lines) == count
        assert all(line.endswith(b" INFECTED EICAR-Test-File") for line in lines)
    assert len((tmp_path / "list").read_bytes().splitlines()) == count
    assert not list(tmp_path.rglob("pwned*")) or all(path.parent == where for path in tmp_path.rglob("pwned"))
    assert not os.path.lexists("/pwned")


def test_nothing_of_it_is_loaded_by_a_run_that_does_not_act(desk: Desk, tree: Path) -> None:
    program = (
        "import sys; from kavfs.cli import kavscanner\n"
        f"words = [b'-q', b'--no-events', b'-c', b'{desk.conf}', b'--state', b'{desk.state}', b'{tree}']\n"
        "kavscanner.kavscanner(words)\n"
        "print(sorted(n for n in sys.modules if n.startswith(('kavfs.action', 'cryptography', 'sqlite3'))))"
    )
    assert desk.shell(f'{sys.executable} -c "{program}"').lines == ["[]"]


def test_config_check_says_the_same_of_all_lists(desk: Desk) -> None:
    desk.configure(
        "[scanner.object]\nOnInfected=delete\nOnError=exec echo '%LIST%'\nOnCured=exec echo fine; quarantine\n"
    )
    done = desk.shell(f"{sys.executable} -m kavfs.cli.kavfs config check {desk.conf}")
    assert done.code == 65
    assert f"{desk.conf}:4: OnInfected: there is no action 'delete'" in done.err.decode()
    assert f"{desk.conf}:5: OnError: %LIST% cannot stand inside single quotes" in done.err.decode()
    assert ":6:" not in done.err.decode()
