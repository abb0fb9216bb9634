"""What a running aveserver tells: its status, metrics for Prometheus, and what it found in the event store."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kavfs._native.recall import PLACE
from kavfs.scan.shift import KNOWN
from tests.support.daemon import databases, environment, free_port, running
from tests.support.objects import EICAR


def kavfs(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kavfs.cli.kavfs", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)


def status(folder) -> dict:
    done = kavfs("status", "--json", "-c", folder / "kavfs.conf")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def metrics(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@pytest.fixture
def objects(tmp_path):
    """An infected and a clean file, and one that is not there."""
    (tmp_path / "evil").write_bytes(EICAR)
    (tmp_path / "fine").write_bytes(b"nothing")
    return [tmp_path / name for name in ("evil", "fine", "gone")]


def ask_for_all(daemon, objects) -> None:
    for path in objects:
        daemon.ask(b"zSCAN " + os.fsencode(path) + b"\0")


def test_status_tells_what_was_asked_and_answered(tmp_path, objects):
    with running(tmp_path) as daemon:
        ask_for_all(daemon, objects)
        tree = status(tmp_path)
        clamd = tree["protocols"]["clamd"]
        assert clamd["requests"] == 3
        assert clamd["statuses"] == {"infected": 1, "clean": 1}
        assert sum(clamd["refusals"].values()) == 1
        assert tree["protocols"]["ave"]["requests"] == 0
        assert (tree["pid"], tree["workers"], tree["signatures"]) == (daemon.process.pid, 1, 1)
        assert stat.S_IMODE(os.stat(tmp_path / "aveserver.status").st_mode) == 0o600
        text = kavfs("status", "--socket", tmp_path / "aveserver.status").stdout
        assert "infected 1, clean 1" in text
        assert tree["generation"] in text


def test_status_tells_of_a_change_and_of_one_that_failed(tmp_path):
    with running(tmp_path, "WatchChanges=no\n") as daemon:
        assert status(tmp_path)["reload"]["at"] == 0
        (databases(tmp_path) / "two.ndb").write_text("Other:0:*:4142434445464748\n")
        daemon.ask(b"zRELOAD\0")
        daemon.wait_for(b"signatures are changed")
        tree = status(tmp_path)
        assert (tree["signatures"], tree["switches"], tree["reload"]["result"]) == (2, 1, "changed")
        (tmp_path / "db" / "bad.cvd").write_bytes(b"no head" * 100)
        daemon.ask(b"zRELOAD\0")
        daemon.wait_for(b"what was in force stays")
        after = status(tmp_path)
        assert after["generation"] == tree["generation"]
        assert "bad.cvd" in after["reload"]["error"]
        assert "bad.cvd" in kavfs("status", "-c", tmp_path / "kavfs.conf").stdout


def test_status_of_a_daemon_that_does_not_run_is_one_clear_line(tmp_path):
    done = kavfs("status", "--socket", tmp_path / "nobody")
    assert (done.returncode, done.stdout) == (30, "")
    assert done.stderr == f"kavfs: aveserver is not running: nobody listens on {tmp_path}/nobody\n"


def test_status_socket_can_be_left_out(tmp_path):
    with running(tmp_path, "[aveserver.path]\nStatusSocketPath=no\n"):
        assert not (tmp_path / "aveserver.status").exists()
        assert kavfs("status", "-c", tmp_path / "kavfs.conf").returncode == 66


def test_metrics_count_what_was_answered(tmp_path, objects):
    port = free_port()
    with running(tmp_path, f"[aveserver.network]\nListenMetrics={port}\n") as daemon:
        ask_for_all(daemon, objects)
        found = metrics(port)
        assert found["kavfs_scanned_objects_total", (("layer", "top"), ("result", "infected"))] == 1
        assert found["kavfs_scanned_objects_total", (("layer", "top"), ("result", "clean"))] == 1
        assert found["kavfs_detections_total", (("class", "infected"), ("source", "native"))] == 1
        assert found["kavfs_requests_total", (("protocol", "clamd"),)] == 3
        assert found["kavfs_scan_duration_seconds_count", (("protocol", "clamd"),)] == 2
        assert found["kavfs_scan_duration_seconds_bucket", (("le", "+Inf"), ("protocol", "clamd"))] == 2
        assert found["kavfs_refused_requests_total", (("protocol", "clamd"), ("reason", "not_opened"))] == 1
        kinds = {dict(labels)["kind"]: number for (name, labels), number in found.items() if name == "kavfs_signatures"}
        assert kinds == {"ndb": 1}
        assert found["kavfs_worker_kills_total", (("reason", "limit"),)] == 0
        assert not any(str(tmp_path) in str(key) for key in found)
        with pytest.raises(urllib.error.HTTPError) as wrong:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/secret", timeout=60)
        assert wrong.value.code == 404
        wrong.value.close()


def cache_bytes(port: int) -> dict[str, float]:
    places = [(dict(labels), size) for (name, labels), size in metrics(port).items() if name == "kavfs_cache_bytes"]
    return {f"{labels['cache']} {labels['place']}": size for labels, size in places}


def test_metrics_say_what_both_caches_take(tmp_path, objects):
    port = free_port()
    with running(tmp_path, f"[aveserver.network]\nListenMetrics={port}\n") as daemon:
        ask_for_all(daemon, objects)
        found = cache_bytes(port)
        assert set(found) == {"known memory", "objects memory", "objects disk"}
        assert found["known memory"] == KNOWN * PLACE
        table = os.stat(next((tmp_path / "state").rglob("objects")))
        assert found["objects disk"] == table.st_blocks * 512


def test_no_bytes_are_told_of_caches_that_there_are_not(tmp_path, objects):
    port = free_port()
    off = f"Cache=no\n[aveserver.network]\nListenMetrics={port}\n"
    with running(tmp_path, off) as daemon:
        ask_for_all(daemon, objects)
        assert cache_bytes(port) == {}


def test_findings_are_in_the_event_store(tmp_path, objects):
    with running(tmp_path) as daemon:
        ask_for_all(daemon, objects)
        daemon.stop()
    done = kavfs("report", "--json", "--store", tmp_path / "state" / "events.db")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["program"] for record in records if "program" in record] == ["aveserver"]
    assert sum(str(objects[0]) in json.dumps(record) for record in records) == 1
    assert not any(str(objects[1]) in json.dumps(record) for record in records)


def test_no_event_store_is_made_when_none_is_wanted(tmp_path, objects):
    with running(tmp_path, "[aveserver.report]\nEventStore=no\n") as daemon:
        ask_for_all(daemon, objects)
        assert status(tmp_path)["events"] is None
    assert not (tmp_path / "state" / "events.db").exists()
