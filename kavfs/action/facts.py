"""Facts: what a file is besides its bytes: owner, mode, times, access list, extended attributes.

All of it is read from a descriptor and given to a descriptor, never by name.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from typing import Any, NamedTuple

ACL = "system.posix_acl_access"
_ABSENT = (errno.ENODATA, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_KEPT_BY_SYSTEM = ("security.", "trusted.", "system.")  # only the system's own, or root, may set these


class Facts(NamedTuple):
    """A file as it was, without its bytes."""

    path: bytes  # as the report names it
    place: bytes  # the same without links: where it really lay
    uid: int
    gid: int
    mode: int  # permission bits, with set-user-ID and the like
    atime_ns: int
    mtime_ns: int
    size: int  # bytes
    acl: bytes = b""  # as the kernel gives it; b"" = the mode says all
    xattrs: tuple[tuple[str, bytes], ...] = ()  # without the access list


def read(fd: int, path: bytes, place: bytes) -> Facts:
    """The facts of the file behind *fd*. Raises OSError."""
    status = os.fstat(fd)
    attributes = _attributes(fd)
    acl = attributes.pop(ACL, b"")
    return Facts(
        path,
        place,
        status.st_uid,
        status.st_gid,
        stat.S_IMODE(status.st_mode),
        status.st_atime_ns,
        status.st_mtime_ns,
        status.st_size,
        acl,
        tuple(sorted(attributes.items())),
    )


def apply(fd: int, facts: Facts) -> tuple[str, ...]:
    """Make the file behind *fd*, which is our own, what *facts* say, whatever its folder gave it at birth. Returns the
    names of attributes that only the system or root can give back, where we are neither. Raises OSError when owner,
    mode or access list cannot be given: a file must not come back with other rights than it had."""
    os.fchmod(fd, 0o600)  # from here to the end nobody gains by what is half done
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (facts.uid, facts.gid):
        _give(fd, facts.uid, facts.gid)
    missing = _apply_attributes(fd, facts)
    if facts.acl:
        os.setxattr(fd, ACL, facts.acl)
    os.fchmod(fd, facts.mode)  # the last of the rights: a change of owner takes set-user-ID away
    if stat.S_IMODE(os.fstat(fd).st_mode) != facts.mode:
        raise OSError(errno.EPERM, f"the mode {facts.mode:o} cannot be given")
    os.utime(fd, ns=(facts.atime_ns, facts.mtime_ns))
    return missing


def _give(fd: int, uid: int, gid: int) -> None:
    try:
        os.fchown(fd, uid, gid)
    except PermissionError as error:
        raise PermissionError(error.errno, f"only root can give it back to user {uid} and group {gid}") from None


def _attributes(fd: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno in _ABSENT:
            return {}
        raise


def _apply_attributes(fd: int, facts: Facts) -> tuple[str, ...]:
    wanted, there = dict(facts.xattrs), _attributes(fd)
    missing = []
    for name in there.keys() - wanted.keys():  # born with them: a default access list, a label
        try:
            os.removexattr(fd, name)
        except OSError:
            if name == ACL or not name.startswith(_KEPT_BY_SYSTEM):
                raise
    for name, value in wanted.items():
        if there.get(name) == value:
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if not name.startswith(_KEPT_BY_SYSTEM) or error.errno not in (errno.EPERM, errno.EACCES, *_ABSENT):
                raise
            missing.append(name)
    return tuple(missing)


def pack(facts: Facts) -> bytes:
    """As text for a store; bytes that are no text survive."""
    values: dict[str, Any] = facts._asdict()
    for name in ("path", "place", "acl"):
        values[name] = _encode(values[name])
    values["xattrs"] = [[_encode(os.fsencode(name)), _encode(value)] for name, value in facts.xattrs]
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(text: bytes) -> Facts:
    """The opposite of pack(). Raises ValueError when it is none."""
    try:
        values = json.loads(text)
        for name in ("path", "place", "acl"):
            values[name] = _decode(values[name])
        values["xattrs"] = tuple((os.fsdecode(_decode(name)), _decode(value)) for name, value in values["xattrs"])
        found = Facts(**values)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not the facts of a file: {error}") from None
    if not all(isinstance(getattr(found, name), int) for name in ("uid", "gid", "mode", "size")):
        raise ValueError("not the facts of a file: a number is none")
    return found


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
