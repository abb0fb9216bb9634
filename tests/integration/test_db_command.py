"""``kavfs db``: what an administrator types and reads."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kavfs.cli import db
from kavfs.errors import DatabaseMissing, UsageError
from kavfs.signatures.image import open_image
from tests.support.databases import bodies, body, logical, write

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path / "db",
        a_ndb=body("Linux.First-1", "first marker of the test")
        + "broken\n"
        + body("PUA.Second-2", "second marker of the test"),
        b_ldb=logical("Linux.Third-3", "one half of it", "other half of it")
        + "N;Engine:81-255,Target:1,Strange:1;0;6e6f74207965742068657265\n",
        c_hdb="0123456789abcdef0123456789abcdef:77:Doc.Fourth-4\n",
        d_cbc="packed",
    )


@pytest.fixture
def kavfs(tmp_path, capfd):
    """Run ``kavfs db ...`` with a state folder of its own; the lines that it writes."""

    def run(*words, state=True):
        parser = argparse.ArgumentParser()
        db.add_parser(parser.add_subparsers())
        more = ["--state", str(tmp_path / "state")] if state else []
        assert db.run(parser.parse_args(["db", *map(str, words), *more])) == 0
        return capfd.readouterr().out.splitlines()

    return run


def test_compile_says_what_it_took_and_leaves_an_image_for_scans(folder, tmp_path, kavfs):
    (line,) = kavfs("compile", folder)
    assert line.startswith("4 signatures from 3 files, 3 lines not taken, ready after ")
    with open_image([folder], tmp_path / "state") as image:
        assert image.signature_count == 4


def test_info_says_what_is_new_since_which_generation(folder, tmp_path, kavfs):
    (nothing,) = [line for line in kavfs("info", "--db", folder) if "older generation" in line]
    assert nothing.startswith("no older generation is known")
    with open_image([folder], tmp_path / "state") as image:
        older = image.generation.hex()
    write(folder, n_ndb=body("Linux.New-5", "newest marker of the test"))
    (line,) = [line for line in kavfs("info", "--db", folder) if "older generation" in line]
    assert line == f"new since older generations: {older[:12]} 1 rule"


def test_compile_to_one_file(folder, tmp_path, kavfs):
    kavfs("compile", folder, "-o", tmp_path / "all.image", state=False)
    assert sorted(kavfs("list", "--db", tmp_path / "all.image")) == sorted(kavfs("list", "--db", folder))
    assert not (tmp_path / "state" / "unused").exists()


def test_compile_takes_either_a_state_folder_or_an_output_file(folder, tmp_path, kavfs, capfd):
    with pytest.raises(SystemExit):
        kavfs("compile", folder, "-o", tmp_path / "all.image")
    with pytest.raises(UsageError, match="is a folder"):
        kavfs("compile", folder, "-o", tmp_path, state=False)


def test_compile_without_signatures_is_refused(tmp_path, kavfs):
    with pytest.raises(DatabaseMissing, match="nowhere"):
        kavfs("compile", tmp_path / "nowhere")


def test_info_names_each_file_with_what_was_taken_and_what_not(folder, kavfs):
    lines = kavfs("info", "--db", folder)
    text = "\n".join(lines)
    assert lines[0].startswith("4 signatures from 3 files, 3 lines not taken; the newest file is of ")
    for name in ("a.ndb", "b.ldb", "c.hdb", "d.cbc"):
        assert str(folder / name) in lines
    assert "1 not taken: wrong number of fields" in text
    assert "1 not taken: unknown attribute" in text
    assert "1 not taken: not supported yet: .cbc (bytecode)" in text
    assert ":2:" not in text
    assert "demonstration" not in text


def test_info_lists_rejected_lines_on_demand(folder, tmp_path, kavfs):
    expected = {
        f"{folder}/a.ndb:2: wrong number of fields",
        f"{folder}/b.ldb:2: unknown attribute",
        f"{folder}/d.cbc: not supported yet: .cbc (bytecode)",
    }
    assert expected <= set(kavfs("info", "--rejected", "--db", folder))
    kavfs("compile", folder, "-o", tmp_path / "all.image", state=False)
    assert expected <= set(kavfs("info", "--rejected", "--db", tmp_path / "all.image"))


def test_info_tells_the_age(folder, kavfs):
    for path in folder.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    assert "days old" in kavfs("info", "--db", folder)[0]


def test_info_of_a_file_with_an_impossible_date(folder, kavfs, monkeypatch):
    """Some file systems keep any number; localtime() takes years up to 2**31."""
    monkeypatch.setattr(db.time, "localtime", lambda seconds: db.time.gmtime(1 << 62))
    assert kavfs("info", "--db", folder)[0].endswith("the newest file is of no date")


def test_list_gives_each_name_as_scans_report_it(folder, kavfs):
    assert kavfs("list", "--db", folder) == [
        "Linux.First-1.UNOFFICIAL",
        "PUA.Second-2.UNOFFICIAL",
        "Linux.Third-3.UNOFFICIAL",
        "Doc.Fourth-4.UNOFFICIAL",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["second"], ["PUA.Second-2"]),
        (["linux.*"], ["Linux.First-1", "Linux.Third-3"]),
        (["*.?????-1.*"], ["Linux.First-1"]),
        (["nothing of the kind"], []),
        (["--kind", "ldb"], ["Linux.Third-3"]),
        (["--kind", "body"], ["Linux.First-1", "PUA.Second-2"]),
        (["--kind", "hash", "fourth"], ["Doc.Fourth-4"]),
    ],
)
def test_list_can_be_filtered(folder, kavfs, words, expected):
    assert [name.removesuffix(".UNOFFICIAL") for name in kavfs("list", *words, "--db", folder)] == expected


def test_list_leaves_out_ignored_names(folder, kavfs):
    write(folder, z_ign2="PUA.Second-2\n")
    assert "PUA.Second-2.UNOFFICIAL" not in kavfs("list", "--db", folder)
    assert "Linux.First-1.UNOFFICIAL" in kavfs("list", "--db", folder)


def test_names_cannot_write_to_the_terminal(folder, kavfs):
    write(folder, e_ndb=body("Evil\x1b[2JName", "some marker of the test"))
    assert "Evil\\x1b[2JName.UNOFFICIAL" in kavfs("list", "--db", folder)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    folder = write(tmp_path / "db", a_ndb=bodies("Many", 20_000))
    program = "import argparse, sys\nfrom kavfs.cli import db\nparser = argparse.ArgumentParser()\n"
    program += "db.add_parser(parser.add_subparsers())\nsys.exit(db.run(parser.parse_args(sys.argv[1:])))"
    command = [sys.executable, "-c", program, "db", "list", "--db", folder, "--state", tmp_path / "state"]
    path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout.readline().startswith(b"Many-")
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 0
