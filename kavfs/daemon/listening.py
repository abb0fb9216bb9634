"""Listening: sockets that clients connect to, made here or handed over by systemd."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from contextlib import suppress

from kavfs.daemon.settings import Listener
from kavfs.errors import SystemFailure

BACKLOG = 511
FIRST_HANDED = 3  # descriptor of the first socket that systemd hands over


def listen(listener: Listener) -> socket.socket:
    """A listening socket. Raises SystemFailure with the place in it."""
    try:
        return _unix(listener) if listener.path else _tcp(listener)
    except OSError as error:
        raise SystemFailure(f"cannot listen on {listener}: {error.strerror or error}") from None


def _unix(listener: Listener) -> socket.socket:
    """A stale socket of an earlier run is replaced, a live one is not, and nothing else ever."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(listener.path)
        mask = os.umask(0o777)  # nobody connects before mode and group are right
        try:
            sock.bind(listener.path)
        finally:
            os.umask(mask)
        _grant(listener)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _grant(listener: Listener) -> None:
    """Owner, group and mode; of a socket and nothing else, whoever may write to the folder."""
    fd = os.open(listener.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISSOCK(status.st_mode):
            raise OSError(errno.EEXIST, "there is something else")
        place = f"/proc/self/fd/{fd}"
        uid, gid = ids(listener.owner, listener.group)
        if uid not in (-1, status.st_uid) or gid not in (-1, status.st_gid):  # a unit may forbid the call
            os.chown(place, uid, gid)
        os.chmod(place, listener.mode)
    finally:
        os.close(fd)


def ids(user: str, group: str) -> tuple[int, int]:
    """Numbers of an owner and a group, as chown(2) has them: without *group* it is the owner's first one, and without
    both nothing is changed. SystemFailure: there is no such one."""
    try:
        person = pwd.getpwnam(user) if user else None
        if group:
            return person.pw_uid if person else -1, grp.getgrnam(group).gr_gid
    except KeyError:
        raise SystemFailure(f"there is no such user or group: {user}:{group}") from None
    return (person.pw_uid, person.pw_gid) if person else (-1, -1)


def _remove_stale(path: bytes) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "there is something else")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
        raise OSError(errno.EADDRINUSE, "another server is listening there")


def _tcp(listener: Listener) -> socket.socket:
    family, kind, number, _, address = socket.getaddrinfo(
        listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, number)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def handed() -> list[tuple[str, socket.socket]]:
    """Sockets that systemd hands over (LISTEN_FDS), with the FileDescriptorName= of their units."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for number in range(count):
        fd = FIRST_HANDED + number
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        found.append((names[number] if number < len(names) else "", socket.socket(fileno=fd)))
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    return found
