"""Manual pages: made from the definitions of the programs, complete, and without a word that a reader would warn of."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs.cli import described, manual
from kavfs.cli.kavfs import COMMANDS
from kavfs.config.keys import KEYS
from kavfs.config.mail_keys import NOTIFY, RULE_OF, own_keys_of
from kavfs.config.server_keys import OWN
from kavfs.model import OUTCOMES

CONF = Path(__file__).resolve().parents[2] / "conf"
PAGES = (
    "man8/kavscanner.8",
    "man8/kavfs.8",
    "man5/kavfs.conf.5",
    "man1/kavfs-clamscan.1",
    "man8/aveclient.8",
    "man8/aveserver.8",
    "man8/smtpscanner.8",
    "man8/kavfs-mta.8",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("share")
    manual.write_all(CONF, folder)
    return folder / "man"


def words(page: Path) -> str:
    """The page as it is read, on one long line."""
    shown = subprocess.run(["mandoc", "-T", "utf8", str(page)], check=True, capture_output=True, text=True).stdout
    plain = re.sub(r".\x08", "", shown)
    return " ".join(re.sub(r"[‐-]\n\s*", "-", plain).replace("‐", "-").split())


def has(word: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def test_every_option_of_the_scanner_is_in_its_page(pages):
    source = (pages / PAGES[0]).read_text().replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ")
    for option in described.kavscanner().options:
        assert all(has(spelling, source) for spelling in option.spellings), option.name


@pytest.mark.parametrize("name", ["aveserver", "smtpscanner"])
def test_every_option_of_a_service_is_in_its_page(pages, name):
    text = words(pages / f"man8/{name}.8")
    for option in getattr(described, name)().options:
        assert all(has(spelling, text) for spelling in option.spellings), option.name


def test_every_command_with_each_of_its_options_is_in_its_page(pages):
    text = words(pages / PAGES[1])
    assert all(f"kavfs {name}" in text for name in COMMANDS)
    for command in described.kavfs():
        assert " ".join(command.words) in text
        assert all(has(spelling, text) for option in command.options for spelling in option.spellings), command.words


def test_every_key_with_its_section_is_in_its_page(pages):
    source = (pages / PAGES[2]).read_text()
    once = [
        key for key in own_keys_of(()) if not key.section.startswith(NOTIFY) and not RULE_OF.get(key.name, (None,))[0]
    ]
    for key in (*KEYS, *OWN, *once):
        section = source.split(f'"SECTION [{key.section}]"', 1)[1].split('\n.SH "SECTION', 1)[0]
        assert f"\\fB{key.name}\\fR" in section


def test_the_exit_codes_are_those_of_the_table_of_outcomes(pages):
    text = words(pages / PAGES[0]).split("EXIT STATUS", 1)[1]
    told = re.findall(r"(?<!\S)(\d+) ([A-Z]+):", text)
    assert dict(told) == {
        str(outcome.exit_code): outcome.word for outcome in reversed(OUTCOMES.values()) if outcome.exit_code
    }


@pytest.mark.parametrize("page", PAGES)
def test_no_formatter_complains(pages, page):
    warned = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(pages / page)], capture_output=True, text=True
    )
    assert (warned.returncode, warned.stderr) == (0, "")
    linted = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(pages / page)], capture_output=True, text=True
    ).stdout
    # A page that is made from definitions has no date of its own; the version stands in its place.
    assert [line for line in linted.splitlines() if "missing date" not in line] == []


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff's own warnings need the package groff")
@pytest.mark.parametrize("page", PAGES)
def test_groff_has_no_warning(pages, page):
    done = subprocess.run(["groff", "-ww", "-man", "-Tutf8", str(pages / page)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_option_without_a_place_is_a_mistake_of_the_page():
    with pytest.raises(ValueError, match=r"no place for the rest: .*recursion"):
        manual.kavscanner_page('.TH KAVSCANNER 8\n.\\" option lock\n')
    with pytest.raises(ValueError, match="no such mark"):
        manual.kavscanner_page('.\\" opton lock\n')


def test_what_is_typed_is_never_obeyed_by_the_formatter(tmp_path):
    page = manual_conf_page("[path]\n\n# .so /etc/passwd\n# 'quoted' \\fBbold\\fR -- `x`\nBasesPath=\\*[x]\n")
    assert ".so" not in [line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))]
    (tmp_path / "x.5").write_text(page)
    assert "'quoted' \\fBbold\\fR -- `x`" in words(tmp_path / "x.5")


def manual_conf_page(conf: str) -> str:
    return manual.manual_conf.page("# head\n\n" + conf)
