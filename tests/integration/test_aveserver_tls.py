"""aveserver with TLS: certificates of clients, and everything that plain connections can do."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import daemon
from tests.support.objects import EICAR

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")


def make_authority(folder: Path, name: str) -> None:
    openssl(folder, "req", "-x509", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *NEW)


def make_certificate(folder: Path, name: str, authority: str) -> None:
    openssl(folder, "req", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", *NEW)
    by = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *by, "-days", "2", "-out", f"{name}.pem")


NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


@dataclass
class Served:
    port: int  # of clamd's protocol
    ave: int
    keys: Path
    server: daemon.Daemon

    def connect(self, certificate: str = "client", port: int = 0) -> ssl.SSLSocket:
        trust = ssl.create_default_context(cafile=str(self.keys / "ours.pem"))
        trust.check_hostname = False
        if certificate:
            trust.load_cert_chain(self.keys / f"{certificate}.pem", self.keys / f"{certificate}.key")
        plain = socket.create_connection(("127.0.0.1", port or self.port), timeout=daemon.PATIENCE)
        return trust.wrap_socket(plain)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ours", "others"):
        make_authority(folder, name)
    make_certificate(folder, "server", "ours")
    make_certificate(folder, "client", "ours")
    make_certificate(folder, "stranger", "others")
    (folder / "bad.com").write_bytes(EICAR)
    port, ave = daemon.free_port(), daemon.free_port()
    text = (
        f"[aveserver.network]\nListenClamdTls={port}\nListenAveTls={ave}\nTlsCertificate={folder}/server.pem\n"
        f"TlsKey={folder}/server.key\nTlsClients={folder}/ours.pem\nPathFolders={folder}\nStreamMaxLength=3MiB\n"
        "[aveserver.report]\nReportFormat=json\n"
    )
    with daemon.running(folder, text) as server:
        yield Served(port, ave, folder, server)


def test_who_has_a_certificate_is_answered_in_both_protocols(served: Served) -> None:
    with served.connect() as sock:
        assert daemon.talk(sock, b"nPING\n") == b"PONG\n"
    with served.connect(port=served.ave) as sock:
        said = daemon.talk(sock, f"SCAN b {served.keys}/bad.com\r\nSCAN b /etc/passwd\r\nQUIT\r\n".encode()).decode()
    assert said.splitlines()[1:] == [
        f"322-Test.Eicar.UNOFFICIAL {served.keys}/bad.com",
        "230 File is infected",
        "524 Directory is not included",
        "200 Bye",
    ]
    assert b'"address": "127.0.0.1 ' in served.server.wait_for(b"not permitted")


def test_a_long_stream_arrives_whole(served: Served) -> None:
    content = b"x" * ((2 << 20) - len(EICAR)) + EICAR
    chunks = [content[at : at + 50_000] for at in range(0, len(content), 50_000)]
    stream = b"".join(struct.pack("!I", len(chunk)) + chunk for chunk in chunks) + struct.pack("!I", 0)
    with served.connect() as sock:
        assert daemon.talk(sock, b"zINSTREAM\0" + stream) == b"stream: Test.Eicar.UNOFFICIAL FOUND\0"


@pytest.mark.parametrize("certificate", ["", "stranger"])
def test_who_has_none_that_counts_is_not_answered(served: Served, certificate: str) -> None:
    answer = b""
    with suppress(ssl.SSLError, ConnectionError), served.connect(certificate) as sock:
        answer = daemon.talk(sock, b"nPING\n")  # with TLS 1.3 a client hears of it when it reads
    assert answer == b""


def test_whoever_speaks_no_tls_is_not_answered_and_harms_nobody(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=daemon.PATIENCE) as sock:
        sock.sendall(b"nPING\n" + bytes(200))
        with suppress(ConnectionError):
            assert b"PONG" not in sock.recv(4096)
    with served.connect() as sock:
        assert daemon.talk(sock, b"nPING\n") == b"PONG\n"


def test_many_that_never_shake_hands_leave_room_for_who_does(served: Served) -> None:
    idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]
    try:
        with served.connect() as sock:
            assert daemon.talk(sock, b"nPING\n") == b"PONG\n"
    finally:
        for sock in idle:
            sock.close()


def test_a_client_that_vanishes_leaves_nothing_behind(served: Served) -> None:
    folder = Path(f"/proc/{served.server.process.pid}/fd")
    before = len(list(folder.iterdir()))
    for _ in range(20):
        with served.connect() as sock:
            sock.sendall(b"zIDSESSION\0zINSTREAM\0" + struct.pack("!I", 1000) + b"half")
    daemon.wait_until(lambda: len(list(folder.iterdir())) <= before)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "nothing").write_text("")
    text = f"[aveserver.network]\nListenClamdTls={daemon.free_port()}\nTlsCertificate={tmp_path}/nothing\n"
    started = daemon.command("-c", daemon.configuration(tmp_path, text), "--foreground")
    done = subprocess.run(started, capture_output=True, text=True, env=daemon.environment(), timeout=daemon.PATIENCE)
    assert done.returncode != 0
    assert f"cannot use {tmp_path}/nothing for TLS" in done.stderr
