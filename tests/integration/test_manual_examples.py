"""The examples of the product's manual, sections 5.3.1 to 5.3.5: each command runs as it stands there, paths apart.

Where the scanned text of the manual is damaged (`-Rlg`, `$FULLPATH%`) the letters are those that the rest of it has.
"""

from __future__ import annotations

import gzip
import os
import time
import zipfile
from pathlib import Path

import pytest

from kavfs.action.catalogue import BACKUP
from kavfs.action.store import Store
from tests.support.programs import EICAR
from tests.support.shelled import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "home")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What is scanned: a clean file, an infected one, one that is infected inside, and what cannot be cured."""
    tree = tmp_path / "tmp"
    (tree / "deep").mkdir(parents=True)
    (tree / "letter.txt").write_text("Dear reader\n")
    (tree / "eicar.com").write_bytes(EICAR)
    with zipfile.ZipFile(tree / "deep" / "games.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rules.txt", "Roll the dice\n")
        archive.writestr("game.com", EICAR)
    (tree / "deep" / "game.com.gz").write_bytes(gzip.compress(EICAR))
    return tree


def left(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())


MAIL = """
dir={desk}/mails; mkdir -p "$dir"; mail="$dir/$(ls "$dir" | wc -l)"
printf '%s\\n' "$@" > "$mail"; cat >> "$mail"
while [ $# -gt 1 ]; do [ "$1" = -a ] && cat "$2" >> "$mail"; shift; done; true
"""


def mails(desk: Desk) -> list[list[str]]:
    """Of each: the words of the command line, then what it read, then what was attached."""
    return sorted(path.read_text().splitlines() for path in (desk.home / "mails").iterdir())


def test_5_3_1_on_demand_scanning(desk: Desk, tree: Path) -> None:
    days = [time.strftime("%F")]
    done = desk.shell(f"kavscanner -Rlq -okavscanner-`date +%F`.log -i3 -ePASBME -j3 -mCn {tree}")
    days.append(time.strftime("%F"))
    assert (done.code, done.out, done.err) == (25, b"", b"")
    assert left(tree) == ["deep/games.zip", "letter.txt"], "what could not be cured is deleted"
    with zipfile.ZipFile(tree / "deep" / "games.zip") as archive:
        assert archive.namelist() == ["rules.txt"], "what could be cured is not"
        assert archive.testzip() is None
    (log,) = desk.home.glob("kavscanner-*.log")
    assert log.name.removeprefix("kavscanner-").removesuffix(".log") in days
    text = log.read_text()
    assert "eicar.com CUREFAILED" in text
    assert "eicar.com: remove" in text
    assert "games.zip CURED" in text
    assert "letter.txt" not in text


def test_5_3_2_the_line_of_cron(desk: Desk, tree: Path) -> None:
    """The command of the line; that cron itself runs such lines is shown where our own are installed."""
    conf = desk.home / "kav" / "kavscanner.conf"
    desk.configure("[scanner.report]\nReportFileName=" + str(desk.home / "cron.log"), conf)
    program = desk.bin / "kavscanner"
    done = desk.shell(f"{program} -c {conf} {tree}")
    assert done.code == 25
    assert "eicar.com INFECTED" in (desk.home / "cron.log").read_text()
    assert "eicar.com" in left(tree), "this configuration only reports"


def test_5_3_3_1_cleaning_archives_by_a_script(desk: Desk, tree: Path, tmp_path: Path) -> None:
    script = desk.program("vox.sh", 'case "$1" in *.zip) zip -qd "$1" game.com;; *) rm -- "$1";; esac')
    conf = desk.home / "kavscanner.conf.in"
    desk.configure(f"[scanner.container]\nOnInfected=exec {script} %FULLPATH%/%FILENAME%\n", conf)
    log, names = tmp_path / "logfile.log", tmp_path / "infected_archive.lst"
    done = desk.shell(f"kavscanner -c kavscanner.conf.in -ePASE -qR -o {log} -j3 -pi{names} {tree}")
    assert (done.code, done.out) == (25, b"")
    assert sorted(names.read_text().splitlines()) == sorted(
        str(tree / name) for name in ("eicar.com", "deep/games.zip", "deep/game.com.gz")
    )
    assert left(tree) == ["deep/games.zip", "eicar.com", "letter.txt"]
    with zipfile.ZipFile(tree / "deep" / "games.zip") as archive:
        assert archive.namelist() == ["rules.txt"]
    assert "games.zip: exec" in log.read_text()


def test_5_3_3_2_mail_to_the_administrator(desk: Desk, tree: Path) -> None:
    desk.program("mail", MAIL.format(desk=desk.home))
    desk.configure(
        "[scanner.object]\n"
        "OnInfected=exec echo %FULLPATH%/%FILENAME% is infected by %VIRUSNAME% | mail -s kavscanner admin@example.org\n"
        "[scanner.container]\n"
        "OnInfected=exec echo archive %FULLPATH%/%FILENAME% is infected, viruses list is in the attached file %LIST% "
        "| mail -s kavscanner -a %LIST% admin@example.org\n"
    )
    (tree / "deep" / "game.com.gz").unlink()
    assert desk.shell(f"kavscanner {tree}").code == 25
    about_archive, about_file = mails(desk)
    assert about_file == ["-s", "kavscanner", "admin@example.org", f"{tree}/eicar.com is infected by EICAR-Test-File"]
    listing = about_archive[3]
    assert about_archive == [
        "-s", "kavscanner", "-a", listing, "admin@example.org",
        f"archive {tree}/deep/games.zip is infected, viruses list is in the attached file {listing}",
        f"{tree}/deep/games.zip/game.com INFECTED EICAR-Test-File",
    ]  # fmt: skip
    assert not os.path.exists(listing)


def test_5_3_4_moving_to_quarantine(desk: Desk, tree: Path, tmp_path: Path) -> None:
    infected, names, log = tmp_path / "infected", tmp_path / "download.lst", tmp_path / "report.log"
    action = f"OnInfected=movePath {infected}"
    desk.configure(f"[scanner.options]\nCure=no\n[scanner.object]\n{action}\n[scanner.container]\n{action}\n")
    names.write_text(f"{tree}/eicar.com\n{tree}/deep/games.zip\n{tree}/letter.txt\n")
    done = desk.shell(f"kavscanner -@{names} -ePASBME -rq -i0 -o {log} -j3 -mCn")
    assert (done.code, done.out) == (25, b"")
    assert left(tree) == ["deep/game.com.gz", "letter.txt"]
    kept = list(infected.rglob("*.kavq"))
    below = infected / tree.relative_to("/")
    assert {path.parent for path in kept} == {below, below / "deep"}
    assert not any(EICAR in path.read_bytes() for path in kept), "stored encrypted"
    text = log.read_text()
    assert "eicar.com INFECTED" in text
    assert "eicar.com: movePath" in text
    assert "letter.txt" not in text
    assert desk.shell(f"kavscanner {infected.parent}").code == 25, "the file that was not in the list"
    assert not [line for line in desk.shell(f"kavscanner {tmp_path}").findings if str(infected) in line.split()[0]]


def test_5_3_4_several_actions(desk: Desk, tree: Path, tmp_path: Path) -> None:
    infected = tmp_path / "infected"
    infected.mkdir()
    (tree / "eicar.com").chmod(0o755)
    action = f"exec mv %FULLPATH%/%FILENAME% {infected}/%FILENAME%; chmod -x {infected}/%FILENAME%"
    desk.configure(f"[scanner.object]\nOnInfected={action}\n[scanner.container]\nOnInfected={action}\n")
    done = desk.shell(f"kavscanner -i0 {tree}")
    assert done.code == 25
    assert left(tree) == ["letter.txt"]
    assert left(infected) == ["eicar.com", "game.com.gz", "games.zip"]
    assert (infected / "eicar.com").stat().st_mode & 0o777 == 0o644
    assert (infected / "eicar.com").read_bytes() == EICAR


def test_5_3_5_backup_of_processed_objects(desk: Desk, tree: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    desk.configure(f"[scanner.path]\nBackupPath={backup}\n")
    before = {name: (tree / name).read_bytes() for name in left(tree)}
    desk.shell(f"kavscanner -i3 {tree}")
    assert left(tree) == ["deep/games.zip", "letter.txt"]
    assert not any(EICAR in path.read_bytes() for path in backup.rglob("*") if path.is_file())
    with Store(os.fsencode(backup)) as store:
        items = {os.path.relpath(os.fsdecode(item.facts.path), tree): item.id for item in store.items()}
        assert sorted(items) == ["deep/game.com.gz", "deep/games.zip", "eicar.com"]
        assert {name: b"".join(store.open(items[name])) for name in items} == {name: before[name] for name in items}
    for number in range(4):
        (tree / "eicar.com").write_bytes(EICAR)
        os.utime(tree / "eicar.com", (number, number))
        desk.shell(f"kavscanner -i3 {tree}/eicar.com")
    with Store(os.fsencode(backup)) as store:
        assert len(store.items()) == 2 + 3, "newer copies take the place of older ones; three are kept"


def test_5_3_5_a_backup_is_kept_unless_it_is_switched_off(desk: Desk, tree: Path) -> None:
    """In the manual it is off by default; what an option takes away can be had back here."""
    before = {name: (tree / name).read_bytes() for name in left(tree)}
    desk.configure("[scanner.path]\nBackupPath=no\n")
    desk.shell(f"kavscanner -i3 {tree}/eicar.com")
    assert "eicar.com" not in left(tree)
    assert not (desk.state / "quarantine").exists()
    (tree / "eicar.com").write_bytes(EICAR)
    for text in ("[scanner.path]\nBackupPath=\n", ""):
        desk.configure(text)
        desk.shell(f"kavscanner -i3 {tree}")
    with Store(os.fsencode(desk.state / "quarantine")) as store:
        for item in store.items(BACKUP):
            store.restore(item.id, os.fsencode(desk.home / "back"))
            assert (desk.home / "back").read_bytes() == before.pop(os.path.relpath(os.fsdecode(item.facts.path), tree))
            (desk.home / "back").unlink()
    assert list(before) == ["letter.txt"]


def test_5_3_5_without_a_place_for_the_backup_nothing_is_lost(desk: Desk, tree: Path) -> None:
    before = {name: (tree / name).read_bytes() for name in left(tree)}
    (desk.state).mkdir()
    (desk.state / "quarantine").mkdir(mode=0o777)
    (desk.state / "quarantine").chmod(0o777)
    done = desk.shell(f"kavscanner -i3 {tree}")
    assert done.code == 25
    assert {name: (tree / name).read_bytes() for name in left(tree)} == before
    (line,) = [line for line in done.lines if line.startswith(f"{tree}/eicar.com: remove failed: ")]
    assert "no backup can be kept" in line
    assert "others may write" in line
