"""The engine yara: which rules are taken, how they are kept, what a match is called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kavfs.engine import yara
from kavfs.engine.contract import Budget, EngineMissing
from kavfs.errors import DatabaseDamaged
from kavfs.model import Reason, Switch
from kavfs.options import EVERYTHING, EnginePlaces
from tests.support.engines import scan_setup

NEEDLE = 'rule Needle { strings: $a = "a needle" condition: $a }\n'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    return folder


def places(rules: Path, *databases: Path) -> EnginePlaces:
    state = os.fsencode(rules.parent / "state")
    return EnginePlaces(tuple(os.fsencode(path) for path in databases), state, yara=os.fsencode(rules))


def names(
    at: EnginePlaces, content: bytes, tmp_path: Path, switches: Switch = EVERYTHING | Switch.ALL_MATCH
) -> list[str]:
    setup = {**scan_setup(tmp_path), **yara.offer(at).setup, "switches": int(switches)}
    path = tmp_path / "content"
    path.write_bytes(content)
    with path.open("rb") as file:
        found = yara.make(setup).scan(file.fileno(), len(content), Budget(20.0))
    return [threat.name for threat in found.threats]


def kept(at: EnginePlaces) -> list[Path]:
    return sorted(Path(os.fsdecode(at.state), "yara").glob("*"))


def test_a_match_is_called_as_clamav_calls_it(rules: Path, tmp_path: Path) -> None:
    (rules / "test.yar").write_text(NEEDLE)
    ours = names(places(rules), b"in hay a needle lies", tmp_path)
    assert ours == ["YARA.Needle.UNOFFICIAL"]
    if clamscan := shutil.which("clamscan"):
        words = [clamscan, "-d", str(rules / "test.yar"), "--no-summary", str(tmp_path / "content")]
        theirs = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        assert theirs == f"{tmp_path / 'content'}: {ours[0]} FOUND\n"


def test_rules_are_found_in_their_place_and_among_the_databases(rules: Path, tmp_path: Path) -> None:
    databases = tmp_path / "databases"
    databases.mkdir()
    (rules / "one.yar").write_text(NEEDLE)
    (databases / "two.yara").write_text(NEEDLE.replace("Needle", "Second"))
    (databases / "three.txt").write_text("no rule")
    found = names(places(rules, databases), b"a needle", tmp_path)
    assert found == ["YARA.Needle.UNOFFICIAL", "YARA.Second.UNOFFICIAL"]
    assert names(places(rules / "one.yar"), b"a needle", tmp_path) == ["YARA.Needle.UNOFFICIAL"]
    assert names(places(rules), b"a needl", tmp_path) == []


def test_one_match_is_enough_unless_all_are_wanted(rules: Path, tmp_path: Path) -> None:
    (rules / "one.yar").write_text(NEEDLE + NEEDLE.replace("Needle", "Second"))
    assert len(names(places(rules), b"a needle", tmp_path)) == 2
    assert len(names(places(rules), b"a needle", tmp_path, EVERYTHING)) == 1


@pytest.mark.parametrize("form", ["global rule", "global private rule", "private global rule"])
def test_a_global_rule_holds_for_its_file_and_is_no_finding(rules: Path, tmp_path: Path, form: str) -> None:
    (rules / "one.yar").write_text(form + " Large { condition: filesize > 100 }\n" + NEEDLE)
    (rules / "two.yar").write_text(NEEDLE.replace("Needle", "Second"))
    assert names(places(rules), b"a needle", tmp_path) == ["YARA.Second.UNOFFICIAL"]
    large = names(places(rules), b"a needle" + bytes(100), tmp_path)
    assert large == ["YARA.Needle.UNOFFICIAL", "YARA.Second.UNOFFICIAL"]


def test_a_private_rule_is_no_finding_and_can_be_asked_for(rules: Path, tmp_path: Path) -> None:
    (rules / "one.yar").write_text("private " + NEEDLE + "rule Asks { condition: Needle and filesize < 20 }\n")
    assert names(places(rules), b"a needle", tmp_path) == ["YARA.Asks.UNOFFICIAL"]
    assert names(places(rules), b"a needle" + bytes(20), tmp_path) == []


def test_two_files_may_call_their_rules_the_same(rules: Path, tmp_path: Path) -> None:
    (rules / "one.yar").write_text(NEEDLE)
    (rules / "two.yar").write_text(NEEDLE.replace("a needle", "a pin"))
    assert names(places(rules), b"a pin", tmp_path) == ["YARA.Needle.UNOFFICIAL"]
    assert names(places(rules), b"a pin, a needle", tmp_path) == ["YARA.Needle.UNOFFICIAL"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "rule a { condition: true }\nrule b {\n  condition: nothing_known\n}\n",
            ":3: unknown identifier `nothing_known`",
        ),
        ("rule a {\n", ":2: syntax error"),
        ('include "/etc/passwd"\n' + NEEDLE, ":1: "),
        ("rule a { condition: true }\n" * 2, ":2: duplicate rule `a`"),
    ],
)
def test_a_broken_file_is_named_with_the_line(rules: Path, text: str, why: str) -> None:
    (rules / "fine.yar").write_text(NEEDLE)
    (rules / "wrong.yar").write_text(text)
    with pytest.raises(EngineMissing) as caught:
        yara.offer(places(rules))
    assert str(caught.value).startswith(f"{rules}/wrong.yar{why}")
    assert "\n" not in str(caught.value)


def test_what_is_no_text_is_refused(rules: Path) -> None:
    (rules / "wrong.yar").write_bytes(b"rule \xff\xfe")
    with pytest.raises(EngineMissing, match="no UTF-8 at byte 5"):
        yara.offer(places(rules))


def test_rules_are_compiled_once(rules: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (rules / "one.yar").write_text(NEEDLE)
    yara.offer(places(rules))
    assert len(kept(places(rules))) == 1
    monkeypatch.setattr(yara, "compiled", None)
    assert names(places(rules), b"a needle", tmp_path) == ["YARA.Needle.UNOFFICIAL"]


def test_only_the_latest_are_kept(rules: Path) -> None:
    for number in range(yara.KEPT + 3):
        (rules / "one.yar").write_text(NEEDLE + f"// {number}\n")
        yara.offer(places(rules))
    assert len(kept(places(rules))) == yara.KEPT


@pytest.mark.parametrize("harm", [b"", b"garbage" * 100, None])
def test_what_is_kept_and_damaged_or_another_s_is_compiled_again(
    rules: Path, tmp_path: Path, harm: bytes | None
) -> None:
    (rules / "one.yar").write_text(NEEDLE)
    yara.offer(places(rules))
    (one,) = kept(places(rules))
    if harm is None:
        one.chmod(0o666)
    else:
        one.write_bytes(harm)
    assert names(places(rules), b"a needle", tmp_path) == ["YARA.Needle.UNOFFICIAL"]


def test_without_a_folder_to_keep_them_in_they_are_compiled_by_each_worker(rules: Path, tmp_path: Path) -> None:
    (rules / "one.yar").write_text(NEEDLE)
    (tmp_path / "state").write_text("no folder")
    assert names(places(rules), b"a needle", tmp_path) == ["YARA.Needle.UNOFFICIAL"]


def test_rules_that_change_under_a_scan_end_it(rules: Path, tmp_path: Path) -> None:
    (rules / "one.yar").write_text(NEEDLE)
    setup = {**scan_setup(tmp_path), **yara.offer(places(rules)).setup}
    (rules / "one.yar").write_text(NEEDLE.replace("needle", "pin"))
    with pytest.raises(DatabaseDamaged, match="have changed"):
        yara.make(setup)


def test_a_file_that_is_cut_while_it_is_read_is_not_clean(rules: Path, tmp_path: Path) -> None:
    (rules / "one.yar").write_text(NEEDLE)
    engine = yara.make({**scan_setup(tmp_path), **yara.offer(places(rules)).setup})
    (tmp_path / "cut").write_bytes(b"short")
    with (tmp_path / "cut").open("rb") as file:
        assert engine.scan(file.fileno(), 100, Budget(20.0)).reasons == Reason.UNREADABLE
