"""Beside: the process that compiles signatures (compiling.py), made by the fork server while the daemon goes on.

A child of the daemon itself would have to close what clients have passed before it becomes another program, and so
would wait for their file systems, and we for it (see scan/closing.py).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import IO

from kavfs.daemon import compiling
from kavfs.errors import SystemFailure
from kavfs.scan.control import text_of
from kavfs.scan.forkserver import ForkServer


async def compile_beside(server: ForkServer, state: bytes, paths: Sequence[bytes]) -> compiling.Compiled:
    """Compile what is new. The server stays the caller's; if this is cancelled, the process
    ends. SystemFailure, OSError: it cannot be made."""
    own = server.another()
    try:
        reads, writes = os.pipe()
        with open(reads, "rb") as pipe:
            try:
                words = [text_of(os.fsencode(word)) for word in compiling.command(state, paths)]
                named = {text_of(os.fsencode(n)): text_of(os.fsencode(v)) for n, v in compiling.environment().items()}
                own.start("program", 1, {"words": words, "environment": named}, [writes, sys.stderr.fileno()])
            finally:
                os.close(writes)
            return compiling.read_answer(await _read(pipe), await _end(own))
    finally:
        own.close()


async def _read(pipe: IO[bytes]) -> bytes:
    reader = asyncio.StreamReader(compiling.ANSWER_MAX)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        return await reader.read()
    finally:
        transport.close()


async def _end(server: ForkServer) -> int:
    """The exit code of the one process that it has."""
    loop = asyncio.get_running_loop()
    while not (news := server.news()):
        ready = asyncio.Event()
        loop.add_reader(server.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(server.fileno())
    if "failed" in news[0]:
        raise SystemFailure(news[0]["failed"])
    return os.waitstatus_to_exitcode(news[0]["status"])
