"""``kavfs bench``: what it says it has measured is what it has measured. How long anything took is never asserted."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import zipfile
from pathlib import Path

import pytest

from kavfs.cli import clamd
from kavfs.cli.kavfs import kavfs
from kavfs.cli.sample import take
from kavfs.errors import SystemFailure, UsageError
from tests.support.programs import EICAR, STARTER

STAGES = ["list + stat", "open", "read", "SHA-256", "fingerprint", "match", "unpack", "storage"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four files with 5,200 bytes and a container; a link, a FIFO and a directory that are no files."""
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"plain words\n" * 100)
    (folder / "inner" / "b.bin").write_bytes(bytes(range(256)) * 15 + bytes(160))
    (folder / "inner" / "empty").touch()
    with zipfile.ZipFile(folder / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member.txt", b"a member with some text\n" * 200)
    (folder / "link").symlink_to("a.txt")
    os.mkfifo(folder / "fifo")
    return folder


@pytest.fixture
def bench(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Run ``kavfs bench`` with the starter signatures and a state folder of its own; what it prints."""

    def run(*words: object) -> str:
        places = ["--db", str(STARTER), "--state", str(tmp_path / "state"), "--jobs", "1"]
        assert kavfs([os.fsencode(word) for word in ("bench", *places, *map(str, words))]) == 0
        return capfd.readouterr().out

    return run


class FakeClamd:
    """A clamd on a port of the loopback that finds whatever holds the test string; it counts what it was sent."""

    def __init__(self, greeting: bytes = b"PONG\0", most: int = 1 << 20) -> None:
        self.greeting, self.most = greeting, most
        self.sent: list[int] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            link, _ = self.listener.accept()
            with link, link.makefile("rb") as lines:
                command = b"".join(iter(lambda: lines.read(1).rstrip(b"\0"), b""))  # used up at once
                if command == b"zPING":
                    link.sendall(self.greeting)
                elif command == b"zINSTREAM":
                    data = b""
                    while length := int.from_bytes(lines.read(4), "big"):
                        data += lines.read(length)
                    self.sent.append(len(data))
                    link.sendall(self.answer(data))
                else:
                    return

    def answer(self, data: bytes) -> bytes:
        if len(data) > self.most:
            return b"INSTREAM size limit exceeded. ERROR\0"
        return b"stream: Eicar-Test FOUND\0" if EICAR in data else b"stream: OK\0"

    def close(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self.listener.getsockname()) as link:
            link.sendall(b"zEND\0")
        self.thread.join()
        self.listener.close()


@pytest.fixture
def fake_clamd():
    started: list[FakeClamd] = []

    def start(**words: object) -> FakeClamd:
        started.append(FakeClamd(**words))
        return started[-1]

    yield start
    for one in started:
        one.close()


def sizes(folder: Path) -> list[int]:
    return sorted(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def test_what_it_says_of_the_sample_is_what_is_there(bench, tree):
    answer = json.loads(bench("--json", tree))
    there = sizes(tree)
    assert answer["sample"] == {
        "files": len(there),
        "bytes": sum(there),
        "listed": len(there),
        "listed_bytes": sum(there),
    }
    assert answer["roots"] == [str(tree)]


def test_every_stage_counts_the_files_and_bytes_that_it_had(bench, tree):
    answer = json.loads(bench("--json", tree))
    stages = {stage["name"]: stage for stage in answer["stages"]}
    assert list(stages) == STAGES
    files, size = len(sizes(tree)), sum(sizes(tree))
    for name in ("read", "SHA-256", "fingerprint", "match"):
        assert (stages[name]["files"], stages[name]["bytes"]) == (files, size), name
    assert stages["open"]["files"] == files
    assert stages["list + stat"]["files"] >= files + 2  # the link and the FIFO are listed as well
    assert stages["unpack"]["files"] == 1
    assert stages["unpack"]["bytes"] == 24 * 200
    assert stages["storage"]["bytes"] in (0, size)  # 0: a file system without reads past the page cache


def test_types_and_the_engine_have_every_file_of_the_sample(bench, tree):
    answer = json.loads(bench("--json", tree))
    files, size = len(sizes(tree)), sum(sizes(tree))
    assert sum(row["files"] for row in answer["types"]) == files
    assert sum(row["bytes"] for row in answer["types"]) == size
    (native,) = answer["engines"]
    assert (native["name"], native["processes"]) == ("native", 1)
    assert (native["files"], native["bytes"], native["found"], native["errors"]) == (files, size, 0, 0)


def test_the_bottleneck_is_the_step_with_the_largest_share(bench, tree):
    bottleneck = json.loads(bench("--json", tree))["bottleneck"]
    assert bottleneck["share"] == max(bottleneck["shares"].values()) == bottleneck["shares"][bottleneck["step"]]
    assert sum(bottleneck["shares"].values()) == pytest.approx(1, abs=0.001)
    assert bottleneck["cold"] in ("storage", bottleneck["step"])


def test_people_get_three_tables_and_one_line_of_conclusion(bench, tree):
    (tree / "eicar.com").write_bytes(EICAR)
    lines = bench(tree).splitlines()
    heads = [line.split("  ")[0] for line in lines if line.endswith("MB/s")]
    assert heads == ["stage, one process", "type, whole objects, one process", "engine, from start to end"]
    assert len([line for line in lines if line.startswith("Bottleneck: ")]) == 1
    assert any(line.startswith("native, 1 at a time, 1 found ") for line in lines)
    assert lines[0].startswith("Sample: 5 files, 0.0 MB, of 5 files below ")


def test_a_sample_keeps_to_its_bytes_and_is_the_same_each_time(tmp_path):
    for i in range(100):
        (tmp_path / f"{i:03}").write_bytes(bytes(1000 + i))
    root = [os.fsencode(tmp_path)]
    sample = take(root, 20_000)
    assert 18_000 < sample.bytes <= 20_000
    assert sample.bytes == sum(os.path.getsize(path) for path, _ in sample.files)
    assert (sample.listed, sample.listed_bytes) == (100, sum(1000 + i for i in range(100)))
    assert take(root, 20_000) == sample
    assert len(take(root, 1 << 20, most_files=7).files) == 7


def test_one_large_file_does_not_take_the_place_of_all_others(tmp_path):
    (tmp_path / "large").write_bytes(bytes(15_000))
    for i in range(20):
        (tmp_path / f"{i:03}").write_bytes(bytes(100))
    names = {os.path.basename(path) for path, _ in take([os.fsencode(tmp_path)], 16_000).files}
    assert len(names) == 20
    assert b"large" not in names
    alone = [os.fsencode(tmp_path / "large")]
    assert [size for _, size in take(alone, 16_000).files] == [15_000]
    assert take(alone, 14_999).files == ()


def test_clamd_gets_the_same_files_and_its_answers_are_counted(bench, tree, fake_clamd):
    (tree / "eicar.com").write_bytes(EICAR)
    daemon = fake_clamd(most=3000)
    answer = json.loads(bench("--json", "--compare", "clamd", "--clamd", daemon.address, tree))
    native, theirs = answer["engines"]
    assert sorted(daemon.sent) == sizes(tree)
    assert (theirs["name"], theirs["files"], theirs["bytes"]) == ("clamd", native["files"], native["bytes"])
    assert (native["found"], theirs["found"]) == (1, 1)
    assert theirs["errors"] == sum(size > 3000 for size in sizes(tree)) > 0


def test_who_does_not_answer_as_clamd_does_is_refused_before_anything_is_measured(bench, tree, fake_clamd):
    daemon = fake_clamd(greeting=b"220 mail\0")
    with pytest.raises(SystemFailure, match="does not answer as a clamd does"):
        bench("--compare", "clamd", "--clamd", daemon.address, tree)
    assert daemon.sent == []


def test_the_socket_is_found_where_clamd_conf_says(tmp_path, fake_clamd, monkeypatch):
    daemon = fake_clamd()
    host, _, port = daemon.address.partition(":")
    conf = tmp_path / "clamd.conf"
    conf.write_text(f"# LocalSocket /nowhere\nLocalSocket {tmp_path}/none\nTCPSocket {port}\nTCPAddr {host}\nDebug\n")
    monkeypatch.setattr(clamd, "CONFIGURATIONS", (os.fsencode(tmp_path / "missing"), os.fsencode(conf)))
    monkeypatch.setattr(clamd, "SOCKETS", ())
    assert str(clamd.find_clamd()) == daemon.address
    conf.write_text("")
    assert clamd.find_clamd() is None


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--clamd", "/nowhere"], UsageError, "goes with --compare clamd"),
        (["--compare", "clamd", "--clamd", "/nowhere"], SystemFailure, "clamd at /nowhere: No such file"),
        (["--compare", "clamd", "--clamd", "host:port"], UsageError, "HOST:PORT"),
        (["--compare", "other"], UsageError, "other"),
        (["--bytes", "many"], UsageError, "--bytes"),
        (["--bytes", "0"], UsageError, "no file to measure with"),
        (["--jobs", "-1"], UsageError, "--jobs"),
        (["/nowhere"], UsageError, "/nowhere: no such file"),
    ],
)
def test_a_mistake_is_named(bench, tmp_path, words, error, said):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(error, match=said):
        bench(tmp_path / "file", *words)
