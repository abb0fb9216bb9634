"""aveserver as a process: how it is called, where it listens, what it writes, how it goes to the background."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from kavfs.daemon.detached import PidFile
from tests.support import daemon
from tests.support.objects import EICAR


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / "bad.com").write_bytes(EICAR)
    (folder / "good").write_bytes(b"nothing")
    return folder


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        daemon.command(*words), capture_output=True, text=True, env=daemon.environment(), timeout=daemon.PATIENCE
    )


def test_both_protocols_answer_and_their_sockets_are_as_configured(tmp_path: Path, objects: Path) -> None:
    with daemon.running(tmp_path, "[aveserver.network]\nSocketMode=0600\n") as server:
        said = server.ask(f"SCAN b {objects}/bad.com\r\nSCAN b {objects}/good\r\nQUIT\r\n".encode(), "ave")
        lines = said.decode().splitlines()
        assert lines[0].startswith("201 ")
        assert lines[1:] == [
            f"322-Test.Eicar.UNOFFICIAL {objects}/bad.com",
            "230 File is infected",
            "220 File is clean",
            "200 Bye",
        ]
        assert server.ask(f"nCONTSCAN {objects}\n".encode()) == (
            f"{objects}/bad.com: Test.Eicar.UNOFFICIAL FOUND\n".encode()
        )
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("ave", "clamd")} == {0o600}
        assert server.stop() == 0
    assert not list(tmp_path.glob("*.pid"))


def test_settings_of_the_file_are_in_force(tmp_path: Path, objects: Path) -> None:
    (objects / "long").write_bytes(b"x" * 5000)
    text = "MaxFileSize=4096\n[aveserver.network]\nStreamMaxLength=1000\n"
    with daemon.running(tmp_path, text) as server:
        assert b"ERROR" in server.ask(f"nSCAN {objects}/long\n".encode())
        stream = struct.pack("!I", 1001) + b"y" * 1001 + struct.pack("!I", 0)
        assert server.ask(b"nINSTREAM\n" + stream) == b"INSTREAM size limit exceeded. ERROR\n"
        server.wait_for(b"stream too long")
        assert b"ERROR client=" in server.wait_for(b"path=" + os.fsencode(objects / "long"))


def test_a_machine_with_more_load_than_allowed_gets_no_more(tmp_path: Path, objects: Path) -> None:
    if os.getloadavg()[0] <= 0.01:
        pytest.skip("this machine has no load at all")
    with daemon.running(tmp_path, "MaxLoadAvg=0.01\n") as server:
        assert b"401 " in server.ask(f"SCAN b {objects}/good\r\nQUIT\r\n".encode(), "ave")
        assert b"Too many requests" in server.ask(f"nSCAN {objects}/good\n".encode())


def test_the_log_has_one_line_for_each_finding_refusal_and_error(tmp_path: Path, objects: Path) -> None:
    (objects / "a b\nc").write_bytes(EICAR)
    log = tmp_path / "log"
    with daemon.background(tmp_path, f"[aveserver.report]\nReportFileName={log}\n") as server:
        for name in ("bad.com", "good", "none", "a b\nc"):
            server.ask(f"zSCAN {objects}/{name}\0".encode())
        log.rename(tmp_path / "old")
        os.kill(server.pid, signal.SIGHUP)
        daemon.wait_until(log.exists)
        server.ask(f"nSCAN {objects}/bad.com\n".encode())
    uid = f"client=uid:{os.getuid()},pid:{os.getpid()}"
    lines = [re.sub(r" ms=[\d.]+", "", line.split("] ", 1)[1]) for line in (tmp_path / "old").read_text().splitlines()]
    assert [line for line in lines if "path=" in line] == [
        f"INFECTED name=Test.Eicar.UNOFFICIAL {uid} path={objects}/bad.com",
        f'REFUSED {uid} why="No such file or directory" path={objects}/none',
        f"INFECTED name=Test.Eicar.UNOFFICIAL {uid} path={objects}/a b\\nc",
    ]
    assert re.search(r" W\] INFECTED .*bad.com$", log.read_text(), re.MULTILINE)
    assert log.read_text().rstrip().endswith("I] stopped")


def test_the_log_as_json(tmp_path: Path, objects: Path) -> None:
    (objects / "a b\nc").write_bytes(EICAR)
    with daemon.running(tmp_path, "[aveserver.report]\nReportFormat=json\nShowOk=yes\n") as server:
        for name in ("bad.com", "good", "none", "a b\nc"):
            server.ask(f"zSCAN {objects}/{name}\0".encode())
        server.ask(f"SCAN b {objects}/bad.com\r\nQUIT\r\n".encode(), "ave")
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.said.splitlines()]
    found = [(line["verdict"], line["path"], line["level"]) for line in lines if line["event"] == "object"]
    assert found == [
        ("INFECTED", f"{objects}/bad.com", "warning"),
        ("OK", f"{objects}/good", "activity"),
        ("REFUSED", f"{objects}/none", "warning"),
        ("INFECTED", f"{objects}/a b\nc", "warning"),
        ("INFECTED", f"{objects}/bad.com", "warning"),
    ]
    first = next(line for line in lines if line["event"] == "object")
    assert first["names"] == ["Test.Eicar.UNOFFICIAL"]
    assert first["client"] == {"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid()}
    assert first["milliseconds"] > 0
    assert [line["text"] for line in lines if line["event"] == "note"][-1] == "stopped"


def test_in_the_background_it_returns_when_it_answers_and_says_its_process_id(tmp_path: Path) -> None:
    pid_file = tmp_path / "aveserver.pid"
    with daemon.background(tmp_path, f"[aveserver.report]\nReportFileName={tmp_path}/log\n") as server:
        assert server.ask(b"PING\n") == b"PONG\n"
        assert int(pid_file.read_text()) == server.pid
        assert os.getsid(server.pid) != os.getsid(0)
        assert os.readlink(f"/proc/{server.pid}/fd/2") == os.devnull
    assert not pid_file.exists()


def test_a_start_that_fails_says_why_and_with_which_code_to_whoever_called(tmp_path: Path) -> None:
    with daemon.running(tmp_path) as server:
        conf = tmp_path / "kavfs.conf"
        again = run("-c", conf, "--foreground")
        assert "another server is listening there" in again.stderr
        background = run("-c", conf)
        assert background.stderr.endswith(again.stderr)
        assert background.returncode == again.returncode != 0
        assert server.ask(b"PING\n") == b"PONG\n"
    (tmp_path / "wrong").write_text("[aveserver.options]\nMaxQueue=none\n")
    wrong = run("-c", tmp_path / "wrong", "--foreground")
    assert (wrong.returncode, "wrong:2: MaxQueue: 'none' is not a whole number" in wrong.stderr) == (65, True)
    (tmp_path / "x").write_text("[path]\n")
    assert "unrecognized arguments: --nonsense" in run("-c", tmp_path / "x", "--nonsense").stderr


def test_the_pid_file_of_another_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    ours = PidFile(os.fsencode(path))
    path.write_text("1\n")
    ours.remove()
    assert path.read_text() == "1\n"


def test_programs_that_ask_for_the_version_understand_the_answer() -> None:
    said = run("-v").stdout
    assert re.search(r"([0-9.]+).+RELEASE.+build.+#([0-9]+)", said)
    assert run("--version").stdout == said


def test_help_names_every_option(tmp_path: Path) -> None:
    said = run("-h").stdout
    for option in ("-c", "--foreground", "--db", "--state", "--ave-socket", "--clamd-socket", "--jobs", "-v", "-h"):
        assert re.search(rf"(^|[ ,]){option}\b", said, re.MULTILINE), option


def test_options_win_over_the_file(tmp_path: Path) -> None:
    words = ("--foreground", "--clamd-socket", tmp_path / "other", "--ave-socket", tmp_path / "third", "--jobs", "1")
    with daemon.running(tmp_path, "", words) as server:
        assert server.ask(b"PING\n", "other") == b"PONG\n"
        assert server.ask(b"QUIT\r\n", "third").endswith(b"200 Bye\r\n")
        assert not (tmp_path / "clamd").exists()


def test_tcp_is_where_it_is_told_to_be_and_names_files_below_its_folders_only(tmp_path: Path, objects: Path) -> None:
    port = daemon.free_port()
    (objects / "link").symlink_to("/etc/passwd")
    text = f"[aveserver.network]\nListenClamd={port}\nPathFolders={objects}\n"
    with daemon.running(tmp_path, text):

        def ask(data: str) -> str:
            with socket.create_connection(("127.0.0.1", port)) as sock:
                return daemon.talk(sock, data.encode()).decode()

        assert ask(f"nSCAN {objects}/bad.com\n") == f"{objects}/bad.com: Test.Eicar.UNOFFICIAL FOUND\n"
        for outside in ("/etc/passwd", f"{objects}/../kavfs.conf", f"{objects}/link", str(tmp_path / "kavfs.conf")):
            assert re.fullmatch(r".*: .* ERROR\n", ask(f"nSCAN {outside}\n")), outside
        with socket.socket() as elsewhere, pytest.raises(OSError, match="refused"):
            elsewhere.connect(("127.0.0.2", port))


def test_systemd_hears_when_it_answers_that_it_lives_and_that_it_ends(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(daemon.PATIENCE)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with daemon.running(tmp_path, "", (), told) as server:
            heard = [manager.recv(4096).decode().splitlines()[0] for _ in range(4)]
            assert sorted(heard) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]
            server.process.terminate()
            while "STOPPING=1" not in heard:
                heard.append(manager.recv(4096).decode())


def test_sockets_of_systemd_are_used_instead_of_its_own(tmp_path: Path) -> None:
    place = tmp_path / "given"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place))
        sock.listen()
        starter = (
            "import os, socket, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='clamd');"
            f"os.execv(sys.executable, [sys.executable, '-c', {daemon.PROGRAM!r}, *sys.argv[2:]])"
        )
        conf = daemon.configuration(tmp_path)
        process = subprocess.Popen(
            [daemon.command()[0], "-c", starter, str(sock.fileno()), "-c", str(conf)],
            stderr=subprocess.PIPE, pass_fds=[sock.fileno()], env=daemon.environment(),
        )  # fmt: skip
        server = daemon.Daemon(tmp_path, process)
        server.wait_for(b"ready")
        assert server.ask(b"PING\n", "given") == b"PONG\n"
        assert not (tmp_path / "clamd").exists()
        assert server.ask(b"QUIT\r\n", "ave").endswith(b"200 Bye\r\n")
        assert server.stop() == 0


def test_a_changed_file_is_taken_up_and_a_wrong_one_is_not(tmp_path: Path, objects: Path) -> None:
    (objects / "long").write_bytes(b"x" * 5000)
    question = f"nSCAN {objects}/long\n".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(daemon.PATIENCE)
        with daemon.running(tmp_path, "WatchChanges=no\n", (), {"NOTIFY_SOCKET": manager.getsockname()}) as server:
            assert manager.recv(4096).startswith(b"READY=1")
            assert server.ask(question).endswith(b": OK\n")
            conf = tmp_path / "kavfs.conf"
            conf.write_text(conf.read_text() + "MaxFileSize=nonsense\n")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for(b"what was in force stays")
            assert server.ask(question).endswith(b": OK\n")
            said = conf.read_text().replace("nonsense", "4096") + "[aveserver.network]\nSocketMode=0600\n"
            conf.write_text(said)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for(b"socket_mode changes with a restart")
            server.wait_for(b"signatures are changed")
            assert server.ask(question).endswith(b" ERROR\n")
            heard = [manager.recv(4096).split(b"\n")[0] for _ in range(4)]
            assert heard == [b"RELOADING=1", b"READY=1"] * 2
