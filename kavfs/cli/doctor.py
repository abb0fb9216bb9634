"""kavfs doctor: what protects processes that read foreign bytes here, what they are built on, what is missing."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from kavfs._native import process, worker
from kavfs.cache.folder import Folder, Refused
from kavfs.cli.program import put
from kavfs.cli.request import absolute
from kavfs.engine.choose import module_of
from kavfs.engine.contract import EngineMissing
from kavfs.errors import SystemFailure
from kavfs.model import ENGINES
from kavfs.options import NATIVE, EnginePlaces, ScanOptions
from kavfs.report.names import shown_text
from kavfs.scan.children import worker_user
from kavfs.signatures.sources import default_databases, default_state

GOOD, OPTIONAL, BAD = "ok", "--", "MISSING"

LANDLOCK = {1: "files", 3: "truncation", 4: "TCP", 5: "devices", 6: "abstract sockets and signals"}
"""What each version can forbid besides what the one before could."""

LIBRARIES = {
    "libhs": "hs_version",
    "libarchive": "archive_version_string",
    "libz": "zlibVersion",
    "libcrypto": "OpenSSL_version",
}
"""Functions that tell a version as text, called with 0; of the others the name of the file says enough."""

OTHERS = ("libdeflate", "libpcre2-8", "libgmime-3.0", "libseccomp")


class Row(NamedTuple):
    """One line of the answer."""

    state: str
    what: str
    detail: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``doctor``; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("doctor", help="what protects scanning processes here", description=__doc__)
    parser.add_argument("--state", default="", metavar="DIR", help="state folder (default: the usual one)")


def run(args: argparse.Namespace) -> int:
    """Prints the table. 0: nothing is missing that should be there; 30: something is."""
    state = absolute(os.fsencode(args.state)) if args.state else default_state()
    sections = {
        f"Protections (Linux {platform.release()}, {platform.machine()})": list(_protections()),
        "Libraries": list(_libraries()),
        "Engines": list(_engines(state)),
        "State": list(_state(state)),
    }
    for title, rows in sections.items():
        put(f"{title}\n" + "".join(f"  {row.state:<8}{row.what:<26}{shown_text(row.detail)}\n" for row in rows))
    missing = any(row.state == BAD for rows in sections.values() for row in rows)
    return SystemFailure.exit_code if missing else 0


def _protections() -> Iterator[Row]:
    yield Row(GOOD, "no new privileges", "no process of a scan can gain any")
    yield Row(GOOD, "resource limits", "memory, CPU time, file size, descriptors, no new processes")
    if os.geteuid() == 0:
        user = ScanOptions.user
        try:
            worker_user(user)
            yield Row(GOOD, "user and capabilities", f"workers become {user} and keep none")
        except SystemFailure as error:
            yield Row(BAD, "user and capabilities", str(error))
    else:
        yield Row(GOOD, "user and capabilities", "not root: workers stay who you are, without capabilities")
    version = process.landlock_version()
    if version:
        known = ", ".join(what for since, what in LANDLOCK.items() if since <= version)
        yield Row(GOOD, "Landlock", f"version {version}: {known}")
    else:
        yield Row(BAD, "Landlock", "not in this kernel, not switched on (lsm=), or forbidden by a container")
    if process.can_filter_calls():
        yield Row(GOOD, "seccomp filters", "lists of system calls for walkers and each kind of worker")
    else:
        yield Row(BAD, "seccomp filters", "not in this kernel, or forbidden by a container")


def _libraries() -> Iterator[Row]:
    """Those that are mapped by the modules that parse."""
    worker.prepare()
    mapped = _mapped()
    for name, function in LIBRARIES.items():
        path = mapped.get(name)
        yield Row(GOOD, name, _told(path, function)) if path else Row(BAD, name, "not loaded")
    for name in OTHERS:
        path = mapped.get(name)
        yield Row(GOOD, name, os.path.basename(os.path.realpath(path))) if path else Row(BAD, name, "not loaded")


def _mapped() -> dict[str, str]:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        paths = {line.split(maxsplit=5)[5].strip() for line in file if "/" in line}
    return {re.split(r"\.so\b", os.path.basename(path))[0]: path for path in sorted(paths)}


def _told(path: str, function: str) -> str:
    call = getattr(ctypes.CDLL(path), function)
    call.restype = ctypes.c_char_p
    text: bytes = call(0) or b""
    return text.decode("utf-8", "replace")


def _engines(state: bytes) -> Iterator[Row]:
    yield Row(GOOD, NATIVE.name, "built in")
    places = EnginePlaces(databases=tuple(default_databases()), state=state)
    for name in ENGINES:
        if name == NATIVE.name:
            continue
        try:
            yield Row(GOOD, name, module_of(name).offer(places).knowledge)
        except EngineMissing as error:
            yield Row(OPTIONAL, name, str(error))


def _state(state: bytes) -> Iterator[Row]:
    name = os.fsdecode(state)
    try:
        status = os.stat(state)
    except FileNotFoundError:
        yield Row(OPTIONAL, "folder", f"{name} is not there yet")
        return
    except OSError as error:
        yield Row(BAD, "folder", f"{name}: {error.strerror}")
        return
    if status.st_uid not in (0, os.geteuid()):
        yield Row(BAD, "folder", f"{name} belongs to another user ({status.st_uid})")
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Row(BAD, "folder", f"{name} can be written by others: they decide what is found")
    else:
        yield Row(GOOD, "folder", name)
    yield _cache(state)


def _cache(state: bytes) -> Row:
    try:
        with suppress(FileNotFoundError):
            Folder(state, create=False).close()
            return Row(GOOD, "cache", "ours alone")
        return Row(OPTIONAL, "cache", "nothing is remembered yet")
    except Refused as error:
        return Row(BAD, "cache", str(error))
    except OSError as error:
        return Row(BAD, "cache", error.strerror or str(error))
