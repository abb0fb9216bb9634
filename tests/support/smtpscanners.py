"""smtpscanner as a daemon that an administrator starts, and a stand-in for it whose judge does what a subject says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.kavscanner import CHECKOUT, environment

STAND_IN = """
import asyncio, os, signal, socket, sys
from kavfs.mail.envelope import pass_on
from kavfs.mail.milter_front import MilterFront, MilterLine

async def judge(envelope, spool):
    content = b"".join(spool.chunks())
    if b"Subject: kill" in content:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"Subject: fail" in content:
        raise RuntimeError("the engine is down")
    return await pass_on(envelope, spool)

async def main():
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(sys.argv[1])
    sock.listen()
    os.chmod(sys.argv[1], 0o666)
    front = MilterFront(MilterLine(judge))
    await front.listen(sock)
    await front.listen(socket.create_server(("127.0.0.1", int(sys.argv[2]))))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def smtpscanner(top: Path, databases: Path, settings: str) -> Iterator[subprocess.Popen[str]]:
    """Running and ready, with this configuration. What it says goes to a file "said"."""
    (top / "kavfs.conf").write_text(settings)
    words = [sys.executable, "-m", "kavfs.cli.smtpscanner", "--listen", "--foreground", "--jobs", "1"]
    words += ["-c", str(top / "kavfs.conf"), "--db", str(databases), "--state", str(top / "state")]
    with _running(words, top) as process:
        yield process


@contextmanager
def stand_in(top: Path, milter: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A milter on a path and on a port. It dies in the middle of a message with "Subject: kill", and cannot judge one
    with "fail"."""
    with _running([sys.executable, "-c", STAND_IN, str(milter), str(port)], top) as process:
        yield process


@contextmanager
def _running(words: list[str], top: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=CHECKOUT,
        env=environment(top),
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.endswith("ready\n"):
                break
        assert said, "it said nothing"
        assert said[-1].endswith("ready\n"), said
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
