"""JSON lines: every record is what kavfs/report/schema.json says, names are exact, the summary comes last."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

import kavfs.report
from kavfs.model import Entry, Member, Reason, Result, Skip, Status, Target, Threat, Totals
from kavfs.report.json_lines import JsonReport, write_failure
from kavfs.report.output import Output, open_output
from kavfs.report.summary import Signatures
from tests.support.jsonschema import violations

SCHEMA = json.loads((Path(kavfs.report.__file__).parent / "schema.json").read_text())
SIGNATURES = Signatures(3, 1_700_000_000.0, True, b"\x01" * 16)
RICH = Result(
    b"/srv/\xff.zip",
    Status.INFECTED,
    Reason.ENCRYPTED | Reason.TIME,
    (Threat("Eicar", Status.INFECTED, "native", b"\xfe", 12), Threat("Hash", Status.WARNING, "native")),
    (Member(b"\xfe", Status.INFECTED, Reason(0), 68), Member(b"a/b", Status.PROTECTED, Reason.ENCRYPTED, 5, True)),
    size=1000,
    scanned=2000,
    member_count=2,
    target=Target.PE,
    format="zip",
    sha256=b"\xab" * 32,
    container=True,
)


def broken(output: Output, error: OSError) -> None:
    raise AssertionError(f"{output.name}: {error}")


@pytest.fixture
def records(tmp_path: Path):
    def write(*items: Result | Skip | str, totals: Totals | None = None, **options: bool) -> list[dict]:
        path = tmp_path / "out.json"
        output = open_output(os.fsencode(path), broken)
        report = JsonReport(output, SIGNATURES, (b"/srv", b"/\xff"), lambda t: 30 if t.interrupted else 0, **options)
        for item in items:
            if isinstance(item, Result):
                report.add(item)
            elif isinstance(item, Skip):
                report.skip(item)
            else:
                report.note(item)
        report.finish(totals or Totals())
        assert path.read_bytes().isascii()
        found = [json.loads(line) for line in path.read_text().splitlines()]
        for record in found:
            assert violations(record, SCHEMA) == []
        return found

    return write


def test_every_kind_of_record_fits_the_schema(records) -> None:
    found = records(
        RICH,
        Result(b"/f", Status.CLEAN),
        Result(b"/e", Status.ERROR, Reason.UNREADABLE, error="no\nway \udce9"),
        Skip(b"/link\n", Entry.SYMLINK),
        "a worker died",
        totals=Totals(files=3, statuses={Status.INFECTED: 1}, reasons={Reason.TIME: 1}, entries={Entry.SYMLINK: 1}),
    )
    assert [record["type"] for record in found] == ["start", "result", "result", "result", "skip", "note", "summary"]


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("target", Target)
def test_every_status_and_target_fits_the_schema(records, status: Status, target: Target) -> None:
    records(Result(b"/f", status, Reason((1 << 13) - 1), target=target, threats=(Threat("T", status, "native"),)))


@pytest.mark.parametrize("kind", [kind for kind in Entry if kind not in (Entry.FILE, Entry.ERROR)])
def test_every_skip_fits_the_schema(records, kind: Entry) -> None:
    totals = Totals(entries=dict.fromkeys(Entry, 1), reasons=dict.fromkeys(Reason, 2), interrupted=True)
    assert records(Skip(b"/x", kind), totals=totals)[-1]["exit_code"] == 30


def test_names_can_be_had_back_byte_for_byte(records) -> None:
    start, result, _ = records(RICH)
    assert start["roots"] == [{"path": "/srv"}, {"path": None, "path_b64": base64.b64encode(b"/\xff").decode()}]
    assert result["path"] is None
    assert base64.b64decode(result["path_b64"]) == b"/srv/\xff.zip"
    assert base64.b64decode(result["threats"][0]["member_b64"]) == b"\xfe"
    assert result["threats"][1] == {
        "name": "Hash",
        "status": "warning",
        "engine": "native",
        "member": "",
        "offset": None,
    }
    assert result["members"][1]["path"] == "a/b"


def test_partial_coverage_is_named(records) -> None:
    result = records(RICH)[1]
    assert result["coverage"] == {"complete": False, "reasons": ["time", "encrypted"]}
    assert result["members"][1]["coverage"] == {"complete": False, "reasons": ["encrypted"]}
    assert result["sha256"] == "ab" * 32


def test_clean_objects_and_members_can_be_left_out(records) -> None:
    clean = Result(b"/f", Status.CLEAN)
    assert [r["type"] for r in records(clean, clean=False)] == ["start", "summary"]
    assert records(RICH, members=False)[1]["members"] == []


def test_a_run_that_could_not_begin_says_so(tmp_path: Path) -> None:
    output = open_output(os.fsencode(tmp_path / "out"), broken)
    write_failure(output, "no signatures", 50)
    output.close()
    record = json.loads((tmp_path / "out").read_text())
    assert violations(record, SCHEMA) == []
    assert (record["type"], record["exit_code"]) == ("failure", 50)


@pytest.mark.parametrize(
    "change", [{"status": "fine"}, {"size": -1}, {"size": "1"}, {"extra": 1}, {"sha256": "ab"}, {"type": "other"}]
)
def test_the_schema_refuses_a_record_that_is_wrong(records, change: dict) -> None:
    assert violations({**records(RICH)[1], **change}, SCHEMA) != []
